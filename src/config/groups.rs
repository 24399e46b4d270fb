//! Where each run gets a control group of its own.

use std::path::PathBuf;
use std::str::FromStr;

/// Where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GroupsIn {
    /// Below the worker's own, if that was delegated to it.
    Own,
    /// In this one.
    Given(PathBuf),
    /// Nowhere.
    Nothing,
}

impl FromStr for GroupsIn {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Own),
            "none" | "off" => Ok(Self::Nothing),
            path if path.starts_with('/') => Ok(Self::Given(path.into())),
            _ => {
                Err("takes auto, none, or the folder of a control group such as /sys/fs/cgroup/agents"
                    .to_owned())
            }
        }
    }
}

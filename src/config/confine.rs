//! Whether agents may write only where their run has to.

use std::str::FromStr;

/// How they are kept to that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Confine {
    /// By the kernel, where it can.
    Auto,
    /// By the kernel; where it cannot, the worker does not start.
    Landlock,
    /// Not at all.
    Nothing,
}

impl FromStr for Confine {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            "landlock" => Ok(Self::Landlock),
            "none" | "off" => Ok(Self::Nothing),
            _ => Err("takes auto, landlock or none".to_owned()),
        }
    }
}

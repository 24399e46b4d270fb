//! What an attempt was started with, beside its stream: whoever judges it later goes by that, and not by what the file
//! says meanwhile.

use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::model::Pack;
use crate::config::Durability;
use crate::os::durable;
use crate::os::trouble::if_there;

/// A pack as it was when an attempt began.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Stamp {
    /// Its name.
    pub name: String,
    /// Its file; `None` for the built-in one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// What it said.
    #[serde(flatten)]
    pub pack: Pack,
}

impl Stamp {
    /// Writes it down. The built-in one leaves no trace.
    pub fn write(&self, path: &Path, durability: Durability) -> io::Result<()> {
        if self.file.is_none() {
            return Ok(());
        }
        let text = format!("{:#}\n", serde_json::json!(self));
        durable::write_atomic(path, text.as_bytes(), durability)
    }

    /// What was written down; where nothing was, or nothing that can be understood, the built-in one.
    pub fn read(path: &Path) -> io::Result<Self> {
        let bytes = if_there(std::fs::read(path))?;
        Ok(bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read_and_the_built_in_one_leaves_no_trace() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pack.json");
        Stamp::default().write(&path, Durability::None).unwrap();
        assert!(!path.exists());
        assert_eq!(Stamp::read(&path).unwrap(), Stamp::default());
        let pack = Pack { max_retries: Some(1), model: Some("sonnet".to_owned()), ..Pack::default() };
        let stamp = Stamp { name: "a".to_owned(), file: Some("/s/packs/a.toml".to_owned()), pack };
        stamp.write(&path, Durability::None).unwrap();
        assert_eq!(Stamp::read(&path).unwrap(), stamp);
    }
}

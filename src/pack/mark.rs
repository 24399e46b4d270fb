//! The mark that takes a pack back, `packs/<name>.disabled`. That it is there is the fact; what it says is for people.

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;

/// What a mark says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Mark {
    /// Since when.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// Who did it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// Why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Whether what runs with it is ended, too.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub end_running: bool,
}

impl Mark {
    /// What is read from the file; one that was made by hand (`touch`) says nothing more.
    pub(super) fn read(bytes: &[u8]) -> Self {
        serde_json::from_slice(bytes).unwrap_or_default()
    }

    /// For the file.
    pub fn to_bytes(&self) -> Vec<u8> {
        format!("{}\n", serde_json::json!(self)).into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_reads_back_and_one_made_by_hand_is_one() {
        let mark = Mark { by: Some("ana".to_owned()), end_running: true, ..Mark::default() };
        assert_eq!(Mark::read(&mark.to_bytes()), mark);
        assert_eq!(Mark::read(b""), Mark::default());
        assert_eq!(Mark::read(b"not now"), Mark::default());
    }
}

//! What an operator has forgiven: of what was spent up to that moment nothing counts against a budget any more.
//!
//! A mark beside what it is about: `workers/<worker>/budget.json`, `packs/<pack>.budget`. It is durable, and holds over
//! restarts. One that cannot be read forgives nothing, and neither does one of a time to come.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{Scope, minute_of};
use crate::clock::Timestamp;
use crate::layout::Layout;
use crate::os::durable::{self, Durability};

/// A mark is a line or two.
const MARK_MAX: u64 = 64 * 1024;

/// A mark.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Forgiven {
    /// Up to this moment.
    pub until: Timestamp,
    /// Who did it, as they say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Where the mark stands.
pub fn path(layout: &Layout, scope: &Scope) -> PathBuf {
    match scope {
        Scope::Worker(worker) => layout.worker(worker).join("budget.json"),
        Scope::Pack(pack) => layout.packs().join(format!("{pack}.budget")),
    }
}

/// What is forgiven of `scope`.
pub fn read(layout: &Layout, scope: &Scope) -> Option<Forgiven> {
    // Nothing but a plain file is waited for.
    let flags = nix::libc::O_NOFOLLOW | nix::libc::O_NONBLOCK;
    let file = File::options().read(true).custom_flags(flags).open(path(layout, scope)).ok()?;
    let mut bytes = Vec::new();
    file.take(MARK_MAX).read_to_end(&mut bytes).ok()?;
    serde_json::from_slice(&bytes).ok()
}

/// The minute up to which all is forgiven.
pub fn minute(layout: &Layout, scope: &Scope, now: Timestamp) -> Option<i64> {
    read(layout, scope).map(|it| minute_of(it.until)).filter(|minute| *minute <= minute_of(now))
}

/// Forgives.
pub fn write(layout: &Layout, scope: &Scope, mark: &Forgiven) -> io::Result<()> {
    let text = format!("{}\n", serde_json::json!(mark));
    durable::write_atomic(&path(layout, scope), text.as_bytes(), Durability::Full)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_holds_and_one_that_is_broken_or_ahead_forgives_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::new(dir.path());
        std::fs::create_dir_all(layout.packs()).unwrap();
        let (scope, now) = (Scope::Pack("a".to_owned()), Timestamp::from_second(6000).unwrap());
        assert_eq!(minute(&layout, &scope, now), None);
        let mark = Forgiven { until: now, by: Some("ana".to_owned()), reason: None };
        write(&layout, &scope, &mark).unwrap();
        assert_eq!((read(&layout, &scope), minute(&layout, &scope, now)), (Some(mark), Some(100)));
        assert_eq!(minute(&layout, &scope, Timestamp::from_second(1).unwrap()), None, "a time to come");
        durable::write_atomic(&path(&layout, &scope), b"{", Durability::None).unwrap();
        assert_eq!(minute(&layout, &scope, now), None);
    }
}

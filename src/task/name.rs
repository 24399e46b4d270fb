//! Names: of tasks, of their files, of workers, of runs and sessions. Each is checked once, when it is made.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Why something is not a name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Not a worker's name.
    #[error(
        "`{0}` is not a worker's name: it takes lowercase letters, digits and hyphens, at most 63, and starts with a letter or digit"
    )]
    Worker(String),
    /// Not a task's name.
    #[error(
        "`{0}` is not a task's name: it takes letters, digits and `._~-`, at most 128, and starts with a letter or digit"
    )]
    Task(String),
    /// Not a task file's name.
    #[error("`{0}` is not a task file: a task file ends in .json and does not start with a dot")]
    File(String),
}

/// A worker's name, `[a-z0-9][a-z0-9-]{0,62}`: safe in paths, unit names and container names.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, schemars::JsonSchema)]
#[serde(transparent)]
pub struct WorkerName(String);

impl WorkerName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for WorkerName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let plain = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit();
        let bytes = text.as_bytes();
        let good = (1..=63).contains(&bytes.len())
            && plain(bytes[0])
            && bytes.iter().all(|c| plain(*c) || *c == b'-');
        if good { Ok(Self(text.to_owned())) } else { Err(NameError::Worker(shown(text))) }
    }
}

impl<'de> Deserialize<'de> for WorkerName {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl fmt::Display for WorkerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// A task's name, `[A-Za-z0-9][A-Za-z0-9._~-]{0,127}`: its `id`, else the stem of its file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, schemars::JsonSchema)]
#[serde(transparent)]
pub struct TaskName(String);

impl TaskName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for TaskName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let bytes = text.as_bytes();
        let good = (1..=128).contains(&bytes.len())
            && bytes[0].is_ascii_alphanumeric()
            && bytes.iter().all(|c| c.is_ascii_alphanumeric() || b"._~-".contains(c));
        if good { Ok(Self(text.to_owned())) } else { Err(NameError::Task(shown(text))) }
    }
}

impl Serialize for FileName {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for FileName {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl<'de> Deserialize<'de> for TaskName {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl fmt::Display for TaskName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// The name of a task file, which it keeps through all moves: `*.json`, one path component. A backlog has each name in
/// several indexes, so its copies share one text.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileName(Arc<str>);

impl FileName {
    /// The longest name that leaves room for a number, for `.reason` and for our own temporary names beside it
    /// (`NAME_MAX` is 255 bytes).
    pub const MAX: usize = 200;
    /// The longest that a number makes it.
    const NUMBERED_MAX: usize = Self::MAX + "~4294967295".len();

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name without `.json`.
    pub fn stem(&self) -> &str {
        self.0.strip_suffix(".json").unwrap_or(&self.0)
    }

    /// The stem as a task's name, where it can be one.
    pub fn task_name(&self) -> Option<TaskName> {
        self.stem().parse().ok()
    }

    /// The name with `~n` before `.json`, for a drop whose name is taken: `x.json` becomes `x~2.json`.
    #[must_use]
    pub fn numbered(&self, n: u32) -> Self {
        Self(format!("{}~{n}.json", self.base()).into())
    }

    /// The stem without a `~n` that [`FileName::numbered`] put there.
    pub fn base(&self) -> &str {
        match self.stem().rsplit_once('~') {
            Some((base, n)) if !base.is_empty() && !n.is_empty() && n.bytes().all(|c| c.is_ascii_digit()) => {
                base
            }
            _ => self.stem(),
        }
    }
}

impl FromStr for FileName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let name = Self(text.into());
        let good = text.len() <= Self::NUMBERED_MAX
            && name.base().len() + ".json".len() <= Self::MAX
            && text.strip_suffix(".json").is_some()
            && !text.starts_with(['.', '#'])
            && !text.contains(['/', '\0']);
        if good { Ok(name) } else { Err(NameError::File(shown(text))) }
    }
}

impl fmt::Display for FileName {
    /// For people: what hides in a name is written out. A path is made of [`FileName::as_str`].
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&super::text::shown(&self.0, Self::NUMBERED_MAX))
    }
}

/// A name that somebody meant for a task file, and that none can have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Misfit {
    /// What it is filed under instead.
    pub substitute: FileName,
    /// What is wrong with it, and what to do.
    pub why: String,
}

impl Misfit {
    /// What is wrong with a name; `None` if it is a task file's, or no task was meant.
    pub fn of(name: &[u8]) -> Option<Self> {
        let meant = name.ends_with(b".json") && !name.starts_with(b".") && !name.starts_with(b"#");
        let lossy = String::from_utf8_lossy(name);
        let text = std::str::from_utf8(name).ok();
        if !meant || text.is_some_and(|it| it.parse::<FileName>().is_ok()) {
            return None;
        }
        let what = if text.is_none() {
            "is not UTF-8".to_owned()
        } else {
            format!("is {} bytes long, and {} is the most", name.len(), FileName::MAX)
        };
        let stem = lossy.strip_suffix(".json").unwrap_or(&lossy);
        let why = format!("its name, `{}`, {what}; drop it again under another", shown(&lossy));
        let substitute = FileName(format!("{}.json", generated(stem, name)).into());
        Some(Self { substitute, why })
    }
}

/// A task's name where neither `id` nor the file's stem can be one: the stem's plain characters and its hash.
pub(super) fn generated(stem: &str, whole: &[u8]) -> String {
    // FNV-1a: short, stable over versions, and nothing depends on it being hard to guess.
    let hash = whole.iter().fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let plain: String = stem.chars().filter(char::is_ascii_alphanumeric).take(40).collect();
    format!("task-{plain}-{hash:016x}")
}

/// One life of a task, from its first claim to its outcome: a uuid v7.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(transparent)]
pub struct RunId(#[schemars(with = "String")] pub Uuid);

impl RunId {
    /// A new run.
    pub fn mint() -> Self {
        Self(Uuid::now_v7())
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One conversation of the agent: a uuid v4, minted by us before the spawn.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(transparent)]
pub struct SessionId(#[schemars(with = "String")] pub Uuid);

impl SessionId {
    /// A new session.
    pub fn mint() -> Self {
        Self(Uuid::new_v4())
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A hostile text as it may stand in a message.
fn shown(text: &str) -> String {
    super::text::shown(text, 80)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn worker_names_are_safe_in_paths_units_and_containers() {
        for good in ["marie", "a", "9", "bob-2", &"a".repeat(63)] {
            assert!(good.parse::<WorkerName>().is_ok(), "{good}");
        }
        for bad in ["", "-a", "Marie", "a_b", "a/b", "..", "é", &"a".repeat(64), "a b"] {
            assert!(bad.parse::<WorkerName>().is_err(), "{bad}");
        }
    }

    #[test]
    fn task_names_stay_on_one_line_and_in_one_folder() {
        for good in ["hello", "x~2", "A.b_c-d", &"a".repeat(128)] {
            assert!(good.parse::<TaskName>().is_ok(), "{good}");
        }
        for bad in ["", ".x", "-x", "a/b", "a\nb", "a b", &"a".repeat(129), "ä"] {
            assert!(bad.parse::<TaskName>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_second_drop_is_numbered_after_the_first() {
        let file: FileName = "x.json".parse().unwrap();
        assert_eq!(file.numbered(2).as_str(), "x~2.json");
        assert_eq!(file.numbered(2).numbered(3).as_str(), "x~3.json");
        assert_eq!(file.numbered(2).base(), "x");
        assert_eq!("a~b.json".parse::<FileName>().unwrap().base(), "a~b");
        assert_eq!("~2.json".parse::<FileName>().unwrap().base(), "~2");
    }

    #[test]
    fn the_longest_name_is_still_one_when_it_is_numbered_and_has_its_papers_beside_it() {
        const NAME_MAX: usize = 255;
        let longest: FileName = format!("{}.json", "x".repeat(195)).parse().unwrap();
        let numbered = longest.numbered(u32::MAX);
        assert_eq!(numbered.as_str().parse::<FileName>().unwrap(), numbered);
        assert_eq!(numbered.base(), longest.stem());
        let paper = format!(".{}.reason.{}.{}.tmp", numbered.as_str(), 4_194_304, 1_u64 << 48);
        assert!(paper.len() <= NAME_MAX, "{}", paper.len());
    }

    #[test]
    fn a_name_that_was_meant_for_a_task_and_cannot_be_one_is_filed_under_another() {
        let long = format!("{}.json", "y".repeat(250));
        let table: [(&[u8], &str); 3] = [
            (b"caf\xe9.json", "`caf\u{fffd}.json`, is not UTF-8"),
            (long.as_bytes(), "is 255 bytes long, and 200 is the most"),
            (b"x~99999999999999999999.json\xff.json", "is not UTF-8"),
        ];
        for (name, part) in table {
            let misfit = Misfit::of(name).unwrap();
            assert!(misfit.why.contains(part), "{}", misfit.why);
            assert_eq!(misfit.substitute.as_str().parse::<FileName>().unwrap(), misfit.substitute);
            assert!(misfit.substitute.task_name().is_some());
        }
        for other in [&b"x.json"[..], b".x\xff.json", b"#x\xff.json", b"x\xff", b".json", b"x\xff.json~"] {
            assert_eq!(Misfit::of(other), None, "{other:?}");
        }
    }

    #[test]
    fn only_whole_visible_json_names_are_task_files() {
        assert!("x.json".parse::<FileName>().is_ok());
        for bad in [".x.json", ".json", "x.json.tmp", "x.json~", "x.part", "#x.json", "a/b.json", "x.JSON"] {
            assert!(bad.parse::<FileName>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_file_is_a_task_s_by_its_whole_name() {
        let is_one = |name: &str| name.parse::<FileName>().is_ok();
        let long = |n: usize| format!("{}.json", "x".repeat(n - ".json".len()));
        assert!(is_one("x.json") && is_one(&long(FileName::MAX)) && is_one("x~2.json"));
        for none in ["x.txt", "x", ".json", ".x.json", "#x.json", "a/b.json", "x\0.json", ""] {
            assert!(!is_one(none), "{none:?}");
        }
        assert!(!is_one(&long(FileName::MAX + 1)));
        assert_eq!(Misfit::of(b".json"), None, "nobody meant a task");
    }

    #[test]
    fn a_name_that_is_made_is_the_same_in_every_version() {
        assert_eq!(generated("a b", b"a b"), "task-ab-e63f991904833892");
    }
}

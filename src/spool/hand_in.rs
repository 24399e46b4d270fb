//! Handing in a task: it appears whole and durable under a name of its own, or not at all.

use std::path::Path;

use uuid::Uuid;

use super::steps::{self, Step};
use super::store::{StepError, Store};
use crate::os::durable::beside;
use crate::task::FileName;

/// Puts `bytes` into `dir` under the first of `names` that nothing has; which that was. `None`: all are taken.
pub fn hand_in<S: Store>(
    store: &S,
    dir: &Path,
    names: impl IntoIterator<Item = FileName>,
    bytes: &[u8],
) -> Result<Option<FileName>, StepError> {
    let mut names = names.into_iter().peekable();
    let Some(first) = names.peek() else { return Ok(None) };
    let draft = beside(&dir.join(first.as_str()));
    let named = store.perform_all(&steps::draft(&draft, bytes.to_vec())).and_then(|()| {
        for name in names {
            match store.perform_all(&steps::begin(&draft, &dir.join(name.as_str()))) {
                Ok(()) => return Ok(Some(name)),
                Err(error) if error.is_occupied() => {}
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    });
    if !matches!(named, Ok(Some(_))) {
        // One that stays is swept with what other cut writes left behind.
        store.perform_all(&[Step::Remove(draft)]).ok();
        return named;
    }
    store.perform_all(&[Step::SyncDir(dir.to_owned())])?;
    named
}

/// `say-hello-3f9a2c.json`: the first words of the prompt, and something to tell two of them apart.
pub fn made_up_name(prompt: &str, salt: Uuid) -> FileName {
    let plain: String = prompt
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { ' ' })
        .collect();
    let mut slug = String::new();
    for word in plain.split_whitespace().take(4).filter(|word| word.len() <= 20) {
        slug += word;
        slug.push('-');
    }
    let slug = if slug.is_empty() { "task-" } else { &slug };
    let salt = salt.simple().to_string();
    let name = format!("{slug}{}.json", &salt[..6]);
    #[expect(clippy::expect_used, reason = "letters, digits and hyphens with .json at the end")]
    name.parse().expect("a file name")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::os::durable::{Durability, write_new};
    use crate::spool::Disk;

    #[test]
    fn a_name_is_made_from_the_first_words() {
        for (prompt, expected) in [
            ("Say hello!", "say-hello-000000.json"),
            ("../../etc/passwd", "etc-passwd-000000.json"),
            ("漢字", "task-000000.json"),
            ("one two three four five six", "one-two-three-four-000000.json"),
        ] {
            assert_eq!(made_up_name(prompt, Uuid::nil()).as_str(), expected);
        }
    }

    #[test]
    fn a_task_appears_under_the_first_free_name_and_leaves_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let disk = Disk::new(dir.path(), Durability::None);
        let file: FileName = "x.json".parse().unwrap();
        write_new(&dir.path().join("x.json"), b"first", None).unwrap();
        let names = || [file.clone(), file.numbered(2)];
        assert_eq!(hand_in(&disk, dir.path(), names(), b"{}").unwrap(), Some(file.numbered(2)));
        assert_eq!(hand_in(&disk, dir.path(), names(), b"{}").unwrap(), None);
        assert!(hand_in(&disk, &dir.path().join("gone"), names(), b"{}").is_err());
        let mut left: Vec<_> =
            std::fs::read_dir(dir.path()).unwrap().map(|it| it.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, ["x.json", "x~2.json"]);
        assert_eq!(std::fs::read(dir.path().join("x.json")).unwrap(), b"first");
    }
}

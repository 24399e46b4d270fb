//! A new task, dropped as anybody may drop one: whole, durable, and under a name that no other has.
//!
//! It deliberately does not know who hands it in.

use std::path::{Path, PathBuf};

use uuid::Uuid;

use super::steps;
use super::store::{StepError, Store};
use crate::os::durable;
use crate::task::{FileName, Spec, TaskFile};

/// How many names are tried for a file whose own is taken.
const NAMES: u32 = 1000;

/// A task that is ready to be written.
#[derive(Debug)]
pub struct Fresh<'a> {
    /// The folder into which it goes.
    pub dir: &'a Path,
    /// Its file.
    pub file: FileName,
    /// Whether another name would do as well.
    pub can_be_renamed: bool,
    /// What goes into it.
    pub task: &'a TaskFile,
}

/// Why a task was not dropped.
#[derive(Debug, thiserror::Error)]
pub enum FreshError {
    /// A task has that name already.
    #[error("there is a task `{name}` already: `{}`", path.display())]
    Taken {
        /// The name.
        name: String,
        /// Where the other one is.
        path: PathBuf,
    },
    /// The disk refused.
    #[error("could not {}", .0.step)]
    Disk(#[source] StepError),
}

impl Fresh<'_> {
    /// Writes the task so that it appears whole and durable, or not at all; the name it got: the first one that is not
    /// known, as far as it may be renamed.
    pub fn drop_into<S: Store>(
        &self,
        store: &S,
        is_known: impl Fn(&FileName) -> bool,
    ) -> Result<FileName, FreshError> {
        let temp = durable::beside(&self.dir.join(self.file.as_str()));
        let done = store
            .perform_all(&steps::draft(&temp, self.task.to_bytes()))
            .map_err(FreshError::Disk)
            .and_then(|()| self.publish(store, &temp, is_known));
        if done.is_err() {
            // What stays is told from a task by its name, and removed by the next start.
            store.perform_all(&steps::drop_temp(&temp)).ok();
        }
        done
    }

    fn publish<S: Store>(
        &self,
        store: &S,
        temp: &Path,
        is_known: impl Fn(&FileName) -> bool,
    ) -> Result<FileName, FreshError> {
        let numbered = (2..NAMES).map(|n| self.file.numbered(n));
        for file in std::iter::once(self.file.clone()).chain(numbered) {
            if self.can_be_renamed && is_known(&file) {
                continue;
            }
            let target = self.dir.join(file.as_str());
            match store.perform_all(&steps::transfer(temp, &target)) {
                Ok(()) => return Ok(file),
                Err(error) if error.is_occupied() && self.can_be_renamed => {}
                Err(error) if error.is_occupied() => return Err(self.taken(target)),
                Err(error) => return Err(FreshError::Disk(error)),
            }
        }
        Err(self.taken(self.dir.join(self.file.as_str())))
    }

    fn taken(&self, path: PathBuf) -> FreshError {
        FreshError::Taken { name: self.file.stem().to_owned(), path }
    }
}

/// The name of the file: that of the one handed in, else the task's, else one made from the prompt.
pub fn file_name(spec: &Spec, from: &Path) -> FileName {
    let given = from.file_name().and_then(|name| name.to_str()).and_then(|name| name.parse().ok());
    let named = || format!("{}.json", spec.id.as_ref()?).parse().ok();
    given.or_else(named).unwrap_or_else(|| made_up(spec.prompt.as_deref().unwrap_or("task"), Uuid::new_v4()))
}

/// `say-hello-3f9a2c.json`: the first words of the prompt, and something to tell two of them apart.
fn made_up(prompt: &str, salt: Uuid) -> FileName {
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

    #[test]
    fn a_name_is_made_from_the_first_words() {
        for (prompt, expected) in [
            ("Say hello!", "say-hello-000000.json"),
            ("../../etc/passwd", "etc-passwd-000000.json"),
            ("漢字", "task-000000.json"),
            ("one two three four five six", "one-two-three-four-000000.json"),
        ] {
            assert_eq!(made_up(prompt, Uuid::nil()).as_str(), expected);
        }
    }

    #[test]
    fn a_file_keeps_its_name_and_a_prompt_gets_its_id() {
        let id = Spec { id: Some("t1".parse().unwrap()), ..Spec::default() };
        assert_eq!(file_name(&id, Path::new("/x/nightly.json")).as_str(), "nightly.json");
        assert_eq!(file_name(&id, Path::new("")).as_str(), "t1.json");
        assert_eq!(file_name(&id, Path::new("-")).as_str(), "t1.json");
        assert_eq!(file_name(&id, Path::new("/x/.hidden.json")).as_str(), "t1.json");
    }
}

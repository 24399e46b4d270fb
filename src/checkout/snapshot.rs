//! The files of a repository as they are, committed or not, kept as a tree of git's: in a folder of the run's own, so that the
//! repository gets nothing it did not have.

use std::ffi::OsString;
use std::fs;
use std::path::Path;

use super::answer;
use super::ask::{Ask, differ, status, tree_of};
use super::git::{Git, GitError, first_words};
use super::record::Checkout;
use crate::os::durable::{DIR_MODE, make_dir, remove_if_there};

/// The most that files which are not committed may hold together, in bytes, and how many there may be.
const BYTES_MAX: u64 = 512 * 1024 * 1024;
const FILES_MAX: usize = 50_000;

/// What came of it.
pub(super) enum Kept {
    /// The tree; and what is missing from it.
    Tree(String, Option<String>),
    /// Why it is not kept.
    Not(String),
}

/// The names that are not committed as they are.
pub(super) fn unclean(git: &Git, tree: &Path) -> Result<Vec<String>, GitError> {
    Ok(answer::status(&git.answer(&status(tree))?.bytes))
}

/// Keeps the files of `checkout` as they are now. `unclean` is what is not committed there, and `head` what is checked out:
/// where everything is committed, that is a tree already.
pub(super) fn keep(
    git: &Git,
    checkout: &Checkout,
    (head, unclean): (Option<&str>, &[String]),
    place: &Path,
) -> Kept {
    if let (true, Some(head)) = (unclean.is_empty(), head)
        && let Ok(Some(tree)) = git.line(&tree_of(&checkout.tree, head))
    {
        return Kept::Tree(tree, None);
    }
    if unclean.len() > FILES_MAX {
        return Kept::Not(format!("{} files are not committed, too many to be compared", unclean.len()));
    }
    let sizes = unclean.iter().filter_map(|name| fs::symlink_metadata(checkout.tree.join(name)).ok());
    let bytes: u64 = sizes.filter(fs::Metadata::is_file).map(|meta| meta.len()).sum();
    if bytes > BYTES_MAX {
        let why = format!("what is not committed holds {} MiB, too much to be compared", bytes >> 20);
        return Kept::Not(why);
    }
    written(git, checkout, place).unwrap_or_else(|error| Kept::Not(error.to_string()))
}

fn written(git: &Git, checkout: &Checkout, place: &Path) -> Result<Kept, GitError> {
    let index = place.join("index");
    make_dir(&place.join("objects"), DIR_MODE).map_err(GitError::Run)?;
    // A copy of the repository's own knows what did not change, and spares reading it.
    remove_if_there(&index).map_err(GitError::Run)?;
    remove_if_there(&place.join("index.lock")).map_err(GitError::Run)?;
    if fs::copy(&checkout.index, &index).is_err() {
        remove_if_there(&index).map_err(GitError::Run)?;
    }
    let add = Ask::of(&checkout.tree, ["-c", "core.splitIndex=false", "add", "--all", "--ignore-errors"]);
    let added = git.ask(&aside(add.lasting(), checkout, place).with("GIT_INDEX_FILE", &index))?;
    let missing =
        (!added.is_yes).then(|| format!("not everything could be compared: {}", first_words(&added.said)));
    let write = Ask::of(&checkout.tree, ["write-tree"]).lasting();
    let tree = git.answer(&aside(write, checkout, place).with("GIT_INDEX_FILE", &index))?.line();
    Ok(Kept::Tree(tree, missing))
}

/// How two kept trees differ.
pub(super) fn difference(how: &[&str], checkout: &Checkout, place: &Path, trees: (&str, &str)) -> Ask {
    aside(differ(&checkout.tree, how, trees), checkout, place)
}

/// The same with new objects in `place`, and the repository's own beside them.
fn aside(ask: Ask, checkout: &Checkout, place: &Path) -> Ask {
    let objects = place.join("objects");
    if !objects.is_dir() {
        return ask;
    }
    ask.with("GIT_OBJECT_DIRECTORY", objects)
        .with("GIT_ALTERNATE_OBJECT_DIRECTORIES", listed(&checkout.objects))
}

/// A path as one entry of a list that is split at colons.
fn listed(path: &Path) -> OsString {
    let bytes = path.as_os_str().as_encoded_bytes();
    if !bytes.contains(&b':') && bytes.first() != Some(&b'"') {
        return path.as_os_str().to_owned();
    }
    let text = path.to_string_lossy();
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"")).into()
}

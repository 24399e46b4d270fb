//! Whether somebody could have written a pack who may only drop tasks: then it is not used, or the drop of a file would
//! choose its own permissions. Pure.

use std::path::Path;

/// What is known of a file or a folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rights {
    /// The user whose it is.
    pub(super) owner: u32,
    /// Its permission bits.
    pub(super) mode: u32,
}

/// Why `path` is not trusted, and what to type; `trusted` are the users who may own it, root besides.
pub(super) fn distrust(path: &Path, rights: Rights, trusted: &[u32]) -> Option<(String, String)> {
    let shown = path.display();
    if rights.mode & 0o022 != 0 {
        let who = if rights.mode & 0o002 != 0 { "everybody" } else { "its whole group" };
        return Some((
            format!("`{shown}` can be written by {who} (mode {:04o})", rights.mode & 0o7777),
            format!("`chmod go-w {shown}`"),
        ));
    }
    if rights.owner != 0 && !trusted.contains(&rights.owner) {
        return Some((
            format!("`{shown}` belongs to uid {}, who is neither root nor the worker's user", rights.owner),
            format!("look at what it says, then `chown root {shown}`"),
        ));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_root_and_the_worker_may_have_written_a_pack() {
        for (owner, mode, trusted) in [
            (0, 0o100_644, true),
            (7, 0o100_640, true),
            (8, 0o100_644, false),
            (0, 0o100_664, false),
            (7, 0o100_646, false),
            (7, 0o042_750, true),
            (7, 0o042_770, false),
        ] {
            let why = distrust(Path::new("/s/packs"), Rights { owner, mode }, &[7]);
            assert_eq!(why.is_none(), trusted, "{owner} {mode:o}: {why:?}");
            assert!(why.is_none_or(|(_, remedy)| remedy.contains("/s/packs")));
        }
    }
}

//! A real folder: what is read, what is refused, what is noticed.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::time::SystemTime;

use super::*;
use crate::clock::{Clock, SystemClock};
use crate::os::durable::{make_dir, remove_if_there, rename_noreplace, set_mtime, write_new};

struct Root {
    dir: tempfile::TempDir,
    shelf: Shelf,
}

impl Root {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::new(dir.path());
        make_dir(&layout.packs(), super::super::DIR_MODE).unwrap();
        let me = nix::unistd::geteuid().as_raw();
        Self { dir, shelf: Shelf::new(layout, SystemClock::shared(), vec![me]) }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join("packs").join(name)
    }

    /// Writes a file that has stood still for long.
    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        remove_if_there(&path).unwrap();
        write_new(&path, text.as_bytes(), Some(long_ago())).unwrap();
        path
    }

    fn model(&self, kind: &str) -> Option<String> {
        match self.shelf.find(Some(kind)) {
            Found::Ready { loaded, .. } => loaded.pack.model.clone(),
            Found::Unknown { .. } | Found::Barred(_) => None,
        }
    }

    fn why(&self, kind: &str) -> String {
        match self.shelf.find(Some(kind)) {
            Found::Barred(bar) => format!("{:?} {}; {}", bar.what, bar.why, bar.remedy),
            found @ (Found::Ready { .. } | Found::Unknown { .. }) => panic!("{found:?}"),
        }
    }
}

fn long_ago() -> SystemTime {
    SystemTime::from(SystemClock.wall()) - Duration::from_mins(1)
}

fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

#[test]
fn default_needs_no_file_and_others_do() {
    let root = Root::new();
    assert!(matches!(root.shelf.find(None), Found::Ready { file: None, .. }));
    root.write("review.toml", "model = 'sonnet'");
    assert_eq!(root.model("review").as_deref(), Some("sonnet"));
    assert_eq!(root.shelf.find(Some("reviw")), Found::Unknown { near: Some("review".to_owned()) });
    assert_eq!(root.shelf.find(Some("../review")), Found::Unknown { near: None });
    root.write("default.toml", "model = 'haiku'");
    assert_eq!(root.model("default").as_deref(), Some("haiku"));
    assert!(root.shelf.bars().is_empty());
}

#[test]
fn a_change_is_seen_and_a_broken_one_holds_its_own_tasks_only() {
    let root = Root::new();
    root.write("a.toml", "model = 'one'");
    root.write("b.toml", "model = 'b'");
    assert_eq!(root.model("a").as_deref(), Some("one"));
    root.write("a.toml", "model = 'two'");
    assert_eq!(root.model("a").as_deref(), Some("two"));
    root.write("a.toml", "\nmodle = 'three'\nx = 1");
    let why = root.why("a");
    for word in
        ["packs/a.toml", "line 2, column 1", "did you mean `model`?", "and 1 more", "agentctl packs check"]
    {
        assert!(why.contains(word), "{word}: {why}");
    }
    assert_eq!(root.model("b").as_deref(), Some("b"));
    let bars = root.shelf.bars();
    assert!(bars.of(Some("a")).is_some() && bars.of(Some("b")).is_none() && bars.of(None).is_none());
    root.write("a.toml", "model = 'three'");
    assert_eq!(root.model("a").as_deref(), Some("three"));
}

#[test]
fn what_was_just_written_and_what_just_vanished_has_a_moment() {
    let root = Root::new();
    let path = root.path("a.toml");
    write_new(&path, b"model = 'half'", None).unwrap();
    assert!(root.why("a").starts_with("Changing"), "it may be half of it");
    set_mtime(&path, long_ago()).unwrap();
    assert_eq!(root.model("a").as_deref(), Some("half"));
    remove_if_there(&path).unwrap();
    assert!(root.why("a").starts_with("Changing"), "an editor may be putting it back");
    assert!(root.shelf.bars().of(Some("a")).is_some());
    rename_noreplace(&root.path(""), &root.dir.path().join("aside")).unwrap();
    assert!(root.why("a").starts_with("Changing"), "the same for the whole folder");
}

#[test]
fn what_others_could_have_written_is_refused_with_what_to_type() {
    let root = Root::new();
    let path = root.write("a.toml", "model = 'x'");
    for (mode, word) in [(0o664, "its whole group"), (0o646, "everybody")] {
        chmod(&path, mode);
        let why = root.why("a");
        assert!(why.contains(word) && why.contains(&format!("`chmod go-w {}`", path.display())), "{why}");
    }
    chmod(&path, 0o644);
    assert_eq!(root.model("a").as_deref(), Some("x"));
    symlink(&path, root.path("link.toml")).unwrap();
    assert!(root.why("link").contains("it is a link"));
    fs::create_dir(root.path("dir.toml")).unwrap();
    assert!(root.why("dir").contains("it is no file"));
    root.write("big.toml", &"#".repeat(70_000));
    assert!(root.why("big").contains("larger than 64 KiB"));
}

#[test]
fn in_a_folder_that_others_can_write_nothing_is_believed() {
    let root = Root::new();
    root.write("a.toml", "model = 'x'");
    chmod(&root.path(""), 0o2770);
    assert!(root.why("a").contains("chmod go-w"), "{}", root.why("a"));
    assert!(root.why("never-seen").contains("chmod go-w"), "it may have been taken away");
    assert!(matches!(root.shelf.find(None), Found::Ready { file: None, .. }), "nobody made anything of it");
    let bars = root.shelf.bars();
    assert!(bars.of(Some("a")).is_some() && bars.of(Some("z")).is_some() && bars.of(None).is_none());
    root.write("default.toml", "permission_mode = 'plan'");
    assert!(root.why("default").contains("chmod go-w"), "it is not run with more than its owner gave");
    chmod(&root.path(""), 0o2750);
    assert_eq!(root.model("a").as_deref(), Some("x"));
}

#[test]
fn a_folder_that_others_can_write_and_nobody_uses_changes_nothing() {
    let root = Root::new();
    chmod(&root.path(""), 0o2770);
    assert!(root.shelf.bars().is_empty());
    assert_eq!(root.shelf.find(Some("a")), Found::Unknown { near: None });
}

#[test]
fn a_link_in_the_folders_place_is_not_followed() {
    let root = Root::new();
    root.write("a.toml", "model = 'x'");
    rename_noreplace(&root.path(""), &root.dir.path().join("aside")).unwrap();
    symlink(root.dir.path().join("aside"), root.dir.path().join("packs")).unwrap();
    assert!(root.why("a").contains("is a link or no folder"), "{}", root.why("a"));
}

#[test]
fn a_mark_takes_a_pack_back_whatever_it_says() {
    let root = Root::new();
    root.write("a.toml", "model = 'x'");
    let mark = Mark { reason: Some("it deletes".to_owned()), end_running: true, ..Mark::default() };
    root.write("a.disabled", std::str::from_utf8(&mark.to_bytes()).unwrap());
    root.write("default.disabled", "");
    let why = root.why("a");
    assert!(
        why.starts_with("Disabled") && why.contains("it deletes") && why.contains("pack enable a"),
        "{why}"
    );
    let bars = root.shelf.bars();
    assert!(bars.of(Some("a")).is_some_and(|it| it.end_running));
    assert!(bars.of(None).is_some_and(|it| it.what == What::Disabled && !it.end_running));
    remove_if_there(&root.path("a.disabled")).unwrap();
    assert_eq!(root.model("a").as_deref(), Some("x"));
}

#[test]
fn a_pack_that_the_cli_refused_waits_until_it_is_changed() {
    let root = Root::new();
    root.write("a.toml", "model = 'x'");
    assert!(root.model("a").is_some());
    root.shelf.refused(&"a".parse().unwrap(), "there is no model x", "name another");
    assert!(root.why("a").contains("there is no model x"));
    root.write("a.toml", "model = 'y2'");
    assert_eq!(root.model("a").as_deref(), Some("y2"));
    root.shelf.refused(&"a".parse().unwrap(), "nor y2", "name another");
    root.shelf.try_again();
    assert_eq!(root.model("a").as_deref(), Some("y2"));
}

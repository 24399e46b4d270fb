//! Folders, reached from the root.

use std::fs::FileTimes;
use std::os::unix::fs::symlink;
use std::time::{Duration, SystemTime};

use super::*;

fn tree() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(dir.path().join("root/a/b")).unwrap();
    std::fs::create_dir_all(dir.path().join("elsewhere")).unwrap();
    dir
}

#[test]
fn a_link_below_the_root_is_never_followed_and_one_above_it_is() {
    let dir = tree();
    let root = dir.path().join("root");
    let by_link = dir.path().join("link");
    symlink(&root, &by_link).unwrap();
    assert!(Folder::open(&by_link, &by_link.join("a/b")).is_ok());
    for (link, to) in [("root/a/to-b", "root/a/b"), ("root/out", "elsewhere"), ("root/c", "root/a")] {
        symlink(dir.path().join(to), dir.path().join(link)).unwrap();
    }
    for wrong in ["a/to-b", "out", "c/b"] {
        for open in [Folder::open, Folder::open_to_read] {
            assert!(is_no_folder(&open(&root, &root.join(wrong)).unwrap_err()), "{wrong}");
        }
        let base = rustix::fs::open(&root, PLACE, Mode::empty()).unwrap();
        let errno = step_by_step(base, Path::new(wrong), PLACE).unwrap_err();
        assert!(is_no_folder(&of_errno(errno, &root)), "{wrong}");
    }
    let missing = Folder::open(&root, &root.join("none")).unwrap_err();
    assert_eq!(missing.kind(), io::ErrorKind::NotFound);
}

#[test]
fn that_a_file_was_read_is_not_written_down() {
    use std::io::Read;
    use std::os::unix::fs::MetadataExt;
    let dir = tree();
    let (root, path) = (dir.path().join("root"), dir.path().join("root/a/t.json"));
    crate::os::durable::write_new(&path, b"{}", None).unwrap();
    let before = SystemTime::UNIX_EPOCH + Duration::from_secs(1);
    File::open(&path).unwrap().set_times(FileTimes::new().set_accessed(before)).unwrap();
    let mut file = Folder::open(&root, &root.join("a")).unwrap().file("t.json".as_ref()).unwrap();
    assert_eq!(file.read_to_end(&mut Vec::new()).unwrap(), 2);
    assert_eq!(file.metadata().unwrap().atime(), 1);
}

#[test]
fn what_stands_in_a_folders_place_is_told() {
    let dir = tree();
    let at = |name: &str| standing(&dir.path().join(name), Need::Work);
    symlink("root", dir.path().join("link")).unwrap();
    File::create(dir.path().join("file")).unwrap();
    assert!(matches!(at("root"), Standing::Folder { denied: None, .. }), "{:?}", at("root"));
    assert_eq!((at("none"), at("link"), at("file")), (Standing::Missing, Standing::Link, Standing::NoFolder));
    assert_eq!(at("file/below"), Standing::NoFolder);
}

#[test]
fn what_stands_in_a_folder_is_replaced_by_nothing_new_and_by_no_move() {
    let dir = tree();
    let root = dir.path().join("root");
    let folder = Folder::open(&root, &root.join("a")).unwrap();
    for name in ["x", "y"] {
        super::super::durable::write_new(&root.join("a").join(name), name.as_bytes(), None).unwrap();
    }
    let exists = io::ErrorKind::AlreadyExists;
    assert_eq!(folder.new_file("x".as_ref(), 0o600).unwrap_err().kind(), exists);
    for moved in [Folder::rename_noreplace, Folder::move_noreplace] {
        let refused = moved(&folder, "y".as_ref(), &folder, "x".as_ref()).unwrap_err();
        assert_eq!(refused.kind(), exists);
    }
    assert_eq!(std::fs::read_to_string(root.join("a/x")).unwrap(), "x");
    assert_eq!(std::fs::read_to_string(root.join("a/y")).unwrap(), "y");
}

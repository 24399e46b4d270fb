//! What a root may lie on, and what may become of that: layers of a container, mounts over and beside each other, a disk
//! that the kernel makes read-only.

use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;

use crate::sight::{agent, events, lives, logged, names, place, reason, tasks};
use crate::world::World;
use crate::{Mount, at_work, beats, done_once, gated, held_for, http, is_root, real, released, runs};

/// A real disk at the root: ext4 in a file.
pub(crate) fn ext4(world: &World) -> Option<Mount> {
    let image = world.path().join("disk.img");
    fs::File::create(&image).unwrap().set_len(64 << 20).unwrap();
    if !runs("mkfs.ext4", &["-q", "-F", "-m", "0", "-e", "remount-ro", image.to_str().unwrap()]) {
        real::skip("no ext4 in a file can be made here (mkfs.ext4)");
        return None;
    }
    Mount::new(&["-o", "loop", image.to_str().unwrap()], &world.root())
}

/// The root of `world` as a container has it: what an image brought below, what is written above.
fn layers(world: &World, upper: &Path) -> Option<Mount> {
    let lower = world.path().join("lower");
    fs::rename(world.root(), &lower).unwrap();
    for made in ["up", "work"] {
        fs::create_dir_all(upper.join(made)).unwrap();
    }
    let options = format!("lowerdir={},upperdir={1}/up,workdir={1}/work", lower.display(), upper.display());
    Mount::new(&["-t", "overlay", "-o", &options, "overlay"], &world.root())
}

/// Work on a root whose folders, tasks, records and locks all lie in the layer below: each move and each write takes a
/// file up first, which gives it another inode or another device where the layers are on two file systems.
fn works_on_layers(world: &World) {
    for name in ["waiting", "failed"] {
        world.submit("marie/pending", name, &json!({"prompt": "fake: succeed"}));
    }
    fs::rename(place(world, "marie/pending/failed.json"), place(world, "marie/failed/failed.json")).unwrap();
    let pending = place(world, "marie/pending");
    fs::create_dir(pending.join("folder.json")).unwrap();
    symlink("/etc/shadow", pending.join("link.json")).unwrap();
    fs::write(pending.join("bad.json"), "[]").unwrap();
}

#[test]
fn a_root_in_the_layers_of_a_container_is_worked_on_with_a_warning() {
    if !is_root() {
        return;
    }
    for apart in [false, true] {
        let world = World::new();
        let first = world.up("marie");
        let gate = gated(&world, "begun");
        let pid = at_work(&world, "begun");
        first.murder();
        works_on_layers(&world);
        let upper = world.path().join("upper");
        let other_disk = apart.then(|| Mount::new(&["-t", "tmpfs", "tmpfs"], &upper));
        let Some(_root) = layers(&world, &upper) else { return };
        if apart && matches!(other_disk, Some(None)) {
            return;
        }
        // The agent writes into the layer below, where nobody reads any more: it is ended, and the task gone on with.
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL).unwrap();
        world.until("it is gone", || (!lives(pid)).then_some(()));
        fs::write(&gate, "").unwrap();

        let watcher = world.up("marie");
        for name in ["waiting", "begun"] {
            world.filed("marie/completed", name);
            assert_eq!(world.homes(name), ["marie/completed"], "{name}, apart: {apart}");
        }
        assert_eq!(events(&world, "start", "waiting").len(), 1);
        for name in ["link", "bad"] {
            reason(&world, "marie", name);
            assert_eq!(tasks(&world, "marie/pending").iter().filter(|it| it.starts_with(name)).count(), 0);
        }
        assert!(!logged(&world, "marie", "container's own layer").is_empty(), "{}", world.said());
        world.submit("", "new", &json!({"prompt": "fake: succeed"}));
        done_once(&world, "marie/completed", "new");
        assert!(world.agentctl(&["retry", "failed"]).status.success());
        done_once(&world, "marie/completed", "failed");
        // A folder of the layer below cannot be moved within it; the worker says so, or moves it where it can be.
        world.until("the folder is filed or told", || {
            let is_filed = place(&world, "marie/failed/folder.json").is_dir();
            let told = logged(&world, "marie", "could not move what is no task");
            (is_filed || told.iter().any(|it| it.to_string().contains("folder"))).then_some(())
        });
        // A second one of the name finds the lock, though it was taken on what lay below.
        let second = world.start(&mut world.watcher("marie"), "second");
        assert_eq!(second.ended(), 78);
        assert_eq!(watcher.stop(), 0);
        let again = world.up("marie");
        world.submit("", "again", &json!({"prompt": "fake: succeed"}));
        done_once(&world, "marie/completed", "again");
        assert_eq!(again.stop(), 0);
    }
}

#[test]
fn one_root_under_two_paths_is_one_root() {
    if !is_root() {
        return;
    }
    let world = World::new();
    let other = world.path().join("other");
    let Some(_bound) = Mount::new(&["--bind", world.root().to_str().unwrap()], &other) else { return };
    let watcher = world.up("marie");
    let elsewhere = |worker: &str| {
        let mut command = world.watcher(worker);
        command.arg("--root").arg(&other);
        command
    };
    let refused = world.start(&mut by_path(&elsewhere("marie")), "refused");
    assert_eq!(refused.ended(), 78, "{}", world.said());
    assert!(!logged(&world, "refused", "holds worker marie already").is_empty());
    let anga = world.start(&mut by_path(&elsewhere("anga")), "anga");
    world.at_work("anga", &anga);
    for n in 0..30 {
        let dir = [world.root(), other.clone()][n % 2].join("tasks");
        fs::write(dir.join(format!(".t{n}.tmp")), r#"{"prompt":"fake: succeed"}"#).unwrap();
        fs::rename(dir.join(format!(".t{n}.tmp")), dir.join(format!("t{n}.json"))).unwrap();
    }
    let done = || ["marie", "anga"].map(|it| tasks(&world, &format!("{it}/completed")).len()).iter().sum();
    world.until_all(30, "are done", done);
    for n in 0..30 {
        assert_eq!(events(&world, "start", &format!("t{n}")).len(), 1);
    }
    assert_eq!((watcher.stop(), anga.stop()), (0, 0));
}

/// The last of two `--root` counts for nobody: the first is taken away.
fn by_path(command: &Command) -> Command {
    let args: Vec<_> = command.get_args().collect();
    let first = args.iter().position(|it| *it == "--root").unwrap();
    let mut own = Command::new(command.get_program());
    own.args(&args[..first]).args(&args[first + 2..]).env_clear();
    own.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    own
}

/// The same folder through another mount: all is there to be seen, and no rename goes in or out (`EXDEV`).
#[test]
fn a_mount_that_comes_between_the_folders_of_a_worker_at_work_is_told_and_loses_nothing() {
    if !is_root() {
        return;
    }
    let world = World::new();
    let watcher = world.up("marie");
    for (n, name) in ["marie/active", "marie/pending", "marie/completed"].iter().enumerate() {
        let at_it = format!("t{n}");
        let gate = gated(&world, &at_it);
        at_work(&world, &at_it);
        let here = place(&world, name);
        let before = fs::metadata(&here).unwrap().ino();
        let Some(over) = Mount::new(&["--bind", here.to_str().unwrap()], &here) else { return };
        assert_eq!(fs::metadata(&here).unwrap().ino(), before, "it looks the same");
        let hold = held_for(&world, "another mount");
        assert!(hold["remedy"].as_str().unwrap().contains("mount one file system at the root"), "{hold}");
        fs::write(&gate, "").unwrap();
        let waiting = format!("next{n}");
        world.submit("", &waiting, &json!({"prompt": "fake: succeed"}));
        beats(&world, 3);
        assert_eq!(world.homes(&waiting), [""], "nothing is claimed");
        drop(over);
        released(&world);
        done_once(&world, "marie/completed", &at_it);
        done_once(&world, "marie/completed", &waiting);
    }
    assert_eq!(watcher.stop(), 0);
}

/// Where the kernel lets the disk at the root meet an error.
fn trigger(world: &World) -> Option<PathBuf> {
    let mounts = fs::read_to_string("/proc/mounts").unwrap();
    let mut lines = mounts.lines().map(|line| line.split(' '));
    let device = lines
        .find_map(|mut it| Some((it.next()?, it.next()?)).filter(|it| Some(it.1) == world.root().to_str()));
    let device = Path::new(device.unwrap().0).file_name().unwrap();
    let trigger = Path::new("/sys/fs/ext4").join(device).join("trigger_fs_error");
    if trigger.exists() {
        return Some(trigger);
    }
    real::skip("this kernel's ext4 cannot be told to fail (/sys/fs/ext4/*/trigger_fs_error)");
    None
}

/// An error that ext4 itself met, and answers by making itself read-only, for good: `mount -o remount,rw` is refused until
/// it was unmounted and checked.
#[test]
fn a_disk_that_the_kernel_made_read_only_is_told_and_after_its_repair_all_is_there() {
    if !is_root() {
        return;
    }
    let world = World::new();
    let Some(disk) = ext4(&world) else { return };
    let Some(trigger) = trigger(&world) else { return };
    let root = world.root();
    let mut command = world.served("marie", "127.0.0.1:0");
    let watcher = world.start(&mut command, "marie");
    world.at_work("marie", &watcher);
    world.submit("marie/pending", "before", &json!({"prompt": "fake: succeed"}));
    done_once(&world, "marie/completed", "before");
    let gate = gated(&world, "running");
    let pid = at_work(&world, "running");
    world.submit(
        "marie/pending",
        "later",
        &json!({"prompt": "fake: succeed", "not_before": "2999-01-01T00:00:00Z"}),
    );
    runs("sync", &["-f", root.to_str().unwrap()]);
    fs::write(&trigger, "by a test").unwrap();
    // `state.json` cannot be written any more: what the worker knows is told by its log and its own page.
    let said = || logged(&world, "marie", "claiming nothing").pop();
    let held = world.until("it is said", said);
    assert!(held["message"].as_str().unwrap().contains("Read-only file system"), "{held}");
    assert!(held["remedy"].as_str().unwrap().contains("mount -o remount,rw"), "{held}");
    let health = http::get(world.address("marie"), "/health");
    assert_eq!(http::code(&health), "503", "{health}");
    assert!(lives(watcher.pid()));
    fs::write(&gate, "").unwrap();
    // Nobody hears the agent's last word, which no disk took.
    assert_eq!(watcher.stop(), 0);
    world.until("its agent has ended", || (!lives(pid)).then_some(()));

    // Not lazily: as long as anybody has a hand on it, it is the same broken one that is mounted again.
    world.until("it is unmounted", || runs("umount", &[root.to_str().unwrap()]).then_some(()));
    drop(disk);
    let image = world.path().join("disk.img");
    let checked = || {
        let done = Command::new("e2fsck").args(["-p", "-f"]).arg(&image).status().unwrap();
        // 1: mended. 8: the loop device still lets go of it.
        matches!(done.code(), Some(0 | 1)).then_some(())
    };
    world.until("the disk is sound", checked);
    let _disk = Mount::new(&["-o", "loop", image.to_str().unwrap()], &root).unwrap();
    let watcher = world.up("marie");
    let task = world.filed("marie/completed", "running");
    assert_eq!(world.homes("running"), ["marie/completed"]);
    assert_eq!(task["result"], "done", "{task}");
    // That it was stopped could not be recorded either: its agent counts as one that died, at most.
    assert!(task["retry_count"].as_u64().unwrap_or(0) <= 1, "{task}");
    assert_eq!(world.homes("later"), ["marie/pending"]);
    assert_eq!(names(&place(&world, "marie/completed")), ["before.json", "running.json"]);
    world.submit("marie/pending", "on", &json!({"prompt": "fake: hang"}));
    agent(&world, "on");
    assert_eq!(watcher.stop(), 0);
}

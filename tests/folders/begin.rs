//! Roots on which a worker must not begin: it says what, where, why and what to do, and ends with 78 (or 77, where
//! permissions are all that is missing) before it touched a task.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Output};

use serde_json::json;

use crate::real;
use crate::sight::{logged, place, tasks};
use crate::world::{World, json as read_json};

/// The command inside a mount namespace of its own, after `setup`; `None`, said aloud, where there is none to be had.
pub(crate) fn in_a_namespace(world: &World, setup: &str, inner: &Command) -> Option<Command> {
    let possible = Command::new("unshare").args(["-m", "true"]).output().is_ok_and(|it| it.status.success());
    if !possible {
        real::skip("this user may not have a mount namespace (run the tests as root)");
        return None;
    }
    let script =
        format!("{}exec \"$0\" \"$@\"", if setup.is_empty() { String::new() } else { format!("{setup}; ") });
    let mut command = Command::new("unshare");
    command.args(["-m", "sh", "-ec", &script]);
    Some(wrap(world, command, inner))
}

/// `outer`, which executes `inner` with its environment.
fn wrap(world: &World, mut outer: Command, inner: &Command) -> Command {
    outer.arg(inner.get_program()).args(inner.get_args()).env_clear().current_dir(world.path());
    outer.envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?))));
    outer
}

/// The watcher of marie under a tracer that makes one system call fail; `None`, said aloud, where there is no tracer.
fn with_fault(world: &World, fault: &str, inner: &Command) -> Option<Command> {
    let mut strace = Command::new(real::program("strace")?);
    let call = fault.split(':').next()?;
    strace.args([
        "-f",
        "-qq",
        "-o",
        "/dev/null",
        "-e",
        &format!("trace={call}"),
        "-e",
        &format!("inject={fault}"),
    ]);
    Some(wrap(world, strace, inner))
}

/// A root with one task in it.
fn laid_out() -> World {
    let world = World::new();
    assert_eq!(world.up("marie").stop(), 0);
    world.submit("marie/pending", "t", &json!({"prompt": "fake: succeed"}));
    world
}

/// That it refused with this status, in these words, and touched nothing.
#[track_caller]
fn refused(world: &World, output: &Output, status: i32, words: &[&str]) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(status), "{said}");
    let line = said.lines().find(|line| line.contains("the worker does not start")).unwrap_or_default();
    for word in words {
        assert!(line.contains(word), "`{word}` in {said}");
    }
    if place(world, "marie/pending").is_dir() && !tasks(world, "marie/pending").is_empty() {
        assert_eq!(tasks(world, "marie/pending"), ["t.json"]);
        let task = read_json(&place(world, "marie/pending/t.json")).unwrap();
        assert!(task.get("run_id").is_none(), "{task}");
    }
}

#[test]
fn state_folders_on_other_mounts_are_refused() {
    for how in ["tmpfs", "bind"] {
        for name in ["marie/active", "marie/completed", "marie/staged"] {
            let world = laid_out();
            let at = place(&world, name);
            let setup = match how {
                "tmpfs" => format!("mount -t tmpfs tmpfs {}", at.display()),
                _ => format!("mkdir {0}/b && mount --bind {0}/b {1}", world.path().display(), at.display()),
            };
            let Some(mut command) = in_a_namespace(&world, &setup, &world.watcher("marie")) else { return };
            let output = command.output().unwrap();
            refused(
                &world,
                &output,
                78,
                &["is on another mount", "mount one file system at the root", "marie/"],
            );
        }
    }
}

#[test]
fn a_mount_that_cannot_be_seen_is_found_by_trying() {
    let world = laid_out();
    let Some(mut command) = with_fault(&world, "renameat2:error=EXDEV", &world.watcher("marie")) else {
        return;
    };
    refused(&world, &command.output().unwrap(), 78, &["is on another mount than", "marie/active"]);
}

#[test]
fn a_root_that_is_mounted_read_only_is_refused() {
    let world = laid_out();
    let root = world.root();
    let setup = format!("mount --bind {0} {0} && mount -o remount,bind,ro {0}", root.display());
    let Some(mut command) = in_a_namespace(&world, &setup, &world.watcher("marie")) else { return };
    refused(
        &world,
        &command.output().unwrap(),
        78,
        &["is mounted read-only", "remount,rw", root.to_str().unwrap()],
    );
}

#[test]
fn a_file_system_without_locks_or_pipes_is_refused() {
    for (fault, words) in [
        ("flock:error=ENOLCK", ["without locks", "use a file system with flock"]),
        ("flock:error=EOPNOTSUPP", ["without locks", "use a file system with flock"]),
        ("flock:retval=0", ["two can hold one lock", "use a file system with flock"]),
        ("mknodat:error=EPERM", ["without named pipes", "use a file system with named pipes"]),
    ] {
        let world = laid_out();
        let Some(mut command) = with_fault(&world, fault, &world.watcher("marie")) else { return };
        refused(&world, &command.output().unwrap(), 78, &words);
    }
}

#[test]
fn renames_that_cannot_refuse_to_replace_are_done_by_link_and_unlink() {
    let world = laid_out();
    let Some(mut command) = with_fault(&world, "renameat2:error=EINVAL", &world.watcher("marie")) else {
        return;
    };
    let watcher = world.start(&mut command, "marie");
    world.filed("marie/completed", "t");
    // Between the link and the unlink it has two.
    world.until("it has one home", || (world.homes("t") == ["marie/completed"]).then_some(()));
    assert_eq!(logged(&world, "marie", "RENAME_NOREPLACE").len(), 1, "{}", world.said());
    drop(watcher);
}

/// `statfs(2)` answers as it does on NFS: the first field of the structure.
const NFS: &str = "statfs:poke_exit=@arg2=6969000000000000";

#[test]
fn a_network_file_system_is_refused_unless_it_is_allowed() {
    let world = laid_out();
    let Some(mut command) = with_fault(&world, NFS, &world.watcher("marie")) else { return };
    let output = command.output().unwrap();
    refused(&world, &output, 78, &["is on NFS", "a task could run twice", "--allow-nfs"]);

    for (flag, variable) in [(true, None), (false, Some("true"))] {
        let mut inner = world.watcher("marie");
        if flag {
            inner.arg("--allow-nfs");
        }
        inner.envs(variable.map(|it| ("ALLOW_NFS", it)));
        let Some(mut command) = with_fault(&world, NFS, &inner) else { return };
        let name = if flag { "by-flag" } else { "by-variable" };
        let watcher = world.start(&mut command, name);
        world.submit("marie/pending", name, &json!({"prompt": "fake: succeed"}));
        world.filed("marie/completed", name);
        assert_eq!(logged(&world, name, "holds on this machine only").len(), 1, "{}", world.said());
        let pid =
            read_json(&world.root().join("workers/marie/heartbeat.json")).unwrap()["pid"].as_i64().unwrap();
        nix::sys::signal::kill(
            nix::unistd::Pid::from_raw(i32::try_from(pid).unwrap()),
            nix::sys::signal::Signal::SIGTERM,
        )
        .unwrap();
        assert_eq!(watcher.ended(), 0);
    }
}

#[test]
fn whether_a_network_file_system_is_allowed_is_shown() {
    let world = World::new();
    let shown = |args: &[&str], variable: &str| {
        let mut command = world.watcher("marie");
        command.args(args).arg("--print-config").env("ALLOW_NFS", variable);
        let output = command.output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        text.lines().find(|line| line.contains("allow_nfs")).unwrap_or_default().to_owned()
    };
    assert!(shown(&[], "").contains("false"));
    let by_variable = shown(&[], "true");
    assert!(by_variable.contains("true") && by_variable.contains("ALLOW_NFS"), "{by_variable}");
    let by_flag = shown(&["--allow-nfs"], "false");
    assert!(by_flag.contains("true") && by_flag.contains("flag"), "{by_flag}");
    assert!(shown(&["--allow-nfs=false"], "true").contains("false"));
}

#[test]
fn a_root_that_is_no_folder_is_refused_and_one_that_is_a_link_is_fine() {
    let world = World::new();
    let root = world.root();
    fs::remove_dir(&root).unwrap();
    fs::write(&root, "").unwrap();
    refused(&world, &world.watcher("marie").output().unwrap(), 78, &["is not a folder", "mv "]);
    fs::remove_file(&root).unwrap();
    symlink(world.path().join("nowhere"), &root).unwrap();
    refused(&world, &world.watcher("marie").output().unwrap(), 78, &["leads nowhere", "ln -sfn"]);
    fs::create_dir(world.path().join("nowhere")).unwrap();
    let watcher = world.up("marie");
    world.submit("marie/pending", "t", &json!({"prompt": "fake: succeed"}));
    world.filed("marie/completed", "t");
    assert_eq!(watcher.stop(), 0);
}

#[test]
fn a_state_folder_that_is_a_link_or_a_file_is_refused() {
    for name in ["tasks/marie/active", "tasks/marie/failed", "workers/marie", "artifacts", "tasks"] {
        let world = laid_out();
        let here = world.root().join(name);
        fs::rename(&here, world.path().join("aside")).unwrap();
        symlink(world.path().join("aside"), &here).unwrap();
        let output = world.watcher("marie").output().unwrap();
        refused(&world, &output, 78, &["is a symbolic link", "remove the link", name]);
        fs::remove_file(&here).unwrap();
        fs::write(&here, "").unwrap();
        refused(&world, &world.watcher("marie").output().unwrap(), 78, &["is not a folder", name]);
    }
}

#[test]
fn a_root_that_may_not_be_written_is_refused_as_a_matter_of_permission() {
    let world = World::unprivileged();
    assert_eq!(world.up("marie").stop(), 0);
    for name in ["", "tasks/marie/active", "workers/marie"] {
        let here = world.root().join(name);
        let mode = fs::metadata(&here).unwrap().permissions();
        let closed = if name.is_empty() { 0 } else { 0o500 };
        fs::set_permissions(&here, fs::Permissions::from_mode(closed)).unwrap();
        let output = world.watcher("marie").output().unwrap();
        fs::set_permissions(&here, mode).unwrap();
        refused(&world, &output, 77, &["may not be read and written", "chown", name]);
    }
}

#[test]
fn a_root_that_everybody_may_write_is_worked_on_with_a_warning() {
    let world = World::new();
    let warned = |world: &World| logged(world, "marie", "may be written by everybody").len();
    fs::set_permissions(world.root(), fs::Permissions::from_mode(0o1777)).unwrap();
    assert_eq!(world.up("marie").stop(), 0);
    assert_eq!(warned(&world), 0, "a sticky one is a decision");
    fs::set_permissions(world.root(), fs::Permissions::from_mode(0o777)).unwrap();
    assert_eq!(world.up("marie").stop(), 0);
    assert_eq!(warned(&world), 1, "{}", world.said());
}

#[test]
fn trying_a_root_out_leaves_nothing_behind() {
    let world = laid_out();
    let watcher = world.up("marie");
    world.filed("marie/completed", "t");
    assert_eq!(watcher.stop(), 0);
    let all = Command::new("find").arg(world.root()).args(["-name", ".*probe*"]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&all.stdout), "");
    assert!(Path::new(&world.root()).is_dir());
}

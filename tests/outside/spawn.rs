//! An agent that cannot be started: nothing is charged, the reason and the way out are told, and the worker goes on by
//! itself once it is mended.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::http::{code, get};
use crate::sight::{agent, logged, state, watcher_with};
use crate::world::{Started, World};

/// A watcher with a face whose agent is `claude`.
fn up(world: &World, claude: &Path) -> Started {
    let flags = [("--metrics-addr", "127.0.0.1:0"), ("--claude-bin", claude.to_str().unwrap())];
    let watcher = world.start(&mut watcher_with(world, "marie", &flags), "marie");
    world.at_work("marie", &watcher);
    watcher
}

/// What is written where an agent should be, with a mode.
fn lay(world: &World, content: &[u8], mode: u32) -> PathBuf {
    let claude = world.home().join("claude");
    fs::write(&claude, content).unwrap();
    fs::set_permissions(&claude, fs::Permissions::from_mode(mode)).unwrap();
    claude
}

/// The worker holds, says `why` and a way out everywhere, and has charged nothing; once `mend` is done it goes on.
fn holds_until_mended(world: &World, watcher: &Started, why: &str, mend: impl FnOnce()) {
    world.submit("marie/pending", "t", &json!({"prompt": "fake: succeed text=at last"}));
    world.submit("marie/pending", "u", &json!({"prompt": "fake: succeed"}));
    let held = state(world, "marie", |it| it["hold"]["reason"].as_str().is_some_and(|it| it.contains(why)));
    assert_eq!(held["status"], "degraded", "{held}");
    assert!(held["hold"]["remedy"].as_str().is_some_and(|it| !it.is_empty()), "{held}");
    let health = world.until("its health tells", || {
        Some(get(world.address("marie"), "/health")).filter(|it| code(it) == "503")
    });
    assert!(health.contains(&why.replace('"', "\\\"")), "{why}: {health}");
    let shown = world.agentctl(&["status"]);
    assert!(String::from_utf8_lossy(&shown.stdout).contains(why), "{shown:?}");
    if !why.contains("is a directory") {
        assert!(!logged(world, "marie", why).is_empty(), "{}", world.said());
    }
    // Nothing is lost or charged meanwhile; one of the two has tried.
    for name in ["t", "u"] {
        let waiting: Value = world.filed("marie/pending", name);
        assert!(waiting["retry_count"].is_null() || waiting["retry_count"] == 0, "{waiting}");
        let attempts = waiting["attempts"].as_array().cloned().unwrap_or_default();
        assert!(attempts.iter().all(|it| it["charged"] == false), "{waiting}");
    }
    mend();
    watcher.signal(Signal::SIGHUP);
    assert_eq!(world.filed("marie/completed", "t")["result"], "at last");
    world.filed("marie/completed", "u");
    let calm = state(world, "marie", |it| it["status"] == "running");
    assert!(calm["hold"].is_null(), "{calm}");
}

/// An ELF file for a machine that this is not.
fn for_another_machine(world: &World) -> Vec<u8> {
    let mut bytes = fs::read(world.program("fake-claude")).unwrap()[..4096].to_vec();
    // e_machine (elf(5)): 22 is IBM's S/390.
    bytes[18..20].copy_from_slice(&22_u16.to_le_bytes());
    bytes
}

#[test]
fn a_program_that_is_none_is_told_by_what_it_is() {
    type Content<'a> = &'a dyn Fn(&World) -> Vec<u8>;
    let kinds: [(Content<'_>, u32, &str); 5] = [
        (&|_| b"not a program".to_vec(), 0o644, "it may not be executed"),
        (&for_another_machine, 0o755, "neither a program for this machine"),
        (
            &|_| b"echo a script without its first line\n".to_vec(),
            0o755,
            "neither a program for this machine",
        ),
        (
            &|_| b"#!/no/such/interpreter -x\n".to_vec(),
            0o755,
            "its interpreter `/no/such/interpreter` is not there",
        ),
        (&|_| b"#!/tmp\n".to_vec(), 0o755, "interpreter"),
    ];
    for (content, mode, why) in kinds {
        let world = World::new();
        let content = content(&world);
        let claude = lay(&world, &content, mode);
        let watcher = up(&world, &claude);
        holds_until_mended(&world, &watcher, why, || mend(&world, &claude));
    }
}

fn mend(world: &World, claude: &Path) {
    if claude.is_dir() {
        fs::remove_dir(claude).unwrap();
    } else {
        fs::remove_file(claude).unwrap();
    }
    fs::hard_link(world.program("fake-claude"), claude).unwrap();
}

#[test]
fn a_directory_in_its_place_is_told() {
    let world = World::new();
    let claude = world.home().join("claude");
    fs::create_dir(&claude).unwrap();
    let watcher = up(&world, &claude);
    holds_until_mended(&world, &watcher, "is a directory", || mend(&world, &claude));
}

#[test]
fn a_program_that_is_being_updated_is_waited_for() {
    let world = World::new();
    let claude = world.home().join("claude");
    fs::copy(world.program("fake-claude"), &claude).unwrap();
    let writer = fs::File::options().append(true).open(&claude).unwrap();
    let watcher = up(&world, &claude);
    holds_until_mended(&world, &watcher, "it is being written right now", || drop(writer));
}

/// Sets a limit of a running process, the hard one aside, as the user whose it is.
fn limit(world: &World, watcher: &Started, what: &str, value: &str) {
    let mut command = Command::new("prlimit");
    command.arg(format!("--pid={}", watcher.pid())).arg(format!("--{what}={value}:"));
    if let Some(uid) = world.uid {
        command.uid(uid).gid(uid);
    }
    assert!(command.status().unwrap().success());
}

#[test]
fn without_processes_or_threads_it_waits_and_lives() {
    let world = World::unprivileged();
    let claude = world.program("fake-claude");
    let watcher = up(&world, &claude);
    world.submit("", "before", &json!({"prompt": "fake: succeed"}));
    world.filed("marie/completed", "before");
    let limits = fs::read_to_string(format!("/proc/{}/limits", watcher.pid())).unwrap();
    let before =
        limits.lines().find_map(|line| line.strip_prefix("Max processes")?.split_whitespace().next());
    limit(&world, &watcher, "nproc", "1");
    let mend = || limit(&world, &watcher, "nproc", before.unwrap());
    holds_until_mended(&world, &watcher, "no more processes", mend);
    assert_eq!(watcher.stop(), 0);
}

#[test]
fn without_descriptors_it_loses_nothing() {
    let world = World::new();
    let claude = world.program("fake-claude");
    let watcher = up(&world, &claude);
    let open = fs::read_dir(format!("/proc/{}/fd", watcher.pid())).unwrap().count();
    limit(&world, &watcher, "nofile", &open.to_string());
    for n in 0..5 {
        world.submit("marie/pending", &format!("t{n}"), &json!({"prompt": "fake: succeed"}));
    }
    world.until("it has noticed", || (!logged(&world, "marie", "os error 24").is_empty()).then_some(()));
    limit(&world, &watcher, "nofile", "1024");
    watcher.signal(Signal::SIGHUP);
    for n in 0..5 {
        let task = world.filed("marie/completed", &format!("t{n}"));
        assert_eq!(task["retry_count"], 0, "{task}");
    }
    assert_eq!(watcher.stop(), 0);
}

/// Every program that the watcher starts meets `error`, until this is dropped.
struct Injected(std::process::Child);

impl Injected {
    fn into(watcher: &Started, world: &World, error: &str) -> Option<Self> {
        let trace = world.path().join(format!("strace-{error}"));
        let child = Command::new("strace")
            .args(["-f", "-qq", "-e", "trace=execve", "-e", &format!("inject=execve:error={error}"), "-p"])
            .arg(watcher.pid().to_string())
            .stderr(fs::File::create(&trace).unwrap())
            .spawn();
        let Ok(child) = child else { return None };
        let traced = Self(child);
        let attached = world.until("strace is there or has given up", || {
            let pid = crate::sight::status(watcher.pid(), "TracerPid")?;
            let said = fs::read_to_string(&trace).ok()?;
            (pid != "0" || said.contains("attach")).then_some(pid != "0")
        });
        attached.then_some(traced)
    }
}

impl Drop for Injected {
    fn drop(&mut self) {
        // It lets go of its tracees before it ends.
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(self.0.id().cast_signed()), Signal::SIGTERM).ok();
        self.0.wait().ok();
    }
}

#[test]
fn what_only_the_kernel_can_say_is_told_in_words_too() {
    for (error, why) in [
        ("E2BIG", "are too long"),
        ("ENOMEM", "not enough memory"),
        ("EINVAL", "NUL byte"),
        ("EIO", "the system refused"),
    ] {
        let world = World::new();
        let claude = world.program("fake-claude");
        let watcher = up(&world, &claude);
        let Some(injected) = Injected::into(&watcher, &world, error) else {
            assert!(std::env::var_os("REQUIRE_REAL").is_none(), "strace(1) cannot be used here");
            println!("skipped: strace(1) cannot be used here");
            return;
        };
        holds_until_mended(&world, &watcher, why, || drop(injected));
    }
}

#[test]
fn a_working_directory_that_is_gone_is_not_taken_for_a_missing_program() {
    let world = World::new();
    let claude = world.program("fake-claude");
    let here = world.path().join("here");
    fs::create_dir(&here).unwrap();
    let flags = [("--claude-bin", claude.to_str().unwrap())];
    let mut command = watcher_with(&world, "marie", &flags);
    let watcher = world.start(command.arg("--workdir-root").arg(&here), "marie");
    world.at_work("marie", &watcher);
    let repo = here.join("repo");
    fs::create_dir(&repo).unwrap();
    let task = json!({"prompt": "fake: cwd", "workdir": repo.to_str().unwrap()});
    world.submit("", "there", &task);
    assert_eq!(world.filed("marie/completed", "there")["result"], repo.to_str().unwrap());
    fs::remove_dir(&repo).unwrap();
    world.submit("", "gone", &task);
    let gone = world.filed("marie/failed", "gone");
    assert_eq!(gone["error_code"], "E002", "{gone}");
    assert!(gone["failure_reason"].as_str().unwrap().contains("repo"), "{gone}");
    world.submit("", "next", &json!({"prompt": "fake: hang"}));
    agent(&world, "next");
}

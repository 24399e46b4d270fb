//! The root, its worker, and what is around it.

use std::fs;
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use serde_json::json;

use super::world::World;
use super::{Said, ask, doctor, real};

#[test]
fn a_healthy_worker_has_nothing_bad_about_it() {
    let world = World::new();
    let watcher = world.up("marie");
    let said = ask(&world, &[]);
    assert_eq!(said.code, 0, "{:#?}", said.checks);
    said.says("claude", "ok", &["2.1.330"]);
    said.says("root", "ok", &["locks lock"]);
    said.says("worker", "ok", &["marie: alive"]);
    said.says("clock", "ok", &["agree"]);
    said.says("log", "ok", &["is writable"]);
    said.says("supervisor", "warn", &["none is acting"]);
    assert_eq!(said.told("locks", "warn"), [""; 0], "the living watcher's lock files are held");
    assert_eq!(watcher.stop(), 0);
    ask(&world, &[]).says("worker", "warn", &["no watcher is running", "watcher --worker marie"]);
    let left: Vec<String> = fs::read_dir(world.root().join("artifacts"))
        .unwrap()
        .flatten()
        .map(|it| it.file_name().to_string_lossy().into_owned())
        .collect();
    assert_eq!(left, [""; 0], "the doctor leaves nothing behind");
}

#[test]
fn a_folder_that_is_a_link_or_a_scratch_that_is_not_ours_is_a_matter_of_the_setup() {
    let world = World::new();
    assert_eq!(world.up("marie").stop(), 0);
    let scratch = world.root().join("scratch/marie");
    fs::remove_dir_all(&scratch).unwrap();
    std::os::unix::fs::symlink("/tmp", &scratch).unwrap();
    let said = ask(&world, &[]);
    assert_eq!(said.code, 78);
    said.says("scratch", "bad", &["no scratch of ours"]);
    fs::remove_file(&scratch).unwrap();
    let active = world.root().join("tasks/marie/active");
    fs::rename(&active, world.root().join("elsewhere")).unwrap();
    std::os::unix::fs::symlink(world.root().join("elsewhere"), &active).unwrap();
    let said = ask(&world, &[]);
    assert_eq!(said.code, 78);
    said.says("root", "bad", &["symbolic link", "put the folder itself back"]);
}

#[test]
fn a_file_in_a_pipes_place_is_told_and_left_alone() {
    let world = World::new();
    assert_eq!(world.up("marie").stop(), 0);
    let pipe = world.root().join("pipes/marie.in");
    fs::remove_file(&pipe).ok();
    fs::write(&pipe, "pause\n").unwrap();
    let said = ask(&world, &["--fix"]);
    said.says("pipe", "warn", &["marie.in", "is no named pipe", "mkfifo"]);
    assert_eq!(fs::read_to_string(&pipe).unwrap(), "pause\n", "it may be somebody's");
}

#[test]
fn a_port_that_somebody_else_has_is_told_with_who_has_it() {
    // Where the port is not ours to take, somebody else has it, which is as good.
    let ours = TcpListener::bind("127.0.0.1:9093");
    let world = World::new();
    assert_eq!(world.up("fabien").stop(), 0);
    let said = ask(&world, &[]);
    said.says("port", "warn", &["9093, of fabien, is taken by", "Alertmanager", "--metrics-addr"]);
    if ours.is_ok() {
        said.says("port", "warn", &[&format!("(pid {})", std::process::id())]);
    }
}

#[test]
fn what_is_left_of_a_run_that_nobody_works_on_is_found() {
    let world = World::new();
    let watcher = world.up("marie");
    world.submit("marie/pending", "x", &json!({"prompt": "say hello"}));
    let task = world.filed("marie/completed", "x");
    let mut stray = Command::new("sleep");
    stray.arg("300").env_clear().env("AGENT_RUN_ID", task["run_id"].as_str().unwrap());
    stray.env("HOME", world.home()).stdin(Stdio::null());
    let mut stray = stray.spawn().unwrap();
    world.until("it has become what it is", || {
        let comm = fs::read_to_string(format!("/proc/{}/comm", stray.id())).ok()?;
        (comm == "sleep\n").then_some(())
    });
    ask(&world, &[]).says("processes", "warn", &[&format!("kill {}", stray.id())]);
    stray.kill().unwrap();
    stray.wait().unwrap();
    assert_eq!(ask(&world, &[]).told("processes", "warn"), [""; 0]);
    assert_eq!(watcher.stop(), 0);
}

#[test]
fn whoever_looks_as_another_user_hears_that() {
    if !nix::unistd::geteuid().is_root() {
        return real::skip("only root can become other users");
    }
    let world = World::new();
    assert_eq!(world.up("marie").stop(), 0);
    let mut command = doctor(&world, &[]);
    let said = Said::of(command.uid(65534).gid(65534));
    said.says("user", "warn", &["as uid 65534", "sudo -H -u '#0'"]);
    said.says("root", "bad", &["may not be read and written by the worker's user"]);
    assert_eq!(said.code, 78);
}

#[test]
fn a_disk_that_is_nearly_full_stops_the_work() {
    let world = World::new();
    assert_eq!(world.up("marie").stop(), 0);
    let small = world.path().join("small");
    fs::create_dir(&small).unwrap();
    let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=16m", "none"]).arg(&small).output();
    if !mounted.is_ok_and(|it| it.status.success()) {
        return real::skip("only root can mount a small disk");
    }
    let copied = Command::new("cp").arg("-a").arg(world.root()).arg(&small).status().unwrap();
    assert!(copied.success());
    let mut command = world.command("agentctl");
    command.arg("--root").arg(small.join("shared")).args(["doctor", "--json", "--claude-bin"]);
    command.arg(world.program("fake-claude")).arg("--log-dir").arg(world.logs());
    let roomy = Said::of(&mut command);
    fs::write(small.join("ballast"), vec![0; 15 << 20]).unwrap();
    let full = Said::of(&mut command);
    Command::new("umount").arg("-l").arg(&small).status().unwrap();
    assert_eq!(roomy.code, 0, "{:#?}", roomy.checks);
    roomy.says("root", "warn", &["kept in memory"]);
    assert_eq!(full.code, 69, "{:#?}", full.checks);
    full.says("space", "bad", &["MiB left"]);
}

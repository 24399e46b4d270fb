//! Tasks that work on a git repository: in place, in a worktree of their own, or beside it. The real git, the stand-in agent,
//! and no root.

#![cfg(feature = "test-support")]
#![allow(
    clippy::disallowed_methods,
    reason = "a test plays the user: it makes repositories and looks into them"
)]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on ends")]

#[path = "../support/sight.rs"]
mod sight;
#[path = "../support/world.rs"]
mod world;

mod deaths;
mod place;
mod said;
mod worktrees;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use world::{Started, World, json as read_json};

/// Where repositories are.
fn repos(world: &World) -> PathBuf {
    let dir = world.path().join("repos");
    fs::create_dir_all(&dir).unwrap();
    own(world, &dir);
    dir
}

fn own(world: &World, path: &Path) {
    if let Some(uid) = world.uid {
        nix::unistd::chown(path, Some(uid.into()), Some(uid.into())).unwrap();
    }
}

/// Runs git in `dir` as the world's user, and gives what it prints.
fn git(world: &World, dir: &Path, args: &[&str]) -> String {
    let output = try_git(world, dir, args);
    assert!(output.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
}

fn try_git(world: &World, dir: &Path, args: &[&str]) -> std::process::Output {
    use std::os::unix::process::CommandExt;
    let mut command = Command::new("git");
    command.args(args).current_dir(dir).env_clear().env("PATH", "/usr/local/bin:/usr/bin:/bin");
    command.env("HOME", world.path().join("nobody"));
    for who in ["AUTHOR", "COMMITTER"] {
        command.env(format!("GIT_{who}_NAME"), "a person").env(format!("GIT_{who}_EMAIL"), "p@example.org");
    }
    if let Some(uid) = world.uid {
        command.uid(uid).gid(uid);
    }
    command.output().unwrap()
}

/// A repository with one commit: `a.txt` and `sub/b.txt`, and `*.log` ignored.
fn repository(world: &World, name: &str) -> PathBuf {
    let dir = repos(world).join(name);
    fs::create_dir_all(dir.join("sub")).unwrap();
    own(world, &dir);
    own(world, &dir.join("sub"));
    for (file, text) in [("a.txt", "one\ntwo\n"), ("sub/b.txt", "three\n"), (".gitignore", "*.log\n")] {
        write(world, &dir.join(file), text);
    }
    git(world, &dir, &["init", "-q", "-b", "main"]);
    git(world, &dir, &["add", "-A"]);
    git(world, &dir, &["commit", "-q", "-m", "first"]);
    dir
}

fn write(world: &World, path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    own(world, path);
}

fn up(world: &World, worker: &str, more: &[&str]) -> Started {
    let mut command = world.watcher(worker);
    command.arg("--workdir-root").arg(repos(world)).args(more);
    let watcher = world.start(&mut command, worker);
    world.at_work(worker, &watcher);
    watcher
}

/// The artifacts of a filed task.
fn artifacts(world: &World, task: &Value) -> PathBuf {
    world.root().join("artifacts").join(task["run_id"].as_str().unwrap())
}

fn result(world: &World, task: &Value) -> Value {
    read_json(&artifacts(world, task).join("result.json")).unwrap()
}

fn patch(world: &World, task: &Value) -> String {
    fs::read_to_string(artifacts(world, task).join("changes.patch")).unwrap()
}

/// The names in a patch.
fn files_of(patch: &str) -> Vec<&str> {
    patch
        .lines()
        .filter_map(|line| line.strip_prefix("diff --git a/")?.split_once(' ').map(|it| it.0))
        .collect()
}

fn task(prompt: &str, workdir: &Path, mode: Option<&str>) -> Value {
    let mut task = json!({"prompt": prompt, "workdir": workdir});
    if let Some(mode) = mode {
        task["workdir_mode"] = json!(mode);
    }
    task
}

/// A clone of `repo` at its commit `base`, to try patches in.
fn clone_at(world: &World, repo: &Path, base: &str) -> PathBuf {
    let dir = repos(world).join(format!("clone-{}", uuid::Uuid::now_v7()));
    git(
        world,
        &repos(world),
        &["clone", "-q", "--no-hardlinks", repo.to_str().unwrap(), dir.to_str().unwrap()],
    );
    git(world, &dir, &["checkout", "-q", base]);
    dir
}

/// How many objects a repository has.
fn objects(world: &World, repo: &Path) -> String {
    git(world, repo, &["count-objects", "-v"])
}

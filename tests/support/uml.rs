//! A kernel of its own, which runs as a program of this machine (User Mode Linux) and sees its files: its mounts, limits,
//! modules and clock are nobody else's.

#![allow(dead_code, reason = "each test uses its own part")]
#![allow(clippy::disallowed_methods, reason = "a test plays whoever switches a machine on")]
#![allow(
    clippy::unwrap_used,
    clippy::unwrap_in_result,
    clippy::panic,
    reason = "a test that cannot go on ends"
)]

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use crate::real;
use crate::world::{PATIENCE, World, until};

/// Boots one whose first process is `script` of this repository, with the folder of our programs as its argument; what
/// that said in lines `SAID name value`, by name. It has to say `SAID over`, and to switch itself off.
pub(crate) fn booted(world: &World, script: &str) -> Option<BTreeMap<String, String>> {
    let kernel = real::program("linux.uml")?;
    if !nix::unistd::geteuid().is_root() {
        real::skip("a kernel that sees all files needs root");
        return None;
    }
    for program in ["watcher", "supervisor", "agentctl", "fake-claude"] {
        world.program(program);
    }
    let (init, out) = (world.path().join("init"), world.path().join("console"));
    let script = format!("{}/{script}", env!("CARGO_MANIFEST_DIR"));
    let bin = world.path().join("bin");
    fs::write(&init, format!("#!/bin/sh\nexec /bin/sh {script} {}\n", bin.display())).unwrap();
    fs::set_permissions(&init, fs::Permissions::from_mode(0o755)).unwrap();
    let mut kernel = Command::new(kernel)
        .args(["mem=768M", "rootfstype=hostfs", "rootflags=/", "rw", "con=null", "con0=null,fd:1", "quiet"])
        .arg(format!("init={}", init.display()))
        .arg(format!("uml_dir={}", world.path().display()))
        .env("TMPDIR", world.path())
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(fs::File::create(&out).unwrap())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let text = || String::from_utf8_lossy(&fs::read(&out).unwrap_or_default()).into_owned();
    // It switches itself off at the end; until then it has as long as it goes on to say something.
    let mut heard = 0;
    let over = loop {
        let news = until(PATIENCE, || {
            let is_over = kernel.try_wait().unwrap().is_some();
            let length = fs::metadata(&out).unwrap().len();
            (is_over || length > heard).then_some((is_over, length))
        });
        match news {
            Some((false, length)) => heard = length,
            Some((true, _)) => break true,
            None => break false,
        }
    };
    // It is several processes, and one of them does not take the others along.
    killpg(Pid::from_raw(kernel.id().cast_signed()), Signal::SIGKILL).ok();
    kernel.wait().unwrap();
    let said = text();
    assert!(over && said.contains("SAID over"), "{said}");
    let lines = said.lines().filter_map(|line| line.trim().strip_prefix("SAID ")?.split_once(' '));
    Some(lines.map(|(name, value)| (name.to_owned(), value.trim().to_owned())).collect())
}

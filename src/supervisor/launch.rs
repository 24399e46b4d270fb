//! Starting a watcher: its own process group, nothing to read, and a file to write into.
//!
//! Invariants:
//! - nothing of the supervisor is needed by a watcher once it runs: no pipe, no terminal, no parent;
//! - what it prints is kept, also when it dies before its log is open.

#![expect(clippy::disallowed_methods, reason = "the one place of the supervisor that builds a command line")]

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::config::{SupervisorConfig, WorkerSpec};
use crate::layout::Layout;
use crate::os::durable;
use crate::os::trouble::Trouble;
use crate::task::WorkerName;

/// Beyond this size what a watcher printed is put aside, at its next start or while it runs.
const OUT_BYTES_MAX: u64 = 16 << 20;
/// How much of the end is looked at for what it said last.
const TAIL_BYTES: u64 = 4096;
/// What a supervisor's own service manager told it, and no watcher may answer.
const NOT_FOR_WATCHERS: [&str; 5] =
    ["NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "LISTEN_FDS", "LISTEN_PID"];

/// Where a watcher writes what it prints.
#[derive(Debug)]
pub(super) struct Printed {
    /// The file.
    pub(super) path: PathBuf,
    file: File,
}

/// Opens `<log-dir>/<worker>.out`, or below the root where the log directory is not ours to write.
pub(super) fn printed(config: &SupervisorConfig, worker: &WorkerName) -> io::Result<Printed> {
    let below = Layout::new(&config.root).logs();
    let there = open_out(&config.log.dir, worker).or_else(|_| {
        durable::make_dir(&below, durable::DIR_MODE)?;
        open_out(&below, worker)
    });
    there.or_else(|error| match Trouble::of(&error) {
        // A watcher without a file for its words is better than none; its log says the same as soon as it can.
        Some(_) => nowhere(),
        None => Err(error),
    })
}

fn nowhere() -> io::Result<Printed> {
    let path = PathBuf::from("/dev/null");
    Ok(Printed { file: OpenOptions::new().write(true).open(&path)?, path })
}

fn open_out(dir: &Path, worker: &WorkerName) -> io::Result<Printed> {
    let path = dir.join(format!("{worker}.out"));
    if std::fs::symlink_metadata(&path).is_ok_and(|meta| meta.len() > OUT_BYTES_MAX) {
        durable::replace(&path, &dir.join(format!("{worker}.out.1")))?;
    }
    let mut options = OpenOptions::new();
    options.append(true).create(true).mode(durable::FILE_MODE).custom_flags(nix::libc::O_NOFOLLOW);
    Ok(Printed { file: options.open(&path)?, path })
}

/// Puts aside what the watcher of `worker` has printed so far, where that is much: it writes on into the same file, so
/// the file is copied and emptied. A line between the two is in the watcher's own log.
pub(super) fn bound(config: &SupervisorConfig, worker: &WorkerName) -> io::Result<()> {
    for dir in [config.log.dir.clone(), Layout::new(&config.root).logs()] {
        let path = dir.join(format!("{worker}.out"));
        if std::fs::symlink_metadata(&path).is_ok_and(|meta| meta.is_file() && meta.len() > OUT_BYTES_MAX) {
            let mut options = OpenOptions::new();
            let file = options.read(true).write(true).custom_flags(nix::libc::O_NOFOLLOW).open(&path)?;
            std::fs::copy(&path, dir.join(format!("{worker}.out.1")))?;
            file.set_len(0)?;
        }
    }
    Ok(())
}

/// The command that starts the watcher of `spec`.
pub(super) fn command(
    watcher: &Path,
    config: &SupervisorConfig,
    spec: &WorkerSpec,
    printed: &Printed,
) -> io::Result<Command> {
    let mut command = Command::new(watcher);
    command
        .args(config.watcher_args(spec))
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(printed.file.try_clone()?)
        .stderr(printed.file.try_clone()?);
    for name in NOT_FOR_WATCHERS {
        command.env_remove(name);
    }
    Ok(command)
}

/// The program `name` that stands beside this one.
pub(super) fn beside_us(name: &str) -> io::Result<PathBuf> {
    Ok(std::env::current_exe()?.with_file_name(name))
}

/// The last lines in a file of what a watcher printed, those that say something.
pub(super) fn last_words(path: &Path) -> String {
    let tail = read_tail(path).unwrap_or_default();
    let text = String::from_utf8_lossy(&tail);
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    let last = &lines[lines.len().saturating_sub(4)..];
    if last.is_empty() { "nothing".to_owned() } else { last.join("\n    ") }
}

fn read_tail(path: &Path) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(TAIL_BYTES)))?;
    let mut bytes = Vec::new();
    file.take(TAIL_BYTES).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::config::{Environment, Given, Manner, Origin, Settings};

    #[test]
    fn what_a_watcher_prints_for_months_is_put_aside_while_it_prints() {
        let dir = tempfile::tempdir().unwrap();
        let given = |key, value: &Path| Given {
            key,
            values: vec![value.display().to_string()],
            origin: Origin::Flag,
        };
        let given = vec![given("root", &dir.path().join("root")), given("log_dir", dir.path())];
        let config =
            SupervisorConfig::resolve(Manner::Up, &mut Settings::new(given, None), &Environment::of(&[]))
                .unwrap();
        let marie = &config.workers[0].name;
        let Printed { path, mut file } = printed(&config, marie).unwrap();
        file.set_len(OUT_BYTES_MAX).unwrap();
        bound(&config, marie).unwrap();
        assert!(!dir.path().join("marie.out.1").exists(), "not too much yet");
        file.write_all(b"last of many\n").unwrap();
        bound(&config, marie).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().len(), 0);
        assert!(last_words(&dir.path().join("marie.out.1")).ends_with("last of many"));
        file.write_all(b"goes on\n").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "goes on\n");
    }
}

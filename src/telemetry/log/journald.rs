//! The journal's own protocol: where standard error is systemd's journal, a line goes there with its fields, so that
//! `journalctl TASK_ID=…` finds it and `PRIORITY` is right.
//!
//! Invariants:
//! - what the journal does not take, since it is gone, full or the line too long for it, stands on standard error;
//! - an entry is one datagram of `NAME=value` lines, in which no value can pose as a further field: it has no newline;
//! - a journal that hangs holds up this thread for [`PATIENCE`] a line, and nobody else.
//!
//! The protocol: `systemd.io/JOURNAL_NATIVE_PROTOCOL`, `systemd.journal-fields(7)`; `JOURNAL_STREAM`: `systemd.exec(5)`.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tracing::Level;

use super::record::Record;
use super::style;

/// Where the journal listens.
pub(super) const SOCKET: &str = "/run/systemd/journal/socket";
const PATIENCE: Duration = Duration::from_secs(1);
/// The longest name that the journal takes.
const NAME_MAX: usize = 64;
/// Names that mean something to the journal; a field of ours that is called so gets a `_` behind it.
const TAKEN: [&str; 4] = ["MESSAGE", "MESSAGE_ID", "PRIORITY", "SYSLOG_IDENTIFIER"];

/// Whether `fd` is the stream to the journal that `JOURNAL_STREAM` names, `device:inode`.
pub(super) fn is_at(stream: &str, fd: impl AsFd) -> bool {
    let named = stream.split_once(':').and_then(|(device, inode)| {
        let named: (u64, u64) = (device.parse().ok()?, inode.parse().ok()?);
        Some(named)
    });
    let here = fd.as_fd().try_clone_to_owned().and_then(|own| File::from(own).metadata());
    named.is_some() && named == here.ok().map(|meta| (meta.dev(), meta.ino()))
}

/// What is handed to the thread that sends: the entry, and the line for standard error should the journal not take it.
pub(super) fn frame(record: &Record, identifier: &str, line: &str) -> Vec<u8> {
    let entry = entry(record, identifier);
    let length = u32::try_from(entry.len()).unwrap_or(u32::MAX);
    let mut frame = Vec::with_capacity(entry.len() + line.len() + 8);
    frame.extend(length.to_le_bytes());
    frame.extend(entry.as_bytes());
    // How a line on the stream says its level: `sd-daemon(3)`.
    frame.extend(format!("<{}>{line}", priority(record.level)).as_bytes());
    frame
}

fn entry(record: &Record, identifier: &str) -> String {
    let (message, priority) = (style::message(record), priority(record.level));
    let mut entry = format!("MESSAGE={message}\nPRIORITY={priority}\nSYSLOG_IDENTIFIER={identifier}\n");
    for (name, value) in &record.fields {
        // Writing into a `String` cannot fail.
        writeln!(entry, "{}={}", field(name), style::shown(value)).ok();
    }
    entry
}

fn field(name: &str) -> String {
    if name == "task" {
        return "TASK_ID".to_owned();
    }
    let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' };
    let name: String = name.chars().map(plain).collect();
    // Names that begin otherwise are the journal's own.
    let name = name.trim_start_matches(|c: char| !c.is_ascii_uppercase());
    let mut name = name.get(..NAME_MAX).unwrap_or(name).to_owned();
    if name.is_empty() {
        name.push_str("FIELD");
    }
    if TAKEN.contains(&name.as_str()) {
        name.push('_');
    }
    name
}

const fn priority(level: Level) -> u8 {
    match level {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        Level::DEBUG | Level::TRACE => 7,
    }
}

/// Sends frames to the journal, and what it does not take to standard error.
#[derive(Debug)]
pub(super) struct Journald<W> {
    socket: UnixDatagram,
    path: PathBuf,
    stderr: W,
}

/// A socket to send from.
pub(super) fn socket() -> io::Result<UnixDatagram> {
    let socket = UnixDatagram::unbound()?;
    socket.set_write_timeout(Some(PATIENCE))?;
    Ok(socket)
}

impl<W> Journald<W> {
    pub(super) fn new(socket: UnixDatagram, path: &Path, stderr: W) -> Self {
        Self { socket, path: path.to_owned(), stderr }
    }
}

impl<W: Write> Write for Journald<W> {
    fn write(&mut self, frame: &[u8]) -> io::Result<usize> {
        let (length, rest) = frame.split_first_chunk().ok_or(io::ErrorKind::InvalidData)?;
        let length = usize::try_from(u32::from_le_bytes(*length)).unwrap_or(usize::MAX);
        let (entry, line) = rest.split_at_checked(length).ok_or(io::ErrorKind::InvalidData)?;
        // By its path each time: a journal that was restarted is found again.
        if self.socket.send_to(entry, &self.path).is_err() {
            self.stderr.write_all(line)?;
        }
        Ok(frame.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stderr.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    fn record(fields: &[(&str, Value)]) -> Record {
        Record {
            time: "2025-12-24T14:35:22.123Z".parse().unwrap(),
            level: Level::WARN,
            message: "it\nbegan".to_owned(),
            fields: fields.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect(),
        }
    }

    #[test]
    fn an_entry_is_a_readable_line_with_its_fields_and_nothing_can_be_smuggled_in() {
        let record = record(&[
            ("worker", "marie".into()),
            ("task", "t1".into()),
            ("run_id", "r".into()),
            ("priority", 5.into()),
            ("_pid", "x\nWORKER=anga".into()),
            ("9 odd", true.into()),
            ("--", 1.into()),
        ]);
        assert_eq!(
            entry(&record, "watcher"),
            "MESSAGE=it\\nbegan task=t1 run_id=r priority=5 _pid=x\\nWORKER=anga 9 odd=true --=1\n\
             PRIORITY=4\nSYSLOG_IDENTIFIER=watcher\nWORKER=marie\nTASK_ID=t1\nRUN_ID=r\nPRIORITY_=5\n\
             PID=x\\nWORKER=anga\nODD=true\nFIELD=1\n"
        );
        assert_eq!(field(&"n".repeat(300)).len(), NAME_MAX);
    }

    #[test]
    fn a_stream_is_the_journal_only_if_it_is_the_very_one() {
        let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempfile().unwrap());
        let file = File::create(dir.path().join("stream")).unwrap();
        let meta = file.metadata().unwrap();
        let stream = format!("{}:{}", meta.dev(), meta.ino());
        assert!(is_at(&stream, &file));
        assert!(!is_at(&stream, &other));
        for text in ["", ":", "1", "a:b", &format!("{stream}:1")] {
            assert!(!is_at(text, &file), "{text}");
        }
    }

    #[test]
    fn what_the_journal_does_not_take_stands_on_standard_error() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("socket");
        let mut said = Vec::new();
        let mut log = Journald::new(socket().unwrap(), &path, &mut said);
        let line = |text: &str| frame(&record(&[("text", text.into())]), "watcher", &format!("{text}\n"));
        log.write_all(&line("nobody is there")).unwrap();
        let journal = UnixDatagram::bind(&path).unwrap();
        log.write_all(&line("heard")).unwrap();
        // More than a datagram can be.
        let huge = "x".repeat(2 << 20);
        log.write_all(&line(&huge)).unwrap();
        drop(journal);
        std::fs::remove_file(&path).unwrap();
        let again = UnixDatagram::bind(&path).unwrap();
        log.write_all(&line("heard again")).unwrap();
        let mut entry = [0; 1024];
        let n = again.recv(&mut entry).unwrap();
        assert!(String::from_utf8_lossy(&entry[..n]).ends_with("TEXT=heard again\n"));
        assert_eq!(String::from_utf8(said).unwrap(), format!("<4>nobody is there\n<4>{huge}\n"));
    }

    #[test]
    fn a_journal_that_hangs_costs_a_second_a_line_and_no_line() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("socket");
        let journal = UnixDatagram::bind(&path).unwrap();
        let filler = UnixDatagram::unbound().unwrap();
        filler.set_nonblocking(true).unwrap();
        while filler.send_to(b"more", &path).is_ok() {}
        let mut said = Vec::new();
        let mut log = Journald::new(socket().unwrap(), &path, &mut said);
        log.write_all(&frame(&record(&[]), "watcher", "unheard\n")).unwrap();
        assert_eq!(said, b"<4>unheard\n");
        drop(journal);
    }
}

//! One line to the system's log, where there is one: runbooks look there for what happened to a machine.

use std::io;
use std::os::unix::net::UnixDatagram;
use std::path::Path;

/// Where syslog and journald listen (`syslog(3)`, `systemd-journald(8)`).
pub const SOCKET: &str = "/dev/log";
/// Facility daemon (3), severity error (3): RFC 3164, section 4.1.1.
const PRIORITY: u8 = 3 * 8 + 3;

/// Says `text` as an error of a daemon. It never waits: a log that is full or absent is an error.
pub fn error(socket: &Path, text: &str) -> io::Result<()> {
    let to = UnixDatagram::unbound()?;
    to.set_nonblocking(true)?;
    to.connect(socket)?;
    let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    to.send(format!("<{PRIORITY}>agent-worker[{}]: {line}", std::process::id()).as_bytes()).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_arrives_as_one_record_and_nobody_there_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let log = UnixDatagram::bind(&path).unwrap();
        error(&path, "oom-killer: marie\nforged").unwrap();
        let mut record = [0; 256];
        let n = log.recv(&mut record).unwrap();
        let pid = std::process::id();
        assert_eq!(
            String::from_utf8_lossy(&record[..n]),
            format!("<27>agent-worker[{pid}]: oom-killer: marie forged")
        );
        drop(log);
        assert!(error(&path, "x").is_err());
    }
}

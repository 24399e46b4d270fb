//! Who listens on a port, as far as `/proc` tells: other users' programs stay unseen without root.
//!
//! It deliberately does not claim more than it sees; several programs may share a port on different addresses.

use std::fs;

/// Who listens on a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listener {
    /// Nobody.
    Nobody,
    /// Somebody whose program we may not see.
    Unseen,
    /// A program.
    Program {
        /// Its process.
        pid: u32,
        /// Its name.
        name: String,
    },
}

/// The program that listens on `port`, with its pid.
pub(super) fn of_port(port: u16) -> Option<String> {
    match on_port(port) {
        Listener::Program { pid, name } => Some(format!("`{name}` (pid {pid})")),
        Listener::Nobody | Listener::Unseen => None,
    }
}

/// Who listens on `port`, on whichever address.
pub fn on_port(port: u16) -> Listener {
    let inodes: Vec<String> = ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .filter_map(|table| fs::read_to_string(table).ok())
        .flat_map(|table| listeners(&table, port))
        .collect();
    if inodes.is_empty() {
        return Listener::Nobody;
    }
    let sockets: Vec<_> = inodes.iter().map(|inode| format!("socket:[{inode}]")).collect();
    let pids = fs::read_dir("/proc").into_iter().flatten();
    let pid = pids
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok())
        .find(|pid| has_one_of(*pid, &sockets));
    pid.map_or(Listener::Unseen, |pid| {
        let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        Listener::Program { pid, name: name.trim_end().escape_debug().to_string() }
    })
}

/// The inodes of the sockets that listen on `port`, from the text of `/proc/net/tcp` (`proc_net(5)`).
fn listeners(table: &str, port: u16) -> Vec<String> {
    const LISTEN: &str = "0A";
    table
        .lines()
        .skip(1)
        .filter_map(|line| {
            let columns: Vec<_> = line.split_whitespace().collect();
            let (_, local) = columns.get(1)?.rsplit_once(':')?;
            let same = u16::from_str_radix(local, 16).ok()? == port && *columns.get(3)? == LISTEN;
            same.then(|| columns.get(9).map(|inode| (*inode).to_owned())).flatten()
        })
        .collect()
}

fn has_one_of(pid: u32, sockets: &[String]) -> bool {
    let Ok(fds) = fs::read_dir(format!("/proc/{pid}/fd")) else { return false };
    fds.filter_map(|fd| fs::read_link(fd.ok()?.path()).ok())
        .any(|target| target.to_str().is_some_and(|target| sockets.iter().any(|socket| socket == target)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_listening_sockets_of_that_port_count() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
             0: 0100007F:2383 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 111 1 0 100 0 0 10 0\n\
             1: 0100007F:2383 0100007F:D431 01 00000000:00000000 00:00000000 00000000     0        0 222 1 0 20 4 30 10 -1\n\
             2: 00000000:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 333 1 0 100 0 0 10 0\n";
        assert_eq!(listeners(table, 9091), ["111"]);
        assert_eq!(listeners(table, 22), ["333"]);
        assert_eq!(listeners("garbage\nmore garbage\n", 22), [""; 0]);
    }
}

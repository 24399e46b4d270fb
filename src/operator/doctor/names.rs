//! Whether the workers' names lead anywhere from here: runbooks ask `http://marie:9091`, in a container and at the host's
//! shell. Thin.

use std::net::ToSocketAddrs;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// How long a name may take; whoever asks a DNS that does not answer waits for many seconds.
const PATIENCE: Duration = Duration::from_secs(2);

/// Those of `names` that lead nowhere, in their order; one that is not answered in time is none of them.
pub(super) fn astray(names: Vec<String>) -> Vec<String> {
    let asked: Vec<_> = names.into_iter().map(|name| (ask(&name), name)).collect();
    let leads_nowhere = |answer: &mpsc::Receiver<bool>| answer.recv_timeout(PATIENCE) == Ok(false);
    asked.into_iter().filter(|(answer, _)| leads_nowhere(answer)).map(|(_, name)| name).collect()
}

fn ask(name: &str) -> mpsc::Receiver<bool> {
    let (tell, answer) = mpsc::channel();
    let host = name.to_owned();
    thread::spawn(move || {
        let leads = (host.as_str(), 0).to_socket_addrs().is_ok_and(|mut found| found.next().is_some());
        // Nobody listens any more to what comes late.
        tell.send(leads).ok();
    });
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_leads_somewhere_and_a_name_that_nobody_can_have_does_not() {
        // RFC 6761: `.invalid` never is one; a resolver that is slow to say so is not waited for.
        let names = ["127.0.0.1", "no-such-worker.invalid"].map(str::to_owned).to_vec();
        assert!(!astray(names).contains(&"127.0.0.1".to_owned()));
    }
}

//! The verdict: what is known about a death, weighed. Pure.

use std::fmt;
use std::time::Duration;

use nix::libc;
use nix::sys::signal::Signal;

use crate::os::process::Exit;
use crate::telemetry::report::{Kind, Report};

use super::host::HostSays;
use super::reason::CrashReason;

/// What the kernel's log says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum KernelSays {
    /// Nobody asked.
    #[default]
    NotAsked,
    /// It ended the process for want of memory: its line.
    Killed(String),
    /// Nothing about this process.
    Nothing,
    /// It cannot be read from here, and why.
    Unreadable(String),
}

/// What the machine's own counter says about the moment of a death in a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Struck {
    /// How many the kernel ended on this machine for want of memory, from the last sign of life on.
    pub kills: u64,
    /// How long ago that sign was, when they were counted.
    pub within: Duration,
    /// How much of its limit the container used at that sign, in percent; 0 without a limit.
    pub percent: u64,
}

/// Everything that is known about a death.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Evidence {
    /// The process, where that is known.
    pub pid: Option<i32>,
    /// How it ended, where we are its parent.
    pub exit: Option<Exit>,
    /// What whoever ran it says.
    pub host: Option<HostSays>,
    /// The report that it left.
    pub report: Option<Report>,
    /// What the kernel's log says about it.
    pub kernel: KernelSays,
    /// How many processes of its cgroup were ended for want of memory in its last seconds, where that is counted.
    pub cgroup_kills: Option<u64>,
    /// What was struck on the whole machine, where it lived in a container that kept its count.
    pub struck: Option<Struck>,
    /// Whether it belonged to an earlier boot.
    pub rebooted: bool,
    /// What it said last.
    pub said: String,
    /// Why we ended it ourselves.
    pub ended_for: Option<String>,
}

/// Why, in a word and in a sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The word.
    pub reason: CrashReason,
    /// What happened, where, and what to do.
    pub text: String,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.reason, self.text)
    }
}

/// How long after its last sign a container that died may be looked at, for the machine's counter to mean it: a beat, and
/// the time in which Docker starts the next one.
const AT_ONCE: Duration = Duration::from_secs(10);
/// How full a container was that runs out of memory within a beat, in percent: the kills of others are counted too, and an
/// idle watcher uses a hundredth.
const FILLED: u64 = 25;
/// What to do about memory.
const MORE_MEMORY: &str =
    "give it more (MemoryMax=, mem_limit) or let fewer agents run at once (--concurrency)";

/// Weighs what is known. The surest witness speaks first: the kernel, the host, its own report, its exit status.
pub fn decide(evidence: &Evidence) -> Verdict {
    let exit = evidence.exit.or_else(|| evidence.host.as_ref().and_then(|host| host.exit));
    let (reason, text) = by_memory(evidence, exit)
        .or_else(|| by_itself(evidence))
        .or_else(|| by_us(evidence))
        .or_else(|| by_exit(evidence, exit))
        .unwrap_or_else(|| by_nothing(evidence));
    Verdict { reason, text }
}

type Found = (CrashReason, String);

fn by_memory(evidence: &Evidence, exit: Option<Exit>) -> Option<Found> {
    let oom = |text: String| Some((CrashReason::OomKilled, format!("{text}; {MORE_MEMORY}")));
    let who = who(evidence);
    if let KernelSays::Killed(line) = &evidence.kernel {
        return oom(format!("the kernel's OOM killer ended {who}: {line}"));
    }
    if let Some(host) = evidence.host.as_ref().filter(|host| host.oom) {
        return oom(format!("the kernel's OOM killer ended {who}: {}", host.text));
    }
    let killed = exit == Some(Exit::Signal(libc::SIGKILL));
    match evidence.cgroup_kills {
        Some(kills) if kills > 0 && killed && evidence.ended_for.is_none() => oom(format!(
            "{who} was killed in the moment in which the kernel's OOM killer struck in its cgroup ({kills} killed)"
        )),
        Some(_) | None => by_the_machine(evidence, exit).and_then(oom),
    }
}

/// A container that vanished without a word in the very seconds in which memory ran out.
fn by_the_machine(evidence: &Evidence, exit: Option<Exit>) -> Option<String> {
    let struck = evidence.struck.filter(|it| it.kills > 0 && it.within <= AT_ONCE && it.percent >= FILLED)?;
    let may_be = exit.is_none_or(|exit| exit == Exit::Signal(libc::SIGKILL));
    let told = evidence.report.is_some() || evidence.rebooted || evidence.ended_for.is_some();
    (may_be && !told).then(|| {
        format!(
            "the container of {} ended without a word, {} % of its memory in use, and within the same {} s the kernel's OOM killer struck on this machine ({} killed)",
            who(evidence),
            struck.percent,
            struck.within.as_secs() + 1,
            struck.kills
        )
    })
}

/// It left a report, or never had the chance.
fn by_itself(evidence: &Evidence) -> Option<Found> {
    if evidence.rebooted {
        let text = "the machine was restarted or lost its power while it was at work; `last -x` shows which";
        return Some((CrashReason::HostRestarted, text.to_owned()));
    }
    let report = evidence.report.as_ref()?;
    let (said, path) = (&report.said, report.path.display());
    Some(match report.kind {
        Kind::Panic => (
            CrashReason::Panicked,
            format!(
                "a bug ended it: {said}; the report with its backtrace is {path}: please send it to the developers"
            ),
        ),
        Kind::Stalled => (
            CrashReason::Hung,
            format!(
                "it ended itself, for {said}; see {path}, and look whether the disk below the root answers"
            ),
        ),
    })
}

fn by_us(evidence: &Evidence) -> Option<Found> {
    let why = evidence.ended_for.as_ref()?;
    Some((
        CrashReason::Hung,
        format!("the supervisor ended it: {why}; look whether the disk below the root answers"),
    ))
}

fn by_exit(evidence: &Evidence, exit: Option<Exit>) -> Option<Found> {
    match exit? {
        Exit::Signal(number) => Some((CrashReason::Signalled(number), signalled(number, evidence))),
        Exit::Code(code) => {
            let said = last_words(&evidence.said);
            let meaning = match code {
                75 => "it asked to be tried again later: a disk that is full or does not answer",
                77 => {
                    "it is not allowed to what it needs: look at the owner and mode of the root, the log and the scratch"
                }
                78 => "its configuration is wrong, or another watcher has this worker",
                64 => "its command line is wrong",
                70 => "a fault of its own",
                _ => "for a reason of its own",
            };
            Some((CrashReason::Exited(code), format!("it ended with exit status {code}, {meaning}{said}")))
        }
    }
}

fn signalled(number: i32, evidence: &Evidence) -> String {
    let host = evidence.host.as_ref().map(|host| format!(" ({})", host.text)).unwrap_or_default();
    if number == libc::SIGKILL {
        let kernel = match &evidence.kernel {
            KernelSays::Nothing => "the kernel's log shows no OOM kill of it".to_owned(),
            KernelSays::Unreadable(why) => {
                format!("whether memory ran out cannot be read here ({why}); `dmesg` as root shows it")
            }
            KernelSays::NotAsked | KernelSays::Killed(_) => "memory was not looked at".to_owned(),
        };
        return format!(
            "killed by signal 9, sender unknown{host}: {kernel}; a person, a script or the host sent it"
        );
    }
    let name = Signal::try_from(number).map(|it| format!(" ({it})")).unwrap_or_default();
    let own = [libc::SIGSEGV, libc::SIGBUS, libc::SIGILL, libc::SIGFPE, libc::SIGABRT].contains(&number);
    let meaning = if own {
        "a bug, or memory or a disk that fails; a core dump shows where (ulimit -c, coredumpctl)"
    } else {
        "a person, a script or the host sent it"
    };
    format!("killed by signal {number}{name}{host}: {meaning}")
}

fn by_nothing(evidence: &Evidence) -> Found {
    let memory = match (&evidence.kernel, evidence.cgroup_kills) {
        (_, Some(kills)) if kills > 0 => {
            format!("; the OOM killer struck in its cgroup at that time ({kills} killed)")
        }
        (KernelSays::Nothing, _) => "; the kernel's log shows no OOM kill of it".to_owned(),
        (KernelSays::Unreadable(_), _) if evidence.struck.is_some_and(|it| it.kills > 0) => {
            let kills = evidence.struck.map_or(0, |it| it.kills);
            format!("; the OOM killer struck on this machine since ({kills} killed)")
        }
        (KernelSays::Unreadable(_), _) if evidence.struck.is_some() => {
            "; the OOM killer did not strike on this machine, so a person, a script or the host ended its container".to_owned()
        }
        (KernelSays::Unreadable(why), _) => format!("; the kernel's log cannot be read here ({why})"),
        (KernelSays::NotAsked | KernelSays::Killed(_), _) => String::new(),
    };
    let text =
        format!("it left no word, and nobody who saw its exit status told{memory}; its log may say more");
    (CrashReason::Unknown, text)
}

fn who(evidence: &Evidence) -> String {
    evidence.pid.map_or_else(|| "the watcher".to_owned(), |pid| format!("the watcher (pid {pid})"))
}

fn last_words(said: &str) -> String {
    let said = said.trim();
    if said.is_empty() || said == "nothing" { String::new() } else { format!(". It said: {said}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(kind: Kind) -> Report {
        Report { kind, path: "/r/workers/marie/x.txt".into(), said: "panicked at a.rs:1".to_owned() }
    }

    fn host(result: &str, exit: Exit) -> HostSays {
        let oom = result == "oom-kill";
        HostSays { exit: Some(exit), oom, text: format!("systemd: Result={result}") }
    }

    fn judged(evidence: Evidence) -> (CrashReason, String) {
        let Verdict { reason, text } = decide(&Evidence { pid: Some(77), ..evidence });
        (reason, text)
    }

    const KILL: Option<Exit> = Some(Exit::Signal(9));

    #[test]
    fn a_container_that_vanished_while_memory_ran_out_is_told_by_the_machines_counter() {
        let used =
            |percent, kills, seconds| Some(Struck { kills, within: Duration::from_secs(seconds), percent });
        let struck = |kills, seconds| used(60, kills, seconds);
        let none = Evidence::default;
        for (evidence, reason) in [
            (Evidence { struck: struck(1, 2), ..none() }, CrashReason::OomKilled),
            (Evidence { struck: struck(1, 2), exit: KILL, ..none() }, CrashReason::OomKilled),
            (Evidence { struck: struck(0, 2), ..none() }, CrashReason::Unknown),
            (Evidence { struck: used(1, 1, 2), ..none() }, CrashReason::Unknown),
            (Evidence { struck: struck(1, 600), ..none() }, CrashReason::Unknown),
            (Evidence { struck: struck(1, 2), rebooted: true, ..none() }, CrashReason::HostRestarted),
            (
                Evidence { struck: struck(1, 2), report: Some(report(Kind::Panic)), ..none() },
                CrashReason::Panicked,
            ),
            (
                Evidence { struck: struck(1, 2), exit: Some(Exit::Code(70)), ..none() },
                CrashReason::Exited(70),
            ),
            (Evidence { struck: struck(1, 2), ended_for: Some("hung".into()), ..none() }, CrashReason::Hung),
        ] {
            let (had, text) = judged(evidence.clone());
            assert_eq!(had, reason, "{evidence:?}: {text}");
        }
        let kernel = KernelSays::Unreadable("no".to_owned());
        let (_, text) = judged(Evidence { struck: struck(3, 600), kernel: kernel.clone(), ..none() });
        assert!(text.contains("3 killed"), "told, not concluded: {text}");
        let (_, text) = judged(Evidence { struck: struck(0, 600), kernel, ..none() });
        assert!(text.contains("did not strike"), "{text}");
    }

    #[test]
    fn the_surest_witness_is_believed() {
        let killed = || KernelSays::Killed("Out of memory: Killed process 77 (watcher)".to_owned());
        let none = Evidence::default;
        for (evidence, reason, word) in [
            (
                Evidence { exit: KILL, kernel: killed(), ..none() },
                CrashReason::OomKilled,
                "Killed process 77",
            ),
            (Evidence { kernel: killed(), ..none() }, CrashReason::OomKilled, "MemoryMax"),
            (
                Evidence { host: Some(host("oom-kill", Exit::Signal(9))), ..none() },
                CrashReason::OomKilled,
                "Result=oom-kill",
            ),
            (Evidence { exit: KILL, cgroup_kills: Some(1), ..none() }, CrashReason::OomKilled, "its cgroup"),
            (
                Evidence { exit: Some(Exit::Signal(6)), report: Some(report(Kind::Panic)), ..none() },
                CrashReason::Panicked,
                "a.rs:1",
            ),
            (
                Evidence { report: Some(report(Kind::Stalled)), ..none() },
                CrashReason::Hung,
                "/r/workers/marie/x.txt",
            ),
            (
                Evidence { exit: KILL, ended_for: Some("no beat for 61 s".into()), ..none() },
                CrashReason::Hung,
                "61 s",
            ),
            (
                Evidence { exit: KILL, cgroup_kills: Some(1), ended_for: Some("hung".into()), ..none() },
                CrashReason::Hung,
                "hung",
            ),
            (Evidence { rebooted: true, ..none() }, CrashReason::HostRestarted, "power"),
            (Evidence { exit: Some(Exit::Signal(11)), ..none() }, CrashReason::Signalled(11), "SIGSEGV"),
            (
                Evidence { host: Some(host("exit-code", Exit::Code(1))), ..none() },
                CrashReason::Exited(1),
                "exit status 1",
            ),
            (
                Evidence { exit: Some(Exit::Code(77)), said: "EACCES on x".into(), ..none() },
                CrashReason::Exited(77),
                "EACCES on x",
            ),
            (Evidence { exit: Some(Exit::Code(75)), ..none() }, CrashReason::Exited(75), "disk"),
            (Evidence { exit: Some(Exit::Code(78)), ..none() }, CrashReason::Exited(78), "configuration"),
            (none(), CrashReason::Unknown, "no word"),
        ] {
            let (had, text) = judged(evidence.clone());
            assert_eq!(had, reason, "{evidence:?}: {text}");
            assert!(text.contains(word), "{evidence:?}: {text}");
        }
    }

    #[test]
    fn a_kill_alone_is_never_called_memory() {
        for kernel in [KernelSays::Nothing, KernelSays::Unreadable("denied".to_owned()), KernelSays::NotAsked]
        {
            for cgroup_kills in [None, Some(0)] {
                let (reason, text) = judged(Evidence {
                    exit: KILL,
                    kernel: kernel.clone(),
                    cgroup_kills,
                    ..Evidence::default()
                });
                assert_eq!(reason, CrashReason::Signalled(9));
                assert!(text.starts_with("killed by signal 9, sender unknown"), "{text}");
                assert_eq!(reason.failure(), "worker_crash");
            }
        }
        // Somebody in the group was ended, and of our own end nothing is known: that is told, not concluded.
        let (reason, text) = judged(Evidence { cgroup_kills: Some(2), ..Evidence::default() });
        assert_eq!(reason, CrashReason::Unknown);
        assert!(text.contains("2 killed"), "{text}");
    }

    #[test]
    fn what_is_told_of_an_end_is_what_it_means() {
        let unreadable = || KernelSays::Unreadable("denied".to_owned());
        let none = Evidence::default;
        for (evidence, word, never) in [
            (Evidence { exit: Some(Exit::Code(64)), ..none() }, "64, its command line is wrong", ". It said"),
            (Evidence { exit: Some(Exit::Code(70)), ..none() }, "70, a fault of its own", "reason"),
            (Evidence { exit: Some(Exit::Code(77)), ..none() }, "77, it is not allowed", "reason"),
            (Evidence { exit: Some(Exit::Code(3)), said: " x ".into(), ..none() }, "own. It said: x", "  "),
            (
                Evidence { exit: Some(Exit::Code(3)), said: "nothing".into(), ..none() },
                "of its own",
                "nothing",
            ),
            (Evidence { kernel: unreadable(), ..none() }, "cannot be read here (denied)", "container"),
            (
                Evidence { cgroup_kills: Some(0), kernel: KernelSays::Nothing, ..none() },
                "no OOM kill",
                "killed)",
            ),
            (Evidence { exit: KILL, cgroup_kills: Some(1), ..none() }, "the watcher (pid 77)", "of its own"),
        ] {
            let (_, text) = judged(evidence.clone());
            assert!(text.contains(word) && !text.contains(never), "{evidence:?}: {text}");
        }
    }
}

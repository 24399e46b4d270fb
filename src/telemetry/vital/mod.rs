//! Whether a worker that holds its lock lives, and if it gives no sign, why. Pure: signs in, a verdict out.
//!
//! | lock | last sign | its process | the disk | verdict |
//! |---|---|---|---|---|
//! | free | - | - | - | dead |
//! | held | young, in the file | - | - | beating |
//! | held | young, but only by the file's age | - | - | mute: it cannot write |
//! | held | none yet | - | - | starting |
//! | held | old | stopped (`SIGSTOP`) | - | suspended |
//! | held | old | waits in the kernel (state D) | - | blocked: no signal reaches it |
//! | held | old | there, gone, or not to be seen | full, read-only or silent | mute |
//! | held | old | gone | in order | unseen: whoever holds the lock is not who last beat |
//! | held | old | there, or not to be seen | in order | hung |
//!
//! Invariant: a worker on a disk that takes no writes is never said to hang for the want of a heartbeat; whoever
//! restarted it for that would restart it for ever. It deliberately does not know what is done about a verdict.

mod look;

use std::time::Duration;

pub use look::{disk, look};

/// How old the last sign of a worker may be; it gives one a second.
pub const STALE: Duration = Duration::from_secs(10);

/// What can be seen of a worker's process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProcessSeen {
    /// It runs, or waits for something to do.
    Alive,
    /// It was stopped by a signal, or is being traced.
    Stopped,
    /// It waits in the kernel, most likely for a disk.
    Blocked,
    /// There is none of its number, or it is another one's by now.
    Gone,
    /// It lives in another PID namespace, or nobody knows its number.
    Unseen,
}

impl ProcessSeen {
    /// What the state in `/proc/<pid>/stat` says (`proc(5)`); `None`: no such process.
    pub const fn of_state(state: Option<char>) -> Self {
        match state {
            None | Some('Z' | 'X' | 'x') => Self::Gone,
            Some('T' | 't') => Self::Stopped,
            Some('D') => Self::Blocked,
            Some(_) => Self::Alive,
        }
    }
}

/// Everything that the verdict is made from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signs {
    /// Whether somebody holds the lock of the worker's folder.
    pub held: bool,
    /// How old the heartbeat is, by its content; `None` without one.
    pub beat: Option<Duration>,
    /// How old the file is that it stands in: where it cannot be written it is touched, which needs no room.
    pub touched: Option<Duration>,
    /// The process that beat last.
    pub process: ProcessSeen,
    /// Why the disk below the root takes no writes, if it takes none.
    pub disk: Option<String>,
}

/// The verdict.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Vital {
    /// Nobody holds the lock.
    Dead,
    /// It has given no sign yet.
    Starting,
    /// It is well.
    Beating,
    /// It lives, and cannot write that it does; why, where that is known.
    Mute(Option<String>),
    /// It was stopped, and gives a sign when it goes on.
    Suspended,
    /// It waits in the kernel, where no signal reaches it.
    Blocked,
    /// The lock is held, and not by the process that beat last.
    Unseen,
    /// It gives no sign, and nothing else explains that.
    Hung(Duration),
}

/// Judges; a sign is old after `stale`.
pub fn judge(signs: &Signs, stale: Duration) -> Vital {
    if !signs.held {
        return Vital::Dead;
    }
    let young = |age: Option<Duration>| age.is_some_and(|age| age <= stale);
    if young(signs.beat) {
        return Vital::Beating;
    }
    let Some(beat) = signs.beat else {
        return signs.disk.clone().map_or(Vital::Starting, |why| Vital::Mute(Some(why)));
    };
    if young(signs.touched) {
        return Vital::Mute(signs.disk.clone());
    }
    match signs.process {
        ProcessSeen::Stopped => Vital::Suspended,
        ProcessSeen::Blocked => Vital::Blocked,
        ProcessSeen::Alive | ProcessSeen::Unseen | ProcessSeen::Gone => match &signs.disk {
            Some(why) => Vital::Mute(Some(why.clone())),
            None if signs.process == ProcessSeen::Gone => Vital::Unseen,
            None => Vital::Hung(signs.touched.map_or(beat, |touched| beat.min(touched))),
        },
    }
}

impl Vital {
    /// The word for tables and programs.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Dead => "dead",
            Self::Starting => "starting",
            Self::Beating => "beating",
            Self::Mute(_) => "mute",
            Self::Suspended => "suspended",
            Self::Blocked => "blocked",
            Self::Unseen => "unseen",
            Self::Hung(_) => "hung",
        }
    }

    /// What there is to say about it, and what to do; `None` where all is well or the lock says it all.
    pub fn trouble(&self) -> Option<(String, &'static str)> {
        match self {
            Self::Dead | Self::Starting | Self::Beating => None,
            Self::Mute(why) => Some((
                format!(
                    "it lives and cannot write its heartbeat: {}",
                    why.as_deref().unwrap_or("the disk refused it")
                ),
                "mend the disk, or make room: it goes on by itself; a restart would help nothing",
            )),
            Self::Suspended => Some((
                "its process was stopped by a signal".to_owned(),
                "let it go on: `kill -CONT PID`, or `fg` in the shell that stopped it",
            )),
            Self::Blocked => Some((
                "its process waits in the kernel, most likely for a disk".to_owned(),
                "look at `dmesg` and the disk; no signal reaches it until the disk answers",
            )),
            Self::Unseen => Some((
                "its lock is held, but not by the process that gave the last sign".to_owned(),
                "`fuser -v` on the worker's folder shows who holds it",
            )),
            Self::Hung(silent) => Some((
                format!("no sign for {} s, though it is there and the disk takes writes", silent.as_secs()),
                "look at its log; then `kill PID`, and `kill -9 PID` if it does not go: its agents live on and are \
                 adopted",
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const YOUNG: Option<Duration> = Some(Duration::from_secs(1));
    const OLD: Option<Duration> = Some(Duration::from_hours(1));

    #[test]
    fn a_stale_heartbeat_on_a_disk_that_takes_no_writes_is_no_hang() {
        use ProcessSeen as P;
        let full = || Some("only 0 MiB left".to_owned());
        let mute = || Vital::Mute(full());
        let hour = Duration::from_hours(1);
        for (held, beat, touched, process, disk, verdict) in [
            (false, YOUNG, YOUNG, P::Alive, None, Vital::Dead),
            (false, OLD, OLD, P::Gone, full(), Vital::Dead),
            (true, YOUNG, YOUNG, P::Alive, None, Vital::Beating),
            (true, YOUNG, OLD, P::Unseen, full(), Vital::Beating),
            (true, None, None, P::Unseen, None, Vital::Starting),
            (true, None, None, P::Unseen, full(), mute()),
            (true, OLD, YOUNG, P::Alive, full(), mute()),
            (true, OLD, YOUNG, P::Alive, None, Vital::Mute(None)),
            (true, OLD, OLD, P::Alive, full(), mute()),
            (true, OLD, OLD, P::Unseen, full(), mute()),
            (true, OLD, OLD, P::Stopped, full(), Vital::Suspended),
            (true, OLD, OLD, P::Stopped, None, Vital::Suspended),
            (true, OLD, OLD, P::Blocked, full(), Vital::Blocked),
            (true, OLD, OLD, P::Gone, None, Vital::Unseen),
            (true, OLD, OLD, P::Gone, full(), mute()),
            (true, OLD, OLD, P::Alive, None, Vital::Hung(hour)),
            (true, OLD, OLD, P::Unseen, None, Vital::Hung(hour)),
        ] {
            let signs = Signs { held, beat, touched, process, disk };
            assert_eq!(judge(&signs, STALE), verdict, "{signs:?}");
        }
    }

    #[test]
    fn the_states_of_a_process_are_those_of_proc() {
        for (state, seen) in [
            (None, ProcessSeen::Gone),
            (Some('Z'), ProcessSeen::Gone),
            (Some('S'), ProcessSeen::Alive),
            (Some('R'), ProcessSeen::Alive),
            (Some('T'), ProcessSeen::Stopped),
            (Some('D'), ProcessSeen::Blocked),
        ] {
            assert_eq!(ProcessSeen::of_state(state), seen, "{state:?}");
        }
    }

    #[test]
    fn whatever_is_wrong_is_said_with_what_to_do() {
        for vital in
            [Vital::Mute(None), Vital::Suspended, Vital::Blocked, Vital::Unseen, Vital::Hung(Duration::ZERO)]
        {
            assert!(vital.trouble().is_some_and(|(_, remedy)| !remedy.is_empty()), "{vital:?}");
        }
        assert!(Vital::Beating.trouble().is_none());
    }
}

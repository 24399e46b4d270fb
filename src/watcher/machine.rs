//! The machine's memory: whether there is enough to start an agent, and for how many.
//!
//! What is short stays so until a quarter more than the reserve is free, so that nothing flaps at the edge. Of a small
//! machine or group the reserve is at most an eighth. Above it each start still has to find room: agents that began a
//! moment ago do not show in the numbers yet, so they are counted with what they are about to take.

use std::sync::{Mutex, PoisonError};

use super::cli;
use super::core::{Event, Room};
use super::scale;
use super::shell::Looping;
use crate::agent::disposition::Holding;
use crate::agent::remedy::remedy;
use crate::clock::Ticks;
use crate::config::{AgentKind, Environment, WatcherConfig, show_size};
use crate::os::headroom::{Headroom, Places};
use crate::task::HoldCause;
use crate::telemetry::metrics::Metrics;

/// What a Claude process takes before its first answer, and its tools with it: some 200 to 330 MiB were measured.
const AGENT: u64 = 256 << 20;
/// The part of a small memory that a reserve takes at most: one eighth.
const SHARE: u64 = 8;
/// So much of the time everybody stands still for want of memory: no number of free bytes counts then, in percent.
const STALLED: f64 = 20.0;
/// Half of that, and it is over.
const CALM: f64 = 10.0;

/// The machine, as a worker looks at it.
#[derive(Debug)]
pub(super) struct Machine {
    places: Places,
    /// What an agent takes, in bytes; one that costs nothing takes nothing.
    agent: u64,
    was: Mutex<Was>,
}

/// How it was at the last look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Was {
    /// There was enough.
    #[default]
    Enough,
    /// There was too little.
    Short,
}

/// What a look at it found.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// Why nothing may be claimed.
    pub(super) fault: Option<Holding>,
    /// How many agents there is room for.
    pub(super) room: Room,
}

impl Machine {
    pub(super) fn new(config: &WatcherConfig, environment: &Environment) -> Self {
        let agent = if config.agent == AgentKind::Claude { AGENT } else { 0 };
        Self { places: places(environment), agent, was: Mutex::default() }
    }

    /// Looks whether `reserve` bytes are free; where the kernel does not tell, there is room.
    pub(super) fn look(&self, reserve: u64, metrics: &Metrics) -> Seen {
        let Some(headroom) = Headroom::look(&self.places) else { return Seen::default() };
        metrics.set_memory_left(headroom.left);
        let mut was = self.was.lock().unwrap_or_else(PoisonError::into_inner);
        let why = shortage(&headroom, reserve, *was);
        *was = if why.is_some() { Was::Short } else { Was::Enough };
        let fault = why.map(|reason| Holding {
            cause: HoldCause::Memory,
            reason,
            remedy: remedy(HoldCause::Memory).to_owned(),
            until: None,
        });
        Seen { fault, room: room(&headroom, reserve, self.agent) }
    }
}

impl Looping {
    /// Looks at memory and at the CLI; why nothing may be claimed, where `fault` says nothing worse.
    pub(super) fn stand(&mut self, fault: Option<Holding>, now: Ticks) -> Option<Holding> {
        scale::look(&self.ctx, now);
        let Seen { fault: memory, room } =
            self.ctx.machine.look(self.ctx.config.reserve_memory, &self.ctx.metrics);
        self.on_event(Event::Room(room));
        let looked = cli::look(&self.ctx, &self.errands.tell);
        // Before its fault is known to the core, nothing may slip through.
        self.on_event(Event::Trying(looked != cli::Look::Fit));
        fault.or(memory).or(match looked {
            cli::Look::Unfit(holding) => Some(holding),
            cli::Look::Fit | cli::Look::Trying => None,
        })
    }
}

/// The reserve, of a small memory an eighth.
fn kept(headroom: &Headroom, reserve: u64) -> u64 {
    reserve.min(headroom.total / SHARE)
}

/// Why there is too little, if that is so.
fn shortage(headroom: &Headroom, reserve: u64, was: Was) -> Option<String> {
    if reserve == 0 {
        return None;
    }
    let kept = kept(headroom, reserve);
    let (wanted, calm) =
        if was == Was::Short { (kept.saturating_add(kept / 4), CALM) } else { (kept, STALLED) };
    let whose = headroom.group.as_ref().map_or_else(
        || "the machine has".to_owned(),
        |group| format!("the control group `{}` has", group.display()),
    );
    if headroom.left < wanted {
        let (left, wanted) = (show_size(headroom.left), show_size(wanted));
        return Some(format!("{whose} only {left} of memory left, and nothing is started below {wanted}"));
    }
    (headroom.stalled >= calm).then(|| {
        format!(
            "{whose} stood still for want of memory for {:.0} % of the last ten seconds",
            headroom.stalled
        )
    })
}

/// How many agents may begin, those included that are about to take what they need.
fn room(headroom: &Headroom, reserve: u64, agent: u64) -> Room {
    if agent == 0 || reserve == 0 {
        return Room::Enough;
    }
    let free = headroom.left.saturating_sub(kept(headroom, reserve));
    // One may always try: what it takes shows at a later look.
    Room::For(usize::try_from(free / agent).unwrap_or(usize::MAX).max(1))
}

#[cfg(not(feature = "test-support"))]
fn places(_: &Environment) -> Places {
    Places::default()
}

/// A test may set what the kernel tells, which nobody may do to the machine.
#[cfg(feature = "test-support")]
fn places(environment: &Environment) -> Places {
    environment.get("AGENT_WORKER_MACHINE").map_or_else(Places::default, |dir| {
        let dir = std::path::Path::new(dir);
        Places { proc: dir.join("proc"), cgroup: dir.join("cgroup") }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn left(mib: u64, of_mib: u64) -> Headroom {
        Headroom { left: mib * MIB, total: of_mib * MIB, group: None, stalled: 0.0 }
    }

    #[test]
    fn what_is_short_stays_so_until_a_quarter_more_is_free() {
        for (mib, of_mib, was, is_short) in [
            (256, 8192, Was::Enough, false),
            (255, 8192, Was::Enough, true),
            (319, 8192, Was::Short, true),
            (320, 8192, Was::Short, false),
            // A small machine keeps an eighth.
            (64, 512, Was::Enough, false),
            (63, 512, Was::Enough, true),
        ] {
            let why = shortage(&left(mib, of_mib), 256 * MIB, was);
            assert_eq!(why.is_some(), is_short, "{mib} {of_mib} {was:?}: {why:?}");
        }
        assert_eq!(shortage(&left(0, 8192), 0, Was::Enough), None, "who keeps nothing is never short");
    }

    #[test]
    fn who_is_short_is_named() {
        let group = Headroom { group: Some("/sys/fs/cgroup/x.slice".into()), ..left(100, 4096) };
        let why = shortage(&group, 256 * MIB, Was::Enough).unwrap();
        assert!(
            why.contains("`/sys/fs/cgroup/x.slice`") && why.contains("100MiB") && why.contains("256MiB"),
            "{why}"
        );
        assert!(shortage(&left(100, 4096), 256 * MIB, Was::Enough).unwrap().starts_with("the machine"));
    }

    #[test]
    fn a_machine_that_stands_still_is_short_whatever_is_free() {
        for (stalled, was, is_short) in [
            (19.9, Was::Enough, false),
            (20.0, Was::Enough, true),
            (10.0, Was::Short, true),
            (9.9, Was::Short, false),
        ] {
            let headroom = Headroom { stalled, ..left(4096, 8192) };
            assert_eq!(shortage(&headroom, 256 * MIB, was).is_some(), is_short, "{stalled} {was:?}");
        }
    }

    #[test]
    fn there_is_room_for_as_many_as_fit_above_the_reserve_and_always_for_one() {
        for (mib, reserve, agent, expected) in [
            (1024, 256, 256, Room::For(3)),
            (600, 256, 256, Room::For(1)),
            (256, 256, 256, Room::For(1)),
            (0, 256, 256, Room::For(1)),
            (600, 0, 256, Room::Enough),
            (600, 256, 0, Room::Enough),
        ] {
            assert_eq!(
                room(&left(mib, 8192), reserve * MIB, agent * MIB),
                expected,
                "{mib} {reserve} {agent}"
            );
        }
    }
}

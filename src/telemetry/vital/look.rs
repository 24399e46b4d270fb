//! Looking for the signs of a worker's life. Thin; the verdict is [`super::judge`]'s.

use std::path::Path;
use std::time::Duration;

use super::{ProcessSeen, Signs};
use crate::clock::Clock;
use crate::layout::Layout;
use crate::os::holder::Holder;
use crate::os::lock;
use crate::os::process::identity::{Stat, boot_id};
use crate::os::space;
use crate::task::WorkerName;
use crate::telemetry::heartbeat::Heartbeat;

/// What can be seen of `worker`. A lock that cannot be asked for is taken for held.
pub fn look(layout: &Layout, worker: &WorkerName, clock: &dyn Clock) -> Signs {
    let path = layout.heartbeat(worker);
    let since = |at| Duration::try_from(clock.wall().duration_since(at)).unwrap_or(Duration::ZERO);
    let beat = Heartbeat::read(&path);
    // The boot clock tells it exactly; a beat of another boot only has its time of day.
    let age = |beat: Heartbeat| beat.age(clock.ticks(), &boot_id()).unwrap_or_else(|| since(beat.timestamp));
    Signs {
        held: lock::is_held(&layout.worker(worker)).unwrap_or(true),
        touched: Heartbeat::touched(&path).map(since),
        beat: beat.map(age),
        process: process(&layout.watcher_lock(worker)),
        disk: disk(layout.root()),
    }
}

/// The process that the mirror of the lock names.
fn process(mirror: &Path) -> ProcessSeen {
    let Some(holder) = Holder::read(mirror) else { return ProcessSeen::Unseen };
    match holder.process.is_alive() {
        None => ProcessSeen::Unseen,
        Some(false) => ProcessSeen::Gone,
        Some(true) => ProcessSeen::of_state(Stat::read(holder.process.pid).map(|stat| stat.state)),
    }
}

/// Why nothing can be written below `root`, if that is so.
pub fn disk(root: &Path) -> Option<String> {
    match space::of(root) {
        Ok(space) if space.read_only => Some(format!("`{}` is mounted read-only", root.display())),
        Ok(space) if space.is_out() => Some(format!("the disk of `{}` is full", root.display())),
        Ok(_) => None,
        Err(error) => Some(format!("`{}` does not answer: {error}", root.display())),
    }
}

//! A watcher that is killed at the very moment at which it holds the file: in place of the rename, under the lock.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::json;

use crate::sight;
use crate::syscalls::Call;
use crate::tracer::{Among, Fate, Traced};
use crate::world::World;
use crate::{account, command, limits, starts, up};

#[test]
fn who_is_killed_while_it_holds_the_file_stops_nobody_and_starts_nothing() {
    let world = World::new();
    let flags = [("--api-requests-per-minute", "5")];
    let is_armed = Arc::new(AtomicBool::new(false));
    let armed = Arc::clone(&is_armed);
    let renames: Among = Arc::new(move |call: &Call| {
        armed.load(Ordering::Relaxed) && call.name.starts_with("rename") && call.what.contains("/limits/")
    });
    let marie = Traced::start(&world, &command(&world, "marie", &flags), "marie", renames, Fate::Kill(1));
    let _anga = up(&world, "anga", &flags);
    world.submit("marie/pending", "first", &json!({"prompt": "fake: succeed"}));
    world.filed("marie/completed", "first");
    account(&world, "the file is there", |it| it["per_minute"] == 5);
    is_armed.store(true, Ordering::Relaxed);
    world.submit("marie/pending", "killed", &json!({"prompt": "fake: succeed"}));
    world.until("it is killed", || marie.is_over());
    let hidden = || sight::names(&limits(&world)).into_iter().filter(|it| it.starts_with('.')).count();
    assert_eq!(hidden(), 1, "it had written and not renamed: it held the lock");
    assert_eq!(starts(&world), 1, "what is not written is not used");
    // The others neither wait for it nor have more than there is.
    for n in 0..4 {
        world.submit("anga/pending", &format!("a{n}"), &json!({"prompt": "fake: succeed"}));
    }
    for n in 0..4 {
        world.filed("anga/completed", &format!("a{n}"));
    }
    let _marie = up(&world, "marie", &flags);
    world.filed("marie/completed", "killed");
    assert_eq!((starts(&world), hidden()), (6, 0), "each once, and the next one has tidied up");
}

//! System calls that fail, one error after the other: whatever fails, nothing is lost and nothing is run twice.

use std::fs;
use std::time::Duration;

use serde_json::json;

use crate::faults::{Injection, cpu};
use crate::world::World;
use crate::{at_work, ended_once, let_through, sight, soon};

/// What fails for a while, and how it is called to the person who looks on.
const LASTING: [(&[&str], &str); 10] = [
    (&["fsync:error=EIO", "fdatasync:error=EIO"], "dmesg"),
    (&["fsync:error=ENOSPC", "fdatasync:error=ENOSPC"], "make room"),
    (&["fsync:error=EDQUOT", "fdatasync:error=EDQUOT"], "quota"),
    (&["rename:error=EIO", "renameat:error=EIO", "renameat2:error=EIO"], "dmesg"),
    (&["rename:error=ENOSPC", "renameat:error=ENOSPC", "renameat2:error=ENOSPC"], "make room"),
    (&["rename:error=EDQUOT", "renameat:error=EDQUOT", "renameat2:error=EDQUOT"], "quota"),
    (&["rename:error=EROFS", "renameat:error=EROFS", "renameat2:error=EROFS"], "remount,rw"),
    (&["openat:error=EMFILE"], "LimitNOFILE"),
    (&["openat:error=ENFILE"], "LimitNOFILE"),
    (&["openat:error=EIO"], "dmesg"),
];

/// A run whose end meets a fault that lasts.
fn lasting(what: &[&str], remedy: &str) {
    let world = World::new();
    let watcher = world.up("marie");
    let gate = at_work(&world, "running", "succeed text=kept");
    let Some(fault) = Injection::into(&world, &watcher, what) else { return };
    let_through(&world, &gate, "running");
    fault.bites(&world);
    // The log is open already, and opened again only when it was rotated.
    world.until("it is said what to do", || {
        let said = sight::logged(&world, "marie", "claiming nothing");
        said.iter().any(|it| it["remedy"].as_str().is_some_and(|it| it.contains(remedy))).then_some(())
    });
    let refused = fault.refused().len();
    world.until("it is tried again", || (fault.refused().len() > refused + 2).then_some(()));
    let homes = world.homes("running");
    assert!(homes == ["marie/active"] || homes == ["marie/completed"], "{what:?}: {homes:?}");
    assert!(
        cpu(watcher.pid(), Duration::from_secs(1)) < 25.0,
        "{what:?}: traced, it is slower, but no busy loop"
    );
    assert_eq!(retried_syncs(&fault), [""; 0], "{what:?}: synced once more after its sync had failed");
    drop(fault);
    soon(&world, "it is filed", || {
        world.root().join("tasks/marie/completed/running.json").exists().then_some(())
    });
    assert_eq!(ended_once(&world, "running")["result"], "kept", "{what:?}");
    world.submit("marie/pending", "next", &json!({"prompt": "fake: succeed text=on"}));
    soon(&world, "the next one is filed", || {
        world.root().join("tasks/marie/completed/next.json").exists().then_some(())
    });
    ended_once(&world, "next");
    assert_eq!(watcher.stop(), 0, "{what:?}");
}

/// New files whose sync failed and was tried again: the kernel may have marked their pages clean, so that the second one
/// says yes to data that are nowhere.
fn retried_syncs(fault: &Injection) -> Vec<String> {
    let path =
        |line: &String| Some(line.split_once("sync(")?.1.split_once('<')?.1.split_once('>')?.0.to_owned());
    let failed: Vec<String> =
        fault.refused().iter().filter_map(path).filter(|it| it.contains("/.")).collect();
    let calls = fault.calls();
    let times = |wanted: &String| calls.iter().filter_map(path).filter(|it| it == wanted).count();
    failed.into_iter().filter(|path| times(path) > 1).collect()
}

fn all(cases: &[(&'static [&'static str], &'static str)]) {
    std::thread::scope(|scope| {
        let tries: Vec<_> =
            cases.iter().map(|(what, remedy)| scope.spawn(|| lasting(what, remedy))).collect();
        for it in tries {
            it.join().unwrap();
        }
    });
}

#[test]
fn syncs_and_moves_that_fail_for_a_while() {
    all(&LASTING[..7]);
}

#[test]
fn opens_that_fail_for_a_while() {
    all(&LASTING[7..]);
}

/// One life of a task in which the `when`-th call of each thread fails.
fn once(call: &str, error: &str, when: u32) {
    let world = World::new();
    let watcher = world.up("marie");
    let Some(fault) = Injection::into(&world, &watcher, &[&format!("{call}:error={error}:when={when}")])
    else {
        return;
    };
    world.submit("marie/pending", "t", &json!({"prompt": "fake: succeed text=done"}));
    let task = world.filed("marie/completed", "t");
    let what = format!("{call} {error} {when}: {:?}\n{}", fault.refused(), world.said());
    drop(fault);
    assert_eq!(world.homes("t"), ["marie/completed"], "{what}");
    assert_eq!(task["retry_count"].as_u64().unwrap_or(0), 0, "nothing is charged for a disk: {what}");
    let ends = sight::events(&world, "end", "t").iter().filter(|it| it["code"] == 0).count();
    assert_eq!(ends, 1, "finished once: {what}");
    let run = task["run_id"].as_str().unwrap();
    let concluded = |text: String| text.lines().filter(|it| it.contains("\"event\":\"concluded\"")).count();
    let history = fs::read_to_string(world.root().join(format!("artifacts/{run}/history.ndjson"))).unwrap();
    assert!(concluded(history) >= 1, "{what}");
    assert_eq!(watcher.stop(), 0, "{what}");
}

#[test]
fn a_claim_that_cannot_even_be_undone_is_not_charged() {
    let world = World::new();
    let watcher = world.up("marie");
    // The sixth sync of a claim is the one after the stamp; from there on none works, that of the way back neither.
    let Some(fault) = Injection::into(&world, &watcher, &["fsync:error=EIO:when=6+"]) else { return };
    world.submit("marie/pending", "t", &json!({"prompt": "fake: succeed text=done"}));
    world.until("the claim fails", || {
        (!sight::logged(&world, "marie", "not claimed: the disk refuses").is_empty()).then_some(())
    });
    let stuck = world.active("marie", "t", |task| task["attempts"].is_array());
    assert_eq!(stuck["attempts"][0]["outcome"], json!(null), "{stuck}");
    drop(fault);
    let task = world.filed("marie/completed", "t");
    assert_eq!(task["retry_count"], 0, "{task:#}");
    let charged: Vec<_> =
        task["attempts"].as_array().unwrap().iter().filter(|it| it["charged"] == true).collect();
    assert!(charged.is_empty(), "{task:#}");
    assert_eq!(sight::events(&world, "start", "t").len(), 1);
    assert_eq!(watcher.stop(), 0);
}

#[test]
fn a_single_call_that_fails_anywhere_in_the_life_of_a_task() {
    let cases: Vec<(&str, &str, u32)> = [
        ("fsync", "EIO", 8),
        ("renameat2", "EIO", 2),
        ("renameat2", "ENOSPC", 2),
        ("rename", "ENOSPC", 3),
        ("mkdir", "ENOSPC", 3),
        ("mkdir", "EDQUOT", 3),
    ]
    .iter()
    .flat_map(|(call, error, times)| (1..=*times).map(move |when| (*call, *error, when)))
    .collect();
    for together in cases.chunks(11) {
        std::thread::scope(|scope| {
            let tries: Vec<_> =
                together.iter().map(|(call, error, when)| scope.spawn(|| once(call, error, *when))).collect();
            for it in tries {
                it.join().unwrap();
            }
        });
    }
}

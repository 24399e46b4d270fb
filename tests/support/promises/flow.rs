//! Tasks that come all the while: whatever is done to a worker meanwhile, it is done in the middle of claiming.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use super::{Host, filed, homes, place, submit, told};

/// How many may wait before another one is dropped: enough that there is always one to claim, few to be done in the end.
const WAITING_MAX: usize = 12;

/// Drops tasks for as long as `act` takes; their names. They are called after `tag`.
pub fn during(host: &(impl Host + Sync), tag: &str, act: impl FnOnce()) -> Vec<String> {
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let dropper = scope.spawn(|| {
            let mut names = Vec::new();
            let is_over = || is_over.load(Ordering::SeqCst);
            while !is_over() {
                let name = format!("{tag}-{}", names.len());
                submit(host, &name, "run text=sleep 0.1; succeed text=done", "");
                names.push(name);
                let has_room = || is_over() || tasks(&place(host, "pending")) < WAITING_MAX;
                host.until("there is room for another task", || has_room().then_some(()));
            }
            names
        });
        // Some are claimed before it begins, or nothing would be in the middle.
        let begun = place(host, "completed").join(format!("{tag}-{WAITING_MAX}.json"));
        let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            host.until("tasks go through", || begun.exists().then_some(()));
            act();
        }));
        is_over.store(true, Ordering::SeqCst);
        let names = dropper.join().unwrap();
        ended.unwrap_or_else(|why| std::panic::resume_unwind(why));
        names
    })
}

/// Waits until marie has something in hand, as what is done in the middle has to find.
pub fn is_at_it(host: &impl Host) {
    host.until("something is in hand", || (tasks(&place(host, "active")) > 0).then_some(()));
}

/// Each of them ended well, in one place and after one good attempt, each start of an agent is written down, and none was
/// charged more often than `charged_max`. How often any was.
pub fn ended_once(host: &impl Host, names: &[String], charged_max: u64) -> u64 {
    let mut sum = 0;
    for name in names {
        let task = filed(host, "completed", name);
        assert_eq!(task["result"], "done", "{task}");
        assert_eq!(homes(host, name), [place(host, "completed")], "{name}");
        let attempts = task["attempts"].as_array().unwrap();
        let is_good = |it: &&serde_json::Value| it["outcome"] == "completed";
        assert_eq!(attempts.iter().filter(is_good).count(), 1, "{task}");
        assert!(told(host, name, "start").len() <= attempts.len(), "a start without its attempt: {task}");
        assert!(told(host, name, "overlap").is_empty(), "two agents at once: {task}");
        let charged = attempts.iter().filter(|it| it["charged"] == true).count() as u64;
        assert_eq!(task["retry_count"].as_u64().unwrap_or(0), charged, "{task}");
        assert!(charged <= charged_max, "{task}");
        sum += charged;
    }
    sum
}

/// How many task files are in a folder.
pub fn tasks(dir: &Path) -> usize {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries.filter(|it| it.path().extension().is_some_and(|kind| kind == "json")).count()
}

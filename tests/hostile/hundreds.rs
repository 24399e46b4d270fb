//! Bad drops by the hundred: each alone, with a good one beside it, and all at once in every folder where people drop.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};

use super::rows::{Row, all};
use super::{count, drop_bytes, safe_reason};
use crate::dice::Dice;
use crate::sight::{events, logged, names, place, status, tasks};
use crate::world::{Started, World};

/// Whether every one is tried alone.
fn is_long() -> bool {
    std::env::var("CAMPAIGN").is_ok_and(|it| it == "long")
}

fn seed() -> u64 {
    let given = std::env::var("CAMPAIGN_SEED").ok().and_then(|it| it.parse().ok());
    given.unwrap_or_else(|| u64::from(std::process::id()) ^ jiff::Timestamp::now().as_second().unsigned_abs())
}

/// Its reason has its code and its words, and the file beside it is what was dropped.
fn is_filed(world: &World, worker: &str, row: &Row) -> Result<(), String> {
    let file = format!("{}.json", row.name);
    let reason = safe_reason(world, worker, &file);
    let text = reason["reason"].as_str().unwrap_or_default();
    if reason["error_code"] != row.code || !row.says.iter().any(|part| text.contains(part)) {
        return Err(format!("{}: {:?} in {reason}", row.name, row.says));
    }
    let path = place(world, &format!("{worker}/failed/{file}"));
    let filed = world.until("the file follows its reason", || fs::read(&path).ok());
    if filed == row.bytes { Ok(()) } else { Err(format!("{} is not filed as it was dropped", row.name)) }
}

fn no_complaints(found: Vec<Result<(), String>>) {
    let wrong: Vec<_> = found.into_iter().filter_map(Result::err).collect();
    assert!(wrong.is_empty(), "{} of them:\n{}", wrong.len(), wrong.join("\n"));
}

fn echoing(world: &World, worker: &str) -> Started {
    let mut command = world.watcher(worker);
    let watcher = world.start(command.args(["--agent", "echo", "--durability", "none"]), worker);
    world.at_work(worker, &watcher);
    watcher
}

/// Of each family the first, and some by dice; all of them in the long form.
fn sample(rows: Vec<Row>, some: usize, seed: u64) -> Vec<Row> {
    if is_long() {
        return rows;
    }
    let mut dice = Dice(seed);
    let mut families: BTreeMap<&str, Vec<Row>> = BTreeMap::new();
    for row in rows {
        families.entry(row.family).or_default().push(row);
    }
    let mut chosen: Vec<Row> = families.values_mut().map(|family| family.swap_remove(0)).collect();
    let mut rest: Vec<Row> = families.into_values().flatten().collect();
    while chosen.len() < some && !rest.is_empty() {
        let n = dice.below(rest.len() as u64);
        chosen.push(rest.swap_remove(usize::try_from(n).unwrap()));
    }
    chosen
}

#[test]
fn each_bad_one_alone_is_filed_with_its_reason_and_the_good_one_beside_it_is_done() {
    let seed = seed();
    let rows: Vec<Row> = all().into_iter().filter(|row| !row.settles).collect();
    let chosen = sample(rows, 60, seed);
    let world = World::new();
    let watcher = echoing(&world, "marie");
    let mut found = Vec::new();
    for (n, row) in chosen.iter().enumerate() {
        let dir = ["", "marie/pending", "marie/staged"][n % 3];
        drop_bytes(&world, dir, format!("{}.json", row.name), &row.bytes);
        world.submit(dir, &format!("good{n}"), &json!({"prompt": "beside it"}));
        world.filed("marie/completed", &format!("good{n}"));
        found.push(is_filed(&world, "marie", row));
    }
    let broken = found.iter().filter(|it| it.is_err()).count();
    println!("inputs: seed {seed}, {} points, {broken} broken", chosen.len());
    no_complaints(found);
    assert_eq!(names(&world.root().join("artifacts")).len(), chosen.len(), "nothing began but the good ones");
    assert_eq!(watcher.stop(), 0);
}

#[test]
fn each_that_could_still_be_written_is_filed_alone_when_its_time_is_over() {
    let seed = seed();
    let rows: Vec<Row> = all().into_iter().filter(|row| row.settles).collect();
    // Each has a worker of its own: they wait side by side.
    let chosen = sample(rows, 12, seed);
    let mut found = Vec::new();
    for some in chosen.chunks(12) {
        let worlds: Vec<_> = some
            .iter()
            .map(|row| {
                let world = World::new();
                let watcher = echoing(&world, "marie");
                drop_bytes(&world, "marie/pending", format!("{}.json", row.name), &row.bytes);
                world.submit("marie/pending", "good", &json!({"prompt": "beside it"}));
                (world, watcher, row)
            })
            .collect();
        for (world, watcher, row) in worlds {
            world.filed("marie/completed", "good");
            found.push(is_filed(&world, "marie", row));
            assert_eq!(names(&world.root().join("artifacts")).len(), 1);
            assert_eq!(watcher.stop(), 0);
        }
    }
    let broken = found.iter().filter(|it| it.is_err()).count();
    println!("inputs: seed {seed}, {} points, {broken} broken", chosen.len());
    no_complaints(found);
}

/// Where people drop, and who may take it there.
const FOLDERS: [(&str, &[&str]); 5] = [
    ("", &["marie", "anga"]),
    ("marie/pending", &["marie"]),
    ("marie/staged", &["marie"]),
    ("anga/pending", &["anga"]),
    ("anga/staged", &["anga"]),
];

#[test]
fn all_bad_ones_together_in_all_folders_lose_no_good_one_and_each_is_accounted_for() {
    let rows = all();
    assert!(rows.len() >= 450, "{} rows", rows.len());
    let world = World::new();
    let watchers = ["marie", "anga"].map(|worker| echoing(&world, worker));
    let mut good = 0;
    for (n, row) in rows.iter().enumerate() {
        drop_bytes(&world, FOLDERS[n % FOLDERS.len()].0, format!("{}.json", row.name), &row.bytes);
        if n % 10 == 0 {
            let (dir, _) = FOLDERS[(n / 10) % FOLDERS.len()];
            world.submit(dir, &format!("good{n}"), &json!({"prompt": "in between"}));
            good += 1;
        }
    }
    let in_all = |what: &str, end: &str| -> usize {
        ["marie", "anga"].iter().map(|it| count(&place(&world, &format!("{it}/{what}")), end)).sum()
    };
    world.until_all(good, "good ones are done", || in_all("completed", ".json"));
    world.until_all(rows.len(), "have their verdict", || {
        in_all("failed", ".json").min(in_all("failed", ".reason"))
    });
    let mut found = Vec::new();
    for (n, row) in rows.iter().enumerate() {
        let file = format!("{}.json", row.name);
        let (_, takers) = FOLDERS[n % FOLDERS.len()];
        let taker = takers.iter().find(|it| place(&world, &format!("{it}/failed/{file}")).exists());
        found.push(match taker {
            Some(worker) => is_filed(&world, worker, row),
            None => Err(format!("{} is with nobody who may have it", row.name)),
        });
    }
    no_complaints(found);
    for (folder, _) in FOLDERS {
        assert!(tasks(&world, folder).is_empty(), "{folder}: {:?}", tasks(&world, folder));
    }
    assert_eq!(names(&world.root().join("artifacts")).len(), good, "nothing began but the good ones");
    let said: usize = ["marie", "anga"].iter().map(|it| logged(&world, it, "not a task; moved").len()).sum();
    assert_eq!(said, rows.len(), "one line for each");
    for watcher in watchers {
        let peak: u64 = status(watcher.pid(), "VmHWM").unwrap().trim_end_matches(" kB").parse().unwrap();
        assert!(peak < 128 * 1024, "{peak} kB");
        assert_eq!(watcher.stop(), 0);
    }
    println!("{} bad ones and {good} good ones", rows.len());
}

#[test]
fn the_largest_that_is_still_a_task_is_done_and_so_is_what_only_looks_odd() {
    let world = World::new();
    let watcher = echoing(&world, "marie");
    let pad = |bytes: usize| "x".repeat(bytes);
    let head = r#"{"prompt":"whole","mine":""#;
    let full = format!("{head}{}\"}}", pad((10 << 20) - head.len() - 2));
    assert_eq!(full.len(), 10 << 20);
    let deep = format!(r#"{{"prompt":"x","input":{}1{}}}"#, "[".repeat(99), "]".repeat(99));
    let odd: [(&str, String); 14] = [
        ("full", full),
        ("deepest", deep),
        ("longest-id", format!(r#"{{"prompt":"x","id":"{}"}}"#, "i".repeat(128))),
        ("spaces", format!("{}{{\"prompt\":\"x\"}}{}", "\n".repeat(9000), " \t\r\n".repeat(9000))),
        ("past", r#"{"prompt":"x","not_before":"-009998-01-01T00:00:00Z"}"#.to_owned()),
        ("zone", r#"{"prompt":"x","not_before":"1970-01-01T00:00:00+14:00"}"#.to_owned()),
        ("least", r#"{"prompt":"x","priority":-2147483648}"#.to_owned()),
        ("most", r#"{"prompt":"x","priority":2147483647,"timeout_s":4294967295}"#.to_owned()),
        ("nulls", r#"{"prompt":"x","id":null,"worker":null,"held":false,"input":null}"#.to_owned()),
        ("huge", r#"{"prompt":"x","mine":123456789012345678901234567890.5e-300}"#.to_owned()),
        ("escaped", r#"{"\u0070\u0072ompt":"\u0078\ud83d\ude00"}"#.to_owned()),
        ("controls", r#"{"prompt":"\u0001\u001b[31m\u007f\u202e"}"#.to_owned()),
        ("empty-key", r#"{"prompt":"x","":"","__proto__":{"constructor":1}}"#.to_owned()),
        ("pointless", r#"{"prompt":"x","input":[[],{},"",0,false,null]}"#.to_owned()),
    ];
    for (name, text) in &odd {
        drop_bytes(&world, "", format!("{name}.json"), text.as_bytes());
    }
    for (name, text) in &odd {
        let task = world.filed("marie/completed", name);
        if *name == "full" {
            assert_eq!(task["mine"].as_str().unwrap().len(), text.len() - 28, "what is not ours stays");
        }
    }
    assert!(names(&place(&world, "marie/failed")).is_empty());
    assert_eq!(watcher.stop(), 0);
}

#[test]
fn whatever_its_mode_and_owner_a_file_is_done_or_filed_and_keeps_nobody_waiting() {
    let world = World::unprivileged();
    let Some(uid) = world.uid else {
        println!("skipped: only root can drop what another user may not touch");
        return;
    };
    let watcher = world.up("marie");
    let task: Value = json!({"prompt": "fake: succeed"});
    let mut readable = Vec::new();
    let mut closed = Vec::new();
    for (whose, owner) in [("own", uid), ("root", 0), ("other", 61_001)] {
        for mode in [
            0o000, 0o111, 0o200, 0o222, 0o400, 0o440, 0o444, 0o600, 0o644, 0o666, 0o755, 0o4755, 0o2755,
            0o1777,
        ] {
            let name = format!("{whose}-{mode:o}");
            let temp = world.path().join("drop");
            fs::write(&temp, task.to_string()).unwrap();
            nix::unistd::chown(&temp, Some(owner.into()), Some(owner.into())).unwrap();
            fs::set_permissions(&temp, fs::Permissions::from_mode(mode)).unwrap();
            fs::rename(
                &temp,
                place(&world, ["", "marie/pending"][readable.len() % 2]).join(format!("{name}.json")),
            )
            .unwrap();
            let bit = if owner == uid { 0o400 } else { 0o004 };
            if mode & bit == 0 { closed.push(name) } else { readable.push(name) }
        }
    }
    for name in &readable {
        world.filed("marie/completed", name);
        assert_eq!(events(&world, "start", name).len(), 1, "{name}");
    }
    for name in &closed {
        let reason = safe_reason(&world, "marie", &format!("{name}.json"));
        assert!(reason["reason"].as_str().unwrap().contains("not readable by the worker's user"), "{reason}");
    }
    println!("{} done, {} filed", readable.len(), closed.len());
    assert_eq!(watcher.stop(), 0);
}

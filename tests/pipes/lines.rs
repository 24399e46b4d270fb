//! What is written into the pipe for commands: whole lines are heard, and nothing else is.

use std::io::Write;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde_json::json;

use super::{Listener, ask, commands, done, refused, say, write, writer};
use crate::world::World;

#[test]
fn words_and_json_are_answered_and_what_is_not_understood_is_told_with_what_is_known() {
    let world = World::new();
    let _watcher = world.up("marie");
    let mut marie = Listener::to_marie(&world);
    say(&world, "ping");
    assert_eq!(marie.answer(&world), json!({"op": "ping", "ok": true, "code": 0, "message": "here"}));
    let answer = done(&world, json!({"op": "ping", "id": "7"}));
    assert_eq!(answer["id"], "7");
    assert_eq!(marie.answer(&world)["id"], "7", "the same line, on both pipes");
    say(&world, "pnig");
    let answer = marie.answer(&world);
    assert_eq!((&answer["code"], &answer["hint"]), (&json!(64), &json!("did you mean `ping`?")));
    assert!(answer["known"].as_array().unwrap().contains(&json!("drain")), "{answer}");
    refused(&world, json!({"op": "ping", "now": "x"}), 64);
    refused(&world, json!({"op": "log-level", "level": "loud"}), 64);
    done(&world, json!({"op": "log-level", "level": "debug"}));
    done(&world, json!({"op": "reload"}));
    let status = done(&world, json!({"op": "status"}))["result"].clone();
    assert_eq!(
        (&status["worker"], &status["status"], &status["active"]),
        (&json!("marie"), &json!("running"), &json!(0))
    );
}

#[test]
fn what_is_no_whole_line_of_text_is_passed_over_told_and_never_carried_out() {
    let world = World::new();
    let _watcher = world.up("marie");
    let mut marie = Listener::to_marie(&world);
    let long = format!("pause {}\n", "x".repeat(5000));
    for (bytes, part) in [
        (long.as_bytes(), "more than 4096 bytes"),
        (b"pause \xff\n", "not UTF-8"),
        (b"pause \0\n", "control character"),
        (b"pause\t\n", "control character"),
    ] {
        write(&world, bytes);
        let answer = marie.answer(&world);
        assert!(answer["ok"] == false && answer["message"].as_str().unwrap().contains(part), "{answer}");
    }
    write(&world, b"pause");
    let answer = marie.answer(&world);
    assert!(answer["message"].as_str().unwrap().contains("half a line"), "{answer}");
    assert_eq!(done(&world, json!({"op": "status"}))["result"]["status"], "running");
}

#[test]
fn four_mebibytes_without_an_end_cost_one_line() {
    let world = World::new();
    let watcher = world.up("marie");
    drop(writer(&world, &commands(&world)));
    let before = memory(watcher.pid());
    let mut pipe = std::fs::OpenOptions::new().write(true).open(commands(&world)).unwrap();
    pipe.write_all(&vec![b'x'; 4 << 20]).unwrap();
    pipe.write_all(b"\n").unwrap();
    done(&world, json!({"op": "ping"}));
    let after = memory(watcher.pid());
    assert!(after < before + 4096, "{before} KiB before, {after} KiB after");
}

#[test]
fn two_halves_of_two_writers_make_no_command() {
    let world = World::new();
    let _watcher = world.up("marie");
    let mut marie = Listener::to_marie(&world);
    let (mut one, mut other) = (writer(&world, &commands(&world)), writer(&world, &commands(&world)));
    one.write_all(b"pau").unwrap();
    other.write_all(b"status\n").unwrap();
    let answer = marie.answer(&world);
    assert!(answer["message"].as_str().unwrap().contains("`paustatus` is not a command"), "{answer}");
    one.write_all(b"se\n").unwrap();
    assert_eq!(marie.answer(&world)["code"], 64);
    assert_eq!(done(&world, json!({"op": "status"}))["result"]["status"], "running");
}

#[test]
fn a_hundred_callers_at_once_are_answered_each() {
    let world = World::new();
    let _watcher = world.up("marie");
    std::thread::scope(|scope| {
        let calls: Vec<_> = (0..100)
            .map(|n| {
                let world = &world;
                scope.spawn(move || {
                    let id = n.to_string();
                    let answer = ask(world, json!({"op": "ping", "id": id}));
                    assert_eq!((&answer["ok"], &answer["id"]), (&json!(true), &json!(id)));
                })
            })
            .collect();
        for call in calls {
            call.join().unwrap();
        }
    });
}

#[test]
fn a_flood_of_lines_stops_neither_the_beat_nor_the_work() {
    let world = World::new();
    let watcher = world.up("marie");
    let heartbeat = world.root().join("workers/marie/heartbeat.json");
    let seq = || crate::world::json(&heartbeat).and_then(|it| it["seq"].as_u64());
    let is_over = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut pipe = writer(&world, &commands(&world));
            let lines = b"flood\ncancel none\nping\n".repeat(100);
            while !is_over.load(std::sync::atomic::Ordering::Relaxed) {
                let mut wait = [PollFd::new(&pipe, PollFlags::OUT)];
                poll(&mut wait, Some(&Timespec { tv_sec: 0, tv_nsec: 100_000_000 })).ok();
                // Torn as the pipe likes: that is what a flood is.
                let _torn = pipe.write(&lines);
            }
        });
        let from = world.until("it beats", seq);
        world.submit("", "t", &json!({"prompt": "fake: succeed"}));
        world.filed("marie/completed", "t");
        world.until("it beats on", || seq().filter(|it| *it > from + 3));
        let grown = memory(watcher.pid());
        is_over.store(true, std::sync::atomic::Ordering::Relaxed);
        assert!(grown < 200 * 1024, "{grown} KiB");
    });
    done(&world, json!({"op": "ping"}));
    assert_eq!(watcher.stop(), 0);
}

/// Resident memory, in KiB.
fn memory(pid: i32) -> u64 {
    let field = crate::sight::status(pid, "VmRSS").unwrap();
    field.split_whitespace().next().unwrap().parse().unwrap()
}

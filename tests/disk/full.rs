//! Disks that take no more: of the root and of the log, by bytes, by files, read-only, and by a limit on the size of
//! files.

use std::fs;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use crate::faults::{Filler, ReadOnly, SmallDisk, cpu};
use crate::world::World;
use crate::{at_work, ended_once, health, http, let_through, served, sight, soon};

/// A task file that waits outside of any queue, to be moved in while nothing can be made.
fn parked(world: &World) -> std::path::PathBuf {
    let path = world.root().join("parked");
    fs::write(&path, json!({"prompt": "fake: succeed text=on"}).to_string()).unwrap();
    path
}

/// What the end of a run needs.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Need {
    /// What the fault does not give: its outcome is kept in memory.
    Refused,
    /// It may have enough by the inodes of its own pipes, which it gives back first.
    PerhapsGivenBack,
}

/// Nothing can be written below the root from `begin` to the end of what it gives; `said` is how the worker calls it.
fn nothing_is_lost<F>(world: &World, need: Need, begin: impl FnOnce() -> Option<F>, said: &[&str]) {
    let (watcher, address) = served(world, &[]);
    let gate = at_work(world, "running", "succeed text=kept");
    let parked = parked(world);
    fs::rename(parked, world.root().join("tasks/parked")).unwrap();
    let Some(fault) = begin() else { return };

    // What is wrong with a folder is seen a beat before the hold that follows from it.
    let reasons = world.until("/health says why nothing is claimed", || {
        Some(health(world, address, "503")).filter(|it| it.contains("E007"))
    });
    for word in said {
        assert!(reasons.contains(word), "{word}: {reasons}");
    }
    let metrics = http::get(address, "/metrics");
    assert!(metrics.contains("agent_worker_held{cause=\"disk\"} 1"), "{metrics}");
    assert!(http::get(address, "/api/status").contains("\"degraded\""));
    let moved =
        fs::rename(world.root().join("tasks/parked"), world.root().join("tasks/marie/pending/next.json"));
    let_through(world, &gate, "running");
    if need == Need::Refused {
        world.until("the outcome is kept in memory", || {
            (!sight::logged(world, "marie", "outcome is kept in memory").is_empty()).then_some(())
        });
    }
    let busy = cpu(watcher.pid(), Duration::from_secs(3));
    assert!(busy < 5.0, "{busy:.1} % of a core while the fault lasts");
    if need == Need::Refused {
        assert_eq!(world.homes("running"), ["marie/active"], "it stays where it is");
    }
    if moved.is_ok() {
        assert_eq!(world.homes("next"), ["marie/pending"], "nothing is claimed");
    }
    let complaints = sight::logged(world, "marie", "could not write the heartbeat").len();
    assert!(complaints <= 5, "{complaints} lines say the same");

    drop(fault);
    if moved.is_err() {
        fs::rename(world.root().join("tasks/parked"), world.root().join("tasks/marie/pending/next.json"))
            .unwrap();
    }
    for (name, answer) in [("running", "kept"), ("next", "on")] {
        soon(world, &format!("{name} is filed"), || {
            world.root().join(format!("tasks/marie/completed/{name}.json")).exists().then_some(())
        });
        assert_eq!(ended_once(world, name)["result"], answer);
    }
    health(world, address, "200");
    assert!(sight::state(world, "marie", |it| it["status"] == "running")["hold"].is_null());
    assert_eq!(watcher.stop(), 0);
}

#[test]
fn a_disk_without_room() {
    let world = World::new();
    let Some(disk) = SmallDisk::tmpfs(world.root(), "size=96m") else { return };
    nothing_is_lost(&world, Need::Refused, || Some(disk.fill()), &["MiB left", "make room", "df -h"]);
}

#[test]
fn a_disk_without_room_on_ext4() {
    let world = World::new();
    let Some(disk) = SmallDisk::ext4(world.root(), 24) else { return };
    nothing_is_lost(&world, Need::Refused, || Some(disk.fill()), &["MiB left", "make room"]);
}

#[test]
fn a_disk_without_inodes() {
    let world = World::new();
    let Some(disk) = SmallDisk::tmpfs(world.root(), "size=96m,nr_inodes=2000") else { return };
    nothing_is_lost(&world, Need::PerhapsGivenBack, || Some(disk.fill_inodes()), &["inodes left", "df -i"]);
}

#[test]
fn a_root_that_turned_read_only() {
    let world = World::new();
    let root = world.root();
    nothing_is_lost(&world, Need::Refused, || ReadOnly::over(&root), &["read-only", "remount,rw"]);
}

#[test]
fn a_worker_that_cannot_write_its_heartbeat_is_not_taken_for_hung() {
    let world = World::new();
    let Some(disk) = SmallDisk::tmpfs(world.root(), "size=32m") else { return };
    let (watcher, _) = served(&world, &[]);
    let filler = disk.fill();
    let seen = |word: &'static str| {
        let world = &world;
        move || {
            let told: Value = serde_json::from_slice(&world.agentctl(&["status", "--json"]).stdout).ok()?;
            (told["workers"][0]["vital"] == word).then_some(told["workers"][0].clone())
        }
    };
    let mute = world.until("the heartbeat in the file is old", seen("mute"));
    assert!(mute["heartbeat_age_s"].as_u64().unwrap() >= 10, "{mute}");
    assert!(mute["trouble"].as_str().unwrap().contains("full"), "{mute}");
    world.until("its file is touched all the same", || {
        let file = fs::metadata(world.root().join("workers/marie/heartbeat.json")).ok()?;
        (file.modified().ok()?.elapsed().ok()? < Duration::from_secs(2)).then_some(())
    });
    let told = world.agentctl(&["status"]);
    let (out, err) = (String::from_utf8_lossy(&told.stdout), String::from_utf8_lossy(&told.stderr));
    assert!(out.contains("mute") && out.contains("cannot write its heartbeat"), "{out}");
    assert!(err.contains("MiB left") && err.contains("make room"), "{err}");
    // One that does not turn any more is told apart, on the same full disk.
    watcher.signal(nix::sys::signal::Signal::SIGSTOP);
    world.until("it is seen to be stopped", seen("suspended"));
    watcher.signal(nix::sys::signal::Signal::SIGCONT);
    drop(filler);
    world.until("it beats again", seen("beating"));
    assert_eq!(watcher.stop(), 0);
}

#[test]
fn below_the_reserve_nothing_is_claimed_and_above_it_everything_is() {
    let world = World::new();
    let Some(_disk) = SmallDisk::tmpfs(world.root(), "size=96m") else { return };
    let ballast = world.root().join("ballast");
    fs::write(&ballast, vec![0; 90 << 20]).unwrap();
    // An eighth of 96 MiB is 12 MiB: six are too few by default, and enough where less is asked for.
    let (watcher, address) = served(&world, &[]);
    world.submit("marie/pending", "waits", &json!({"prompt": "fake: succeed text=a"}));
    assert!(health(&world, address, "503").contains("MiB left"));
    let held = sight::state(&world, "marie", |it| it["status"] == "degraded" && it["queues"]["pending"] == 1);
    assert!(held["hold"]["reason"].as_str().unwrap().contains("the disk of the root"), "{held}");
    assert_eq!(world.homes("waits"), ["marie/pending"]);
    assert_eq!(watcher.stop(), 0);
    let (watcher, address) = served(&world, &[("--reserve", "2MiB")]);
    ended_once(&world, "waits");
    health(&world, address, "200");
    assert_eq!(watcher.stop(), 0);
}

#[test]
fn a_full_disk_of_the_scratch_or_the_log_holds_too() {
    for flag in ["--scratch-dir", "--log-dir"] {
        let world = World::new();
        let Some(disk) = SmallDisk::tmpfs(world.path().join("small"), "size=8m,mode=700") else { return };
        let small = world.path().join("small/dir");
        fs::create_dir(&small).unwrap();
        let filler = disk.fill();
        let mut command = sight::watcher_with(&world, "marie", &[("--log-dir", "")]);
        command.args([flag, small.to_str().unwrap()]);
        if flag == "--scratch-dir" {
            command.args(["--log-dir", world.logs().to_str().unwrap()]);
        }
        let watcher = world.start(&mut command, "marie");
        world.at_work("marie", &watcher);
        world.submit("marie/pending", "t", &json!({"prompt": "fake: succeed"}));
        let held =
            sight::state(&world, "marie", |it| it["status"] == "degraded" && it["queues"]["pending"] == 1);
        let part = &flag[2..5];
        assert!(
            held["hold"]["reason"].as_str().unwrap().contains(&format!("the disk of the {part}")),
            "{held}"
        );
        drop(filler);
        ended_once(&world, "t");
        assert_eq!(watcher.stop(), 0);
    }
}

#[test]
fn a_full_disk_of_the_workspaces_or_the_records_holds_too() {
    for part in ["workspaces", "artifacts"] {
        let world = World::new();
        let Some(disk) = SmallDisk::tmpfs(world.root().join(part), "size=8m") else { return };
        let filler = disk.fill();
        let (watcher, _) = served(&world, &[]);
        world.submit("marie/pending", "t", &json!({"prompt": "fake: succeed"}));
        let held =
            sight::state(&world, "marie", |it| it["status"] == "degraded" && it["queues"]["pending"] == 1);
        let reason = held["hold"]["reason"].as_str().unwrap();
        assert!(reason.contains(&format!("the disk of the {part}")), "{held}");
        drop(filler);
        ended_once(&world, "t");
        assert_eq!(watcher.stop(), 0);
    }
}

#[test]
fn a_full_disk_of_the_log_costs_its_lines_and_says_how_many() {
    let world = World::new();
    let Some(disk) = SmallDisk::tmpfs(world.path().join("small"), "size=1m") else { return };
    let small = world.path().join("small");
    let small = small.to_str().unwrap();
    let (watcher, address) =
        served(&world, &[("--log-dir", small), ("--reserve", "0"), ("--reserve-inodes", "0")]);
    let filler = Filler::of(disk.at());
    // More than what is left of the last page of the log.
    for n in 0..12 {
        world.submit("marie/pending", &format!("t{n}"), &json!({"prompt": "fake: succeed"}));
        ended_once(&world, &format!("t{n}"));
    }
    world.until("standard error has every line", || {
        (sight::logged(&world, "marie", "task COMPLETED").len() == 12).then_some(())
    });
    let lost = world.until("the lost lines are counted", || {
        let metrics = http::get(address, "/metrics");
        let line = metrics.lines().find(|it| it.starts_with("agent_worker_log_lines_lost_total"))?.to_owned();
        line.rsplit(' ').next()?.parse::<u64>().ok().filter(|it| *it > 0)
    });
    drop(filler);
    world.submit("marie/pending", "after", &json!({"prompt": "fake: succeed"}));
    ended_once(&world, "after");
    assert_eq!(watcher.stop(), 0);
    let text = fs::read_to_string(disk.at().join("marie.log")).unwrap();
    let lines: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("half a line: {line}")))
        .collect();
    assert!(lines.iter().any(|it| it["message"] == "task COMPLETED" && it["task"] == "after"));
    let said = sight::logged(&world, "marie", "did not take these lines");
    assert!(said.iter().any(|it| it["in_all"].as_u64() >= Some(lost)), "{said:?}");
}

#[test]
fn a_limit_on_the_size_of_files_ends_nobody() {
    let world = World::new();
    // The journal and the log are larger already than what may be written.
    let today = jiff::Timestamp::now().strftime("%Y-%m-%d").to_string();
    let day = world.root().join(format!("workers/marie/journal/{today}.ndjson"));
    fs::create_dir_all(day.parent().unwrap()).unwrap();
    fs::write(&day, vec![b'\n'; 2 << 20]).unwrap();
    fs::write(world.logs().join("marie.log"), vec![b'\n'; 2 << 20]).unwrap();
    let usual = world.watcher("marie");
    let mut command = Command::new("prlimit");
    command.arg("--fsize=1048576:unlimited").arg(usual.get_program()).args(usual.get_args()).env_clear();
    command.envs(usual.get_envs().filter_map(|(key, value)| Some((key, value?)))).current_dir(world.path());
    let watcher = world.start(&mut command, "marie");
    world.at_work("marie", &watcher);
    world.submit("marie/pending", "small", &json!({"prompt": "fake: succeed text=small"}));
    assert_eq!(world.filed("marie/completed", "small")["result"], "small");
    // An agent that writes more than it may is told so, and not taken for one that crashed.
    world.submit("marie/pending", "large", &json!({"prompt": "fake: flood n=30 bytes=100000; succeed"}));
    let large = world.filed("marie/failed", "large");
    assert_eq!(large["error_code"], "E004", "{large}");
    let raised = Command::new("prlimit")
        .args(["--fsize=unlimited:unlimited", "--pid", &watcher.pid().to_string()])
        .status()
        .unwrap();
    assert!(raised.success());
    for name in ["small", "large"] {
        world.until("the journal has what waited", || {
            let text = fs::read_to_string(&day).ok()?;
            let lines = text.lines().filter(|it| it.contains(&format!("\"task\":\"{name}\"")));
            (lines.filter(|it| it.contains("\"event\":\"concluded\"")).count() == 1).then_some(())
        });
    }
    assert_eq!(watcher.stop(), 0);
}

//! With a watcher that lives: through its pipe, and by nobody else.

use std::fs::File;

use agent_worker::os::lock::Lock;
use serde_json::{Value, json};

use crate::files::edit;
use crate::tree::{agentctl, done, everything, laid_out};
use crate::world::{World, json as read};

/// A world whose marie works, and one whose pipe is there.
fn at_work() -> (World, crate::world::Started) {
    let world = World::new();
    let marie = world.up("marie");
    let pipe = world.root().join("pipes/marie.in");
    world.until("it hears", || pipe.exists().then_some(()));
    (world, marie)
}

fn running(world: &World, name: &str, prompt: &str) {
    world.submit("marie/pending", name, &json!({"prompt": prompt}));
    world.active("marie", name, |task| task["state"] == "RUNNING");
}

#[test]
fn what_waits_is_held_released_and_cancelled_by_the_watcher() {
    let (world, _marie) = at_work();
    done(&world, "pause marie");
    for name in ["a", "b", "c"] {
        world.submit("marie/pending", name, &json!({"prompt": "fake: succeed"}));
    }
    world.submit("", "d", &json!({"prompt": "fake: succeed"}));
    let said = done(&world, "hold a --reason later");
    assert!(!said.err.contains("acting on the files"), "{said:?}");
    let held = world.filed("marie/pending", "a");
    assert_eq!(held["held"]["reason"], "later");
    done(&world, "cancel b d");
    assert_eq!([world.homes("b"), world.homes("d")], [["marie/cancelled"], ["marie/cancelled"]]);
    let before = everything(&world.root().join("tasks"));
    done(&world, "cancel a c --dry-run");
    assert_eq!(everything(&world.root().join("tasks")), before);
    done(&world, "resume marie");
    world.filed("marie/completed", "c");
    assert_eq!(world.homes("a"), ["marie/pending"]);
    done(&world, "release a");
    world.filed("marie/completed", "a");
    done(&world, "retry b");
    world.filed("marie/completed", "b");
}

#[test]
fn a_running_task_is_cancelled_only_when_that_is_meant() {
    let (world, _marie) = at_work();
    running(&world, "x", "fake: hang");
    let asked = agentctl(&world, "cancel x");
    assert!(asked.code == 64 && asked.err.contains("--yes"), "{asked:?}");
    assert_eq!(world.homes("x"), ["marie/active"]);
    let rows = done(&world, "cancel x --yes --json --reason enough").out;
    let rows: Value = serde_json::from_str(&rows).unwrap();
    assert_eq!(
        (&rows[0]["task"], &rows[0]["done"], &rows[0]["code"]),
        (&json!("marie/x"), &json!(true), &json!(0))
    );
    let filed = world.filed("marie/cancelled", "x");
    assert!(filed["failure_reason"].as_str().unwrap().contains("enough"), "{filed}");
}

#[test]
fn a_worker_is_stopped_only_when_that_is_meant_and_its_task_waits_again() {
    let (world, marie) = at_work();
    running(&world, "x", "fake: hang");
    let asked = agentctl(&world, "stop marie");
    assert!(asked.code == 64 && asked.err.contains("--yes"), "{asked:?}");
    let planned = done(&world, "stop --dry-run");
    assert!(planned.out.contains("would stop through its watcher"), "{planned:?}");
    assert_eq!(world.homes("x"), ["marie/active"]);
    done(&world, "stop marie --yes --wait");
    assert_eq!(marie.ended(), 0);
    let task = world.filed("marie/pending", "x");
    assert_eq!(
        (&task["attempts"][0]["outcome"], &task["attempts"][0]["charged"]),
        (&json!("interrupted"), &json!(false))
    );
    let nobody = done(&world, "stop marie");
    assert!(nobody.out.contains("nothing to stop"), "{nobody:?}");
}

#[test]
fn an_agent_is_told_and_interrupted() {
    let (world, _marie) = at_work();
    running(&world, "x", "fake: steer; succeed text=done");
    done(&world, "tell x use_French");
    world.filed("marie/completed", "x");
    let mute = agentctl(&world, "tell x hello");
    assert!(mute.code == 69 && mute.err.contains("no agent works on it"), "{mute:?}");
    running(&world, "y", "fake: hang | succeed");
    done(&world, "interrupt y");
    let back = world.until("it is back and held", || {
        read(&world.root().join("tasks/marie/pending/y.json")).filter(|task| task["held"].is_object())
    });
    assert_eq!(back["retry_count"], 0, "nobody is charged for it");
    done(&world, "release y");
    world.filed("marie/completed", "y");
}

#[test]
fn a_drained_worker_finishes_and_stops() {
    let (world, marie) = at_work();
    let gate = world.path().join("gate");
    running(&world, "x", &format!("fake: gate={}; succeed", gate.display()));
    done(&world, "drain marie");
    let early = agentctl(&world, "drain marie --wait --timeout 0s");
    assert_eq!(early.code, 75, "{early:?}");
    File::create(&gate).unwrap();
    assert_eq!(marie.ended(), 0);
    assert_eq!(world.homes("x"), ["marie/completed"]);
    done(&world, "drain marie --wait");
}

#[test]
fn a_waiting_task_is_edited_while_a_watcher_lives() {
    let (world, _marie) = at_work();
    done(&world, "pause marie");
    world.submit("marie/pending", "x", &json!({"prompt": "fake: succeed text=old"}));
    let said = edit(&world, "x", r#"grep -q held "$1" || sed -i s/old/new/ "$1""#);
    assert_eq!(said.code, 0, "{said:?}\n{}", world.said());
    let waits = world.filed("marie/pending", "x");
    assert!(waits["prompt"] == "fake: succeed text=new" && waits.get("held").is_none(), "{waits}");
    assert_eq!(world.filed("marie/cancelled", "x")["prompt"], "fake: succeed text=old");
    let same = edit(&world, "x", "true");
    assert_eq!(same.code, 0, "{same:?}");
    assert!(world.filed("marie/pending", "x").get("held").is_none(), "it is let go again");
    done(&world, "resume marie");
    assert_eq!(world.filed("marie/completed", "x")["result"], "new");
}

#[test]
fn who_follows_a_task_sees_its_agent_and_its_end() {
    let (world, _marie) = at_work();
    let words = ["submit", "fake: say text=on my way; succeed text=done", "--worker", "marie", "--follow"];
    let said: crate::tree::Said = world.agentctl(&words).into();
    assert!(said.code == 0 && said.out.contains("on my way") && said.out.contains("done"), "{said:?}");
    let words = ["submit", "fake: fail refusal", "--worker", "marie", "--follow"];
    let failed: crate::tree::Said = world.agentctl(&words).into();
    assert_eq!(failed.code, 1, "{failed:?}");
}

#[test]
fn who_holds_the_worker_and_does_not_hear_is_told_with_what_to_do() {
    let world = laid_out();
    world.submit("marie/pending", "x", &json!({"prompt": "x"}));
    let held = Lock::try_exclusive(&world.root().join("workers/marie")).unwrap().unwrap();
    for words in ["cancel x", "hold x", "pause marie", "resume marie"] {
        let said = agentctl(&world, words);
        assert!(
            said.code == 75 && said.err.contains("nobody listens") && said.err.contains("hint:"),
            "{words}: {said:?}"
        );
    }
    assert_eq!(world.homes("x"), ["marie/pending"]);
    drop(held);
    done(&world, "cancel x");
}

#[test]
fn a_session_is_gone_on_with_only_when_nobody_has_it() {
    let (world, _marie) = at_work();
    running(&world, "x", "fake: hang");
    let busy = agentctl(&world, "attach x");
    assert!(busy.code == 69 && busy.err.contains("an agent works in that session"), "{busy:?}");
    done(&world, "interrupt x");
    let task = world.until("it is back", || {
        read(&world.root().join("tasks/marie/pending/x.json")).filter(|task| task["held"].is_object())
    });
    let bin = world.program("fake-claude");
    let shown = done(&world, &format!("attach x --claude-bin {} --dry-run", bin.display())).out;
    let session = task["attempts"][0]["session_id"].as_str().unwrap();
    assert!(shown.contains(&format!("--resume {session}")), "{shown}");
    assert!(shown.contains(task["attempts"][0]["cwd"].as_str().unwrap()), "{shown}");
    assert!(!shown.contains("AGENT_PIPE"), "{shown}");
    let blind = agentctl(&world, &format!("attach x --claude-bin {}", bin.display()));
    assert!(blind.code == 64 && blind.err.contains("terminal"), "{blind:?}");
    let run = task["run_id"].as_str().unwrap();
    let stream = world.root().join(format!("artifacts/{run}/attempt-1/stream.ndjson"));
    let _other = Lock::try_exclusive(&stream).unwrap().unwrap();
    let taken = agentctl(&world, &format!("attach x --claude-bin {} --dry-run", bin.display()));
    assert_eq!(taken.code, 75, "{taken:?}");
}

/// A stand-in for the CLI at a terminal: leaves behind how it was started, and whether the task was held meanwhile.
fn at_the_terminal(world: &World) -> std::path::PathBuf {
    let path = world.path().join("cli");
    let (seen, task) = (world.path().join("seen"), world.root().join("tasks/marie/pending/x.json"));
    let script = format!(
        "#!/bin/sh\n{{ echo \"$*\"; pwd; env; grep -c '\"held\"' {}; test -t 0 && echo terminal; }} > {}\n",
        task.display(),
        seen.display()
    );
    std::fs::write(&path, script).unwrap();
    std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    path
}

#[test]
fn a_person_goes_on_with_the_session_at_a_terminal_while_the_task_is_held() {
    use std::io::Write;
    let (world, _marie) = at_work();
    running(&world, "x", "fake: hang | succeed");
    done(&world, "interrupt x");
    world.until("it is back", || {
        read(&world.root().join("tasks/marie/pending/x.json")).filter(|task| task["held"].is_object())
    });
    done(&world, "pause marie");
    done(&world, "release x");
    let line = format!(
        "{} --root {} attach x --claude-bin {}",
        world.program("agentctl").display(),
        world.root().display(),
        at_the_terminal(&world).display()
    );
    let mut typed = std::process::Command::new("script");
    typed
        .args(["-qec", &line, "/dev/null"])
        .env("HOME", world.home())
        .env("TERM", "xterm")
        .env("GH_TOKEN", "secret");
    let mut typed = typed
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut keys = typed.stdin.take().unwrap();
    keys.write_all(b"y\n").unwrap();
    let ended = typed.wait_with_output().unwrap();
    drop(keys);
    let screen = String::from_utf8_lossy(&ended.stdout).into_owned();
    assert!(ended.status.success(), "{screen}");
    let seen = std::fs::read_to_string(world.path().join("seen")).unwrap();
    let task = world.filed("marie/pending", "x");
    let attempt = &task["attempts"][0];
    let session = attempt["session_id"].as_str().unwrap();
    let mut lines = seen.lines();
    assert_eq!(lines.next(), Some(format!("--resume {session}").as_str()), "{seen}");
    assert_eq!(lines.next(), attempt["cwd"].as_str());
    assert!(seen.contains("\nTERM=xterm\n") && !seen.contains("GH_TOKEN"), "{seen}");
    assert!(seen.ends_with("1\nterminal\n"), "held, at a terminal: {seen}");
    assert!(screen.contains("Release it") && task.get("held").is_none(), "{screen}\n{task}");
}

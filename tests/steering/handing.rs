//! What an agent says to its worker: tasks for colleagues, how far it is, and nothing else.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};

use crate::sight::{agent, events, state, tasks};
use crate::world::World;
use crate::{history, write};

/// The prompt of an agent that runs `commands` with `agentctl` on its path, then succeeds.
fn running(world: &World, commands: &[&str]) -> String {
    let agentctl = world.program("agentctl");
    let steps: Vec<_> = commands
        .iter()
        .map(|it| format!("run text={}", it.replace("agentctl", &agentctl.display().to_string())))
        .collect();
    format!("fake: {}; succeed", steps.join("; "))
}

/// The commands that the agent of `task` has run, once there are `n`.
fn ran(world: &World, task: &str, n: usize) -> Vec<Value> {
    world.until("it has run its commands", || Some(events(world, "ran", task)).filter(|it| it.len() >= n))
}

/// A task that was handed on, wherever it is by now.
fn named(world: &World, name: &str) -> Value {
    world.until(&format!("{name} is somewhere"), || {
        let place = world.homes(name).pop()?;
        crate::world::json(&world.root().join("tasks").join(place).join(format!("{name}.json")))
    })
}

#[test]
fn an_agent_hands_a_task_on_and_says_how_far_it_is() {
    let world = World::new();
    let _watcher = world.up("marie");
    let prompt = running(
        &world,
        &[
            "agentctl progress 'three of seven'",
            "agentctl submit 'say hello' --worker marie --priority 9",
            "agentctl status --json",
        ],
    );
    let gated =
        prompt.replace("; succeed", &format!("; gate={}; succeed", world.path().join("gate").display()));
    world.submit("", "t", &json!({"prompt": gated, "priority": 2, "correlation_id": "c1"}));
    agent(&world, "t");
    state(&world, "marie", |it| it["running"][0]["progress"] == "three of seven");
    let ran = ran(&world, "t", 3);
    for command in &ran {
        assert_eq!(command["code"], 0, "{command}");
    }
    let status: Value = serde_json::from_str(ran[2]["out"].as_str().unwrap()).unwrap();
    assert_eq!((&status["worker"], &status["status"]), (&json!("marie"), &json!("running")), "{status}");
    let name = ran[1]["out"].as_str().unwrap().trim().to_owned();
    let handed = named(&world, &name);
    let parent = world.active("marie", "t", |_| true);
    assert_eq!(handed["parent_run"], parent["run_id"], "{handed}");
    assert_eq!((&handed["depth"], &handed["priority"]), (&json!(1), &json!(2)), "{handed}");
    assert_eq!(handed["correlation_id"], "c1");
    fs::write(world.path().join("gate"), "").unwrap();
    world.filed("marie/completed", "t");
    assert_eq!(world.filed("marie/completed", &name)["result"], "heard: say hello");
}

#[test]
fn nothing_else_is_done_for_an_agent() {
    let world = World::new();
    let _watcher = world.up("marie");
    let commands = [
        ("agentctl list", 77),
        ("agentctl prune --yes", 64),
        ("agentctl submit x --workdir /etc", 77),
        ("agentctl submit x --id mine", 77),
        ("agentctl submit x --worker nobody", 65),
        ("agentctl submit x --wait", 64),
        ("agentctl progress ''", 64),
    ];
    let prompt = running(&world, &commands.map(|(command, _)| command));
    world.submit("", "t", &json!({"prompt": prompt}));
    for (ran, (command, code)) in ran(&world, "t", commands.len()).iter().zip(commands) {
        assert_eq!(ran["code"], code, "{command}: {ran}");
        assert!(!ran["err"].as_str().unwrap().is_empty(), "it says why: {ran}");
    }
    world.filed("marie/completed", "t");
    assert_eq!(tasks(&world, "").len() + tasks(&world, "marie/pending").len(), 0);
}

/// Writes a pack that its owner alone may change.
fn pack(world: &World, name: &str, text: &str) {
    let path = world.root().join("packs").join(format!("{name}.toml"));
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
}

#[test]
fn an_agent_of_a_narrow_pack_gets_no_wider_one_through_another() {
    let world = World::new();
    let gate = world.path().join("gate");
    let first = world.up("marie");
    pack(&world, "narrow", "allowed_tools = ['Read']\nmay_hand_to = ['test']\n");
    pack(&world, "test", "");
    pack(&world, "wide", "permission_mode = 'bypassPermissions'\n");
    let agentctl = world.program("agentctl").display().to_string();
    let run = |command: &str| format!("run text={agentctl} submit x {command}");
    let prompt = format!(
        "fake: {}; {}; {}; gate={}; {}; {}; succeed",
        run("--pack default"),
        run("--pack wide"),
        run(""),
        gate.display(),
        run("--pack test"),
        run("--pack wide")
    );
    world.submit("", "t", &json!({"type": "narrow", "prompt": prompt}));
    let codes = |n| ran(&world, "t", n).iter().map(|it| it["code"].as_i64().unwrap()).collect::<Vec<_>>();
    assert_eq!(codes(3), [77, 77, 0]);
    let said = &ran(&world, "t", 3);
    for word in
        ["`narrow` may hand on tasks of its own pack and of `test`", "not of `default`", "leave `type` out"]
    {
        assert!(said[0]["err"].as_str().unwrap().contains(word), "{word}: {}", said[0]);
    }
    let own = named(&world, said[2]["out"].as_str().unwrap().trim());
    assert_eq!(own["type"], "narrow", "without a word it is the agent's own: {own}");
    assert_eq!(crate::sight::logged(&world, "marie", "hands on was refused").len(), 2);
    // What was allowed when it began is allowed still, to whoever takes it up and whatever the file says by now.
    first.murder();
    pack(&world, "narrow", "may_hand_to = ['*']\n");
    let _second = world.up("marie");
    fs::write(&gate, "").unwrap();
    assert_eq!(codes(5), [77, 77, 0, 0, 77]);
    let test = named(&world, ran(&world, "t", 5)[3]["out"].as_str().unwrap().trim());
    assert_eq!(test["type"], "test", "{test}");
}

#[test]
fn the_chain_and_the_number_have_an_end() {
    let world = World::new();
    let _watcher =
        world.start(world.watcher("marie").args(["--agent-submits", "2", "--agent-depth", "3"]), "marie");
    let many = running(&world, &["agentctl submit one", "agentctl submit two", "agentctl submit three"]);
    world.submit("", "many", &json!({"prompt": many}));
    let codes: Vec<_> = ran(&world, "many", 3).iter().map(|it| it["code"].as_i64().unwrap()).collect();
    assert_eq!(codes, [0, 0, 77]);
    let deep = running(&world, &["agentctl submit deeper"]);
    world.submit("", "deep", &json!({"prompt": deep, "depth": 3}));
    assert_eq!(ran(&world, "deep", 1)[0]["code"], 77);
}

/// What an agent that hands on `what` runs, and nobody waits for the answer.
fn shout(what: &str) -> String {
    format!(r#"run text=echo '{{"op":"submit","spec":{{"prompt":"{what}"}}}}' > $AGENT_PIPE"#)
}

/// Kills a watcher after its n-th step, while an agent hands a task on. `None`: it was not killed before the task was
/// there. Else whether the note stands and the task does not.
fn is_cut_before_the_task(world: &World, n: u32) -> Option<bool> {
    let mut command = world.watcher("marie");
    command.args(["--agent-submits", "1"]).env("AGENT_WORKER_KILL_AFTER", n.to_string());
    let mut marie = world.start(&mut command, "marie");
    let agentctl = world.program("agentctl");
    let gate = world.path().join("gate");
    let prompt = format!(
        "fake: {}; gate={}; {}; run text={} progress done; succeed",
        shout("one"),
        gate.display(),
        shout("two"),
        agentctl.display()
    );
    world.submit("marie/pending", "t", &json!({"prompt": prompt}));
    let handed = || tasks(world, "").len();
    world.until("it is killed, or the task is there", || (marie.is_over() || handed() > 0).then_some(()));
    let is_over = handed() > 0 && !marie.is_over();
    drop(marie);
    let noted = crate::world::json(&world.root().join("tasks/marie/active/t.json"))
        .filter(|task| task["run_id"].is_string())
        .map_or(0, |task| history(world, &task, "handed_on").len());
    assert!(handed() <= noted && noted <= 1, "{} handed on, {noted} noted, killed after {n}", handed());
    (!is_over).then_some(noted > handed())
}

#[test]
fn a_death_between_the_note_and_the_task_costs_the_task_and_not_the_bound() {
    for n in 1..100 {
        let world = World::new();
        let Some(is_cut) = is_cut_before_the_task(&world, n) else { break };
        if !is_cut {
            continue;
        }
        let args = ["--agent-submits", "1", "--concurrency", "1"];
        let _second = world.start(world.watcher("marie").args(args), "marie");
        world.until("it hears its agent", || {
            state(&world, "marie", |it| it["running"][0]["task"] == "t");
            Some(())
        });
        fs::write(world.path().join("gate"), "").unwrap();
        let task = world.filed("marie/completed", "t");
        assert_eq!(history(&world, &task, "handed_on").len(), 1);
        assert_eq!(tasks(&world, "").len() + tasks(&world, "marie/pending").len(), 0);
        return;
    }
    panic!("no step is between the note and the task");
}

#[test]
fn a_crash_makes_the_bound_no_wider_and_an_adopted_agent_is_heard() {
    let world = World::new();
    let gate = world.path().join("gate");
    let flags = ["--agent-submits", "2"];
    let first = world.start(world.watcher("marie").args(flags), "marie");
    let agentctl = world.program("agentctl").display().to_string();
    let submit = |what: &str| format!("run text={agentctl} submit {what}");
    let prompt = format!(
        "fake: {}; gate={}; {}; {}; run text={agentctl} progress done; succeed",
        submit("one"),
        gate.display(),
        submit("two"),
        submit("three")
    );
    world.submit("", "t", &json!({"prompt": prompt}));
    ran(&world, "t", 1);
    first.murder();
    // It speaks while nobody is there to hear, and is heard by the next one.
    fs::write(&gate, "").unwrap();
    let _second = world.start(world.watcher("marie").args(flags), "marie");
    let codes: Vec<_> = ran(&world, "t", 4).iter().map(|it| it["code"].as_i64().unwrap()).collect();
    assert_eq!(codes, [0, 0, 77, 0]);
    let task = world.filed("marie/completed", "t");
    assert_eq!(history(&world, &task, "handed_on").len(), 2);
}

#[test]
fn what_an_agent_writes_by_hand_is_held_to_the_same() {
    let world = World::new();
    let _watcher = world.up("marie");
    world.submit("", "t", &json!({"prompt": "fake: listen"}));
    agent(&world, "t");
    let task = world.active("marie", "t", |it| it["run_id"].is_string());
    let dir = world.root().join("artifacts").join(task["run_id"].as_str().unwrap());
    let pipe = dir.join("pipes/agent.in");
    for line in [
        r#"{"op":"cancel","task":"t"}"#,
        r#"{"op":"stop"}"#,
        r#"{"op":"submit","spec":{"prompt":"x","run_id":"y"}}"#,
        // Where nobody's answer belongs.
        r#"{"op":"status","reply_to":"stdin"}"#,
        r#"{"op":"status","reply_to":"../../pipes/marie.in"}"#,
        r#"{"op":"status","reply_to":"history.ndjson"}"#,
        "{",
    ] {
        write(&world, &pipe, line);
    }
    write(&world, &pipe, r#"{"op":"progress","text":"still here \u001b[2J"}"#);
    let shown = state(&world, "marie", |it| it["running"][0]["progress"].is_string());
    assert!(!shown["running"][0]["progress"].as_str().unwrap().contains('\u{1b}'), "{shown}");
    write(&world, &crate::agent_pipe(&world, "t"), "end");
    assert_eq!(world.filed("marie/completed", "t")["result"], "heard: end");
    assert!(history(&world, &task, "handed_on").is_empty());
    assert!(!fs::read_to_string(dir.join("history.ndjson")).unwrap().contains("agent-worker.reply"));
}

//! How a run goes on whose transcript is gone or damaged, or whose turns are used up.

use std::fs;
use std::path::PathBuf;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

use crate::stub_api::Scenario;
use crate::{Real, attempts, charges, lines, outcomes};

/// A task that is at work on a command, after it wrote a file.
fn at_work(real: &Real) -> Value {
    let (note, begun) = (real.world.home().join("note.txt"), real.world.home().join("begun"));
    let wait = format!("touch {}; until [ -e /nowhere ]; do sleep 0.05; done", begun.display());
    real.api.play(Scenario::Tools(vec![
        ("Write", json!({"file_path": note.display().to_string(), "content": "noted\n"})),
        ("Bash", json!({"command": wait, "description": "Wait", "timeout": 120_000})),
    ]));
    real.world.submit(
        "marie/pending",
        "t",
        &json!({"prompt": "the first word", "workdir": real.world.home()}),
    );
    real.world.until("the command runs", || begun.exists().then_some(()));
    real.world.active("marie", "t", |task| task["attempts"][0]["pid"].is_number())
}

/// Both die.
fn kill_both(real: &Real, watcher: crate::world::Started, task: &Value) {
    let agent = task["attempts"][0]["pid"].as_i64().unwrap();
    watcher.murder();
    kill(Pid::from_raw(i32::try_from(agent).unwrap()), Signal::SIGKILL).unwrap();
    real.api.play(Scenario::Text("in the end".to_owned()));
}

fn transcript(real: &Real, task: &Value) -> PathBuf {
    let name = format!("{}.jsonl", task["attempts"][0]["session_id"].as_str().unwrap());
    let folders = fs::read_dir(real.world.home().join(".claude/projects")).unwrap().flatten();
    folders.map(|it| it.path().join(&name)).find(|path| path.exists()).unwrap()
}

fn began(task: &Value) -> Vec<&str> {
    attempts(task).iter().filter_map(|it| it["began"].as_str()).collect()
}

/// What the API was sent last.
fn last_messages(real: &Real) -> String {
    real.api.requests().pop().unwrap().body["messages"].to_string()
}

fn is_told(real: &Real) {
    let said = last_messages(real);
    for known in
        ["the first word", "the conversation about it is lost", "note.txt", "no answer: nobody knows"]
    {
        assert!(said.contains(known), "{known}: {said}");
    }
}

#[test]
fn without_its_transcript_it_begins_anew_and_knows_what_was_done() {
    let Some(real) = Real::new(Scenario::Silent) else { return };
    let watcher = real.up();
    let task = at_work(&real);
    kill_both(&real, watcher, &task);
    fs::remove_file(transcript(&real, &task)).unwrap();
    let _watcher = real.up();
    let task = real.completed("t");
    assert_eq!((began(&task), charges(&task)), (vec!["new", "told"], 1), "{task}");
    is_told(&real);
}

#[test]
fn a_transcript_of_which_nothing_is_left_is_refused_and_its_run_told_what_was_done() {
    let Some(real) = Real::new(Scenario::Silent) else { return };
    let watcher = real.up();
    let task = at_work(&real);
    kill_both(&real, watcher, &task);
    let path = transcript(&real, &task);
    let length = usize::try_from(fs::metadata(&path).unwrap().len()).unwrap();
    fs::write(&path, vec![0; length]).unwrap();
    let _watcher = real.up();
    let task = real.completed("t");
    assert_eq!(began(&task), ["new", "resumed", "forked", "told"], "{task}");
    assert_eq!(outcomes(&task), ["crashed", "session_lost", "session_lost", "completed"]);
    assert_eq!((charges(&task), &task["result"]), (1, &json!("in the end")));
    is_told(&real);
}

#[test]
fn a_transcript_whose_last_line_is_torn_goes_on() {
    let Some(real) = Real::new(Scenario::Silent) else { return };
    let watcher = real.up();
    let task = at_work(&real);
    kill_both(&real, watcher, &task);
    let path = transcript(&real, &task);
    let bytes = fs::read(&path).unwrap();
    fs::write(&path, &bytes[..bytes.len() - 40]).unwrap();
    let _watcher = real.up();
    let task = real.completed("t");
    assert_eq!((began(&task), charges(&task)), (vec!["new", "resumed"], 1), "{task}");
    assert!(last_messages(&real).contains("the program that you work through was killed"));
}

#[test]
fn a_transcript_that_it_may_not_write_is_copied_and_the_count_of_costs_with_it() {
    let Some(real) = Real::new(Scenario::Text("first".to_owned())) else { return };
    let dir = real.world.root().join("packs");
    fs::create_dir_all(&dir).unwrap();
    fs::write(dir.join("long.toml"), "max_turns = 1\nafter_max_turns = 'continue'\n").unwrap();
    let (begun, gate) = (real.world.home().join("begun"), real.world.home().join("gate"));
    let wait = format!("touch {}; until [ -e {} ]; do sleep 0.05; done", begun.display(), gate.display());
    real.api.play(Scenario::bash(&wait));
    let _watcher = real.up();
    real.world.submit("marie/pending", "t", &json!({"type": "long", "prompt": "the first word"}));
    real.world.until("the command runs", || begun.exists().then_some(()));
    let task = real.world.active("marie", "t", |task| task["attempts"][0]["pid"].is_number());
    // It must not go on before the transcript is as it is to be.
    assert!(real.world.agentctl(&["pause", "marie"]).status.success());
    fs::write(&gate, "").unwrap();
    real.world.filed("marie/pending", "t");
    let path = transcript(&real, &task);
    fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o444)).unwrap();
    assert!(real.world.agentctl(&["resume", "marie"]).status.success());
    let task = real.completed("t");
    assert_eq!(began(&task)[..2], ["new", "forked"], "{task}");
    assert_eq!(outcomes(&task)[..1], ["needs_more"], "{task}");
    let stream = lines(&real.artifact(&task, "attempt-2/stream.ndjson"));
    let total = stream.iter().rev().find(|line| line["type"] == "result").unwrap()["total_cost_usd"].clone();
    let costs: Vec<f64> = attempts(&task).iter().filter_map(|it| it["cost_usd"].as_f64()).collect();
    let sum: f64 = costs.iter().sum();
    assert!((sum - total.as_f64().unwrap()).abs() < 1e-6, "{costs:?} of {total}: {task}");
    assert!(costs.iter().all(|usd| *usd > 0.0), "{costs:?}");
}

#[test]
fn turns_that_are_used_up_are_given_again_in_the_same_conversation() {
    let Some(real) = Real::new(Scenario::Silent) else { return };
    let dir = real.world.root().join("packs");
    fs::create_dir_all(&dir).unwrap();
    fs::write(dir.join("long.toml"), "max_turns = 2\nafter_max_turns = 'continue'\n").unwrap();
    let step = |n: u32| ("Bash", json!({"command": format!("echo step {n}"), "description": "Step"}));
    real.api.play(Scenario::Tools((1..=4).map(step).collect()));
    let _watcher = real.up();
    real.world.submit("marie/pending", "t", &json!({"type": "long", "prompt": "four steps"}));
    let task = real.completed("t");
    let (outcomes, sessions) = (outcomes(&task), attempts(&task)[0]["session_id"].clone());
    assert!(
        outcomes.len() > 1 && outcomes[..outcomes.len() - 1].iter().all(|it| *it == "needs_more"),
        "{task}"
    );
    assert_eq!((charges(&task), &task["result"]), (0, &json!("All done.")));
    assert!(attempts(&task).iter().all(|it| it["session_id"] == sessions), "{task}");
    let said = last_messages(&real);
    assert!(said.contains("its turns were used up") && said.contains("step 1"), "{said}");
}

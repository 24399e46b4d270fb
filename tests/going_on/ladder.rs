//! The rungs.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::json;

use crate::world::World;
use crate::{at_gate, attempts, begin, each, kill_agent, never_twice, open_gate, refuse, told, transcript};

#[test]
fn a_conversation_that_is_there_goes_on_and_hears_what_happened() {
    let world = World::new();
    let _watcher = world.up("marie");
    kill_agent(&begin(&world, "t"));
    open_gate(&world);
    let task = world.filed("marie/completed", "t");
    assert_eq!(each(&task, "began"), ["new", "resumed"]);
    assert_eq!((each(&task, "outcome"), &task["retry_count"]), (vec!["crashed", "completed"], &json!(1)));
    let second = &told(&world)[1];
    assert!(
        second.starts_with("This run was interrupted: the program that you work through was"),
        "{second}"
    );
    assert!(second.contains("look before you repeat it") && second.len() < 500, "{second}");
    never_twice(&world);
    let shown = world.agentctl(&["show", "t"]);
    let shown = String::from_utf8(shown.stdout).unwrap();
    assert!(shown.contains("BEGAN") && shown.contains("resumed"), "{shown}");
}

#[test]
fn one_whose_transcript_is_gone_begins_anew_and_is_told_what_was_done() {
    let world = World::new();
    let _watcher = world.up("marie");
    let task = begin(&world, "t");
    fs::remove_file(transcript(&world, &task["attempts"][0]["session_id"])).unwrap();
    kill_agent(&task);
    open_gate(&world);
    let task = world.filed("marie/completed", "t");
    assert_eq!(each(&task, "began"), ["new", "told"]);
    assert_eq!(task["attempts"][0]["session_id"], task["attempts"][1]["session_id"], "it has its name still");
    let second = &told(&world)[1];
    assert!(second.starts_with("fake: say text=I have begun"), "the task itself comes first: {second}");
    for known in
        ["- I have begun", "- Bash: make install (no answer: nobody knows", "do not repeat what is done"]
    {
        assert!(second.contains(known), "{known}: {second}");
    }
    never_twice(&world);
}

#[test]
fn one_that_had_done_nothing_yet_is_asked_as_at_first() {
    let world = World::new();
    let _watcher = world.up("marie");
    let prompt = format!("fake: gate={}; succeed text=done", crate::gate(&world).display());
    world.submit("marie/pending", "t", &json!({"prompt": prompt}));
    let task = world.active("marie", "t", |task| task["attempts"][0]["pid"].is_number());
    world.until("it was told", || (told(&world).len() == 1).then_some(()));
    fs::remove_file(transcript(&world, &task["attempts"][0]["session_id"])).unwrap();
    kill_agent(&task);
    open_gate(&world);
    let task = world.filed("marie/completed", "t");
    assert_eq!(each(&task, "began"), ["new", "new"]);
    assert_eq!(told(&world), [prompt.clone(), prompt]);
}

#[test]
fn a_damaged_transcript_is_tried_copied_and_then_told() {
    let world = World::new();
    let _watcher = world.up("marie");
    let task = begin(&world, "t");
    fs::write(transcript(&world, &task["attempts"][0]["session_id"]), "").unwrap();
    kill_agent(&task);
    open_gate(&world);
    let task = world.filed("marie/completed", "t");
    assert_eq!(each(&task, "began"), ["new", "resumed", "forked", "told"]);
    assert_eq!(each(&task, "outcome"), ["crashed", "session_lost", "session_lost", "completed"]);
    assert_eq!(task["retry_count"], 1, "only the crash counts: {task}");
    assert!(attempts(&task)[1]["reason"].as_str().unwrap().contains("No conversation found"), "{task}");
    assert_eq!(attempts(&task)[2]["forked_from"], attempts(&task)[0]["session_id"]);
    let sessions = each(&task, "session_id");
    assert!(sessions[3] != sessions[0] && sessions[3] != sessions[2], "{sessions:?}");
    assert!(told(&world).last().unwrap().contains("- Bash: make install"), "{:?}", told(&world));
}

#[test]
fn a_copy_goes_on_where_the_conversation_itself_is_refused_and_costs_only_its_own() {
    for refusal in ["No, not that one", "plain: no line on stdout"] {
        let world = World::new();
        let _watcher = world.up("marie");
        refuse(&world, "resume", refusal);
        let prompt = "fake: cost usd=0.5; result text=half; fail error | cost usd=0.25; succeed text=second";
        world.submit("marie/pending", "t", &json!({"prompt": prompt}));
        let task = world.filed("marie/completed", "t");
        assert_eq!(each(&task, "began"), ["new", "resumed", "forked"], "{task}");
        assert_eq!(each(&task, "outcome"), ["failed", "session_lost", "completed"]);
        assert_eq!(attempts(&task)[2]["forked_from"], attempts(&task)[0]["session_id"]);
        assert_ne!(attempts(&task)[2]["session_id"], attempts(&task)[0]["session_id"]);
        assert_eq!(task["result"], "second", "the copy knows what was said");
        let costs: Vec<f64> =
            attempts(&task).iter().map(|it| it["cost_usd"].as_f64().unwrap_or(0.0)).collect();
        assert_eq!(costs, [0.5, 0.0, 0.25], "{task}");
        never_twice(&world);
    }
}

#[test]
fn a_cli_that_refuses_everything_holds_the_worker_and_the_conversation_is_not_lost_by_it() {
    let world = World::new();
    let _watcher = world.up("marie");
    let task = begin(&world, "t");
    let refusals = ["resume", "fork", "new"].map(|mode| refuse(&world, mode, "plain: a bad flag"));
    kill_agent(&task);
    let state = world.root().join("workers/marie/state.json");
    world.until("the worker holds", || {
        (crate::world::json(&state)?["hold"]["cause"] == "configuration").then_some(())
    });
    let task = world.filed("marie/pending", "t");
    assert_eq!(each(&task, "began"), ["new", "resumed", "forked", "told"], "{task}");
    assert_eq!(each(&task, "outcome"), ["crashed", "session_lost", "session_lost", "deferred"]);
    assert_eq!(task["retry_count"], 1);
    for path in refusals {
        fs::remove_file(path).unwrap();
    }
    open_gate(&world);
    let task = world.filed("marie/completed", "t");
    let last = attempts(&task).last().unwrap();
    assert_eq!(last["began"], "resumed", "{task}");
    assert_eq!(last["session_id"], attempts(&task)[0]["session_id"], "nothing was paid for twice");
    never_twice(&world);
}

#[test]
fn a_transcript_that_cannot_be_written_is_copied() {
    let world = World::unprivileged();
    let _watcher = world.up("marie");
    let task = begin(&world, "t");
    let path = transcript(&world, &task["attempts"][0]["session_id"]);
    fs::set_permissions(path, fs::Permissions::from_mode(0o444)).unwrap();
    kill_agent(&task);
    open_gate(&world);
    let task = world.filed("marie/completed", "t");
    assert_eq!(each(&task, "began"), ["new", "forked"], "{task}");
}

#[test]
fn watchers_that_die_between_the_rungs_do_not_begin_again() {
    let world = World::new();
    let first = world.up("marie");
    let task = begin(&world, "t");
    refuse(&world, "resume", "No");
    first.murder();
    kill_agent(&task);
    let second = world.up("marie");
    // It was charged, refused, and copied by now: the agent of the copy waits at the gate.
    let task = at_gate(&world, "t", 3);
    assert_eq!(each(&task, "began"), ["new", "resumed", "forked"], "{task}");
    second.murder();
    kill_agent(&task);
    fs::remove_file(world.home().join("refuse-resume")).unwrap();
    let third = world.up("marie");
    let task = at_gate(&world, "t", 4);
    assert_eq!(task["attempts"][3]["session_id"], task["attempts"][2]["session_id"], "the copy goes on");
    third.murder();
    open_gate(&world);
    let _fourth = world.up("marie");
    let task = world.filed("marie/completed", "t");
    assert_eq!(each(&task, "began"), ["new", "resumed", "forked", "resumed"]);
    assert_eq!(each(&task, "outcome"), ["crashed", "session_lost", "crashed", "completed"]);
    assert_eq!(task["retry_count"], 2);
    never_twice(&world);
}

#[test]
fn after_the_machine_went_down_the_record_is_told_too() {
    let world = World::new();
    let first = world.up("marie");
    begin(&world, "t");
    assert_eq!(first.stop(), 0);
    let path = world.root().join("tasks/marie/pending/t.json");
    let mut task = crate::world::json(&path).unwrap();
    task["attempts"][0]["boot_id"] = json!("another");
    fs::remove_file(path).unwrap();
    world.submit("marie/pending", "t", &task);
    open_gate(&world);
    let _second = world.up("marie");
    let task = world.filed("marie/completed", "t");
    assert_eq!(each(&task, "began"), ["new", "resumed"], "{task}");
    let second = &told(&world)[1];
    for known in
        ["it was stopped by whoever runs it", "The machine went down as well", "- Bash: make install"]
    {
        assert!(second.contains(known), "{known}: {second}");
    }
}

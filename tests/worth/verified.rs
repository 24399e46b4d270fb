//! The acceptance command passes, fails, is too slow, prints too much, is not there.

use std::fs;

use serde_json::{Value, json};

use crate::world::{World, json as read};
use crate::{checked, history, of_run, script, starts, submit};

#[test]
fn an_answer_counts_once_the_command_has_passed_in_the_agent_s_own_directory() {
    let world = World::new();
    checked(&world, "echo \"$1 in $(pwd)\"; cat answer.txt; echo; env | sort; test -f answer.txt");
    let mut watcher = world.watcher("marie");
    watcher.env("ANTHROPIC_API_KEY", "sk-ant-secret-of-the-test").env("LANG", "C.UTF-8");
    let watcher = world.start(&mut watcher, "marie");
    submit(&world, "write file=answer.txt text=42; succeed text=done");
    let task = world.filed("marie/completed", "t");
    assert_eq!((&task["result"], starts(&world)), (&json!("done"), 1));
    let said = fs::read_to_string(of_run(&world, &task, "attempt-1/verify.log")).unwrap();
    let run = task["run_id"].as_str().unwrap();
    assert!(
        said.starts_with(&format!("all in {}\n42", task["attempts"][0]["cwd"].as_str().unwrap())),
        "{said}"
    );
    for name in [format!("AGENT_RUN_ID={run}"), "AGENT_TASK=t".to_owned(), "LANG=C.UTF-8".to_owned()] {
        assert!(said.lines().any(|it| it == name), "{name} in {said}");
    }
    for name in ["ANTHROPIC_", "CLAUDE_", "AGENT_PIPE"] {
        assert!(!said.contains(name), "{name} in {said}");
    }
    let verdict = read(&of_run(&world, &task, "attempt-1/verify.json")).unwrap();
    assert_eq!((&verdict["passed"], &verdict["exit"]), (&json!(true), &json!(0)));
    assert_eq!(history(&world, &task, "verifying").len(), 1);
    assert_eq!(history(&world, &task, "verified").len(), 1);
    assert_eq!(watcher.stop(), 0);
}

#[test]
fn a_failure_is_charged_and_the_same_conversation_mends_it() {
    let world = World::new();
    checked(&world, "test -f mended && exit 0; echo 'assertion failed: no file mended'; exit 3");
    let _watcher = world.up("marie");
    submit(&world, "succeed text=first | write file=mended text=yes; succeed text=second");
    let task = world.filed("marie/completed", "t");
    assert_eq!((&task["result"], &task["retry_count"]), (&json!("second"), &json!(1)));
    let attempts = task["attempts"].as_array().unwrap();
    assert_eq!(attempts.len(), 2);
    assert_eq!(attempts[0]["session_id"], attempts[1]["session_id"], "it goes on, and does not begin again");
    let reason = attempts[0]["reason"].as_str().unwrap();
    assert!(reason.starts_with("the acceptance command `"), "{reason}");
    assert!(reason.ends_with("failed (exit status 3): assertion failed: no file mended"), "{reason}");
    assert_eq!(attempts[0]["charged"], true);
    let told: Vec<String> = world
        .agent_log()
        .iter()
        .filter(|it| it["event"] == "message")
        .map(|it| it["text"].as_str().unwrap_or_default().to_owned())
        .collect();
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told[1].starts_with("Your answer does not count yet: it was checked with `"), "{told:?}");
    assert!(told[1].contains("assertion failed: no file mended"), "{told:?}");
    let failed = read(&of_run(&world, &task, "attempt-1/verify.json")).unwrap();
    assert_eq!((&failed["passed"], &failed["exit"]), (&json!(false), &json!(3)));
}

#[test]
fn past_the_budget_the_task_fails_with_what_the_command_said() {
    let world = World::new();
    checked(&world, "echo no; exit 1");
    let _watcher = world.up("marie");
    let prompt = "fake: succeed text=done";
    world.submit("marie/pending", "t", &json!({"type": "checked", "prompt": prompt, "max_retries": 0}));
    let task = world.filed("marie/failed", "t");
    assert_eq!((&task["error_code"], &task["state"]), (&json!("E006"), &json!("FAILED")));
    assert!(task["failure_reason"].as_str().unwrap().ends_with("failed (exit status 1): no"), "{task}");
    assert_eq!(starts(&world), 1);
}

#[test]
fn one_that_is_too_slow_or_prints_without_end_is_ended_with_all_that_it_started() {
    let world = World::new();
    let check = checked(&world, "");
    let slow = |name: &str, more: &str| {
        let text = format!("max_retries = 0\nverify = ['{}']\n{more}", check.display());
        world.pack(name, &text);
    };
    script(
        &check,
        "setsid sh -c 'trap \"\" TERM; while :; do sleep 1; done' & \n[ \"$AGENT_TASK\" = flood ] && exec yes\nexec sleep 1000",
    );
    slow("slow", "verify_timeout = 1\n");
    slow("flood", "max_output = '1MiB'\n");
    let watcher = world.up("marie");
    for name in ["slow", "flood"] {
        world.submit("marie/pending", name, &json!({"type": name, "prompt": "fake: succeed text=done"}));
    }
    for (name, said) in [("slow", "was not done after"), ("flood", "printed more than is kept of it")] {
        let task = world.filed("marie/failed", name);
        let reason = task["failure_reason"].as_str().unwrap();
        assert!(reason.contains(said), "{reason}");
        assert_eq!(task["error_code"], "E006");
    }
    let alone = || (world.processes() == [watcher.pid()]).then_some(());
    world.until("nothing of them is left", alone);
}

#[test]
fn a_program_that_is_not_there_costs_no_agent_and_its_pack_waits_until_it_is() {
    let world = World::new();
    let check = world.path().join("check");
    world.pack("checked", &format!("verify = ['{}']\n", check.display()));
    let _watcher = world.up("marie");
    submit(&world, "succeed text=done");
    world.submit("marie/pending", "other", &json!({"prompt": "fake: succeed text=other"}));
    world.filed("marie/completed", "other");
    let why = world.until("the pack is barred", || {
        let state = read(&world.root().join("workers/marie/state.json"))?;
        state["packs"][0]["why"].as_str().or(state["packs"][0]["reason"].as_str()).map(str::to_owned)
    });
    assert!(why.contains("cannot be started: it is not there"), "{why}");
    assert_eq!(starts(&world), 1, "only the other's");
    script(&check, "exit 0");
    world.pack("checked", &format!("# mended\nverify = ['{}']\n", check.display()));
    let task = world.filed("marie/completed", "t");
    assert_eq!((&task["retry_count"], starts(&world)), (&json!(0), 2));
}

#[test]
fn a_program_that_vanishes_under_the_agent_keeps_the_answer_until_the_pack_is_mended() {
    let world = World::new();
    let check = checked(&world, "exit 0");
    let gate = world.path().join("gate");
    let watcher = world.up("marie");
    submit(&world, &format!("gate={}; succeed text=done", gate.display()));
    world.active("marie", "t", |it| it["state"] == "RUNNING");
    fs::remove_file(&check).unwrap();
    fs::write(&gate, "").unwrap();
    let waits = world.until("it waits in the queue", || {
        let task = read(&world.root().join("tasks/marie/pending/t.json"))?;
        task["failure_reason"].is_string().then_some(task)
    });
    assert_eq!((&waits["state"], &waits["retry_count"]), (&json!("PENDING"), &json!(0)));
    assert_eq!(waits["attempts"][0]["ended_at"], Value::Null, "its attempt is open");
    // Whoever comes next knows of it as well.
    assert_eq!(watcher.stop(), 0);
    let _next = world.up("marie");
    let other = world.path().join("other-check");
    script(&other, "exit 0");
    world.pack("checked", &format!("verify = ['{}']\n", other.display()));
    let task = world.filed("marie/completed", "t");
    assert_eq!((&task["result"], starts(&world)), (&json!("done"), 1), "the agent was paid once");
    assert_eq!((&task["retry_count"], task["attempts"].as_array().unwrap().len()), (&json!(0), 1));
    assert_eq!(world.homes("t"), ["marie/completed"]);
}

#[test]
fn what_an_answer_cost_counts_when_its_task_is_cancelled_before_it_was_verified() {
    for lives in [true, false] {
        let world = World::new();
        let check = checked(&world, "exit 0");
        let gate = world.path().join("gate");
        let watcher = world.up("marie");
        submit(&world, &format!("gate={}; cost usd=0.25; succeed text=done", gate.display()));
        world.active("marie", "t", |it| it["state"] == "RUNNING");
        fs::remove_file(&check).unwrap();
        fs::write(&gate, "").unwrap();
        world.until("it waits in the queue", || {
            let task = read(&world.root().join("tasks/marie/pending/t.json"))?;
            task["failure_reason"].is_string().then_some(())
        });
        if !lives {
            assert_eq!(watcher.stop(), 0);
        }
        let said = world.agentctl(&["cancel", "t", "--yes"]);
        assert!(said.status.success(), "{said:?}");
        let task = world.filed("marie/cancelled", "t");
        assert_eq!(
            (&task["attempts"][0]["cost_usd"], starts(&world)),
            (&json!(0.25), 1),
            "watcher lives: {lives}"
        );
        assert!(task["attempts"][0]["tokens"].is_object(), "{task}");
        let told = history(&world, &task, "concluded");
        assert_eq!(told.last().map(|it| &it["cost_usd"]), Some(&json!(0.25)), "{told:?}");
    }
}

#[test]
fn a_script_of_the_work_that_the_agent_took_away_is_the_work_s_own_failure() {
    let world = World::new();
    world.pack("checked", "verify = ['./check']\nmax_retries = 0\n");
    let _watcher = world.up("marie");
    submit(&world, "succeed text=done");
    let task = world.filed("marie/failed", "t");
    assert_eq!(task["error_code"], "E006");
    assert!(task["failure_reason"].as_str().unwrap().contains("is not there"), "{task}");
}

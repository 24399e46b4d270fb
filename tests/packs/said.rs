//! What a pack says reaches the agent; what a task says only narrows it.

use std::fs;

use serde_json::{Value, json};

use crate::world::World;

/// The arguments of the first start of the stand-in, as the kernel has them while it waits.
fn arguments(world: &World, task: &str) -> Vec<String> {
    let file = world.active("marie", task, |it| it["attempts"][0]["pid"].is_i64());
    let pid = file["attempts"][0]["pid"].as_i64().unwrap();
    world.until("its arguments can be read", || {
        let bytes = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        let words: Vec<String> =
            bytes.split(|it| *it == 0).map(|it| String::from_utf8_lossy(it).into_owned()).collect();
        words.iter().any(|it| it == "--session-id").then_some(words)
    })
}

fn value<'a>(arguments: &'a [String], flag: &str) -> &'a str {
    let at = arguments.iter().position(|it| it == flag).unwrap_or_else(|| panic!("{flag} in {arguments:?}"));
    &arguments[at + 1]
}

#[test]
fn model_tools_mode_and_limits_are_told_and_a_task_narrows_them() {
    let world = World::new();
    world.pack("review",
        "model = 'sonnet'\nfallback_model = 'haiku'\npermission_mode = 'dontAsk'\nallowed_tools = ['Read', 'Bash(git log *)']\n\
         disallowed_tools = ['WebFetch']\nsystem_prompt = 'Be brief.'\nmax_turns = 9\nmax_cost_usd = 2.5\n",
    );
    let gate = world.path().join("gate");
    let _watcher = world.up("marie");
    let prompt = format!("fake: gate={}; succeed text=done", gate.display());
    world.submit(
        "marie/pending",
        "t",
        &json!({"type": "review", "prompt": prompt, "max_turns": 500, "max_cost_usd": 0.25}),
    );
    let told = arguments(&world, "t");
    assert_eq!(value(&told, "--permission-mode"), "dontAsk");
    assert_eq!(value(&told, "--allowedTools"), "Read,Bash(git log *)");
    assert!(value(&told, "--disallowedTools").ends_with(",WebFetch"));
    assert_eq!(value(&told, "--max-turns"), "9", "a task does not widen");
    assert_eq!(value(&told, "--max-budget-usd"), "0.25", "a task narrows");
    for word in ["--model=sonnet", "--fallback-model=haiku", "--append-system-prompt=Be brief."] {
        assert!(told.iter().any(|it| it == word), "{word} in {told:?}");
    }
    fs::write(gate, "").unwrap();
    let task = world.filed("marie/completed", "t");
    let stamp =
        world.root().join(format!("artifacts/{}/attempt-1/pack.json", task["run_id"].as_str().unwrap()));
    let stamp: Value = serde_json::from_slice(&fs::read(stamp).unwrap()).unwrap();
    assert_eq!(
        (&stamp["name"], &stamp["model"], &stamp["max_turns"]),
        (&json!("review"), &json!("sonnet"), &json!(9))
    );
}

#[test]
fn a_task_without_a_pack_is_run_as_without_any_and_none_can_name_an_argument() {
    let world = World::new();
    let gate = world.path().join("gate");
    let _watcher = world.up("marie");
    let prompt = format!("fake: gate={}; succeed text=done", gate.display());
    world.submit("marie/pending", "plain", &json!({"prompt": prompt, "model": "--evil"}));
    let told = arguments(&world, "plain");
    assert_eq!(value(&told, "--permission-mode"), "acceptEdits");
    assert!(value(&told, "--allowedTools").starts_with("Bash,Edit,"));
    assert!(!told.iter().any(|it| it.contains("evil") || it.starts_with("--model")), "{told:?}");
    fs::write(gate, "").unwrap();
    let task = world.filed("marie/completed", "plain");
    let run = world.root().join("artifacts").join(task["run_id"].as_str().unwrap());
    assert!(!run.join("attempt-1/pack.json").exists());
    for (name, kind) in [("flag", "--print"), ("climb", "../../etc/x"), ("path", "a/b")] {
        world.submit("marie/pending", name, &json!({"prompt": "fake: succeed", "type": kind}));
        let task = world.filed("marie/failed", name);
        assert_eq!(task["error_code"], "E001", "{kind}: {task}");
    }
}

#[test]
fn the_prompt_is_filled_and_what_the_task_lacks_is_named() {
    let world = World::new();
    world.pack("say", "prompt = 'Greet {{input.who}}: {{prompt}}'\n");
    let _watcher = world.up("marie");
    world.submit(
        "marie/pending",
        "good",
        &json!({"type": "say", "prompt": "warmly {{id}}", "input": {"who": "Ana"}}),
    );
    assert_eq!(world.filed("marie/completed", "good")["result"], "heard: Greet Ana: warmly {{id}}");
    world.submit("marie/pending", "bad", &json!({"type": "say", "prompt": "x"}));
    let task = world.filed("marie/failed", "bad");
    assert_eq!(task["error_code"], "E002", "{task}");
    assert!(task["failure_reason"].as_str().unwrap().contains("`input.who`"), "{task}");
    assert_eq!(task["result"], Value::Null);
}

#[test]
fn the_environment_is_that_of_the_pack_in_place_of_the_worker_s() {
    let world = World::new();
    world.pack("own", "environment = ['ONE_*']\n");
    world.pack("bare", "environment = []\n");
    let mut command = world.watcher("marie");
    command.args(["--agent-env", "TWO"]).env("ONE_A", "one").env("TWO", "two").env("LD_DEBUG", "no");
    let started = world.start(&mut command, "marie");
    world.at_work("marie", &started);
    let heard = |name: &str, kind: Option<&str>, variable: &str| {
        let mut task = json!({"prompt": format!("fake: env name={variable}; succeed")});
        if let Some(kind) = kind {
            task["type"] = json!(kind);
        }
        world.submit("marie/pending", name, &task);
        let filed = world.filed("marie/completed", name);
        let run = world.root().join("artifacts").join(filed["run_id"].as_str().unwrap());
        fs::read_to_string(run.join("attempt-1/stream.ndjson")).unwrap()
    };
    assert!(heard("a", Some("own"), "ONE_A").contains("one"));
    assert!(!heard("b", Some("own"), "TWO").contains("two"));
    assert!(!heard("c", Some("bare"), "TWO").contains("two"));
    assert!(heard("d", None, "TWO").contains("two"));
}

#[test]
fn where_a_task_works_is_within_the_roots_of_both() {
    let world = World::new();
    let (srv, inner) = (world.path().join("srv"), world.path().join("srv/inner"));
    fs::create_dir_all(&inner).unwrap();
    world.pack("inner", &format!("workdir = 'required'\nworkdir_roots = ['{}']\n", inner.display()));
    world.pack("nowhere", "workdir = 'none'\n");
    let started = world.start(world.watcher("marie").arg("--workdir-root").arg(&srv), "marie");
    world.at_work("marie", &started);
    world.submit(
        "marie/pending",
        "in",
        &json!({"type": "inner", "prompt": "fake: write file=here text=x; succeed", "workdir": inner}),
    );
    world.filed("marie/completed", "in");
    assert!(inner.join("here").is_file());
    for (name, kind, workdir, word) in [
        ("out", "inner", Some(&srv), "works below"),
        ("none", "inner", None, "add `workdir`"),
        ("never", "nowhere", Some(&srv), "take `workdir` out"),
    ] {
        let mut task = json!({"type": kind, "prompt": "fake: succeed"});
        if let Some(workdir) = workdir {
            task["workdir"] = json!(workdir);
        }
        world.submit("marie/pending", name, &task);
        let task = world.filed("marie/failed", name);
        assert_eq!(task["error_code"], "E002", "{task}");
        assert!(task["failure_reason"].as_str().unwrap().contains(word), "{task}");
    }
}

#[test]
fn time_retries_and_the_worth_of_an_answer_are_those_of_the_pack() {
    let world = World::new();
    world.pack("short", "timeout = 2\nafter_timeout = 'fail'\nmax_retries = 5\n");
    world.pack("anew", "timeout = 2\nafter_timeout = 'start-over'\n");
    world.pack("once", "max_retries = 0\n");
    world.pack("lenient", "denied_tools = 'report'\n");
    world.pack("strict", "description = 'x'\n");
    let _watcher = world.up("marie");
    world.submit(
        "marie/pending",
        "slow",
        &json!({"type": "short", "prompt": "fake: hang", "timeout_s": 600}),
    );
    let slow = world.filed("marie/failed", "slow");
    assert_eq!(
        (&slow["state"], slow["attempts"].as_array().unwrap().len()),
        (&json!("TIMEOUT"), 1),
        "{slow}"
    );
    let hangs = json!({"type": "anew", "prompt": "fake: hang", "max_retries": 1});
    world.submit("marie/pending", "again", &hangs);
    let again = world.filed("marie/failed", "again");
    let session = |at: usize| again["attempts"][at]["session_id"].clone();
    assert_ne!(session(0), session(1), "another conversation: {again}");
    let dies = "fake: die";
    world.submit("marie/pending", "dies", &json!({"type": "once", "prompt": dies, "max_retries": 9}));
    let task = world.filed("marie/failed", "dies");
    assert_eq!(task["attempts"].as_array().unwrap().len(), 1, "a task does not widen: {task}");
    let denied = "fake: denied tool=WebFetch; succeed text=all the same";
    world.submit("marie/pending", "counts", &json!({"type": "lenient", "prompt": denied}));
    assert_eq!(world.filed("marie/completed", "counts")["result"], "all the same");
    world.submit("marie/pending", "fails", &json!({"type": "strict", "prompt": denied}));
    let task = world.filed("marie/failed", "fails");
    assert_eq!(task["error_code"], "E005", "{task}");
    assert!(task["failure_reason"].as_str().unwrap().contains("packs/strict.toml"), "{task}");
}

#[test]
fn a_run_that_is_taken_up_or_judged_later_goes_by_what_it_was_started_with() {
    let world = World::new();
    let path = world.pack("lenient", "denied_tools = 'report'\n");
    let gate = world.path().join("gate");
    let watcher = world.up("marie");
    let prompt = format!("fake: gate={}; denied tool=WebFetch; succeed text=kept", gate.display());
    world.submit("marie/pending", "t", &json!({"type": "lenient", "prompt": prompt}));
    world.active("marie", "t", |it| it["attempts"][0]["pid"].is_i64());
    watcher.murder();
    fs::remove_file(path).unwrap();
    let _watcher = world.up("marie");
    fs::write(gate, "").unwrap();
    assert_eq!(world.filed("marie/completed", "t")["result"], "kept");
}

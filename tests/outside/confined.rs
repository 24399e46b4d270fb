//! What an agent can write to: what is its run's own, and nothing else of the root, of the worker and of other runs. Each thing
//! is tried by a shell that the agent starts, also as root, whom no mode would stop.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::real;
use crate::sight::{agent, logged, state, tasks};
use crate::world::{Started, World};

/// By what the agents of a worker are kept in; nothing where this kernel cannot.
fn held(world: &World) -> Option<u32> {
    let shown = state(world, "marie", |it| it["status"] == "running");
    let said = shown["confined"].as_str().and_then(|it| it.strip_prefix("landlock "));
    if said.is_none() {
        real::skip("this kernel has no Landlock, or one that is too old");
    }
    said.map(|it| it.parse().unwrap())
}

/// A watcher whose configuration lies in a file.
fn up(world: &World, flags: &[&str]) -> Started {
    let config = world.path().join("config.toml");
    fs::write(&config, "grace = \"5s\"\n").unwrap();
    let mut command = world.watcher("marie");
    command.arg("--config").arg(config).args(flags);
    let watcher = world.start(&mut command, "marie");
    world.at_work("marie", &watcher);
    watcher
}

/// A script that tries each of them and says which of them could be done.
fn script(world: &World, tries: &[(&str, String)]) -> PathBuf {
    let mut text = "R=$ROOT\n".replace("$ROOT", world.root().to_str().unwrap());
    for (name, what) in tries {
        writeln!(text, "if ( {what} ) >>errors.txt 2>&1; then echo \"yes {name}\"; else echo \"no {name}\"; fi >>said.txt")
            .unwrap();
    }
    let path = world.path().join("tries.sh");
    fs::write(&path, text).unwrap();
    path
}

/// What it said.
fn said(workspace: &Path) -> BTreeMap<String, bool> {
    let text = fs::read_to_string(workspace.join("said.txt")).unwrap();
    let lines = text.lines().filter_map(|line| line.split_once(' '));
    lines.map(|(word, name)| (name.to_owned(), word == "yes")).collect()
}

fn workspace(world: &World, task: &Value) -> PathBuf {
    world.root().join("workspaces").join(task["run_id"].as_str().unwrap())
}

/// What no agent may do; `other` is a run that is over, `colleague` one at work.
fn forbidden(
    world: &World,
    watcher: i32,
    colleague: i32,
    (other, at_work): (&str, &str),
) -> Vec<(&'static str, String)> {
    let config = world.path().join("config.toml").display().to_string();
    let log = world.logs().join("marie.log").display().to_string();
    let mut all: Vec<(&'static str, String)> = vec![
        ("drops into the inbox", "echo '{}' > $R/tasks/forged.json".to_owned()),
        ("makes a worker", "mkdir $R/tasks/evil".to_owned()),
        ("edits a task that waits", "echo >> $R/tasks/marie/pending/waits.json".to_owned()),
        ("takes a task away", "rm $R/tasks/marie/pending/waits.json".to_owned()),
        ("files its own task", "mv $R/tasks/marie/active/t.json $R/tasks/marie/completed/t.json".to_owned()),
        (
            "moves its work into the queue",
            "echo '{}' > x.json; mv x.json $R/tasks/marie/pending/x.json".to_owned(),
        ),
        ("reaches a task by a second name", "ln $R/tasks/marie/pending/waits.json second".to_owned()),
        ("writes through a link", "ln -s $R/tasks link; echo '{}' > link/forged.json".to_owned()),
        ("gives orders to the worker", "echo pause > $R/pipes/marie.in".to_owned()),
        ("gives orders to another agent", "echo hi > $R/pipes/marie_colleague.in".to_owned()),
        ("says something as another agent", format!("echo '{{}}' > $R/artifacts/{at_work}/pipes/agent.in")),
        ("says what comes from the worker", "echo '{}' <> $R/pipes/marie.out >&0".to_owned()),
        ("removes a lock", "rm $R/locks/marie_watcher.lock".to_owned()),
        ("makes a lock", "touch $R/locks/marie_x.lock".to_owned()),
        ("writes the state", "echo '{}' > $R/workers/marie/state.json".to_owned()),
        ("writes the heartbeat", "echo '{}' >> $R/workers/marie/heartbeat.json".to_owned()),
        (
            "writes the journal",
            "for it in $R/workers/marie/journal/*; do echo x >> $it || exit 1; done".to_owned(),
        ),
        ("moves the worker's folder", "mv $R/workers/marie $R/workers/evil".to_owned()),
        ("makes a pack", "mkdir -p $R/packs; echo > $R/packs/evil.toml".to_owned()),
        ("writes what workers know together", "mkdir -p $R/limits; echo > $R/limits/x.json".to_owned()),
        ("writes the configuration", format!("echo >> {config}")),
        ("writes the log", format!("echo >> {log}")),
        ("forges another's answer", format!("echo x > $R/artifacts/{other}/output.txt")),
        ("writes another's stream", format!("echo x >> $R/artifacts/{at_work}/attempt-1/stream.ndjson")),
        ("writes into another's workspace", format!("echo x > $R/workspaces/{other}/x")),
        ("forges its own outcome", "echo '{}' > $R/artifacts/$AGENT_RUN_ID/result.json".to_owned()),
        ("forges where it came from", "echo '{}' > $R/artifacts/$AGENT_RUN_ID/input.json".to_owned()),
        ("removes its own stream", "rm $R/artifacts/$AGENT_RUN_ID/attempt-1/stream.ndjson".to_owned()),
        ("mounts over the root", "mount -t tmpfs none $R/tasks".to_owned()),
        ("reads the watcher's environment", format!("head -c 1 /proc/{watcher}/environ")),
        ("writes the watcher's memory", format!("echo > /proc/{watcher}/mem")),
        ("changes the watcher's rank", format!("echo 1000 > /proc/{watcher}/oom_score_adj")),
    ];
    for place in ["pending", "staged", "active", "completed", "failed", "cancelled"] {
        let name = Box::leak(format!("drops into {place}").into_boxed_str());
        all.push((name, format!("echo '{{}}' > $R/tasks/marie/{place}/forged.json")));
    }
    for (name, path) in [
        ("cuts a task short", "tasks/marie/pending/waits.json"),
        ("cuts the state short", "workers/marie/state.json"),
    ] {
        all.push((name, format!("truncate -s 0 $R/{path}")));
    }
    for (name, signal, pid) in [
        ("ends the watcher", "TERM", watcher),
        ("kills the watcher", "KILL", watcher),
        ("kills another agent", "KILL", colleague),
    ] {
        all.push((name, format!("kill -{signal} {pid}")));
    }
    all
}

/// What an agent's work needs.
fn needed(world: &World) -> Vec<(&'static str, String)> {
    let agentctl = world.program("agentctl").display().to_string();
    [
        ("works in its workspace", "mkdir -p a b; echo x > a/f; mv a/f b/g; ln b/g b/h; rm b/g; test -s b/h"),
        ("has a scratch", "mkdir $TMPDIR/d; echo x > $TMPDIR/d/f"),
        ("has a home", "mkdir -p $HOME/.cache/x; echo x > $HOME/.cache/x/f"),
        ("throws away", "echo x > /dev/null"),
        ("complains anew", "echo x > /dev/stderr"),
        ("ends its own", "sleep 600 & kill -TERM $!"),
        ("reads the root", "cat $R/tasks/marie/pending/waits.json && ls $R/tasks"),
        ("reports", "AGENTCTL progress 'half of it'"),
        ("hands on", "AGENTCTL submit 'fake: succeed text=handed on'"),
        ("hands on by hand", r#"echo '{"op":"submit","spec":{"prompt":"by hand"}}' > $AGENT_PIPE"#),
        ("hears an answer", r#"cd $(dirname $AGENT_PIPE); mkfifo mine; exec 3<>mine; echo '{"op":"status","reply_to":"mine"}' > $AGENT_PIPE; grep -q marie <&3; rm mine"#),
    ]
    .map(|(name, what)| (name, what.replace("AGENTCTL", &agentctl)))
    .into()
}

#[test]
fn an_agent_writes_what_is_its_run_s_own_and_nothing_else() {
    for world in [World::new(), World::unprivileged()] {
        tries_everything(&world);
    }
}

fn tries_everything(world: &World) {
    let watcher = up(world, &["--concurrency", "3"]);
    let Some(abi) = held(world) else { return };
    world.submit("marie/pending", "other", &json!({"prompt": "fake: write file=a text=b; succeed"}));
    let other = world.filed("marie/completed", "other");
    let end = world.path().join("end");
    world.submit(
        "marie/pending",
        "colleague",
        &json!({"prompt": format!("fake: gate={}; succeed", end.display())}),
    );
    world.submit("marie/pending", "waits", &json!({"prompt": "x", "not_before": "2099-01-01T00:00:00Z"}));
    let colleague = agent(world, "colleague");
    let at_work = world.active("marie", "colleague", |it| it["run_id"].is_string());
    let runs = (other["run_id"].as_str().unwrap(), at_work["run_id"].as_str().unwrap());
    let forbidden = forbidden(world, watcher.pid(), colleague, runs);
    let needed = needed(world);
    let tries: Vec<_> = forbidden.iter().chain(&needed).cloned().collect();
    let script = script(world, &tries);
    world.submit("marie/pending", "t", &json!({"prompt": format!("fake: run text=sh {}", script.display())}));
    let task = world.filed("marie/completed", "t");
    let said = said(&workspace(world, &task));
    let errors = fs::read_to_string(workspace(world, &task).join("errors.txt")).unwrap();
    // What kernels learned later is not asked of older ones.
    let beyond = |name: &str| match name {
        "ends the watcher" | "kills the watcher" | "kills another agent" => abi < 6,
        "cuts a task short" | "cuts the state short" => abi < 3,
        // Root may measure everybody (CAP_PERFMON), and is then let in to read.
        "reads the watcher's environment" => world.uid.is_none() && nix::unistd::geteuid().is_root(),
        _ => false,
    };
    assert_eq!(said.len(), tries.len(), "all of them were tried: {said:?}\n{errors}");
    let done: Vec<_> = forbidden.iter().map(|it| it.0).filter(|it| said[*it] && !beyond(it)).collect();
    assert!(done.is_empty(), "an agent {done:?}\n{errors}");
    let lacks: Vec<_> = needed.iter().map(|it| it.0).filter(|it| !said[*it]).collect();
    assert!(lacks.is_empty(), "no agent {lacks:?}\n{errors}");
    world.until("what it handed on is done", || (tasks(world, "marie/completed").len() >= 4).then_some(()));
    fs::write(end, "").unwrap();
    world.filed("marie/completed", "colleague");
    assert_eq!(watcher.stop(), 0);
}

#[test]
fn what_checks_an_answer_is_held_to_the_same() {
    let world = World::new();
    let verify = format!("echo '{{}}' > {}/tasks/forged.json || touch refused", world.root().display());
    world.pack("checked", &format!("verify = ['/bin/sh', '-c', \"{verify}\"]\n"));
    let watcher = up(&world, &["--confine", "auto"]);
    if held(&world).is_none() {
        return;
    }
    world.submit("marie/pending", "t", &json!({"type": "checked", "prompt": "fake: succeed text=done"}));
    let task = world.filed("marie/completed", "t");
    assert!(workspace(&world, &task).join("refused").exists());
    assert!(tasks(&world, "").is_empty());
    assert_eq!(watcher.stop(), 0);
}

#[test]
fn whoever_wants_no_fence_has_none_and_is_told_so() {
    let world = World::new();
    let watcher = up(&world, &["--confine", "none"]);
    let tries = [
        ("edits a task that waits", "echo >> $R/tasks/marie/pending/waits.json".to_owned()),
        ("makes a pack", "mkdir $R/packs; echo > $R/packs/mine.toml".to_owned()),
        ("gives orders to the worker", "echo ping > $R/pipes/marie.in".to_owned()),
    ];
    let script = script(&world, &tries);
    world.submit("marie/pending", "waits", &json!({"prompt": "x", "not_before": "2099-01-01T00:00:00Z"}));
    world.submit("marie/pending", "t", &json!({"prompt": format!("fake: run text=sh {}", script.display())}));
    let task = world.filed("marie/completed", "t");
    let said = said(&workspace(&world, &task));
    assert!(said.values().all(|it| *it), "{said:?}");
    assert_eq!(logged(&world, "marie", "wherever their user may").len(), 1, "{}", world.said());
    assert_eq!(state(&world, "marie", |_| true)["confined"], Value::Null);
    assert_eq!(watcher.stop(), 0);
}

#[test]
fn a_link_that_an_agent_left_opens_nothing_to_the_next_one() {
    let world = World::new();
    let extra = world.home().join("extra");
    fs::create_dir(&extra).unwrap();
    let watcher = up(&world, &["--agent-writes", extra.to_str().unwrap()]);
    if held(&world).is_none() {
        return;
    }
    let tried = |name: &str, what: &'static str| {
        let script = script(&world, &[("it", what.to_owned())]);
        world.submit(
            "marie/pending",
            name,
            &json!({"prompt": format!("fake: run text=sh {}", script.display())}),
        );
        said(&workspace(&world, &world.filed("marie/completed", name)))["it"]
    };
    assert!(tried("a", "echo x > $HOME/extra/x"));
    // What is granted by name, and an entry of a folder that is granted entry by entry.
    assert!(tried("b", "rm -r $HOME/extra && ln -s $R/tasks $HOME/extra && ln -s $R/packs $HOME/.cache"));
    std::os::unix::fs::symlink(world.root().join("tasks"), world.path().join("beside")).unwrap();
    assert!(!tried("c", "echo '{}' > $HOME/extra/forged.json || echo '{}' > $R/../beside/forged.json"));
    assert!(!tried("d", "mkdir -p $R/packs/x || mkdir -p $HOME/.cache/x"));
    assert!(tasks(&world, "").is_empty());
    assert_eq!(watcher.stop(), 0);
}

#[test]
fn a_link_by_which_a_worker_is_set_up_cannot_be_turned_elsewhere() {
    let world = World::new();
    let (config, link) = (world.path().join("config.toml"), world.home().join("agents.toml"));
    fs::write(&config, "").unwrap();
    // Nothing can be made beside the link; what is there may be written.
    fs::write(world.home().join("fake-claude.log"), "").unwrap();
    std::os::unix::fs::symlink(&config, &link).unwrap();
    let watcher = world.start(world.watcher("marie").arg("--config").arg(&link), "marie");
    world.at_work("marie", &watcher);
    if held(&world).is_none() {
        return;
    }
    let tries = [
        ("removes it", "rm $HOME/agents.toml"),
        ("puts another there", "echo > mine.toml; ln -sf $PWD/mine.toml $HOME/agents.toml"),
        ("moves it", "mv $HOME/agents.toml $HOME/.claude/x"),
        ("moves one over it", "echo > mine.toml; mv mine.toml $HOME/agents.toml"),
        ("does its work", "touch $HOME/.claude/x; echo >> $HOME/fake-claude.log"),
    ];
    let script = script(&world, &tries.map(|(name, what)| (name, what.to_owned())));
    let prompt = format!("fake: run text=sh {}", script.display());
    world.submit("marie/pending", "t", &json!({"prompt": prompt}));
    let said = said(&workspace(&world, &world.filed("marie/completed", "t")));
    for (name, _) in tries {
        assert_eq!(said[name], name == "does its work", "{name}");
    }
    assert_eq!(fs::read_link(&link).unwrap(), config);
    assert_eq!(watcher.stop(), 0);
}

#[test]
fn a_kernel_that_cannot_is_said_and_where_it_was_asked_for_nothing_begins() {
    // A filter as container engines had it: the calls are refused.
    let world = World::new();
    for (asked, begins) in [("auto", true), ("landlock", false)] {
        let inner = world.watcher("marie");
        let mut command = std::process::Command::new("strace");
        command.args([
            "-f",
            "-qq",
            "-e",
            "trace=landlock_create_ruleset",
            "-e",
            "inject=landlock_create_ruleset:error=ENOSYS",
        ]);
        command
            .args(["-o", "/dev/null"])
            .arg(inner.get_program())
            .args(inner.get_args())
            .args(["--confine", asked]);
        command.env_clear().envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?))));
        let tag = format!("marie-{asked}");
        let watcher = world.start(&mut command, &tag);
        if begins {
            world.submit("marie/pending", "t", &json!({"prompt": "fake: succeed text=free"}));
            assert_eq!(world.filed("marie/completed", "t")["result"], "free");
            assert_eq!(logged(&world, &tag, "this kernel has no Landlock").len(), 1, "{}", world.said());
            let stopped = world.agentctl(&["stop", "marie", "--yes"]);
            assert!(stopped.status.success(), "{stopped:?}");
        }
        let code = watcher.ended();
        assert_eq!(code, if begins { 0 } else { 78 }, "{}", world.said());
    }
}

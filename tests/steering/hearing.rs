//! The pipe is there while the agent can hear, and takes whatever is written into it.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;

use serde_json::json;

use crate::sight::{agent, events, logged, state};
use crate::world::World;
use crate::{agent_pipe, ask, is_pipe, write};

#[test]
fn a_pipe_is_there_while_the_agent_hears_and_gone_afterwards() {
    let world = World::new();
    let _watcher = world.up("marie");
    world.submit("", "t", &json!({"prompt": "fake: listen"}));
    agent(&world, "t");
    let pipe = agent_pipe(&world, "t");
    world.until("its pipe is there", || is_pipe(&pipe).then_some(()));
    assert_eq!(fs::metadata(&pipe).unwrap().permissions().mode() & 0o777, 0o620);
    // Whoever takes it away gets it back.
    fs::remove_file(&pipe).unwrap();
    fs::write(&pipe, "no pipe").unwrap();
    world.until("it is made again", || is_pipe(&pipe).then_some(()));
    assert_eq!(fs::read_to_string(pipe.with_extension("in.misplaced-1")).unwrap(), "no pipe");
    write(&world, &pipe, "go on");
    assert_eq!(world.filed("marie/completed", "t")["result"], "heard: go on");
    world.until("its pipe is gone", || (!pipe.exists()).then_some(()));
    let task = world.filed("marie/completed", "t");
    let own = world.root().join("artifacts").join(task["run_id"].as_str().unwrap()).join("pipes/agent.in");
    assert!(!own.exists());
}

#[test]
fn stray_pipes_are_swept_at_the_start_and_only_ours() {
    let world = World::new();
    let pipes = world.root().join("pipes");
    fs::create_dir_all(&pipes).unwrap();
    let made = ["marie_old.in", "marie-2_old.in", "anga_old.in", "marie_old.out"];
    for name in made {
        nix::unistd::mkfifo(&pipes.join(name), nix::sys::stat::Mode::S_IRWXU).unwrap();
    }
    fs::write(pipes.join("marie_file.in"), "kept").unwrap();
    let _watcher = world.up("marie");
    world.until("it is swept", || (!pipes.join("marie_old.in").exists()).then_some(()));
    for name in &made[1..] {
        assert!(is_pipe(&pipes.join(name)), "{name}");
    }
    assert_eq!(fs::read_to_string(pipes.join("marie_file.in")).unwrap(), "kept");
}

#[test]
fn hostile_lines_cost_themselves_and_nothing_else() {
    let world = World::new();
    let _watcher = world.up("marie");
    world.submit("", "t", &json!({"prompt": "fake: listen"}));
    agent(&world, "t");
    let pipe = agent_pipe(&world, "t");
    world.until("its pipe is there", || is_pipe(&pipe).then_some(()));
    let mut raw = fs::OpenOptions::new().write(true).open(&pipe).unwrap();
    for bytes in [
        b"\xff\xfe\n".to_vec(),
        b"with a \0 in it\n".to_vec(),
        b"\x1b[2J\n".to_vec(),
        [vec![b'x'; 10_000], vec![b'\n']].concat(),
        b"\n  \n".to_vec(),
    ] {
        raw.write_all(&bytes).unwrap();
    }
    for (command, code) in [
        (json!({"op": "cancel"}), 69),
        (json!({"op": "stop"}), 69),
        (json!({"op": "tell"}), 64),
        (json!({"op": "tell", "text": " "}), 64),
        (json!({"op": "tell", "text": "x", "task": "other"}), 65),
        (json!({"op": "tel", "text": "x"}), 64),
        (json!({"op": "interrupt", "txt": "x"}), 64),
    ] {
        let reply = ask(&world, &pipe, command.clone());
        assert_eq!((&reply["ok"], &reply["code"]), (&json!(false), &json!(code)), "{command}: {reply}");
    }
    assert!(events(&world, "end", "t").is_empty(), "it works on");
    // An object without an op is a message, and so are words that are a command elsewhere.
    write(&world, &pipe, "stop");
    assert_eq!(world.filed("marie/completed", "t")["result"], "heard: stop");
    assert_eq!(logged(&world, "marie", "panicked").len(), 0);
}

#[test]
fn half_a_line_is_never_said() {
    let world = World::new();
    let _watcher = world.up("marie");
    world.submit("", "t", &json!({"prompt": "fake: listen"}));
    agent(&world, "t");
    let pipe = agent_pipe(&world, "t");
    world.until("its pipe is there", || is_pipe(&pipe).then_some(()));
    let mut raw = fs::OpenOptions::new().write(true).open(&pipe).unwrap();
    raw.write_all(b"rm -rf").unwrap();
    world.until("it is given up", || (!logged(&world, "marie", "half a line").is_empty()).then_some(()));
    write(&world, &pipe, "whole");
    assert_eq!(world.filed("marie/completed", "t")["result"], "heard: whole");
    state(&world, "marie", |it| it["running"].as_array().is_some_and(Vec::is_empty));
}

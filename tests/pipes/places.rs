//! What may happen to a pipe itself: it is gone, replaced, or something else stands in its place.

use std::fs;
use std::os::unix::fs::symlink;

use nix::sys::stat::Mode;
use serde_json::json;

use super::{Listener, commands, done, is_pipe, out};
use crate::http::code;
use crate::sight::{logged, names};
use crate::world::World;

#[test]
fn a_pipe_that_is_gone_or_replaced_is_there_again_and_heard() {
    let world = World::new();
    let _watcher = world.up("marie");
    done(&world, json!({"op": "ping"}));
    fs::remove_file(commands(&world)).unwrap();
    fs::remove_file(out(&world)).unwrap();
    world
        .until("both are made again", || (is_pipe(&commands(&world)) && is_pipe(&out(&world))).then_some(()));
    done(&world, json!({"op": "ping"}));
    Listener::to_marie(&world);
    fs::remove_file(commands(&world)).unwrap();
    nix::unistd::mkfifo(&commands(&world), Mode::S_IRUSR | Mode::S_IWUSR).unwrap();
    done(&world, json!({"op": "ping"}));
}

#[test]
fn what_stands_in_a_pipe_s_place_is_moved_aside_unread_and_told() {
    let world = World::new();
    let pipes = world.root().join("pipes");
    fs::create_dir_all(&pipes).unwrap();
    // Somebody wrote before there was a pipe.
    fs::write(commands(&world), "pause\n").unwrap();
    symlink("/dev/null", out(&world)).unwrap();
    let _watcher = world.up("marie");
    assert_eq!(done(&world, json!({"op": "status"}))["result"]["status"], "running", "it was not read");
    let mut marie = Listener::to_marie(&world);
    assert_eq!(fs::read_to_string(pipes.join("marie.in.misplaced-1")).unwrap(), "pause\n");
    assert!(fs::symlink_metadata(pipes.join("marie.out.misplaced-1")).unwrap().is_symlink());
    assert!(!logged(&world, "marie", "a regular file stood in the place of the pipe").is_empty());
    fs::remove_file(commands(&world)).unwrap();
    fs::create_dir(commands(&world)).unwrap();
    let warning = marie.next(&world, |event| event["type"] == "agent-worker.worker.warning");
    assert!(warning["data"]["message"].as_str().unwrap().contains("a folder stood"), "{warning}");
    assert!(warning["data"]["remedy"].is_string());
    done(&world, json!({"op": "ping"}));
    assert!(names(&pipes).contains(&"marie.in.misplaced-2".to_owned()));
}

#[test]
fn pipes_that_cannot_be_put_right_are_told_and_the_work_goes_on() {
    let world = World::new();
    let started = world.start(&mut world.served("marie", "127.0.0.1:0"), "marie");
    world.at_work("marie", &started);
    done(&world, json!({"op": "ping"}));
    let (pipes, away) = (world.root().join("pipes"), world.path().join("away"));
    fs::rename(&pipes, &away).unwrap();
    symlink(&away, &pipes).unwrap();
    let address = world.address("marie");
    world.until("health says why", || {
        let said = crate::http::get(address, "/health");
        (code(&said) == "200" && said.contains("degraded") && said.contains("no link")).then_some(())
    });
    world.submit("", "t", &json!({"prompt": "fake: succeed"}));
    world.filed("marie/completed", "t");
    fs::remove_file(&pipes).unwrap();
    fs::rename(&away, &pipes).unwrap();
    done(&world, json!({"op": "ping"}));
    world.until("health is well again", || {
        (!crate::http::get(address, "/health").contains("no link")).then_some(())
    });
}

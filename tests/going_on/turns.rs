//! A run whose turns are used up.

use serde_json::json;

use crate::world::World;
use crate::{each, never_twice, told};

#[test]
fn it_goes_on_as_often_as_its_pack_says_and_is_not_charged() {
    let world = World::new();
    world.pack("long", "after_max_turns = 'continue'\nmax_continues = 2\n");
    let _watcher = world.up("marie");
    let prompt = "fake: fail turns | fail turns | succeed text=at last";
    world.submit("marie/pending", "t", &json!({"type": "long", "prompt": prompt, "max_retries": 0}));
    let task = world.filed("marie/completed", "t");
    assert_eq!(each(&task, "outcome"), ["needs_more", "needs_more", "completed"], "{task}");
    assert_eq!(each(&task, "began"), ["new", "resumed", "resumed"]);
    assert_eq!((&task["retry_count"], &task["result"]), (&json!(0), &json!("at last")));
    let second = &told(&world)[1];
    assert!(second.contains("its turns were used up, and it gets as many again"), "{second}");
    world.submit("marie/pending", "endless", &json!({"type": "long", "prompt": "fake: fail turns"}));
    let task = world.filed("marie/failed", "endless");
    assert_eq!(each(&task, "outcome"), ["needs_more", "needs_more", "failed"], "{task}");
    assert_eq!(task["error_code"], "E004");
    let reason = task["failure_reason"].as_str().unwrap();
    assert!(
        reason.contains("went on 2 times") && reason.contains("agentctl retry endless --continue"),
        "{reason}"
    );
    never_twice(&world);
}

#[test]
fn without_a_word_of_its_pack_it_fails_and_says_what_goes_on_with_it() {
    let world = World::new();
    let _watcher = world.up("marie");
    world.submit("marie/pending", "t", &json!({"prompt": "fake: fail turns"}));
    let task = world.filed("marie/failed", "t");
    assert_eq!((&task["error_code"], each(&task, "outcome")), (&json!("E004"), vec!["failed"]));
    let reason = task["failure_reason"].as_str().unwrap();
    assert!(reason.contains("agentctl retry t --continue"), "{reason}");
}

#[test]
fn whose_time_was_up_goes_on_or_begins_again_as_its_pack_says() {
    let world = World::new();
    world.pack("anew", "after_timeout = 'start-over'\n");
    let _watcher = world.up("marie");
    let prompt = "fake: hang | succeed text=in time";
    world.submit("marie/pending", "t", &json!({"prompt": prompt, "timeout_s": 1}));
    let task = world.filed("marie/completed", "t");
    assert_eq!((each(&task, "began"), &task["retry_count"]), (vec!["new", "resumed"], &json!(1)), "{task}");
    assert!(told(&world)[1].contains("its time was up (the time limit was reached"), "{:?}", told(&world));
    world.submit(
        "marie/pending",
        "a",
        &json!({"type": "anew", "prompt": prompt, "timeout_s": 1, "max_retries": 1}),
    );
    let task = world.filed("marie/failed", "a");
    assert_eq!(each(&task, "began"), ["new", "new"], "{task}");
    assert_eq!(told(&world)[2..], [prompt, prompt], "it is told nothing");
}

//! What is told steers, or is the next turn; the last turn's answer is the task's.

use serde_json::json;

use crate::sight::{agent, events};
use crate::world::World;
use crate::{agent_pipe, ask, ask_worker, history, write};

#[test]
fn a_message_during_a_turn_with_tools_steers_it() {
    let world = World::new();
    let _watcher = world.up("marie");
    world.submit("", "t", &json!({"prompt": "fake: tool; steer; tool-done; succeed text=done"}));
    agent(&world, "t");
    write(&world, &agent_pipe(&world, "t"), "use French");
    let task = world.filed("marie/completed", "t");
    assert_eq!(task["result"], "done", "{task}");
    assert_eq!(events(&world, "steered", "t")[0]["text"], "use French");
    assert_eq!(events(&world, "message", "t").len(), 1, "one turn");
    assert_eq!(history(&world, &task, "told")[0]["reason"], "use French");
}

#[test]
fn a_message_that_cannot_steer_is_the_next_turn_and_its_answer_is_the_last() {
    let world = World::new();
    let gate = world.path().join("gate");
    let _watcher = world.up("marie");
    let prompt = format!("fake: gate={}; succeed text=first", gate.display());
    world.submit("", "t", &json!({"prompt": prompt}));
    agent(&world, "t");
    let told = ask_worker(
        &world,
        json!({"op": "tell", "task": "t", "text": "and now? sk-ant-api03-0123456789abcdefghij"}),
    );
    assert_eq!((&told["ok"], &told["op"]), (&json!(true), &json!("tell")), "{told}");
    std::fs::write(&gate, "").unwrap();
    let task = world.filed("marie/completed", "t");
    assert!(task["result"].as_str().unwrap().starts_with("heard: and now?"), "{task}");
    assert_eq!(task["attempts"].as_array().unwrap().len(), 1);
    let turns = history(&world, &task, "turn");
    assert_eq!(turns[0]["reason"], "first", "the answer of every turn is kept");
    assert_eq!(turns.len(), 2);
    let kept = history(&world, &task, "told")[0]["reason"].to_string();
    assert!(kept.contains("and now?") && !kept.contains("0123456789abcdef"), "{kept}");
}

#[test]
fn many_messages_are_heard_in_their_order() {
    let world = World::new();
    let gate = world.path().join("gate");
    let _watcher = world.up("marie");
    world.submit("", "t", &json!({"prompt": format!("fake: gate={}; succeed", gate.display())}));
    agent(&world, "t");
    let pipe = agent_pipe(&world, "t");
    for n in 0..20 {
        write(&world, &pipe, &format!("message {n}"));
    }
    let last = ask(&world, &pipe, json!({"op": "tell", "text": "message 20", "id": "last"}));
    assert_eq!((&last["ok"], &last["id"]), (&json!(true), &json!("last")), "{last}");
    std::fs::write(&gate, "").unwrap();
    world.filed("marie/completed", "t");
    let heard: String = events(&world, "message", "t")
        .iter()
        .map(|it| it["text"].as_str().unwrap())
        .collect::<Vec<_>>()
        .join("\n");
    let places: Vec<_> = (0..=20).map(|n| heard.find(&format!("message {n}"))).collect();
    assert!(places.iter().all(Option::is_some) && places.is_sorted(), "{heard}");
}

#[test]
fn an_agent_that_does_not_say_what_it_takes_up_is_not_waited_for_for_ever() {
    let world = World::new();
    let gate = world.path().join("gate");
    let _watcher = world.up("marie");
    // It reads nothing any more after its answer, and goes when its input ends.
    let prompt = format!("fake: mute; gate={}; result text=first; drain; exit code=0", gate.display());
    world.submit("", "t", &json!({"prompt": prompt}));
    agent(&world, "t");
    write(&world, &agent_pipe(&world, "t"), "are you there?");
    world.until("it was told", || {
        let task = world.active("marie", "t", |_| true);
        (!history(&world, &task, "told").is_empty()).then_some(())
    });
    std::fs::write(&gate, "").unwrap();
    assert_eq!(world.filed("marie/completed", "t")["result"], "first");
}

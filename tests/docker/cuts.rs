//! What falls into the middle: of claiming, of an answer.

use serde_json::{Value, json};

use crate::deaths::{gate, messages};
use crate::promises::{flow, told};
use crate::stage::Stage;

pub(crate) fn a_restart_and_kills_in_mid_claim_lose_nothing(stage: &Stage) {
    let again = |line: &str| {
        let before = stage.last_beat("marie");
        flow::is_at_it(stage);
        stage.shell(line);
        stage.beating_anew("marie", before);
    };
    let names = flow::during(stage, "restarted-in", || again("docker restart marie"));
    assert_eq!(flow::ended_once(stage, &names, 0), 0, "a stop is nobody's fault");

    let names = flow::during(stage, "killed-in", || {
        for _ in 0..2 {
            again("docker kill marie && docker start marie");
        }
    });
    flow::ended_once(stage, &names, 2);
}

/// Its result line is whole in its stream, and the watcher dies before it has read it, with its agent.
pub(crate) fn an_answer_that_nobody_read_is_filed(stage: &Stage) {
    let (within, path) = gate(stage, "unread");
    let prompt = format!("fake: gate={within}; succeed text=done | succeed text=again");
    stage.world.submit("marie/pending", "unread", &json!({ "prompt": prompt }));
    stage.within("its agent is at work", || (messages(stage, "unread") == 1).then_some(()));
    let task = stage.world.active("marie", "unread", |it| it["state"] == "RUNNING");
    // From outside: the first process of a namespace takes no such signal from within.
    stage.shell("kill -STOP $(docker inspect -f '{{.State.Pid}}' marie)");
    std::fs::write(path, "").unwrap();
    let run = task["run_id"].as_str().unwrap();
    let stream = stage.world.root().join(format!("artifacts/{run}/attempt-1/stream.ndjson"));
    stage.within("the answer stands in its stream", || {
        let text = std::fs::read_to_string(&stream).ok()?;
        let mut lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        lines.any(|line| line["type"] == "result").then_some(())
    });
    stage.shell("docker kill marie");
    assert_eq!(stage.world.homes("unread"), ["marie/active"]);
    stage.shell("docker start marie");
    let task = stage.world.filed("marie/completed", "unread");
    assert_eq!((&task["result"], &task["retry_count"]), (&json!("done"), &json!(0)), "{task}");
    assert_eq!(told(stage, "unread", "start").len(), 1, "{task}");
}

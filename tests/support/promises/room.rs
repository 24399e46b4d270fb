//! Full disks lose nothing: a root of two mebibytes runs full under a running task, and is emptied again.

use serde_json::Value;

use super::{Host, told};

/// Plays it on a root that is small; everything that is asked is asked where marie is. `said` is what she said.
pub fn runs_out_and_comes_back(host: &impl Host, said: impl Fn() -> String) {
    let tasks = format!("{}/tasks/marie", host.there());
    let typed = |line: &str| {
        let (is_well, text) = host.inside(&line.replace("TASKS", &tasks).replace("ROOT", &host.there()));
        assert!(is_well, "{line}: {text}\n{}", said());
        text
    };
    let is_so = |what: &str, test: &str| {
        host.until(what, || host.inside(&test.replace("TASKS", &tasks)).0.then_some(()));
    };
    is_so("the queue is there", "test -d TASKS/pending");
    typed(r#"echo '{"prompt":"fake: gate=/tmp/room; succeed text=kept"}' > TASKS/pending/kept.json"#);
    is_so("its agent is at work", "grep -q RUNNING TASKS/active/kept.json");
    host.until("and begun", || (!told(host, "kept", "message").is_empty()).then_some(()));
    typed(r#"echo '{"prompt":"fake: succeed text=next"}' > ROOT/next.parked"#);
    // `cat` ends badly, since there is no end of zeros.
    typed("cat /dev/zero > ROOT/.filler 2> /dev/null; test -s ROOT/.filler");
    host.until("it says why it takes nothing", || {
        let (_, screen) = host.inside(&format!("agentctl --root {} status 2>&1", host.there()));
        screen.contains("make room").then_some(())
    });
    typed("mv ROOT/next.parked TASKS/pending/next.json; touch /tmp/room");
    host.until("the outcome waits", || said().contains("outcome is kept in memory").then_some(()));
    typed("test -e TASKS/active/kept.json -a -e TASKS/pending/next.json");

    typed("rm ROOT/.filler");
    for name in ["kept", "next"] {
        is_so(&format!("{name} is filed"), &format!("test -e TASKS/completed/{name}.json"));
        let task: Value = serde_json::from_str(&typed(&format!("cat TASKS/completed/{name}.json"))).unwrap();
        assert_eq!(task["result"], name, "{task}");
        assert_eq!(task["attempts"].as_array().unwrap().len(), 1, "{task}");
        assert_eq!(told(host, name, "start").len(), 1, "{name} was run once");
    }
}

//! A drop is taken when it is whole, whatever tool it comes with.

use serde_json::Value;

use super::{Host, filed, homes, told, two_beats};

/// A tool, and what is typed; `TASK` is the task, `HELD` the same that must not be taken yet, `QUEUE` the folder.
const HANDS: [(&str, &str); 7] = [
    ("echo", "echo TASK > QUEUE/echo.json"),
    ("cp", "echo TASK > cp.json; cp cp.json QUEUE"),
    // From another file system, which is a copy, and within one.
    ("mv", "echo TASK > mv.json; mv mv.json QUEUE"),
    ("renamed", "echo TASK > QUEUE/.renamed; mv QUEUE/.renamed QUEUE/renamed.json"),
    ("rsync", "echo TASK > rsync.json; rsync --times rsync.json QUEUE"),
    ("sed", "echo HELD > QUEUE/sed.json"),
    ("vi", "echo HELD > QUEUE/vi.json"),
];

/// What those who drop a task that is held do to it afterwards.
const EDITORS: [&str; 2] = [
    "sed --in-place 's/true/false/' QUEUE/sed.json",
    "vim.tiny -N -u NONE -es -c '%s/true/false/' -c x QUEUE/vi.json",
];

/// Each of them is run once, as it was meant.
pub fn by_every_hand(host: &impl Host) {
    let queue = format!("{}/tasks/marie/pending", host.there());
    let typed = |line: &str| host.operator(&format!("cd $(mktemp -d); {}", line.replace("QUEUE", &queue)));
    for (name, line) in HANDS {
        let task = format!(r#"'{{"prompt":"fake: succeed text={name}"}}'"#);
        let held = format!(r#"'{{"prompt":"fake: succeed text={name}","held":true}}'"#);
        typed(&line.replace("TASK", &task).replace("HELD", &held));
    }
    typed(r#"printf '{"prompt":"fake: succ' > QUEUE/slow.json"#);
    two_beats(host);
    for name in ["slow", "sed", "vi"] {
        assert_eq!(homes(host, name).len(), 1);
        assert!(homes(host, name)[0].ends_with("pending"), "{name}: {:?}", homes(host, name));
    }
    typed(r#"printf 'eed text=slow"}' >> QUEUE/slow.json"#);
    for line in EDITORS {
        typed(line);
    }
    for name in HANDS.map(|(name, _)| name).into_iter().chain(["slow"]) {
        let task: Value = filed(host, "completed", name);
        assert_eq!(task["result"], name, "{task}");
        assert_eq!(told(host, name, "start").len(), 1, "{name} was run once");
        assert_eq!(homes(host, name).len(), 1, "{name}");
    }
    let left = host.operator(&format!("ls -A {queue}"));
    assert_eq!(left.trim(), "", "nothing of the tools was taken for a task, and nothing waits");
}

//! Files whose content is no task.

use std::fs;

use serde_json::json;

use super::{count, drop_bytes, reason_text, safe_reason};
use crate::sight::{logged, place};
use crate::world::World;

/// What is dropped, the code, and what its reason says.
type Row = (&'static str, Vec<u8>, &'static str, &'static str);

fn task(fields: &str) -> Vec<u8> {
    format!("{{\"prompt\": \"x\",\n {fields}}}").into_bytes()
}

fn not_json() -> Vec<Row> {
    let utf16: Vec<u8> = "\u{feff}{\"prompt\":\"x\"}".encode_utf16().flat_map(u16::to_le_bytes).collect();
    vec![
        ("prose", b"say hello".to_vec(), "E002", "not JSON: expected value at line 1 column 1"),
        (
            "half",
            b"{\"prompt\": \"say".to_vec(),
            "E002",
            "it stops at line 1 column 15 and the rest is missing",
        ),
        ("empty", Vec::new(), "E002", "the file is empty"),
        (
            "latin",
            b"{\"prompt\": \"caf\xe9\"}".to_vec(),
            "E002",
            "byte 0xe9 at line 1 column 16 is not UTF-8",
        ),
        ("bom", b"\xef\xbb\xbf{\"prompt\":\"x\"}".to_vec(), "E002", "byte order mark"),
        ("utf16", utf16, "E002", "UTF-16"),
        (
            "two",
            b"{\"prompt\":\"x\"}\n{\"prompt\":\"y\"}".to_vec(),
            "E002",
            "more text follows the task at line 2 column 1",
        ),
        ("surrogate", task("\"mine\": \"\\ud800\""), "E002", "surrogate"),
        ("infinite", task("\"max_cost_usd\": 1e400"), "E002", "number out of range at line 2 column"),
    ]
}

fn no_task() -> Vec<Row> {
    let deep = |field: &str| task(&format!("\"{field}\": {}{}", "[".repeat(5000), "]".repeat(5000)));
    let many: Vec<_> = (0..200_000).map(|n| format!("\"f{n}\": 0")).collect();
    vec![
        (
            "large",
            task(&format!("\"mine\": \"{}\"", "x".repeat(11 * 1024 * 1024))),
            "E002",
            "larger than 10 MiB",
        ),
        ("deep-mine", deep("mine"), "E002", "nested deeper than 100 levels at line 2"),
        ("deep-input", deep("input"), "E002", "nested deeper than 100 levels at line 2"),
        ("wide", task(&many.join(",")), "E002", "more than 1000 fields"),
        ("twice", task("\"prompt\": \"y\""), "E002", "field `prompt` comes twice at line 2"),
        ("twice-inside", task("\"mine\": {\"a\": 1, \"a\": 2}"), "E002", "field `a` comes twice at line 2"),
        ("list", b"[1]".to_vec(), "E002", "not a JSON object"),
        ("nothing", b"{}".to_vec(), "E002", "neither `prompt` nor `input` is given"),
        ("blank", b"{\"prompt\": \" \"}".to_vec(), "E002", "`prompt` is empty"),
        (
            "long",
            format!("{{\"prompt\": \"{}\"}}", "x".repeat(10_000_001)).into_bytes(),
            "E004",
            "prompt too long: 10000001 bytes",
        ),
    ]
}

fn wrong_fields() -> Vec<Row> {
    let bidi = "a\u{202e}b\u{1b}[31mc\\u0007";
    vec![
        ("nul", b"{\"prompt\": \"a\\u0000b\"}".to_vec(), "E002", "field `prompt`: holds a NUL"),
        ("nul-input", task("\"input\": {\"deep\": [\"\\u0000\"]}"), "E002", "field `input`: holds a NUL"),
        ("nul-dir", task("\"workdir\": \"/srv\\u0000/x\""), "E002", "field `workdir`: holds a NUL"),
        (
            "nul-id",
            task("\"id\": \"a\\u0000b\""),
            "E002",
            "field `id` (line 2): `a\\u{0}b` is not a task's name",
        ),
        (
            "words",
            task("\"priority\": \"high\""),
            "E002",
            "field `priority` (line 2): invalid type: string \"high\", expected a whole number",
        ),
        (
            "essay",
            task(&format!("\"priority\": \"{}\"", "x".repeat(100_000))),
            "E002",
            "field `priority` (line 2)",
        ),
        (
            "minus",
            task("\"timeout_s\": -1"),
            "E002",
            "field `timeout_s` (line 2): invalid value: integer `-1`, expected a whole number from 0",
        ),
        ("zero", task("\"timeout_s\": 0"), "E002", "field `timeout_s`: must be at least 1"),
        ("turns", task("\"max_turns\": 99999999999"), "E002", "field `max_turns` (line 2)"),
        ("retries", task("\"max_retries\": 4000000000"), "E002", "field `max_retries`: must be at most 1000"),
        ("urgent", task("\"priority\": 1e30"), "E002", "field `priority` (line 2)"),
        ("gift", task("\"max_cost_usd\": -3"), "E002", "field `max_cost_usd`: must be above 0"),
        ("slash", task("\"id\": \"a/b\""), "E002", "field `id` (line 2): `a/b` is not a task's name"),
        ("up", task("\"id\": \"../../etc/passwd\""), "E002", "`../../etc/passwd` is not a task's name"),
        ("dash", task("\"id\": \"-rf\""), "E002", "`-rf` is not a task's name"),
        ("dot", task("\"id\": \".x\""), "E002", "`.x` is not a task's name"),
        (
            "bidi",
            task(&format!("\"id\": \"{}\"", bidi.replace('\u{1b}', "\\u001b"))),
            "E002",
            "`a\\u{202e}b\\u{1b}[31mc\\u{7}` is not",
        ),
        ("endless", task(&format!("\"id\": \"{}\"", "i".repeat(5000))), "E002", "is not a task's name"),
        ("worker", task("\"worker\": \"../anga\""), "E002", "field `worker` (line 2)"),
        (
            "chatty",
            task(&format!("\"correlation_id\": \"{}\"", "c".repeat(300))),
            "E002",
            "field `correlation_id`: longer than 256 bytes",
        ),
        (
            "sly",
            task("\"correlation_id\": \"a\\nb\""),
            "E002",
            "field `correlation_id`: `a\\nb` holds a character that cannot be seen",
        ),
        (
            "pack",
            task(&format!("\"type\": \"{}\"", "p".repeat(300))),
            "E002",
            "field `type`: longer than 128 bytes",
        ),
        ("relative", task("\"workdir\": \"src\""), "E002", "field `workdir`: `src` must be an absolute path"),
    ]
}

#[test]
fn every_broken_content_is_filed_as_it_is_with_what_where_and_why() {
    let world = World::new();
    let watcher = world.up("marie");
    let rows: Vec<Row> = [not_json(), no_task(), wrong_fields()].into_iter().flatten().collect();
    for (n, (name, bytes, ..)) in rows.iter().enumerate() {
        drop_bytes(&world, if n % 2 == 0 { "" } else { "marie/pending" }, format!("{name}.json"), bytes);
    }
    super::a_good_task_is_done(&world, &watcher, "beside");
    for (name, bytes, code, part) in &rows {
        let reason = safe_reason(&world, "marie", &format!("{name}.json"));
        assert_eq!(reason["error_code"], *code, "{reason}");
        assert!(reason["reason"].as_str().unwrap().contains(part), "{name}: {part} in {reason}");
        let path = place(&world, &format!("marie/failed/{name}.json"));
        let filed = world.until("the file follows its reason", || fs::read(&path).ok());
        assert!(filed == *bytes, "{name} is filed as it was");
    }
    let failed = place(&world, "marie/failed");
    assert_eq!((count(&failed, ".json"), count(&failed, ".reason")), (rows.len(), rows.len()));
    assert_eq!(logged(&world, "marie", "not a task; moved").len(), rows.len(), "one line for each");
    assert_eq!(
        crate::sight::names(&world.root().join("artifacts")).len(),
        1,
        "nothing was begun but the good one"
    );
    super::a_good_task_is_done(&world, &watcher, "after");
}

#[test]
fn stems_that_are_no_task_names_get_one_and_reasons_can_be_pasted() {
    let world = World::new();
    let watcher = world.up("marie");
    let long = format!("{}.json", "n".repeat(195));
    let stems = [
        "-rf.json",
        "a b.json",
        "b\u{202e}nosj.json",
        "c\n{\"d\"}.json",
        "$(reboot).json",
        "..json.json",
        &long,
    ];
    for name in stems.iter().filter(|it| !it.starts_with('.')) {
        drop_bytes(&world, "marie/pending", name, br#"{"prompt": "fake: succeed"}"#);
        let path = place(&world, "marie/completed").join(name);
        let task = world.until(&format!("{name:?} is done"), || crate::world::json(&path));
        let id = task["id"].as_str().unwrap();
        assert!(id.parse::<agent_worker::task::TaskName>().is_ok(), "{id}");
    }
    for (name, word) in [
        ("$(reboot).json", "mv 'tasks/marie/failed/$(reboot)~2.json' tasks/marie/pending/"),
        ("c\n{\"d\"}.json", "mv $'tasks/marie/failed/c\\x0a{\"d\"}.json'"),
        ("b\u{202e}nosj.json", "mv $'tasks/marie/failed/b\\xe2\\x80\\xaenosj.json'"),
    ] {
        drop_bytes(&world, "marie/failed", "$(reboot).json", b"in the way");
        drop_bytes(&world, "marie/pending", name, b"[]");
        let file = if name.starts_with('$') { "$(reboot)~2.json" } else { name };
        let reason = safe_reason(&world, "marie", file);
        assert!(reason["retry"].as_str().unwrap().contains(word), "{reason}");
        assert!(!reason_text(&world, "marie", file).contains('\u{202e}'));
    }
    assert!(crate::sight::lives(watcher.pid()));
}

#[test]
fn the_longest_names_are_numbered_and_still_seen() {
    let world = World::new();
    let watcher = world.up("marie");
    let name = "n".repeat(195);
    let numbered = format!("{name}~2");
    world.submit("marie/pending", &name, &json!({"prompt": "fake: hang | succeed text=one"}));
    world.active("marie", &name, |task| task["state"] == "RUNNING");
    world.until("its agent hears", || {
        world.agent_log().iter().any(|it| it["event"] == "message").then_some(())
    });
    world.submit("marie/pending", &name, &json!({"prompt": "fake: succeed text=two"}));
    world.until("it steps aside", || (world.homes(&numbered) == ["marie/pending"]).then_some(()));
    // Whoever starts now knows it by its name alone.
    assert_eq!(watcher.stop(), 0);
    let _watcher = world.up("marie");
    assert_eq!(world.filed("marie/completed", &name)["result"], "one");
    assert_eq!(world.filed("marie/completed", &numbered)["result"], "two");
    drop_bytes(&world, "marie/failed", format!("{name}.json"), b"in the way");
    drop_bytes(&world, "marie/pending", format!("{name}.json"), b"[]");
    safe_reason(&world, "marie", &format!("{numbered}.json"));
}

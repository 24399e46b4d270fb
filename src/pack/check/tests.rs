//! Tables: what a pack file may say, and how what it may not say is told.

use super::values::no_tool;
use super::*;

const WHOLE: &str = r#"
description = "Reviews a branch"
model = "sonnet"
fallback_model = ["haiku", "claude-opus-5-5[1m]"]
permission_mode = "dontAsk"
allowed_tools = ["Read", "Bash(git log *)", "mcp__q__ping"]
disallowed_tools = ["WebFetch"]
system_prompt = "Be brief."
prompt = """
Review {{input.branch}}.
{{prompt}}"""
timeout = "30m"
idle_timeout = 90
max_turns = 40
max_cost_usd = 2
max_output = "64MiB"
max_memory = "2GiB"
max_retries = 0
environment = ["GITHUB_TOKEN", "CI_*"]
workdir = "none"
workdir_roots = ["/srv/repos"]
after_timeout = "start-over"
denied_tools = "report"
after_max_turns = "continue"
max_continues = 5
verify = ["cargo", "test", "two words"]
verify_timeout = "20m"
output = "json"
json_schema = '{"type": "object", "required": ["a"]}'
workdir_path = "/srv/repos/web"
workdir_mode = "worktree"
dirty = "refuse"
max_tokens = 200_000
usd_per_hour = 2.5
usd_per_day = 10
tokens_per_hour = 1_000_000
tokens_per_day = 5_000_000
may_hand_to = ["report", "*"]
"#;

#[test]
fn everything_that_can_be_said_is_understood() {
    let loaded = parse(WHOLE).unwrap();
    let pack = &loaded.pack;
    assert_eq!(pack.model.as_deref(), Some("sonnet"));
    assert_eq!(pack.fallback_model.as_ref().map(Vec::len), Some(2));
    assert_eq!(pack.permission_mode, Some(PermissionMode::DontAsk));
    assert_eq!(pack.allowed_tools.as_ref().map(Vec::len), Some(3));
    assert_eq!((pack.timeout_s, pack.idle_timeout_s), (Some(1800), Some(90)));
    assert_eq!((pack.max_turns, pack.max_cost_usd, pack.max_retries), (Some(40), Some(2.0), Some(0)));
    assert_eq!(pack.workdir, WorkdirRule::None);
    assert_eq!(pack.workdir_path.as_deref(), Some(std::path::Path::new("/srv/repos/web")));
    assert_eq!((pack.workdir_mode, pack.dirty), (Some(WorkdirMode::Worktree), Dirty::Refuse));
    assert_eq!((pack.max_output, pack.max_memory), (Some(64 << 20), Some(2 << 30)));
    assert_eq!(pack.after_timeout, AfterTimeout::StartOver);
    assert_eq!(pack.denied_tools, DeniedTools::Report);
    assert_eq!((pack.after_max_turns, pack.continues()), (AfterMaxTurns::Continue, 5));
    assert_eq!(pack.verify.as_deref().map(<[String]>::len), Some(3));
    assert_eq!(pack.verify_timeout().as_secs(), 1200);
    assert_eq!(pack.json_schema.as_deref(), Some(r#"{"type":"object","required":["a"]}"#));
    let allowance = pack.allowance;
    assert_eq!((pack.max_tokens, allowance.tokens_per_hour), (Some(200_000), Some(1_000_000)));
    assert_eq!((allowance.usd_per_hour, allowance.usd_per_day), (Some(2.5), Some(10.0)));
    assert_eq!(allowance.tokens_per_day, Some(5_000_000));
    assert_eq!(pack.may_hand_to.as_ref().map(Vec::len), Some(2));
    assert_eq!(loaded.lines.len(), KEYS.len(), "the test says all of them");
    assert_eq!((loaded.lines["model"], loaded.lines["timeout"]), (3, 12));
}

#[test]
fn an_empty_file_says_nothing() {
    assert_eq!(parse("# nothing yet\n").unwrap(), Loaded::default());
}

#[test]
fn what_is_wrong_is_told_with_its_place_and_with_what_was_meant() {
    for (text, place, words) in [
        ("modle = 'x'", (1, 1), &["unknown key `modle`", "did you mean `model`?"][..]),
        ("zzz = 1", (1, 1), &["there are description"]),
        ("a\n= 1", (1, 2), &["no TOML"]),
        ("model = 'x'\nmodel = 'y'", (2, 1), &["duplicate"]),
        ("model = 3", (1, 9), &["`model` takes a text", "integer"]),
        ("model = ''", (1, 9), &["leave it out"]),
        ("model = '--help'", (1, 9), &["no model's name"]),
        ("fallback_model = ['haiku', 'a,b']", (1, 28), &["`a,b` is no model's name"]),
        ("fallback_model = []", (1, 18), &["names none"]),
        ("permission_mode = 'acceptEdit'", (1, 19), &["did you mean `acceptEdits`?"]),
        ("permission_mode = 'yes'", (1, 19), &["one of acceptEdits, auto"]),
        ("allowed_tools = 'Read'", (1, 17), &["a list of texts"]),
        ("allowed_tools = ['Read', 'bash']", (1, 26), &["no tool `bash`", "did you mean `Bash`?"]),
        ("disallowed_tools = ['WebFech(x)']", (1, 21), &["did you mean `WebFetch`?"]),
        ("allowed_tools = ['Bash(git *']", (1, 18), &["`Bash(git *` is no tool"]),
        ("allowed_tools = ['Read,Write']", (1, 18), &["without commas"]),
        ("allowed_tools = ['--print']", (1, 18), &["is no tool"]),
        ("allowed_tools = [1]", (1, 18), &["texts in its list"]),
        (
            "prompt = '''\nDo\n  {{ promt }}'''",
            (3, 6),
            &["no field of a task is called `promt`", "`prompt`?"],
        ),
        ("timeout = '5 parsecs'", (1, 11), &["takes a duration"]),
        ("timeout = 0", (1, 11), &["from 1s to 31d"]),
        ("timeout = -5", (1, 11), &["takes a duration"]),
        ("max_turns = 0", (1, 13), &["from 1 to"]),
        ("max_turns = 1.5", (1, 13), &["a whole number"]),
        ("max_retries = 1001", (1, 15), &["from 0 to 1000"]),
        ("max_cost_usd = nan", (1, 16), &["above 0"]),
        ("usd_per_day = 0", (1, 15), &["above 0"]),
        ("tokens_per_hour = 1.5", (1, 19), &["a whole number above 0"]),
        ("max_tokens = 0", (1, 14), &["a whole number above 0"]),
        ("max_output = '5'", (1, 14), &["at least 1KiB"]),
        ("max_memory = 2", (1, 14), &["at least 64MiB"]),
        ("environment = ['*']", (1, 16), &["no variable's name"]),
        ("environment = ['A=1']", (1, 16), &["no variable's name"]),
        ("workdir = 'require'", (1, 11), &["did you mean `required`?"]),
        ("workdir_path = 'srv'", (1, 16), &["`workdir_path`", "absolute path"]),
        ("workdir = 'required'\nworkdir_path = '/srv'", (2, 16), &["tasks that name no directory"]),
        ("workdir_mode = 'worktre'", (1, 16), &["did you mean `worktree`?"]),
        ("dirty = 'no'", (1, 9), &["allow", "refuse"]),
        ("workdir_roots = ['srv']", (1, 18), &["absolute path"]),
        ("workdir_roots = ['/srv/../etc']", (1, 18), &["without `..`"]),
        ("verify = 'cargo test'", (1, 10), &["`verify` takes a list of texts"]),
        ("verify = ['cargo test']", (1, 10), &["is no program", "[\"cargo\", \"test\"]"]),
        ("verify = []", (1, 10), &["names no program"]),
        ("verify = ['', 'x']", (1, 10), &["names no program"]),
        ("verify_timeout = 0", (1, 18), &["from 1s to 31d"]),
        ("output = 'jsno'", (1, 10), &["did you mean `json`?"]),
        ("json_schema = '{\"type\":'", (1, 15), &["`json_schema` is no JSON: EOF", "a table"]),
        ("json_schema = '[]'", (1, 15), &["is JSON, and no object"]),
        ("json_schema = 3", (1, 15), &["a table, or a text that holds JSON"]),
        ("[json_schema]\ndefault = 2020-01-01", (2, 11), &["JSON has no dates"]),
        ("[json_schema]\nmaximum = nan", (2, 11), &["no such number"]),
        ("output = 'text'\njson_schema = '{}'", (1, 10), &["`json_schema` asks for JSON"]),
        ("may_hand_to = ['../x']", (1, 16), &["no pack can be called"]),
        ("[limits]\ntimeout = 1", (1, 2), &["unknown key `limits`"]),
    ] {
        let faults = parse(text).unwrap_err();
        assert_eq!((faults[0].line, faults[0].column), place, "{text}: {faults:?}");
        let said = faults[0].to_string();
        assert!(words.iter().all(|word| said.contains(word)), "{text}: {said}");
    }
}

#[test]
fn a_schema_may_be_a_table_too() {
    let text = "json_schema.type = 'object'\n[json_schema.properties]\nn = { type = 'integer', minimum = 0x10, maximum = 2.5 }\n";
    let pack = parse(text).unwrap().pack;
    let schema: serde_json::Value = serde_json::from_str(pack.json_schema.as_deref().unwrap()).unwrap();
    let n = serde_json::json!({"type": "integer", "minimum": 16, "maximum": 2.5});
    assert_eq!(schema, serde_json::json!({"type": "object", "properties": {"n": n}}));
    assert!(pack.wants_json() && pack.chooses());
}

#[test]
fn all_faults_are_told_at_once_in_the_order_of_the_file() {
    let faults = parse("tiemout = 1\nmodel = 1\nmax_turns = 0\n").unwrap_err();
    assert_eq!(faults.iter().map(|it| it.line).collect::<Vec<_>>(), [1, 2, 3]);
}

#[test]
fn a_tool_that_nobody_here_knows_is_taken_as_it_is() {
    for rule in ["Brandnew", "mcp__q", "Bash(npm run test:*)", "Read(/srv/**)", "Tasks2"] {
        assert_eq!(no_tool(rule), None, "{rule}");
    }
}

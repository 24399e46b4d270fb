//! Tables: what a pack file may say, and how what it may not say is told.

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
max_retries = 0
environment = ["GITHUB_TOKEN", "CI_*"]
workdir = "required"
workdir_roots = ["/srv/repos"]
after_timeout = "start-over"
denied_tools = "report"
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
    assert_eq!(pack.max_output, Some(64 << 20));
    assert_eq!(pack.workdir, WorkdirRule::Required);
    assert_eq!(pack.after_timeout, AfterTimeout::StartOver);
    assert_eq!(pack.denied_tools, DeniedTools::Report);
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
        ("max_output = '5'", (1, 14), &["at least 1KiB"]),
        ("environment = ['*']", (1, 16), &["no variable's name"]),
        ("environment = ['A=1']", (1, 16), &["no variable's name"]),
        ("workdir = 'require'", (1, 11), &["did you mean `required`?"]),
        ("workdir_roots = ['srv']", (1, 18), &["absolute path"]),
        ("workdir_roots = ['/srv/../etc']", (1, 18), &["without `..`"]),
        ("[limits]\ntimeout = 1", (1, 2), &["unknown key `limits`"]),
    ] {
        let faults = parse(text).unwrap_err();
        assert_eq!((faults[0].line, faults[0].column), place, "{text}: {faults:?}");
        let said = faults[0].to_string();
        assert!(words.iter().all(|word| said.contains(word)), "{text}: {said}");
    }
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

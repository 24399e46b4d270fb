//! What the account, the CLI and its packs say: logins, limits, outages, budgets, packs that wait.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::json;

use crate::stage::Stage;
use crate::traces;

pub(crate) const LOGIN: &[&str] = &["The login is refused"];
pub(crate) const CLI: &[&str] = &["The CLI does not start"];
pub(crate) const LIMIT: &[&str] = &["The account is at its limit", "Limits of an account"];
pub(crate) const OUTAGE: &[&str] = &["The API does not answer"];
pub(crate) const BUDGET: &[&str] = &["The budget is used up"];
pub(crate) const PACK: &[&str] = &["A pack waits"];

#[test]
fn a_refused_login_holds_the_worker_and_not_the_task() {
    let Some(stage) = Stage::at_work(LOGIN, &[]) else { return };
    stage.drops("api status=401 error=authentication_failed | succeed text=in");
    stage.holds("auth");
    stage.types("agentctl status").tells(&["E005", "/login"]);
    assert!(stage.types("agentctl doctor").out.contains("login"));
    assert_eq!(stage.world().homes("T"), ["marie/pending"]);
    // Somebody has logged in.
    stage.types("echo resume > /shared/pipes/marie.in").tells(&[]);
    let task = stage.world().filed("marie/completed", "T");
    assert_eq!((&task["result"], &task["retry_count"]), (&json!("in"), &json!(0)), "{task}");
    stage.done();
    stage.host.stop();
}

#[test]
fn a_cli_that_is_too_old_is_told_and_the_new_one_noticed() {
    let Some(mut stage) = Stage::set(CLI) else { return };
    let bin = stage.world().path().join("bin");
    let script = |name: &str, text: &str| {
        let beside = bin.join(format!("{name}.new"));
        fs::write(&beside, format!("#!/bin/sh\n{text}\n")).unwrap();
        fs::set_permissions(&beside, fs::Permissions::from_mode(0o755)).unwrap();
        fs::rename(beside, bin.join(name)).unwrap();
    };
    script("claude", "echo '2.0.1 (Claude Code)'");
    script(
        "npm",
        &format!(
            "[ \"$*\" = 'install -g @anthropic-ai/claude-code@latest' ] && ln -sf fake-claude {}/claude",
            bin.display()
        ),
    );
    stage.host.up(&[]);
    stage.drops("succeed text=new");
    traces::state(stage.world(), "marie", |it| it["status"] == "degraded");
    stage.types("agentctl status").tells(&["2.0.1", "npm install -g @anthropic-ai/claude-code@latest"]);
    assert!(stage.types("agentctl doctor").out.contains("claude"));
    assert_eq!(stage.world().homes("T"), ["marie/pending"], "nothing was claimed");
    stage.types("npm install -g @anthropic-ai/claude-code@latest").tells(&[]);
    assert_eq!(stage.world().filed("marie/completed", "T")["result"], "new");
    stage.done();
    stage.host.stop();
}

#[test]
fn a_rate_limit_is_waited_out_or_forgotten_by_hand() {
    let Some(stage) = Stage::at_work(LIMIT, &[]) else { return };
    stage.drops("api status=429 | succeed text=on | succeed text=again");
    stage.holds("rate_limit");
    stage.types("agentctl limits").tells(&["marie", "left"]);
    stage.types("agentctl status").tells(&["marie"]);
    stage.types("agentctl breaker status");
    assert_eq!(stage.world().homes("T"), ["marie/pending"]);
    stage.types("agentctl limits --clear").tells(&[]);
    let task = stage.world().filed("marie/completed", "T");
    assert_eq!((&task["result"], &task["retry_count"]), (&json!("on"), &json!(0)), "{task}");
    stage.types("agentctl breaker reset");
    stage.done();
    stage.host.stop();
}

#[test]
fn an_outage_opens_the_breaker_that_a_hand_closes() {
    let Some(stage) = Stage::at_work(OUTAGE, &[]) else { return };
    stage.drops("api status=529 | succeed text=on");
    stage.holds("outage");
    stage.types("agentctl breaker status").tells(&["open"]);
    stage.types("agentctl breaker reset").tells(&["the breaker is closed"]);
    assert_eq!(stage.world().filed("marie/completed", "T")["result"], "on");
    stage.done();
    stage.host.stop();
}

#[test]
fn a_budget_that_is_used_up_is_forgiven_by_hand() {
    let Some(stage) = Stage::at_work(BUDGET, &["--budget-usd-per-hour", "1"]) else { return };
    stage.world().pack("review", "usd_per_hour = 0.5\n");
    stage.world().submit(
        "marie/pending",
        "dear",
        &json!({"type": "review", "prompt": "fake: cost usd=2; succeed"}),
    );
    stage.world().filed("marie/completed", "dear");
    stage.holds("budget");
    stage.drops("succeed text=later");
    stage.world().submit(
        "marie/pending",
        "more",
        &json!({"type": "review", "prompt": "fake: succeed text=more"}),
    );
    stage.types("agentctl budget").tells(&["marie", "review", "2.0"]);
    let dearest = stage.types("agentctl list --sort cost --reverse").out;
    assert!(dearest.lines().nth(1).is_some_and(|line| line.starts_with("dear")), "{dearest}");
    assert_eq!(stage.world().homes("T"), ["marie/pending"]);
    stage.types("agentctl budget reset --worker marie").tells(&[]);
    assert_eq!(stage.world().filed("marie/completed", "T")["result"], "later");
    assert_eq!(stage.world().homes("more"), ["marie/pending"], "the pack's own is still used up");
    stage.types("agentctl budget reset --pack review").tells(&[]);
    assert_eq!(stage.world().filed("marie/completed", "more")["result"], "more");
    stage.done();
    stage.host.stop();
}

#[test]
fn a_pack_that_was_taken_back_waits_alone_and_is_given_free() {
    let Some(stage) = Stage::at_work(PACK, &[]) else { return };
    stage.world().pack("review", "model = \"opus\"\n");
    let gate = traces::gate(stage.world(), "review");
    stage.world().submit(
        "marie/pending",
        "T",
        &json!({"type": "review", "prompt": format!("fake: gate={} | succeed text=free", gate.display())}),
    );
    stage.begun(1);
    stage.types("agentctl pack disable review --end-running --reason 'it deletes branches'").tells(&[]);
    let task = stage.world().filed("marie/pending", "T");
    assert_eq!(task["retry_count"].as_u64().unwrap_or(0), 0, "{task}");
    stage.types("agentctl packs").tells(&["review", "it deletes branches"]);
    stage.types("agentctl why T").tells(&["review", "it deletes branches"]);
    // The others go on.
    stage.world().submit("marie/pending", "other", &json!({"prompt": "fake: succeed text=on"}));
    assert_eq!(stage.world().filed("marie/completed", "other")["result"], "on");
    let file = stage.world().pack("review", "modle = \"opus\"\n");
    stage.types("agentctl packs check").ends(65, &["review", "modle", "1"]);
    fs::write(file, "model = \"opus\"\n").unwrap();
    stage.types("agentctl pack enable review").tells(&[]);
    assert_eq!(stage.world().filed("marie/completed", "T")["result"], "free");
    stage.done();
    stage.host.stop();
}

//! The real CLI sends spans and log records of its own: they hang on the span of its attempt.

use serde_json::json;

use crate::otlp::{Collector, Way};
use crate::stub_api::{Scenario, StubApi};
use crate::world::World;
use crate::{one, real, sending};

#[test]
fn what_the_real_cli_tells_of_itself_joins_the_trace_of_its_task() {
    let Some(claude) = real::claude() else { return };
    let (world, api) = (World::unprivileged(), StubApi::start(Scenario::Text("done".to_owned())));
    let collector = Collector::start(Way::Http);
    let mut watcher = world.command("watcher");
    sending(&mut watcher, collector.addr, Way::Http);
    watcher
        .args(["--worker", "marie", "--metrics-addr", "none", "--root", "shared", "--log-dir", "log"])
        .arg("--claude-bin")
        .arg(claude)
        .env("ANTHROPIC_BASE_URL", &api.base_url)
        .env("ANTHROPIC_API_KEY", "dummy")
        .env("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1")
        .env("DISABLE_TELEMETRY", "1")
        .env("DISABLE_ERROR_REPORTING", "1")
        .env("CLAUDE_CODE_ENABLE_TELEMETRY", "1")
        .env("CLAUDE_CODE_ENHANCED_TELEMETRY_BETA", "1")
        .env("OTEL_LOGS_EXPORTER", "otlp");
    let watcher = world.start(&mut watcher, "marie");
    world.at_work("marie", &watcher);
    world.submit("marie/pending", "t", &json!({"prompt": "say done"}));
    let task = world.filed("marie/completed", "t");
    assert_eq!(task["result"], "done", "{task}");
    let ours = one(&world, &collector, "agent.execute");
    let theirs = one(&world, &collector, "claude_code.interaction");
    assert_eq!((&theirs.trace, &theirs.parent), (&ours.trace, &ours.id));
    assert_eq!(theirs.resource["service.name"], "claude-code");
    let records = world.until("its records arrive", || Some(collector.logs()).filter(|it| !it.is_empty()));
    assert!(records.iter().all(|trace| *trace == ours.trace), "{records:?} {}", ours.trace);
    assert_eq!(watcher.stop(), 0);
}

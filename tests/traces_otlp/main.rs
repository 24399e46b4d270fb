//! Traces over OTLP, from the real programs to a collector: names, attributes, parents, and what a bad collector costs.

#![cfg(all(feature = "test-support", feature = "otlp"))]
#![expect(clippy::disallowed_methods, reason = "a test plays the user: it reads what is written")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends")]

#[path = "../support/otlp.rs"]
mod otlp;
#[path = "../support/real.rs"]
mod real;
#[path = "../support/stub_api.rs"]
#[expect(dead_code, unused_imports, unreachable_pub, reason = "one scenario is enough here")]
mod stub_api;
#[path = "../support/traces.rs"]
mod traces;
#[path = "../support/world.rs"]
mod world;

mod agents_own;
mod settings;
mod trouble;

use std::net::SocketAddr;
use std::process::Command;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use otlp::{Collector, Span, Way};
use serde_json::json;
use world::World;

const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

fn sending(command: &mut Command, addr: SocketAddr, way: Way) {
    let protocol = match way {
        Way::Grpc => "grpc",
        Way::Http => "http/protobuf",
    };
    command
        .env("OTEL_TRACES_EXPORTER", "otlp")
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://{addr}"))
        .env("OTEL_EXPORTER_OTLP_PROTOCOL", protocol);
}

fn one(world: &World, collector: &Collector, name: &str) -> Span {
    world.until(&format!("the span {name} arrives"), || collector.named(name).into_iter().next())
}

/// The `TRACEPARENT` that the agent of `t` had.
fn heard(world: &World) -> String {
    let task = world.filed("marie/completed", "t");
    task["result"].as_str().unwrap().trim_start_matches("TRACEPARENT=").to_owned()
}

#[test]
fn an_attempt_is_a_span_that_its_agent_hears_of_over_either_protocol() {
    for (way, came) in [
        (Way::Grpc, "POST /opentelemetry.proto.collector.trace.v1.TraceService/Export application/grpc"),
        (Way::Http, "POST /v1/traces application/x-protobuf"),
    ] {
        let (world, collector) = (World::new(), Collector::start(way));
        let mut watcher = world.watcher("marie");
        sending(&mut watcher, collector.addr, way);
        watcher.env("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment=test");
        let watcher = world.start(&mut watcher, "marie");
        world.at_work("marie", &watcher);
        let task =
            json!({"prompt": "fake: env name=TRACEPARENT", "traceparent": PARENT, "tracestate": "a=b"});
        world.submit("marie/pending", "t", &task);
        let heard = heard(&world);

        let span = one(&world, &collector, "agent.execute");
        assert_eq!(span.came, came);
        assert_eq!(heard, format!("00-{}-{}-01", span.trace, span.id), "{way:?}");
        assert_eq!(PARENT, format!("00-{}-{}-01", span.trace, span.parent), "{way:?}");
        for (name, value) in [("agent.name", "marie"), ("task.id", "t"), ("result.success", "true")] {
            assert_eq!(span.attributes.get(name).map(String::as_str), Some(value), "{way:?} {name}");
        }
        let attempt = &world.filed("marie/completed", "t")["attempts"][0];
        for (name, value) in [
            ("gen_ai.operation.name", "invoke_agent"),
            ("gen_ai.provider.name", "anthropic"),
            ("gen_ai.agent.name", "marie"),
            ("gen_ai.request.model", "claude-fake-1"),
            ("gen_ai.response.model", "claude-fake-1"),
            ("gen_ai.conversation.id", attempt["session_id"].as_str().unwrap()),
            ("gen_ai.usage.output_tokens", &attempt["tokens"]["output"].to_string()),
        ] {
            assert_eq!(span.attributes.get(name).map(String::as_str), Some(value), "{way:?} {name}");
        }
        assert!(!span.attributes.contains_key("error.type"));
        assert_eq!((span.status, span.state.as_str()), (1, "a=b"));
        assert!(span.began > 0 && span.began <= span.ended, "{span:?}");
        for (name, value) in [
            ("service.name", "agent-worker"),
            ("service.instance.id", "marie"),
            ("service.version", env!("CARGO_PKG_VERSION")),
            ("host.name", std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap().trim()),
            ("process.pid", &watcher.pid().to_string()),
            ("deployment.environment", "test"),
        ] {
            assert_eq!(span.resource.get(name).map(String::as_str), Some(value), "{way:?} {name}");
        }
        assert_eq!(watcher.stop(), 0);
    }
}

#[test]
fn each_attempt_is_a_span_and_the_last_ones_are_sent_before_the_end() {
    let (world, collector) = (World::new(), Collector::start(Way::Http));
    let mut watcher = world.watcher("marie");
    sending(&mut watcher, collector.addr, Way::Http);
    let watcher = world.start(&mut watcher, "marie");
    world.submit("marie/pending", "t", &json!({"prompt": "fake: die", "max_retries": 1}));
    let task = world.filed("marie/failed", "t");
    // It ends within the time in which spans wait for company.
    assert_eq!(watcher.stop(), 0);
    let spans = collector.named("agent.execute");
    assert_eq!(spans.len(), 2, "{spans:#?}");
    assert_eq!(spans[0].trace, spans[1].trace, "one run is one trace");
    assert_eq!(task["run_id"].as_str().unwrap().replace('-', ""), spans[0].trace);
    assert_ne!(spans[0].id, spans[1].id);
    for span in &spans {
        assert_eq!((span.attributes["result.success"].as_str(), span.status), ("false", 2));
        let kind = if span.attributes["attempt.number"] == "1" { "crash" } else { "failed" };
        assert_eq!(span.attributes["error.type"], kind, "{span:#?}");
        assert_eq!(span.parent, "");
    }
}

#[test]
fn whoever_takes_up_an_agent_ends_the_span_that_it_hangs_on() {
    let (world, collector) = (World::new(), Collector::start(Way::Grpc));
    let gate = traces::gate(&world, "a");
    let mut first = world.watcher("marie");
    sending(&mut first, collector.addr, Way::Grpc);
    let first = world.start(&mut first, "marie");
    let prompt = format!("fake: gate={}; env name=TRACEPARENT", gate.display());
    world.submit("marie/pending", "t", &json!({"prompt": prompt}));
    let agent = traces::at_work(&world, "t", 1);
    traces::recorded(&world, "t", agent);
    first.murder();
    let mut second = world.watcher("marie");
    sending(&mut second, collector.addr, Way::Grpc);
    let second = world.start(&mut second, "marie");
    world.at_work("marie", &second);
    traces::open(&gate);
    let heard = heard(&world);
    let span = one(&world, &collector, "agent.execute");
    assert_eq!(heard, format!("00-{}-{}-01", span.trace, span.id));
    assert_eq!(collector.named("agent.execute").len(), 1);
    assert_eq!(second.stop(), 0);
}

/// Not only at its start: a file may come into `active/` while a watcher is at work.
#[test]
fn whoever_files_what_another_began_sends_its_span() {
    let (world, collector) = (World::new(), Collector::start(Way::Http));
    let marie = || {
        let mut watcher = world.watcher("marie");
        sending(&mut watcher, collector.addr, Way::Http);
        world.start(&mut watcher, "marie")
    };
    let (gate, first) = (traces::gate(&world, "a"), marie());
    world.submit("marie/pending", "t", &traces::gated(&gate));
    let agent = traces::at_work(&world, "t", 1);
    traces::recorded(&world, "t", agent);
    first.murder();
    let (active, aside) = (world.root().join("tasks/marie/active/t.json"), world.path().join("t.json"));
    std::fs::rename(&active, &aside).unwrap();
    traces::open(&gate);
    world.until("its agent has ended", || (!traces::is_alive(agent)).then_some(()));
    let second = marie();
    world.at_work("marie", &second);
    std::fs::rename(&aside, &active).unwrap();
    assert_eq!(world.filed("marie/completed", "t")["result"], "done");
    assert_eq!(one(&world, &collector, "agent.execute").attributes["result.success"], "true");
    assert_eq!(second.stop(), 0);
}

#[test]
fn a_trace_that_nobody_records_is_passed_on_and_not_sent() {
    let (world, collector) = (World::new(), Collector::start(Way::Http));
    let mut watcher = world.watcher("marie");
    sending(&mut watcher, collector.addr, Way::Http);
    let watcher = world.start(&mut watcher, "marie");
    let unrecorded = PARENT.replace("-01", "-00");
    let task = json!({"prompt": "fake: env name=TRACEPARENT", "traceparent": unrecorded});
    world.submit("marie/pending", "t", &task);
    let heard = heard(&world);
    assert!(heard.starts_with("00-0af7651916cd43dd8448eb211c80319c-") && heard.ends_with("-00"), "{heard}");
    assert_eq!(watcher.stop(), 0);
    assert!(collector.spans().is_empty(), "{:#?}", collector.spans());
}

#[test]
fn a_recovery_is_a_trace_of_its_parts() {
    for way in [Way::Grpc, Way::Http] {
        let (world, collector) = (World::new(), Collector::start(way));
        world.program("watcher");
        let mut supervisor = world.command("supervisor");
        supervisor.args(["up", "--root", "shared", "--log-dir", "log", "--metrics-addr", "none"]).args([
            "--workers",
            "marie=none",
            "--agent",
            "echo",
        ]);
        sending(&mut supervisor, collector.addr, way);
        let supervisor = world.start(&mut supervisor, "supervisor");
        let pid = beating(&world, 0);
        kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
        beating(&world, pid);

        let whole = one(&world, &collector, "worker_recovery");
        assert_eq!(whole.parent, "");
        assert_eq!(whole.events, ["recovery_completed"]);
        assert_eq!(whole.status, 1);
        assert_eq!(whole.attributes["worker.name"], "marie");
        assert_eq!(whole.attributes["recovery.type"], "crash");
        assert_eq!(whole.attributes["crash.reason"], "signal_9");
        let at: agent_worker::clock::Timestamp = whole.attributes["recovery.timestamp"].parse().unwrap();
        assert_eq!(u64::try_from(at.as_nanosecond()).unwrap(), whole.began);
        assert_eq!(whole.resource["service.instance.id"], "supervisor");
        for name in ["check_crash_reason", "clean_state", "restart_worker", "verify_health"] {
            let part = one(&world, &collector, name);
            assert_eq!((&part.trace, &part.parent), (&whole.trace, &whole.id), "{name}");
            assert!(part.began >= whole.began && part.ended <= whole.ended, "{name}: {part:?} {whole:?}");
            assert_eq!(collector.named(name).len(), 1, "{name}");
        }
        assert_eq!(supervisor.stop(), 0);
    }
}

/// The pid of a watcher of marie that beats, and is not `other`.
fn beating(world: &World, other: i32) -> i32 {
    let path = world.root().join("workers/marie/heartbeat.json");
    let pid = world
        .until("marie beats", || world::json(&path)?["pid"].as_i64().filter(|pid| *pid != i64::from(other)));
    i32::try_from(pid).unwrap()
}

fn said(world: &World) -> String {
    std::fs::read_to_string(world.logs().join("marie.log")).unwrap_or_default()
}

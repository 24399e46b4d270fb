//! Traces over OTLP, from the real programs to a collector: names, attributes, parents, and what a bad collector costs.

#![cfg(all(feature = "test-support", feature = "otlp"))]
#![expect(clippy::disallowed_methods, reason = "a test plays the user: it reads what is written")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends")]

#[path = "support/otlp.rs"]
mod otlp;
#[path = "support/traces.rs"]
mod traces;
#[path = "support/world.rs"]
mod world;

use std::io::Write;
use std::net::{SocketAddr, TcpListener};
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
        let task = json!({"prompt": "fake: env name=TRACEPARENT", "traceparent": PARENT});
        world.submit("marie/pending", "t", &task);
        let heard = heard(&world);

        let span = one(&world, &collector, "agent.execute");
        assert_eq!(span.came, came);
        assert_eq!(heard, format!("00-{}-{}-01", span.trace, span.id), "{way:?}");
        assert_eq!(PARENT, format!("00-{}-{}-01", span.trace, span.parent), "{way:?}");
        for (name, value) in [("agent.name", "marie"), ("task.id", "t"), ("result.success", "true")] {
            assert_eq!(span.attributes.get(name).map(String::as_str), Some(value), "{way:?} {name}");
        }
        assert_eq!(span.status, 1);
        assert!(span.began > 0 && span.began <= span.ended, "{span:?}");
        for (name, value) in [
            ("service.name", "agent-worker"),
            ("service.instance.id", "marie"),
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

#[test]
fn a_collector_that_is_down_silent_or_garbled_costs_one_line_and_no_work() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let garbled = TcpListener::bind("127.0.0.1:0").unwrap();
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (quiet, noise) = (silent.local_addr().unwrap(), garbled.local_addr().unwrap());
    // Everybody is answered with words that are neither HTTP nor gRPC.
    std::thread::spawn(move || {
        for stream in garbled.incoming().flatten() {
            (&stream).write_all(b"\0\0\0\x07hello, I am no collector\r\n\r\n").ok();
        }
    });
    for (addr, says) in [(gone, true), (noise, true), (quiet, false)] {
        for way in [Way::Grpc, Way::Http] {
            let world = World::new();
            let mut watcher = world.watcher("marie");
            sending(&mut watcher, addr, way);
            let watcher = world.start(&mut watcher, "marie");
            for n in 0..3 {
                world.submit(
                    "marie/pending",
                    &format!("t{n}"),
                    &json!({"prompt": "fake: succeed text=done"}),
                );
                world.filed("marie/completed", &format!("t{n}"));
            }
            let complaint = || said(&world).matches("traces do not reach").count();
            if says {
                world.until("it is said", || (complaint() == 1).then_some(()));
                world.submit("marie/pending", "t9", &json!({"prompt": "fake: succeed text=done"}));
                world.filed("marie/completed", "t9");
            }
            let began = std::time::Instant::now();
            assert_eq!(watcher.stop(), 0, "{way:?}");
            assert!(began.elapsed().as_secs() < 8, "{way:?}: the end waited for {addr}");
            assert!(complaint() <= 1, "{way:?}: {}", said(&world));
        }
    }
    drop(silent);
}

fn said(world: &World) -> String {
    std::fs::read_to_string(world.logs().join("marie.log")).unwrap_or_default()
}

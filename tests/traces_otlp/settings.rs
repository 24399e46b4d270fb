//! The variables of the specification, at the programs: heard, or said that they are not.

use serde_json::json;

use crate::otlp::{Collector, Way};
use crate::world::World;
use crate::{PARENT, heard, one, said, sending};

#[test]
fn headers_and_the_names_of_the_service_reach_the_collector() {
    for way in [Way::Grpc, Way::Http] {
        let (world, collector) = (World::new(), Collector::start(way));
        let mut watcher = world.watcher("marie");
        sending(&mut watcher, collector.addr, way);
        watcher
            .env("OTEL_EXPORTER_OTLP_HEADERS", "x-tenant=blue,authorization=Bearer%20hush")
            .env("OTEL_SERVICE_NAME", "queue")
            .env("OTEL_RESOURCE_ATTRIBUTES", "service.name=other,service.instance.id=box-1,team=a%20b");
        let watcher = world.start(&mut watcher, "marie");
        world.submit("marie/pending", "t", &json!({"prompt": "fake: succeed"}));
        let span = one(&world, &collector, "agent.execute");
        assert_eq!(watcher.stop(), 0);
        for (name, value) in [("x-tenant", "blue"), ("authorization", "Bearer hush")] {
            assert_eq!(span.headers.get(name).map(String::as_str), Some(value), "{way:?}");
        }
        for (name, value) in [("service.name", "queue"), ("service.instance.id", "box-1"), ("team", "a b")] {
            assert_eq!(span.resource.get(name).map(String::as_str), Some(value), "{way:?} {name}");
        }
        assert!(!said(&world).contains("hush"), "{}", said(&world));
    }
}

#[test]
fn a_sampler_decides_for_the_agent_too() {
    for (sampler, parent, is_recorded) in [
        ("always_off", Some(PARENT.to_owned()), false),
        ("always_on", Some(PARENT.replace("-01", "-00")), true),
        ("parentbased_always_off", Some(PARENT.to_owned()), true),
        ("parentbased_always_off", None, false),
    ] {
        let (world, collector) = (World::new(), Collector::start(Way::Http));
        let mut watcher = world.watcher("marie");
        sending(&mut watcher, collector.addr, Way::Http);
        let watcher = world.start(watcher.env("OTEL_TRACES_SAMPLER", sampler), "marie");
        let task = json!({"prompt": "fake: env name=TRACEPARENT", "traceparent": parent});
        world.submit("marie/pending", "t", &task);
        let flags = if is_recorded { "-01" } else { "-00" };
        assert!(heard(&world).ends_with(flags), "{sampler} {parent:?}: {}", heard(&world));
        assert_eq!(watcher.stop(), 0);
        assert_eq!(collector.spans().len(), usize::from(is_recorded), "{sampler} {parent:?}");
    }
}

#[test]
fn a_state_travels_with_its_parent_and_with_no_other() {
    let (world, collector) = (World::new(), Collector::start(Way::Http));
    let mut watcher = world.watcher("marie");
    sending(&mut watcher, collector.addr, Way::Http);
    watcher.env("TRACEPARENT", PARENT).env("TRACESTATE", "outer=1");
    let watcher = world.start(&mut watcher, "marie");
    let other = PARENT.replace("0af7", "1bf7");
    for (name, task, state) in [
        ("own", json!({"traceparent": other, "tracestate": "own=1"}), "own=1"),
        ("bare", json!({"traceparent": other}), ""),
        ("outer", json!({}), "outer=1"),
    ] {
        let mut task = task;
        task["prompt"] = "fake: env name=TRACESTATE".into();
        world.submit("marie/pending", name, &task);
        let told = world.filed("marie/completed", name);
        assert_eq!(told["result"], format!("TRACESTATE={state}"), "{name}");
    }
    assert_eq!(watcher.stop(), 0);
}

#[test]
fn nothing_is_carried_where_that_was_asked_for() {
    let (world, collector) = (World::new(), Collector::start(Way::Http));
    let mut watcher = world.watcher("marie");
    sending(&mut watcher, collector.addr, Way::Http);
    let watcher = world.start(watcher.env("OTEL_PROPAGATORS", "none"), "marie");
    let task = json!({"prompt": "fake: env name=TRACEPARENT", "traceparent": PARENT});
    world.submit("marie/pending", "t", &task);
    assert_eq!(heard(&world), "");
    assert_eq!(watcher.stop(), 0);
    assert_eq!(collector.named("agent.execute")[0].parent, "");
}

#[test]
fn what_is_not_heard_is_said_at_the_start_and_spans_are_sent_all_the_same() {
    let (world, collector) = (World::new(), Collector::start(Way::Grpc));
    let mut watcher = world.watcher("marie");
    sending(&mut watcher, collector.addr, Way::Grpc);
    watcher
        .env("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip")
        .env("OTEL_TRACES_SAMPLER", "xray")
        .env("OTEL_SPAN_EVENT_COUNT_LIMIT", "1");
    let watcher = world.start(&mut watcher, "marie");
    world.submit("marie/pending", "t", &json!({"prompt": "fake: succeed"}));
    one(&world, &collector, "agent.execute");
    assert_eq!(watcher.stop(), 0);
    for told in ["travel uncompressed", "no such sampler here", "OTEL_SPAN_EVENT_COUNT_LIMIT"] {
        assert_eq!(said(&world).matches(told).count(), 1, "{told}: {}", said(&world));
    }
}

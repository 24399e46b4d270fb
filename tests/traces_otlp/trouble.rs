//! What a collector costs that is down, slow, full or garbled: some spans, a line when that begins, one when it is over.

use std::io::Write;
use std::net::TcpListener;

use serde_json::json;

use crate::otlp::{Collector, Mood, Way};
use crate::world::{Started, World};
use crate::{said, sending};

fn runs(world: &World, names: std::ops::Range<usize>) {
    for n in names {
        world.submit("marie/pending", &format!("t{n}"), &json!({"prompt": "fake: succeed text=done"}));
        world.filed("marie/completed", &format!("t{n}"));
    }
}

fn complaints(world: &World) -> usize {
    said(world).matches("traces do not reach").count()
}

/// The numbers of lost spans, each time it was over.
fn returns(world: &World) -> Vec<usize> {
    let text = said(world);
    let over = text.lines().filter_map(|line| line.split_once(" again; ")?.1.split(' ').next()?.parse().ok());
    over.collect()
}

fn marie(world: &World, change: impl FnOnce(&mut std::process::Command)) -> Started {
    let mut watcher = world.watcher("marie");
    change(&mut watcher);
    world.start(&mut watcher, "marie")
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
            let watcher = marie(&world, |watcher| sending(watcher, addr, way));
            runs(&world, 0..3);
            if says {
                world.until("it is said", || (complaints(&world) == 1).then_some(()));
                runs(&world, 3..4);
            }
            let began = std::time::Instant::now();
            assert_eq!(watcher.stop(), 0, "{way:?}");
            assert!(began.elapsed().as_secs() < 8, "{way:?}: the end waited for {addr}");
            assert!(complaints(&world) <= 1, "{way:?}: {}", said(&world));
        }
    }
    drop(silent);
}

/// Begins to answer after a while: what was lost meanwhile is counted to the span, and both is said once.
#[test]
fn a_collector_that_comes_back_is_said_with_the_number_of_lost_spans() {
    for (way, mood) in [
        (Way::Grpc, Mood::Silent),
        (Way::Http, Mood::Silent),
        (Way::Grpc, Mood::Refusing),
        (Way::Http, Mood::Refusing),
    ] {
        let (world, collector) = (World::new(), Collector::start(way));
        collector.be(mood);
        let watcher = marie(&world, |watcher| {
            sending(watcher, collector.addr, way);
            // A queue that is soon full, and little patience.
            watcher.env("OTEL_BSP_MAX_QUEUE_SIZE", "2").env("OTEL_EXPORTER_OTLP_TIMEOUT", "400");
        });
        runs(&world, 0..8);
        world.until("it is said", || (complaints(&world) == 1).then_some(()));
        collector.be(Mood::Taking);
        let mut n = 8;
        world.until("its return is said", || {
            runs(&world, n..n + 1);
            n += 1;
            (!returns(&world).is_empty()).then_some(())
        });
        assert_eq!(watcher.stop(), 0);
        let arrived = collector.named("agent.execute").len();
        let lost: usize = returns(&world).iter().sum();
        assert_eq!(arrived + lost, n, "{way:?} {mood:?}: {}", said(&world));
        assert!(arrived > 0 && lost > 0, "{way:?} {mood:?}: {arrived} {lost}");
        assert_eq!((complaints(&world), returns(&world).len()), (1, 1), "{way:?} {mood:?}: {}", said(&world));
    }
}

/// Nobody listened at the port at first.
#[test]
fn a_collector_that_is_started_late_is_found() {
    for way in [Way::Grpc, Way::Http] {
        let addr = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let world = World::new();
        let watcher = marie(&world, |watcher| sending(watcher, addr, way));
        runs(&world, 0..1);
        world.until("it is said", || (complaints(&world) == 1).then_some(()));
        let collector = Collector::start_at(addr, way);
        let mut n = 1;
        world.until("a span arrives", || {
            runs(&world, n..n + 1);
            n += 1;
            (!collector.spans().is_empty()).then_some(())
        });
        assert_eq!(watcher.stop(), 0);
        assert_eq!((complaints(&world), returns(&world).len()), (1, 1), "{way:?}: {}", said(&world));
    }
}

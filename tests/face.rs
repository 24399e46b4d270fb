//! The HTTP face over real TCP: what it says, what it withstands, and what a real Prometheus makes of it.

#![expect(clippy::unwrap_used, reason = "in a test a panic is the report")]

#[path = "support/http.rs"]
mod http;
#[path = "support/prometheus.rs"]
mod prometheus;
#[path = "support/real.rs"]
mod real;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use agent_worker::clock::{Clock, SystemClock, Ticks};
use agent_worker::telemetry::face::{Face, FaceError, FaceSource, Hosts};
use agent_worker::telemetry::health::Snapshot;
use agent_worker::telemetry::metrics::Metrics;
use agent_worker::telemetry::state_file::{Hold, HoldCause, WorkerStatus};

use http::{DEADLINE, ask, code, connect, get, rest};

struct Worker {
    metrics: Metrics,
    snapshot: Mutex<Snapshot>,
    scraped: Option<mpsc::Sender<()>>,
    padding: Mutex<String>,
}

impl FaceSource for Worker {
    fn metrics(&self) -> String {
        if let Some(scraped) = &self.scraped {
            scraped.send(()).ok();
        }
        self.metrics.render() + self.padding.lock().unwrap().as_str()
    }

    fn snapshot(&self) -> Snapshot {
        self.snapshot.lock().unwrap().clone()
    }

    fn status(&self) -> serde_json::Value {
        serde_json::json!({ "worker": "marie", "status": "running" })
    }
}

fn worker(scraped: Option<mpsc::Sender<()>>) -> Arc<Worker> {
    let snapshot = Mutex::new(Snapshot::healthy(SystemClock.wall()));
    Arc::new(Worker { metrics: Metrics::new("0.0.0").unwrap(), snapshot, scraped, padding: Mutex::default() })
}

fn loopback() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

fn serve(worker: &Arc<Worker>) -> Face {
    let source: Arc<dyn FaceSource> = Arc::<Worker>::clone(worker);
    Face::start(loopback(), Hosts::default(), source).unwrap()
}

fn now() -> Ticks {
    SystemClock.ticks()
}

fn threads() -> usize {
    std::fs::read_dir("/proc/self/task").unwrap().count()
}

/// Open files of this process may be as many as the hard limit allows.
fn raise_open_files() {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).unwrap();
}

#[test]
fn the_metrics_page_has_every_name_of_the_runbooks_at_zero() {
    let face = serve(&worker(None));
    let page = get(face.addr(), "/metrics");
    assert_eq!(code(&page), "200");
    assert!(page.contains("text/plain; version=0.0.4"), "{page}");
    for line in [
        "active_tasks 0",
        "task_failed_total 0",
        "agent_execution_duration_seconds_count 0",
        "agent_runs_total{status=\"COMPLETED\"} 0",
        "agent_runs_total{status=\"FAILED\"} 0",
        "agent_runs_total{status=\"TIMEOUT\"} 0",
        "agent_runs_total{status=\"CANCELLED\"} 0",
        "external_api_request_duration_seconds_count 0",
    ] {
        assert!(page.lines().any(|have| have == line), "{line} in\n{page}");
    }
}

#[test]
fn health_follows_the_worker() {
    let worker = worker(None);
    let face = serve(&worker);
    let health = || get(face.addr(), "/health");
    let calm = health();
    assert_eq!(code(&calm), "200");
    assert!(calm.contains(r#""status":"ok","timestamp":""#), "{calm}");

    worker.snapshot.lock().unwrap().status = WorkerStatus::Paused;
    assert_eq!(code(&health()), "200");

    worker.snapshot.lock().unwrap().loop_age = Duration::from_mins(2);
    let stale = health();
    assert_eq!(code(&stale), "503");
    assert!(stale.contains("stood still for 120 s"), "{stale}");

    let mut snapshot = worker.snapshot.lock().unwrap();
    snapshot.loop_age = Duration::ZERO;
    let reason = "the key was refused".to_owned();
    snapshot.hold =
        Some(Hold { cause: HoldCause::Auth, reason, remedy: None, until: None, error_code: None });
    drop(snapshot);
    assert_eq!(code(&health()), "503");
    assert_eq!(code(&get(face.addr(), "/health/queue")), "200");
}

#[test]
fn what_is_not_there_is_told_and_a_head_has_no_body() {
    let face = serve(&worker(None));
    let lost = get(face.addr(), "/nowhere");
    assert!(code(&lost) == "404" && lost.contains("/api/status"), "{lost}");
    let head = ask(face.addr(), "HEAD /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    assert!(code(&head) == "200" && head.ends_with("\r\n\r\n"), "{head}");
    let status = get(face.addr(), "/api/status");
    assert!(status.contains(r#"{"worker":"marie","status":"running"}"#), "{status}");
}

#[test]
fn a_connection_is_for_one_request() {
    let face = serve(&worker(None));
    let answers = ask(face.addr(), &"GET /health HTTP/1.1\r\nHost: x\r\n\r\n".repeat(2));
    assert_eq!(answers.matches("HTTP/1.1 200").count(), 1, "{answers}");
    assert!(answers.to_ascii_lowercase().contains("connection: close"), "{answers}");
}

#[test]
fn a_port_that_is_taken_is_told_with_its_holder_and_free_again_after_the_end() {
    let face = serve(&worker(None));
    let addr = face.addr();
    let refused = Face::start(addr, Hosts::default(), worker(None)).unwrap_err();
    let pid = std::process::id();
    assert!(matches!(refused, FaceError::InUse { .. }), "{refused:?}");
    assert!(refused.to_string().contains(&format!("(pid {pid})")), "{refused}");
    face.stop();
    Face::start(addr, Hosts::default(), worker(None)).unwrap().stop();
}

#[test]
fn a_flood_of_half_open_connections_keeps_no_scrape_out() {
    raise_open_files();
    let face = serve(&worker(None));
    let before = threads();
    let in_time = |_| {
        let mut flood = Vec::new();
        for _ in 0..2000 {
            let mut stream = connect(face.addr());
            // Some have been pushed out before they could say anything.
            stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\nX-Half: ").ok();
            flood.push(stream);
        }
        let mut times: Vec<Duration> = (0..100)
            .map(|_| {
                let start = now();
                assert_eq!(code(&get(face.addr(), "/metrics")), "200");
                now().since(start)
            })
            .collect();
        times.sort();
        println!(
            "2000 half-open: scrape median {:?}, 99th {:?}; threads {before} before, {} now",
            times[50],
            times[98],
            threads()
        );
        assert!(threads() < 32, "{}", threads());
        times[98] < Duration::from_millis(100)
    };
    // Others may keep the machine busy in one round; a flood that is in the way is so in each.
    assert!((0..10).any(in_time), "a scrape waits for the flood");
}

#[test]
fn a_byte_now_and_then_does_not_hold_a_connection_open() {
    let face = serve(&worker(None));
    let mut stream = connect(face.addr());
    stream.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
    let start = now();
    stream.write_all(b"GET /metrics HTTP/1.1\r\nX: ").unwrap();
    let mut answer = [0; 1024];
    // Each turn is one byte sent and half a second of listening; the end shows as an answer, an EOF or an error.
    while now().since(start) < DEADLINE {
        if stream.write_all(b"a").is_err() {
            break;
        }
        match stream.read(&mut answer) {
            Err(error) if matches!(error.kind(), std::io::ErrorKind::WouldBlock) => {}
            Ok(_) | Err(_) => break,
        }
    }
    let took = now().since(start);
    assert!((Duration::from_secs(4)..Duration::from_secs(20)).contains(&took), "{took:?}");
}

#[test]
fn a_request_line_now_and_then_or_none_at_all_is_ended_too() {
    let face = serve(&worker(None));
    for beginning in ["GET /metr", ""] {
        let mut stream = connect(face.addr());
        stream.write_all(beginning.as_bytes()).unwrap();
        let start = now();
        rest(stream);
        let took = now().since(start);
        assert!((Duration::from_secs(4)..Duration::from_secs(20)).contains(&took), "{beginning:?}: {took:?}");
    }
}

#[test]
fn who_never_reads_the_answer_is_let_go() {
    let worker = worker(None);
    *worker.padding.lock().unwrap() = "x".repeat(32 << 20);
    let face = serve(&worker);
    let mut stream = connect(face.addr());
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    let start = now();
    // Far more than the kernel holds for us. When the other side gives up, what was not sent is gone for good.
    let mut byte = [0];
    while now().since(start) < DEADLINE && !is_closed(&stream) {
        assert_eq!(stream.peek(&mut byte).unwrap(), 1);
    }
    let took = now().since(start);
    assert!((Duration::from_secs(4)..Duration::from_secs(25)).contains(&took), "{took:?}");
    assert_eq!(code(&get(face.addr(), "/health")), "200");
}

/// Whether the other side has closed, as the kernel sees it, with answers unread on ours.
fn is_closed(stream: &TcpStream) -> bool {
    let port = stream.local_addr().unwrap().port();
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let ours = table.lines().skip(1).find(|line| {
        let local = line.split_whitespace().nth(1).and_then(|it| it.rsplit_once(':'));
        local.is_some_and(|(_, it)| u16::from_str_radix(it, 16) == Ok(port))
    });
    // 01 is ESTABLISHED (proc_net(5)).
    ours.and_then(|line| line.split_whitespace().nth(3)) != Some("01")
}

#[test]
fn nothing_that_is_sent_ends_it_or_fills_memory() {
    let face = serve(&worker(None));
    let addr = face.addr();
    let resident = resident_kib();
    let huge = ask(addr, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n");
    assert_eq!(code(&huge), "413", "{huge}");
    for nonsense in [
        "GET / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nZZZZ\r\n\r\nffffffffffffffffff\r\n",
        "GET / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        "GET / HTTP/9.9\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "\u{16}\u{3}\u{1}\0\u{5}hello",
        "\r\n\r\n\r\n\0\0\0\0",
        "GET /metrics\r\n\r\n",
        "GET /metrics HTTP/0.9\r\n\r\n",
        "\u{fffd}\u{fffd}\u{fffd}\u{fffd} / HTTP/1.1\r\n\r\n",
        "GET /metrics HTTP/1.1\nHost: x\n bad: fold\n\n",
    ] {
        let answer = ask(addr, nonsense);
        assert!(!answer.contains(" 200 "), "{nonsense:?}: {answer}");
    }
    let mut stream = connect(addr);
    stream.write_all(b"GET / HTTP/1.1\r\nX: ").unwrap();
    let mebibyte = vec![b'a'; 1024 * 1024];
    let taken = (0..64).take_while(|_| stream.write_all(&mebibyte).is_ok()).count();
    assert!(taken < 16, "{taken} MiB of one header were taken");
    drop(stream);
    assert_eq!(code(&get(addr, "/metrics")), "200", "it is still there");
    let grown = resident_kib().saturating_sub(resident);
    assert!(grown < 32 * 1024, "{grown} KiB more than before");
    assert!(threads() < 32, "{}", threads());
}

fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[test]
fn promtool_finds_nothing_to_say_about_the_metrics() {
    let Some(promtool) = real::program("promtool") else { return };
    let face = serve(&worker(None));
    let page = get(face.addr(), "/metrics");
    let (_, body) = page.split_once("\r\n\r\n").unwrap();
    let (is_clean, said) = prometheus::check(&promtool, body);
    assert!(is_clean && said.trim().is_empty(), "{said}");
}

#[test]
fn a_real_prometheus_scrapes_it() {
    let Some(prometheus) = real::program("prometheus") else { return };
    let (tell, scrapes) = mpsc::channel();
    let worker = worker(Some(tell));
    worker.metrics.runbook().set_active_tasks(3);
    let face = serve(&worker);
    let dir = tempfile::tempdir().unwrap();
    let (running, api) = prometheus::start(&prometheus, dir.path(), &[face.addr()]);

    scrapes.recv_timeout(DEADLINE).expect("it scrapes");
    // The second scrape begins after the first one has been taken in.
    scrapes.recv_timeout(DEADLINE).expect("it scrapes again");
    let up = get(api, "/api/v1/query?query=up");
    assert!(up.contains(r#""1"]"#), "{up}");
    let active = get(api, "/api/v1/query?query=active_tasks");
    assert!(active.contains(r#""3"]"#), "{active}");
    let targets = get(api, "/api/v1/targets");
    assert!(targets.contains(r#""health":"up""#) && targets.contains(r#""lastError":"""#), "{targets}");
    drop(running);
}

//! The compose file of what looks on: its files are there, its ports and names agree, and what can be had starts from it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::docker::DockerHost;
use crate::world::World;
use crate::{real, text};

const REPO: &str = env!("CARGO_MANIFEST_DIR");
const FILES: &str = "-f docker-compose.yml -f docker-compose.observability.yml";
/// Those that come with it, and where each listens in its container.
const SEEN: [(&str, &[u64]); 6] = [
    ("prometheus", &[9090]),
    ("alertmanager", &[9093]),
    ("grafana", &[3000]),
    ("otel-collector", &[4317, 4318]),
    ("tempo", &[3200]),
    ("loki", &[3100]),
];

/// A YAML document as JSON.
fn yaml(command: &str, dir: &Path) -> Value {
    let script = "import json, sys, yaml; json.dump(yaml.safe_load(sys.stdin), sys.stdout, default=str)";
    let line = format!("set -o pipefail; {command} | python3 -c '{script}'");
    let done = Command::new("bash").args(["-c", &line]).current_dir(dir).output().unwrap();
    assert!(done.status.success(), "{command}: {}", String::from_utf8_lossy(&done.stderr));
    serde_json::from_slice(&done.stdout).unwrap()
}

fn config() -> Option<Value> {
    for name in ["docker-compose", "python3"] {
        real::program(name)?;
    }
    Some(yaml(&format!("docker-compose {FILES} config"), REPO.as_ref()))
}

fn ours(path: &str) -> Value {
    yaml(&format!("cat observability/{path}"), REPO.as_ref())
}

fn words(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().filter_map(|it| it.as_str().map(str::to_owned)).collect()
}

/// What a service mounts of this project: here, there.
fn mounts(service: &Value) -> BTreeMap<String, String> {
    let halves = |it: &String| {
        let mut halves = it.split(':');
        Some((halves.next()?.to_owned(), halves.next()?.to_owned()))
    };
    let all = words(&service["volumes"]);
    all.iter().filter_map(halves).filter(|(here, _)| here.starts_with(REPO)).collect()
}

/// The ports of a service: at the host, in its container.
fn ports(service: &Value) -> Vec<(u64, u64)> {
    let pair = |it: &String| {
        let mut parts = it.trim_end_matches("/tcp").rsplit(':');
        let inside = parts.next()?.parse().ok()?;
        Some((parts.next()?.parse().ok()?, inside))
    };
    words(&service["ports"]).iter().filter_map(pair).collect()
}

#[test]
fn every_file_that_is_mounted_is_there_and_no_port_is_taken_twice() {
    let Some(config) = config() else { return };
    let services = config["services"].as_object().unwrap();
    let mut taken = BTreeSet::new();
    for (name, service) in services {
        for (port, _) in ports(service) {
            assert!(taken.insert(port), "{name}: {port} is another's at the host");
        }
        for here in mounts(service).keys() {
            assert!(Path::new(here).exists(), "{name} mounts {here}");
        }
    }
    for (name, listens) in SEEN {
        let service = &services[name];
        assert!(service["networks"].get("observability").is_some(), "{name}: {service}");
        let inside: Vec<u64> = ports(service).iter().map(|(_, inside)| *inside).collect();
        assert_eq!(inside, listens, "{name}");
        for argument in words(&service["command"]) {
            let Some((_, there)) = argument.split_once("config.file=").or(argument.split_once("--config="))
            else {
                continue;
            };
            let from = mounts(service)
                .into_iter()
                .find_map(|(here, mounted)| Some(format!("{here}{}", there.strip_prefix(&mounted)?)));
            assert!(from.is_some_and(|it| Path::new(&it).is_file()), "{name} reads {there}");
        }
    }
}

/// `HOST:PORT` of a URL.
fn authority(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.split('/').next().unwrap_or(rest)
}

#[test]
fn whoever_is_spoken_to_listens_there_under_that_name() {
    let Some(config) = config() else { return };
    let mut listening: BTreeSet<String> = SEEN
        .iter()
        .flat_map(|(name, ports)| ports.iter().map(move |port| format!("{name}:{port}")))
        .collect();
    // Only among themselves.
    let tempo = ours("tempo/tempo.yml");
    let otlp = &tempo["distributor"]["receivers"]["otlp"]["protocols"]["grpc"]["endpoint"];
    assert_eq!(otlp, "0.0.0.0:4317");
    listening.insert("tempo:4317".to_owned());
    for (name, service) in config["services"].as_object().unwrap() {
        listening.extend(ports(service).iter().map(|(_, inside)| format!("{name}:{inside}")));
    }
    let (prometheus, collector) = (ours("prometheus/prometheus.yml"), ours("otel-collector/config.yml"));
    let sources = ours("grafana/provisioning/datasources/agent-worker.yml");
    let mut spoken: Vec<String> = Vec::new();
    for job in prometheus["scrape_configs"].as_array().unwrap() {
        spoken.extend(job["static_configs"].as_array().unwrap().iter().flat_map(|it| words(&it["targets"])));
    }
    let managers = &prometheus["alerting"]["alertmanagers"][0]["static_configs"][0]["targets"];
    spoken.extend(words(managers));
    spoken.extend(
        sources["datasources"]
            .as_array()
            .unwrap()
            .iter()
            .map(|it| authority(it["url"].as_str().unwrap()).to_owned()),
    );
    for exporter in collector["exporters"].as_object().unwrap().values() {
        spoken.push(authority(exporter["endpoint"].as_str().unwrap()).to_owned());
    }
    let workers = &config["services"]["marie"]["environment"]["OTEL_EXPORTER_OTLP_ENDPOINT"];
    spoken.push(authority(workers.as_str().unwrap()).to_owned());
    assert!(spoken.len() > 8, "{spoken:?}");
    for authority in &spoken {
        assert!(listening.contains(authority), "nobody listens at {authority}: {listening:?}");
    }
    assert_eq!(ours("loki/loki.yml")["server"]["http_listen_port"], 3100);
    assert_eq!(tempo["server"]["http_listen_port"], 3200);
    let protocols = &collector["receivers"]["otlp"]["protocols"];
    assert_eq!(
        (&protocols["grpc"]["endpoint"], &protocols["http"]["endpoint"]),
        (&"0.0.0.0:4317".into(), &"0.0.0.0:4318".into())
    );
}

/// What a pipeline of the collector names is defined, and what is defined is used.
#[test]
fn the_collectors_pipelines_are_whole() {
    if real::program("python3").is_none() {
        return;
    }
    let collector = ours("otel-collector/config.yml");
    let pipelines = collector["service"]["pipelines"].as_object().unwrap();
    for kind in ["receivers", "processors", "exporters"] {
        let defined: BTreeSet<String> = collector[kind].as_object().unwrap().keys().cloned().collect();
        let used: BTreeSet<String> = pipelines.values().flat_map(|it| words(&it[kind])).collect();
        assert_eq!(used, defined, "{kind}");
    }
    // The pattern by which Grafana gets from a line of the log to its trace.
    let sources = text("grafana/provisioning/datasources/agent-worker.yml");
    assert!(sources.contains(r#""trace_id":"([0-9a-f]{32})""#), "{sources}");
}

/// An image of a program of Debian's, with what it is linked with and reads, entered as the project's own image of it is.
fn image(host: &DockerHost, program: &Path, name: &str) {
    let tar = format!(
        "tar -chf - --transform 's|^{}$|bin/{name}|' {} $(ldd {} | grep -o '/[^ ]*') usr/share/prometheus/alertmanager/*.tmpl",
        program.strip_prefix("/").unwrap().display(),
        program.display(),
        program.display()
    );
    let entry = format!("--change 'ENTRYPOINT [\"/bin/{name}\"]' --change 'WORKDIR /{name}'");
    let done = host.shell(&format!("cd / && {tar} 2>/dev/null | docker import {entry} - {name}:debian"));
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

#[test]
fn prometheus_and_alertmanager_start_from_it_and_find_each_other() {
    let (Some(prometheus), Some(alertmanager), Some(_)) = (
        real::program("prometheus"),
        real::program("prometheus-alertmanager"),
        real::program("docker-compose"),
    ) else {
        return;
    };
    let world = World::new();
    let Some(host) = DockerHost::start(world.path()) else { return };
    image(&host, &prometheus, "prometheus");
    image(&host, &alertmanager, "alertmanager");
    let project = world.path().join("project");
    std::fs::create_dir(&project).unwrap();
    for part in ["docker-compose.yml", "docker-compose.observability.yml", "observability"] {
        let copied = Command::new("cp").arg("-r").arg(format!("{REPO}/{part}")).arg(&project).status();
        assert!(copied.unwrap().success());
    }
    let compose = |line: &str| {
        let done = host.shell(&format!(
            "cd {} && PROMETHEUS_IMAGE=prometheus:debian ALERTMANAGER_IMAGE=alertmanager:debian docker-compose {FILES} {line} 2>&1",
            project.display()
        ));
        let said = String::from_utf8_lossy(&done.stdout).into_owned();
        assert!(done.status.success(), "{line}: {said}");
        said
    };
    compose("up -d prometheus alertmanager");
    let ask = |url: &str| {
        let done = host.shell(&format!("curl -sf http://127.0.0.1:{url}"));
        done.status.success().then(|| String::from_utf8_lossy(&done.stdout).into_owned())
    };
    let found = world.until("Prometheus finds its Alertmanager", || {
        let text = ask("9090/api/v1/alertmanagers")?;
        let found: Value = serde_json::from_str(&text).ok()?;
        (found["data"]["activeAlertmanagers"][0]["url"] == "http://alertmanager:9093/api/v2/alerts")
            .then_some(text)
    });
    world.until(&format!("Alertmanager is ready: {found}"), || ask("9094/-/ready"));
    let rules = ask("9090/api/v1/rules").unwrap();
    assert!(rules.contains("AgentWorkerDown"), "{rules}");
    // Nobody of ours is up: that is what an alert is for, and it gets there.
    world.until("it is told that nobody answers", || {
        ask("9090/api/v1/targets")?.contains("http://marie:9091/metrics").then_some(())
    });
    // What they keep is in their volumes, and outlives them.
    let silence = r#"{"matchers":[{"name":"alertname","value":"kept","isRegex":false}],"startsAt":"2026-01-01T00:00:00Z","endsAt":"2099-01-01T00:00:00Z","createdBy":"x","comment":"x"}"#;
    assert!(
        ask(&format!("9094/api/v2/silences -H 'Content-Type: application/json' -d '{silence}'")).is_some()
    );
    compose("up -d --force-recreate prometheus alertmanager");
    world.until("both are back", || ask("9090/-/ready").and(ask("9094/-/ready")));
    assert!(ask("9094/api/v2/silences").unwrap().contains("kept"));
    compose("down --volumes");
}

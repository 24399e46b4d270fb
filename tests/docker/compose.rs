//! The compose files as text: what Docker would be told, with and without what the runbook's Python appends.

use std::process::Command;

use serde_json::Value;

use crate::WORKERS;
use crate::blocks::text;
use crate::real;

const REPO: &str = env!("CARGO_MANIFEST_DIR");

/// What `docker-compose config` makes of the files in `dir`.
fn config(dir: &std::path::Path) -> Value {
    let script = "import json, sys, yaml; json.dump(yaml.safe_load(sys.stdin), sys.stdout)";
    let output = Command::new("bash")
        .args(["-c", &format!("set -o pipefail; docker-compose config | python3 -c '{script}'")])
        .current_dir(dir)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn the_runbooks_script_may_append_to_the_override() {
    for name in ["docker-compose", "python3"] {
        if real::program(name).is_none() {
            return;
        }
    }
    let dir = tempfile::tempdir().unwrap();
    for name in ["docker-compose.yml", "docker-compose.override.yml"] {
        std::fs::copy(format!("{REPO}/{name}"), dir.path().join(name)).unwrap();
    }
    let plain = config(dir.path());
    for (worker, port) in WORKERS {
        let service = &plain["services"][worker];
        assert_eq!(service["container_name"], worker);
        assert_eq!(service["image"], format!("agent-worker:{worker}"));
        assert_eq!(service["ulimits"]["nofile"]["hard"], 65536);
        assert_eq!(service["ulimits"]["nproc"]["hard"], 32768);
        assert_eq!(service["healthcheck"]["test"][3], format!("http://localhost:{port}/metrics"));
        assert!(service["volumes"].as_array().unwrap().iter().any(|it| it == "/shared:/shared:rw"));
    }
    assert_eq!(plain["networks"]["observability"]["name"], "observability");
    assert!(!plain.to_string().contains("docker.sock"), "nobody is given the host");

    let script = format!("{}\nsetup_health_checks('marie')\nsetup_health_checks('anga')\n", text(14));
    let status =
        Command::new("/usr/bin/python3").args(["-c", &script]).current_dir(dir.path()).status().unwrap();
    assert!(status.success());
    let appended = config(dir.path());
    for (worker, _) in &WORKERS[..2] {
        let check = |of: &Value| of["services"][worker]["healthcheck"].clone();
        assert_eq!(check(&appended), check(&plain), "the compose file has the runbook's own check");
    }
}

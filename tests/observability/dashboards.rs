//! The dashboards stand under the names that runbooks link to, and every panel has data.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::scene::{has_data, query, scrape, supervised};
use crate::world::World;
use crate::{ours, real};

fn dashboards() -> Vec<Value> {
    let files = std::fs::read_dir(ours("grafana/dashboards")).unwrap();
    let read = |path| serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    files.map(|file| read(file.unwrap().path())).collect()
}

fn expressions(dashboard: &Value) -> Vec<(String, String)> {
    let panels = dashboard["panels"].as_array().unwrap();
    let of = |panel: &Value| {
        let title = panel["title"].as_str().unwrap().to_owned();
        let targets = panel["targets"].as_array().cloned().unwrap_or_default();
        targets
            .into_iter()
            .map(move |it| (title.clone(), it["expr"].as_str().unwrap().to_owned()))
            .collect::<Vec<_>>()
    };
    panels.iter().flat_map(of).collect()
}

#[test]
fn the_links_of_the_runbooks_lead_to_a_dashboard() {
    let known: BTreeSet<String> =
        dashboards().iter().map(|it| it["uid"].as_str().unwrap().to_owned()).collect();
    for link in [
        "/d/agents/overview",
        "/d/agents/execution",
        "/d/agents/errors",
        "/d/queue/overview",
        "/d/workers/health",
    ] {
        let uid = link.split('/').nth(2).unwrap();
        assert!(known.contains(uid), "{link}: a link names the uid, and then a text that may be any");
    }
    let agents = dashboards().into_iter().find(|it| it["uid"] == "agents").unwrap();
    let rows: Vec<_> =
        agents["panels"].as_array().unwrap().iter().filter(|it| it["type"] == "row").cloned().collect();
    let titles: Vec<_> = rows.iter().map(|row| row["title"].clone()).collect();
    assert_eq!(titles, ["Overview", "Execution", "Errors"], "what the three links ask for is all there");
}

#[test]
fn every_panel_has_data_in_a_real_prometheus() {
    let Some(program) = real::program("prometheus") else { return };
    let world = World::new();
    let (_supervisor, served) = supervised(&world, "exec");
    let lock = world.root().join("locks/marie_watcher.lock");
    let pid = world.until("marie is up", || crate::world::json(&lock)?["pid"].as_i64());
    let dir = tempfile::tempdir().unwrap();
    let (_prometheus, api) = scrape(&program, dir.path(), &served, None);
    // Growth is seen only between two scrapes: nothing has ended at the first.
    assert!(has_data(api, "active_tasks{job=\"agent-worker\", worker=\"marie\"}"));
    world.submit("marie/pending", "good", &json!({"prompt": "fake: succeed text=hi"}));
    world.submit("marie/pending", "bad", &json!({"prompt": "x", "type": "no-such-pack"}));
    world.filed("marie/completed", "good");
    world.filed("marie/failed", "bad");
    // Seen before the counters begin anew with another watcher.
    assert!(has_data(api, "worker:agent_runs_failed:ratio1h"));
    nix::sys::signal::kill(
        nix::unistd::Pid::from_raw(i32::try_from(pid).unwrap()),
        nix::sys::signal::Signal::SIGKILL,
    )
    .unwrap();
    let mut empty = Vec::new();
    let mut asked = 0;
    for dashboard in dashboards() {
        for (title, expr) in expressions(&dashboard) {
            let expr = expr.replace("$worker", ".*");
            asked += 1;
            if !has_data(api, &expr) {
                empty.push(format!("{} / {title}: {expr}: {}", dashboard["title"], query(api, &expr)));
            }
        }
    }
    assert!(empty.is_empty(), "{}", empty.join("\n"));
    assert!(asked > 30, "only {asked} expressions");
}

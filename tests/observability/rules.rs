//! The rules are well made, each alert is tried firing and silent, and each says where to read on.

use std::collections::BTreeSet;
use std::process::Command;

use crate::{ours, real, text};

/// Whether the program is content, and what it said.
fn content(program: &str, args: &[&str]) {
    let Some(program) = real::program(program) else { return };
    let done = Command::new(program).args(args).current_dir(ours("prometheus")).output().unwrap();
    let said = String::from_utf8_lossy(&done.stdout) + String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{args:?}: {said}");
}

#[test]
fn prometheus_takes_the_configuration_and_the_rules() {
    content("promtool", &["check", "config", "prometheus.yml"]);
    content("promtool", &["check", "rules", "recording.yml", "alerts.yml"]);
}

#[test]
fn each_alert_fires_when_it_should_and_not_otherwise() {
    content("promtool", &["test", "rules", "alerts.test.yml"]);
}

#[test]
fn alertmanager_takes_the_routes() {
    content("amtool", &["check-config", "../alertmanager/alertmanager.yml"]);
}

/// The values of `key` in a YAML file that has one to a line.
fn values(yaml: &str, key: &str) -> BTreeSet<String> {
    let lines = yaml.lines().map(|line| line.trim_start().trim_start_matches("- "));
    lines
        .filter_map(|line| line.strip_prefix(key)?.strip_prefix(": "))
        .map(|it| it.trim_matches('"').to_owned())
        .collect()
}

#[test]
fn no_alert_is_without_its_two_tests() {
    let tried = text("prometheus/alerts.test.yml");
    let mut firing = BTreeSet::new();
    let mut silent = BTreeSet::new();
    for piece in tried.split("- alertname: ").skip(1) {
        let name = piece.lines().next().unwrap().to_owned();
        if piece.contains("exp_alerts: []") {
            silent.insert(name)
        } else {
            firing.insert(name)
        };
    }
    let alerts = values(&text("prometheus/alerts.yml"), "alert");
    assert!(alerts.len() > 15, "{alerts:?}");
    assert_eq!(firing, alerts, "each fires once in the tests");
    assert_eq!(silent, alerts, "each stays silent once in the tests");
}

#[test]
fn every_alert_leads_to_its_section_of_the_manual() {
    let manual = include_str!("../../docs/operating.md");
    let headings: BTreeSet<String> =
        manual.lines().filter_map(|line| line.strip_prefix("### ")).map(str::to_lowercase).collect();
    let alerts = text("prometheus/alerts.yml");
    let links = values(&alerts, "runbook");
    for link in &links {
        let section = link.strip_prefix("docs/operating.md#").unwrap();
        assert!(headings.contains(section), "no section for {link}");
    }
    let named: BTreeSet<String> = values(&alerts, "alert").iter().map(|it| it.to_lowercase()).collect();
    let linked: BTreeSet<String> =
        links.iter().filter_map(|it| Some(it.split_once('#')?.1.to_owned())).collect();
    assert_eq!(named, linked, "an alert and its section are called alike");
}

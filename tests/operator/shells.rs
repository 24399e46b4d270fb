//! Completion in a real shell, and man pages in a real formatter.

use std::process::Command;

use crate::root::Root;

/// What bash offers after `words`, whose last one is begun.
fn offered(root: &Root, words: &[&str]) -> Vec<String> {
    let script = format!(
        "source <({agentctl} completions bash) || exit 9\n\
         COMP_WORDS=({words}); COMP_CWORD={last}; COMP_TYPE=9\n\
         _clap_complete_agentctl agentctl '{begun}' '' && printf '%s\\n' \"${{COMPREPLY[@]}}\"",
        agentctl = env!("CARGO_BIN_EXE_agentctl"),
        words = words.iter().map(|word| format!("'{word}'")).collect::<Vec<_>>().join(" "),
        last = words.len() - 1,
        begun = words[words.len() - 1],
    );
    let output = Command::new("bash")
        .args(["-c", &script])
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("SHARED_ROOT", root.dir.path())
        .output()
        .unwrap();
    let err = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && err.is_empty(), "{words:?}: {err}");
    String::from_utf8(output.stdout).unwrap().lines().map(|line| line.trim_end().to_owned()).collect()
}

#[test]
fn bash_completes_verbs_flags_workers_and_tasks() {
    let root = Root::new();
    root.lay("tasks/marie/active/report.json", r#"{"prompt":"x"}"#);
    root.lay("tasks/marie/pending/repair.json", r#"{"prompt":"x"}"#);
    root.lay("tasks/hello.json", r#"{"prompt":"x"}"#);
    assert_eq!(offered(&root, &["agentctl", "stat"]), ["status"]);
    assert_eq!(offered(&root, &["agentctl", "status", "--js"]), ["--json"]);
    let mut tasks = offered(&root, &["agentctl", "why", "rep"]);
    tasks.sort();
    assert_eq!(tasks, ["repair", "report"]);
    assert_eq!(offered(&root, &["agentctl", "list", "--worker", ""]), ["marie"]);
    let logs = offered(&root, &["agentctl", "logs", ""]);
    assert!(logs.contains(&"marie".to_owned()) && logs.contains(&"hello".to_owned()), "{logs:?}");
    let elsewhere = Root::new();
    let dir = elsewhere.dir.path().to_str().unwrap();
    elsewhere.lay("tasks/marie/active/other.json", r#"{"prompt":"x"}"#);
    assert_eq!(offered(&root, &["agentctl", "--root", dir, "show", "o"]), ["other"]);
    assert_eq!(root.run(&["completions", "tcsh"]).code, 64);
}

#[test]
fn every_program_and_verb_has_a_man_page_that_formats_without_a_warning() {
    let root = Root::new();
    let dir = root.path("man1");
    let said = root.run(&["man", dir.to_str().unwrap()]);
    assert_eq!(said.code, 0, "{said:?}");
    let pages = crate::root::files(&dir);
    for page in ["agentctl.1", "agentctl-why.1", "supervisor-resume.1", "watcher.1"] {
        assert!(pages.contains(&page.to_owned()), "{page} in {pages:?}");
    }
    assert_eq!(said.out.lines().count(), pages.len());
    if Command::new("groff").arg("--version").output().is_err() {
        println!("skipped the formatter: groff is not installed");
        return;
    }
    for page in pages {
        let output =
            Command::new("groff").args(["-man", "-ww", "-Tutf8"]).arg(dir.join(&page)).output().unwrap();
        assert!(output.stderr.is_empty(), "{page}: {}", String::from_utf8_lossy(&output.stderr));
        assert!(!output.stdout.is_empty(), "{page}");
    }
}

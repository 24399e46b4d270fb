//! What a person reads first: what runs where, and what to type next (pure).

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use crate::config::{AgentKind, SupervisorConfig};
use crate::layout::Layout;

/// Where things are, as the person would type them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Places {
    /// The root, seen from the working directory.
    pub(super) root: PathBuf,
    /// The folder of our programs.
    pub(super) programs: PathBuf,
}

impl Places {
    /// As seen from `cwd`.
    pub(super) fn new(root: &Path, programs: &Path, cwd: &Path) -> Self {
        Self { root: seen_from(cwd, root), programs: seen_from(cwd, programs) }
    }

    /// One of our programs.
    pub(super) fn program(&self, name: &str) -> String {
        quoted(&self.programs.join(name))
    }

    /// The tree, as the person would type it.
    pub(super) fn layout(&self) -> Layout {
        Layout::new(&self.root)
    }
}

/// The greeting, with the address at which the supervisor is served. Ends with a line break.
pub(super) fn banner(config: &SupervisorConfig, places: &Places, served: Option<SocketAddr>) -> String {
    let layout = places.layout();
    let tasks = layout.tasks();
    let mut lines = vec![format!("supervisor of {}", places.root.display())];
    for worker in &config.workers {
        let face = worker.metrics_addr.map_or_else(String::new, |addr| format!("http://{addr}/metrics"));
        lines.push(format!("  {:<8} {face}", worker.name.as_str()).trim_end().to_owned());
    }
    if config.agent == AgentKind::Echo {
        let loud =
            "  !!  --agent echo: NO CLAUDE HERE. Answers only repeat the prompt, and cost nothing.  !!";
        lines.extend([String::new(), loud.to_owned()]);
    }
    let hello = quoted(&tasks.join("hello.json"));
    let (agentctl, root) = (places.program("agentctl"), quoted(&places.root));
    let tasks = tasks.display();
    let health = served.map(|addr| format!("health:   http://{addr}/health/orchestrator"));
    lines.extend([
        String::new(),
        format!(r#"try it:   echo '{{"prompt":"say hello"}}' > {hello}"#),
        format!("tasks:    {tasks}/ for whoever is free, {tasks}/<worker>/pending/ for that worker"),
        format!("look:     {agentctl} --root {root} status"),
    ]);
    lines.extend(health);
    lines.extend([
        format!("answers:  {tasks}/<worker>/completed/  (failures, with a .reason beside each: failed/)"),
        "stop:     Ctrl-C (running tasks go back to the queue; closing this terminal stops nothing)"
            .to_owned(),
        String::new(),
    ]);
    lines.join("\n")
}

/// `path` as somebody in `cwd` would type it: `./below` if it is below, else as it is.
fn seen_from(cwd: &Path, path: &Path) -> PathBuf {
    match path.strip_prefix(cwd) {
        Ok(below) if cwd != Path::new("/") => Path::new(".").join(below),
        Ok(_) | Err(_) => path.to_owned(),
    }
}

/// A path as a shell takes it.
pub(super) fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let harmless = |c: char| c.is_ascii_alphanumeric() || "/._-+=:,@%".contains(c);
    if text.chars().all(harmless) { text } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Environment, Given, Manner, Origin, Settings};

    fn config(agent: &str) -> SupervisorConfig {
        let given = |key, value: &str| Given { key, values: vec![value.to_owned()], origin: Origin::Flag };
        let given = vec![given("root", "/home/ann/shared"), given("agent", agent)];
        SupervisorConfig::resolve(Manner::Up, &mut Settings::new(given, None), &Environment::of(&[])).unwrap()
    }

    fn places() -> Places {
        Places::new(Path::new("/home/ann/shared"), Path::new("/usr/local/bin"), Path::new("/home/ann"))
    }

    #[test]
    fn what_is_to_be_typed_works_where_the_person_is() {
        let text = banner(&config("claude"), &places(), Some(SocketAddr::from(([127, 0, 0, 1], 9002))));
        for part in [
            r#"echo '{"prompt":"say hello"}' > ./shared/tasks/hello.json"#,
            "/usr/local/bin/agentctl --root ./shared status",
            "./shared/tasks/<worker>/completed/",
            "http://127.0.0.1:9093/metrics",
            "http://127.0.0.1:9002/health/orchestrator",
        ] {
            assert!(text.contains(part), "{part} is missing in\n{text}");
        }
        assert!(!text.contains("NO CLAUDE"));
    }

    #[test]
    fn an_echo_is_said_loudly() {
        assert!(banner(&config("echo"), &places(), None).contains("NO CLAUDE HERE"));
    }

    #[test]
    fn paths_are_quoted_where_a_shell_would_stumble() {
        for (path, expected) in
            [("/shared/tasks", "/shared/tasks"), ("/my files/x", "'/my files/x'"), ("/it's", r"'/it'\''s'")]
        {
            assert_eq!(quoted(Path::new(path)), expected);
        }
        assert_eq!(seen_from(Path::new("/"), Path::new("/shared")), Path::new("/shared"));
    }
}

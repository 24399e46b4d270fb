//! How a host is asked to start a worker's watcher again: argument vectors, as values.
//!
//! Invariants:
//! - nothing goes through a shell; a worker's name is one whole argument, behind `--`, and cannot be an option anyway
//!   (`[a-z0-9][a-z0-9-]*`);
//! - a container is meant by its whole name: `docker restart` takes the beginning of an id too, so it is asked first
//!   whether what it would restart has this very name.
//!
//! It deliberately does not run anything, and does not know how often it is asked.

use crate::config::RestartBy;
use crate::recovery::crash::host::SYSTEMD_PROPERTIES;
use crate::task::WorkerName;

/// One command that a host is given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    /// The program and its arguments.
    pub argv: Vec<String>,
    /// What it has to print, where the next command depends on that.
    pub answer: Option<Answer>,
}

/// An answer without which the host is not asked any further.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The container's name.
    pub name: String,
}

impl Answer {
    /// Whether `printed` is it: the name alone, with or without the slash that Docker puts before it.
    pub fn is(&self, printed: &str) -> bool {
        let printed = printed.trim();
        printed.strip_prefix('/').unwrap_or(printed) == self.name
    }
}

/// What to type so that `worker` is restarted; nothing where the supervisor starts it itself or never does.
pub fn asks(by: RestartBy, worker: &WorkerName) -> Vec<Ask> {
    match by {
        RestartBy::Exec | RestartBy::Nobody => Vec::new(),
        RestartBy::Systemd => {
            vec![ask(&["systemctl", "--no-ask-password", "restart", "--", &format!("agent-worker-{worker}")])]
        }
        RestartBy::Docker => {
            let name = worker.to_string();
            let mut which =
                ask(&["docker", "inspect", "--type=container", "--format={{.Name}}", "--", &name]);
            which.answer = Some(Answer { name: name.clone() });
            vec![which, ask(&["docker", "restart", "--", &name])]
        }
    }
}

/// Not the whole of its state: that has what the last health checks printed, which may be pages.
const DOCKER_FORMAT: &str = concat!(
    r#"--format=[{"Name":{{json .Name}},"State":{"Status":{{json .State.Status}},"Running":{{json .State.Running}},"#,
    r#""OOMKilled":{{json .State.OOMKilled}},"ExitCode":{{json .State.ExitCode}},"Error":{{json .State.Error}},"#,
    r#""FinishedAt":{{json .State.FinishedAt}}}}]"#,
);

/// What to type to hear how `worker`'s watcher ended, before it is started again; nothing where no host ran it.
pub fn question(by: RestartBy, worker: &WorkerName) -> Option<Ask> {
    match by {
        RestartBy::Exec | RestartBy::Nobody => None,
        RestartBy::Systemd => {
            let properties = format!("--property={SYSTEMD_PROPERTIES}");
            Some(ask(&["systemctl", "show", &properties, "--", &format!("agent-worker-{worker}")]))
        }
        RestartBy::Docker => {
            Some(ask(&["docker", "inspect", "--type=container", DOCKER_FORMAT, "--", worker.as_str()]))
        }
    }
}

fn ask(argv: &[&str]) -> Ask {
    Ask { argv: argv.iter().map(|&word| word.to_owned()).collect(), answer: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_argument_behind_the_options() {
        let marie: WorkerName = "marie".parse().unwrap();
        let lines = |by| -> Vec<String> { asks(by, &marie).iter().map(|it| it.argv.join(" ")).collect() };
        assert_eq!(lines(RestartBy::Systemd), ["systemctl --no-ask-password restart -- agent-worker-marie"]);
        assert_eq!(
            lines(RestartBy::Docker),
            ["docker inspect --type=container --format={{.Name}} -- marie", "docker restart -- marie"]
        );
        assert_eq!(lines(RestartBy::Exec), [""; 0]);
        assert_eq!(lines(RestartBy::Nobody), [""; 0]);
    }

    #[test]
    fn only_the_whole_name_of_a_container_is_it() {
        let answer = Answer { name: "marie".to_owned() };
        for (printed, is_it) in [
            ("/marie\n", true),
            ("marie\n", true),
            ("/marie-debug\n", false),
            ("/xmarie\n", false),
            ("//marie", false),
            ("/marie\n/anga\n", false),
            ("/Marie", false),
            ("", false),
        ] {
            assert_eq!(answer.is(printed), is_it, "{printed:?}");
        }
    }

    #[test]
    fn no_name_can_be_an_option_or_a_path() {
        for name in ["-H", "--now", "a/b", "../a", "a b", "a;b", "A", "", "*", "marie.service"] {
            assert!(name.parse::<WorkerName>().is_err(), "{name}");
        }
    }
}

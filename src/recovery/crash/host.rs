//! What systemd and Docker say about the end of a process that they ran. Pure: their output comes in as text.

use nix::sys::signal::Signal;
use serde::Deserialize;

use crate::os::process::Exit;

/// What the host says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostSays {
    /// How it ended; `None` while it runs, or where nobody knows.
    pub exit: Option<Exit>,
    /// Whether the kernel ended it for want of memory.
    pub oom: bool,
    /// The host's own words.
    pub text: String,
}

/// The properties that [`from_systemd`] reads, for `systemctl show UNIT -p …`.
pub const SYSTEMD_PROPERTIES: &str = "Result,ExecMainCode,ExecMainStatus,ExecMainPID";

/// Reads what `systemctl show UNIT -p Result,ExecMainCode,ExecMainStatus,ExecMainPID` printed (`systemctl(1)`,
/// `systemd.exec(5)` on `$SERVICE_RESULT`). `None` if it says nothing about `pid`: the unit was never started, still
/// runs, or was started again since. Without a pid whatever ended last is taken.
pub fn from_systemd(text: &str, pid: Option<i32>) -> Option<HostSays> {
    let find = |name: &str| {
        text.lines()
            .find_map(|line| line.trim_end().strip_prefix(name)?.strip_prefix('='))
            .unwrap_or_default()
    };
    let (result, code, status) = (find("Result"), find("ExecMainCode"), find("ExecMainStatus"));
    let main: i32 = find("ExecMainPID").parse().unwrap_or(0);
    if main == 0 || pid.is_some_and(|pid| pid != main) {
        return None;
    }
    let number: i32 = status.parse().ok()?;
    // CLD_EXITED, CLD_KILLED, CLD_DUMPED of sigaction(2); by name in newer versions.
    let exit = match code {
        "1" | "exited" => Exit::Code(number),
        "2" | "3" | "killed" | "dumped" => Exit::Signal(number),
        _ => return None,
    };
    let text = format!("systemd: Result={result}, {exit}");
    Some(HostSays { exit: Some(exit), oom: result == "oom-kill", text })
}

/// Reads what systemd tells an `ExecStopPost=` in `$SERVICE_RESULT`, `$EXIT_CODE` and `$EXIT_STATUS` (`systemd.exec(5)`).
/// `None` if that is no end.
pub fn from_unit(result: &str, code: &str, status: &str) -> Option<HostSays> {
    let exit = match code {
        "exited" => Exit::Code(status.parse().ok()?),
        // By its name, without the beginning that all have.
        "killed" | "dumped" => Exit::Signal(format!("SIG{status}").parse::<Signal>().ok()? as i32),
        _ => return None,
    };
    let text = format!("systemd: Result={result}, {exit}");
    Some(HostSays { exit: Some(exit), oom: result == "oom-kill", text })
}

/// What `docker inspect` says of a container.
#[derive(Deserialize)]
struct Container {
    #[serde(rename = "Name")]
    name: String,
    #[serde(rename = "State")]
    state: State,
}

#[derive(Deserialize)]
#[serde(default, rename_all = "PascalCase")]
#[derive(Default)]
struct State {
    status: String,
    running: bool,
    #[serde(rename = "OOMKilled")]
    oom_killed: bool,
    exit_code: i32,
    error: String,
    finished_at: String,
}

/// Reads what `docker inspect NAME` printed. `None` if the container runs, never ran, has another name (Docker also
/// takes the beginning of an id), or if that is no such output.
pub fn from_docker(text: &str, name: &str) -> Option<HostSays> {
    let containers: Vec<Container> = serde_json::from_str(text).ok()?;
    let Container { name: found, state } = containers.into_iter().next()?;
    if found.trim_start_matches('/') != name {
        return None;
    }
    if state.running || state.status == "created" {
        return None;
    }
    // The shell's way to say that a signal ended it.
    let exit = match state.exit_code {
        code @ 129..=192 => Exit::Signal(code - 128),
        code => Exit::Code(code),
    };
    // Docker's mark also stands when another process of the container was ended; PID 1 itself was only by SIGKILL.
    let oom = state.oom_killed && exit == Exit::Signal(nix::libc::SIGKILL);
    let mark = if state.oom_killed { ", OOMKilled" } else { "" };
    let error = if state.error.is_empty() { String::new() } else { format!(": {}", state.error) };
    let text = format!("docker: exit code {}{mark}{error}, at {}", state.exit_code, state.finished_at);
    Some(HostSays { exit: Some(exit), oom, text })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn systemd_tells_how_the_main_process_ended() {
        for (text, exit, oom) in [
            ("Result=oom-kill\nExecMainPID=77\nExecMainCode=2\nExecMainStatus=9\n", Exit::Signal(9), true),
            ("ExecMainPID=77\nExecMainCode=2\nExecMainStatus=9\nResult=signal\n", Exit::Signal(9), false),
            (
                "Result=core-dump\nExecMainPID=77\nExecMainCode=3\nExecMainStatus=11\n",
                Exit::Signal(11),
                false,
            ),
            ("Result=exit-code\nExecMainPID=77\nExecMainCode=1\nExecMainStatus=78\n", Exit::Code(78), false),
            (
                "Result=exit-code\nExecMainPID=77\nExecMainCode=exited\nExecMainStatus=75\n",
                Exit::Code(75),
                false,
            ),
            ("Result=watchdog\nExecMainPID=77\nExecMainCode=2\nExecMainStatus=6\n", Exit::Signal(6), false),
        ] {
            let said = from_systemd(text, Some(77)).unwrap();
            assert_eq!((said.exit, said.oom), (Some(exit), oom), "{text}");
            assert!(said.text.contains("Result="), "{}", said.text);
        }
    }

    #[test]
    fn what_systemd_says_about_another_process_is_not_ours() {
        for text in [
            // Started again since: it runs.
            "Result=success\nExecMainPID=99\nExecMainCode=0\nExecMainStatus=0\n",
            "Result=signal\nExecMainPID=99\nExecMainCode=2\nExecMainStatus=9\n",
            // Runs still.
            "Result=success\nExecMainPID=77\nExecMainCode=0\nExecMainStatus=0\n",
            // No such unit.
            "Result=success\nExecMainPID=0\nExecMainCode=0\nExecMainStatus=0\n",
            "Failed to connect to bus: Host is down\n",
            "",
        ] {
            assert_eq!(from_systemd(text, Some(77)), None, "{text}");
        }
    }

    /// As Docker 20.10 prints it, shortened.
    fn inspected(state: &str) -> String {
        format!(r#"[{{"Id":"3f","Name":"/marie","State":{state},"Config":{{"Image":"x"}}}}]"#)
    }

    #[test]
    fn docker_tells_the_exit_code_and_whether_memory_ran_out() {
        for (state, exit, oom) in [
            (
                r#"{"Status":"exited","Running":false,"OOMKilled":true,"Dead":false,"Pid":0,"ExitCode":137,"Error":"","FinishedAt":"2026-11-22T21:40:11Z"}"#,
                Exit::Signal(9),
                true,
            ),
            (
                r#"{"Status":"exited","Running":false,"OOMKilled":false,"ExitCode":137}"#,
                Exit::Signal(9),
                false,
            ),
            // An agent was, and the watcher went on to a fault of its own.
            (r#"{"Status":"exited","Running":false,"OOMKilled":true,"ExitCode":70}"#, Exit::Code(70), false),
            (r#"{"Status":"exited","ExitCode":139}"#, Exit::Signal(11), false),
            (r#"{"Status":"exited","ExitCode":78,"Error":"x"}"#, Exit::Code(78), false),
        ] {
            let said = from_docker(&inspected(state), "marie").unwrap();
            assert_eq!((said.exit, said.oom), (Some(exit), oom), "{state}");
        }
        for none in [
            &inspected(r#"{"Status":"running","Running":true,"ExitCode":0}"#),
            &inspected(r#"{"Status":"created","Running":false,"ExitCode":0}"#),
            "[]",
            "Error: No such object: marie",
        ] {
            assert_eq!(from_docker(none, "marie"), None, "{none}");
        }
        let others = inspected(r#"{"Status":"exited","ExitCode":137}"#);
        assert_eq!(from_docker(&others, "mar"), None, "another container's");
    }
}

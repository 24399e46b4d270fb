//! `scripts/install.sh` on a host that has neither dpkg nor systemd.

use std::sync::Arc;

use crate::built::Built;
use crate::engine::Engine;
use crate::page;

/// The host: a container, from which those were taken away.
struct Host {
    engine: Arc<Engine>,
    id: String,
}

impl Drop for Host {
    fn drop(&mut self) {
        self.engine.docker(&["rm", "--force", "--volumes", &self.id]).output().ok();
    }
}

impl Host {
    fn start(engine: &Arc<Engine>, image: &str) -> Self {
        let id = engine.says(&["run", "--detach", "--network", "none", image, "sleep", "infinity"]);
        let host = Self { engine: Arc::clone(engine), id };
        host.run("rm -rf /usr/bin/dpkg* /usr/bin/systemd-* /usr/bin/systemctl /usr/lib/systemd /usr/lib/sysusers.d /usr/lib/tmpfiles.d");
        host
    }

    fn try_run(&self, line: &str) -> (bool, String) {
        let script = format!("cd /root/clone 2>/dev/null || cd /; {line}");
        let output = self.engine.docker(&["exec", &self.id, "bash", "-ec", &script]).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        (output.status.success(), text.trim_end().to_owned())
    }

    fn run(&self, line: &str) -> String {
        let (is_well, text) = self.try_run(line);
        assert!(is_well, "{line}\n{text}");
        text
    }

    /// Every file that is not the kernel's, with its content's sum.
    fn files(&self) -> String {
        self.run("find / -xdev -type f -not -path '/proc/*' -not -path '/root/*' -not -path '/tmp/*' -exec md5sum {} + | sort -k2; cat /etc/hosts")
    }
}

/// Tried, installed, at work, updated, uninstalled.
pub(crate) fn is_installed_and_works(engine: &Arc<Engine>, image: &str, built: &Built) {
    let host = Host::start(engine, image);
    engine.says(&["cp", &built.clone().display().to_string(), &format!("{}:/root/clone", host.id)]);
    let [install, uninstall] = &page::typed("## Other hosts")[..] else { panic!("two blocks") };
    let install = install.lines().last().unwrap().replace("target/programs", "bin");
    host.run("install bin/claude /usr/bin/claude");

    let before = host.files();
    let told = host.run(&format!("{install} --dry-run"));
    assert!(told.contains("would: install") && told.contains("/usr/local/bin/.watcher.new"), "{told}");
    assert!(told.contains("would: append /etc/hosts 127.0.0.1 marie anga fabien"), "{told}");
    assert_eq!(host.files(), before, "a dry run changes nothing");

    let said = host.run(&install);
    assert!(said.contains("There is no systemd here"), "{said}");
    assert_eq!(
        host.run("find / -xdev -name 'agent-*.service' -not -path '/root/*'"),
        "",
        "no unit lies about"
    );
    let lines: Vec<&str> = said.lines().filter_map(|line| line.strip_prefix("  ")).collect();
    let (up, once) = lines.split_last().unwrap();
    host.run(&once.join("\n"));
    assert_eq!(host.run("getent hosts marie anga fabien | awk '{print $1}' | sort -u"), "127.0.0.1");

    let (begun, _) = host.try_run(&format!("({up}) > /var/log/up 2>&1 & for i in $(seq 600); do test -d /shared/tasks/marie/pending && exit 0; read -t 0.1 < <(:) || :; done; exit 1"));
    assert!(begun, "{}", host.run("cat /var/log/up"));
    let answer = host.run("agentctl submit 'say hello' --wait");
    assert!(answer.contains("heard: say hello"), "{answer}");
    assert!(host.run("curl -fsS http://marie:9091/metrics").contains("active_tasks"));
    host.run("source /usr/local/share/bash-completion/completions/agentctl && complete -p agentctl");

    // Again, as an update: what is the operator's stays, what the version before had goes, a name is not added twice.
    host.run("echo 'concurrency = 4' >> /etc/agent-worker/config.toml");
    host.run("echo old > /usr/local/share/agent-worker/old; echo /usr/local/share/agent-worker/old >> /usr/local/share/agent-worker/files");
    let said = host.run(&install);
    assert!(said.contains("kept: /etc/agent-worker/config.toml"), "{said}");
    assert_eq!(host.run("tail -n 1 /etc/agent-worker/config.toml"), "concurrency = 4");
    assert!(!host.try_run("ls /usr/local/share/agent-worker/old").0);
    assert_eq!(host.run("grep -c marie /etc/hosts"), "1");

    let said = host.run(uninstall);
    assert!(said.contains("pkill -u agent-worker"), "the supervisor still runs: {said}");
    host.run("pkill -u agent-worker -o supervisor");
    assert_eq!(host.run("find /usr/local -type f"), "", "all is gone");
    assert_eq!(host.run("grep -c marie /etc/hosts || true"), "0");
    assert_eq!(host.run("tail -n 1 /etc/agent-worker/config.toml"), "concurrency = 4");
    assert!(host.run("ls /shared/tasks/*/completed").contains(".json"));
    assert!(!host.try_run(uninstall).0, "there is nothing any more");
}

//! Deaths of containers, of what is in them, and of what runs them.

use serde_json::{Value, json};

use crate::WORKERS;
use crate::stage::Stage;

/// The gate of a task as its agent sees it; where it is on this machine.
pub(crate) fn gate(stage: &Stage, name: &str) -> (String, std::path::PathBuf) {
    (format!("/shared/gate-{name}"), stage.world.root().join(format!("gate-{name}")))
}

/// A task of `worker` whose agent is at work and waits.
pub(crate) fn waiting(stage: &Stage, worker: &str, name: &str) -> std::path::PathBuf {
    let (within, path) = gate(stage, name);
    let prompt = format!("fake: gate={within}; succeed text=done | gate={within}; succeed text=resumed");
    stage.world.submit(&format!("{worker}/pending"), name, &json!({ "prompt": prompt }));
    stage.within(&format!("{name} is at work"), || (messages(stage, name) == 1).then_some(()));
    path
}

/// How many agents of a task were told what to do.
pub(crate) fn messages(stage: &Stage, task: &str) -> usize {
    stage.world.agent_log().iter().filter(|line| line["event"] == "message" && line["task"] == task).count()
}

/// The second agent of a task goes on where the first was; lets it, and tells how it was filed.
pub(crate) fn resumed(stage: &Stage, worker: &str, name: &str, gate: &std::path::Path) -> Value {
    stage.within(&format!("{name} is resumed"), || (messages(stage, name) == 2).then_some(()));
    std::fs::write(gate, "").unwrap();
    let task = stage.world.filed(&format!("{worker}/completed"), name);
    assert_eq!(task["result"], "resumed", "{task}");
    assert_eq!(stage.world.homes(name), [format!("{worker}/completed")]);
    task
}

pub(crate) fn tasks_go_through_all_three(stage: &Stage) {
    for (worker, _) in WORKERS {
        let task = json!({ "prompt": "fake: succeed text=done" });
        stage.world.submit(&format!("{worker}/pending"), &format!("to-{worker}"), &task);
    }
    for (worker, _) in WORKERS {
        let task = stage.world.filed(&format!("{worker}/completed"), &format!("to-{worker}"));
        assert_eq!(task["result"], "done");
    }
    // One for anybody, by the operator's own program within a container.
    let told = stage.shell("docker exec anga agentctl submit 'fake: succeed text=anybody' --wait");
    assert!(told.contains("anybody"), "{told}");
}

pub(crate) fn a_restart_puts_back_and_resumes_uncharged(stage: &Stage) {
    let gate = waiting(stage, "marie", "restarted");
    stage.shell("docker restart marie");
    let task = resumed(stage, "marie", "restarted", &gate);
    assert_eq!(task["retry_count"], 0, "{task}");
    assert_eq!(task["attempts"][0]["outcome"], "interrupted", "{task}");
}

pub(crate) fn a_kill_is_charged_once_and_resumed(stage: &Stage) {
    let gate = waiting(stage, "marie", "killed");
    stage.shell("docker kill marie");
    stage.within("the supervisor in its own container sees it", || {
        stage.logs("supervisor").contains("marie: the watcher died").then_some(())
    });
    assert_eq!(stage.inspect("marie", ".State.Status"), "exited", "who was killed by hand stays so");
    stage.shell("docker start marie");
    let task = resumed(stage, "marie", "killed", &gate);
    assert_eq!(task["retry_count"], 1, "{task}");
    assert_eq!(task["attempts"][0]["reason"], "worker_crash", "memory had not run out: {task}");
}

pub(crate) fn docker_brings_back_what_crashed(stage: &Stage) {
    let gate = waiting(stage, "anga", "crashed");
    let before = stage.last_beat("anga");
    stage.shell("kill -9 $(docker inspect -f '{{.State.Pid}}' anga)");
    stage.beating_anew("anga", before);
    assert_eq!(stage.inspect("anga", ".RestartCount"), "1");
    resumed(stage, "anga", "crashed", &gate);
}

pub(crate) fn the_first_process_reaps_two_hundred_orphans(stage: &Stage) {
    let processes = || stage.shell("docker exec marie ps -eo stat=,ppid=,comm=");
    stage.shell("docker exec marie sh -c 'for i in $(seq 200); do (sleep 2 > /dev/null 2>&1 &); done'");
    let orphans = processes().lines().filter(|line| line.contains("sleep") && line.contains(" 1 ")).count();
    assert!(orphans > 0, "they are the first process's: {}", processes());
    stage.within("all are gone", || (!processes().contains("sleep")).then_some(()));
    let zombies: Vec<_> =
        processes().lines().filter(|line| line.starts_with('Z')).map(str::to_owned).collect();
    assert!(zombies.is_empty(), "{zombies:?}");
}

pub(crate) fn all_come_back_with_the_daemon(stage: &Stage) {
    for signal in ["TERM", "KILL"] {
        let name = format!("daemon-{}", signal.to_lowercase());
        let gate = waiting(stage, "fabien", &name);
        let before: Vec<u64> = WORKERS.iter().map(|(worker, _)| stage.last_beat(worker)).collect();
        stage.host.end_daemon(signal);
        stage.host.start_daemon().unwrap();
        if signal == "KILL" {
            // The next daemon ends what the killed one left running, and starts none of it.
            stage.compose("up -d");
        }
        for ((worker, _), before) in WORKERS.iter().zip(before) {
            stage.beating_anew(worker, before);
        }
        resumed(stage, "fabien", &name, &gate);
    }
}

/// The other way to have it: no restart policy, and a supervisor beside Docker that asks it, as who may do so.
pub(crate) fn a_supervisor_on_the_host_asks_docker(stage: &Stage) {
    stage.shell("docker stop supervisor && docker update --restart no fabien");
    let (supervisor, pid) =
        (stage.world.program("supervisor"), stage.world.path().join("host-supervisor.pid"));
    let line = format!(
        "echo $$ > {1}; exec setpriv --reuid 10001 --regid 10001 --groups $(stat -c %g ${{DOCKER_HOST#unix://}}) {0} run --workers fabien --restart docker --metrics-addr none --log-format json",
        supervisor.display(),
        pid.display()
    );
    let log = std::fs::File::create(stage.world.logs().join("host-supervisor.err")).unwrap();
    let mut command = stage.host.within("bash");
    command.args(["-c", &line]).stdout(log.try_clone().unwrap()).stderr(log);
    let mut running = command.spawn().unwrap();
    stage.within("it acts", || {
        let said = std::fs::read_to_string(stage.world.logs().join("host-supervisor.err")).ok()?;
        said.contains("fabien: a watcher is at work already").then_some(())
    });
    let (gate, before) = (waiting(stage, "fabien", "asked"), stage.last_beat("fabien"));
    stage.shell("kill -9 $(docker inspect -f '{{.State.Pid}}' fabien)");
    stage.beating_anew("fabien", before);
    resumed(stage, "fabien", "asked", &gate);
    let left = crate::world::json(&stage.world.root().join("workers/fabien/state.json")).unwrap();
    let said = std::fs::read_to_string(stage.world.logs().join("host-supervisor.err")).unwrap();
    assert_eq!(left["last_crash_reason"], "signal_9", "Docker knows its exit status: {left}\n{said}");
    assert!(left["last_crash_detail"].to_string().contains("docker: exit code 137"), "{left}");
    stage.shell(&format!("kill $(cat {})", pid.display()));
    assert!(running.wait().unwrap().success());
    stage.shell("docker update --restart unless-stopped fabien && docker start supervisor");
}

//! Containers have numbers of their own for processes: a neighbour is known by its locks and its host's name, and nobody
//! is judged by a number.

use crate::deaths::{resumed, waiting};
use crate::stage::Stage;

/// A supervisor in a container of its own.
fn supervisor(stage: &Stage, name: &str) {
    stage.shell(&format!(
        "docker run -d --name {name} --hostname {name} --network observability -v /shared:/shared agent-worker \
         /app/supervisor run --workers marie,anga,fabien --restart none --metrics-addr none --hung-after 3 \
         --log-dir /tmp"
    ));
}

fn says(stage: &Stage, name: &str, words: &str) {
    stage.within(&format!("{name} says: {words}"), || stage.logs(name).contains(words).then_some(()));
}

pub(crate) fn the_second_supervisor_names_the_first_and_follows_it(stage: &Stage) {
    supervisor(stage, "second");
    says(stage, "second", "Standing by: the supervisor (pid 1 on supervisor, since ");
    let gate = waiting(stage, "marie", "overseen");
    stage.shell("docker kill supervisor");
    says(stage, "second", "marie: a watcher is at work already");
    // It sees deaths as the first one did.
    stage.shell("docker kill marie");
    says(stage, "second", "marie: the watcher died");
    stage.shell("docker start supervisor marie");
    says(stage, "supervisor", "Standing by: the supervisor (pid 1 on second, since ");
    resumed(stage, "marie", "overseen", &gate);
}

/// As the second one looks on, which looks sooner.
pub(crate) fn who_is_frozen_is_told_and_left_alone(stage: &Stage) {
    let before = stage.inspect("anga", ".State.StartedAt");
    let gate = waiting(stage, "anga", "frozen");
    stage.shell("docker pause anga");
    says(stage, "second", "anga: SILENT");
    stage.shell("docker unpause anga");
    says(stage, "second", "anga: makes progress again");
    std::fs::write(gate, "").unwrap();
    let task = stage.world.filed("anga/completed", "frozen");
    assert_eq!(task["result"], "done", "{task}");
    assert_eq!(task["attempts"].as_array().unwrap().len(), 1, "{task}");
    assert_eq!(stage.inspect("anga", ".State.StartedAt"), before);
    let said = stage.logs("second");
    assert!(!said.contains("HUNG") && !said.contains("SUSPENDED"), "{said}");

    stage.shell("docker stop second");
    assert_eq!(stage.inspect("second", ".State.ExitCode"), "0", "{}", stage.logs("second"));
    stage.shell("docker rm second");
    says(stage, "supervisor", "Taking over");
}

/// Somebody else has the number that a dead agent had, and the kernel gives the number of a namespace that is gone to the
/// next one.
pub(crate) fn a_number_of_elsewhere_judges_nobody(stage: &Stage) {
    const BYSTANDERS: usize = 400;
    let before = stage.last_beat("marie");
    // In a new namespace numbers are low.
    stage.shell("docker restart marie");
    stage.beating_anew("marie", before);
    let gate = waiting(stage, "marie", "elsewhere");
    let task = stage.world.active("marie", "elsewhere", |it| it["attempts"][0]["pid"].is_number());
    let agent = usize::try_from(task["attempts"][0]["pid"].as_u64().unwrap()).unwrap();
    stage.shell("docker kill marie");
    // Who asks for them before they are all there takes a number himself.
    stage.shell(&format!(
        "docker run -d --name bystanders -v /shared:/shared agent-worker \
         bash -c 'for n in $(seq {BYSTANDERS}); do sleep 1000 & done; echo all there; wait'"
    ));
    says(stage, "bystanders", "all there");
    let bystanders = || stage.typed_in("bystanders", "ps -C sleep -o pid=").1;
    // One that was just forked has its shell's name still.
    let asleep = || Some(bystanders()).filter(|it| it.lines().count() == BYSTANDERS);
    let before = stage.world.until("all of them sleep", asleep);
    assert!(
        before.lines().any(|it| it.trim() == agent.to_string()),
        "nobody has the number {agent}: {before}"
    );
    let (is_well, said) = stage.typed_in("bystanders", "supervisor recover marie --end-agents");
    assert!(is_well && said.contains("Clean recovery completed for marie"), "{said}");
    assert_eq!(bystanders(), before, "{said}");
    assert_eq!(stage.world.homes("elsewhere"), ["marie/pending"]);
    stage.shell("docker rm -f bystanders && docker start marie");
    resumed(stage, "marie", "elsewhere", &gate);
}

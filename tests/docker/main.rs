//! The image and the compose file on a real Docker: the runbook's commands as they stand there, and deaths of every kind
//! that a container knows. Skipped, aloud, where no daemon can be started.

#![cfg(feature = "test-support")]
#![expect(clippy::disallowed_methods, reason = "a test plays the user: it starts programs and writes files")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends")]

#[path = "../support/base.rs"]
mod base;
#[path = "../runbook/blocks.rs"]
mod blocks;
mod compose;
mod cuts;
mod deaths;
#[path = "../support/docker.rs"]
mod docker;
mod memory;
mod names;
mod namespaces;
#[path = "../operating/page.rs"]
mod page;
mod promised;
#[path = "../support/promises/mod.rs"]
mod promises;
#[path = "../support/real.rs"]
mod real;
mod stage;
#[path = "../support/traces.rs"]
mod traces;
mod typed;
#[path = "../support/world.rs"]
mod world;

use stage::Stage;

const WORKERS: [(&str, u16); 3] = [("marie", 9091), ("anga", 9092), ("fabien", 9093)];

/// One after another on one host: its images take longer to make than everything that is done with them.
#[test]
fn three_workers_and_a_supervisor_live_in_containers() {
    let Some(stage) = Stage::set() else { return };
    stage.scene("up", Stage::up);
    stage.scene("the runbook's commands", names::the_runbooks_commands);
    stage.scene("names and pages", names::pages_from_a_neighbour_and_from_the_host);
    stage.scene("tasks through all three", deaths::tasks_go_through_all_three);
    stage.scene("restart", deaths::a_restart_puts_back_and_resumes_uncharged);
    stage.scene("what the pages tell", typed::what_the_pages_tell);
    stage.scene("kill", deaths::a_kill_is_charged_once_and_resumed);
    stage.scene("crash", deaths::docker_brings_back_what_crashed);
    stage.scene("drops", promised::tasks_come_by_every_hand);
    stage.scene("taken names", promised::a_name_that_is_taken_is_kept);
    stage.scene("trees", promised::whole_trees_end_under_the_first_process);
    stage.scene("in mid-claim", cuts::a_restart_and_kills_in_mid_claim_lose_nothing);
    stage.scene("an unread answer", cuts::an_answer_that_nobody_read_is_filed);
    stage.scene("two supervisors", namespaces::the_second_supervisor_names_the_first_and_follows_it);
    stage.scene("a frozen neighbour", namespaces::who_is_frozen_is_told_and_left_alone);
    stage.scene("numbers of another container", namespaces::a_number_of_elsewhere_judges_nobody);
    stage.scene("orphans", deaths::the_first_process_reaps_two_hundred_orphans);
    stage.scene("healthy", typed::docker_finds_them_healthy);
    stage.scene("an agent without memory", memory::an_agent_that_takes_too_much_is_told);
    stage.scene("a watcher without memory", memory::a_watcher_that_takes_too_much_is_told);
    stage.scene("asked", deaths::a_supervisor_on_the_host_asks_docker);
    stage.scene("the daemon", deaths::all_come_back_with_the_daemon);
    stage.scene("two of one name", names::the_second_of_one_name_says_who_has_it);
    stage.scene("the debug container", names::alone_the_debug_container_works);
    stage.scene("a full disk", promised::a_disk_that_is_full_loses_nothing);
    stage.scene("a bug", names::a_bug_leaves_a_report_and_a_core);
    stage.scene("down", Stage::down);
}

//! What is promised everywhere, in containers.

use std::path::PathBuf;

use crate::promises::{Host, drops, names, room, trees};
use crate::real;
use crate::stage::Stage;

pub(crate) fn tasks_come_by_every_hand(stage: &Stage) {
    if real::program("rsync").is_some() && real::program("vim.tiny").is_some() {
        drops::by_every_hand(stage);
    }
}

pub(crate) fn a_name_that_is_taken_is_kept(stage: &Stage) {
    names::nothing_is_written_over(stage);
}

pub(crate) fn whole_trees_end_under_the_first_process(stage: &Stage) {
    let before = stage.inspect("marie", ".State.StartedAt");
    trees::end_with_their_task(stage);
    assert_eq!(stage.inspect("marie", ".State.StartedAt"), before, "{}", stage.logs("marie"));
}

/// A container of marie whose `/shared` is a small disk of its own.
struct Small<'a>(&'a Stage);

impl Host for Small<'_> {
    fn root(&self) -> PathBuf {
        unreachable!("the disk is the container's alone")
    }

    fn there(&self) -> String {
        self.0.there()
    }

    fn agents(&self) -> PathBuf {
        self.0.agents()
    }

    fn operator(&self, line: &str) -> String {
        self.0.operator(line)
    }

    fn inside(&self, line: &str) -> (bool, String) {
        self.0.typed_in("marie-small", line)
    }

    fn until<T>(&self, what: &str, fact: impl FnMut() -> Option<T>) -> T {
        self.0.until(what, fact)
    }
}

pub(crate) fn a_disk_that_is_full_loses_nothing(stage: &Stage) {
    let given = stage.given().map(|it| format!("-v {it}")).join(" ");
    let home = stage.world.home();
    stage.shell(&format!(
        "docker run -d --name marie-small --tmpfs /shared:size=2m,mode=2770,uid=10001,gid=10001 {given} \
         -v {}:/home/agent-worker -e CLAUDE_BIN=/opt/agent agent-worker:marie",
        home.display()
    ));
    room::runs_out_and_comes_back(&Small(stage), || stage.logs("marie-small"));
    assert_eq!(stage.inspect("marie-small", ".State.Running"), "true");
    stage.shell("docker stop marie-small");
    assert_eq!(stage.inspect("marie-small", ".State.ExitCode"), "0", "{}", stage.logs("marie-small"));
    stage.shell("docker rm marie-small");
}

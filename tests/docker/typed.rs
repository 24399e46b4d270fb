//! What the pages for operators tell to type where there is a Docker daemon, and what Docker itself says of health and use.

use crate::page;
use crate::stage::{Stage, both};

pub(crate) fn what_the_pages_tell(stage: &Stage) {
    let told = page::of(&page::OF_DOCKER);
    assert_eq!(
        told,
        ["docker logs marie --tail 100".to_owned()].into(),
        "what the pages tell, and what is typed here"
    );
    let logs = stage.block("docker logs marie --tail 100");
    assert!(logs.contains(r#""worker":"marie""#) && logs.contains("at work"), "{logs}");
}

/// The checks of the compose file, as Docker carries them out: the first one comes after their interval.
pub(crate) fn docker_finds_them_healthy(stage: &Stage) {
    for name in ["marie", "anga", "fabien", "supervisor"] {
        let health = || stage.inspect(name, ".State.Health.Status");
        stage.within(&format!("{name} is healthy"), || (health() == "healthy").then_some(()));
        let log = stage.inspect(name, "json .State.Health.Log");
        assert!(log.contains(r#""ExitCode":0"#), "{log}");
    }
    // On a busy machine Docker gives up counting, and prints noughts.
    stage.within("Docker counts", || {
        let stats = both(&stage.host.shell("docker stats --no-stream marie"));
        assert!(stats.contains("MEM USAGE / LIMIT"), "{stats}");
        stats.contains("/ 2GiB").then_some(())
    });
}

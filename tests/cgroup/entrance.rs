//! How a run gets into its group, and what becomes of it where that is not possible.

use std::fs;
use std::io::Read;
use std::os::unix::fs::chown;
use std::process::{Command, Stdio};

use serde_json::json;

use crate::sight::{events, logged, state};
use crate::world::World;
use crate::{BOTH, Base, Version, pids, written_down};

#[test]
fn a_run_is_in_its_group_from_its_first_instant_and_the_group_goes_with_it() {
    for version in BOTH {
        let world = World::new();
        let Some(base) = Base::new(&world, version) else { return };
        let watcher = base.watcher(&world, &[]);
        let gate = world.path().join("gate");
        let script =
            format!("fake: run text=cat /proc/self/cgroup; gate={}; succeed text=in", gate.display());
        world.submit("marie/pending", "t", &json!({"prompt": script}));
        // As soon as there is an attempt, its group stands in it: before anything is started.
        let group = written_down(&world.active("marie", "t", |it| it["attempts"][0].is_object()));
        let task = world.active("marie", "t", |it| it["attempts"][0]["pid"].is_number());
        let run = task["run_id"].as_str().unwrap();
        assert_eq!(group, base.0.join(format!("run-marie-{run}")), "{task}");
        let agent = i32::try_from(task["attempts"][0]["pid"].as_i64().unwrap()).unwrap();
        assert!(pids(&group).contains(&agent), "{version:?}");
        let ran = world.until("a tool has run", || events(&world, "ran", "t").pop());
        assert!(ran.to_string().contains(run), "{version:?}: {ran}");
        let said = state(&world, "marie", |it| it["cgroup"].is_string());
        assert_eq!(said["cgroup"], base.0.to_str().unwrap(), "{said}");

        fs::write(gate, "").unwrap();
        let task = world.filed("marie/completed", "t");
        assert_eq!(task["result"], "in", "{task}");
        world.until("its group is gone", || base.groups().is_empty().then_some(()));
        if version == Version::One {
            let peak = task["attempts"][0]["peak_memory_bytes"].as_u64().unwrap();
            assert!((1 << 14..1 << 30).contains(&peak), "{task}");
            let result = world.root().join(format!("artifacts/{run}/result.json"));
            let result = crate::world::json(&result).unwrap();
            assert_eq!(result["attempts"][0]["peak_memory_bytes"], peak, "{result}");
            let shown = world.agentctl(&["show", "t"]);
            assert!(String::from_utf8_lossy(&shown.stdout).contains("peak memory"), "{shown:?}");
        }
        assert_eq!(watcher.stop(), 0);
    }
}

#[test]
fn what_checks_an_answer_is_in_the_group_of_its_run() {
    let world = World::new();
    let Some(base) = Base::new(&world, Version::Two) else { return };
    world.pack(
        "checked",
        "verify = [\"/bin/sh\", \"-c\", \"cat /proc/self/cgroup; exit 3\"]\nmax_retries = 0\n",
    );
    let _watcher = base.watcher(&world, &[]);
    world.submit("marie/pending", "t", &json!({"type": "checked", "prompt": "fake: succeed text=done"}));
    let task = world.filed("marie/failed", "t");
    let run = task["run_id"].as_str().unwrap();
    let log = world.root().join(format!("artifacts/{run}/attempt-1/verify.log"));
    let log = fs::read_to_string(log).unwrap();
    assert!(log.contains(&format!("run-marie-{run}")), "{log}");
    world.until("its group is gone", || base.groups().is_empty().then_some(()));
}

#[test]
fn where_the_kernel_lets_nobody_in_runs_work_without_and_that_is_said_once() {
    let world = World::unprivileged();
    let Some(base) = Base::new(&world, Version::Two) else { return };
    // The groups are theirs to make, and what is around both is not: nobody gets from one into the other.
    chown(&base.0, Some(65534), Some(65534)).unwrap();
    let watcher = base.watcher(&world, &[]);
    for name in ["a", "b"] {
        world.submit("marie/pending", name, &json!({"prompt": "fake: succeed text=outside"}));
        let task = world.filed("marie/completed", name);
        assert_eq!((&task["result"], &task["attempts"][0]["cgroup"]), (&json!("outside"), &json!(null)));
    }
    assert_eq!(logged(&world, "marie", "lets nobody in").len(), 1, "{}", world.said());
    assert!(base.groups().is_empty());
    state(&world, "marie", |it| it["cgroup"].is_null());
    assert_eq!(watcher.stop(), 0);
}

#[test]
fn what_is_no_control_group_is_said_and_everything_works_without() {
    let world = World::new();
    let plain = world.path().join("plain");
    fs::create_dir(&plain).unwrap();
    let watcher = world.start(world.watcher("marie").arg("--cgroup").arg(&plain), "marie");
    world.submit("marie/pending", "t", &json!({"prompt": "fake: succeed text=on"}));
    assert_eq!(world.filed("marie/completed", "t")["result"], "on");
    assert_eq!(logged(&world, "marie", "it is no control group").len(), 1, "{}", world.said());
    assert_eq!(fs::read_dir(&plain).unwrap().count(), 0);
    assert_eq!(watcher.stop(), 0);
}

#[test]
fn an_agent_that_cannot_be_executed_is_told_as_such() {
    let world = World::new();
    let Some(base) = Base::new(&world, Version::Two) else { return };
    let (door, stderr) = (base.0.join("cgroup.procs"), world.path().join("stderr"));
    let entered = |program: &str| {
        let mut command = Command::new(world.program("watcher"));
        command.arg("enter-group").arg(&door).arg(&stderr).arg("0").arg(program).arg("complain >&2");
        let mut child = command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut told = String::new();
        child.stderr.take().unwrap().read_to_string(&mut told).unwrap();
        child.wait().unwrap();
        told
    };
    assert_eq!(entered("/nowhere/claude"), format!("X{}\n", nix::libc::ENOENT));
    assert_eq!(entered("/tmp"), format!("X{}\n", nix::libc::EACCES));
    assert_eq!(entered("/bin/sh"), "", "it has become the program, and that tells nothing here");
    let complaint = fs::read_to_string(&stderr).unwrap();
    assert!(complaint.contains("complain"), "{complaint}");
}

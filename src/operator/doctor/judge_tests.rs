//! Each thing as it should be, and each way in which it is not.

use std::path::PathBuf;

use super::super::check::{Verdict, exit};
use super::*;
use crate::config::Exit;
use crate::os::confine::Strength;
use crate::os::folder::Denied;
use crate::os::limits::Inotify;
use crate::os::space::{Reserve, Space};
use crate::spool::suitable;
use crate::task::WorkerName;
use crate::telemetry::state_file::{Hold, HoldCause};

const UID: u32 = 1000;

fn well() -> Facts {
    let space =
        Space { bytes: 1 << 40, bytes_total: 1 << 41, inodes: Some((1 << 20, 1 << 21)), read_only: false };
    let marie: WorkerName = "marie".parse().unwrap();
    let pipe = |suffix: &str| PipeSeen {
        path: format!("/s/pipes/marie.{suffix}").into(),
        stands: Pipe::Fifo { mode: 0o620, has_reader: true },
        is_command: suffix == "in",
    };
    Facts {
        root: "/s".into(),
        agentctl: "agentctl --root /s".to_owned(),
        uid: UID,
        claude: ClaudeSeen {
            program: Ok("/usr/bin/claude".into()),
            is_executable: true,
            version: Some(Ok("2.1.330 (Claude Code)".to_owned())),
            login: Login::Told { is_in: true, method: "oauth".to_owned() },
        },
        is_laid_out: true,
        folders: vec![FolderSeen {
            path: "/s/tasks".into(),
            standing: Standing::Folder { mount: 1, mode: 0o2770, denied: None },
            uid: UID,
            owner: Some(UID),
        }],
        unsuitable: Vec::new(),
        reserve: Reserve::USUAL,
        spaces: vec![("/s".into(), Ok(space))],
        file_clock_s: Some(0),
        workers: vec![WorkerSeen {
            name: marie,
            vital: Vital::Beating,
            beat: Some((1, 1)),
            hold: None,
            agent_timeout: Some(Duration::from_mins(35)),
            left_for: Some(Duration::from_mins(35)),
            cgroup: Some("/sys/fs/cgroup/system.slice/agent-worker-marie.service".to_owned()),
            confined: Some("landlock 7".to_owned()),
            pipes: vec![pipe("in"), pipe("out")],
            scratch: ScratchSeen { path: "/tmp/marie".into(), stands: Some((true, UID, 0o700)) },
        }],
        supervisor: Acting::Somebody(Some(7)),
        ports: vec![PortSeen {
            port: 9093,
            whose: "fabien".to_owned(),
            listener: Listener::Program { pid: 9, name: "watcher".to_owned() },
            pid: Some(9),
        }],
        astray: Vec::new(),
        free_locks: Vec::new(),
        strays: Vec::new(),
        log_dir: ("/var/log/agents".into(), Standing::Folder { mount: 1, mode: 0o2770, denied: None }),
        machine: Machine {
            inotify: Some(Inotify { instances: (3, 128), watches: (30, 65_536) }),
            descriptors: Some(1024),
            pid_max: Some(4_194_304),
            cgroup: Some(2),
        },
        confine: Ok(Strength(7)),
    }
}

#[test]
fn where_all_is_well_every_line_says_so() {
    let checks = judge(&well());
    let others: Vec<&Check> = checks.iter().filter(|it| it.verdict != Verdict::Ok).collect();
    assert!(others.is_empty(), "{others:#?}");
    assert_eq!(exit(&checks), Exit::Done);
}

type Change = fn(&mut Facts);

/// What is wrong, how much, with which end, and a word of what is said of it.
const AILMENTS: &[(Change, Verdict, Exit, &str)] = &[
    (
        |it| it.claude.program = Err("there is no `claude` in PATH".to_owned()),
        Verdict::Bad,
        Exit::Configuration,
        "npm install",
    ),
    (|it| it.claude.is_executable = false, Verdict::Bad, Exit::Configuration, "chmod a+x /usr/bin/claude"),
    (
        |it| it.claude.version = Some(Err("no answer within 20 s".to_owned())),
        Verdict::Bad,
        Exit::Configuration,
        "no answer",
    ),
    (
        |it| it.claude.version = Some(Ok("2.1.138 (Claude Code)".to_owned())),
        Verdict::Bad,
        Exit::Configuration,
        "2.1.139 is the oldest",
    ),
    (|it| it.claude.version = Some(Ok("hello".to_owned())), Verdict::Warn, Exit::Done, "no version"),
    (
        |it| it.claude.login = Login::Told { is_in: false, method: "none".to_owned() },
        Verdict::Bad,
        Exit::Unavailable,
        "/login",
    ),
    (
        |it| it.claude.login = Login::Guessed { credentials: false, key: false },
        Verdict::Bad,
        Exit::Unavailable,
        "ANTHROPIC_API_KEY",
    ),
    (|it| it.is_laid_out = false, Verdict::Bad, Exit::Unavailable, "doctor --fix"),
    (|it| it.unsuitable = vec![unsuitable(Weight::Wrong)], Verdict::Bad, Exit::Configuration, "on NFS"),
    (|it| it.unsuitable = vec![unsuitable(Weight::Weaker)], Verdict::Warn, Exit::Done, "on NFS"),
    (|it| it.folders[0].standing = Standing::Missing, Verdict::Warn, Exit::Done, "mkdir -m 2770 /s/tasks"),
    (|it| it.folders[0].standing = folder(0o2777), Verdict::Warn, Exit::Done, "chmod o-w /s/tasks"),
    (|it| it.folders[0].standing = folder(0o770), Verdict::Warn, Exit::Done, "chmod g+s /s/tasks"),
    (|it| it.folders[0].uid = 7, Verdict::Warn, Exit::Done, "chown 1000 /s/tasks"),
    (|it| it.uid = 7, Verdict::Warn, Exit::Done, "sudo -H -u '#1000'"),
    (|it| it.spaces[0].1 = Ok(scarce()), Verdict::Bad, Exit::Unavailable, "only 1 MiB left"),
    (|it| it.spaces[0].1 = Err("I/O error".to_owned()), Verdict::Bad, Exit::Unavailable, "I/O error"),
    (|it| it.file_clock_s = Some(-60), Verdict::Warn, Exit::Done, "-60 s ahead"),
    (|it| it.workers[0].beat = Some((1, 3600)), Verdict::Warn, Exit::Done, "time of day"),
    (|it| it.workers[0].vital = Vital::Dead, Verdict::Warn, Exit::Done, "agent-worker-marie"),
    (|it| it.workers[0].vital = Vital::Suspended, Verdict::Bad, Exit::Unavailable, "marie"),
    (|it| it.workers[0].hold = Some(hold()), Verdict::Warn, Exit::Done, "takes no tasks"),
    (
        |it| it.workers[0].pipes[0].stands = Pipe::Missing,
        Verdict::Warn,
        Exit::Done,
        "mkfifo -m 0620 /s/pipes/marie.in",
    ),
    (
        |it| {
            it.workers[0].pipes[0].stands = Pipe::Missing;
            it.workers[0].pipes[0].path = "/s/pipes/marie.out".into();
        },
        Verdict::Warn,
        Exit::Done,
        "mkfifo -m 0640 /s/pipes/marie.out",
    ),
    (|it| it.workers[0].pipes[0].stands = Pipe::Other, Verdict::Warn, Exit::Done, "no named pipe"),
    (
        |it| it.workers[0].pipes[0].stands = Pipe::Fifo { mode: 0o622, has_reader: true },
        Verdict::Warn,
        Exit::Done,
        "give orders",
    ),
    (
        |it| it.workers[0].pipes[0].stands = Pipe::Fifo { mode: 0o620, has_reader: false },
        Verdict::Warn,
        Exit::Done,
        "read by nobody",
    ),
    (
        |it| it.workers[0].scratch.stands = Some((false, UID, 0o777)),
        Verdict::Bad,
        Exit::Configuration,
        "no scratch of ours",
    ),
    (
        |it| it.workers[0].scratch.stands = Some((true, 0, 0o700)),
        Verdict::Warn,
        Exit::Done,
        "belongs to uid 0",
    ),
    (|it| it.workers[0].scratch.stands = Some((true, UID, 0o755)), Verdict::Warn, Exit::Done, "chmod 0700"),
    (
        |it| it.workers[0].agent_timeout = Some(Duration::from_secs(35 * 60 + 1)),
        Verdict::Warn,
        Exit::Done,
        "agent-leftovers@marie.timer, with the lines [Timer], OnActiveSec= and OnActiveSec=41min",
    ),
    (|it| it.supervisor = Acting::Nobody, Verdict::Warn, Exit::Done, "agent-supervisor"),
    (|it| it.ports[0].pid = Some(8), Verdict::Warn, Exit::Done, "Alertmanager"),
    (
        |it| (it.ports[0].listener, it.ports[0].pid) = (Listener::Unseen, None),
        Verdict::Warn,
        Exit::Done,
        "another user's",
    ),
    (
        |it| it.free_locks = vec!["/s/locks/marie_watcher.lock".into()],
        Verdict::Warn,
        Exit::Done,
        "rm /s/locks",
    ),
    (|it| it.strays = vec![(4711, "run".to_owned())], Verdict::Warn, Exit::Done, "kill 4711"),
    (|it| it.log_dir.1 = Standing::Missing, Verdict::Warn, Exit::Done, "stderr alone"),
    (
        |it| it.machine.inotify = Some(Inotify { instances: (127, 128), watches: (1, 9000) }),
        Verdict::Warn,
        Exit::Done,
        "max_user_instances=512",
    ),
    (|it| it.machine.descriptors = Some(256), Verdict::Warn, Exit::Done, "ulimit -n"),
    (|it| it.machine.pid_max = Some(300), Verdict::Warn, Exit::Done, "pid_max"),
    (|it| it.workers[0].cgroup = None, Verdict::Warn, Exit::Done, "Delegate=memory"),
    (|it| it.workers[0].confined = None, Verdict::Warn, Exit::Done, "--confine none"),
    (
        |it| (it.workers[0].confined, it.confine) = (None, Err("no Landlock".to_owned())),
        Verdict::Warn,
        Exit::Done,
        "users or containers",
    ),
    (
        |it| (it.workers[0].cgroup, it.machine.cgroup) = (None, Some(1)),
        Verdict::Warn,
        Exit::Done,
        "unified_cgroup",
    ),
];

fn scarce() -> Space {
    Space { bytes: 1 << 20, bytes_total: 1 << 40, inodes: None, read_only: false }
}

fn folder(mode: u32) -> Standing {
    Standing::Folder { mount: 1, mode, denied: None::<Denied> }
}

fn unsuitable(weight: Weight) -> suitable::Finding {
    suitable::Finding {
        weight,
        path: PathBuf::from("/s"),
        what: "`/s` is on NFS".to_owned(),
        remedy: "x".to_owned(),
    }
}

fn hold() -> Hold {
    serde_json::from_value(serde_json::json!({"cause": HoldCause::Configuration, "reason": "no CLI"}))
        .unwrap()
}

#[test]
fn each_ailment_is_one_line_that_says_what_to_type() {
    for (n, (change, verdict, end, word)) in AILMENTS.iter().enumerate() {
        let mut facts = well();
        change(&mut facts);
        let checks = judge(&facts);
        let others: Vec<&Check> = checks.iter().filter(|it| it.verdict != Verdict::Ok).collect();
        assert!(!others.is_empty(), "{n}: {word}");
        let text = |it: &Check| format!("{}: {}", it.found, it.remedy.clone().unwrap_or_default());
        let told = others.iter().find(|it| it.verdict == *verdict && text(it).contains(word));
        assert!(told.is_some(), "{n}: {word}: {others:#?}");
        // Who looks as somebody else sees other folders' owners and scratch too.
        assert!(others.len() == 1 || facts.uid != UID, "{n}: {word}: {others:#?}");
        assert_eq!(exit(&checks), *end, "{n}: {word}");
    }
}

#[test]
fn only_what_costs_nobody_anything_is_fixed() {
    let fixes = |change: Change| -> Vec<Fix> {
        let mut facts = well();
        change(&mut facts);
        judge(&facts).into_iter().filter_map(|it| it.fix).collect()
    };
    let path = PathBuf::from("/s/tasks");
    assert_eq!(
        fixes(|it| it.folders[0].standing = folder(0o2777)),
        [Fix::SetMode { path: path.clone(), mode: 0o2775 }]
    );
    assert_eq!(fixes(|it| it.folders[0].standing = Standing::Missing), [Fix::MakeFolder { path }]);
    assert_eq!(fixes(|it| it.workers[0].pipes[0].stands = Pipe::Other), [], "it may be somebody's file");
    assert_eq!(fixes(|it| it.strays = vec![(1, "run".to_owned())]), [], "whose it is a person finds out");
}

#[test]
fn names_that_runbooks_ask_for_are_told_with_the_line_that_makes_them() {
    assert!(judge(&well()).iter().all(|it| it.thing != "names"));
    let told = judge(&Facts { astray: vec!["marie".to_owned(), "anga".to_owned()], ..well() });
    let check = told.iter().find(|it| it.thing == "names").unwrap();
    assert_eq!(check.verdict, Verdict::Warn);
    assert_eq!(check.remedy.as_deref(), Some("echo '127.0.0.1 marie anga' | sudo tee -a /etc/hosts"));
}

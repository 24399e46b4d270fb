//! What the facts mean, and what to type. Pure: facts in, one line for each thing out.

use std::path::Path;
use std::time::Duration;

use super::check::{Check, Fix};
use super::confined;
use super::facts::{
    Acting, ClaudeSeen, Facts, FolderSeen, Login, Machine, Pipe, PipeSeen, PortSeen, ScratchSeen, WorkerSeen,
};
use crate::agent::version::{CLI_SINCE, INSTALL, spoken, version_of};
use crate::config::PipeAccess;
use crate::os::durable::DIR_MODE;
use crate::os::folder::Standing;
use crate::spool::suitable::Weight;
use crate::task::text::shell_word;
use crate::telemetry::face::holder::Listener;
use crate::telemetry::vital::Vital;

/// How far two clocks may be apart, in seconds: less is the time that looking takes.
const SKEW_S: i64 = 5;
/// The descriptors that a watcher with a handful of agents is sure to get along with.
const DESCRIPTORS: u64 = 1024;
/// An agent is a dozen threads, its tools are as many as they like.
const PIDS: u64 = 32_768;

/// One line for each thing, in the order in which one looks.
pub(super) fn judge(facts: &Facts) -> Vec<Check> {
    let mut all = claude(&facts.claude);
    all.extend(root(facts));
    all.extend(facts.folders.iter().filter_map(folder));
    all.extend(owners(facts));
    all.extend(spaces(facts));
    all.extend(clock(facts));
    for worker in &facts.workers {
        all.extend(self::worker(facts, worker));
    }
    all.push(supervisor(facts));
    all.extend(facts.ports.iter().map(port));
    all.extend(names(&facts.astray));
    all.extend(facts.free_locks.iter().map(|path| {
        let found = format!("`{}` is held by nobody", path.display());
        let remedy = format!("rm {}", shell_word(&path.display().to_string()));
        Check::warn("locks", found, remedy).fixed_by(Fix::RemoveLock { path: path.clone() })
    }));
    all.extend(strays(facts));
    all.push(log_dir(facts));
    all.extend(machine(&facts.machine));
    all.push(groups(facts));
    all.push(confined::check(facts));
    all
}

fn claude(seen: &ClaudeSeen) -> Vec<Check> {
    let path = match &seen.program {
        Err(why) => {
            return vec![
                Check::bad("claude", why.clone(), format!("{INSTALL}, or --claude-bin, or CLAUDE_BIN"))
                    .set_up(),
            ];
        }
        Ok(path) => path.display().to_string(),
    };
    if !seen.is_executable {
        let found = format!("`{path}` cannot be executed by us");
        return vec![Check::bad("claude", found, format!("chmod a+x {}", shell_word(&path))).set_up()];
    }
    let version = match &seen.version {
        Some(Ok(text)) => text.as_str(),
        Some(Err(why)) => {
            let remedy = format!("{} --version, as the worker's user", shell_word(&path));
            return vec![
                Check::bad("claude", format!("`{path}` does not tell its version: {why}"), remedy).set_up(),
            ];
        }
        None => "",
    };
    let shown = spoken(CLI_SINCE);
    let first = match version_of(version) {
        Some(it) if it >= CLI_SINCE => Check::ok("claude", format!("{version}, `{path}`")),
        Some(_) => Check::bad(
            "claude",
            format!("`{path}` is {version}, and {shown} is the oldest that will do"),
            INSTALL,
        )
        .set_up(),
        None => Check::warn("claude", format!("`{path}` says `{version}`, which is no version"), INSTALL),
    };
    vec![first, login(&seen.login)]
}

fn login(login: &Login) -> Check {
    let remedy = "claude, then /login, as the worker's user and with its HOME; or set ANTHROPIC_API_KEY for the watcher";
    match login {
        Login::Told { is_in: true, method } => Check::ok("login", format!("logged in ({method})")),
        Login::Told { is_in: false, .. } => {
            Check::bad("login", "the CLI says that it is not logged in", remedy)
        }
        Login::Guessed { key: true, .. } => {
            Check::ok("login", "there is a key in the environment; whether it is good was not asked")
        }
        Login::Guessed { credentials: true, .. } => {
            Check::ok("login", "there are credentials; whether they are good was not asked")
        }
        Login::Guessed { .. } => {
            Check::bad("login", "there are no credentials, and no key in the environment", remedy)
        }
    }
}

fn root(facts: &Facts) -> Vec<Check> {
    let root = facts.root.display();
    if !facts.is_laid_out {
        let found = format!("`{root}` is not laid out: there is no `tasks` folder in it");
        return vec![Check::bad(
            "root",
            found,
            format!("{} doctor --fix, or supervisor up --root {root}", facts.agentctl),
        )];
    }
    let mut all: Vec<Check> = facts
        .unsuitable
        .iter()
        .map(|it| match it.weight {
            Weight::Weaker => Check::warn("root", &it.what, &it.remedy),
            Weight::Failing | Weight::Denied | Weight::Wrong => {
                Check::bad("root", &it.what, &it.remedy).set_up()
            }
        })
        .collect();
    if !all.iter().any(|it| it.is_setup) {
        all.insert(0, Check::ok("root", format!("`{root}` is laid out on one file system, and locks lock")));
    }
    all
}

/// What is to be said about one folder; nothing where it is as it should be, or was said already.
fn folder(seen: &FolderSeen) -> Option<Check> {
    let shown = seen.path.display();
    let word = shell_word(&shown.to_string());
    let set = |mode| Fix::SetMode { path: seen.path.clone(), mode };
    match seen.standing {
        Standing::Missing => Some(
            Check::warn("folder", format!("`{shown}` is missing"), format!("mkdir -m {DIR_MODE:o} {word}"))
                .fixed_by(Fix::MakeFolder { path: seen.path.clone() }),
        ),
        Standing::Folder { mode, .. } if mode & 0o1002 == 0o002 => {
            let found = format!(
                "`{shown}` may be written by everybody on this machine, who then runs commands as the worker's user"
            );
            Some(Check::warn("folder", found, format!("chmod o-w {word}")).fixed_by(set(mode & !0o002)))
        }
        Standing::Folder { mode, .. } if mode & 0o2020 == 0o020 => {
            let found = format!(
                "`{shown}` is shared by a group and not setgid: what one makes there, another may not be able to write"
            );
            Some(Check::warn("folder", found, format!("chmod g+s {word}")).fixed_by(set(mode | 0o2000)))
        }
        Standing::Folder { .. } => seen.owner.filter(|owner| *owner != seen.uid).map(|owner| {
            let found = format!("`{shown}` belongs to uid {}, and the worker to uid {owner}", seen.uid);
            Check::warn("folder", found, format!("chown {owner} {word}"))
        }),
        Standing::Link | Standing::NoFolder | Standing::Barred | Standing::Unknown(_) => None,
    }
}

/// Who looks is not always who works.
fn owners(facts: &Facts) -> Option<Check> {
    let is_folder = |it: &&FolderSeen| matches!(it.standing, Standing::Folder { .. });
    let outer = || facts.folders.iter().find(is_folder).map(|it| it.uid);
    let owner =
        facts.folders.iter().find_map(|it| it.owner).or_else(outer).filter(|owner| *owner != facts.uid)?;
    let found = format!(
        "looked at as uid {}, and the workers' folders belong to uid {owner}: permissions and login are those of the former",
        facts.uid
    );
    Some(Check::warn("user", found, format!("sudo -H -u '#{owner}' {} doctor", facts.agentctl)))
}

fn spaces(facts: &Facts) -> Vec<Check> {
    let one = |(path, space): &(std::path::PathBuf, Result<crate::os::space::Space, String>)| {
        let shown = path.display();
        let space = match space {
            Ok(space) => space,
            Err(why) => {
                return Check::bad(
                    "space",
                    format!("`{shown}` does not answer: {why}"),
                    format!("df {}", shell_word(&shown.to_string())),
                );
            }
        };
        if let Some((trouble, what)) = space.scarce(&facts.reserve) {
            let found = format!("`{shown}`: {what}, so that nothing is claimed");
            return Check::bad("space", found, trouble.remedy());
        }
        let inodes = space.inodes.map(|(left, _)| format!(", {left} inodes")).unwrap_or_default();
        Check::ok("space", format!("`{shown}`: {} MiB{inodes}", space.bytes >> 20))
    };
    facts.spaces.iter().map(one).collect()
}

fn clock(facts: &Facts) -> Vec<Check> {
    let mut all = Vec::new();
    if let Some(ahead) = facts.file_clock_s.filter(|ahead| ahead.abs() > SKEW_S) {
        let found = format!(
            "the file system's clock is {ahead} s ahead of ours: files look older or younger than they are"
        );
        all.push(Check::warn("clock", found, "set both clocks by NTP: timedatectl set-ntp true"));
    }
    let stepped = |it: &&WorkerSeen| {
        it.vital == Vital::Beating && it.beat.is_some_and(|(boot, wall)| (wall - boot).abs() > SKEW_S)
    };
    if let Some((boot, wall)) = facts.workers.iter().find(stepped).and_then(|it| it.beat) {
        let found = format!(
            "a heartbeat is {boot} s old on the boot clock and {wall} s by the time of day: that was set, or differs in the watcher's container"
        );
        all.push(Check::warn("clock", found, "timedatectl"));
    }
    if all.is_empty() {
        all.push(Check::ok("clock", "the clocks agree"));
    }
    all
}

fn worker(facts: &Facts, seen: &WorkerSeen) -> Vec<Check> {
    let name = &seen.name;
    let mut all = vec![match (&seen.vital, seen.vital.trouble()) {
        (Vital::Dead, _) => {
            let start = format!(
                "systemctl start agent-worker-{name}, or watcher --worker {name} --root {}",
                facts.root.display()
            );
            Check::warn("worker", format!("{name}: no watcher is running"), start)
        }
        (_, Some((what, remedy))) => Check::bad("worker", format!("{name}: {what}"), remedy),
        (Vital::Starting, None) => Check::ok("worker", format!("{name}: starting")),
        (_, None) => {
            let age = seen.beat.map(|(age, _)| format!(", heartbeat {age} s old")).unwrap_or_default();
            Check::ok("worker", format!("{name}: alive{age}"))
        }
    }];
    if let Some(hold) = seen.hold.as_ref().filter(|_| seen.vital != Vital::Dead) {
        let remedy = hold.remedy.clone().unwrap_or_else(|| format!("{} status", facts.agentctl));
        all.push(Check::warn("worker", format!("{name} takes no tasks: {}", hold.reason), remedy));
    }
    all.extend(seen.pipes.iter().map(|it| pipe(it, &seen.vital)));
    all.extend(scratch(facts.uid, &seen.scratch));
    all.extend(left_for(seen));
    all
}

/// An agent whose watcher died is to have the time that it may take.
fn left_for(seen: &WorkerSeen) -> Option<Check> {
    let (may, after) = (seen.agent_timeout?, seen.left_for?);
    let minutes = |it: Duration| it.as_secs().div_ceil(60);
    (may > after).then(|| {
        let name = &seen.name;
        let found = format!(
            "{name}: an agent may take {} min, and is ended {} min after its watcher died without another one",
            minutes(may),
            minutes(after)
        );
        let remedy = format!(
            "systemctl edit agent-leftovers@{name}.timer, with the lines [Timer], OnActiveSec= and OnActiveSec={}min",
            minutes(may) + 5
        );
        Check::warn("leftovers", found, remedy)
    })
}

/// The mode of a worker's pipe: commands are written into one, events are read from the other.
pub(super) fn pipe_mode(path: &Path) -> u32 {
    let is_read = path.extension().is_some_and(|it| it == "out");
    if is_read { PipeAccess::USUAL.to_read().mode } else { PipeAccess::USUAL.mode }
}

fn pipe(seen: &PipeSeen, vital: &Vital) -> Check {
    let shown = seen.path.display();
    let word = shell_word(&shown.to_string());
    let make = format!("mkfifo -m 0{:o} {word}", pipe_mode(&seen.path));
    let set = |mode| Fix::SetMode { path: seen.path.clone(), mode };
    match seen.stands {
        Pipe::Missing => Check::warn("pipe", format!("`{shown}` is missing"), make)
            .fixed_by(Fix::MakePipe { path: seen.path.clone() }),
        Pipe::Other => {
            let found = format!("`{shown}` is no named pipe: what is written there is heard by nobody");
            Check::warn("pipe", found, format!("mv {word} {word}.aside && {make}"))
        }
        Pipe::Fifo { mode, .. } if mode & 0o002 != 0 => {
            let found = format!("`{shown}` may be written by everybody, who may then give orders");
            Check::warn("pipe", found, format!("chmod o-w {word}")).fixed_by(set(mode & !0o002))
        }
        Pipe::Fifo { has_reader: false, .. } if seen.is_command && *vital != Vital::Dead => {
            let found =
                format!("`{shown}` is read by nobody, though the watcher lives: an `echo` into it waits");
            Check::warn("pipe", found, "look into the worker's log; a restart opens it anew")
        }
        Pipe::Fifo { .. } => Check::ok("pipe", format!("`{shown}`")),
    }
}

fn scratch(uid: u32, seen: &ScratchSeen) -> Option<Check> {
    let shown = seen.path.display();
    let word = shell_word(&shown.to_string());
    // What is not there is made by the watcher.
    let (is_folder, owner, mode) = seen.stands?;
    if !is_folder {
        let found = format!("`{shown}` is a link or a file, and no scratch of ours");
        return Some(Check::bad("scratch", found, format!("mv {word} {word}.aside")).set_up());
    }
    if owner != uid && uid != 0 {
        return Some(Check::warn(
            "scratch",
            format!("`{shown}` belongs to uid {owner}, we are {uid}"),
            format!("ls -ld {word}"),
        ));
    }
    (mode & 0o077 != 0).then(|| {
        let fix = Fix::SetMode { path: seen.path.clone(), mode: 0o700 };
        Check::warn("scratch", format!("`{shown}` is open to others"), format!("chmod 0700 {word}"))
            .fixed_by(fix)
    })
}

fn supervisor(facts: &Facts) -> Check {
    match &facts.supervisor {
        Acting::Somebody(pid) => {
            let who = pid.map(|pid| format!(" (pid {pid})")).unwrap_or_default();
            Check::ok("supervisor", format!("one is acting{who}"))
        }
        Acting::Nobody => {
            let remedy = format!(
                "systemctl start agent-supervisor, or supervisor run --root {}",
                facts.root.display()
            );
            Check::warn("supervisor", "none is acting: whoever dies is restarted by its host alone", remedy)
        }
    }
}

fn port(seen: &PortSeen) -> Check {
    let PortSeen { port, whose, .. } = seen;
    let alertmanager = if *port == 9093 { "; 9093 is also where Alertmanager listens" } else { "" };
    let elsewhere = if whose.starts_with("the ") {
        "supervisor … --metrics-addr 127.0.0.1:PORT".to_owned()
    } else {
        format!("watcher --worker {whose} --metrics-addr 127.0.0.1:PORT")
    };
    match (&seen.listener, seen.pid) {
        (Listener::Nobody, None) => Check::ok("port", format!("{port}, of {whose}, is free{alertmanager}")),
        (Listener::Nobody, Some(_)) => {
            Check::ok("port", format!("nobody listens on {port}: {whose} is served elsewhere, or not at all"))
        }
        (Listener::Program { pid, .. }, Some(own)) if u32::try_from(own) == Ok(*pid) => {
            Check::ok("port", format!("{port} serves {whose}"))
        }
        (Listener::Program { pid, name }, _) => {
            let found = format!("{port}, of {whose}, is taken by `{name}` (pid {pid}){alertmanager}");
            Check::warn("port", found, elsewhere)
        }
        (Listener::Unseen, Some(_)) => {
            Check::ok("port", format!("somebody listens on {port}, {whose} most likely: root sees who"))
        }
        (Listener::Unseen, None) => {
            let found = format!("{port}, of {whose}, is taken by another user's program{alertmanager}");
            Check::warn("port", found, format!("sudo ss -ltnp 'sport = :{port}'; then {elsewhere}"))
        }
    }
}

fn names(astray: &[String]) -> Option<Check> {
    let first = astray.first()?;
    let all = astray.join(" ");
    let found = format!(
        "{all}: no such name from here, so that http://{first}:PORT, as runbooks have it, is not found"
    );
    Some(Check::warn("names", found, format!("echo '127.0.0.1 {all}' | sudo tee -a /etc/hosts")))
}

fn strays(facts: &Facts) -> Option<Check> {
    let (_, run) = facts.strays.first()?;
    let pids: Vec<String> = facts.strays.iter().map(|(pid, _)| pid.to_string()).collect();
    let found = format!("{} process(es) are left of runs that nobody works on, such as {run}", pids.len());
    Some(Check::warn(
        "processes",
        found,
        format!("ps -fp {0}; then kill {1}", pids.join(","), pids.join(" ")),
    ))
}

fn log_dir(facts: &Facts) -> Check {
    let (path, standing) = &facts.log_dir;
    let shown = path.display();
    if matches!(standing, Standing::Folder { denied: None, .. }) {
        return Check::ok("log", format!("`{shown}` is writable"));
    }
    let found = format!("`{shown}` is not there, or not ours to write: workers log to stderr alone");
    let word = shell_word(&shown.to_string());
    Check::warn("log", found, format!("install -d -o USER -g GROUP -m 2770 {word}, or --log-dir"))
}

fn machine(seen: &Machine) -> Vec<Check> {
    let mut all = Vec::new();
    if let Some(inotify) = seen.inotify {
        for ((used, most), what) in [(inotify.instances, "instances"), (inotify.watches, "watches")] {
            let found = format!("inotify: {used} of {most} {what} are used");
            let sysctl = format!("sysctl -w fs.inotify.max_user_{what}={}", most.saturating_mul(4));
            all.push(if used.saturating_mul(10) >= most.saturating_mul(9) {
                Check::warn(
                    "kernel",
                    format!("{found}: without one a worker looks every second, and finds drops later"),
                    sysctl,
                )
            } else {
                Check::ok("kernel", found)
            });
        }
    }
    all.extend(seen.descriptors.map(|most| {
        let found = format!("{most} descriptors a process");
        if most < DESCRIPTORS {
            Check::warn("kernel", found, format!("ulimit -n {DESCRIPTORS}, LimitNOFILE= in the unit"))
        } else {
            Check::ok("kernel", found)
        }
    }));
    all.extend(seen.pid_max.filter(|most| *most < PIDS).map(|most| {
        Check::warn(
            "kernel",
            format!("only {most} processes in all"),
            format!("sysctl -w kernel.pid_max={PIDS}"),
        )
    }));
    all
}

/// Whether each run has a control group of its own.
fn groups(facts: &Facts) -> Check {
    const WHY: &str = "what an agent left that shed environment and ancestry may not be found";
    let living: Vec<&WorkerSeen> = facts.workers.iter().filter(|it| it.vital != Vital::Dead).collect();
    let without: Vec<String> =
        living.iter().filter(|it| it.cgroup.is_none()).map(|it| it.name.to_string()).collect();
    match (facts.machine.cgroup, living.first().and_then(|it| it.cgroup.as_ref())) {
        (_, Some(path)) if without.is_empty() => {
            Check::ok("cgroup", format!("each run has a control group of its own, in `{path}`"))
        }
        (Some(2), _) if without.is_empty() => Check::ok("cgroup", "cgroup v2"),
        (Some(2), _) => {
            let found =
                format!("the runs of {} have no control groups of their own: {WHY}", without.join(", "));
            Check::warn("cgroup", found, "Delegate=memory in the unit, as systemd/ has it, or --cgroup DIR")
        }
        (other, _) => {
            let what = other.map_or_else(|| "no cgroups".to_owned(), |it| format!("cgroup v{it}"));
            let remedy = "boot with systemd.unified_cgroup_hierarchy=1, or --cgroup DIR";
            Check::warn("cgroup", format!("{what}: {WHY}"), remedy)
        }
    }
}

#[cfg(test)]
#[path = "judge_tests.rs"]
mod tests;

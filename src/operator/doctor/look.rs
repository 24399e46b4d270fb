//! Looking at the root and the machine. Thin: what it means is for [`super::judge`].
//!
//! It makes one file of its own for an instant, to see the file system's clock and its locks, and changes nothing else.

use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::DoctorArgs;
use super::facts::{Acting, Facts, FolderSeen, Machine, Pipe, PipeSeen, PortSeen, ScratchSeen, WorkerSeen};
use super::{claude, leftovers, names};
use crate::clock::Timestamp;
use crate::config::{LogConfig, Settings, address, default_metrics_addr};
use crate::layout::Layout;
use crate::operator::desk::Desk;
use crate::operator::error::OperatorError;
use crate::operator::{fsck, look};
use crate::os::folder::{self, Need};
use crate::os::holder::Holder;
use crate::os::process::identity::boot_id;
use crate::os::process::tree;
use crate::os::space::{self, Reserve};
use crate::os::{confine, durable, limits, lock};
use crate::spool::{probe, suitable};
use crate::task::{Place, WorkerName};
use crate::telemetry::face::holder::on_port;
use crate::telemetry::heartbeat::Heartbeat;
use crate::telemetry::state_file::State;
use crate::telemetry::vital::{self, Vital};

/// The workers that a root has without a word about it.
const USUAL: [&str; 3] = ["marie", "anga", "fabien"];

/// Those workers.
pub(super) fn usual() -> impl Iterator<Item = WorkerName> {
    USUAL.iter().filter_map(|name| name.parse().ok())
}

fn called(workers: &[WorkerName]) -> Vec<String> {
    workers.iter().map(ToString::to_string).collect()
}

/// Where the supervisor is served.
const SUPERVISOR_PORT: u16 = 9002;

/// Looks at everything.
pub(super) fn look(desk: &Desk, args: &DoctorArgs, workers: &[WorkerName]) -> Result<Facts, OperatorError> {
    let layout = &desk.layout;
    let log = LogConfig::resolve(&mut Settings::new(Vec::new(), None), &desk.env)?;
    let log_dir = args.log_dir.as_ref().map_or(log.dir, |dir| desk.env.absolute(dir));
    let seen: Vec<WorkerSeen> = workers.iter().map(|name| worker(desk, args, name)).collect();
    let dead = |it: &&WorkerSeen| it.vital == Vital::Dead;
    let nobodys: Vec<WorkerName> = seen.iter().filter(dead).map(|it| it.name.clone()).collect();
    let is_laid_out = layout.tasks().is_dir();
    Ok(Facts {
        root: layout.root().to_owned(),
        agentctl: desk.agentctl(),
        uid: nix::unistd::geteuid().as_raw(),
        claude: claude::look(args.claude_bin.as_deref(), &desk.env, &*desk.clock),
        is_laid_out,
        folders: folders(layout, workers),
        unsuitable: if is_laid_out { unsuitable(layout, workers, args) } else { Vec::new() },
        reserve: Reserve::USUAL,
        spaces: [layout.root(), &log_dir]
            .iter()
            .filter(|path| path.exists())
            .map(|path| ((*path).to_path_buf(), space::of(path).map_err(|error| error.to_string())))
            .collect(),
        file_clock_s: file_clock(desk),
        supervisor: supervisor(layout),
        ports: ports(layout, &seen),
        astray: if layout.root() == Path::new("/shared") {
            names::astray(called(workers))
        } else {
            Vec::new()
        },
        workers: seen,
        // What we may not list is told with its folder.
        free_locks: fsck::free_locks(layout, &nobodys)
            .unwrap_or_default()
            .into_iter()
            .map(|(path, _)| path)
            .collect(),
        strays: strays(layout, workers).unwrap_or_default(),
        log_dir: (log_dir.clone(), folder::standing(&log_dir, Need::Work)),
        machine: Machine {
            inotify: limits::inotify(),
            descriptors: limits::descriptors(),
            pid_max: limits::pid_max(),
            cgroup: limits::cgroup_version(),
        },
        confine: confine::probe(),
    })
}

fn supervisor(layout: &Layout) -> Acting {
    let path = layout.supervisor_lock();
    if lock::is_held(&path).unwrap_or(false) {
        Acting::Somebody(Holder::read(&path).map(|it| it.process.pid))
    } else {
        Acting::Nobody
    }
}

fn folders(layout: &Layout, workers: &[WorkerName]) -> Vec<FolderSeen> {
    let seen = |path: PathBuf, owner: Option<u32>| FolderSeen {
        standing: folder::standing(&path, Need::Pass),
        uid: path.symlink_metadata().map_or(0, |meta| meta.uid()),
        owner,
        path,
    };
    let mut all: Vec<FolderSeen> = layout.common_dirs().into_iter().map(|path| seen(path, None)).collect();
    for worker in workers {
        let owner = layout.worker(worker).metadata().ok().map(|meta| meta.uid());
        all.extend(layout.worker_dirs(worker).into_iter().map(|path| seen(path, owner)));
    }
    all
}

fn unsuitable(layout: &Layout, workers: &[WorkerName], args: &DoctorArgs) -> Vec<suitable::Finding> {
    let remote = if args.allow_nfs { suitable::Remote::Allowed } else { suitable::Remote::Refused };
    let mut all: Vec<suitable::Finding> = Vec::new();
    for worker in workers {
        let standing = suitable::standing(layout, worker);
        // Locks are tried out only where the folders are such.
        let tried = if standing.is_empty() && layout.worker(worker).is_dir() {
            probe::probe_locks(layout, worker)
        } else {
            Vec::new()
        };
        for found in standing.into_iter().chain(suitable::kept(layout, worker, remote)).chain(tried) {
            if !all.contains(&found) {
                all.push(found);
            }
        }
    }
    all
}

/// How far the time of a file that is made now is ahead of ours.
fn file_clock(desk: &Desk) -> Option<i64> {
    let path = durable::beside(&desk.layout.artifacts().join("doctor"));
    durable::write_new(&path, b"", None).ok()?;
    let now = desk.clock.wall();
    let at = path.symlink_metadata().and_then(|meta| meta.modified()).ok();
    durable::remove_if_there(&path).ok();
    Some(Timestamp::try_from(at?).ok()?.as_second() - now.as_second())
}

fn worker(desk: &Desk, args: &DoctorArgs, name: &WorkerName) -> WorkerSeen {
    let layout = &desk.layout;
    let beat = Heartbeat::read(&layout.heartbeat(name)).and_then(|beat| {
        let age = i64::try_from(beat.age(desk.clock.ticks(), &boot_id())?.as_secs()).ok()?;
        Some((age, desk.clock.wall().as_second() - beat.timestamp.as_second()))
    });
    let scratch = match &args.scratch_dir {
        Some(dir) => desk.env.absolute(dir),
        None => layout.default_scratch(name),
    };
    let state = State::read(&layout.state(name)).ok().flatten().unwrap_or_default();
    let pipe = |suffix: &str| {
        let path = layout.pipes().join(format!("{name}.{suffix}"));
        PipeSeen { stands: pipe(&path), is_command: suffix == "in", path }
    };
    WorkerSeen {
        cgroup: state.cgroup,
        confined: state.confined,
        vital: vital::judge(&vital::look(layout, name, &*desk.clock), vital::STALE),
        beat,
        hold: state.hold,
        agent_timeout: state.limits.map(|limits| Duration::from_secs(limits.agent_timeout_s)),
        left_for: leftovers::after(name, &*desk.clock),
        pipes: vec![pipe("in"), pipe("out")],
        scratch: ScratchSeen {
            stands: scratch
                .symlink_metadata()
                .ok()
                .map(|meta| (meta.is_dir(), meta.uid(), meta.mode() & 0o7777)),
            path: scratch,
        },
        name: name.clone(),
    }
}

fn pipe(path: &Path) -> Pipe {
    match path.symlink_metadata() {
        Err(_) => Pipe::Missing,
        Ok(meta) if !meta.file_type().is_fifo() => Pipe::Other,
        Ok(meta) => {
            // Without a reader the kernel refuses (`fifo(7)`); nothing is written.
            let flags = nix::libc::O_NONBLOCK | nix::libc::O_NOFOLLOW;
            let opened = fs::File::options().write(true).custom_flags(flags).open(path);
            let nobody = opened.is_err_and(|error| error.raw_os_error() == Some(nix::libc::ENXIO));
            Pipe::Fifo { mode: meta.mode() & 0o7777, has_reader: !nobody }
        }
    }
}

fn ports(layout: &Layout, workers: &[WorkerSeen]) -> Vec<PortSeen> {
    let names: Vec<WorkerName> = if workers.is_empty() {
        usual().collect()
    } else {
        workers.iter().map(|it| it.name.clone()).collect()
    };
    let of_worker = names.into_iter().filter_map(|name| {
        let port = address(default_metrics_addr(&name)).ok()??.port();
        let lives = lock::is_held(&layout.worker(&name)).unwrap_or(false);
        let pid = Heartbeat::read(&layout.heartbeat(&name)).map(|beat| beat.pid).filter(|_| lives);
        Some(PortSeen { port, whose: name.to_string(), listener: on_port(port), pid })
    });
    let acting = match supervisor(layout) {
        Acting::Somebody(pid) => pid,
        Acting::Nobody => None,
    };
    let supervisor = PortSeen {
        port: SUPERVISOR_PORT,
        whose: "the supervisor".to_owned(),
        listener: on_port(SUPERVISOR_PORT),
        pid: acting,
    };
    of_worker.chain(std::iter::once(supervisor)).collect()
}

/// Processes that carry the cookie of a run of this root that nobody works on. The tasks at work are looked at before
/// and after the processes: a run that begins or ends meanwhile is known to one of the looks.
fn strays(layout: &Layout, workers: &[WorkerName]) -> Result<Vec<(i32, String)>, OperatorError> {
    let mut live = at_work(layout, workers)?;
    // Where nobody can look, nobody is accused.
    let seen = tree::snapshot(0).unwrap_or_default();
    live.extend(at_work(layout, workers)?);
    let is_ours = |run: &str| uuid::Uuid::parse_str(run).is_ok() && layout.artifacts().join(run).is_dir();
    let mine = std::process::id().cast_signed();
    let strays = seen.into_iter().filter(|it| !it.stat.is_dead() && it.stat.pid != mine);
    Ok(strays
        .filter_map(|it| Some((it.stat.pid, it.cookie?)))
        .filter(|(_, run)| !live.contains(run) && is_ours(run))
        .collect())
}

fn at_work(layout: &Layout, workers: &[WorkerName]) -> Result<HashSet<String>, OperatorError> {
    let mut runs = HashSet::new();
    for worker in workers {
        for entry in look::entries(layout, Some(worker), Place::Active)? {
            let run = entry.read()?.and_then(|seen| seen.task.ok()?.record.run_id);
            runs.extend(run.map(|run| run.to_string()));
        }
    }
    Ok(runs)
}

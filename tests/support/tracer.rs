//! A program whose system calls are watched one by one: counted, and from one of them on killed or refused.
//!
//! strace can refuse and kill too (`faults.rs`), but counts in each thread by itself, so that its `when=K` never meets the
//! calls of a thread that makes fewer than K. Here one count goes through all threads of the program. Invariants:
//! - only the program itself is watched: a child is let go when it has become another program, untouched;
//! - the count begins with the first call that names the world's folder: the loader's own are no part of it;
//! - a call that is killed is not performed; a call that is refused is not performed either, and says so.

#![allow(dead_code, unreachable_pub, missing_debug_implementations, reason = "each test uses its own part")]
#![allow(clippy::disallowed_methods, reason = "a test plays the machine that fails")]
#![allow(clippy::zombie_processes, reason = "who traces a program hears of its end by waitpid(2)")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on ends")]

use std::collections::HashMap;
use std::fs::File;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use nix::errno::Errno;
use nix::libc;
use nix::sys::ptrace;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use crate::syscalls::{Call, Shape, shape};
use crate::world::{World, until};

/// Which calls are counted.
pub type Among = Arc<dyn Fn(&Call) -> bool + Send + Sync>;

/// What becomes of the counted calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Nothing: they are written down.
    Watch,
    /// The program is killed instead of making the n-th, the first being 1.
    Kill(usize),
    /// The n-th says this.
    Refuse(Errno, usize),
    /// From the n-th on all say this, until [`Traced::relent`].
    RefuseAll(Errno, usize),
}

/// What the tracer has seen.
#[derive(Default)]
struct Seen {
    calls: Vec<Call>,
    struck: Vec<Call>,
    ended: Option<i32>,
    has_relented: bool,
}

/// A program under watch. It is killed when this goes.
pub struct Traced {
    pid: i32,
    seen: Arc<Mutex<Seen>>,
}

impl Traced {
    /// Starts `command` under watch, its output in `<log>/<tag>.err`.
    pub fn start(world: &World, command: &Command, tag: &str, among: Among, fate: Fate) -> Self {
        let said = world.logs().join(format!("{tag}.err"));
        let err = File::options().append(true).create(true).open(&said).unwrap();
        let mut shell = Command::new("/bin/sh");
        // It waits for a line, is taken hold of meanwhile, and becomes the program.
        shell.args(["-c", "read -r _; exec \"$@\" </dev/null", "sh"]);
        shell.arg(command.get_program()).args(command.get_args()).env_clear();
        shell.envs(command.get_envs().filter_map(|(key, value)| Some((key, value?))));
        shell.current_dir(world.path()).process_group(0);
        shell.stdin(Stdio::piped()).stdout(err.try_clone().unwrap()).stderr(err);
        let seen = Arc::<Mutex<Seen>>::default();
        let (told, pid) = mpsc::channel();
        let mut tracer = Tracer {
            root: world.path().display().to_string(),
            said: said.display().to_string(),
            main: Pid::from_raw(0),
            threads: HashMap::new(),
            is_armed: false,
            is_itself: false,
            among,
            fate,
            seen: Arc::clone(&seen),
        };
        std::thread::spawn(move || tracer.run(shell, &told));
        Self { pid: pid.recv().unwrap(), seen }
    }

    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// The counted calls so far.
    pub fn calls(&self) -> Vec<Call> {
        self.seen.lock().unwrap().calls.clone()
    }

    /// The calls that were killed or refused.
    pub fn struck(&self) -> Vec<Call> {
        self.seen.lock().unwrap().struck.clone()
    }

    /// From now on every call is performed.
    pub fn relent(&self) {
        self.seen.lock().unwrap().has_relented = true;
    }

    /// Its exit status once it has ended; -9 for signal 9.
    pub fn is_over(&self) -> Option<i32> {
        self.seen.lock().unwrap().ended
    }

    pub fn signal(&self, signal: Signal) {
        if self.is_over().is_none() {
            kill(Pid::from_raw(self.pid), signal).ok();
        }
    }

    /// Waits for its end; `None` if that does not come.
    pub fn ended(&self, patience: Duration) -> Option<i32> {
        until(patience, || self.is_over())
    }
}

impl Drop for Traced {
    fn drop(&mut self) {
        self.signal(Signal::SIGKILL);
        self.ended(Duration::from_secs(10));
    }
}

/// What is known of a thread.
struct Thread {
    process: Pid,
    /// What its call is going to say instead of being performed.
    refused: Option<Errno>,
}

/// The thread that watches; a tracee obeys none but the one that took hold of it.
struct Tracer {
    root: String,
    /// The file of its standard output and error.
    said: String,
    main: Pid,
    threads: HashMap<Pid, Thread>,
    /// Whether calls are counted.
    is_armed: bool,
    /// Whether the shell has become the program.
    is_itself: bool,
    among: Among,
    fate: Fate,
    seen: Arc<Mutex<Seen>>,
}

impl Tracer {
    fn run(&mut self, mut shell: Command, told: &mpsc::Sender<i32>) {
        use ptrace::Options;
        let mut child = shell.spawn().unwrap();
        self.main = Pid::from_raw(child.id().cast_signed());
        let options = Options::PTRACE_O_TRACESYSGOOD
            | Options::PTRACE_O_TRACECLONE
            | Options::PTRACE_O_TRACEFORK
            | Options::PTRACE_O_TRACEVFORK
            | Options::PTRACE_O_TRACEEXEC
            | Options::PTRACE_O_EXITKILL;
        ptrace::seize(self.main, options).expect("a test may trace its own child");
        ptrace::interrupt(self.main).unwrap();
        let mut line = child.stdin.take();
        told.send(self.main.as_raw()).unwrap();
        // Only the children and tracees of this thread.
        let flags = WaitPidFlag::__WALL | WaitPidFlag::__WNOTHREAD;
        loop {
            match waitpid(None, Some(flags)) {
                Ok(status) => self.stopped(status),
                Err(Errno::EINTR) => {}
                Err(_) => break,
            }
            if let Some(mut line) = line.take() {
                line.write_all(b"\n").ok();
            }
        }
        self.seen.lock().unwrap().ended.get_or_insert(-1);
    }

    fn stopped(&mut self, status: WaitStatus) {
        match status {
            WaitStatus::Exited(pid, code) => self.is_gone(pid, code),
            WaitStatus::Signaled(pid, signal, _) => self.is_gone(pid, -(signal as i32)),
            WaitStatus::PtraceSyscall(pid) => self.call(pid),
            WaitStatus::PtraceEvent(pid, _, event) if event == ptrace::Event::PTRACE_EVENT_EXEC as i32 => {
                if pid == self.main {
                    self.is_itself = true;
                    go_on(pid, None);
                } else {
                    self.threads.remove(&pid);
                    ptrace::detach(pid, None).ok();
                }
            }
            WaitStatus::PtraceEvent(pid, ..) => go_on(pid, None),
            WaitStatus::Stopped(pid, signal) => go_on(pid, Some(signal)),
            WaitStatus::Continued(_) | WaitStatus::StillAlive => {}
        }
    }

    fn is_gone(&mut self, pid: Pid, code: i32) {
        self.threads.remove(&pid);
        if pid == self.main {
            self.seen.lock().unwrap().ended = Some(code);
        }
    }

    /// A thread enters a call or leaves one.
    fn call(&mut self, tid: Pid) {
        if let Ok(info) = ptrace::syscall_info(tid) {
            match info.op {
                libc::PTRACE_SYSCALL_INFO_ENTRY => self.enters(tid),
                libc::PTRACE_SYSCALL_INFO_EXIT => self.leaves(tid),
                _ => {}
            }
        }
        go_on(tid, None);
    }

    fn enters(&mut self, tid: Pid) {
        let Ok(mut regs) = ptrace::getregs(tid) else { return };
        let Some(call) = self.seen_call(tid, &regs) else { return };
        let at = {
            let mut seen = self.seen.lock().unwrap();
            seen.calls.push(call.clone());
            seen.calls.len()
        };
        let has_relented = self.seen.lock().unwrap().has_relented;
        let refused = match self.fate {
            Fate::Kill(n) if n == at => {
                self.seen.lock().unwrap().struck.push(call);
                kill(self.main, Signal::SIGKILL).ok();
                return;
            }
            Fate::Refuse(errno, n) if n == at => errno,
            Fate::RefuseAll(errno, n) if n <= at && !has_relented => errno,
            Fate::Watch | Fate::Kill(_) | Fate::Refuse(..) | Fate::RefuseAll(..) => return,
        };
        self.seen.lock().unwrap().struck.push(call);
        self.threads.get_mut(&tid).unwrap().refused = Some(refused);
        // No call has this number: the kernel performs nothing.
        regs.orig_rax = u64::MAX;
        ptrace::setregs(tid, regs).ok();
    }

    fn leaves(&mut self, tid: Pid) {
        let Some(errno) = self.threads.get_mut(&tid).and_then(|it| it.refused.take()) else { return };
        let Ok(mut regs) = ptrace::getregs(tid) else { return };
        regs.rax = i64::from(-(errno as i32)).cast_unsigned();
        ptrace::setregs(tid, regs).ok();
    }

    /// The call that a thread is about to make, if it is counted.
    fn seen_call(&mut self, tid: Pid, regs: &libc::user_regs_struct) -> Option<Call> {
        if !self.is_itself {
            return None;
        }
        let thread = self.threads.entry(tid).or_insert_with(|| Thread { process: group(tid), refused: None });
        let (name, shape) = shape(regs.orig_rax.cast_signed())?;
        let args = [regs.rdi, regs.rsi, regs.rdx, regs.r10, regs.r8, regs.r9];
        let what = describe(tid, shape, &args);
        // `openat2` and `clone3` say in memory what the others say in an argument.
        let told = match name {
            "openat2" => number(tid, args[2]),
            "clone3" => number(tid, args[0]),
            _ => None,
        };
        // What it says is not its work, and a test wants to hear it.
        if what == self.said {
            return None;
        }
        let is_main = thread.process == self.main;
        let call = Call { name, what, args, told, is_main };
        self.is_armed |= call.what.contains(&self.root) && !call.what.contains("/bin/");
        (self.is_armed && (self.among)(&call)).then_some(call)
    }
}

/// To its next call; one that was killed meanwhile goes nowhere.
fn go_on(tid: Pid, signal: Option<Signal>) {
    ptrace::syscall(tid, signal).ok();
}

/// The process that a thread belongs to.
fn group(tid: Pid) -> Pid {
    let status = std::fs::read_to_string(format!("/proc/{tid}/status")).unwrap_or_default();
    let group = status.lines().find_map(|line| line.strip_prefix("Tgid:")?.trim().parse().ok());
    group.map_or(tid, Pid::from_raw)
}

/// What a call is about, as a person would like to read it.
fn describe(tid: Pid, shape: Shape, args: &[u64; 6]) -> String {
    let behind = |fd: u64| {
        let link = std::fs::read_link(format!("/proc/{tid}/fd/{}", fd.cast_signed()));
        link.map(|it| it.display().to_string()).unwrap_or_default()
    };
    let at = |dir: u64, path: u64| {
        let path = text(tid, path);
        if path.starts_with('/') { path } else { format!("{}/{path}", behind(dir)) }
    };
    match shape {
        Shape::Path => text(tid, args[0]),
        Shape::TwoPaths => format!("{} -> {}", text(tid, args[0]), text(tid, args[1])),
        Shape::At => at(args[0], args[1]),
        Shape::TwoAt => format!("{} -> {}", at(args[0], args[1]), at(args[2], args[3])),
        Shape::Descriptor => behind(args[0]),
        Shape::Nothing => String::new(),
    }
}

fn text(tid: Pid, address: u64) -> String {
    let mut bytes = vec![0; 512];
    let Ok(memory) = File::open(format!("/proc/{tid}/mem")) else { return String::new() };
    let read = memory.read_at(&mut bytes, address).unwrap_or(0);
    let end = bytes[..read].iter().position(|byte| *byte == 0).unwrap_or(read);
    String::from_utf8_lossy(&bytes[..end]).into_owned()
}

fn number(tid: Pid, address: u64) -> Option<u64> {
    let mut bytes = [0; 8];
    File::open(format!("/proc/{tid}/mem")).ok()?.read_exact_at(&mut bytes, address).ok()?;
    Some(u64::from_ne_bytes(bytes))
}

//! Every signal, in one place: they become values on a channel.

#![expect(unsafe_code, reason = "resetting a disposition has no safe face; the proof stands beside it")]

use std::io;

use nix::sys::signal::{SigHandler, SigSet, SigmaskHow, Signal as Nix, signal, sigprocmask};
use signal_hook::consts::{SIGCHLD, SIGCONT, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTSTP, SIGXFSZ};
use signal_hook::iterator::Signals;
use tokio::sync::mpsc;

/// What a signal asks of this program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// `SIGTERM` or `SIGINT`: stop.
    Stop,
    /// `SIGHUP`: reopen the log, and try now what a hold waits for.
    Reload,
    /// `SIGCHLD`: somebody ended.
    Child,
}

/// Unblocks every signal and puts back every default that whoever started us had changed: both are inherited
/// over an exec, and an agent that starts with `SIGTERM` blocked could not be ended politely.
pub fn clean() -> io::Result<()> {
    sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None)?;
    for number in Nix::iterator() {
        // SIGPIPE stays ignored for us, as the language wants it; std resets it in children.
        if matches!(number, Nix::SIGKILL | Nix::SIGSTOP | Nix::SIGPIPE) {
            continue;
        }
        // SAFETY: SIG_DFL installs no handler, so no code of ours can run in a signal's context; called once
        // at the start, before any handler of the program is registered.
        unsafe { signal(number, SigHandler::SigDfl) }?;
    }
    Ok(())
}

/// Has this program go on when Ctrl-C or Ctrl-\ is pressed: it is meant for the child at the terminal, which starts with
/// the default again, since handlers do not survive an exec.
pub fn leave_interrupts_to_children() -> io::Result<()> {
    let seen = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    for number in [SIGINT, SIGQUIT] {
        signal_hook::flag::register(number, std::sync::Arc::clone(&seen))?;
    }
    Ok(())
}

/// Starts the thread that turns signals into values. It waits blocked, and ends with the program.
pub fn listen() -> io::Result<mpsc::UnboundedReceiver<Signal>> {
    // SIGXFSZ is caught and not ignored: a write beyond the limit on the size of files then fails with EFBIG in place
    // of ending us, and agents still start with its default, since handlers do not survive an exec.
    let mut signals = Signals::new([SIGTERM, SIGINT, SIGHUP, SIGCHLD, SIGXFSZ])?;
    let (tell, told) = mpsc::unbounded_channel();
    std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
        for number in &mut signals {
            let signal = match number {
                SIGCHLD => Signal::Child,
                SIGHUP => Signal::Reload,
                SIGXFSZ => continue,
                _ => Signal::Stop,
            };
            if tell.send(signal).is_err() {
                return;
            }
        }
    })?;
    Ok(told)
}

/// What a signal asks of a program that draws on a terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AtTerminal {
    /// `SIGTERM`, `SIGINT`, `SIGHUP`: to give the terminal back and to end.
    Stop,
    /// `SIGTSTP`: to give it back and to stop, [`stop_here`].
    Suspend,
    /// `SIGCONT`: to take it again.
    Continue,
}

/// Starts the thread that hands the signals of a terminal to `tell`, until that answers `false`. A change of its size is
/// told by whoever reads its keys.
pub fn at_terminal(tell: impl Fn(AtTerminal) -> bool + Send + 'static) -> io::Result<()> {
    let mut signals = Signals::new([SIGTERM, SIGINT, SIGHUP, SIGTSTP, SIGCONT])?;
    let forward = move || {
        for number in &mut signals {
            let signal = match number {
                SIGTSTP => AtTerminal::Suspend,
                SIGCONT => AtTerminal::Continue,
                _ => AtTerminal::Stop,
            };
            if !tell(signal) {
                return;
            }
        }
    };
    std::thread::Builder::new().name("signals".to_owned()).spawn(forward).map(drop)
}

/// Stops this process as the shell would, until it is continued. `SIGTSTP` itself is caught, so it is `SIGSTOP`.
pub fn stop_here() {
    nix::sys::signal::raise(Nix::SIGSTOP).ok();
}

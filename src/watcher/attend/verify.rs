//! The acceptance command of the pack has the last word on an answer.
//!
//! Invariants:
//! - its word is durable in `verify.json` before the answer counts, or does not;
//! - it and all that it started are gone before that, however it ends;
//! - a word is only what it came to by itself or by a limit: one that was ended for a stop, a cancel or a pack that was
//!   taken back has said nothing, and is run again;
//! - one whose program is not there says nothing about the work: its pack waits, and the answer with it.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::after::Duty;
use super::order::Answer;
use super::prepare::make_private;
use super::steer::Closing;
use super::workdir::Workdir;
use super::{Order, Run};
use crate::agent::acceptance::{self, Start, Whereabouts};
use crate::agent::disposition::{Disposition, Holding};
use crate::agent::replay::stderr_tail;
use crate::agent::trouble::{self, is_scarcity};
use crate::agent::{env, message};
use crate::os::durable::{self, DIR_MODE, make_dir, parent};
use crate::os::oom::Counter;
use crate::os::process::start::Started;
use crate::os::process::{Child, Exit};
use crate::pack::{Found, PackName};
use crate::pipe::reply::Reply;
use crate::recovery::owed;
use crate::task::acceptance::{Acceptance, typed};
use crate::task::{Attempt, AttemptOutcome, HoldCause, TaskState};
use crate::telemetry::journal::Event as Noted;
use crate::watcher::core::Wanted;

/// Between two looks at it.
const LOOK: Duration = Duration::from_secs(1);
/// So much more between two looks means that nobody could look: the machine was suspended, and it most likely too.
const STANDSTILL: Duration = Duration::from_secs(5);
/// After its tree was ended, for the kernel to tell how.
const REAPED: Duration = Duration::from_secs(2);

/// Why it was ended, where it did not end by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cut {
    Time,
    Flood,
    Stop,
    Cancel,
}

/// Whether an earlier one lacked room on a disk, or memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Room {
    Unknown,
    Lacked,
}

impl Run {
    /// What the acceptance command lacks before anything is paid for, if it does.
    pub(super) fn lacks_verifier(&self, cwd: &Path) -> Option<String> {
        let program = self.pack.pack.verify.as_ref()?.first()?;
        let found = acceptance::look_up(program, &self.ctx.environment.search_path(), cwd);
        (found == Whereabouts::Nowhere).then(|| self.no_verifier(program, "it is not there"))
    }

    /// What the agent is told whose last answer did not count, if that is why it goes on.
    pub(super) fn what_to_mend(&self) -> Option<String> {
        let ran = |it: &&Attempt| !it.is_open() && it.outcome != Some(AttemptOutcome::NotStarted);
        let last = self.lease.task.record.attempts.iter().rev().find(ran)?;
        let paths = self.lease.paths(self.ctx.layout());
        let said = owed::acceptance(&paths, last.number).ok()?.filter(|it| !it.passed)?;
        let why = format!("it was checked with `{}`, which {}", said.typed(), said.how());
        Some(message::mend_message(&why, &said.tail))
    }

    /// The pack cannot be used as it is; why.
    fn no_verifier(&self, program: &str, why: &str) -> String {
        let file = self.pack.file.as_deref().unwrap_or("its file");
        let why = format!(
            "the acceptance command `{program}` of the pack `{}` cannot be started: {why}",
            self.pack.name
        );
        let remedy = format!(
            "put `{program}` into the worker's PATH, or mend `verify` in `{file}`; its tasks go on by themselves"
        );
        if let Some(name) = PackName::of(self.lease.task.spec.kind.as_deref()) {
            self.ctx.packs.refused(&name, &why, &remedy);
        }
        why
    }

    /// Runs it, and writes down what it came to.
    pub(super) async fn verify(&mut self) -> Duty {
        if self.pack_is_gone() {
            let tail = "its program is not there, and its pack is gone".to_owned();
            return self.word(Acceptance { command: self.verifier(), tail, ..Acceptance::default() }).await;
        }
        let mut room = Room::Unknown;
        loop {
            let command = self.verifier();
            let Some(program) = command.first() else { return Duty::Done };
            if let Some(bar) = self.taken_back() {
                return Duty::Later(bar.why);
            }
            if self.wanted.is_stop() || self.lost {
                return Duty::Left;
            }
            let cwd = match self.place_of_work().map_err(|refused| *refused) {
                Ok(cwd) => cwd,
                // A directory that cannot be reached now says nothing about the work.
                Err(Disposition::Conclude { outcome, .. }) => {
                    return Duty::Later(outcome.failure_reason.unwrap_or_default());
                }
                Err(Disposition::Requeue { entry, hold }) => {
                    let hold = hold.unwrap_or_else(|| Holding::of(HoldCause::Disk, entry.reason));
                    self.waits_a_moment(hold).await;
                    continue;
                }
            };
            // An answer that was laid by gave its directory free meanwhile.
            if let Some(why) = self.lacks_seat() {
                return Duty::Later(why);
            }
            let path = self.ctx.environment.search_path();
            let found = match acceptance::look_up(program, &path, &cwd.path) {
                Whereabouts::At(found) => found,
                Whereabouts::Nowhere => return Duty::Later(self.no_verifier(program, "it is not there")),
                Whereabouts::NotInTheWork(path) => {
                    let tail = format!("`{}` is not there, or may not be executed", path.display());
                    return self.word(Acceptance { command, tail, ..Acceptance::default() }).await;
                }
            };
            if self.group.is_none() {
                // Taken up by us after its agent was gone, which may be long ago.
                self.group = self.ctx.groups.make(self.lease.run, self.limits().memory);
            }
            match self.start_verifier(&found, &command[1..], &cwd).await {
                Ok(None) => return Duty::Left,
                Ok(Some(child)) => match self.attend_verifier(command, child, room).await {
                    Some(duty) => return duty,
                    None => room = Room::Lacked,
                },
                Err(error) if is_scarcity(&error) || error.raw_os_error().is_none() => {
                    let trouble = trouble::explain(&error, &found, &cwd.path);
                    let reason = format!("the acceptance command could not be started: {error}");
                    let holding = Holding::of(HoldCause::Configuration, reason);
                    self.waits_a_moment(Holding { remedy: trouble.remedy, ..holding }).await;
                }
                Err(error) => {
                    let why = trouble::explain(&error, &found, &cwd.path).why;
                    return Duty::Later(self.no_verifier(program, &why));
                }
            }
        }
    }

    fn verifier(&self) -> Vec<String> {
        self.pack.pack.verify.clone().unwrap_or_default()
    }

    /// A command whose program is not there is taken anew from the pack as it is now: it may have been mended. Whether
    /// there is none any more.
    fn pack_is_gone(&mut self) -> bool {
        let Some(program) = self.verifier().into_iter().next() else { return false };
        let path = self.ctx.environment.search_path();
        if acceptance::look_up(&program, &path, Path::new("/")) != Whereabouts::Nowhere {
            return false;
        }
        match self.ctx.packs.find(self.lease.task.spec.kind.as_deref()) {
            Found::Ready { loaded, .. } => {
                let (ours, now) = (&mut self.pack.pack, &loaded.pack);
                ours.verify.clone_from(&now.verify);
                ours.verify_timeout_s = now.verify_timeout_s;
                if self.stamp().is_err() {
                    tracing::warn!(task = %self.lease.name, "could not write down by what its answer is verified now");
                }
                false
            }
            Found::Unknown { .. } => true,
            Found::Barred(_) => false,
        }
    }

    /// Starts it; nothing where the worker leaves before it has begun.
    async fn start_verifier(
        &mut self,
        program: &Path,
        arguments: &[String],
        cwd: &Workdir,
    ) -> io::Result<Option<Child>> {
        let scratch = self.ctx.scratch.join(self.lease.run.to_string());
        let log = self.lease.paths(self.ctx.layout()).verify_log(self.lease.number());
        make_private(&scratch)?;
        make_dir(parent(&log), DIR_MODE)?;
        let (starter, usual) = self.starter()?;
        let start = Start {
            program: program.to_owned(),
            arguments: arguments.to_vec(),
            cwd: cwd.entrance(),
            log,
            group: self.group.clone(),
            confined: usual.map(|usual| self.confined(usual, cwd, &scratch)),
            environment: env::without_credentials(self.environment(scratch), self.let_through()),
        };
        let reaper = Arc::clone(&self.ctx.reaper);
        let begun = starter.run(move |apart| acceptance::start(apart, &reaper, start));
        let Some(begun) = self.while_it_starts(program, begun).await else { return Ok(None) };
        let Started { child, outside } = begun??;
        self.put_first(&child);
        if let Some((group, error)) = self.group.as_ref().zip(outside) {
            self.ctx.groups.refused(group, &error);
        }
        Ok(Some(child))
    }

    /// Sees to it until it has ended, and all that it started. `None`: a disk was full under it or memory ran out, which
    /// says nothing about the work; once only, since after that it is the work that does it.
    async fn attend_verifier(&mut self, command: Vec<String>, mut child: Child, room: Room) -> Option<Duty> {
        self.show_verifying(&command, &child).await;
        let began = self.ctx.clock.ticks();
        let kills = Counter::of(child.id.pid);
        let (exit, cut) = self.await_verifier(&mut child).await;
        let took = self.ctx.clock.ticks().since(began);
        self.sweep(Some(&child.id), None).await;
        let exit = match exit {
            Some(exit) => Some(exit),
            None => tokio::time::timeout(REAPED, &mut child.exit).await.ok().and_then(Result::ok),
        };
        match cut {
            Some(Cut::Stop) => {
                return Some(self.taken_back().map_or(Duty::Left, |bar| Duty::Later(bar.why)));
            }
            Some(Cut::Cancel) => return Some(Duty::Cancelled),
            Some(Cut::Time | Cut::Flood) | None => {}
        }
        let no_room =
            self.ctx.out_since(began).filter(|_| exit != Some(Exit::Code(0)) && room == Room::Unknown);
        if let Some(why) = no_room {
            let reason = format!("{why}, while the acceptance command was at work");
            self.waits_a_moment(Holding::of(HoldCause::Disk, reason)).await;
            return None;
        }
        // Its own limit is no want of memory: it would want as much again.
        let is_over =
            self.group.as_ref().is_some_and(|it| it.struck().by_own_limit) && self.limits().memory.is_some();
        let is_struck = || !is_over && kills.as_ref().and_then(Counter::risen).unwrap_or(0) > 0;
        if cut.is_none() && exit != Some(Exit::Code(0)) && room == Room::Unknown && is_struck() {
            let reason = "the kernel's OOM killer struck while the acceptance command was at work".to_owned();
            self.waits_a_moment(Holding::of(HoldCause::Memory, reason)).await;
            return None;
        }
        let log = self.lease.paths(self.ctx.layout()).verify_log(self.lease.number());
        let acceptance = Acceptance {
            passed: cut.is_none() && exit == Some(Exit::Code(0)),
            exit: exit.and_then(|it| if let Exit::Code(code) = it { Some(code) } else { None }),
            signal: exit.and_then(|it| if let Exit::Signal(signal) = it { Some(signal) } else { None }),
            timed_out: cut == Some(Cut::Time),
            flooded: cut == Some(Cut::Flood),
            took_s: (took.as_secs_f64() * 1000.0).round() / 1000.0,
            tail: self.printable(&stderr_tail(&log)),
            command,
        };
        Some(self.word(acceptance).await)
    }

    /// Waits for its end, or for a reason to end it.
    async fn await_verifier(&mut self, child: &mut Child) -> (Option<Exit>, Option<Cut>) {
        let most = self.pack.pack.verify_timeout();
        let flood = self.limits().output;
        let log = self.lease.paths(self.ctx.layout()).verify_log(self.lease.number());
        let (mut spent, mut last) = (Duration::ZERO, self.ctx.clock.ticks());
        loop {
            let cut = tokio::select! {
                biased;
                exit = &mut child.exit => return (exit.ok(), None),
                order = self.orders.recv() => self.told_while_verifying(order).await,
                () = tokio::time::sleep(LOOK.min(most.saturating_sub(spent))) => None,
            };
            self.guard().await;
            self.sign_of_life();
            let now = self.ctx.clock.ticks();
            spent += now.since(last).min(STANDSTILL);
            last = now;
            let printed = std::fs::symlink_metadata(&log).map_or(0, |it| it.len());
            let limit = if self.lost {
                Some(Cut::Stop)
            } else if spent >= most {
                Some(Cut::Time)
            } else {
                (printed > flood).then_some(Cut::Flood)
            };
            if let Some(cut) = cut.or(limit) {
                return (None, Some(cut));
            }
        }
    }

    async fn told_while_verifying(&mut self, order: Option<Order>) -> Option<Cut> {
        match order {
            Some(Order::Look) => None,
            Some(Order::TakeBack(path)) => {
                self.take_back(path).await;
                None
            }
            Some(Order::Tell { answer, .. } | Order::Interrupt { answer, .. }) => {
                cannot_hear(answer);
                None
            }
            Some(Order::Cancel { reason, answer }) => {
                self.closing.push((Closing::Cancel(reason), answer));
                Some(Cut::Cancel)
            }
            Some(Order::Stop) => {
                self.wanted = Wanted::Stop;
                Some(Cut::Stop)
            }
            Some(Order::Kill) | None => {
                (self.wanted, self.hurry) = (Wanted::StopNow, true);
                Some(Cut::Stop)
            }
        }
    }

    async fn show_verifying(&mut self, command: &[String], child: &Child) {
        self.lease.task.record.state = Some(TaskState::Completing);
        let (spool, lease) = (Arc::clone(&self.ctx.spool), self.lease.clone());
        if let Ok(Err(error)) = tokio::task::spawn_blocking(move || spool.update(&lease)).await {
            tracing::warn!(task = %self.lease.name, error = %error, "could not record that its answer is verified");
        }
        let typed = typed(command);
        self.show();
        if let Some(running) = self.ctx.board.show().running.get_mut(&self.lease.file) {
            running.progress = Some(format!("verifying: {typed}"));
        }
        self.ctx.note(Noted::Verifying, &self.lease, |line| {
            (line.from, line.to) = (Some(TaskState::Running), Some(TaskState::Completing));
            line.pid = Some(child.id.pid);
            line.reason = Some(typed.clone());
        });
        tracing::info!(task = %self.lease.name, run_id = %self.lease.run, pid = child.id.pid, command = %typed, "the acceptance command is at work");
    }

    /// Makes its word durable.
    async fn word(&mut self, acceptance: Acceptance) -> Duty {
        let path = self.lease.paths(self.ctx.layout()).verify(self.lease.number());
        let durability = self.ctx.config.durability;
        loop {
            let (to, bytes) = (path.clone(), acceptance.to_bytes());
            let write = move || {
                make_dir(parent(&to), DIR_MODE).and_then(|()| durable::write_atomic(&to, &bytes, durability))
            };
            let error = match tokio::task::spawn_blocking(write).await {
                Ok(Ok(())) => break,
                Ok(Err(error)) => error,
                Err(error) => io::Error::other(error),
            };
            let what = "could not write down what the acceptance command came to";
            if !self.waits_a_moment(Holding::of_disk(what, &error)).await {
                return Duty::Left;
            }
        }
        let (how, typed) = (acceptance.how(), acceptance.typed());
        self.ctx.note(Noted::Verified, &self.lease, |line| line.reason = Some(format!("{typed}: {how}")));
        tracing::info!(
            task = %self.lease.name,
            run_id = %self.lease.run,
            command = %typed,
            passed = acceptance.passed,
            took_s = acceptance.took_s,
            "the acceptance command {how}"
        );
        Duty::Done
    }

    /// Without secrets, and without what a terminal would obey.
    fn printable(&self, text: &str) -> String {
        let keeps = |c: &char| !c.is_control() || matches!(c, '\n' | '\t');
        self.ctx.redactor.redact(text).chars().filter(keeps).collect()
    }
}

fn cannot_hear(answer: Answer) {
    let why = "its agent has answered and is gone; the answer is being verified";
    answer.with(Reply::refused(69, why).hinting("wait for its end, or `cancel` it"));
}

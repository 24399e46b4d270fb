//! Commands: a line comes in, is carried out, and is answered once.
//!
//! | room | what happens there |
//! |---|---|
//! | here | what concerns the worker itself |
//! | `hearing` | the pipe for commands |
//! | `desk` | what concerns a task: one after the other |
//! | `acts` | what is done to a task that waits or has ended, off the loop |
//! | `said` | how the worker is, in values (pure) |
//!
//! Invariants:
//! - what a pause is answered with is durable before the answer;
//! - no command waits for another one, but for those on tasks, which wait for the disk in their order.
//!
//! It deliberately does not know how an answer travels.

mod acts;
mod desk;
mod hearing;
pub(super) mod said;

use super::attend::{Answer, Order};
use super::core::{Event, Wanted, Whereabouts, name_of};
use super::enter::with_causes;
use super::herald::Asker;
use super::shell::Looping;
use crate::config::LogLevel;
use crate::pipe::framing::Framed;
use crate::pipe::reply::Reply;
use crate::pipe::words::{self, Op, Request};
use crate::task::FileName;
use crate::task::outcome::head;
use crate::telemetry::journal::Event as Noted;
use crate::telemetry::log::LogHandle;
use crate::telemetry::state_file::{self, WantedMode};

pub(super) use acts::cancelled;
pub(super) use desk::{Desk, Errand, Found};
pub(super) use hearing::Hearing;

/// How much of a reason is kept, in bytes.
const REASON_MAX: usize = 1000;

impl Looping {
    /// Takes in what was read from the pipe.
    pub(super) fn on_lines(&mut self, lines: Vec<Framed>, log: &LogHandle) {
        for line in lines {
            match line {
                Ok(line) => self.on_line(&line, log),
                Err(unfit) => {
                    tracing::warn!("passed over on the pipe for commands: {unfit}");
                    self.ctx.herald.pass_over(unfit);
                }
            }
        }
    }

    fn on_line(&mut self, line: &str, log: &LogHandle) {
        match words::parse(line) {
            Ok(None) => {}
            Ok(Some(request)) => {
                tracing::info!(op = request.op.as_str(), task = request.task, by = request.by, "a command");
                let asker = self.ctx.herald.asker(&request);
                self.on_request(request, asker, log);
            }
            Err(refusal) => {
                tracing::warn!(refusal = %refusal, "a line on the pipe for commands was not understood");
                self.ctx.herald.refuse(&refusal);
            }
        }
    }

    fn on_request(&mut self, request: Request, asker: Asker, log: &LogHandle) {
        let reply = match request.op {
            Op::Ping => Reply::done("here"),
            Op::Status => self.said_status(),
            Op::Pause => {
                let reply = self.pause(&request);
                self.noted(reply, "paused", &request)
            }
            Op::Resume => {
                let reply = self.resume();
                self.noted(reply, "resumed", &request)
            }
            Op::Drain => {
                let reply = self.drain();
                self.noted(reply, "draining", &request)
            }
            Op::Stop => {
                let reply = self.stop();
                self.noted(reply, "stopping", &request)
            }
            Op::Reload => self.reload(log),
            Op::LogLevel => set_level(request.level.as_deref().unwrap_or_default(), log),
            Op::Tell | Op::Interrupt => return self.on_run(request, asker),
            Op::Cancel | Op::Retry | Op::Hold | Op::Release | Op::Submit => return self.take(request, asker),
            Op::Progress => Reply::refused(64, "`progress` is what an agent says of itself")
                .hinting("`tell TASK TEXT` says something to an agent"),
        };
        asker.answer(reply);
    }

    /// The journal says who wanted the worker otherwise.
    fn noted(&self, reply: Reply, word: &str, request: &Request) -> Reply {
        if reply.ok {
            let why = self.said(request.reason.as_deref());
            let word = why.map_or_else(|| word.to_owned(), |why| format!("{word}: {why}"));
            self.ctx.note_asked(Noted::WorkerStatus, word, self.said(request.by.as_deref()));
        }
        reply
    }

    /// What somebody wrote, as it is kept.
    fn said(&self, text: Option<&str>) -> Option<String> {
        text.map(|it| head(&self.ctx.redactor.redact(it), REASON_MAX).to_owned())
    }

    fn said_status(&self) -> Reply {
        let shown = self.ctx.board.show().clone();
        let result = said::status(&self.ctx.config.worker, &shown, self.core.active());
        Reply::done(shown.status.as_str()).with(result)
    }

    /// What SIGHUP and `reload` do.
    pub(super) fn reload(&mut self, log: &LogHandle) -> Reply {
        log.reopen();
        tracing::info!("log reopened");
        self.ctx.packs.try_again();
        self.ctx.cli.forget();
        self.on_event(Event::Trying(true));
        let read = self.ctx.config.reload();
        if let Ok(changes) = &read
            && changes.at_once.iter().any(|it| matches!(it.key, "log_level" | "debug"))
        {
            log.set_level(self.ctx.config.log.level.as_str()).ok();
        }
        self.on_event(Event::Slots(self.ctx.config.concurrency));
        self.try_now();
        match read {
            Ok(changes) => {
                tracing::info!("the configuration was read again: {changes}");
                Reply::done(format!(
                    "the log was reopened, and what was mended is tried; configuration: {changes}"
                ))
            }
            Err(error) => {
                let why = with_causes(&error);
                let what =
                    format!("the configuration is wrong, and the worker goes on with what it had: {why}");
                self.ctx.herald.caution(None, &what, error.hint().as_deref());
                Reply::refused(65, what)
            }
        }
    }

    fn pause(&mut self, request: &Request) -> Reply {
        if self.core.wanted().leaves() {
            return leaving();
        }
        let (by, reason) = (self.said(request.by.as_deref()), self.said(request.reason.as_deref()));
        let at = Some(self.ctx.clock.wall());
        let wanted = state_file::Wanted { mode: WantedMode::Pause, reason: reason.clone(), by, at };
        if let Err(error) = self.want(Some(wanted)) {
            return not_kept(&error);
        }
        tracing::info!(reason, "paused: taking no new tasks until `resume`");
        self.on_event(Event::Asked(Wanted::Pause));
        self.beat_now();
        Reply::done("paused: it takes no new tasks until `resume`; the running ones go on")
    }

    fn resume(&mut self) -> Reply {
        if self.core.wanted().leaves() {
            return leaving();
        }
        let was = self.core.wanted();
        if self.ctx.board.show().wanted.is_some()
            && let Err(error) = self.want(None)
        {
            return not_kept(&error);
        }
        tracing::info!("resumed");
        self.on_event(Event::Asked(Wanted::Run));
        self.try_now();
        self.beat_now();
        Reply::done(match was {
            Wanted::Pause => "it takes tasks again",
            Wanted::Run | Wanted::Drain | Wanted::Stop | Wanted::StopNow => {
                "it was not paused; what was mended is tried"
            }
        })
    }

    fn drain(&mut self) -> Reply {
        if self.core.wanted().is_stop() {
            return leaving();
        }
        let running = self.core.active();
        tracing::info!(running, "draining: stopping when the running tasks have ended");
        self.on_event(Event::Asked(Wanted::Drain));
        self.beat_now();
        Reply::done(format!("it stops when what runs now has ended: {running} task(s)"))
    }

    /// What SIGTERM and `stop` do.
    pub(super) fn stop(&mut self) -> Reply {
        let word = if self.core.wanted().is_stop() { "stopping at once" } else { "stopping" };
        tracing::info!(running = self.core.active(), "{word}");
        self.on_event(Event::Asked(Wanted::Stop));
        self.beat_now();
        Reply::done(word)
    }

    /// Writes down what a person wants, and only then goes by it.
    fn want(&self, wanted: Option<state_file::Wanted>) -> std::io::Result<()> {
        if !self.ctx.is_ours() {
            return Err(std::io::Error::other("the worker's folder is not the one that is locked"));
        }
        let path = self.ctx.layout().state(&self.ctx.config.worker);
        state_file::update(&path, self.ctx.config.durability, |state| state.wanted.clone_from(&wanted))?;
        self.ctx.board.show().wanted = wanted;
        Ok(())
    }

    /// For an agent that runs.
    fn on_run(&mut self, request: Request, asker: Asker) {
        let Some(file) = self.running(request.task.as_deref().unwrap_or_default()) else {
            return self.take(request, asker);
        };
        let answer = Answer::to(request.by, move |reply| asker.answer(reply));
        let text = request.text;
        let order = if request.op == Op::Tell {
            Order::Tell { text: text.unwrap_or_default(), answer }
        } else {
            Order::Interrupt { text, answer }
        };
        self.tell_run(&file, order);
    }

    fn running(&self, called: &str) -> Option<FileName> {
        match self.core.whereabouts(name_of(&self.ctx.config.worker, called)?) {
            Whereabouts::Running(file) => Some(file),
            Whereabouts::OnItsWay(_) | Whereabouts::Waiting(..) | Whereabouts::Elsewhere => None,
        }
    }
}

fn set_level(level: &str, log: &LogHandle) -> Reply {
    let parsed: Result<LogLevel, String> = level.parse();
    let set =
        parsed.and_then(|it| log.set_level(it.as_str()).map(|()| it).map_err(|error| error.to_string()));
    match set {
        Ok(level) => {
            tracing::info!(level = level.as_str(), "log level changed until the next start");
            Reply::done(format!("the log level is {} until the next start", level.as_str()))
        }
        Err(why) => Reply::refused(64, format!("`log-level` {why}")),
    }
}

fn leaving() -> Reply {
    Reply::refused(69, "it stops, or drains and then stops").hinting("start it again afterwards")
}

fn not_kept(error: &std::io::Error) -> Reply {
    Reply::refused(75, format!("could not write state.json, and nothing was changed: {error}"))
        .hinting("make room on the disk, and ask again")
}

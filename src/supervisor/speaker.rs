//! The lines on the person's terminal, written by a thread of their own.
//!
//! A terminal that was stopped with Ctrl-S, or a pipe that nobody reads, blocks whoever writes. Restarts must not
//! wait for that, so what does not fit any more is dropped, counted, and announced when there is room again.

use std::io::{IsTerminal, Write};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use anstyle::{AnsiColor, Style};

use super::notice::Weight;

/// Lines that may wait.
const QUEUE: usize = 1024;
/// How long the last lines may take at the end.
const FAREWELL: Duration = Duration::from_secs(2);

/// Where lines go.
#[derive(Debug)]
pub(super) struct Speaker {
    lines: Option<SyncSender<String>>,
    done: Receiver<()>,
    dropped: u64,
}

impl Speaker {
    /// Starts the thread that writes to stdout.
    pub(super) fn start() -> std::io::Result<Self> {
        let (lines, told) = sync_channel::<String>(QUEUE);
        let (finished, done) = sync_channel(1);
        std::thread::Builder::new().name("speaker".to_owned()).spawn(move || {
            let mut out = anstream::stdout();
            for line in told {
                // Nobody listening is no reason to stop the work.
                out.write_all(line.as_bytes()).and_then(|()| out.flush()).ok();
            }
            finished.send(()).ok();
        })?;
        Ok(Self { lines: Some(lines), done, dropped: 0 })
    }

    /// Leaves the line on which the terminal has just shown `^C`.
    pub(super) fn leave_line(&mut self) {
        if std::io::stdout().is_terminal() {
            self.say("", Weight::Plain);
        }
    }

    /// Says a line, or several.
    pub(super) fn say(&mut self, text: &str, weight: Weight) {
        let style = match weight {
            Weight::Plain => Style::new(),
            Weight::Warning => AnsiColor::Yellow.on_default(),
            Weight::Alarm => AnsiColor::Red.on_default().bold(),
        };
        let lost = match self.dropped {
            0 => String::new(),
            n => format!("({n} lines were not shown)\n"),
        };
        let line = format!("{lost}{style}{text}{style:#}\n");
        let sent = self.lines.as_ref().is_some_and(|lines| lines.try_send(line).is_ok());
        self.dropped = if sent { 0 } else { self.dropped + 1 };
    }
}

impl Drop for Speaker {
    fn drop(&mut self) {
        self.lines = None;
        self.done.recv_timeout(FAREWELL).ok();
    }
}

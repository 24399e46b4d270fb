//! A terminal of its own: a pseudo-terminal with a program in it, and what stands on its screen.

#![allow(
    dead_code,
    unreachable_pub,
    missing_debug_implementations,
    reason = "each test file uses its own part of the terminal"
)]
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test plays the user: it starts programs, and one that cannot go on ends"
)]

use std::fs::File;
use std::io::{Read, Write};
use std::num::NonZero;
use std::os::fd::OwnedFd;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::pty::{Winsize, openpty};
use nix::sys::signal::{Signal, kill};
use nix::sys::termios::{LocalFlags, Termios, tcgetattr};
use nix::unistd::Pid;

/// How long a fact may take on a busy machine.
const PATIENCE: Duration = Duration::from_mins(2);

/// A program at a terminal.
pub struct Terminal {
    child: Child,
    /// The side of the person.
    hand: File,
    /// The side of the program, so that its modes can be looked at when the program has gone.
    desk: Option<OwnedFd>,
    /// The modes before the program had a hand on them.
    before: Termios,
    reader: Option<JoinHandle<()>>,
    screen: Arc<Mutex<vt100::Parser>>,
}

impl Terminal {
    /// Starts `command` at a terminal of so many rows and columns. The terminal is its controlling one (setsid(1) of
    /// util-linux), so that it hears of changes of its size.
    pub fn start(command: &Command, (rows, columns): (u16, u16)) -> Self {
        let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        let pair = openpty(&size, None).unwrap();
        let before = tcgetattr(&pair.slave).unwrap();
        let end = || Stdio::from(pair.slave.try_clone().unwrap());
        let mut at_terminal = Command::new("setsid");
        at_terminal.arg("--ctty").arg(command.get_program()).args(command.get_args()).env_clear();
        for (name, value) in command.get_envs() {
            if let Some(value) = value {
                at_terminal.env(name, value);
            }
        }
        if let Some(dir) = command.get_current_dir() {
            at_terminal.current_dir(dir);
        }
        let child = at_terminal
            .env("TERM", "xterm-256color")
            .stdin(end())
            .stdout(end())
            .stderr(end())
            .spawn()
            .unwrap();
        let screen = Arc::new(Mutex::new(vt100::Parser::new(some(rows), some(columns), 0)));
        let hand = File::from(pair.master);
        let reader = Some(read_into(Arc::clone(&screen), hand.try_clone().unwrap()));
        Self { child, hand, desk: Some(pair.slave), before, reader, screen }
    }

    /// The program.
    pub fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id().cast_signed())
    }

    /// Presses keys.
    pub fn press(&mut self, keys: &str) {
        self.hand.write_all(keys.as_bytes()).unwrap();
    }

    pub fn signal(&self, signal: Signal) {
        kill(self.pid(), signal).unwrap();
    }

    /// Makes the terminal another size, which the kernel tells the program.
    pub fn resize(&self, rows: u16, columns: u16) {
        let size = rustix::termios::Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        self.with(|parser| parser.screen_mut().set_size(some(rows), some(columns)));
        rustix::termios::tcsetwinsize(&self.hand, size).unwrap();
    }

    /// The modes of the terminal.
    pub fn modes(&self) -> Termios {
        tcgetattr(self.desk.as_ref().unwrap()).unwrap()
    }

    /// The modes before the program was started.
    pub fn modes_before(&self) -> Termios {
        self.before.clone()
    }

    /// Whether the program has taken the keys for itself.
    pub fn is_raw(&self) -> bool {
        !self.modes().local_flags.contains(LocalFlags::ICANON)
    }

    /// Whether it draws on the other screen, so that what stood there before comes back.
    pub fn is_on_the_other_screen(&self) -> bool {
        self.with(|parser| parser.screen().alternate_screen())
    }

    /// What stands on the screen.
    pub fn text(&self) -> String {
        self.with(|parser| parser.screen().contents())
    }

    /// Does something with the screen.
    pub fn with<T>(&self, mut each: impl FnMut(&mut vt100::Parser) -> T) -> T {
        each(&mut self.screen.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Waits until the screen is as expected.
    pub fn until(&self, what: &str, mut is_so: impl FnMut(&str) -> bool) -> String {
        let began = Instant::now();
        loop {
            let text = self.text();
            if is_so(&text) {
                return text;
            }
            assert!(began.elapsed() < PATIENCE, "waited in vain until {what}\n{text}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Waits until a text stands on the screen.
    pub fn shows(&self, text: &str) -> String {
        self.until(&format!("the screen shows {text:?}"), |screen| screen.contains(text))
    }

    /// Waits until the program has ended, and everything that it wrote stands on the screen.
    pub fn finished(&mut self) -> ExitStatus {
        let status = self.ended();
        // With the last descriptor of its side gone, reading ends after what was written.
        drop(self.desk.take());
        self.reader.take().into_iter().for_each(|reader| drop(reader.join()));
        status
    }

    /// Waits until the program has ended.
    pub fn ended(&mut self) -> ExitStatus {
        let began = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(began.elapsed() < PATIENCE, "the program does not end\n{}", self.text());
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn some(n: u16) -> NonZero<u16> {
    NonZero::new(n).unwrap()
}

/// Ends with the program, when nobody has the terminal open any more.
fn read_into(screen: Arc<Mutex<vt100::Parser>>, mut hand: File) -> JoinHandle<()> {
    std::thread::spawn(move || {
        let mut bytes = [0; 4096];
        while let Ok(n) = hand.read(&mut bytes) {
            if n == 0 {
                return;
            }
            screen.lock().unwrap_or_else(PoisonError::into_inner).process(&bytes[..n]);
        }
    })
}

//! The loop: keys, signals, answers and changes come in on one channel; the model says what follows, and it is done.
//!
//! It deliberately decides nothing of what is shown.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use ratatui::crossterm::event::{self, Event, KeyEvent};
use tokio::sync::mpsc::{Receiver, Sender, channel};

use crate::clock::Ticks;
use crate::os::signals::{self, AtTerminal};

use super::super::act::in_words;
use super::super::desk::Desk;
use super::super::error::OperatorError;
use super::super::vigil::{Vigil, Woken};
use super::acts::{Acts, Deed, Said, perform};
use super::gather::Gather;
use super::keys;
use super::model::{Model, Wish};
use super::terminal::Screen;
use super::view::{self, paint::Paint};

/// How long nothing is looked at, at most.
const SLOW: Duration = Duration::from_secs(1);
/// How long nothing is looked at, at least: an agent may write a thousand lines a second.
const QUICK: Duration = Duration::from_millis(250);
/// Words that wait to be heard.
const QUEUE: usize = 256;

/// What comes from outside.
enum Word {
    Key(KeyEvent),
    Resized,
    Signal(AtTerminal),
    Said(Said),
    /// The terminal is gone.
    Gone,
}

/// Whether it goes on.
enum Next {
    Go,
    End,
}

/// Shows the screen until it is left.
pub(super) fn run(desk: &Desk, acts: Arc<dyn Acts>, paint: Paint) -> Result<(), OperatorError> {
    let mut gather = Gather::new(desk);
    let model = Model::new(gather.look(None)?);
    let (tell, told) = channel(QUEUE);
    let failed = |error| OperatorError::io("take", "the terminal".as_ref())(error);
    let vigil = Vigil::start()?;
    let screen = Screen::enter().map_err(failed)?;
    listen(&tell).map_err(failed)?;
    let mut shell =
        Shell { desk, acts, paint, gather, model, screen, vigil, tell, told, looked: desk.clock.ticks() };
    shell.turn()
}

struct Shell<'a> {
    desk: &'a Desk,
    acts: Arc<dyn Acts>,
    paint: Paint,
    gather: Gather,
    model: Model,
    screen: Screen,
    vigil: Vigil,
    tell: Sender<Word>,
    told: Receiver<Word>,
    looked: Ticks,
}

impl Shell<'_> {
    fn turn(&mut self) -> Result<(), OperatorError> {
        let mut due = self.looked;
        loop {
            if self.desk.clock.ticks() >= due {
                self.look();
                due = self.looked.plus(SLOW);
            }
            let before = self.model.subject();
            self.draw()?;
            let left = due.since(self.desk.clock.ticks());
            // Once something changed the next look is soon, and nothing more has to be told until then.
            let woken = if left <= QUICK {
                self.vigil.listen_only_to(left, &mut self.told)
            } else {
                self.vigil.wait_or(left, &mut self.told)
            };
            match woken {
                Woken::Word(word) => {
                    if let Next::End = self.hear(word)? {
                        return Ok(());
                    }
                }
                Woken::Changed => due = due.min(self.looked.plus(QUICK)),
                Woken::Nothing => {}
            }
            if self.model.subject() != before {
                due = self.desk.clock.ticks();
            }
        }
    }

    fn look(&mut self) {
        let subject = self.model.subject();
        self.vigil.listen(self.gather.folders(subject.as_deref()));
        match self.gather.look(subject.as_deref()) {
            Ok(scene) => self.model.see(scene),
            // The last scene stays, and the next look may find more.
            Err(error) => self.model.hear(Said::refused(in_words(&error))),
        }
        self.looked = self.desk.clock.ticks();
    }

    fn draw(&mut self) -> Result<(), OperatorError> {
        let (model, paint) = (&self.model, self.paint);
        let drawn = self.screen.terminal().draw(|frame| view::draw(frame, model, paint));
        drawn.map(drop).map_err(failed)
    }

    fn hear(&mut self, word: Word) -> Result<Next, OperatorError> {
        match word {
            Word::Key(key) => return self.key(key),
            Word::Said(said) => {
                self.model.hear(said);
                self.look();
            }
            Word::Signal(AtTerminal::Suspend) => self.suspend()?,
            Word::Signal(AtTerminal::Continue) => self.screen.renew().map_err(failed)?,
            Word::Signal(AtTerminal::Stop) | Word::Gone => return Ok(Next::End),
            Word::Resized => {}
        }
        Ok(Next::Go)
    }

    fn key(&mut self, key: KeyEvent) -> Result<Next, OperatorError> {
        let Some(action) = keys::action(self.model.ear(), key) else { return Ok(Next::Go) };
        let size = self.screen.terminal().size().map_err(failed)?;
        let reach = view::reach(&self.model, (size.width, size.height));
        (self.model.page, self.model.reach) = (reach.page, reach.text);
        match self.model.take(action) {
            None => {}
            Some(Wish::Quit) => return Ok(Next::End),
            Some(Wish::Suspend) => self.suspend()?,
            Some(Wish::Redraw) => self.screen.redraw().map_err(failed)?,
            Some(Wish::Do(deed)) => self.start(deed),
        }
        Ok(Next::Go)
    }

    /// Does it beside the screen: an answer may take its time.
    fn start(&mut self, deed: Deed) {
        self.model.hear(Said::done(format!("{} …", deed.words())));
        let (acts, tell) = (Arc::clone(&self.acts), self.tell.clone());
        let act = move || drop(tell.blocking_send(Word::Said(perform(&*acts, &deed))));
        if let Err(error) = std::thread::Builder::new().name("deed".to_owned()).spawn(act) {
            self.model.hear(Said::refused(format!("no thread could be started for it: {error}")));
        }
    }

    fn suspend(&mut self) -> Result<(), OperatorError> {
        self.screen.without(signals::stop_here).map_err(failed)
    }
}

fn failed(error: io::Error) -> OperatorError {
    OperatorError::io("draw on", "the terminal".as_ref())(error)
}

/// Starts the two threads that listen to keys and to signals; they end with the program.
fn listen(tell: &Sender<Word>) -> io::Result<()> {
    let of_signals = tell.clone();
    signals::at_terminal(move |signal| of_signals.blocking_send(Word::Signal(signal)).is_ok())?;
    let of_keys = tell.clone();
    let read = move || {
        loop {
            let word = match event::read() {
                Ok(Event::Key(key)) => Word::Key(key),
                Ok(Event::Resize(..)) => Word::Resized,
                Ok(Event::FocusGained | Event::FocusLost | Event::Mouse(_) | Event::Paste(_)) => continue,
                Err(_) => Word::Gone,
            };
            let is_over = matches!(word, Word::Gone);
            if of_keys.blocking_send(word).is_err() || is_over {
                return;
            }
        }
    };
    std::thread::Builder::new().name("keys".to_owned()).spawn(read).map(drop)
}

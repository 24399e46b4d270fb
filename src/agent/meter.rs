//! What a turn has used while it goes on, by what the CLI prints as the API tells it.
//!
//! A message is told of several times: when it begins (`message_start`), with each of its blocks, and when it ends
//! (`message_delta`), each time with its count so far. So the largest count of each message stands, and messages add up.
//! The end of the turn says what it used in all, and takes the place of this sum; a turn that was cut short may say less
//! than was used, and one that was killed says nothing.

use crate::task::Tokens;

/// The messages that are told apart at once: as many subagents speak at a time, and more.
const OPEN_MAX: usize = 64;

/// What one line says of a message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Metered {
    /// The message; `None` where the line does not say, which is then about the one that was told of last.
    pub message: Option<String>,
    /// What it has used so far.
    pub tokens: Tokens,
    /// Whether it begins here: another one of the same name is over.
    pub begins: bool,
}

/// What the messages of one turn have used.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Meter {
    over: Tokens,
    open: Vec<(Option<String>, Tokens)>,
}

impl Meter {
    /// Takes a line into account.
    pub fn read(&mut self, said: &Metered) {
        let at = match &said.message {
            None => self.open.len().checked_sub(1),
            known @ Some(_) => self.open.iter().position(|(message, _)| message == known),
        };
        if let Some(at) = at {
            let mut entry = self.open.remove(at);
            if said.begins {
                self.over = self.over.plus(std::mem::take(&mut entry.1));
            }
            entry.1 = entry.1.most(said.tokens);
            self.open.push(entry);
            return;
        }
        if self.open.len() >= OPEN_MAX {
            let (_, tokens) = self.open.remove(0);
            self.over = self.over.plus(tokens);
        }
        self.open.push((said.message.clone(), said.tokens));
    }

    /// All of it.
    pub fn sum(&self) -> Tokens {
        self.open.iter().map(|(_, tokens)| *tokens).fold(self.over, Tokens::plus)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(message: Option<&str>, input: u64, output: u64) -> Metered {
        let tokens = Tokens { input, output, ..Tokens::default() };
        Metered { message: message.map(str::to_owned), tokens, begins: false }
    }

    #[test]
    fn a_message_counts_once_however_often_it_is_told_of() {
        let mut meter = Meter::default();
        for (message, input, output) in
            [(Some("a"), 10, 1), (Some("a"), 10, 1), (None, 0, 50), (Some("b"), 20, 1), (Some("a"), 10, 40)]
        {
            meter.read(&said(message, input, output));
        }
        let Tokens { input, output, .. } = meter.sum();
        assert_eq!((input, output), (30, 51));
    }

    #[test]
    fn a_message_that_begins_is_another_one_whatever_it_is_called() {
        let mut meter = Meter::default();
        for _ in 0..3 {
            meter.read(&Metered { begins: true, ..said(Some("a"), 10, 1) });
            meter.read(&said(Some("a"), 10, 5));
        }
        assert_eq!((meter.open.len(), meter.sum().counted()), (1, 45));
    }

    #[test]
    fn memory_is_bounded_and_nothing_is_lost() {
        let mut meter = Meter::default();
        for n in 0..1000 {
            meter.read(&said(Some(&n.to_string()), 1, 1));
        }
        assert_eq!((meter.open.len(), meter.sum().counted()), (OPEN_MAX, 2000));
    }
}

//! What the stand-in is told to do: the first line of its prompt.
//!
//! ```text
//! fake: write file=a.txt text=hello; gate=/tmp/g; succeed text=done | succeed text=after the crash
//! ```
//!
//! Steps are parted by `;` and done in order. After a `|` stands what the next process of the same conversation does;
//! the last such part is the one for all that follow. `text=` takes the rest of its step. A prompt that does not
//! begin with `fake:` is answered with `heard: <its first line>`.
//!
//! | step | what is done |
//! |---|---|
//! | `succeed [text=T]` | says T and ends the turn well |
//! | `result [text=T]` | the same, but the steps go on: `result; die`, `result; hang stubborn` |
//! | `say text=T`, `env name=N`, `cwd` | says T, a variable's value, the working directory |
//! | `tool name=N text=T`, `tool-done` | a tool begins, and ends |
//! | `fail turns\|budget\|long\|refusal\|error` | ends the turn badly |
//! | `api status=S [error=E]` | the API fails: retries, then a bad result, as recorded |
//! | `api-wait status=S [error=E]` | the API fails, and it waits before another try, for good |
//! | `denied [tool=N]` | a tool is denied, and the turn ends well |
//! | `hang` | nothing, until an interrupt; `hang stubborn` does not hear that either |
//! | `gate=P` | waits until P exists |
//! | `ignore-term`, `stopped` | SIGTERM does nothing from here on; stops itself (SIGSTOP) |
//! | `die [signal=S]`, `exit code=C` | ends at once, by a signal (9) or a status |
//! | `lose-first-thread` | its first thread ends, and the others go on |
//! | `tear` | half a result line, then SIGKILL |
//! | `flood n=N [bytes=B]`, `line bytes=B` | many lines, one long line |
//! | `bad-utf8`, `garbage` | a line that is no text, or no JSON |
//! | `raw text=T` | T as it is, with `\e`, `\n`, `\r`, `\a`, `\u{…}` and `%3B` for what a script cannot hold; `raw stderr text=T` |
//! | `pour bytes=B [lines] [stderr]` | so many bytes, as fast as the disk takes them, as lines of 64 KiB or as one |
//! | `cut bytes=B` | makes its own output file B bytes long, which cuts it short or leaves a hole |
//! | `overwrite text=T` | writes T over the beginning of its own output |
//! | `stderr text=T` | a line on standard error |
//! | `write file=F text=T`, `append file=F text=T` | a file |
//! | `cost usd=C` | what the session has cost from here on grows by C a turn (0.01 without it) |
//! | `grandchild [setsid] [double] [noterm] [stdout [flood]] [noenv]` | leaves a process behind that sleeps, or prints without end; its pid is logged |
//! | `use in=N out=M` | a message that has used so many tokens; the end of the turn tells of 1000 and 50 all the same |
//! | `eat mib=N [apart]` | holds so much memory from here on; `apart`: a process of its own does, in a session of its own |
//! | `listen` | waits for the next message and says `heard: <it>` |
//! | `steer` | waits for a message and goes on with it in the same turn: says `steered: <it>` |
//! | `mute`, `drain` | says nothing of what becomes of messages; waits until the input ends |
//! | `run text=C` | a tool that runs the shell command C; its output and status are logged |
//! | `refuse [code=C] [text=T]` | as the first step: ends before it prints anything, like a bad flag |

/// One step, in words and `key=value` pairs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    /// The first word.
    pub(crate) verb: String,
    /// The other words without `=`.
    pub(crate) words: Vec<String>,
    pairs: Vec<(String, String)>,
}

impl Step {
    fn parse(text: &str) -> Option<Self> {
        let (head, tail) = match text.split_once("text=") {
            Some((head, tail)) => (head, Some(tail)),
            None => (text, None),
        };
        let mut step = Self { verb: String::new(), words: Vec::new(), pairs: Vec::new() };
        for word in head.split_whitespace() {
            match word.split_once('=') {
                Some((key, value)) => {
                    step.pairs.push((key.to_owned(), value.to_owned()));
                    if step.verb.is_empty() {
                        key.clone_into(&mut step.verb);
                    }
                }
                None if step.verb.is_empty() => word.clone_into(&mut step.verb),
                None => step.words.push(word.to_owned()),
            }
        }
        if let Some(tail) = tail {
            step.pairs.push(("text".to_owned(), tail.trim().to_owned()));
        }
        (!step.verb.is_empty()).then_some(step)
    }

    /// The value of a key.
    pub(crate) fn value(&self, key: &str) -> Option<&str> {
        self.pairs.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
    }

    /// The value of a key, or another one.
    pub(crate) fn or<'a>(&'a self, key: &str, otherwise: &'a str) -> &'a str {
        self.value(key).unwrap_or(otherwise)
    }

    /// The value of a key as a number.
    pub(crate) fn number(&self, key: &str, otherwise: u64) -> u64 {
        self.value(key).and_then(|value| value.parse().ok()).unwrap_or(otherwise)
    }

    /// Whether a word is there.
    pub(crate) fn has(&self, word: &str) -> bool {
        self.words.iter().any(|known| known == word)
    }
}

/// Whether a prompt is a script.
pub(crate) fn is_script(prompt: &str) -> bool {
    prompt.trim_start().starts_with("fake:")
}

/// The steps of the `process`th process (from 0) of a conversation; none if the prompt is no script.
pub(crate) fn steps(prompt: &str, process: usize) -> Vec<Step> {
    let first = prompt.trim_start().lines().next().unwrap_or_default();
    let Some(script) = first.strip_prefix("fake:") else { return Vec::new() };
    let parts: Vec<&str> = script.split('|').collect();
    let part = parts.get(process).or(parts.last()).copied().unwrap_or_default();
    part.split(';').filter_map(Step::parse).collect()
}

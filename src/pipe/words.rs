//! A line from a person or a program, as a command.
//!
//! Words are for people (`pause`, `tell hello use French`), JSON is for programs (`{"op":"pause"}`). Both end in one
//! [`Request`]; [`Request::to_line`] is the way back. A field that the op does not know, a word too many and a field of the
//! wrong type are errors: what is not understood exactly is not done by halves.

use std::fmt;

use serde_json::{Map, Value};

use crate::config::nearest;
use crate::task::sound;
use crate::task::text::shown;

/// The longest mark of a caller, in bytes.
const ID_MAX: usize = 128;

macro_rules! ops {
    ($($name:ident, $word:literal, $doc:literal;)+) => {
        /// What can be asked for.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Op {
            $(#[doc = $doc] $name,)+
        }

        impl Op {
            /// Every op.
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];

            /// The word on the pipe.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $word,)+ }
            }
        }
    };
}

ops! {
    Ping, "ping", "An answer.";
    Status, "status", "How the worker is.";
    Pause, "pause", "To take no new tasks until [`Op::Resume`].";
    Resume, "resume", "To take tasks again.";
    Drain, "drain", "To finish what runs, then to stop.";
    Stop, "stop", "To stop now.";
    Cancel, "cancel", "To end a task for good.";
    Retry, "retry", "To try a task again.";
    Hold, "hold", "Not to take a waiting task.";
    Release, "release", "To take it after all.";
    Submit, "submit", "A new task.";
    Tell, "tell", "A message to a running agent.";
    Interrupt, "interrupt", "To end what an agent is doing right now.";
    Reload, "reload", "To reopen logs and to read the configuration again.";
    LogLevel, "log-level", "To log more, or less.";
    Progress, "progress", "An agent's own report.";
}

impl Op {
    /// The fields that it knows, besides those of every command; those that it must have come first.
    const fn fields(self) -> (&'static [&'static str], &'static [&'static str]) {
        match self {
            Self::Ping | Self::Status | Self::Resume | Self::Drain | Self::Stop | Self::Reload => (&[], &[]),
            Self::Pause => (&[], &["reason"]),
            Self::Cancel | Self::Hold => (&["task"], &["reason"]),
            Self::Release => (&["task"], &[]),
            Self::Submit => (&["spec"], &[]),
            Self::Tell => (&["task", "text"], &[]),
            Self::Interrupt | Self::Retry => (&["task"], &["text"]),
            Self::LogLevel => (&["level"], &[]),
            Self::Progress => (&["text"], &[]),
        }
    }

    fn of(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|op| op.as_str() == word)
    }
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A command. Which fields are there depends on the op: those that it must have are.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// What is asked for.
    pub op: Op,
    /// The caller's own mark, which comes back in the answer.
    pub id: Option<String>,
    /// Who asks, as they say.
    pub by: Option<String>,
    /// The name of the pipe on which the caller waits.
    pub reply_to: Option<String>,
    /// The task, as it was called.
    pub task: Option<String>,
    /// A message.
    pub text: Option<String>,
    /// Why.
    pub reason: Option<String>,
    /// A log level.
    pub level: Option<String>,
    /// The fields of a new task.
    pub spec: Option<Map<String, Value>>,
}

impl Request {
    /// A command with nothing but its op.
    pub const fn new(op: Op) -> Self {
        Self {
            op,
            id: None,
            by: None,
            reply_to: None,
            task: None,
            text: None,
            reason: None,
            level: None,
            spec: None,
        }
    }

    /// About a task.
    #[must_use]
    pub fn about(mut self, task: impl Into<String>) -> Self {
        self.task = Some(task.into());
        self
    }

    /// The line for a pipe, its end included. It may be longer than a pipe takes.
    pub fn to_line(&self) -> String {
        let texts = [
            ("id", &self.id),
            ("by", &self.by),
            ("reply_to", &self.reply_to),
            ("task", &self.task),
            ("text", &self.text),
            ("reason", &self.reason),
            ("level", &self.level),
        ];
        let mut object = Map::new();
        object.insert("op".to_owned(), self.op.as_str().into());
        for (name, value) in texts {
            object.extend(value.as_ref().map(|it| (name.to_owned(), Value::from(it.as_str()))));
        }
        object.extend(self.spec.clone().map(|spec| ("spec".to_owned(), Value::Object(spec))));
        format!("{}\n", Value::Object(object))
    }

    fn set(&mut self, field: &str, text: String) {
        let slot = match field {
            "id" => &mut self.id,
            "by" => &mut self.by,
            "reply_to" => &mut self.reply_to,
            "task" => &mut self.task,
            "text" => &mut self.text,
            "reason" => &mut self.reason,
            "level" => &mut self.level,
            _ => return,
        };
        *slot = Some(text);
    }
}

/// Why a line is no command.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub struct Refusal {
    /// What is wrong.
    what: String,
    /// What was probably meant.
    meant: Option<String>,
    /// The op, where that much was understood.
    pub op: Option<Op>,
    /// The caller's own mark, where it was understood.
    pub id: Option<String>,
    /// On which pipe the caller waits, where that was understood.
    pub reply_to: Option<String>,
}

impl Refusal {
    fn new(what: impl Into<String>) -> Self {
        Self { what: what.into(), meant: None, op: None, id: None, reply_to: None }
    }

    fn meaning(mut self, meant: Option<&str>) -> Self {
        self.meant = meant.map(str::to_owned);
        self
    }

    /// What was probably meant, in words.
    pub fn hint(&self) -> Option<String> {
        self.meant.as_ref().map(|meant| format!("did you mean `{meant}`?"))
    }

    /// Whether the op itself was not understood.
    pub const fn is_of_the_op(&self) -> bool {
        self.op.is_none()
    }
}

/// Understands a line, without its end. Blanks around it are nothing; an empty line is no command and no error.
pub fn parse(line: &str) -> Result<Option<Request>, Box<Refusal>> {
    let line = line.trim();
    if line.is_empty() {
        return Ok(None);
    }
    let understood = if line.starts_with('{') { from_json(line) } else { from_words(line) };
    understood.and_then(known_word).map(Some).map_err(Box::new)
}

/// The one word that `retry` may be followed by.
pub const CONTINUE: &str = "continue";

fn known_word(request: Request) -> Result<Request, Refusal> {
    match &request.text {
        Some(text) if request.op == Op::Retry && text != CONTINUE => {
            let what = format!("`retry` takes no `{}`, only `{CONTINUE}`", shown(text, 80));
            let Request { op, id, reply_to, .. } = request;
            Err(Refusal { op: Some(op), id, reply_to, ..Refusal::new(what) })
        }
        Some(_) | None => Ok(request),
    }
}

fn unknown_op(word: &str) -> Refusal {
    Refusal::new(format!("`{}` is not a command", shown(word, 80)))
        .meaning(nearest(&word.to_ascii_lowercase(), Op::ALL.iter().map(|op| op.as_str())))
}

fn from_words(line: &str) -> Result<Request, Refusal> {
    let (word, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    let op = Op::of(&word.to_ascii_lowercase()).ok_or_else(|| unknown_op(word))?;
    let mut request = Request::new(op);
    let in_op = |refusal: Refusal| Refusal { op: Some(op), ..refusal };
    let mut rest = rest.trim();
    if op == Op::Submit {
        if rest.is_empty() {
            return Err(in_op(Refusal::new("`submit` needs a prompt: submit TEXT")));
        }
        request.spec = Some(Map::from_iter([("prompt".to_owned(), Value::from(rest))]));
        return Ok(request);
    }
    let (needed, known) = op.fields();
    for field in needed.iter().chain(known) {
        let is_needed = needed.contains(field);
        if rest.is_empty() && is_needed {
            let all = needed.join(" ").to_uppercase();
            return Err(in_op(Refusal::new(format!("`{op}` needs more: {op} {all}"))));
        }
        // A message and a reason go to the end of the line.
        let (value, after) = match *field {
            "task" | "level" => rest.split_once(char::is_whitespace).unwrap_or((rest, "")),
            _ => (rest, ""),
        };
        if !value.is_empty() {
            request.set(field, value.to_owned());
        }
        rest = after.trim();
    }
    if rest.is_empty() {
        return Ok(request);
    }
    Err(in_op(Refusal::new(format!("`{op}` takes no `{}`", shown(rest, 80)))))
}

fn from_json(line: &str) -> Result<Request, Refusal> {
    let object: Map<String, Value> =
        serde_json::from_str(line).map_err(|error| Refusal::new(format!("not a JSON object: {error}")))?;
    let text = |field: &str| object.get(field).and_then(Value::as_str).map(str::to_owned);
    let id = text("id").filter(|id| id.len() <= ID_MAX);
    let op = text("op");
    let addressed = |refusal: Refusal| Refusal { id: id.clone(), reply_to: text("reply_to"), ..refusal };
    let Some(word) = op else { return Err(addressed(Refusal::new("there is no `op`, a string, in it"))) };
    let Some(op) = Op::of(&word) else { return Err(addressed(unknown_op(&word))) };
    let in_op = |refusal: Refusal| addressed(Refusal { op: Some(op), ..refusal });
    // What two readers would understand differently, such as a field that comes twice, is no command.
    sound::document(line.as_bytes()).map_err(|error| in_op(Refusal::new(error.to_string())))?;
    fields(op, object.clone()).map_err(in_op)
}

fn fields(op: Op, object: Map<String, Value>) -> Result<Request, Refusal> {
    const EVERYWHERE: [&str; 3] = ["id", "by", "reply_to"];
    let (needed, known) = op.fields();
    let mut request = Request::new(op);
    for (name, value) in object {
        let all = || needed.iter().chain(known).chain(&EVERYWHERE).copied();
        if name == "op" {
            continue;
        }
        if !all().any(|it| it == name) {
            let what = format!("`{op}` knows no field `{}`", shown(&name, 80));
            return Err(Refusal::new(what).meaning(nearest(&name, all())));
        }
        match (name.as_str(), value) {
            ("spec", Value::Object(spec)) => request.spec = Some(spec),
            ("spec", _) => return Err(Refusal::new("`spec` takes an object, the fields of a task file")),
            ("id", Value::String(id)) if id.len() > ID_MAX => {
                return Err(Refusal::new(format!("`id` takes at most {ID_MAX} bytes")));
            }
            (name, Value::String(text)) => request.set(name, text),
            (name, _) => return Err(Refusal::new(format!("`{name}` takes a string"))),
        }
    }
    let is_there = |field: &str| match field {
        "task" => request.task.is_some(),
        "text" => request.text.is_some(),
        "level" => request.level.is_some(),
        _ => request.spec.is_some(),
    };
    match needed.iter().find(|field| !is_there(field)) {
        Some(missing) => Err(Refusal::new(format!("`{op}` needs the field `{missing}`"))),
        None => Ok(request),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn understood(line: &str) -> Request {
        parse(line).unwrap().unwrap()
    }

    fn refused(line: &str) -> (String, Option<String>) {
        let refusal = parse(line).unwrap_err();
        (refusal.to_string(), refusal.hint())
    }

    #[test]
    fn words_and_json_say_the_same() {
        for (words, json) in [
            ("ping", r#"{"op":"ping"}"#),
            ("  PAUSE  ", r#"{"op":"pause"}"#),
            ("pause the disk is moved", r#"{"op":"pause","reason":"the disk is moved"}"#),
            ("cancel marie/t1", r#"{"task":"marie/t1","op":"cancel"}"#),
            ("cancel t1 not needed", r#"{"op":"cancel","task":"t1","reason":"not needed"}"#),
            ("tell t1  use  French", r#"{"op":"tell","task":"t1","text":"use  French"}"#),
            ("interrupt t1", r#"{"op":"interrupt","task":"t1"}"#),
            ("interrupt t1 look again", r#"{"op":"interrupt","task":"t1","text":"look again"}"#),
            ("retry t1 continue", r#"{"op":"retry","task":"t1","text":"continue"}"#),
            ("log-level debug", r#"{"op":"log-level","level":"debug"}"#),
            ("submit say hello", r#"{"op":"submit","spec":{"prompt":"say hello"}}"#),
        ] {
            assert_eq!(understood(words), understood(json), "{words}");
        }
    }

    #[test]
    fn what_is_asked_can_be_written_down_and_read_back() {
        for line in [
            r#"{"op":"cancel","id":"7","by":"me","reply_to":"r","task":"t","reason":"why \"not\"\n"}"#,
            r#"{"op":"submit","spec":{"prompt":"a","input":[1]}}"#,
        ] {
            let request = understood(line);
            let written = request.to_line();
            assert!(written.ends_with('\n') && written.matches('\n').count() == 1);
            assert_eq!(understood(&written), request);
        }
    }

    #[test]
    fn nothing_is_done_by_halves() {
        for (line, what) in [
            ("pause-all", "`pause-all` is not a command"),
            ("ping now", "`ping` takes no `now`"),
            ("cancel", "`cancel` needs more: cancel TASK"),
            ("tell t1", "`tell` needs more: tell TASK TEXT"),
            ("retry t1 t2", "`retry` takes no `t2`, only `continue`"),
            ("log-level", "`log-level` needs more: log-level LEVEL"),
            ("submit ", "`submit` needs a prompt: submit TEXT"),
            ("{", "not a JSON object: EOF while parsing an object at line 1 column 1"),
            (r#"{"task":"x"}"#, "there is no `op`, a string, in it"),
            (r#"{"op":7}"#, "there is no `op`, a string, in it"),
            (r#"{"op":"PING"}"#, "`PING` is not a command"),
            (r#"{"op":"cancel"}"#, "`cancel` needs the field `task`"),
            (r#"{"op":"cancel","task":7}"#, "`task` takes a string"),
            (r#"{"op":"submit","spec":"x"}"#, "`spec` takes an object, the fields of a task file"),
            (r#"{"op":"ping","op":"stop"}"#, "field `op` comes twice at line 1 column 17"),
            (
                r#"{"op":"submit","spec":{"prompt":"a","input":{"b":1,"b":2}}}"#,
                "field `b` comes twice at line 1 column 54",
            ),
            (r#"{"op":"ping"} {"op":"stop"}"#, "not a JSON object: trailing characters at line 1 column 15"),
        ] {
            assert_eq!(refused(line).0, what, "{line}");
        }
        assert_eq!(parse("   "), Ok(None));
    }

    #[test]
    fn a_slip_is_told_with_what_was_meant_and_whom_to_answer() {
        assert_eq!(refused("puase").1.unwrap(), "did you mean `pause`?");
        assert_eq!(refused(r#"{"op":"cancel","tsak":"x"}"#).1.unwrap(), "did you mean `task`?");
        let refusal = parse(r#"{"op":"cansel","id":"7","reply_to":"r","task":"x"}"#).unwrap_err();
        assert_eq!((refusal.id.as_deref(), refusal.reply_to.as_deref()), (Some("7"), Some("r")));
        assert_eq!(refusal.hint().unwrap(), "did you mean `cancel`?");
    }

    #[test]
    fn whoever_asked_is_answered_with_as_much_as_was_understood() {
        for (line, op, id) in [
            ("fly", None, None),
            ("cancel", Some(Op::Cancel), None),
            ("ping now", Some(Op::Ping), None),
            ("submit", Some(Op::Submit), None),
            (r#"{"op":"cancel","id":"7","tsak":"x"}"#, Some(Op::Cancel), Some("7")),
            (r#"{"op":"retry","id":"7","task":"t","text":"x"}"#, Some(Op::Retry), Some("7")),
            (r#"{"id":"7","op":"fly"}"#, None, Some("7")),
        ] {
            let refusal = parse(line).unwrap_err();
            assert_eq!((refusal.op, refusal.id.as_deref()), (op, id), "{line}");
            assert_eq!(refusal.is_of_the_op(), op.is_none(), "{line}");
        }
        let back = r#"{"op":"retry","reply_to":"r","task":"t","text":"x"}"#;
        assert_eq!(parse(back).unwrap_err().reply_to.as_deref(), Some("r"));
    }

    #[test]
    fn a_mark_of_the_callers_is_as_long_as_it_may_be() {
        let line = |n: usize| format!(r#"{{"op":"ping","id":"{}"}}"#, "x".repeat(n));
        assert_eq!(understood(&line(ID_MAX)).id.unwrap().len(), ID_MAX);
        let refusal = parse(&line(ID_MAX + 1)).unwrap_err();
        assert!(refusal.to_string().contains("`id` takes at most"), "{refusal}");
        assert_eq!(refusal.id, None, "it is not repeated");
    }

    #[test]
    fn every_field_of_a_request_is_understood() {
        let said =
            understood(r#"{"op":"cancel","id":"7","by":"ana","reply_to":"r","task":"t","reason":"why"}"#);
        let texts = [said.id, said.by, said.reply_to, said.task, said.reason];
        assert_eq!(texts.map(Option::unwrap), ["7", "ana", "r", "t", "why"]);
    }
}

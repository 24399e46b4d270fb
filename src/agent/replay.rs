//! Reading a stream from its file, as one who was not there when it was written.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use super::digest::Digest;
use super::evidence::Evidence;
use super::stream::{ResultLine, StreamEvent};
use super::tail::Tail;
use super::verdict::{self, EndedBy, Ending, Judgement};
use crate::os::trouble::if_there;

/// How much of a stream is read from its start. A living one is ended long before (`max_output`); one that was made
/// longer by a hole must not keep a start busy for hours.
const BEGINNING: u64 = 512 << 20;

/// The bytes of stderr that a verdict may quote.
const STDERR_TAIL: u64 = 4096;

/// What the stream at `path` says; of one beyond all measure, its beginning and its end.
pub fn read(path: &Path) -> io::Result<Evidence> {
    let mut tail = Tail::open(path)?;
    let end = tail.size()?;
    while !tail.has_reached(end) {
        let looked = tail.look(|_| ())?;
        if !looked.more {
            break;
        }
        if tail.has_reached(BEGINNING) {
            tail.catch_up(end);
        }
    }
    tail.finish();
    Ok(tail.evidence)
}

/// How much of one stream is looked through for what was done, and of all of them: the latest is at their ends.
const DONE_OF_ONE: u64 = 32 << 20;
const DONE_OF_ALL: u64 = 128 << 20;

/// What was done, as the streams of several attempts say, the latest first. One that is not there says nothing; an error is
/// a disk that does not answer.
pub fn done(latest_first: impl IntoIterator<Item = PathBuf>) -> io::Result<Digest> {
    let mut all = Digest::default();
    let mut left = DONE_OF_ALL;
    for path in latest_first {
        if all.is_full() || left == 0 {
            all.leave_out();
            break;
        }
        let Some(mut tail) = if_there(Tail::open(&path))? else { continue };
        let end = tail.size()?;
        let mut one = Digest::default();
        if tail.pass_over(end, DONE_OF_ONE.min(left)) {
            one.leave_out();
        }
        while !tail.has_reached(end) && tail.look(|event| one.read(event))?.more {}
        left = left.saturating_sub(end.min(DONE_OF_ONE));
        all.precede(one);
    }
    Ok(all)
}

/// The conversation that a stream says it is of, from its beginning; `None` if it does not come to that.
pub fn session(path: &Path) -> io::Result<Option<String>> {
    let mut said = None;
    Tail::open(path)?.look(|event| {
        if let (StreamEvent::Init(init), None) = (event, &said) {
            said.clone_from(&init.session_id);
        }
    })?;
    Ok(said)
}

/// The verdict on a stream whose agent is gone and whose exit status nobody saw; `known` is what is known besides. A turn
/// that ends aborted was interrupted by somebody: a watcher that was killed in the middle of its own orderly stop has asked
/// for it, and the task is not charged.
pub fn judge_stream(evidence: &Evidence, stderr: &Path, known: Ending<'_>) -> Judgement {
    let aborted = evidence.last_result.as_ref().is_some_and(ResultLine::is_aborted);
    // One that went on after it did so with what it was told.
    let asked = aborted && !evidence.is_in_turn;
    let ended_by = asked.then_some(EndedBy::Stop);
    let stderr_tail = stderr_tail(stderr);
    verdict::judge(evidence, &Ending { stderr_tail: &stderr_tail, ended_by, ..known })
}

/// The end of what an agent wrote to stderr, from the beginning of a line on; empty if there is nothing. Half a line
/// could be half a secret, whose other half would tell that it is one.
pub fn stderr_tail(path: &Path) -> String {
    let bytes = read_end(path).unwrap_or_default();
    let is_cut = bytes.len() as u64 > STDERR_TAIL;
    let from = if is_cut {
        bytes.iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |at| at + 1)
    } else {
        0
    };
    String::from_utf8_lossy(&bytes[from..]).trim().to_owned()
}

/// One byte more than is quoted, where there is more.
fn read_end(path: &Path) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(STDERR_TAIL + 1)))?;
    let mut bytes = Vec::new();
    file.take(STDERR_TAIL + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::super::verdict::{Interruption, Verdict};
    use super::*;
    use crate::os::durable::Durability;

    const INIT: &str = r#"{"type":"system","subtype":"init","session_id":"s"}"#;

    #[test]
    fn a_turn_that_was_interrupted_was_asked_to_end_and_one_that_was_cut_was_not() {
        let dir = tempfile::tempdir().unwrap();
        let aborted = r#"{"type":"result","subtype":"error_during_execution","is_error":true,"terminal_reason":"aborted_tools"}"#;
        for (lines, expected) in [
            (format!("{INIT}\n{aborted}\n"), Interruption::Asked),
            (format!("{INIT}\n"), Interruption::Crashed),
            (format!("{INIT}\n{aborted}\n{INIT}\n"), Interruption::Crashed),
        ] {
            let judgement = judge_stream(
                &Evidence::of(lines.as_bytes()),
                &dir.path().join("stderr.log"),
                Ending::default(),
            );
            let Verdict::Interrupted { cause, .. } = judgement.verdict else { panic!("{judgement:?}") };
            assert_eq!(cause, expected, "{lines}");
        }
    }

    #[test]
    fn what_is_quoted_of_stderr_begins_with_a_line() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("stderr.log");
        let write =
            |text: &str| crate::os::durable::write_atomic(&path, text.as_bytes(), Durability::None).unwrap();
        write("one\ntwo\n");
        assert_eq!(stderr_tail(&path), "one\ntwo");
        write(&format!("{}\nlast\n", "x".repeat(5000)));
        assert_eq!(stderr_tail(&path), "last");
        write(&"x".repeat(5000));
        assert_eq!(stderr_tail(&path), "");
    }
}

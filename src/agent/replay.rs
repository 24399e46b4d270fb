//! Reading a stream from its file, as one who was not there when it was written.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use super::evidence::Evidence;
use super::lines::LineSplitter;
use super::stream::ResultLine;
use super::verdict::{self, EndedBy, Ending, Judgement};

/// The bytes of stderr that a verdict may quote.
const STDERR_TAIL: u64 = 4096;

/// What the stream at `path` says.
pub fn read(path: &Path) -> io::Result<Evidence> {
    let mut file = File::open(path)?;
    let mut evidence = Evidence::default();
    let mut lines = LineSplitter::default();
    let mut chunk = vec![0; 64 * 1024];
    loop {
        let n = file.read(&mut chunk)?;
        if n == 0 {
            break;
        }
        lines.push(&chunk[..n], |line| {
            evidence.read(line);
        });
    }
    evidence.is_torn = lines.torn_bytes() > 0;
    Ok(evidence)
}

/// The verdict on a stream whose agent is gone and whose exit status nobody saw. A turn that ends aborted was
/// interrupted by somebody: a watcher that was killed in the middle of its own orderly stop has asked for it, and the
/// task is not charged.
pub fn judge_stream(evidence: &Evidence, stderr: &Path) -> Judgement {
    let asked = evidence.last_result.as_ref().is_some_and(ResultLine::is_aborted);
    let ended_by = asked.then_some(EndedBy::Stop);
    verdict::judge(evidence, &Ending { stderr_tail: &stderr_tail(stderr), ended_by, ..Ending::default() })
}

/// The end of what an agent wrote to stderr; empty if there is nothing.
pub fn stderr_tail(path: &Path) -> String {
    let read = || -> io::Result<Vec<u8>> {
        let mut file = File::open(path)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(STDERR_TAIL)))?;
        let mut bytes = Vec::new();
        file.take(STDERR_TAIL).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    String::from_utf8_lossy(&read().unwrap_or_default()).trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::super::verdict::{Interruption, Verdict};
    use super::*;

    const INIT: &str = r#"{"type":"system","subtype":"init","session_id":"s"}"#;

    #[test]
    fn a_turn_that_was_interrupted_was_asked_to_end_and_one_that_was_cut_was_not() {
        let dir = tempfile::tempdir().unwrap();
        let aborted = r#"{"type":"result","subtype":"error_during_execution","is_error":true,"terminal_reason":"aborted_tools"}"#;
        for (lines, expected) in [
            (format!("{INIT}\n{aborted}\n"), Interruption::Asked),
            (format!("{INIT}\n"), Interruption::Crashed),
        ] {
            let judgement = judge_stream(&Evidence::of(lines.as_bytes()), &dir.path().join("stderr.log"));
            let Verdict::Interrupted { cause, .. } = judgement.verdict else { panic!("{judgement:?}") };
            assert_eq!(cause, expected, "{lines}");
        }
    }
}

//! Reading a stream from its file, as one who was not there when it was written.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use super::evidence::Evidence;
use super::lines::LineSplitter;
use super::verdict::{self, Ending, Judgement};

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

/// The verdict on a stream whose agent is gone and whose exit status nobody saw.
pub fn judge_stream(evidence: &Evidence, stderr: &Path) -> Judgement {
    verdict::judge(evidence, &Ending { stderr_tail: &stderr_tail(stderr), ..Ending::default() })
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

//! Keeping a run's history short: a fault that lasts for weeks adds a few lines every few minutes.
//!
//! The beginning and the end stay; a line between them says that something was left out. Only the holder of its task
//! writes a history, so nobody appends meanwhile.

use std::io;
use std::path::Path;

use super::{Event, Line};
use crate::os::durable::{self, Durability};

/// Beyond so many bytes the middle of a run's history is left out.
const HISTORY_MAX: u64 = 1024 * 1024;
/// How much of its beginning and of its end is kept then.
const HISTORY_KEPT: usize = 256 * 1024;

/// Leaves out the middle of the history at `path` if it has grown too long; `latest` is what was appended last.
pub(super) fn fold(path: &Path, latest: &[u8], durability: Durability) -> io::Result<()> {
    if std::fs::symlink_metadata(path)?.len() <= HISTORY_MAX {
        return Ok(());
    }
    let Some(latest) =
        latest.split(|c| *c == b'\n').find_map(|line| serde_json::from_slice::<Line>(line).ok())
    else {
        return Ok(());
    };
    let text = std::fs::read(path)?;
    let head = text[..HISTORY_KEPT].iter().rposition(|c| *c == b'\n').map_or(0, |at| at + 1);
    let tail_from = text.len() - HISTORY_KEPT;
    let tail = text[tail_from..].iter().position(|c| *c == b'\n').map_or(text.len(), |at| tail_from + at + 1);
    let mut note = Line::new(latest.time, latest.worker, Event::Folded);
    note.run_id = latest.run_id;
    note.reason = Some("lines were left out here; the journal has them".to_owned());
    let mut kept = without_note(&text[..head]).to_vec();
    serde_json::to_writer(&mut kept, &note)?;
    kept.push(b'\n');
    kept.extend_from_slice(&text[tail..]);
    durable::write_atomic(path, &kept, durability)
}

/// The beginning of a history without the note that an earlier turn left at its end: one stands for all.
fn without_note(head: &[u8]) -> &[u8] {
    let last = head.strip_suffix(b"\n").unwrap_or(head);
    let from = last.iter().rposition(|c| *c == b'\n').map_or(0, |at| at + 1);
    let is_note = serde_json::from_slice::<Line>(&last[from..]).is_ok_and(|line| line.event == Event::Folded);
    if is_note { &head[..from] } else { head }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::{Journal, read};
    use super::*;
    use crate::layout::Layout;
    use crate::task::{RunId, WorkerName};

    #[test]
    fn a_history_of_weeks_keeps_its_beginning_and_its_end_and_says_what_it_left_out() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::new(dir.path());
        let marie: WorkerName = "marie".parse().unwrap();
        fs::create_dir_all(layout.journal_dir(&marie)).unwrap();
        fs::create_dir_all(layout.artifacts()).unwrap();
        let journal = Journal::new(layout.clone(), marie);
        let run = RunId::mint();
        let path = layout.run(&run).history();
        let mut line =
            Line::new("2026-03-01T10:00:00Z".parse().unwrap(), "marie".parse().unwrap(), Event::Claimed);
        line.run_id = Some(run);
        let (mut n, mut folds) = (0, 0);
        let mut before = 0;
        while folds < 3 {
            n += 1;
            line.reason = Some(format!("attempt {n} {}", "x".repeat(200)));
            journal.append(&line).unwrap();
            let bytes = fs::metadata(&path).unwrap().len();
            assert!(bytes <= HISTORY_MAX);
            folds += u32::from(bytes < before);
            before = bytes;
        }
        let lines = read(&path).unwrap();
        let reason = |line: &Line| line.reason.clone().unwrap();
        assert!(
            reason(&lines[0]).starts_with("attempt 1 ")
                && reason(lines.last().unwrap()).contains(&format!("attempt {n} "))
        );
        assert_eq!(
            lines.iter().filter(|line| line.event == Event::Folded).count(),
            1,
            "one that stays, for all"
        );
    }
}

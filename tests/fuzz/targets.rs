//! What reads what others wrote, each with what must hold of anything it is given: it says the same of the same bytes, and
//! what it accepts it accepts again when it is written out.
//!
//! It deliberately does not know where the bytes come from.

use std::path::Path;

use agent_worker::agent::{Ending, Evidence, LineSplitter, verdict};
use agent_worker::clock::Ticks;
use agent_worker::config::{ConfigFile, Durability};
use agent_worker::pack::{self, Pack};
use agent_worker::pipe::{framing::Framer, words};
use agent_worker::recovery::ramp::Record;
use agent_worker::task::{FileName, TaskFile};
use agent_worker::telemetry::heartbeat::Heartbeat;
use agent_worker::telemetry::state_file::State;

/// Reads in pieces that end anywhere must not differ from one read of all.
const PIECES: [usize; 4] = [1, 7, 4096, usize::MAX];

fn pieces(bytes: &[u8], size: usize) -> impl Iterator<Item = &[u8]> {
    bytes.chunks(size.min(bytes.len().max(1)))
}

/// A task file.
pub(crate) fn task(bytes: &[u8]) {
    let (first, again) = (TaskFile::parse(bytes), TaskFile::parse(bytes));
    let told = |read: &Result<TaskFile, _>| format!("{read:?}");
    assert_eq!(told(&first), told(&again), "the same bytes, read twice");
    let Ok(task) = first else { return };
    let file: FileName = "x.json".parse().expect("a file name");
    let written = task.to_bytes();
    let read = TaskFile::parse(&written).expect("what was accepted is accepted again");
    assert_eq!((&read.spec, read.name(&file)), (&task.spec, task.name(&file)));
    assert_eq!(String::from_utf8_lossy(&read.to_bytes()), String::from_utf8_lossy(&written), "written twice");
    let fields = |bytes| serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(bytes);
    let (before, after) = (fields(bytes).expect("one document"), fields(&written).expect("one document"));
    for (name, value) in &before {
        let is_ours = agent_worker::task::Record::FIELDS.contains(&name.as_str());
        assert!(is_ours || after.get(name).is_some(), "`{name}` got lost: {value}");
    }
    // A new life has nothing of the last one.
    let mut anew = read;
    anew.forget_record();
    let bare = TaskFile::parse(&anew.to_bytes()).expect("a task without its record");
    assert_eq!((bare.spec, bare.record), (task.spec, agent_worker::task::Record::default()));
}

/// A JSON value, as the input of a task: whether it was taken.
pub(crate) fn taken_as_input(value: &[u8]) -> bool {
    let whole = [&b"{\"prompt\":\"x\",\"input\":"[..], value, b",\"theirs\":", value, b"}"].concat();
    task(&whole);
    let Ok(read) = TaskFile::parse(&whole) else { return false };
    let written = read.to_bytes();
    let spelling = value.trim_ascii();
    assert!(written.windows(spelling.len().max(1)).any(|it| it == spelling), "it is spelled anew");
    true
}

/// Lines of a pipe.
pub(crate) fn line(bytes: &[u8]) {
    let framed = |size| {
        let (mut framer, mut lines) = (Framer::default(), Vec::new());
        pieces(bytes, size).for_each(|piece| framer.feed(piece, Ticks::default(), &mut lines));
        lines
    };
    let lines = framed(usize::MAX);
    for size in PIECES {
        assert_eq!(framed(size), lines, "read {size} bytes at a time");
    }
    for line in lines.into_iter().flatten() {
        let said = |line: &str| words::parse(line).map_err(|refusal| format!("{refusal:?}"));
        assert_eq!(said(&line), said(&line));
        assert_eq!(said(&format!("  {line} ")), said(&line), "blanks around it are nothing");
    }
}

/// What an agent prints.
pub(crate) fn stream(bytes: &[u8]) {
    let heard = |size| {
        let (mut splitter, mut evidence) = (LineSplitter::with_cap(32 << 10), Evidence::default());
        let mut events = Vec::new();
        for piece in pieces(bytes, size) {
            splitter.push(piece, |line| events.push(format!("{:?}", evidence.read(line))));
        }
        (evidence, events, splitter.torn_bytes())
    };
    let whole = heard(usize::MAX);
    for size in PIECES {
        assert_eq!(heard(size), whole, "read {size} bytes at a time");
    }
    let known = Ending::default();
    assert_eq!(verdict::judge(&whole.0, &known), verdict::judge(&whole.0, &known));
}

/// A pack.
pub(crate) fn pack(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let read = pack::parse(&text);
    assert_eq!(format!("{:?}", pack::parse(&text)), format!("{read:?}"));
    match read {
        Ok(loaded) => {
            let kept = serde_json::to_string(&loaded.pack).expect("a pack in JSON");
            let again: Pack = serde_json::from_str(&kept).expect("the pack of an attempt");
            assert_eq!(again, loaded.pack, "an attempt is judged by the pack it was started with");
        }
        Err(faults) => assert!(!faults.is_empty(), "it is wrong, and nothing is"),
    }
}

/// The configuration.
pub(crate) fn config(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let read = || ConfigFile::parse(Path::new("/c.toml"), &text).map_err(|error| error.to_string());
    assert_eq!(format!("{:?}", read()), format!("{:?}", read()));
}

/// A heartbeat.
pub(crate) fn heartbeat(bytes: &[u8]) {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("heartbeat.json");
    agent_worker::os::durable::write_atomic(&path, bytes, Durability::None).expect("it is written");
    let Some(beat) = Heartbeat::read(&path) else { return };
    beat.write(&path).expect("it is written again");
    assert_eq!(Heartbeat::read(&path), Some(beat));
}

/// `state.json`, which a runbook may write.
pub(crate) fn state(bytes: &[u8]) {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("state.json");
    let state = State::parse(bytes);
    state.write(&path, Durability::None).expect("any state can be written");
    assert_eq!(State::read(&path).expect("it is there"), Some(state));
}

/// `resume.json`.
pub(crate) fn resume(bytes: &[u8]) {
    let Some(record) = Record::parse(bytes) else { return };
    assert_eq!(Record::parse(&record.to_bytes()), Some(record.clone()));
    // Times that nobody could wait for are still times.
    let waits = (record.terms.delay(), record.terms.leaderless(), record.summary());
    assert!(waits.0 <= std::time::Duration::MAX, "{waits:?}");
}

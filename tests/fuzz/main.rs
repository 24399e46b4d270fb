//! Bytes that nobody meant, for everything that reads what others wrote: a kept corpus, and what a seed makes of it.
//!
//! Nothing panics, nothing hangs, memory stays in proportion, and the rest is said in `targets`. In the gate each target
//! has a second; `scripts/fuzz.sh` gives it minutes. `FUZZ_SEED` says which inputs, `FUZZ_SECONDS` for how long.

#[path = "../support/http.rs"]
mod http;
mod mutate;
mod served;
mod targets;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use mutate::Dice;
use peak_alloc::PeakAlloc;

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// One at a time: memory is counted for all of them together.
static TURN: Mutex<()> = Mutex::new(());

/// How long one input may keep its reader, on a busy machine.
const PATIENCE: Duration = Duration::from_mins(1);

/// What a reader may take, in bytes: some for itself, and some for each byte that it is given.
const ITSELF: usize = 4 << 20;
const EACH: usize = 512;

fn corpus(kinds: &[&str]) -> Vec<(String, Vec<u8>)> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus");
    let mut all = Vec::new();
    for kind in kinds {
        for entry in std::fs::read_dir(dir.join(kind)).expect("a folder of the corpus") {
            let path = entry.expect("a file of the corpus").path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            all.push((name, std::fs::read(path).expect("a file of the corpus")));
        }
    }
    all.sort();
    all
}

/// A number that the environment may say.
#[expect(clippy::disallowed_methods, reason = "the harness is told from outside what the gate does not ask")]
fn told(name: &str, usual: u64) -> u64 {
    std::env::var(name).ok().and_then(|it| it.parse().ok()).unwrap_or(usual)
}

/// Gives `target` the corpus, and then what a seed makes of it, as long as there is time.
#[expect(clippy::panic, clippy::print_stdout, reason = "half a test, that all of them share")]
fn fuzz(name: &'static str, kinds: &[&str], target: fn(&[u8])) {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let (kept, seed) = (corpus(kinds), told("FUZZ_SEED", 1));
    let time = Duration::from_secs(told("FUZZ_SECONDS", 1));
    let (give, take) = mpsc::channel::<Vec<u8>>();
    let (answer, answers) = mpsc::channel();
    let reader = std::thread::spawn(move || {
        for bytes in take {
            let done = catch_unwind(AssertUnwindSafe(|| measured(&bytes, target)));
            if answer.send(done.map_err(|_| bytes)).is_err() {
                return;
            }
        }
    });
    let tries = |bytes: Vec<u8>| {
        give.send(bytes.clone()).expect("a reader");
        match answers.recv_timeout(PATIENCE) {
            Ok(Ok(())) => {}
            Ok(Err(bytes)) => panic!("{name}: seed {seed}: {}", keep(name, &bytes)),
            Err(RecvTimeoutError::Timeout) => panic!("{name} hangs: seed {seed}: {}", keep(name, &bytes)),
            Err(RecvTimeoutError::Disconnected) => {
                panic!("{name}: the reader is gone: {}", keep(name, &bytes))
            }
        }
    };
    for (_, bytes) in &kept {
        tries(bytes.clone());
    }
    let (mut dice, mut count) = (Dice::of(seed), 0_u64);
    #[expect(clippy::disallowed_methods, reason = "it ends when its time is over; nothing is decided by it")]
    let began = Instant::now();
    while began.elapsed() < time {
        tries(mutate::input(&kept, &mut dice));
        count += 1;
    }
    drop(give);
    reader.join().expect("the reader ends");
    println!("{name}: {} of the corpus, {count} made with seed {seed}", kept.len());
}

/// Reads with an eye on memory.
fn measured(bytes: &[u8], target: fn(&[u8])) {
    let before = MEMORY.current_usage();
    MEMORY.reset_peak_usage();
    target(bytes);
    let taken = MEMORY.peak_usage().saturating_sub(before);
    assert!(
        taken <= ITSELF + EACH * bytes.len(),
        "{taken} bytes of memory for {} that were read",
        bytes.len()
    );
}

/// Puts an input where it can be looked at, and tried again.
#[expect(clippy::disallowed_methods, reason = "an input of a test that failed, for whoever looks at it")]
fn keep(name: &str, bytes: &[u8]) -> String {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("fuzz-{name}"));
    std::fs::write(&path, bytes).ok();
    format!("the input is in {}", path.display())
}

#[test]
fn any_task_file_is_understood_or_refused() {
    fuzz("task", &["task", "json"], targets::task);
}

#[test]
fn any_line_of_a_pipe_is_a_command_or_none() {
    fuzz("line", &["line", "json"], targets::line);
}

#[test]
fn any_output_of_an_agent_is_judged_the_same_however_it_arrives() {
    fuzz("stream", &["stream", "json"], targets::stream);
}

#[test]
fn any_pack_is_whole_or_none() {
    fuzz("pack", &["pack", "config"], targets::pack);
}

#[test]
fn any_configuration_is_taken_or_refused() {
    fuzz("config", &["config", "pack"], targets::config);
}

#[test]
fn any_heartbeat_is_one_or_none() {
    fuzz("heartbeat", &["heartbeat", "json"], targets::heartbeat);
}

#[test]
fn any_state_file_can_be_read_and_written() {
    fuzz("state", &["state", "json"], targets::state);
}

#[test]
fn any_record_of_a_resume_is_one_or_none() {
    fuzz("resume", &["resume", "json"], targets::resume);
}

#[test]
fn any_request_is_answered_or_cut_off_and_the_next_one_is_served() {
    fuzz("http", &["http"], served::request);
}

/// Of the cases in which readers differ.
const TAKEN_THOUGH_OTHERS_DIFFER: &[&str] = &["i_below_i64", "i_beyond_u64", "i_exponent_tiny"];

#[test]
fn json_is_taken_where_every_reader_takes_it_and_refused_where_none_does() {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let cases = corpus(&["json"]);
    assert!(cases.len() > 100, "the cases are there");
    for (name, value) in cases {
        let taken = targets::taken_as_input(&value);
        match name.split_once('_').map(|it| it.0) {
            Some("y") => assert!(taken, "{name} is JSON, and was refused"),
            Some("n") => assert!(!taken, "{name} is no JSON, and was taken"),
            // Readers differ; what this one says stays.
            _ => assert_eq!(taken, TAKEN_THOUGH_OTHERS_DIFFER.contains(&name.as_str()), "{name}"),
        }
    }
}

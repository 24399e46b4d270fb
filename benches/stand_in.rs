//! The smallest program that looks like the Claude CLI to a watcher: says when it runs, and that all is well.
//!
//! Compiled by `scripts/bench.sh` and `scripts/compare.sh` alone, statically, so that starting it costs as little as
//! starting anything. With `BENCH_LOG` in its environment it says in that file too when it began, and a task whose name
//! begins with `slow` takes three seconds and says when it ended.

use std::io::Write;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

fn now_ns() -> u128 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos())
}

fn main() {
    let at = now_ns();
    let args: Vec<String> = std::env::args().skip(1).collect();
    if args.iter().any(|word| word == "--version") {
        println!("2.1.330 (Claude Code)");
        return;
    }
    let session = args
        .iter()
        .position(|word| word == "--session-id" || word == "--resume")
        .and_then(|at| args.get(at + 1))
        .map_or("", String::as_str);
    let task = std::env::var("AGENT_TASK").unwrap_or_default();
    let name = if task.is_empty() { args.first().cloned().unwrap_or_default() } else { task };
    let log = std::env::var_os("BENCH_LOG");
    let log = log.and_then(|path| std::fs::File::options().append(true).create(true).open(path).ok());
    let say = |word: &str, at: u128| {
        if let Some(mut log) = log.as_ref() {
            drop(log.write_all(format!("{word} {name} {at}\n").as_bytes()));
        }
    };
    say("began", at);
    if name.starts_with("slow") {
        std::thread::sleep(Duration::from_secs(3));
        say("ended", now_ns());
    }
    // A task that hangs the first time is there to be killed.
    if name.starts_with("hang") && std::fs::File::create_new("hung").is_ok() {
        loop {
            std::thread::park();
        }
    }
    let said = format!(
        concat!(
            r#"{{"type":"system","subtype":"init","session_id":"{session}","at_ns":{at}}}"#,
            "\n",
            r#"{{"type":"result","subtype":"success","is_error":false,"terminal_reason":"completed","num_turns":1,"#,
            r#""total_cost_usd":0,"permission_denials":[],"session_id":"{session}","result":"ok"}}"#,
            "\n"
        ),
        session = session,
        at = at
    );
    drop(std::io::stdout().write_all(said.as_bytes()));
}

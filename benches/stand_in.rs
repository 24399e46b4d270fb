//! The smallest program that looks like the Claude CLI to a watcher: says when it runs, and that all is well.
//!
//! Compiled by `scripts/bench.sh` alone, statically, so that starting it costs as little as starting anything.

use std::io::Write;
use std::time::{SystemTime, UNIX_EPOCH};

fn main() {
    let at = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos());
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
    // A task that hangs the first time is there to be killed.
    let hangs = std::env::var("AGENT_TASK").is_ok_and(|task| task.starts_with("hang"));
    if hangs && std::fs::File::create_new("hung").is_ok() {
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

//! Who goes first when memory runs out.

use std::io;
use std::path::Path;
use std::sync::OnceLock;

use crate::os::knob;

/// How much likelier than us a child is taken (`proc_pid_oom_score_adj(5)`, from -1000 to 1000).
const LIKELIER: i32 = 500;
const MOST: i32 = 1000;

/// Lets the kernel take the process `pid` and what it starts before it takes us: who notices must stay. Best effort.
pub fn goes_first(pid: i32) -> io::Result<()> {
    let score = own().saturating_add(LIKELIER).min(MOST);
    knob::set(Path::new(&format!("/proc/{pid}/oom_score_adj")), &score.to_string())
}

/// Ours, as it was when it was first asked for: who runs us sets it before.
fn own() -> i32 {
    static OWN: OnceLock<i32> = OnceLock::new();
    let read = || std::fs::read_to_string("/proc/self/oom_score_adj").ok()?.trim().parse().ok();
    *OWN.get_or_init(|| read().unwrap_or(0))
}

//! What an agent can do to its own output, on purpose or not.

use std::fs::File;
use std::io::Write;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::script::Step;
use crate::{left_behind, voice};

const BLOCK: usize = 64 << 10;

/// Whether the first thread is to end, and the others go on.
static MAY_GO: AtomicBool = AtomicBool::new(false);

/// What the first thread does: nothing, until it may go.
pub(crate) fn stand_by() {
    while !MAY_GO.load(Ordering::Acquire) {
        std::thread::park_timeout(crate::LOOK);
    }
    #[expect(
        unsafe_code,
        reason = "a thread that leaves alone leaves nothing of the standard library's behind it"
    )]
    // SAFETY: exit(2) ends the calling thread alone; nobody joins it, and what it borrowed is gone.
    unsafe {
        nix::libc::syscall(nix::libc::SYS_exit, 0);
    }
}

/// Does `step`; false if it is not one of these.
pub(crate) fn wreak(step: &Step) -> bool {
    let text = unescaped(step.or("text", ""));
    match step.verb.as_str() {
        "raw" if step.has("stderr") => eprintln!("{text}"),
        "raw" => voice::raw(format!("{text}\n").as_bytes()),
        "pour" => pour(step),
        "eat" if step.has("apart") => {
            left_behind::start(&["setsid".to_owned(), format!("eat:{}", step.number("mib", 1))]);
        }
        "eat" => eat(step.number("mib", 1)),
        "lose-first-thread" => MAY_GO.store(true, Ordering::Release),
        "cut" => mine().set_len(step.number("bytes", 0)).expect("my output is a file"),
        "overwrite" => {
            // Through its name, since what is handed on only appends.
            let output = File::options().write(true).open("/proc/self/fd/1").expect("my output is a file");
            output.write_all_at(text.as_bytes(), 0).expect("a write");
        }
        _ => return false,
    }
    true
}

/// Holds so many MiB until the process ends.
pub(crate) fn eat(mib: u64) {
    let bytes = usize::try_from(mib << 20).expect("a size");
    std::hint::black_box(vec![1_u8; bytes]).leak();
}

/// Standard output as a file of its own.
fn mine() -> File {
    File::from(std::io::stdout().as_fd().try_clone_to_owned().expect("a descriptor"))
}

fn pour(step: &Step) {
    let fd = if step.has("stderr") {
        std::io::stderr().as_fd().try_clone_to_owned()
    } else {
        std::io::stdout().as_fd().try_clone_to_owned()
    };
    let mut out = File::from(fd.expect("a descriptor"));
    let mut block = vec![b'x'; BLOCK];
    if step.has("lines") {
        block[BLOCK - 1] = b'\n';
    }
    let mut left = step.number("bytes", 1 << 20);
    while left > 0 {
        let n = usize::try_from(left).map_or(BLOCK, |left| left.min(BLOCK));
        if out.write_all(&block[..n]).is_err() {
            return;
        }
        left -= n as u64;
    }
}

fn unescaped(text: &str) -> String {
    let mut text = text.replace("%3B", ";").replace(r"\n", "\n").replace(r"\r", "\r").replace(r"\a", "\u{7}");
    text = text.replace(r"\e", "\u{1b}");
    while let Some(at) = text.find(r"\u{") {
        let Some(end) = text[at..].find('}').map(|length| at + length) else { break };
        let character = u32::from_str_radix(&text[at + 3..end], 16).ok().and_then(char::from_u32);
        text.replace_range(at..=end, &character.unwrap_or('?').to_string());
    }
    text
}

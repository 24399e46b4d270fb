//! A setting of the kernel, which looks like a file (`/proc`, `/sys`): one write is one setting, and it is taken or refused.
//!
//! It makes no file: what is not there cannot be set.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

/// Sets what stands at `path` to `value`.
pub fn set(path: &Path, value: &str) -> io::Result<()> {
    File::options().write(true).open(path)?.write_all(value.as_bytes())
}

//! Memory that is not needed goes back to the system.

/// Has every large block mapped for itself and unmapped when it is freed, and small ones come from few heaps.
///
/// By itself glibc raises the size from which it maps to that of the largest block ever freed, and gives each thread a
/// heap of its own (`mallopt(3)`): after a burst of task files of many megabytes each thread would keep some for good.
pub fn give_back() {
    #[cfg(target_env = "gnu")]
    for (option, value) in [(nix::libc::M_MMAP_THRESHOLD, LARGE), (nix::libc::M_ARENA_MAX, HEAPS)] {
        #[expect(unsafe_code, reason = "no safe door to it")]
        // SAFETY: it takes two numbers, and changes how blocks are found, never one that is in use.
        let taken = unsafe { nix::libc::mallopt(option, value) };
        if taken == 0 {
            tracing::debug!(option, value, "the allocator does not take this");
        }
    }
}

/// Bytes.
#[cfg(target_env = "gnu")]
const LARGE: i32 = 512 * 1024;
#[cfg(target_env = "gnu")]
const HEAPS: i32 = 4;

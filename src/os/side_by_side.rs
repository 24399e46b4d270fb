//! Many short waits for a disk at once: disks and journals take many syncs for the price of a few, and a great many small
//! files.
//!
//! It deliberately does not know what is done.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::Builder;

/// How many are waited for at once.
const AT_ONCE: usize = 16;
/// How many read at once: each keeps some memory, and what many read is put together again.
const READERS: usize = 8;
/// A share of so many is worth a thread.
const WORTH_IT: usize = 500;

/// Does `work` for each of `items`, several at a time, on this thread and on others where they can be had; what failed,
/// by its position.
pub fn failures<T: Sync>(items: &[T], work: impl Fn(&T) -> io::Result<()> + Sync) -> Vec<(usize, io::Error)> {
    let next = AtomicUsize::new(0);
    let some = || {
        let mut failed = Vec::new();
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(item) = items.get(at) else { return failed };
            failed.extend(work(item).err().map(|error| (at, error)));
        }
    };
    let mut failed = std::thread::scope(|scope| {
        let helpers = 1..AT_ONCE.min(items.len());
        let helpers: Vec<_> = helpers.filter_map(|_| Builder::new().spawn_scoped(scope, some).ok()).collect();
        let mut failed = some();
        for helper in helpers {
            let panicked = |_| vec![(0, io::Error::other("a thread that waits for the disk has panicked"))];
            failed.extend(helper.join().unwrap_or_else(panicked));
        }
        failed
    });
    failed.sort_by_key(|(at, _)| *at);
    failed
}

/// What `some` makes of `items`, in their order; where there are many, several threads take a share each: more than there are
/// processors, since what is not in memory yet is waited for.
pub fn each<T: Sync, R: Send>(items: &[T], some: impl Fn(&[T]) -> Vec<R> + Sync) -> Vec<R> {
    let shares = READERS.min(items.len() / WORTH_IT);
    if shares < 2 {
        return some(items);
    }
    let mut shares = items.chunks(items.len().div_ceil(shares));
    let mine = shares.next().unwrap_or_default();
    std::thread::scope(|scope| {
        let helpers: Vec<_> =
            shares.map(|share| (share, Builder::new().spawn_scoped(scope, || some(share)))).collect();
        let mut made = some(mine);
        for (share, helper) in helpers {
            let theirs = helper.ok().and_then(|it| it.join().ok());
            // A thread that could not be had, or that panicked, as this one would have.
            made.extend(theirs.unwrap_or_else(|| some(share)));
        }
        made
    })
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU32;

    use super::*;

    #[test]
    fn all_is_done_once_and_what_failed_is_told_in_its_order() {
        for count in [0, 1, 5, 100] {
            let items: Vec<usize> = (0..count).collect();
            let done: Vec<AtomicU32> = items.iter().map(|_| AtomicU32::new(0)).collect();
            let failed = failures(&items, |at| {
                done[*at].fetch_add(1, Ordering::Relaxed);
                if at % 3 == 1 { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
            });
            assert!(done.iter().all(|times| times.load(Ordering::Relaxed) == 1));
            let wrong: Vec<usize> = failed.into_iter().map(|(at, _)| at).collect();
            assert_eq!(wrong, items.into_iter().filter(|at| at % 3 == 1).collect::<Vec<_>>());
        }
    }

    #[test]
    fn each_is_made_once_and_in_its_order_however_many_share_the_work() {
        for count in [0, 1, WORTH_IT, 7 * WORTH_IT + 3] {
            let items: Vec<usize> = (0..count).collect();
            let made = each(&items, |share| share.iter().map(|it| it * 2).collect());
            assert_eq!(made, items.iter().map(|it| it * 2).collect::<Vec<_>>());
        }
    }
}

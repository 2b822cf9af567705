//! Many seeds on many threads.

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::{Kind, judge};

/// A seed that breaks something.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Find {
    /// The seed.
    pub seed: u64,
    /// What does not hold.
    pub message: String,
}

/// Judges these seeds on so many threads. After the first find no other seed is begun; of several finds the one with
/// the lowest seed is told. `judged` is called after each seed that holds.
///
/// A find is a panic that is caught: a program that wants none of them on its standard error installs a hook that says
/// nothing.
pub fn hunt(kind: Kind, seeds: Range<u64>, threads: usize, judged: impl Fn() + Sync) -> Option<Find> {
    let next = AtomicU64::new(seeds.start);
    let finds: Mutex<Vec<Find>> = Mutex::new(Vec::new());
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if !seeds.contains(&seed) {
                return;
            }
            match catch_unwind(AssertUnwindSafe(|| judge(kind, seed))) {
                Ok(()) => judged(),
                Err(panic) => {
                    next.store(seeds.end, Ordering::Relaxed);
                    let text = panic.downcast_ref::<String>().map(String::as_str);
                    let text = text.or(panic.downcast_ref::<&str>().copied()).unwrap_or("a panic without a word");
                    let find = Find { seed, message: text.to_string() };
                    finds.lock().expect("nobody panics while holding it").push(find);
                    return;
                }
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..threads.max(1) {
            scope.spawn(work);
        }
    });
    finds.into_inner().expect("nobody panics while holding it").into_iter().min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_seed_is_judged_once_on_any_number_of_threads() {
        for threads in [1, 3] {
            let count = AtomicU64::new(0);
            let found = hunt(Kind::Clusters, 3..9, threads, || {
                count.fetch_add(1, Ordering::Relaxed);
            });
            assert_eq!((found, count.into_inner()), (None, 6));
        }
    }
}

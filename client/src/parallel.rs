//! Work on many files at once, on a few threads.

use std::sync::atomic::{AtomicUsize, Ordering};

/// Most threads that read files: more only make a disk seek.
const MAX_THREADS: usize = 4;

/// Items that a thread takes at a time: neighbours, so that they share what `begin` made for them.
const BATCH: usize = 16;

/// `work` on every item, the results in the items' order. Each thread has a value of its own from
/// `begin`, such as the directory that it has open.
pub(crate) fn map<T: Sync, R: Send, C>(
    items: &[T],
    begin: impl Fn() -> C + Sync,
    work: impl Fn(&mut C, &T) -> R + Sync,
) -> Vec<R> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(MAX_THREADS);
    let next = AtomicUsize::new(0);
    let run = || {
        let (mut own, mut done) = (begin(), Vec::new());
        loop {
            let first = next.fetch_add(BATCH, Ordering::Relaxed);
            let Some(batch) = items.get(first..items.len().min(first + BATCH)) else { return done };
            if batch.is_empty() {
                return done;
            }
            done.push((first, batch.iter().map(|item| work(&mut own, item)).collect::<Vec<R>>()));
        }
    };
    let mut all = std::thread::scope(|scope| {
        let others = threads.min(items.len().div_ceil(BATCH));
        let others: Vec<_> = (1..others).map(|_| scope.spawn(run)).collect();
        let mut all = run();
        for other in others {
            all.extend(other.join().expect("the work does not panic"));
        }
        all
    });
    all.sort_unstable_by_key(|(first, _)| *first);
    all.into_iter().flat_map(|(_, results)| results).collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn keeps_the_order() {
        let items: Vec<u32> = (0..1000).collect();
        let doubled = super::map(&items, || (), |(), item| item * 2);
        assert_eq!(doubled, items.iter().map(|item| item * 2).collect::<Vec<_>>());
        assert!(super::map(&[] as &[u32], || (), |(), item| *item).is_empty());
    }
}

//! Work on many things that do not depend on each other, on all processors.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{LazyLock, Mutex, PoisonError, mpsc};
use std::thread;

/// How many there are: finding out takes a dozen system calls.
static PROCESSORS: LazyLock<usize> =
    LazyLock::new(|| thread::available_parallelism().map_or(1, usize::from));

/// What `work` makes of each item, in the items' order. On as many threads as there are processors;
/// for a single item there is no thread.
pub fn side_by_side<T: Sync, R: Send>(items: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    if items.len() <= 1 || *PROCESSORS <= 1 {
        return items.iter().map(work).collect();
    }
    let threads = items.len().min(*PROCESSORS);
    let (next, done) = (AtomicUsize::new(0), Mutex::new(Vec::with_capacity(items.len())));
    let take = || {
        while let (at, Some(item)) = {
            let at = next.fetch_add(1, Ordering::Relaxed);
            (at, items.get(at))
        } {
            let result = work(item);
            done.lock().unwrap_or_else(PoisonError::into_inner).push((at, result));
        }
    };
    thread::scope(|scope| {
        for _ in 1..threads {
            scope.spawn(take);
        }
        take();
    });
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.sort_by_key(|(at, _)| *at);
    done.into_iter().map(|(_, result)| result).collect()
}

/// As [`side_by_side`], and hands what `work` makes of each item to `take`, on the calling thread and in
/// the items' order, while others are worked on. Ends at the first error, in the items' order: what comes
/// behind is not taken.
pub fn in_turn<T: Sync, R: Send, E: Send>(
    items: &[T],
    work: impl Fn(&T) -> Result<R, E> + Sync,
    mut take: impl FnMut(&T, R) -> Result<(), E>,
) -> Result<(), E> {
    if items.len() <= 1 || *PROCESSORS <= 1 {
        return items.iter().try_for_each(|item| take(item, work(item)?));
    }
    let next = AtomicUsize::new(0);
    let work_on_next = || {
        let at = next.fetch_add(1, Ordering::Relaxed);
        let result = work(items.get(at)?);
        if result.is_err() {
            next.store(items.len(), Ordering::Relaxed);
        }
        Some((at, result))
    };
    let (made, others) = mpsc::channel();
    thread::scope(|scope| {
        for _ in 1..items.len().min(*PROCESSORS) {
            let (made, work_on_next) = (made.clone(), &work_on_next);
            scope.spawn(move || {
                while let Some(result) = work_on_next() {
                    // whoever waited for it has come upon an error
                    let _ = made.send(result);
                }
            });
        }
        drop(made);
        let mut done = BTreeMap::new();
        let taken = items.iter().enumerate().try_for_each(|(at, item)| {
            let result = loop {
                done.extend(others.try_iter());
                if let Some(result) = done.remove(&at) {
                    break result;
                }
                let result = work_on_next().or_else(|| others.recv().ok());
                done.extend([result.expect("a thread ends once nothing is left to do")]);
            };
            take(item, result?)
        });
        next.store(items.len(), Ordering::Relaxed);
        taken
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_made_is_taken_in_order_up_to_the_first_error() {
        let items: Vec<u64> = (0..1000).collect();
        for (bad, refused) in [(2000, 2000), (700, 2000), (2000, 300), (300, 700), (0, 0)] {
            let mut taken = Vec::new();
            let work = |item: &u64| if *item == bad { Err(*item) } else { Ok(item * item) };
            let ended = in_turn(&items, work, |item, made| {
                assert_eq!(made, item * item);
                taken.push(*item);
                if *item == refused { Err(*item) } else { Ok(()) }
            });
            let end = bad.min(refused);
            assert_eq!(ended, if end < 1000 { Err(end) } else { Ok(()) });
            let last = if refused < bad { refused + 1 } else { bad.min(1000) };
            assert_eq!(taken, (0..last).collect::<Vec<_>>());
        }
        let ended = in_turn(&items[..0], |item| Err(*item), |_, ()| Ok(()));
        assert_eq!(ended, Ok(()));
    }

    #[test]
    fn results_come_in_the_items_order() {
        let items: Vec<u64> = (0..1000).collect();
        let squares: Vec<u64> = items.iter().map(|item| item * item).collect();
        assert_eq!(side_by_side(&items, |item| item * item), squares);
        assert_eq!(side_by_side(&items[..1], |item| item + 1), [1]);
        assert!(side_by_side(&items[..0], |item| *item).is_empty());
    }
}

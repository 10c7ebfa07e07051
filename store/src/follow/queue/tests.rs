use std::cell::Cell;
use std::rc::Rc;

use countersign_format::layout;
use countersign_format::pack::{MAX_PACK_LEVEL, max_pack_length, pack_span};

use super::super::cover::Part;
use super::super::memory::most;
use super::super::tests::{Published, run};
use super::*;
use crate::memory::MemoryRepository;

/// Every pack of a log of so many entries, as large as packs may be, and with nothing in it.
fn hostile(size: u64) -> MemoryRepository {
    let repository = MemoryRepository::new();
    for step in best_cover(0, size) {
        let (_, count) = step.span();
        let length = usize::try_from(max_pack_length(count)).expect("small");
        repository.replace(&step.path(Log::Collection), &vec![7; length]);
    }
    repository
}

fn queue<'s>(source: &'s Source, size: u64, memory: &Memory) -> Queue<'s> {
    let held = Held::default();
    Queue::new((source, Log::Collection), (&held, size), true, memory.clone())
}

/// What a hostile server can make a reader hold: what waits, and what is read just now, of both logs
/// that share the memory.
#[test]
fn two_logs_hold_no_more_than_the_memory_that_they_share() {
    let size = 10 * pack_span(1);
    let repository = hostile(size);
    let source = Source::memory("memory", &repository);
    let each = max_pack_length(pack_span(1));
    let all = 5 * each;
    let memory = Memory::of(all);
    let (mut one, mut other) = (queue(&source, size, &memory), queue(&source, size, &memory));
    let mut most = 0;
    run(async {
        for _ in 0..4 {
            let read_of_one = one.next().await.expect("it is there").expect("a file");
            let read_of_other = other.next().await.expect("it is there").expect("a file");
            one.look().await;
            other.look().await;
            let read = read_of_one.1.length() + read_of_other.1.length();
            let held = read + one.waiting() + other.waiting();
            assert!(held <= all - memory.left() && all - memory.left() <= all, "{held}");
            most = most.max(held);
        }
    });
    // as much as there is, and not one file at a time either
    assert_eq!(most, 5 * each);
    drop((one, other));
    assert_eq!(memory.left(), all);
}

/// Two logs of which any file needs all the memory.
#[test]
fn logs_do_not_wait_for_each_other_without_end() {
    let size = 8 * pack_span(1);
    let repository = hostile(size);
    let source = Source::memory("memory", &repository);
    let memory = Memory::of(most_of_any(size));
    let read = async |mut queue: Queue<'_>| {
        let mut files = 0;
        while let Some((_, piece, _share)) = queue.next().await.expect("they are there") {
            assert!(piece.length() > 0);
            queue.look().await;
            files += 1;
        }
        files
    };
    let files = run(async {
        let (one, other) = (queue(&source, size, &memory), queue(&source, size, &memory));
        tokio::join!(read(one), read(other))
    });
    assert_eq!(files, (8, 8));
}

fn most_of_any(size: u64) -> u64 {
    best_cover(0, size).iter().map(most).max().expect("there are steps")
}

#[test]
fn no_file_needs_more_than_there_is() {
    let memory = Memory::default();
    let all = memory.left();
    assert!(all <= 128 << 20, "{all}");
    let pack = |level| Part::Pack { level, index: 0 };
    let parts = (0..=MAX_PACK_LEVEL).map(pack);
    let parts = parts.chain([Part::Tail { size: 512 }, Part::Bundle { index: 0, width: 256 }]);
    for part in parts {
        let step = Step { entries: 0..512, part };
        assert!(2 * most(&step) <= all, "{step:?}");
    }
}

/// What was asked for before a missing pack was found goes on behind the files that are read instead.
#[test]
fn what_is_under_way_goes_on_behind_what_is_read_instead() {
    let published = Published::up_to(&[2 * 4096]);
    published.pack(1, 1);
    let source = Source::memory("memory", &published.repository);
    let memory = Memory::default();
    let mut queue = queue(&source, 2 * 4096, &memory);
    let polls = Rc::new(Cell::new(0));
    let counted = Rc::clone(&polls);
    let under_way = poll_fn(move |_| {
        counted.set(counted.get() + 1);
        Poll::Pending
    });
    let step = &queue.jobs[1].step;
    let share = memory.share(step).expect("there is enough");
    queue.jobs[1].state = State::Running(Box::pin(under_way), share);
    queue.asked = 1;
    run(async {
        for read in 0..8 {
            let (step, ..) = queue.next().await.expect("it is there").expect("a file");
            assert_eq!(step.part, Part::Pack { level: 0, index: read });
            let before = polls.get();
            queue.look().await;
            assert_eq!(polls.get(), before + 1, "after {read}");
        }
    });
    assert_eq!(layout::pack(Log::Collection, 1, 1), queue.jobs[8].step.path(Log::Collection));
}

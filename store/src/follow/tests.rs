//! Following a log from a repository in memory.

use countersign_format::layout;
use countersign_format::limits::MAX_TREE_SIZE;
use countersign_format::merkle::empty_root;
use countersign_format::pack::{Order, compress, pack_span, tail_start};
use countersign_format::tile::{Edge, push_entry};

use super::*;
use crate::memory::MemoryRepository;

mod covers;
mod hostile;

/// What a client fetches to learn of a hundred new entries, heads and files of both logs, is at most
/// 16 kB (SPEC §4.3): some 2.6 kB are heads and what is said of files.
#[test]
fn a_hundred_new_entries_cost_the_same_wherever_bundles_and_packs_end() {
    let mut most = (0, 0, 0);
    // the ends of bundles at any place within them, and those of packs of 4,096
    for from in (0..512).step_by(7).chain(3990..4100).chain([8191, 8192, 8193]) {
        let published = Published::realistic(from + 100);
        let mut held = Held::default();
        let first = usize::try_from(from).expect("small");
        for entry in &published.entries[..first] {
            held.frontier.push(leaf_hash(entry));
        }
        let unfinished = first / TILE_WIDTH * TILE_WIDTH;
        held.tail = published.entries[unfinished..first].iter().map(|it| it.len() as u64 + 2).sum();
        let source = Source::memory("memory", &published.repository);
        let mut take = |_: u64, _: &[u8]| Ok(());
        let (to, log) = (published.head(), Log::Collection);
        run(follow(&source, log, &held, &to, &mut take)).expect("followed");
        let found = source.statistics();
        assert_eq!(found.requests, 1, "from {from}");
        most = most.max((found.received, found.requests, from));
    }
    assert!(most.0 <= 12_000, "{most:?}");
    println!("at most {} bytes, from {}", most.0, most.2);
}

/// Takes the entries one by one: leaf index, and the entry's bytes.
type EntryTaker<'a> = dyn FnMut(u64, &[u8]) -> Result<(), Box<dyn Error + Send + Sync>> + 'a;

/// Reads `log` at `source`, with packs.
async fn follow(
    source: &Source,
    log: Log,
    from: &Held,
    head: &Checkpoint,
    take: &mut EntryTaker<'_>,
) -> Result<Held, FollowError> {
    let mut take = |index: u64, entry: &[u8], _: &Hash32| take(index, entry);
    LogReader::new(source, log).follow(from, head, &mut take).await
}

/// A log as a publisher leaves it that appended up to each of the sizes in turn.
pub(super) struct Published {
    pub(super) repository: MemoryRepository,
    entries: Vec<Vec<u8>>,
    edge: Edge,
}

fn entry(index: u64) -> Vec<u8> {
    format!("entry {index} {}\n", "x".repeat(usize::try_from(index % 40).expect("small")))
        .into_bytes()
}

/// An entry of a patch with a summary line: 300 bytes, of which little is in others.
fn patch(index: u64) -> Vec<u8> {
    let hash = Hash32::of(&index.to_be_bytes());
    let word = |at: usize| {
        const SYLLABLES: [&str; 16] = [
            "ba", "cor", "de", "fi", "gra", "ho", "in", "ju", "ka", "lo", "men", "net", "or", "pa",
            "qui", "re",
        ];
        let byte = hash.0[at];
        let (one, other) = (usize::from(byte >> 4), usize::from(byte & 15));
        format!("{}{}", SYLLABLES[one], SYLLABLES[other])
    };
    let summary: Vec<String> = (0..11).map(word).collect();
    let (name, summary) = (format!("{}-{}{index}", word(20), word(21)), summary.join(" "));
    let size = u32::from_be_bytes([0, hash.0[22], hash.0[23], hash.0[24]]);
    let unpacked = u64::from(size) * 3;
    format!(
        "{{\"type\":\"patch/v1\",\"name\":\"{name}\",\"version\":\"1.{}.{}\",\"summary\":\"{summary}\",\
         \"archive\":{{\"sha256\":\"{hash}\",\"size\":{size},\"unpacked\":{unpacked},\"files\":3}},\
         \"collected\":\"2026-11-23T00:00:00Z\"}}\n",
        hash.0[25] % 20,
        hash.0[26] % 60,
    )
    .into_bytes()
}

impl Published {
    fn new() -> Self {
        let repository = MemoryRepository::new();
        Self { repository, entries: Vec::new(), edge: Edge::empty() }
    }

    /// A log of entries as collections have them, with the tail pack of its head.
    fn realistic(size: u64) -> Self {
        let mut published = Self::new();
        published.entries = (0..size).map(patch).collect();
        published.edge.append(published.entries.iter().map(|entry| leaf_hash(entry)));
        published.tail(Log::Collection);
        published
    }

    pub(super) fn up_to(sizes: &[u64]) -> Self {
        let mut published = Self::new();
        for size in sizes {
            published.append(*size);
        }
        published
    }

    fn append(&mut self, size: u64) {
        let before = self.edge.size();
        let new: Vec<_> = (before..size).map(entry).collect();
        self.edge.append(new.iter().map(|entry| leaf_hash(entry)));
        self.entries.extend(new);
        for index in before / WIDTH..size.div_ceil(WIDTH) {
            let bundle = self.bundle(index);
            let width = u16::try_from((size - index * WIDTH).min(WIDTH)).expect("small");
            self.repository.replace(&layout::bundle(Log::Collection, index, width), &bundle);
            if width == 256 {
                self.pack(0, index);
            }
        }
        self.tail(Log::Collection);
    }

    fn tail(&self, log: Log) {
        let size = self.entries.len() as u64;
        let first = usize::try_from(tail_start(size)).expect("small");
        let newest = self.entries[first..].iter().rev().map(Vec::as_slice);
        let packed = compress(Order::Tail, newest, 1).expect("packed").expect("small");
        self.repository.replace(&layout::tail_pack(log, size), &packed);
    }

    /// The full pack `(level, index)`.
    pub(super) fn pack(&self, level: u8, index: u64) {
        let range = index * pack_span(level)..(index + 1) * pack_span(level);
        let range = usize::try_from(range.start).expect("small")
            ..usize::try_from(range.end).expect("small");
        let entries = self.entries[range].iter().map(Vec::as_slice);
        let packed = compress(Order::Bundles, entries, 1).expect("packed").expect("small");
        self.repository.replace(&layout::pack(Log::Collection, level, index), &packed);
    }

    fn bundle(&self, index: u64) -> Vec<u8> {
        let mut bundle = Vec::new();
        let first = usize::try_from(index * WIDTH).expect("small");
        for entry in self.entries.iter().skip(first).take(TILE_WIDTH) {
            push_entry(&mut bundle, entry);
        }
        bundle
    }

    pub(super) fn head(&self) -> Checkpoint {
        let root = self.edge.frontier().root();
        let origin = "example.org/collection".parse().expect("a name");
        Checkpoint { origin, size: self.edge.size(), root }
    }

    fn follow_unchecked(&self) -> Result<Held, FollowError> {
        let source = Source::memory("memory", &self.repository);
        let mut take = |_: u64, _: &[u8]| Ok(());
        let (head, log) = (self.head(), Log::Collection);
        run(follow(&source, log, &Held::default(), &head, &mut take))
    }

    /// Follows to the head and checks that just the entries in between were handed out.
    pub(super) fn follow(&self, held: &Held) -> Result<(Held, u64), FollowError> {
        let source = Source::memory("memory", &self.repository);
        let mut next = held.frontier.size();
        let mut take = |index: u64, bytes: &[u8]| {
            assert_eq!(index, next);
            assert_eq!(bytes, entry(index));
            next += 1;
            Ok(())
        };
        let reached = run(follow(&source, Log::Collection, held, &self.head(), &mut take))?;
        assert_eq!(next, self.head().size);
        Ok((reached, source.statistics().requests))
    }
}

pub(super) fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().expect("a runtime").block_on(future)
}

#[test]
fn every_way_leads_to_the_same_frontier() {
    for stops in [
        vec![1, 2, 255, 256, 257, 300, 511, 512, 700, 4096, 4097, 5000],
        vec![5000],
        vec![4096, 5000],
        vec![10, 11, 250, 5000],
    ] {
        let mut published = Published::new();
        let mut held = Held::default();
        for size in stops {
            published.append(size);
            if size >= 4096 {
                published.pack(1, 0);
            }
            held = published.follow(&held).expect("followed").0;
            assert_eq!(held.frontier, published.edge.frontier());
            let tail = published.bundle(size / WIDTH).len() as u64;
            assert_eq!(held.tail, tail, "at {size}");
        }
    }
}

#[test]
fn the_cheapest_cover_is_a_few_requests() {
    let published = Published::up_to(&[4096 + 2 * 256 + 17]);
    published.pack(1, 0);
    // one pack of 4,096, one of 256, the tail
    let (held, requests) = published.follow(&Held::default()).expect("followed");
    assert_eq!(requests, 3);
    let (_, requests) = published.follow(&held).expect("nothing new");
    assert_eq!(requests, 0);
}

#[test]
fn one_new_entry_is_a_range_of_one_bundle() {
    let mut published = Published::up_to(&[600]);
    let (held, _) = published.follow(&Held::default()).expect("followed");
    published.append(601);
    let source = Source::memory("memory", &published.repository);
    let mut take = |_: u64, _: &[u8]| Ok(());
    run(follow(&source, Log::Collection, &held, &published.head(), &mut take)).expect("followed");
    let statistics = source.statistics();
    assert_eq!(statistics.requests, 1);
    assert_eq!(statistics.received, 2 + entry(600).len() as u64);
}

#[test]
fn a_repository_without_packs_works() {
    let published = Published::up_to(&[700]);
    let mut files = published.repository.files();
    files.retain(|path, _| !path.as_str().contains("/pack/"));
    published.repository.replace_all(files);
    let (held, _) = published.follow(&Held::default()).expect("followed");
    assert_eq!(held.frontier, published.edge.frontier());
}

fn refused(published: &Published, held: &Held) -> FollowError {
    let source = Source::memory("memory", &published.repository);
    let mut take = |_: u64, _: &[u8]| Ok(());
    run(follow(&source, Log::Collection, held, &published.head(), &mut take))
        .expect_err("must be refused")
}

#[test]
fn a_history_that_was_rewritten_is_refused() {
    let (held, _) = Published::up_to(&[10]).follow(&Held::default()).expect("followed");
    let mut other = Held::default();
    (0..10).for_each(|index: u64| other.frontier.push(leaf_hash(&index.to_be_bytes())));
    other.tail = held.tail;
    let published = Published::up_to(&[12]);
    assert!(matches!(refused(&published, &other), FollowError::Root { .. }));
    let smaller = Published::up_to(&[9]);
    let error = refused(&smaller, &held);
    assert!(matches!(error, FollowError::Smaller { held: 10, found: 9, .. }));
}

#[test]
fn a_head_beyond_all_reason_is_refused_before_anything_is_read() {
    let published = Published::up_to(&[300]);
    let source = Source::memory("memory", &published.repository);
    let mut take = |_: u64, _: &[u8]| Ok(());
    for size in [300 + MAX_FOLLOWED, MAX_TREE_SIZE] {
        let head = Checkpoint { size, ..published.head() };
        let followed = run(follow(&source, Log::Collection, &Held::default(), &head, &mut take));
        assert!(matches!(followed, Err(FollowError::TooFar { held: 0, .. })), "{size}");
    }
    assert_eq!(source.statistics().requests, 0);
}

#[test]
fn an_empty_log_is_followed_with_no_request() {
    let published = Published::new();
    assert_eq!(published.head().root, empty_root());
    let (_, requests) = published.follow(&Held::default()).expect("followed");
    assert_eq!(requests, 0);
}

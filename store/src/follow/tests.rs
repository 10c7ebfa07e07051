use countersign_format::limits::MAX_TREE_SIZE;
use countersign_format::merkle::empty_root;
use countersign_format::pack;
use countersign_format::tile::{Edge, push_entry};

use super::*;
use crate::memory::MemoryRepository;

/// A log as a publisher leaves it that appended up to each of the sizes in turn.
struct Published {
    repository: MemoryRepository,
    entries: Vec<Vec<u8>>,
    edge: Edge,
}

fn entry(index: u64) -> Vec<u8> {
    format!("entry {index} {}\n", "x".repeat(usize::try_from(index % 40).expect("small")))
        .into_bytes()
}

impl Published {
    fn new() -> Self {
        let repository = MemoryRepository::new();
        Self { repository, entries: Vec::new(), edge: Edge::empty() }
    }

    fn up_to(sizes: &[u64]) -> Self {
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
            let packed = pack::compress(&bundle, 1).expect("packed");
            self.repository.replace(&layout::pack(Log::Collection, 0, index, width), &packed);
        }
    }

    fn bundle(&self, index: u64) -> Vec<u8> {
        let mut bundle = Vec::new();
        let first = usize::try_from(index * WIDTH).expect("small");
        for entry in self.entries.iter().skip(first).take(TILE_WIDTH) {
            push_entry(&mut bundle, entry);
        }
        bundle
    }

    fn pack_of_4096(&self, index: u64) {
        let bundles: Vec<u8> =
            (index * 16..(index + 1) * 16).flat_map(|index| self.bundle(index)).collect();
        let packed = pack::compress(&bundles, 1).expect("packed");
        self.repository.replace(&layout::pack(Log::Collection, 1, index, 256), &packed);
    }

    fn head(&self) -> Checkpoint {
        let root = self.edge.frontier().root();
        let origin = "example.org/collection".parse().expect("a name");
        Checkpoint { origin, size: self.edge.size(), root }
    }

    /// Follows to the head and checks that just the entries in between were handed out.
    fn follow(&self, held: &Held) -> Result<(Held, u64), FollowError> {
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

fn run<T>(future: impl Future<Output = T>) -> T {
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
                published.pack_of_4096(0);
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
    published.pack_of_4096(0);
    // one pack of 4,096, two of 256, the tail
    let (held, requests) = published.follow(&Held::default()).expect("followed");
    assert_eq!(requests, 4);
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
fn steps_weigh_ranges_against_packs() {
    let pack = |level, index, width| Step::Pack { level, index, width };
    let bundle = |index, width| Step::Bundle { index, width };
    assert_eq!(steps(0, 1), [bundle(0, 1)]);
    assert_eq!(steps(0, 100), [pack(0, 0, 100), bundle(0, 100)]);
    assert_eq!(steps(99, 100), [bundle(0, 100)]);
    assert_eq!(steps(10, 256), [pack(0, 0, 256), bundle(0, 256)]);
    assert_eq!(steps(250, 1000), [bundle(0, 256)]);
    assert_eq!(steps(256, 1000), [pack(0, 1, 256), bundle(1, 256)]);
    let all = [pack(2, 0, 256), pack(1, 0, 256), pack(0, 0, 256), bundle(0, 256)];
    assert_eq!(steps(0, 100_000), all);
    assert_eq!(steps(65_536, 100_000), [pack(1, 16, 256), pack(0, 256, 256), bundle(256, 256)]);
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
fn altered_entries_do_not_lead_to_the_root() {
    let published = Published::up_to(&[300]);
    let path = layout::pack(Log::Collection, 0, 1, 44);
    let altered = published.bundle(1).replace_first(b"entry 299", b"entry 298");
    let altered = pack::compress(&altered, 1).expect("packed");
    published.repository.replace(&path, &altered);
    assert!(matches!(refused(&published, &Held::default()), FollowError::Root { size: 300, .. }));
    published.repository.replace(&path, b"no frame");
    assert!(matches!(refused(&published, &Held::default()), FollowError::Pack { .. }));
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
fn a_head_without_its_files_fails_at_the_first_that_is_missing() {
    let published = Published::up_to(&[300]);
    let source = Source::memory("memory", &published.repository);
    let mut taken = 0;
    let mut take = |_: u64, _: &[u8]| {
        taken += 1;
        Ok(())
    };
    let head = Checkpoint { size: MAX_FOLLOWED, ..published.head() };
    let followed = run(follow(&source, Log::Collection, &Held::default(), &head, &mut take));
    assert!(matches!(followed, Err(FollowError::Missing { size: MAX_FOLLOWED, .. })));
    // two packs and the first of 256; then a pack and the bundle that are not there
    assert_eq!((source.statistics().requests, taken), (5, 256));
}

#[test]
fn endless_entries_are_given_up() {
    let published = Published::up_to(&[3]);
    let source = Source::memory("memory", &published.repository);
    let mut taken = Vec::new();
    let mut take = |index: u64, _: &[u8], _: &Hash32| {
        taken.push(index);
        Ok(())
    };
    let left = 2 * entry(0).len() as u64 + 1;
    let (log, held) = (Log::Collection, Held::default());
    let mut keep = |_, _| ();
    let (take, keep) = (&mut take, &mut keep);
    let mut follower = Follower { source: &source, log, size: 3, held, left, take, keep };
    assert!(matches!(run(follower.advance()), Err(FollowError::TooMuch { .. })));
    assert_eq!(taken, [0, 1]);
}

#[test]
fn missing_and_malformed_files_are_named() {
    let published = Published::up_to(&[257]);
    let path = layout::bundle(Log::Collection, 1, 1);
    published.repository.replace(&path, b"\x00");
    let error = refused(&published, &Held::default());
    assert_eq!(error.to_string(), "collection/tile/entries/001.p/1 is malformed");
    let mut files = published.repository.files();
    files.remove(&path);
    published.repository.replace_all(files);
    let error = refused(&published, &Held::default());
    assert!(matches!(error, FollowError::Missing { size: 257, .. }));
}

#[test]
fn an_empty_log_is_followed_with_no_request() {
    let published = Published::new();
    assert_eq!(published.head().root, empty_root());
    let (_, requests) = published.follow(&Held::default()).expect("followed");
    assert_eq!(requests, 0);
}

trait ReplaceFirst {
    fn replace_first(&self, from: &[u8], to: &[u8]) -> Vec<u8>;
}

impl ReplaceFirst for Vec<u8> {
    fn replace_first(&self, from: &[u8], to: &[u8]) -> Vec<u8> {
        let at = self.windows(from.len()).position(|window| window == from).expect("it is there");
        [&self[..at], to, &self[at + from.len()..]].concat()
    }
}

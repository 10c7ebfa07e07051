//! Files that are missing, damaged or not those of the signed tree.

use super::*;

#[test]
fn altered_entries_do_not_lead_to_the_root() {
    let published = Published::up_to(&[300]);
    published
        .repository
        .replace(&layout::tail_pack(Log::Collection, 300), &altered(&published, 300));
    let error = refused(&published, &Held::default());
    assert!(matches!(error, FollowError::Root { size: 300, .. }));
    // that is no word against the log yet, whose bundles are good
    assert!(error.may_be_packs());
    let held = with_packs(&published, false).expect("followed");
    assert_eq!(held.frontier, published.edge.frontier());
}

fn with_packs(published: &Published, with_packs: bool) -> Result<Held, FollowError> {
    let source = Source::memory("memory", &published.repository);
    let reader = LogReader::new(&source, Log::Collection).packs(with_packs);
    let mut take = |_: u64, _: &[u8], _: &Hash32| Ok(());
    run(reader.follow(&Held::default(), &published.head(), &mut take))
}

#[test]
fn altered_bundles_say_something_of_the_log() {
    let published = Published::up_to(&[3]);
    let altered = published.bundle(0).iter().rev().copied().collect::<Vec<u8>>();
    let path = layout::bundle(Log::Collection, 0, 3);
    let mut bundle = Vec::new();
    for entry in [b"one", b"two", b"six"] {
        push_entry(&mut bundle, entry);
    }
    published.repository.replace(&path, &bundle);
    let error = refused(&published, &Held::default());
    assert!(matches!(error, FollowError::Root { .. }) && !error.may_be_packs(), "{error:?}");
    published.repository.replace(&path, &altered);
    assert!(matches!(refused(&published, &Held::default()), FollowError::Bundle { .. }));
}

/// A pack of another encoding, one cut off, one of other entries behind the first, and one larger than
/// packs may be: whatever it is, bundles have the same entries.
#[test]
fn bundles_are_read_where_a_pack_is_malformed() {
    let published = Published::up_to(&[4096 + 300]);
    published.pack(1, 0);
    let (large, small) =
        (layout::pack(Log::Collection, 1, 0), layout::tail_pack(Log::Collection, 4396));
    let files = published.repository.files();
    let bundles = zstd_of(&published.bundle(0));
    let too_large = vec![0; 3 << 20];
    for path in [&large, &small] {
        let good = &files[path];
        let more = [good, &b"x"[..]].concat();
        for bad in [b"", &bundles[..], &good[..good.len() / 2], &more, &too_large] {
            published.repository.replace(path, bad);
            let (held, _) = published.follow(&Held::default()).expect("followed");
            assert_eq!(held.frontier, published.edge.frontier());
            // from within a bundle
            let (held, _) = published.follow(&up_to(&published, 100)).expect("followed");
            assert_eq!(held.frontier, published.edge.frontier());
        }
        published.repository.replace(path, good);
    }
}

/// Bundles as packs had them before they had an encoding of their own.
fn zstd_of(bundles: &[u8]) -> Vec<u8> {
    // a raw block of a single segment (RFC 8878 §3.1.1)
    let length = u32::try_from(bundles.len()).expect("small");
    let block = (length << 3 | 1).to_le_bytes();
    [&[0x28, 0xb5, 0x2f, 0xfd, 0xa0][..], &length.to_le_bytes(), &block[..3], bundles].concat()
}

/// What a pack says of entries that are held is compared with nothing.
#[test]
fn a_pack_that_was_read_in_part_is_not_handed_out() {
    let published = Published::up_to(&[1000]);
    let forged = |index: u64, at: usize| {
        let first = usize::try_from(index * WIDTH).expect("small");
        let mut entries = published.entries[first..first + TILE_WIDTH].to_vec();
        entries[at].reverse();
        let entries = entries.iter().map(Vec::as_slice);
        let packed = compress(Order::Bundles, entries, 1).expect("packed").expect("small");
        published.repository.replace(&layout::pack(Log::Collection, 0, index), &packed);
    };
    let kept = |held: &Held| {
        let source = Source::memory("memory", &published.repository);
        let reader = LogReader::new(&source, Log::Collection);
        let mut kept = Vec::new();
        let mut keep = |path, _| {
            kept.push(path);
            Ok(())
        };
        let mut take = |_: u64, _: &[u8], _: &Hash32| Ok(());
        run(reader.follow_keeping(held, &published.head(), &mut take, &mut keep)).map(|_| kept)
    };
    let path = |index| layout::pack(Log::Collection, 0, index);
    assert_eq!(kept(&up_to(&published, 100)).expect("followed"), [path(1)]);
    forged(0, 99);
    assert_eq!(kept(&up_to(&published, 100)).expect("followed"), [path(1)]);
    assert!(kept(&Held::default()).is_err_and(|error| error.may_be_packs()));
    forged(1, 99);
    assert!(kept(&up_to(&published, 100)).is_err_and(|error| error.may_be_packs()));
}

/// What is held of the first `count` entries of a log, less than a bundle.
fn up_to(published: &Published, count: usize) -> Held {
    let mut held = Held::default();
    for entry in &published.entries[..count] {
        held.frontier.push(leaf_hash(entry));
        held.tail += 2 + entry.len() as u64;
    }
    held
}

/// A tail pack with another last entry.
fn altered(published: &Published, size: u64) -> Vec<u8> {
    let mut entries = published.entries[..usize::try_from(size).expect("small")].to_vec();
    entries.last_mut().expect("entries").reverse();
    let newest = entries.iter().rev().map(Vec::as_slice);
    compress(Order::Tail, newest, 1).expect("packed").expect("small")
}

/// Any bit of a tail pack that is changed, and any beginning of it: bundles are read instead, or what
/// comes out is refused.
#[test]
fn a_damaged_tail_pack_is_done_without_or_refused() {
    let published = Published::up_to(&[40]);
    let path = layout::tail_pack(Log::Collection, 40);
    let good = published.repository.files()[&path].clone();
    let (mut done, mut refused) = (0, 0);
    let mut judge = |pack: &[u8]| {
        published.repository.replace(&path, pack);
        match published.follow_unchecked() {
            Ok(held) => {
                assert_eq!(held.frontier, published.edge.frontier());
                done += 1;
            }
            Err(FollowError::Root { .. }) => refused += 1,
            Err(error) => panic!("{error:?}"),
        }
    };
    for bit in 0..good.len() * 8 {
        let mut pack = good.clone();
        pack[bit / 8] ^= 1 << (bit % 8);
        judge(&pack);
    }
    (0..good.len()).for_each(|length| judge(&good[..length]));
    assert!(done > 100 && refused > 100, "{done} {refused}");
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
    let mut keep = |_, _| Ok(());
    let (take, keep) = (&mut take, &mut keep);
    let queue = Queue::new((&source, log), (&held, 3), true, Memory::default());
    let mut follower = Follower { log, held, left, with_packs: false, take, keep };
    assert!(matches!(run(follower.read(queue)), Err(FollowError::TooMuch { .. })));
    assert_eq!(taken, [0, 1]);
}

#[test]
fn missing_and_malformed_files_are_named() {
    let published = Published::up_to(&[257]);
    let mut files = published.repository.files();
    files.remove(&layout::tail_pack(Log::Collection, 257));
    published.repository.replace_all(files);
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
    assert_eq!(taken, 256);
    // packs of 65,536 and 4,096 that are not there, two of 256, of which one is, and its bundle; and
    // of each size the few that are asked for ahead
    assert!((5..=16).contains(&source.statistics().requests), "{:?}", source.statistics());
}

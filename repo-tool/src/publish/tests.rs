use std::collections::BTreeSet;
use std::fs;
use std::fs::File;
use std::io;

use countersign_fixtures::pack_entries;
use countersign_format::key::Vkey;
use countersign_format::layout::RepoPath;
use countersign_format::limits::{MAX_BUNDLE, MAX_PACK_INFLATED};
use countersign_format::pack::tail_start;
use countersign_format::signature::{SeedSigner, cosignature_message};
use countersign_format::tile;
use countersign_store::crash::{Failure, with_failure};
use countersign_store::durable::Temporary;
use countersign_store::memory::{Files, WriteFault};
use countersign_store::{DirectoryWriter, MemoryRepository, Put, WriteError};
use tempfile::TempDir;

use super::*;

const LOG: Log = Log::Collection;

fn origin() -> KeyName {
    "example.org/collection".parse().expect("a name")
}

fn signer() -> SeedSigner {
    SeedSigner::new(origin(), &[3; 32])
}

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_seconds(seconds).expect("a time")
}

fn entry(number: u64) -> Vec<u8> {
    format!("{{\"type\":\"test/v1\",\"number\":{number}}}\n").into_bytes()
}

fn entries(range: std::ops::Range<u64>) -> Vec<Vec<u8>> {
    range.map(entry).collect()
}

/// Completes what is pending, then appends.
fn publish(
    sink: &mut dyn Sink,
    state: &Path,
    range: std::ops::Range<u64>,
    now: u64,
) -> Result<(), PublishError> {
    let signer = signer();
    let mut publisher = Publisher::open(sink, state, LOG, &origin())?;
    publisher.commit(&[&signer])?;
    publisher.finish()?;
    let from = publisher.size().max(range.start);
    publisher.prepare(entries(from..range.end), at(now))?;
    publisher.commit(&[&signer])?;
    publisher.finish()
}

/// What a reader sees: the head's signatures verify and its tree is all there. Returns its size.
fn check_readable(files: &Files) -> u64 {
    let Some(bytes) = files.get(&layout::checkpoint(LOG)) else { return 0 };
    let signer = signer();
    let key = Vkey::server(origin(), signer.public_key().clone());
    verify_own_signature(bytes, "checkpoint", &key).expect("the note signature");
    let note = Note::parse(bytes, MAX_NOTE).expect("a note");
    let line = note.signatures().get(1).expect("a timestamped signature");
    let (time, signature) = line.body.split_first_chunk::<8>().expect("a time");
    let message = cosignature_message(note.text(), u64::from_be_bytes(*time));
    let signature = signature.try_into().expect("64 bytes");
    assert!(signer.public_key().verifies(message.as_bytes(), signature));

    let head = Checkpoint::parse(note.text()).expect("a checkpoint");
    let mut frontier = Frontier::empty();
    for index in 0..head.size.div_ceil(256) {
        let width = tile::tile_width(head.size, 0, index);
        let bundle = &files[&layout::bundle(LOG, index, width)];
        let entries = tile::parse_entries(bundle, width.into()).expect("entries");
        if width == 256 {
            let packed = &files[&layout::pack(LOG, 0, index)];
            assert_eq!(pack_entries(packed).expect("a pack"), entries);
        }
        for found in entries {
            assert_eq!(found, entry(frontier.size()));
            frontier.push(leaf_hash(found));
        }
    }
    assert_eq!((frontier.size(), frontier.root()), (head.size, head.root));
    let tail = pack_entries(&files[&layout::tail_pack(LOG, head.size)]).expect("a pack");
    let newest: Vec<Vec<u8>> = (tail_start(head.size)..head.size).rev().map(entry).collect();
    assert_eq!(tail, newest);
    for level in 0..tile::tile_levels(head.size) {
        let mut index = 0;
        while tile::tile_width(head.size, level, index) > 0 {
            let width = tile::tile_width(head.size, level, index);
            assert!(files.contains_key(&layout::tile(LOG, level, index, width)));
            index += 1;
        }
    }
    head.size
}

fn full_files(files: &Files) -> BTreeSet<&RepoPath> {
    let is_of_one_head = |path: &str| path.contains(".p/") || path.contains("/tail/");
    files.keys().filter(|path| !is_of_one_head(path.as_str())).collect()
}

#[test]
fn piece_by_piece_is_the_same_as_at_once() {
    let (mut pieces, first) = (MemoryRepository::new(), tempfile::tempdir().expect("a directory"));
    let (mut next, mut now) = (0, 1_000_000);
    for step in [1, 1, 253, 1, 1, 300, 3600, 1] {
        publish(&mut pieces, first.path(), next..next + step, now).expect("published");
        (next, now) = (next + step, now + 60);
        assert_eq!(check_readable(&pieces.files()), next);
    }
    let (mut whole, state) = (MemoryRepository::new(), tempfile::tempdir().expect("a directory"));
    publish(&mut whole, state.path(), 0..next, now - 60).expect("published");
    check_readable(&whole.files());
    // a pack of many bundles is made by a refresh
    for (sink, state) in [(&mut pieces, &first), (&mut whole, &state)] {
        assert!(!sink.files().contains_key(&layout::pack(LOG, 1, 0)));
        let mut publisher = Publisher::open(sink, state.path(), LOG, &origin()).expect("opened");
        let refreshed = publisher.refresh(Vec::new(), &[&signer()], at(now), Assurances::default());
        assert_eq!(refreshed.expect("refreshed").packs, 1);
    }
    let (pieces, whole) = (pieces.files(), whole.files());
    assert_eq!(full_files(&pieces), full_files(&whole));
    for (path, bytes) in &whole {
        assert_eq!(pieces.get(path), Some(bytes), "{path}");
    }
    let of_level_1 = pack_entries(&whole[&layout::pack(LOG, 1, 0)]).expect("a pack");
    assert_eq!(of_level_1, entries(0..4096));
}

#[test]
fn killed_or_without_power_anywhere_the_rerun_completes() {
    let finished = |now| {
        let (mut sink, state) =
            (MemoryRepository::new(), tempfile::tempdir().expect("a directory"));
        publish(&mut sink, state.path(), 0..250, 1_000_000).expect("published");
        publish(&mut sink, state.path(), 250..260, now).expect("published");
        sink.files()
    };
    let (finished, begun_anew) = (finished(1_000_100), finished(1_000_999));
    let kinds = [
        WriteFault::Error(io::ErrorKind::StorageFull),
        WriteFault::DoneButError(io::ErrorKind::Other),
        WriteFault::PowerLoss { seed: 1 },
        WriteFault::PowerLoss { seed: 2 },
        WriteFault::PowerLoss { seed: 3 },
    ];
    let (mut failures, mut completed) = (0, 0);
    for fault in kinds {
        for after in 0.. {
            let (mut sink, state) =
                (MemoryRepository::new(), tempfile::tempdir().expect("a directory"));
            publish(&mut sink, state.path(), 0..250, 1_000_000).expect("published");
            sink.fail_write(after, fault);
            let failed = publish(&mut sink, state.path(), 250..260, 1_000_100);
            if sink.has_fault_to_come() {
                break;
            }
            failures += 1;
            assert!(failed.is_err());
            sink.restart();
            assert!([250, 260].contains(&check_readable(&sink.files())));
            // what the journal says is signed as it was
            let is_sealed = state.path().join("collection-pending").exists();
            completed += u32::from(is_sealed);
            publish(&mut sink, state.path(), 250..260, 1_000_999).expect("the rerun");
            let expected = if is_sealed { &finished } else { &begun_anew };
            assert_eq!(sink.files(), *expected, "{fault:?} after {after}");
        }
    }
    assert!(failures > 50 && completed > 20, "{failures} {completed}");
}

#[test]
fn every_failing_system_call_leaves_something_to_complete() {
    let mut failed_steps = BTreeSet::new();
    for done in [false, true] {
        for after in 0.. {
            let base = tempfile::tempdir().expect("a directory");
            let (public, state) = rooms(&base);
            let run = |end, now| publish(&mut DirectoryWriter::new(&public), &state, 0..end, now);
            run(3, 1_000_000).expect("published");
            let failure = Failure { after, errno: 28, done };
            let (result, step) = with_failure(failure, || run(5, 1_000_100));
            let Some(step) = step else { break };
            failed_steps.insert(step);
            // what failed once it was done may be found done by what comes after
            assert!(result.is_err() || done, "{step}");
            assert!([3, 5].contains(&check_readable(&on_disk(&public))), "{step}");
            run(5, 1_000_999).expect("the rerun");
            assert_eq!(check_readable(&on_disk(&public)), 5);
            assert!(!state.join("collection-pending").exists());
        }
    }
    for step in ["durable.rename", "durable.syncfs-bytes", "durable.syncfs-names", "durable.unlink"]
    {
        assert!(failed_steps.contains(step), "{step} of {failed_steps:?}");
    }
}

fn rooms(base: &TempDir) -> (std::path::PathBuf, std::path::PathBuf) {
    let (public, state) = (base.path().join("public"), base.path().join("state"));
    fs::create_dir(&public).expect("made");
    fs::create_dir(&state).expect("made");
    (public, state)
}

/// All files of the log, under the paths that readers ask for.
fn on_disk(root: &Path) -> Files {
    let mut files = Files::new();
    let mut add = |path: RepoPath| {
        if let Ok(bytes) = fs::read(root.join(&path)) {
            files.insert(path, bytes);
        }
    };
    add(layout::checkpoint(LOG));
    for width in 1..=256 {
        add(layout::tile(LOG, 0, 0, width));
        add(layout::bundle(LOG, 0, width));
        add(layout::tail_pack(LOG, width.into()));
    }
    files
}

#[test]
fn a_restored_backup_signs_nothing() {
    let base = tempfile::tempdir().expect("a directory");
    let state = base.path();
    let (record, kept) = (state.join("collection-head"), state.join("kept"));
    let mut sink = MemoryRepository::new();
    publish(&mut sink, state, 0..3, 1_000_000).expect("published");
    let old_files = sink.files();
    fs::copy(&record, &kept).expect("copied");
    publish(&mut sink, state, 3..5, 1_000_100).expect("published");
    let new_files = sink.files();
    let mut refused = |files: &Files| {
        sink.replace_all(files.clone());
        let error = publish(&mut sink, state, 0..9, 1_000_200).expect_err("refused");
        assert_eq!(&sink.files(), files, "nothing was written");
        assert_eq!(error.exit().code(), 12);
        assert!(error.hint().is_some());
        error
    };
    // public/ is older than the record, or gone
    let older = refused(&old_files);
    assert!(matches!(older, PublishError::PublicOlder { public: 3, signed: 5, .. }));
    let gone = refused(&Files::new());
    assert!(matches!(gone, PublishError::PublicOlder { public: 0, signed: 5, .. }));
    // the record is older than public/, or gone
    fs::copy(&kept, &record).expect("copied");
    let newer = refused(&new_files);
    assert!(matches!(newer, PublishError::RecordOlder { public: 5, signed: 3, .. }));
    fs::remove_file(&record).expect("removed");
    let missing = refused(&new_files);
    assert!(matches!(missing, PublishError::RecordMissing { size: 5, .. }));

    // a person may say that public/ is the newest: only of what this server signed
    let stranger = SeedSigner::new(origin(), &[4; 32]);
    let adopt = |sink: &MemoryRepository, keys: &[(&SeedSigner, Option<u64>)]| {
        Publisher::adopt(sink, state, LOG, &role(keys))
    };
    let unsigned = adopt(&sink, &[(&stranger, None)]);
    assert!(matches!(unsigned, Err(PublishError::Unsigned { .. })));
    let retired = adopt(&sink, &[(&signer(), Some(4)), (&stranger, None)]);
    assert!(matches!(retired, Err(PublishError::Unsigned { .. })), "it counted up to 4 entries");
    let adopted = adopt(&sink, &[(&stranger, None), (&signer(), Some(5))]);
    assert_eq!(adopted.expect("adopted").size, 5);
    let in_use = adopt(&sink, &[(&signer(), None)]).expect("adopted");
    assert_eq!(in_use.time, at(1_000_100), "when it was signed, though the record is lost");
    let behind = publish(&mut sink, state, 5..9, 1_000_100 - 301).expect_err("its clock is behind");
    assert!(matches!(behind, PublishError::ClockBehind { .. }), "{behind:?}");
    publish(&mut sink, state, 5..9, 1_000_200).expect("published");
    assert_eq!(check_readable(&sink.files()), 9);
    sink.replace_all(old_files);
    let older = adopt(&sink, &[(&signer(), None)]);
    assert!(matches!(older, Err(PublishError::PublicOlder { .. })));
}

#[test]
fn what_readers_see_is_not_about_to_be_appended() {
    let base = tempfile::tempdir().expect("a directory");
    let mut sink = MemoryRepository::new();
    let mut publisher = Publisher::open(&mut sink, base.path(), LOG, &origin()).expect("opened");
    publisher.prepare(entries(0..3), at(1_000_000)).expect("prepared");
    assert_eq!(publisher.unseen().len(), 3);
    publisher.commit(&[&signer()]).expect("shown");
    // killed before the journal went
    let publisher = Publisher::open(&mut sink, base.path(), LOG, &origin()).expect("opened");
    assert!(publisher.pending().is_some());
    assert_eq!((publisher.unseen(), publisher.next_head()), (&[][..], None));
}

/// A role with these keys.
fn role(keys: &[(&SeedSigner, Option<u64>)]) -> LogRole {
    let key = |(signer, until): &(&SeedSigner, Option<u64>)| ServerKey {
        id: origin(),
        epoch: 1,
        kgc: None,
        reconstruction: None,
        vkey: Vkey::server(origin(), signer.public_key().clone()),
        until: *until,
    };
    LogRole { origin: origin(), threshold: 1, max_age: 1, keys: keys.iter().map(key).collect() }
}

#[test]
fn nobodys_word_makes_a_server_go_on_from_another_tree() {
    for fork_size in [3, 4] {
        let (one, other) = (tempfile::tempdir().expect("made"), tempfile::tempdir().expect("made"));
        let (mut sink, mut fork) = (MemoryRepository::new(), MemoryRepository::new());
        publish(&mut sink, one.path(), 0..3, 1_000_000).expect("published");
        publish(&mut fork, other.path(), 0..2, 1_000_000).expect("published");
        publish(&mut fork, other.path(), 9..7 + fork_size, 1_000_000).expect("published");
        sink.replace_all(fork.files());
        let adopted = Publisher::adopt(&sink, one.path(), LOG, &role(&[(&signer(), None)]));
        let error = adopted.expect_err("the record does not lead there");
        assert!(matches!(error, PublishError::OtherTree { size: 3, .. }), "{error:?}");
        assert!(publish(&mut sink, one.path(), 3..4, 1_000_100).is_err());
    }
}

#[test]
fn another_tree_of_the_same_size_is_not_gone_on_from() {
    let (one, other) = (tempfile::tempdir().expect("made"), tempfile::tempdir().expect("made"));
    let (mut sink, mut fork) = (MemoryRepository::new(), MemoryRepository::new());
    publish(&mut sink, one.path(), 0..3, 1_000_000).expect("published");
    publish(&mut fork, other.path(), 0..2, 1_000_000).expect("published");
    publish(&mut fork, other.path(), 9..10, 1_000_000).expect("published");
    sink.replace_all(fork.files());
    let error = publish(&mut sink, one.path(), 3..4, 1_000_100).expect_err("refused");
    assert!(matches!(error, PublishError::OtherTree { size: 3, .. }));
}

#[test]
fn damaged_files_are_not_built_on() {
    let state = tempfile::tempdir().expect("a directory");
    let mut sink = MemoryRepository::new();
    publish(&mut sink, state.path(), 0..3, 1_000_000).expect("published");
    let good = sink.files();
    let (tile, bundle) = (layout::tile(LOG, 0, 0, 3), layout::bundle(LOG, 0, 3));
    for path in [&tile, &bundle] {
        for at in 0..good[path].len() {
            let mut bytes = good[path].clone();
            bytes[at] ^= 4;
            sink.replace(path, &bytes);
            let error = publish(&mut sink, state.path(), 3..4, 1_000_100).expect_err("refused");
            assert!(
                matches!(error, PublishError::Root(_) | PublishError::Damaged { .. }),
                "{path} {at}: {error:?}"
            );
        }
        sink.remove(path).expect("removed");
        let error = publish(&mut sink, state.path(), 3..4, 1_000_100).expect_err("refused");
        assert!(matches!(error, PublishError::Missing(missing) if missing == *path));
        sink.replace_all(good.clone());
    }
    publish(&mut sink, state.path(), 3..4, 1_000_100).expect("published");
}

#[test]
fn a_refresh_signs_the_same_head_later_and_tidies_up() {
    let base = tempfile::tempdir().expect("a directory");
    let state = base.path();
    let mut sink = MemoryRepository::new();
    publish(&mut sink, state, 0..100, 1_000_000).expect("published");
    publish(&mut sink, state, 100..4097, 1_000_100).expect("published");
    let missing = [layout::pack(LOG, 1, 0), layout::pack(LOG, 0, 7), layout::tail_pack(LOG, 4097)];
    for path in &missing {
        sink.remove(path).expect("removed");
    }
    let mut refresh = |now, assurances| {
        let mut publisher = Publisher::open(&mut sink, state, LOG, &origin()).expect("opened");
        let refreshed = publisher.refresh(Vec::new(), &[&signer()], at(now), assurances);
        assert_eq!(check_readable(&sink.files()), 4097);
        refreshed
    };
    let soon = refresh(1_000_200, Assurances::default()).expect("refreshed");
    assert_eq!(soon, Refreshed { time: at(1_000_200), packs: 3, removed: 0 });
    // tile, bundle and tail pack of the first hundred go once no reader can want them
    let later = refresh(1_100_000, Assurances::default()).expect("refreshed");
    assert_eq!(later, Refreshed { time: at(1_100_000), packs: 0, removed: 3 });
    let behind = refresh(1_050_000, Assurances::default());
    assert!(matches!(behind, Err(PublishError::ClockBehind { .. })));
    let mended = refresh(1_050_000, Assurances { clock_was_wrong: true }).expect("refreshed");
    assert_eq!(mended.time, at(1_050_000));
    assert!(sink.files().contains_key(&layout::tile(LOG, 0, 16, 1)), "the head's own stay");
}

/// Counts what goes through a sink.
struct Counting<'a> {
    inner: &'a mut MemoryRepository,
    reads: std::cell::Cell<u64>,
    files: u64,
    bytes: u64,
}

impl Sink for Counting<'_> {
    fn read(&self, path: &RepoPath, limit: u64) -> Result<Option<Vec<u8>>, WriteError> {
        self.reads.set(self.reads.get() + 1);
        self.inner.read(path, limit)
    }

    fn size(&self, path: &RepoPath) -> Result<Option<u64>, WriteError> {
        self.reads.set(self.reads.get() + 1);
        self.inner.size(path)
    }

    fn put_immutable(&mut self, path: &RepoPath, bytes: &[u8]) -> Result<Put, WriteError> {
        self.files += 1;
        self.bytes += bytes.len() as u64;
        self.inner.put_immutable(path, bytes)
    }

    fn put_immutable_file(&mut self, path: &RepoPath, file: &mut File) -> Result<Put, WriteError> {
        self.inner.put_immutable_file(path, file)
    }

    fn put_immutable_link(&mut self, path: &RepoPath, from: &Path) -> Result<Put, WriteError> {
        self.inner.put_immutable_link(path, from)
    }

    fn put_along(&mut self, file: Temporary) -> Result<(), WriteError> {
        self.inner.put_along(file)
    }

    fn discard(&mut self) {
        self.inner.discard();
    }

    fn flush(&mut self, others: &[Temporary]) -> Result<(), WriteError> {
        self.inner.flush(others)
    }

    fn put_heads(&mut self, heads: &[(RepoPath, Vec<u8>)]) -> Result<(), WriteError> {
        self.files += heads.len() as u64;
        self.bytes += heads.iter().map(|(_, bytes)| bytes.len() as u64).sum::<u64>();
        self.inner.put_heads(heads)
    }

    fn remove(&mut self, path: &RepoPath) -> Result<(), WriteError> {
        self.inner.remove(path)
    }
}

#[test]
fn the_work_of_publishing_one_more_does_not_grow_with_the_log() {
    let work = |held: u64| {
        let (mut sink, state) =
            (MemoryRepository::new(), tempfile::tempdir().expect("a directory"));
        publish(&mut sink, state.path(), 0..held, 1_000_000).expect("published");
        let inner = &mut sink;
        let mut counting = Counting { inner, reads: 0.into(), files: 0, bytes: 0 };
        publish(&mut counting, state.path(), held..held + 1, 1_000_100).expect("published");
        (counting.reads.get(), counting.files, counting.bytes)
    };
    let (small, large) = (work(10 + 256), work(10 + 20 * 256));
    // tile, bundle, tail pack and checkpoint; a log of several tiles has an edge on one level more
    assert_eq!((small.1, large.1), (4, 4));
    assert_eq!(large.0, small.0, "files looked at");
    // the entries' numbers and the size have a few digits more
    assert!(large.2 < small.2 + 64, "{small:?} {large:?}");
}

#[test]
fn what_readers_would_refuse_is_not_begun() {
    let state = tempfile::tempdir().expect("a directory");
    let mut sink = MemoryRepository::new();
    let mut publisher = Publisher::open(&mut sink, state.path(), LOG, &origin()).expect("opened");
    let long = publisher.prepare(vec![vec![b'x'; MAX_ENTRY + 1]], at(5));
    assert!(matches!(long, Err(PublishError::EntryTooLong(_))));
    assert!(publisher.pending().is_none());
    publisher.prepare(entries(0..1), at(5)).expect("prepared");
    let twice = publisher.prepare(entries(1..2), at(5));
    assert!(matches!(twice, Err(PublishError::Pending(1))));
    let refreshed = publisher.refresh(Vec::new(), &[&signer()], at(5), Assurances::default());
    assert!(matches!(refreshed, Err(PublishError::Pending(1))));
    let other = "example.org/other".parse().expect("a name");
    publish(&mut sink, state.path(), 0..1, 5).expect("published");
    let opened = Publisher::open(&mut sink, state.path(), LOG, &other);
    assert!(matches!(opened, Err(PublishError::Origin { .. })));
}

#[test]
fn no_pack_is_larger_than_readers_take() {
    // sixteen bundles are at most this, so that only the highest level can exceed the bound
    assert!(16 * MAX_BUNDLE as u64 <= MAX_PACK_INFLATED + 16 * 512);
    let state = tempfile::tempdir().expect("a directory");
    let mut sink = MemoryRepository::new();
    let mut publisher = Publisher::open(&mut sink, state.path(), LOG, &origin()).expect("opened");
    // repetitive, so that only its inflated size is large
    publisher.prepare(vec![vec![b'x'; MAX_ENTRY]; 4096], at(5)).expect("prepared");
    publisher.commit(&[&signer()]).expect("committed");
    publisher.finish().expect("finished");
    let refreshed = publisher.refresh(Vec::new(), &[&signer()], at(6), Assurances::default());
    assert_eq!(refreshed.expect("refreshed").packs, 0, "it would inflate beyond the bound");
    assert!(!sink.files().contains_key(&layout::pack(LOG, 1, 0)));
}

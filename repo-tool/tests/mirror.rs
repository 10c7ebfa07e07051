//! `patchrepo mirror sync`: a copy that can be trusted no less than what it is copied from.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use countersign_fixtures::{
    NOW, PatchSpec, Payload, Repository, RepositoryBuilder, Server, pack_entries,
};
use countersign_format::checkpoint::Checkpoint;
use countersign_format::key::SignatureType;
use countersign_format::layout::{self, Log, Place, RepoPath};
use countersign_format::note::Note;
use countersign_format::pack::{Order, compress};
use countersign_format::policy::Clock;
use countersign_format::time::Timestamp;
use countersign_store::authority::Anchor;
use countersign_store::crash::{Failure, with_failure};
use countersign_store::memory::Files;
use countersign_store::{HttpOptions, Location, MemoryRepository, Mirrors, Source};
use countersign_terminal::{ExitStatus, Progress};
use patchrepo::mirror::{MirrorOptions, Synced, other_places, sync};
use patchrepo::replica::{NoSource, Replica, ReplicaError, Signatures, copy_log};
use patchrepo::verify::{VerifyOptions, verify};
use tempfile::TempDir;

fn payload(version: &str) -> Payload {
    Payload::new().program("opt/acme/agent", version).file("opt/acme/data", "the same")
}

fn patch(version: &str) -> PatchSpec {
    PatchSpec::full("acme", version, &payload(version))
}

fn repository() -> Repository {
    let mut repository = RepositoryBuilder::new().build();
    let first = repository.collect(&patch("1.0.0"));
    repository.collect(&PatchSpec::full("other", "1.0.0", &payload("not released")));
    repository.release(&[first]);
    repository.publish_directory(1, &["https://192.0.2.10/"]);
    repository.publish();
    repository
}

/// Adds and releases one patch.
fn add(repository: &mut Repository, version: &str) {
    let index = repository.collect(&patch(version));
    repository.release(&[index]);
    repository.wait(60);
    repository.publish();
}

struct Mirror {
    directory: TempDir,
    options: MirrorOptions,
}

impl Mirror {
    fn new(repository: &Repository) -> Self {
        let options = MirrorOptions {
            anchor: Anchor::Note { bytes: repository.enrolment(), file: "enrolled".into() },
            distribution: None,
            clock: Clock::local(Timestamp::from_seconds(NOW).expect("a time").plus(3600)),
            repairs: false,
        };
        Self { directory: tempfile::tempdir().expect("a directory"), options }
    }

    /// A mirror that has been synced.
    fn of(repository: &Repository) -> Self {
        let mirror = Self::new(repository);
        mirror.sync(repository).expect("synced");
        mirror
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    fn sync(&self, repository: &Repository) -> Result<Synced, ReplicaError> {
        self.sync_from(Source::memory("memory", &repository.memory()))
    }

    fn sync_from(&self, source: Source) -> Result<Synced, ReplicaError> {
        let synced = self.sync_from_any(vec![source]);
        synced.map_err(|NoSource(failed)| failed.into_last().expect("one source"))
    }

    fn sync_from_any(&self, sources: Vec<Source>) -> Result<Synced, NoSource> {
        let sources = Mirrors::new(sources);
        run(sync(&sources, self.path(), &self.options, &Progress::hidden()))
    }

    fn files(&self) -> Files {
        let mut files = Files::new();
        list(self.path(), "", &mut files);
        files
    }

    /// Asserts that what it holds is the source's to the byte, and passes every check.
    #[track_caller]
    fn assert_faithful(&self, repository: &Repository) {
        let files = self.files();
        for (path, bytes) in &files {
            assert_eq!(Some(bytes), repository.files().get(path), "{path}");
        }
        assert!(!self.path().join(".incoming").exists());
        let source = self.as_source();
        let options = VerifyOptions {
            anchor: self.options.anchor.clone(),
            distribution: None,
            clock: self.options.clock,
        };
        let verified = run(verify(source, Some(self.path()), &options, &Progress::hidden()));
        assert_eq!(verified.expect("a chain").findings, []);
    }

    fn as_source(&self) -> Source {
        Source::open(&Location::Directory(self.path().to_owned()), &HttpOptions::default())
    }
}

/// All files but those that are the copy's own business.
fn list(directory: &Path, prefix: &str, files: &mut Files) {
    for entry in fs::read_dir(directory).expect("listed") {
        let entry = entry.expect("an entry");
        let path = format!("{prefix}{}", entry.file_name().to_str().expect("UTF-8"));
        if [".evidence", ".incoming", ".state"].contains(&path.as_str()) {
            continue;
        }
        if entry.file_type().expect("a type").is_dir() {
            list(&entry.path(), &format!("{path}/"), files);
        } else {
            let place = Place::parse(&path).unwrap_or_else(|| panic!("{path} is there"));
            files.insert(place.path(), fs::read(entry.path()).expect("read"));
        }
    }
}

fn run<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(future)
}

/// The paths that a reader of the newest head may ask for: no partial files and tails of earlier heads.
fn current(files: &Files) -> BTreeSet<RepoPath> {
    let is_earlier = |path: &&RepoPath| {
        let text = path.as_str();
        if let Some(Place::TailPack { log, size }) = Place::parse(text) {
            return files.keys().any(|other| {
                matches!(Place::parse(other.as_str()), Some(Place::TailPack { log: of, size: later })
                    if of == log && later > size)
            });
        }
        let Some((stem, width)) = text.split_once(".p/") else { return false };
        let width = width.parse::<u16>().expect("a width");
        files.keys().any(|other| match other.as_str().split_once(".p/") {
            Some((other_stem, other_width)) => {
                let other_width: u16 = other_width.parse().expect("a width");
                other_stem == stem && other_width > width
            }
            None => other.as_str() == stem,
        })
    };
    files.keys().filter(|path| !is_earlier(path)).cloned().collect()
}

#[test]
fn a_first_sync_copies_all_that_readers_need() {
    let repository = repository();
    let mirror = Mirror::new(&repository);
    let synced = mirror.sync(&repository).expect("synced");
    assert_eq!(synced.patches, 1);
    assert_eq!(synced.bad_packs, []);
    mirror.assert_faithful(&repository);
    let held: BTreeSet<_> = mirror.files().into_keys().collect();
    assert_eq!(held, current(repository.files()));
}

#[test]
fn nothing_new_is_three_requests() {
    let repository = repository();
    let mirror = Mirror::of(&repository);
    let before = mirror.files();
    let synced = mirror.sync(&repository).expect("synced");
    assert_eq!(synced.statistics.requests, 3);
    assert!(synced.logs.iter().all(|log| log.is_unchanged));
    assert_eq!(mirror.files(), before);
}

/// What its server gave along with the heads that it holds, it says again: they do not come twice.
#[test]
fn heads_that_did_not_change_do_not_come_again() {
    let mut repository = repository();
    let mirror = Mirror::of(&repository);
    let heads = |repository: &Repository| {
        Log::BOTH.map(|log| repository.files()[&layout::checkpoint(log)].len() as u64)
    };
    let nothing = mirror.sync(&repository).expect("synced").statistics.received;
    fs::remove_file(mirror.path().join(".state/validators")).expect("removed");
    let whole = mirror.sync(&repository).expect("synced").statistics.received;
    assert_eq!(whole - nothing, heads(&repository).iter().sum::<u64>());
    assert_eq!(mirror.sync(&repository).expect("synced").statistics.received, nothing);
    // of another server nothing is known
    let elsewhere = || Source::memory("elsewhere", &repository.memory());
    let other = mirror.sync_from(elsewhere()).expect("synced").statistics.received;
    assert_eq!(other, whole);
    assert_eq!(mirror.sync_from(elsewhere()).expect("synced").statistics.received, nothing);
    // nor of a head that is not held any more
    add(&mut repository, "2.0.0");
    mirror.sync(&repository).expect("synced");
    mirror.assert_faithful(&repository);
}

/// What is held is not looked at for what is new, unless somebody asks for that.
#[test]
fn what_is_gone_is_fetched_again_when_asked_for() {
    let mut repository = repository();
    let mut mirror = Mirror::of(&repository);
    let archive = mirror.files().into_keys().find(|path| path.as_str().contains(".patch"));
    let archive = mirror.path().join(archive.expect("an archive"));
    fs::remove_file(&archive).expect("removed");
    add(&mut repository, "2.0.0");
    assert_eq!(mirror.sync(&repository).expect("synced").patches, 1);
    assert!(!archive.exists());
    mirror.options.repairs = true;
    let repaired = mirror.sync(&repository).expect("synced");
    assert_eq!((repaired.patches, archive.exists()), (1, true));
    assert!(repaired.logs.iter().all(|log| log.is_unchanged));
    assert_eq!(mirror.sync(&repository).expect("synced").patches, 0);
    mirror.assert_faithful(&repository);
}

/// A patch whose files could be missing when it was withdrawn is fetched when it is released again.
#[test]
fn what_is_released_again_is_fetched() {
    let mut repository = repository();
    repository.withdraw(&[0], "field reports");
    repository.publish();
    let mut without = repository.clone();
    without.files_mut().retain(|path, _| !path.as_str().starts_with("patches/"));
    let mirror = Mirror::of(&without);
    assert!(!mirror.files().keys().any(|path| path.as_str().contains(".patch")));
    repository.release(&[0]);
    repository.wait(60);
    repository.publish();
    assert_eq!(mirror.sync(&repository).expect("synced").patches, 1);
    mirror.assert_faithful(&repository);
}

/// The index saves work and nothing else: without it, or with another repository's, the same comes.
#[test]
fn an_index_that_is_lost_torn_or_wrong_changes_nothing() {
    let other = {
        let mut other = repository();
        for version in ["7.0.0", "8.0.0"] {
            add(&mut other, version);
        }
        Mirror::of(&other)
    };
    let index = |mirror: &Mirror| mirror.path().join(".state/index.db");
    let harms: [&dyn Fn(&Mirror); 4] = [
        &|mirror| fs::remove_dir_all(mirror.path().join(".state")).expect("removed"),
        &|mirror| fs::write(index(mirror), b"no database").expect("written"),
        &|mirror| fs::write(index(mirror), b"").expect("written"),
        &|mirror| {
            for name in ["index.db", "index.db-wal"] {
                let [from, to] = [&other, mirror].map(|it| it.path().join(".state").join(name));
                fs::copy(from, to).expect("copied");
            }
        },
    ];
    for (number, harm) in harms.iter().enumerate() {
        let mut repository = repository();
        let mirror = Mirror::of(&repository);
        harm(&mirror);
        add(&mut repository, "2.0.0");
        repository.release(&[1]);
        repository.wait(60);
        repository.publish();
        let synced = mirror.sync(&repository).unwrap_or_else(|error| panic!("{number}: {error:?}"));
        assert_eq!(synced.patches, 2, "{number}");
        mirror.assert_faithful(&repository);
    }
}

/// A decision may speak of a tree that does not come along with it: it is compared when that comes.
#[test]
fn a_decision_about_a_later_tree_is_not_forgotten() {
    let mut repository = repository();
    repository.release_with(&[0], |release| {
        release.of.size = 4;
        release.of.root.0[5] ^= 1;
    });
    repository.wait(60);
    repository.publish();
    let mirror = Mirror::of(&repository);
    repository.collect_history(1);
    repository.wait(60);
    repository.publish();
    mirror.sync(&repository).expect("three entries");
    repository.collect_history(2);
    repository.wait(60);
    repository.publish();
    let error = assert_refused(&mirror, &repository, ExitStatus::RollbackOrFork);
    assert!(matches!(error, ReplicaError::Fork(fork) if fork.size == 4));
}

/// Only a run that ended well is trusted to have left nothing half written.
#[test]
fn what_a_killed_run_left_is_removed_by_the_next() {
    let mut repository = repository();
    let mirror = Mirror::of(&repository);
    let left = mirror.path().join("patches/.tmp-1-1");
    fs::write(&left, b"half").expect("written");
    mirror.sync(&repository).expect("synced");
    assert!(left.exists(), "nobody looked");
    let mut spoiled = repository.clone();
    add(&mut spoiled, "2.0.0");
    spoiled.files_mut().retain(|path, _| !path.as_str().contains(".patch"));
    mirror.sync(&spoiled).expect_err("an archive is missing");
    add(&mut repository, "2.0.0");
    mirror.sync(&repository).expect("synced");
    assert!(!left.exists());
    mirror.assert_faithful(&repository);
}

#[test]
fn one_new_patch_is_at_most_twelve_requests() {
    let mut repository = repository();
    repository.collect_history(4_090);
    repository.publish();
    let mirror = Mirror::of(&repository);
    // the fourth of these completes a bundle and a pack of 4,096 entries
    for version in ["2.0.0", "3.0.0", "4.0.0", "5.0.0", "6.0.0"] {
        add(&mut repository, version);
        let synced = mirror.sync(&repository).expect("synced");
        assert_eq!(synced.patches, 1);
        assert!(synced.statistics.requests <= 12, "{}", synced.statistics.requests);
        mirror.assert_faithful(&repository);
    }
}

#[test]
fn new_timestamps_alone_are_copied() {
    let mut repository = repository();
    let mirror = Mirror::of(&repository);
    repository.wait(600);
    repository.publish();
    let synced = mirror.sync(&repository).expect("synced");
    assert!(synced.logs.iter().all(|log| !log.is_unchanged && log.before == log.size));
    assert_eq!(synced.statistics.requests, 3);
    mirror.assert_faithful(&repository);
}

#[test]
fn a_log_grows_over_bundles_tiles_and_packs() {
    let mut repository = repository();
    let mirror = Mirror::of(&repository);
    for count in [250, 3, 1, 300, 3_600, 4_096, 17] {
        repository.collect_history(count);
        repository.wait(1);
        repository.publish();
        mirror.sync(&repository).expect("synced");
        mirror.assert_faithful(&repository);
    }
    let fresh = Mirror::of(&repository);
    fresh.assert_faithful(&repository);
    let held: BTreeSet<_> = fresh.files().into_keys().collect();
    assert_eq!(held, current(repository.files()));
}

#[test]
fn packs_that_are_made_later_are_copied_later() {
    let mut repository = repository();
    repository.collect_history(9_000);
    repository.publish();
    let path = layout::pack(Log::Collection, 1, 0);
    let late = repository.files_mut().remove(&path).expect("a pack");
    let mirror = Mirror::of(&repository);
    assert!(!mirror.path().join(&path).exists());
    repository.files_mut().insert(path.clone(), late);
    repository.wait(60);
    repository.publish();
    mirror.sync(&repository).expect("synced");
    assert!(mirror.path().join(&path).exists());
    mirror.assert_faithful(&repository);
}

/// A pack that holds other entries says nothing against the log, whose bundles are good.
#[test]
fn a_pack_of_other_entries_is_left_out_and_no_fork() {
    let mut repository = repository();
    repository.collect_history(300);
    add(&mut repository, "2.0.0");
    let head = repository.note(&layout::checkpoint(Log::Collection));
    let size = Checkpoint::parse(head.text()).expect("a checkpoint").size;
    for path in [layout::tail_pack(Log::Collection, size), layout::pack(Log::Collection, 0, 0)] {
        let mut spoiled = repository.clone();
        spoiled.edit(&path, |pack| {
            let mut entries = pack_entries(pack).expect("a pack");
            entries[0].reverse();
            let order = if path.as_str().contains("tail") { Order::Tail } else { Order::Bundles };
            let other = compress(order, entries.iter().map(Vec::as_slice), 1);
            *pack = other.expect("compressed").expect("small");
        });
        let mirror = Mirror::new(&repository);
        let synced = mirror.sync(&spoiled).expect("synced");
        assert_eq!(synced.bad_packs, [path]);
        assert!(!mirror.path().join(".evidence").exists());
        mirror.assert_faithful(&repository);
    }
}

/// What a pack says of entries that the mirror already held leads to no root: it is compared with
/// them before it is served.
#[test]
fn a_pack_that_alters_what_is_held_is_left_out() {
    let mut repository = repository();
    repository.collect_history(98);
    repository.publish();
    let mirror = Mirror::of(&repository);
    repository.collect_history(500);
    repository.wait(60);
    repository.publish();
    let mut spoiled = repository.clone();
    let path = layout::pack(Log::Collection, 0, 0);
    spoiled.edit(&path, |pack| {
        let mut entries = pack_entries(pack).expect("a pack");
        entries[99].reverse();
        let other = compress(Order::Bundles, entries.iter().map(Vec::as_slice), 1);
        *pack = other.expect("compressed").expect("small");
    });
    let synced = mirror.sync(&spoiled).expect("synced");
    assert_eq!(synced.bad_packs, [path]);
    mirror.assert_faithful(&repository);
}

/// Packs do not wait in memory for the end of the log.
#[test]
fn packs_are_on_disk_as_soon_as_they_are_read_and_gone_after_an_error() {
    let mut repository = repository();
    repository.collect_history(4096 + 1000);
    repository.publish();
    let last = layout::tail_pack(Log::Collection, 4096 + 1002);
    let (spoiled, mirror) = (repository.memory(), Mirror::new(&repository));
    let mut entries = pack_entries(&repository.files()[&last]).expect("a pack");
    entries[0].reverse();
    let other = compress(Order::Tail, entries.iter().map(Vec::as_slice), 1);
    spoiled.replace(&last, &other.expect("compressed").expect("small"));
    let source = Arc::new(Source::memory("memory", &spoiled));
    let mut replica = Replica::open(mirror.path(), source).expect("opened");
    let clock = mirror.options.clock;
    let place = mirror.path().join(layout::pack(Log::Collection, 1, 0));
    let place = place.parent().expect("a directory");
    let files = || fs::read_dir(place).map_or(0, Iterator::count);
    let mut seen = Vec::new();
    let error = run(async {
        let walk = replica.copy_authority(&mirror.options.anchor, clock).await.expect("a chain");
        let authority = walk.chain().newest();
        let (log, distribution) = (Log::Collection, &authority.distributions[0]);
        let head = replica.fetch_head(log, authority, distribution, Signatures::Both, clock);
        let head = head.await.expect("a head");
        let mut visit = |index: u64, _: &[u8]| {
            if [4095, 4096].contains(&index) {
                seen.push(files());
            }
        };
        copy_log(&mut replica, &head, &mut visit).await.expect_err("another root")
    });
    assert!(error.may_be_packs(), "{error:?}");
    assert_eq!(seen, [0, 1]);
    assert_eq!(files(), 0, "the writer is still there");
    drop(replica);
}

#[test]
fn tails_of_earlier_heads_go_after_a_day() {
    let mut repository = repository();
    let mut mirror = Mirror::of(&repository);
    let first = mirror.files();
    let gone = |mirror: &Mirror| {
        let files = mirror.files();
        first.keys().filter(|path| !files.contains_key(*path)).count()
    };
    for (version, hours, expected) in [("2.0.0", 1, 0), ("3.0.0", 23, 0), ("4.0.0", 25, 2)] {
        add(&mut repository, version);
        mirror.options.clock = Clock::local(repository.now.plus(hours * 3600));
        mirror.sync(&repository).expect("synced");
        // one in each log
        assert_eq!(gone(&mirror), expected, "{version}");
        mirror.assert_faithful(&repository);
    }
}

#[test]
fn a_mirror_of_a_mirror_is_the_same() {
    let mut repository = repository();
    repository.collect_history(300);
    repository.publish();
    let first = Mirror::of(&repository);
    let second = Mirror::new(&repository);
    second.sync_from(first.as_source()).expect("synced");
    assert_eq!(second.files(), first.files());
    second.assert_faithful(&repository);
}

#[test]
fn all_authority_notes_are_copied_whatever_is_trusted() {
    let mut repository = repository();
    for _ in 0..3 {
        let keys = repository.authority_keys.clone();
        repository.publish_authority(&keys);
    }
    repository.edit(&layout::authority(2), |bytes| bytes.truncate(100));
    let keys = repository.authority_keys.clone();
    repository.publish_authority(&keys);
    repository.publish();
    let text = repository.note(&layout::authority(4)).text().to_owned();
    let mut mirror = Mirror::new(&repository);
    mirror.options.anchor =
        Anchor::Fingerprint(countersign_format::hash::Hash32::of(text.as_bytes()));
    let synced = mirror.sync(&repository).expect("synced");
    assert_eq!(synced.authority, 5);
    for version in 1..=5 {
        assert!(mirror.files().contains_key(&layout::authority(version)), "{version}");
    }
    assert_eq!(mirror.sync(&repository).expect("synced").statistics.requests, 3);
}

#[test]
fn a_made_up_authority_note_does_not_take_the_place_of_the_real_one() {
    let mut repository = repository();
    let mirror = Mirror::of(&repository);
    let forged = repository.memory();
    let second = layout::authority(2);
    forged.replace(&second, b"anybody can write this\n");
    let synced = mirror.sync_from(Source::memory("forged", &forged)).expect("passed over");
    assert_eq!((synced.authority, synced.passed_over.len()), (1, 1));
    assert!(!mirror.files().contains_key(&second), "nobody signed it");

    let keys = repository.authority_keys.clone();
    repository.publish_authority(&keys);
    add(&mut repository, "2.0.0");
    assert_eq!(mirror.sync(&repository).expect("synced").authority, 2);
    mirror.assert_faithful(&repository);
}

/// Asserts that `spoiled` is refused and that the mirror serves what it served.
#[track_caller]
fn assert_refused(mirror: &Mirror, spoiled: &Repository, exit: ExitStatus) -> ReplicaError {
    let before = mirror.files();
    let error = mirror.sync(spoiled).expect_err("must be refused");
    let heads = |files: &Files| Log::BOTH.map(|log| files[&layout::checkpoint(log)].clone());
    assert_eq!(heads(&mirror.files()), heads(&before));
    for (path, bytes) in before {
        assert_eq!(mirror.files()[&path], bytes, "{path}");
    }
    let error_text = format!("{error:?}");
    let failure: countersign_terminal::Failure = mirror.sync(spoiled).expect_err("again").into();
    assert_eq!(failure.exit(), exit, "{error_text}");
    error
}

#[test]
fn a_stale_source_never_takes_a_mirror_back() {
    let mut repository = repository();
    let old = repository.clone();
    add(&mut repository, "2.0.0");
    let mirror = Mirror::of(&repository);
    assert_refused(&mirror, &old, ExitStatus::RollbackOrFork);
    // the entries of now under the signatures of then
    let mut behind = repository.clone();
    behind.wait(600);
    behind.publish();
    let mirror = Mirror::of(&behind);
    assert_refused(&mirror, &repository, ExitStatus::RollbackOrFork);
}

#[test]
fn a_frozen_source_is_told() {
    let repository = repository();
    let mut mirror = Mirror::of(&repository);
    mirror.options.clock = Clock::local(repository.now.plus(4 * 86_400));
    assert_refused(&mirror, &repository, ExitStatus::Expired);
}

#[test]
fn a_fork_is_refused_and_both_heads_are_kept() {
    let mut repository = repository();
    let mut other = repository.clone();
    add(&mut repository, "2.0.0");
    other.wait(60);
    add(&mut other, "6.6.6");
    let mirror = Mirror::of(&repository);
    let error = assert_refused(&mirror, &other, ExitStatus::RollbackOrFork);
    assert!(
        matches!(error, ReplicaError::Fork(fork) if fork.log == Log::Distribution && fork.size == 2)
    );
    let evidence = mirror.path().join(".evidence");
    let read = |name: &str| fs::read(evidence.join(name)).expect("kept");
    let head = layout::checkpoint(Log::Distribution);
    assert_eq!(read("distribution-2-held"), repository.files()[&head]);
    assert_eq!(read("distribution-2-found"), other.files()[&head]);
    // grown beyond, it no longer leads from what is held to what is signed
    add(&mut other, "6.6.7");
    let error = assert_refused(&mirror, &other, ExitStatus::RollbackOrFork);
    assert!(matches!(error, ReplicaError::Follow(_)), "{error:?}");
}

#[test]
fn a_decision_about_another_tree_is_refused() {
    let mut repository = repository();
    let mirror = Mirror::of(&repository);
    for size in [2, 1, 3] {
        let mut other = repository.clone();
        other.collect_history(1);
        other.release_with(&[0], |release| {
            release.of.size = size;
            release.of.root.0[5] ^= 1;
        });
        other.wait(60);
        other.publish();
        let error = assert_refused(&mirror, &other, ExitStatus::RollbackOrFork);
        assert!(matches!(error, ReplicaError::Fork(fork) if fork.log == Log::Collection), "{size}");
    }
    repository.wait(60);
    repository.publish();
    mirror.sync(&repository).expect("the honest one goes on");
}

#[test]
fn missing_signatures_are_refused_by_layer() {
    let repository = repository();
    let mirror = Mirror::of(&repository);
    let mut newer = repository.clone();
    add(&mut newer, "2.0.0");
    let collection = newer.collections[0].clone();
    let distribution = newer.distributions[0].clone();
    let entry = newer.collection.entries()[2].clone();
    let entry = countersign_format::entry::PatchEntry::parse(&entry).expect("a patch");
    let note = layout::patch_note(&entry.archive.sha256);
    let head = layout::checkpoint(Log::Collection);
    let spoil = |path: &RepoPath, server: &Server, kind| {
        let mut spoiled = newer.clone();
        spoiled.drop_lines(path, server, kind);
        let error = assert_refused(&mirror, &spoiled, ExitStatus::Signature);
        assert!(matches!(error, ReplicaError::Policy(_)), "{error:?}");
    };
    spoil(&head, &collection, SignatureType::Cosignature);
    spoil(&head, &distribution, SignatureType::Cosignature);
    spoil(&note, &collection, SignatureType::Note);
    spoil(&note, &distribution, SignatureType::Countersignature);
    mirror.sync(&newer).expect("the good one goes on");
    mirror.assert_faithful(&newer);
}

#[test]
fn whatever_byte_a_source_alters_no_mirror_passes_it_on() {
    let mut repository = repository();
    repository.collect_history(300);
    let keys = repository.authority_keys.clone();
    repository.publish_authority(&keys);
    add(&mut repository, "2.0.0");
    for (path, bytes) in repository.files() {
        for position in [0, bytes.len() / 2, bytes.len() - 2] {
            let mut altered = bytes.clone();
            altered[position] ^= 4;
            let memory = repository.memory();
            memory.replace(path, &altered);
            let mirror = Mirror::new(&repository);
            let synced = mirror.sync_from(Source::memory("memory", &memory));
            let is_pack = path.as_str().contains("/pack/");
            let held = mirror.files().get(path).cloned();
            // a note that cannot be accepted is passed on with a later one that can
            let is_passed_over = matches!(&synced, Ok(synced) if !synced.passed_over.is_empty());
            assert!(
                is_pack || is_passed_over || held.is_none_or(|held| held == *bytes),
                "byte {position} of {path}"
            );
        }
    }
}

#[test]
fn an_interrupted_download_is_gone_on_with() {
    let repository = repository();
    let (path, bytes) = repository
        .files()
        .iter()
        .find(|(path, _)| path.as_str().contains(".patch"))
        .expect("an archive");
    let incoming = |mirror: &Mirror, bytes: &[u8]| {
        let hash = path.as_str().rsplit('/').next().expect("a name").replace(".patch", "");
        fs::create_dir(mirror.path().join(".incoming")).expect("made");
        fs::write(mirror.path().join(".incoming").join(hash), bytes).expect("written");
    };
    let whole = Mirror::new(&repository).sync(&repository).expect("synced");
    let mirror = Mirror::new(&repository);
    incoming(&mirror, &bytes[..100]);
    let synced = mirror.sync(&repository).expect("synced");
    assert_eq!(synced.statistics.received, whole.statistics.received - 100);
    mirror.assert_faithful(&repository);
    // a beginning that is not the archive's is found out, and the next try begins anew
    let mirror = Mirror::new(&repository);
    incoming(&mirror, &[0; 100]);
    let error = mirror.sync(&repository).expect_err("not the archive");
    assert!(matches!(error, ReplicaError::Archive { .. }));
    mirror.sync(&repository).expect("synced");
    mirror.assert_faithful(&repository);
}

#[test]
fn a_withdrawn_patch_may_be_gone() {
    let mut repository = repository();
    add(&mut repository, "2.0.0");
    repository.withdraw(&[0], "field reports");
    repository.publish();
    repository.files_mut().retain(|path, _| !path.as_str().starts_with("patches/"));
    let mirror = Mirror::new(&repository);
    let error = mirror.sync(&repository).expect_err("the other one must be there");
    assert!(matches!(error, ReplicaError::Missing { .. }));
    repository.withdraw(&[2], "field reports");
    repository.wait(60);
    repository.publish();
    repository.files_mut().retain(|path, _| !path.as_str().starts_with("patches/"));
    assert_eq!(mirror.sync(&repository).expect("synced").patches, 0);
}

#[test]
fn a_new_origin_begins_a_new_log() {
    let mut repository = repository();
    let mirror = Mirror::of(&repository);
    let mut recovered = RepositoryBuilder::new().build();
    let keys = recovered.authority_keys.clone();
    recovered.authority.collection.origin = "patches.example.org/collection-2".parse().expect("");
    recovered.publish_authority(&keys);
    let index = recovered.collect(&patch("1.0.1"));
    recovered.release(&[index]);
    recovered.wait(60);
    recovered.authority.distributions[0].log.origin =
        "patches.example.org/distribution-2".parse().expect("a name");
    recovered.publish_authority(&keys);
    recovered.publish();
    let synced = mirror.sync(&recovered).expect("synced");
    assert!(synced.logs.iter().all(|log| log.before == 0));
    for log in Log::BOTH {
        let path = layout::checkpoint(log);
        assert_eq!(mirror.files()[&path], recovered.files()[&path]);
    }
    add(&mut repository, "2.0.0");
    mirror.sync(&repository).expect_err("the left origin does not come back");
}

#[test]
fn a_directory_is_copied_when_the_held_one_is_old() {
    let mut repository = repository();
    let mirror = Mirror::of(&repository);
    repository.publish_directory(2, &["https://192.0.2.11/"]);
    let held = mirror.path().join("directory");
    let make_old = || {
        let old = std::time::SystemTime::now() - std::time::Duration::from_secs(100_000);
        let file = fs::File::options().write(true).open(&held).expect("opened");
        file.set_modified(old).expect("set");
    };
    assert_eq!(mirror.sync(&repository).expect("synced").statistics.requests, 3);
    make_old();
    assert_eq!(mirror.sync(&repository).expect("synced").statistics.requests, 4);
    assert_eq!(fs::read(&held).expect("read"), repository.files()[&layout::directory()]);
    repository.publish_directory(1, &["https://192.0.2.10/"]);
    make_old();
    let synced = mirror.sync(&repository).expect("synced");
    assert!(synced.directory_refused.expect("refused").contains("version 1"));
}

#[test]
fn where_its_source_fails_a_mirror_goes_on_with_another() {
    let mut repository = repository();
    let stale = Source::memory("stale", &repository.memory());
    add(&mut repository, "2.0.0");
    let mirror = Mirror::of(&repository);
    add(&mut repository, "3.0.0");
    let mut liar = repository.clone();
    liar.edit_note(&layout::checkpoint(Log::Collection), |note| {
        Note::new(note.text().to_owned(), Vec::new())
    });
    let sources = vec![
        Source::memory("empty", &MemoryRepository::new()),
        stale,
        Source::memory("liar", &liar.memory()),
        Source::memory("good", &repository.memory()),
    ];
    let synced = mirror.sync_from_any(sources).expect("the last is good");
    assert_eq!(synced.source, "good");
    let passed: Vec<_> = synced.failed.iter().map(|one| (one.source.as_str(), &one.why)).collect();
    let [("empty", missing), ("stale", older), ("liar", unsigned)] = passed.as_slice() else {
        panic!("{passed:?}");
    };
    assert!(missing.contains("has no distribution/checkpoint"), "{missing}");
    assert!(older.contains("60 s older than"), "{older}");
    assert!(unsigned.contains("collection/checkpoint"), "{unsigned}");
    mirror.assert_faithful(&repository);
}

#[test]
fn a_mirror_finds_other_places_in_the_directory_that_it_holds() {
    let mut repository = repository();
    let urls = ["https://m1.example.net/", "https://m2.example.net/", "http://127.0.0.1:1/"];
    repository.publish_directory(2, &urls);
    let mut mirror = Mirror::new(&repository);
    let own: Location = "https://m2.example.net".parse().expect("a place");
    let places = |mirror: &Mirror| -> Vec<String> {
        let found = other_places(mirror.path(), &mirror.options, std::slice::from_ref(&own));
        run(found).expect("found").iter().map(ToString::to_string).collect()
    };
    assert_eq!(places(&mirror), [""; 0], "nothing is held yet");
    mirror.sync(&repository).expect("synced");
    assert_eq!(places(&mirror), [urls[0], urls[2]]);

    let held = mirror.path().join("directory");
    let signed = fs::read(&held).expect("read");
    let forged = String::from_utf8(signed.clone()).expect("text").replace("m1.", "evil.");
    fs::write(&held, forged).expect("written");
    assert_eq!(places(&mirror), [""; 0], "nobody signed it");
    fs::write(&held, signed).expect("written");
    mirror.options.clock = Clock::local(repository.now.plus(90 * 86_400));
    assert_eq!(places(&mirror), [""; 0], "it has expired");
}

#[test]
fn a_failure_of_any_system_call_is_healed_by_the_next_run() {
    let mut repository = repository();
    let base = Mirror::of(&repository);
    add(&mut repository, "2.0.0");
    let mut failures = 0;
    for done in [false, true] {
        for after in 0.. {
            let mirror = Mirror::new(&repository);
            let source = MemoryRepository::new();
            source.replace_all(base.files());
            mirror.sync_from(Source::memory("base", &source)).expect("the state before");
            let failure = Failure { after, errno: 28, done };
            let (result, failed) = with_failure(failure, || mirror.sync(&repository));
            let Some(name) = failed else { break };
            failures += 1;
            assert!(result.is_err(), "{name}");
            mirror.sync(&repository).unwrap_or_else(|error| panic!("{name}: {error:?}"));
            mirror.assert_faithful(&repository);
        }
    }
    assert!(failures > 40, "{failures}");
}

//! Packs, which prove nothing by themselves.

use std::fs;
use std::sync::Arc;

use countersign_fixtures::pack_entries;
use countersign_format::checkpoint::Checkpoint;
use countersign_format::layout::{self, Log};
use countersign_format::pack::{Order, compress};
use countersign_format::policy::Clock;
use countersign_store::Source;
use patchrepo::replica::{Replica, Signatures, copy_log};

use super::{Mirror, add, repository, run};

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

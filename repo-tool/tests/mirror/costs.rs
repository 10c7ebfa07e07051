//! How little a mirror asks for when little is new.

use std::fs;

use countersign_fixtures::Repository;
use countersign_format::layout::{self, Log};
use countersign_store::Source;

use super::{Mirror, add, repository};

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

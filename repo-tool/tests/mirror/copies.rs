//! What a mirror copies: all that readers need, to the byte.

use std::collections::BTreeSet;
use std::fs;

use countersign_fixtures::RepositoryBuilder;
use countersign_format::layout::{self, Log};
use countersign_store::Source;
use countersign_store::authority::Anchor;
use countersign_terminal::ExitStatus;
use patchrepo::replica::ReplicaError;

use super::{Mirror, add, assert_refused, current, patch, repository};

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

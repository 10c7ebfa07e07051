//! What a source may try, and a mirror never passes on.

use std::fs;

use countersign_fixtures::Server;
use countersign_format::key::SignatureType;
use countersign_format::layout::{self, Log, RepoPath};
use countersign_format::policy::Clock;
use countersign_store::Source;
use countersign_terminal::ExitStatus;
use patchrepo::replica::ReplicaError;

use super::{Mirror, add, assert_refused, repository};

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

//! Heads only go on from those before them, and forks are kept as evidence (threats B).

use countersign_fixtures::{AuthorityKeys, RepositoryBuilder};
use countersign_format::layout::{self, Log};
use countersign_format::policy::{UncountedReason, Verdict};
use patchctl::update::{AttemptError, Fork, MAX_UNPROVEN};

use super::{add, checkpoint, grown, patch, policy, reason, repository};
use crate::endpoint::{Endpoint, only_failure};

#[test]
fn an_older_head_of_either_log_is_refused_and_the_next_server_asked() {
    let old = repository();
    let new = grown(&old);
    let mut endpoint = Endpoint::updated(&new);
    let error = policy(endpoint.refuses_at(new.now, &old));
    assert_eq!(error.verdict(), Verdict::Rollback);
    assert!(matches!(reason(&error), UncountedReason::Behind { seconds: 3600, .. }));

    // the old log under a new time
    let mut smaller = old.clone();
    smaller.now = new.now.plus(60);
    smaller.publish();
    match endpoint.refuses(&smaller) {
        AttemptError::Smaller { log: Log::Collection, held: 2, found: 1 } => {}
        other => panic!("{other:?}"),
    }
    // newer of one, older of the other
    for log in Log::BOTH {
        let mut mixed = grown(&new);
        let stale = old.files()[&checkpoint(log)].clone();
        mixed.edit(&checkpoint(log), |bytes| *bytes = stale);
        let error = policy(endpoint.refuses(&mixed));
        assert_eq!((error.verdict(), error.file), (Verdict::Rollback, checkpoint(log).to_string()));
    }
    let newest = grown(&new);
    let updated = endpoint.update_at(newest.now, &[("stale", &old), ("good", &newest)]);
    let updated = updated.expect("the second server is good");
    assert_eq!(updated.server, "good");
    assert_eq!(updated.failed[0].source, "stale");
    assert_eq!(updated.collection, (2, 3));
}

#[test]
fn two_heads_of_one_size_are_a_fork_and_both_are_kept() {
    let honest = repository();
    let mut endpoint = Endpoint::updated(&honest);
    let mut fork = RepositoryBuilder::new().build();
    fork.wait(60);
    add(&mut fork, "other", "1.0.0");
    match endpoint.refuses(&fork) {
        AttemptError::Fork {
            fork: Fork::SameSize { log: Log::Collection, size: 1, .. },
            evidence,
        } => {
            let case = evidence.0.expect("kept");
            let held = std::fs::read(case.join("held")).expect("the held note");
            let found = std::fs::read(case.join("found")).expect("the other note");
            assert_eq!(held, honest.files()[&checkpoint(Log::Collection)]);
            assert_eq!(found, fork.files()[&checkpoint(Log::Collection)]);
        }
        other => panic!("{other:?}"),
    }
    endpoint.refuses(&fork);
    assert_eq!(endpoint.evidence().len(), 1, "the same case is kept once");
}

#[test]
fn a_rewritten_history_is_a_fork() {
    let honest = repository();
    let mut endpoint = Endpoint::updated(&honest);
    let mut fork = RepositoryBuilder::new().build();
    add(&mut fork, "other", "1.0.0");
    let fork = grown(&fork);
    match endpoint.refuses(&fork) {
        AttemptError::Fork { fork, .. } => {
            let log = Log::Distribution;
            assert_eq!(fork, Fork::Entries { log, held: 1, size: 2 });
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(endpoint.evidence().len(), 1);
    // a server that alters entries under an honest head looks the same; another one heals it
    let honest = grown(&honest);
    let mut altered = honest.clone();
    altered.edit(&layout::bundle(Log::Collection, 0, 2), |bytes| {
        *bytes.last_mut().expect("one") = b' ';
    });
    let failed = endpoint.refuses(&altered);
    assert!(matches!(failed, AttemptError::Fork { .. }), "{failed:?}");
    let updated = endpoint.update_at(honest.now, &[("altered", &altered), ("good", &honest)]);
    assert_eq!(updated.expect("the second is good").server, "good");
}

#[test]
fn a_decision_on_another_tree_is_a_fork() {
    let honest = repository();
    let mut repository = honest.clone();
    repository.wait(60);
    let index = repository.collect(&patch("acme", "1.1.0"));
    repository.release_with(&[index], |release| {
        release.of.root = countersign_format::hash::Hash32([7; 32]);
    });
    repository.publish();
    match Endpoint::updated(&honest).refuses(&repository) {
        AttemptError::Fork { fork, .. } => assert_eq!(fork, Fork::Decided { leaf: 1, size: 2 }),
        other => panic!("{other:?}"),
    }
    // one on another log has no effect
    let mut repository = honest.clone();
    let index = repository.collect(&patch("acme", "1.1.0"));
    repository.release_with(&[index], |release| {
        release.of.origin = "elsewhere.example/collection".parse().expect("a name");
    });
    repository.publish();
    assert!(Endpoint::updated(&honest).update(&repository).is_ok());
}

#[test]
fn a_decision_on_a_tree_to_come_waits_and_is_compared_then() {
    let mut repository = repository();
    let collected = repository.clone();
    let index = repository.collect(&patch("acme", "1.1.0"));
    for is_good in [true, false] {
        let mut decided = repository.clone();
        decided.release_with(&[index], |release| {
            if !is_good {
                release.of.root = countersign_format::hash::Hash32([7; 32]);
            }
        });
        decided.publish();
        // the reader comes between the publisher's two writes, the other way round
        let mut early = decided.clone();
        let head = collected.files()[&checkpoint(Log::Collection)].clone();
        early.edit(&checkpoint(Log::Collection), |bytes| *bytes = head);
        let mut endpoint = Endpoint::updated(&early);
        match (is_good, endpoint.update(&decided)) {
            (true, Ok(updated)) => assert_eq!(updated.collection, (1, 2)),
            (false, refused) => {
                let error = only_failure(refused);
                assert!(matches!(
                    error,
                    AttemptError::Fork { fork: Fork::Decided { leaf: 1, size: 2 }, .. }
                ));
            }
            (true, Err(error)) => panic!("{error}"),
        }
    }
}

#[test]
fn a_new_origin_heals_a_fork() {
    let honest = repository();
    let mut fork = RepositoryBuilder::new().build();
    fork.wait(60);
    add(&mut fork, "malware", "1.0.0");
    let (mut on_fork, mut on_honest) = (Endpoint::updated(&fork), Endpoint::updated(&honest));
    let mut healed = honest.clone();
    healed.wait(120);
    healed.authority.collection.origin =
        "patches.example.org/collection-2".parse().expect("a name");
    healed.authority.distributions[0].log.origin =
        "patches.example.org/distribution-2".parse().expect("a name");
    healed.publish_authority(&AuthorityKeys::numbered(1, 3));
    healed.publish();
    for endpoint in [&mut on_fork, &mut on_honest] {
        let updated = endpoint.update(&healed).expect("a new origin");
        assert_eq!(updated.collection, (0, 2));
        let patches = endpoint.database.patches(endpoint.trust().id()).expect("patches");
        assert_eq!(patches.len(), 1);
        assert_eq!(patches[0].entry.name.as_str(), "acme");
    }
}

#[test]
fn a_server_that_alters_entries_leaves_room_for_evidence_of_forks() {
    let honest = repository();
    let mut endpoint = Endpoint::updated(&honest);
    let mut next = honest.clone();
    for _ in 0..=MAX_UNPROVEN {
        next.wait(3600);
        next.publish();
        let mut altered = grown(&next);
        altered.edit(&layout::bundle(Log::Collection, 0, 2), |bytes| {
            *bytes.last_mut().expect("one") = b' ';
        });
        let refused = endpoint.refuses(&altered);
        assert!(matches!(refused, AttemptError::Fork { .. }), "{refused:?}");
    }
    assert_eq!(endpoint.evidence().len(), MAX_UNPROVEN);
    let mut fork = RepositoryBuilder::new().build();
    add(&mut fork, "other", "1.0.0");
    let refused = endpoint.refuses(&fork);
    assert!(matches!(refused, AttemptError::Fork { fork: Fork::SameSize { .. }, .. }));
    assert_eq!(endpoint.evidence().len(), MAX_UNPROVEN + 1);
}

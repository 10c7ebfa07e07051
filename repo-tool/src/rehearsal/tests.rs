use countersign_fixtures::{
    AuthorityKeys, PatchSpec, Payload, Repository, RepositoryBuilder, Server, pack_entries,
};
use countersign_format::authority::AuthorityNote;
use countersign_format::pack::{Order, compress};

use super::keys::Counts;
use super::*;
use crate::blocking::block_on;

/// A repository with two released patches.
fn repository() -> Repository {
    let mut repository = RepositoryBuilder::new().build();
    for version in ["1.0.0", "2.0.0"] {
        let payload = Payload::new().file("opt/acme", version);
        let index = repository.collect(&PatchSpec::full("acme", version, &payload));
        repository.release(&[index]);
    }
    repository.publish_directory(3, &["https://192.0.2.10/"]);
    repository.publish();
    repository
}

/// The next version, as `change` makes it.
fn next(repository: &Repository, change: impl FnOnce(&mut AuthorityNote)) -> AuthorityNote {
    let mut note = repository.authority.clone();
    note.version += 1;
    change(&mut note);
    note
}

fn judged(repository: &Repository, after: &AuthorityNote) -> Rehearsed {
    let source = Source::memory("repository", &repository.memory());
    let clock = Clock::local(repository.now);
    let notes = Notes { now: &repository.authority, after, clock };
    block_on(rehearse(&source, notes)).expect("judged")
}

fn new_key() -> countersign_format::authority::ServerKey {
    Server::new("patches.example.org/collection", 2).listed()
}

#[test]
fn a_new_key_beside_the_old_one_changes_nothing() {
    let repository = repository();
    let rehearsed = judged(
        &repository,
        &next(&repository, |note| {
            note.collection.keys.push(new_key());
        }),
    );
    assert_eq!((rehearsed.verdict(), &rehearsed.problems[..]), (None, &[][..]));
    assert_eq!(rehearsed.patches, PatchCount { released: 2, lost: Vec::new() });
    let one = Some(Of { found: 1, needed: 1 });
    assert!(
        rehearsed
            .files
            .iter()
            .flat_map(|file| &file.counts)
            .all(|count| { (count.now, count.after) == (one, one) })
    );
    assert_eq!(rehearsed.files.len(), 3);
}

#[test]
fn a_key_retired_before_its_successor_signed_is_noticed() {
    let repository = repository();
    let after = next(&repository, |note| {
        note.collection.keys.push(new_key());
        note.collection.keys[0].until = Some(1);
    });
    let rehearsed = judged(&repository, &after);
    let head = &rehearsed.files[0];
    assert_eq!((head.file.as_str(), head.refused_now.as_deref()), ("collection/checkpoint", None));
    let count = &head.counts[0];
    assert_eq!((count.role.as_str(), count.now), ("collection", Some(Of { found: 1, needed: 1 })));
    assert_eq!(count.after, Some(Of { found: 0, needed: 1 }));
    let why = head.refused_after.as_deref().expect("refused");
    assert!(why.contains("is retired from index 1 on"), "{why}");
    // the patch at index 0 lies below, the one at 1 does not
    assert_eq!(rehearsed.patches.released, 2);
    let [lost] = &rehearsed.patches.lost[..] else { panic!("{:?}", rehearsed.patches) };
    assert_eq!((lost.index, lost.patch.as_str()), (1, "acme@2.0.0"));
    assert_eq!(rehearsed.verdict(), Some(Verdict::Signature));
    assert_eq!(rehearsed.problems.len(), 2);
    assert!(rehearsed.problems[0].remedy.contains("collection refresh"));
}

#[test]
fn a_distributions_key_counts_below_the_release_that_it_signed() {
    let repository = repository();
    let retire = |until| {
        next(&repository, move |note| {
            let log = &mut note.distributions[0].log;
            log.keys.push(Server::new("patches.example.org/distribution", 2).listed());
            log.keys[0].until = Some(until);
        })
    };
    assert_eq!(judged(&repository, &retire(2)).patches.lost, []);
    let one = judged(&repository, &retire(1)).patches.lost;
    assert_eq!(one.iter().map(|lost| lost.index).collect::<Vec<_>>(), [1]);
    let heads = judged(&repository, &retire(2)).problems;
    assert_eq!(heads.len(), 2, "both heads carry the distribution's signature: {heads:?}");
}

#[test]
fn thresholds_quorums_and_the_directory_are_judged() {
    let repository = repository();
    let problems = |change: fn(&mut AuthorityNote)| {
        let rehearsed = judged(&repository, &next(&repository, change));
        rehearsed.problems.into_iter().map(|one| one.what).collect::<Vec<_>>().join("; ")
    };
    let two = problems(|note| {
        note.collection.keys.push(new_key());
        note.collection.threshold = 2;
    });
    assert!(two.contains("1 of 2 timestamped signatures of the collection"), "{two}");
    assert!(two.contains("2 released patches"), "{two}");
    let quorum = problems(|note| {
        let mut witness = AuthorityKeys::numbered(60, 1).vkeys().remove(0);
        witness.kind = countersign_format::key::SignatureType::Cosignature;
        note.witnesses.keys.push(witness);
        note.witnesses.quorum = 1;
    });
    assert!(quorum.contains("the witnesses's timestamped signature is missing"), "{quorum}");
    let directory = problems(|note| note.directory.keys = AuthorityKeys::numbered(61, 1).vkeys());
    assert!(directory.contains("would not follow the directory"), "{directory}");
    let origin = problems(|note| {
        note.collection.origin = "patches.example.org/collection/2".parse().expect("a name");
    });
    assert!(origin.contains("checkpoint is of the log"), "{origin}");
    let dropped = problems(|note| note.distributions.clear());
    assert!(dropped.contains("would be listed no longer"), "{dropped}");
    let expired = problems(|note| note.expires = countersign_format::time::Timestamp::EPOCH);
    assert!(expired.contains("expired"), "{expired}");
}

/// A pack of other entries, as a mirror may have it, says nothing against the log.
#[test]
fn packs_of_other_entries_are_done_without() {
    let mut repository = repository();
    repository.collect_history(8);
    repository.publish();
    let after = next(&repository, |note| note.collection.keys[0].until = Some(1));
    let judged_well = judged(&repository, &after);
    repository.edit(&layout::tail_pack(Log::Collection, 10), |pack| {
        let mut entries = pack_entries(pack).expect("a pack");
        entries[9].reverse();
        let other = compress(Order::Tail, entries.iter().map(Vec::as_slice), 1);
        *pack = other.expect("compressed").expect("small");
    });
    assert_eq!(judged(&repository, &after), judged_well);
    assert_eq!(judged_well.patches.released, 2);
}

#[test]
fn keys_are_shown_as_they_are_and_as_they_would_be() {
    let repository = repository();
    let after = next(&repository, |note| {
        note.collection.keys.push(new_key());
        note.collection.keys[0].until = Some(1);
        note.collection.threshold = 2;
        note.authority.keys.remove(0);
    });
    let changes = key_changes(Some(&repository.authority), &after);
    let of = |role: &str| {
        let of_role = changes.iter().filter(|change| change.role == role);
        of_role.map(|change| (change.now, change.after)).collect::<Vec<_>>()
    };
    let counts = Some(Counts::Always);
    assert_eq!(of("collection"), [(counts, Some(Counts::Below(1))), (None, counts)]);
    assert!(of("authority").contains(&(counts, None)));
    let roles = role_changes(Some(&repository.authority), &after);
    let collection = roles.iter().find(|change| change.role == "collection").expect("a role");
    let (now, after) = (Of { found: 1, needed: 1 }, Of { found: 1, needed: 2 });
    assert_eq!((collection.now, collection.after), (Some(now), Some(after)));
}

#[test]
fn a_collections_own_repository_is_judged_as_its_distributions_do() {
    let repository = repository();
    let memory = countersign_store::MemoryRepository::new();
    memory.replace_all(repository.collection_files().clone());
    let source = Source::memory("collection", &memory);
    let after = next(&repository, |note| {
        note.collection.keys.push(new_key());
        note.collection.keys[0].until = Some(1);
    });
    let clock = Clock::local(repository.now);
    let notes = Notes { now: &repository.authority, after: &after, clock };
    let rehearsed = block_on(rehearse(&source, notes)).expect("judged");
    assert_eq!(rehearsed.distribution, None);
    assert_eq!(rehearsed.files.len(), 1);
    assert_eq!(rehearsed.files[0].counts.len(), 1);
    assert_eq!(rehearsed.problems.len(), 1);
}

//! Packs, for which nobody vouches: whatever a server has in them, bundles have the log.

mod endpoint;

use countersign_fixtures::{PatchSpec, Payload, Repository, RepositoryBuilder, pack_entries};
use countersign_format::layout::{self, Log, RepoPath};
use countersign_format::pack::{Order, compress};
use patchctl::update::AttemptError;

use endpoint::Endpoint;

const LOGS: [Log; 2] = [Log::Collection, Log::Distribution];

/// Twenty patches, each with a decision of its own, so that a first update reads the tail packs.
fn repository() -> Repository {
    let mut repository = RepositoryBuilder::new().build();
    for number in 0..20 {
        let payload = Payload::new().file("opt/acme", "acme");
        let index =
            repository.collect(&PatchSpec::full("acme", &format!("1.0.{number}"), &payload));
        repository.release(&[index]);
    }
    repository.publish();
    repository
}

fn tail(log: Log) -> RepoPath {
    layout::tail_pack(log, 20)
}

/// What a server has in a pack's place whose parts are of two packs, or that plays tricks.
fn with_other_entries(honest: &Repository, log: Log) -> Repository {
    let mut spoiled = honest.clone();
    spoiled.edit(&tail(log), |pack| {
        let mut entries = pack_entries(pack).expect("a pack");
        entries.swap(3, 4);
        let other = compress(Order::Tail, entries.iter().map(Vec::as_slice), 3);
        *pack = other.expect("compressed").expect("small");
    });
    spoiled
}

#[test]
fn a_pack_of_other_entries_is_no_fork() {
    let honest = repository();
    let good = Endpoint::updated(&honest).dump();
    for log in LOGS {
        let spoiled = with_other_entries(&honest, log);
        let mut endpoint = Endpoint::new(&honest);
        let updated = endpoint.update(&spoiled).expect("the bundles are good");
        assert_eq!((updated.collection, updated.distribution), ((0, 20), (0, 20)));
        assert_eq!(endpoint.dump(), good, "{log}");
        assert!(endpoint.evidence().is_empty());
    }
}

#[test]
fn a_pack_that_cannot_be_read_is_done_without() {
    let honest = repository();
    let good = Endpoint::updated(&honest).dump();
    for bytes in [Vec::new(), b"no pack".to_vec(), vec![0; 500_000]] {
        let mut spoiled = honest.clone();
        for log in LOGS {
            spoiled.edit(&tail(log), |pack| pack.clone_from(&bytes));
        }
        let mut endpoint = Endpoint::new(&honest);
        endpoint.update(&spoiled).expect("the bundles are good");
        assert_eq!(endpoint.dump(), good);
    }
}

/// Both are altered: that is what a fork looks like, and it is told once.
#[test]
fn altered_bundles_behind_an_altered_pack_are_told() {
    let honest = repository();
    let mut spoiled = with_other_entries(&honest, Log::Collection);
    spoiled.edit(&layout::bundle(Log::Collection, 0, 20), |bytes| {
        *bytes.last_mut().expect("entries") ^= 1;
    });
    let mut endpoint = Endpoint::new(&honest);
    assert!(matches!(endpoint.refuses(&spoiled), AttemptError::Fork { .. }));
    assert_eq!(endpoint.evidence().len(), 1);
}

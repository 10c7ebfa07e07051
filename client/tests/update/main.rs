//! Updating refuses what an attacker or a fault makes of a repository, with the right error, and
//! leaves what is trusted as it was.

#[path = "../endpoint/mod.rs"]
mod endpoint;

mod authority;
mod directory;
mod freshness;
mod order;
mod signatures;
mod state;

use countersign_fixtures::{
    AuthorityKeys, PatchSpec, Payload, Repository, RepositoryBuilder, Server,
};
use countersign_format::authority::ServerKey;
use countersign_format::layout::{self, Log};
use countersign_format::policy::{PolicyError, Refusal, Shortfall, UncountedReason};
use patchctl::trust::TrustError;
use patchctl::update::AttemptError;

use endpoint::Endpoint;

/// What an attacker does to a repository.
type Spoil<'s> = &'s dyn Fn(&mut Repository);

const DAY: u64 = 86_400;

const COLLECTION: &str = "patches.example.org/collection";

const DISTRIBUTION: &str = "patches.example.org/distribution";

fn patch(name: &str, version: &str) -> PatchSpec {
    PatchSpec::full(name, version, &Payload::new().file(&format!("opt/{name}"), version))
}

fn add(repository: &mut Repository, name: &str, version: &str) {
    let index = repository.collect(&patch(name, version));
    repository.release(&[index]);
    repository.publish();
}

/// One released patch.
fn repository() -> Repository {
    let mut repository = RepositoryBuilder::new().build();
    add(&mut repository, "acme", "1.0.0");
    repository
}

/// The same with one more, an hour later.
fn grown(repository: &Repository) -> Repository {
    let mut grown = repository.clone();
    grown.wait(3600);
    add(&mut grown, "acme", "1.1.0");
    grown
}

fn policy(error: AttemptError) -> PolicyError {
    match error {
        AttemptError::Trust(TrustError::Policy(error)) => error,
        other => panic!("{other:?}"),
    }
}

fn shortfalls(error: &PolicyError) -> &[Shortfall] {
    match &error.refusal {
        Refusal::TooFew(shortfalls) => shortfalls,
        other => panic!("{other:?}"),
    }
}

/// The only reason why lines did not count.
fn reason(error: &PolicyError) -> UncountedReason {
    let reasons: Vec<_> =
        shortfalls(error).iter().flat_map(|one| &one.uncounted).map(|line| line.reason).collect();
    assert!(!reasons.is_empty(), "{error:?}");
    reasons[0]
}

fn checkpoint(log: Log) -> layout::RepoPath {
    layout::checkpoint(log)
}

#[test]
fn an_update_brings_what_is_new_and_nothing_twice() {
    let first = repository();
    let mut endpoint = Endpoint::new(&first);
    let updated = endpoint.update(&first).expect("honest");
    assert_eq!((updated.collection, updated.distribution), ((0, 1), (0, 1)));
    let second = grown(&first);
    let updated = endpoint.update(&second).expect("honest");
    assert_eq!((updated.collection, updated.distribution), ((1, 2), (1, 2)));
    assert_eq!(endpoint.database.patches(endpoint.trust().id()).expect("patches").len(), 2);
    let updated = endpoint.update(&second).expect("honest");
    assert_eq!((updated.collection, updated.distribution), ((2, 2), (2, 2)));
    assert_eq!((updated.statistics.requests, updated.oddities), (3, 0));
}

/// The collection's key of the first epoch is retired at `until`, one of the second takes over.
fn rotate(repository: &mut Repository, until: u64) {
    let new = Server::new(COLLECTION, 2);
    let keys: &mut Vec<ServerKey> = &mut repository.authority.collection.keys;
    keys[0].until = Some(until);
    keys.push(new.listed());
    repository.collections = vec![new];
    repository.publish_authority(&AuthorityKeys::numbered(1, 3));
}

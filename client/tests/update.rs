//! Updating refuses what an attacker or a fault makes of a repository, with the right error, and
//! leaves what is trusted as it was.

mod endpoint;

use countersign_fixtures::{
    AuthorityKeys, PatchSpec, Payload, Repository, RepositoryBuilder, Server,
};
use countersign_format::authority::ServerKey;
use countersign_format::key::SignatureType;
use countersign_format::layout::{self, Log};
use countersign_format::note::Note;
use countersign_format::policy::{
    Layer, PolicyError, Refusal, Role, Shortfall, UncountedReason, Verdict,
};
use countersign_format::signature::sign_note;
use countersign_format::time::Timestamp;
use countersign_store::{Failover as _, HttpOptions, Mirrors, Source};
use patchctl::trust::{Heads, Trust, TrustError};
use patchctl::update::{AttemptError, Fork, MAX_UNPROVEN, UpdateError, Updater};

use endpoint::{Endpoint, only_failure};

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

// threats A: two signatures on the index

#[test]
fn a_head_that_one_party_did_not_sign_is_refused_by_name() {
    let honest = repository();
    let (collection, distribution) = (Server::new(COLLECTION, 1), Server::new(DISTRIBUTION, 1));
    let main = Role::Distribution("main".parse().expect("a name"));
    let cases = [
        (Log::Collection, &collection, Role::Collection),
        (Log::Collection, &distribution, main.clone()),
        (Log::Distribution, &distribution, main),
    ];
    for (log, server, role) in cases {
        let mut repository = grown(&honest);
        repository.drop_lines(&checkpoint(log), server, SignatureType::Cosignature);
        let error = policy(Endpoint::updated(&honest).refuses(&repository));
        assert_eq!((error.layer, error.verdict()), (Layer::Index, Verdict::Signature));
        assert_eq!(error.file, checkpoint(log).to_string());
        let roles: Vec<_> = shortfalls(&error).iter().map(|one| one.role.clone()).collect();
        assert_eq!(roles, [role]);
    }
    let mut neither = grown(&honest);
    let path = checkpoint(Log::Collection);
    neither.edit_note(&path, |note| Note::new(note.text().to_owned(), Vec::new()));
    Endpoint::updated(&honest).refuses(&neither);
}

#[test]
fn a_known_signers_bad_line_is_refused_and_a_strangers_line_is_passed_over() {
    let honest = repository();
    for kind in [SignatureType::Cosignature, SignatureType::Note] {
        let mut repository = grown(&honest);
        let server = Server::new(COLLECTION, 1);
        repository.spoil_lines(&checkpoint(Log::Collection), &server, kind);
        let error = policy(Endpoint::updated(&honest).refuses(&repository));
        assert!(matches!(error.refusal, Refusal::BadSignature { .. }), "{error:?}");
    }
    let mut repository = grown(&honest);
    let stranger = Server::new("elsewhere.example/collection", 1);
    repository.edit_note(&checkpoint(Log::Collection), |note| {
        let line = sign_note(&stranger.signer(), note.text()).expect("signs");
        note.with([line])
    });
    assert!(Endpoint::updated(&honest).update(&repository).is_ok());
}

#[test]
fn a_head_of_another_log_or_another_key_is_refused() {
    let honest = repository();
    let mut swapped = grown(&honest);
    let other = swapped.files()[&checkpoint(Log::Distribution)].clone();
    swapped.edit(&checkpoint(Log::Collection), |bytes| *bytes = other);
    let error = policy(Endpoint::updated(&honest).refuses(&swapped));
    assert_eq!(error.verdict(), Verdict::Signature);

    // the distribution is taken over: a log with a key that the attacker made for the collection
    let mut forged = honest.clone();
    forged.wait(60);
    forged.collections = vec![Server::new(COLLECTION, 9)];
    forged.collect(&patch("malware", "9.9.9"));
    forged.publish();
    let error = policy(Endpoint::updated(&honest).refuses(&forged));
    assert_eq!((error.layer, error.verdict()), (Layer::Index, Verdict::Signature));
    let missing = "the collection's timestamped signature is missing: none is by \
                   patches.example.org/collection (ID ";
    assert!(error.refusal.to_string().starts_with(missing), "{}", error.refusal);
}

// threats B: freshness and order

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
fn heads_past_their_age_are_refused_and_the_next_fresh_one_heals() {
    let honest = repository();
    let mut endpoint = Endpoint::updated(&honest);
    let error = policy(endpoint.refuses_at(honest.now.plus(4 * DAY), &honest));
    assert_eq!((error.verdict(), error.file.as_str()), (Verdict::Expired, "collection/checkpoint"));
    assert_eq!(reason(&error), UncountedReason::TooOld { age: 4 * DAY, max_age: 3 * DAY });
    let error = endpoint.trust().check_fresh(&endpoint.heads(), honest.now.plus(4 * DAY));
    assert!(matches!(error, Err(TrustError::Policy(_))));
    let mut fresh = honest.clone();
    fresh.wait(4 * DAY);
    fresh.publish();
    assert!(endpoint.update(&fresh).is_ok());
    assert!(endpoint.trust().check_fresh(&endpoint.heads(), fresh.now).is_ok());
}

#[test]
fn an_expired_authority_note_is_refused() {
    let mut repository = RepositoryBuilder::new().valid_for(10 * DAY).build();
    let mut endpoint = Endpoint::updated(&repository);
    repository.wait(10 * DAY);
    repository.publish();
    let error = policy(endpoint.refuses(&repository));
    assert_eq!((error.layer, error.verdict()), (Layer::Authority, Verdict::Expired));
}

#[test]
fn a_hidden_authority_note_is_noticed() {
    let honest = repository();
    let mut repository = honest.clone();
    repository.publish_authority(&AuthorityKeys::numbered(1, 3));
    repository.publish();
    let mut hiding = repository.clone();
    hiding.files_mut().remove(&layout::authority(2));
    let mut endpoint = Endpoint::updated(&honest);
    match endpoint.refuses(&hiding) {
        AttemptError::AuthorityHidden { version: 2, .. } => {}
        other => panic!("{other:?}"),
    }
    let updated = endpoint.update_at(repository.now, &[("hiding", &hiding), ("good", &repository)]);
    assert_eq!(updated.expect("the second is good").authority, (1, 2));
}

#[test]
fn another_authority_note_than_the_logs_name_is_noticed() {
    let honest = repository();
    let keys = AuthorityKeys::numbered(1, 3);
    let mut named = honest.clone();
    named.publish_authority(&keys);
    named.publish();
    let mut shown = honest.clone();
    shown.authority.expires = shown.authority.expires.plus(DAY);
    shown.publish_authority(&keys);
    let other = shown.files()[&layout::authority(2)].clone();
    named.edit(&layout::authority(2), |bytes| *bytes = other);
    match Endpoint::updated(&honest).refuses(&named) {
        AttemptError::OtherAuthority { version: 2, .. } => {}
        other => panic!("{other:?}"),
    }
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

#[test]
fn a_retired_key_is_not_honoured_once_its_retirement_was_seen() {
    let honest = repository();
    let mut endpoint = Endpoint::updated(&honest);
    let mut rotated = honest.clone();
    rotate(&mut rotated, 1);
    // the authority note comes through, the new heads do not
    let mut held_back = grown(&honest);
    let note = rotated.files()[&layout::authority(2)].clone();
    held_back.files_mut().insert(layout::authority(2), note);
    let error = policy(endpoint.refuses(&held_back));
    assert_eq!(error.verdict(), Verdict::Signature);
    assert_eq!(reason(&error), UncountedReason::Retired { until: 1 });
    assert_eq!(endpoint.trust().authority().version, 2, "the note is kept: it is a floor");
    // and stays refused when the note is gone again
    let error = policy(endpoint.refuses(&grown(&honest)));
    assert_eq!(reason(&error), UncountedReason::Retired { until: 1 });
    assert!(endpoint.trust().check_fresh(&endpoint.heads(), honest.now).is_err());
    rotated.wait(60);
    rotated.publish();
    assert_eq!(endpoint.update(&rotated).expect("honest").collection, (1, 2));
}

#[test]
fn a_signer_that_runs_ahead_cannot_lock_honest_heads_out() {
    let honest = repository();
    let mut endpoint = Endpoint::updated(&honest);
    let mut now = honest.now;
    // the distribution's key is stolen and signs almost five minutes ahead, again and again
    for _ in 0..5 {
        now = now.plus(60);
        let mut ahead = honest.clone();
        let collection = ahead.files()[&checkpoint(Log::Collection)].clone();
        ahead.now = now.plus(299);
        ahead.publish();
        ahead.edit(&checkpoint(Log::Collection), |bytes| *bytes = collection);
        endpoint.update_at(now, &[("ahead", &ahead)]).expect("within tolerance");
        let clock = endpoint.trust().clock(&endpoint.heads(), now).expect("a clock");
        assert_eq!(clock.floor, honest.now, "one role alone does not push the floor");
    }
    // what it stored blocks for no longer than it was ahead
    let mut later = honest.clone();
    later.now = now.plus(300);
    later.publish();
    assert!(endpoint.update(&later).is_ok());
}

#[test]
fn a_distribution_that_keeps_an_old_collection_alive_is_caught() {
    let honest = repository();
    let mut endpoint = Endpoint::updated(&honest);
    let mut frozen = honest.clone();
    frozen.wait(31 * DAY);
    frozen.publish();
    // the collection's own lines are the old ones
    let server = Server::new(COLLECTION, 1);
    let (path, old) = (checkpoint(Log::Collection), honest.note(&checkpoint(Log::Collection)));
    frozen.drop_lines(&path, &server, SignatureType::Cosignature);
    let is_cosignature = |line: &&countersign_format::note::SignatureLine| {
        line.name == server.id && line.body.len() == 72
    };
    let line = old.signatures().iter().find(is_cosignature).expect("a line").clone();
    frozen.edit_note(&path, |note| note.with([line]));
    let error = policy(endpoint.refuses(&frozen));
    assert_eq!(error.verdict(), Verdict::Expired);
    assert_eq!(shortfalls(&error)[0].role, Role::Collection);
    assert_eq!(reason(&error), UncountedReason::TooOld { age: 31 * DAY, max_age: 30 * DAY });
}

#[test]
fn wrong_clocks_are_told_apart_and_leave_nothing_behind() {
    let honest = repository();
    let mut endpoint = Endpoint::updated(&honest);
    let new = grown(&honest);
    for local in [Timestamp::EPOCH, new.now.minus_day()] {
        let error = policy(endpoint.refuses_at(local, &new));
        assert!(matches!(reason(&error), UncountedReason::Ahead { .. }), "{error:?}");
    }
    let error = endpoint.refuses_at(new.now.plus(3650 * DAY), &new);
    let error = policy(error);
    assert_eq!((error.layer, error.verdict()), (Layer::Authority, Verdict::Expired));
    // a clock that is ahead by less than heads may be old
    endpoint.update_at(new.now.plus(2 * DAY), &[("server", &new)]).expect("not too old yet");
    let newer = grown(&new);
    endpoint.update(&newer).expect("the clock is mended");
    // a clock that is a little slow, and a floor that holds old heads off
    assert!(endpoint.update_at(newer.now.plus(200), &[("server", &newer)]).is_ok());
}

trait MinusDay {
    fn minus_day(self) -> Self;
}

impl MinusDay for Timestamp {
    fn minus_day(self) -> Self {
        Self::from_seconds(self.seconds() - DAY).expect("after 1970")
    }
}

#[test]
fn forty_versions_and_six_rotations_are_caught_up_in_one_update() {
    let mut repository = repository();
    let mut endpoint = Endpoint::updated(&repository);
    let mut keys = AuthorityKeys::numbered(1, 3);
    for version in 2..=41u32 {
        repository.wait(60);
        if version % 7 == 0 {
            let new = AuthorityKeys::numbered(version as usize * 3, 3);
            repository.authority.authority.keys = new.vkeys();
            repository.authority_keys = new.clone();
            repository.publish_authority(&keys);
            keys = new;
        } else {
            repository.publish_authority(&keys);
        }
    }
    add(&mut repository, "acme", "1.1.0");
    let updated = endpoint.update(&repository).expect("honest");
    assert_eq!(updated.authority, (1, 41));
    assert!(updated.passed_over.is_empty());
    // 41 looks for a version, two heads, one bundle of each log
    assert!(updated.statistics.requests <= 45, "{:?}", updated.statistics);
}

#[test]
fn a_version_that_cannot_be_accepted_is_named_and_a_later_good_one_heals() {
    let honest = repository();
    let mut endpoint = Endpoint::updated(&honest);
    let mut repository = honest.clone();
    let keys = AuthorityKeys::numbered(1, 3);
    repository.publish_authority(&keys);
    repository.edit(&layout::authority(2), |bytes| bytes.truncate(40));
    repository.collection = honest.collection.clone();
    repository.distribution = honest.distribution.clone();
    repository.publish();
    let updated = endpoint.update(&repository).expect("the log names no new version");
    assert_eq!(updated.authority, (1, 1));
    assert_eq!(updated.passed_over[0].version, 2);
    repository.publish_authority(&keys);
    repository.publish();
    let updated = endpoint.update(&repository).expect("version 3 is good");
    assert_eq!(updated.authority, (1, 3));
}

#[test]
fn an_authority_note_of_another_name_or_number_or_half_signed_is_passed_over() {
    let honest = repository();
    let keys = AuthorityKeys::numbered(1, 3);
    let stranger = AuthorityKeys::numbered(90, 3);
    let spoil: [(&str, Spoil<'_>); 4] = [
        ("another name", &|it| {
            it.authority.name = "elsewhere.example/authority".parse().expect("a name");
        }),
        ("another number", &|it| it.authority.version += 1),
        ("the old keys have not signed", &|it| {
            it.authority.authority.keys = stranger.vkeys();
            it.authority_keys = stranger.clone();
        }),
        ("the new keys have not signed", &|it| {
            it.authority.authority.keys = stranger.vkeys();
        }),
    ];
    for (what, spoil) in spoil {
        let mut repository = honest.clone();
        spoil(&mut repository);
        let previous = if what.starts_with("the old") { &stranger } else { &keys };
        repository.publish_authority(previous);
        let version = repository.authority.version;
        let note = repository.files()[&layout::authority(version)].clone();
        let mut shown = honest.clone();
        shown.files_mut().insert(layout::authority(2), note);
        let mut endpoint = Endpoint::updated(&honest);
        let updated = endpoint.update(&shown).expect("the heads are good");
        assert_eq!(updated.passed_over.len(), 1, "{what}");
        assert_eq!(endpoint.trust().authority().version, 1, "{what}");
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
fn entries_that_cannot_be_read_are_kept_and_passed_over() {
    let honest = repository();
    let mut repository = honest.clone();
    repository.wait(60);
    repository.collection.push(b"{\"type\":\"patch/v1\"}\n".to_vec());
    repository.collection.push(b"{\"type\":\"patch/v9\"}\n".to_vec());
    let again = repository.collection.entries()[0].clone();
    repository.collection.push(again);
    repository.distribution.push(b"nonsense".to_vec());
    add(&mut repository, "acme", "1.1.0");
    let mut endpoint = Endpoint::updated(&honest);
    let updated = endpoint.update(&repository).expect("one bad entry stops no log");
    assert_eq!(updated.oddities, 4);
    let id = endpoint.trust().id();
    assert_eq!(endpoint.database.patches(id).expect("patches").len(), 2);
    assert_eq!(endpoint.database.oddities(id, 10).expect("oddities").1, 4);
}

#[test]
fn a_directory_moves_traffic_and_cannot_stop_it() {
    let mut repository = repository();
    repository.publish_directory(1, &["https://mirror.example.net/"]);
    let mut endpoint = Endpoint::new(&repository);
    let updated = endpoint.update(&repository).expect("honest");
    assert_eq!(updated.directory, None);
    let locations = |endpoint: &Endpoint, now| -> Vec<String> {
        let (trust, heads) = (endpoint.trust(), endpoint.heads());
        let found = trust.locations(&endpoint.database, &heads, &endpoint.config, None, now);
        found.expect("places").iter().map(ToString::to_string).collect()
    };
    let both = ["https://mirror.example.net/", "/nowhere"];
    assert_eq!(locations(&endpoint, repository.now), both);
    // not asked for again before a day is over
    assert_eq!(endpoint.update(&repository).expect("honest").statistics.requests, 3 + 1 + 1 - 2);
    // an older one, and one that is not signed, are told and not followed
    repository.wait(DAY);
    repository.publish_directory(0, &["https://evil.example.net/"]);
    repository.publish();
    let updated = endpoint.update(&repository).expect("it can stop nothing");
    assert!(updated.directory.is_some_and(|why| why.contains("went back")));
    repository.wait(DAY);
    repository
        .edit_note(&layout::directory(), |note| Note::new(note.text().to_owned(), Vec::new()));
    repository.publish();
    assert!(endpoint.update(&repository).expect("it can stop nothing").directory.is_some());
    assert_eq!(locations(&endpoint, repository.now), both);
    assert_eq!(locations(&endpoint, repository.now.plus(90 * DAY)), ["/nowhere"]);
}

#[test]
fn a_directory_is_asked_for_in_the_update_that_learns_of_its_keys() {
    let mut repository = repository();
    let keys = repository.authority_keys.clone();
    let listed = std::mem::take(&mut repository.authority.directory.keys);
    repository.publish_authority(&keys);
    repository.publish_directory(1, &["https://mirror.example.net/"]);
    let mut endpoint = Endpoint::new(&repository);
    endpoint.update(&repository).expect("no directory yet");
    let held = |endpoint: &Endpoint| {
        let held = endpoint.database.held_directory(endpoint.trust().id());
        held.expect("read").and_then(|held| held.note)
    };
    assert_eq!(held(&endpoint), None);
    repository.authority.directory.keys = listed;
    repository.publish_authority(&keys);
    endpoint.update(&repository).expect("listed");
    assert!(held(&endpoint).is_some(), "not a day later");
    // one that was asked for just now is asked for again when its keys change
    repository.authority.directory.keys.extend(AuthorityKeys::numbered(70, 1).vkeys());
    repository.publish_authority(&keys);
    repository.publish_directory(2, &["https://other.example.net/"]);
    endpoint.update(&repository).expect("changed");
    let note = String::from_utf8(held(&endpoint).expect("held")).expect("text");
    assert!(note.contains("other.example.net"), "{note}");
}

#[test]
fn a_hostile_directory_does_no_more_than_delay() {
    let mut repository = repository();
    let mut endpoint = Endpoint::updated(&repository);
    // sixteen dead servers, and this machine itself
    let dead: Vec<_> = (1..=16).map(|n| format!("http://127.0.0.1:{n}/")).collect();
    let dead: Vec<_> = dead.iter().map(String::as_str).collect();
    repository.wait(DAY);
    repository.publish_directory(2, &dead);
    repository.publish();
    assert_eq!(endpoint.update(&repository).expect("honest").directory, None);
    let locations = |endpoint: &Endpoint, now| {
        let (trust, heads) = (endpoint.trust(), endpoint.heads());
        trust.locations(&endpoint.database, &heads, &endpoint.config, None, now).expect("places")
    };
    let found = locations(&endpoint, repository.now);
    let texts: Vec<_> = found.iter().map(ToString::to_string).collect();
    assert_eq!(texts, [dead.as_slice(), &["/nowhere"]].concat());
    let http = HttpOptions { tries: 1, ..HttpOptions::default() };
    let mut servers: Vec<_> =
        found[..16].iter().map(|location| Source::open(location, &http)).collect();
    servers.push(Source::memory("enrolled", &repository.memory()));
    let updated = endpoint.update_from(repository.now, servers).expect("the enrolled one");
    assert_eq!((updated.server.as_str(), updated.failed.len()), ("enrolled", 16));

    // files of this machine, more than are followed, more than is read, an order of its own making
    let urls = |urls: Vec<String>| urls.iter().map(|url| url.as_str().into()).collect::<Vec<_>>();
    let expires = repository.now.plus(90 * DAY);
    let mut refused = |repository: &mut Repository| {
        repository.wait(DAY);
        repository.publish();
        let updated = endpoint.update(repository).expect("it can stop nothing");
        assert_eq!(locations(&endpoint, repository.now), found);
        updated.directory.expect("it is said")
    };
    repository.publish_directory_of(3, urls(vec!["file:///etc/".into()]), expires);
    assert!(refused(&mut repository).contains("not a plain http or https base"));
    let many = (0..17).map(|n| format!("https://m{n}.example.net/")).collect();
    repository.publish_directory_of(3, urls(many), expires);
    assert!(refused(&mut repository).contains("more than 16 URLs"));
    repository.edit(&layout::directory(), |bytes| bytes.resize(2 << 20, b' '));
    assert!(refused(&mut repository).contains("bytes"));
    repository.publish_directory_of(3, urls(vec!["https://x.example.net/".into()]), repository.now);
    assert!(refused(&mut repository).contains("expired"));
}

#[test]
fn a_full_disk_is_no_reason_to_ask_another_server() {
    let local = AttemptError::Database(patchctl::db::DatabaseError::Missing("state.db".into()));
    assert!(!local.is_worth_another_server());
}

// threats D.7, E.5: the state

#[test]
fn a_state_that_somebody_changed_is_not_trusted() {
    let honest = repository();
    let keys = AuthorityKeys::numbered(1, 3);
    let mut repository = honest.clone();
    repository.publish_authority(&keys);
    repository.publish();
    let stranger = AuthorityKeys::numbered(90, 3);
    let mut foreign = RepositoryBuilder::new().build();
    foreign.authority.authority.keys = stranger.vkeys();
    foreign.authority_keys = stranger.clone();
    foreign.publish_authority(&stranger);
    let note = foreign.files()[&layout::authority(2)].clone();

    let tampered = |statement: &str, bytes: &[u8]| {
        let endpoint = Endpoint::updated(&repository);
        let connection = rusqlite::Connection::open(endpoint.places.database()).expect("the state");
        let parameters: &[&dyn rusqlite::ToSql] =
            if statement.contains('?') { &[&bytes] } else { &[] };
        connection.execute(statement, parameters).expect("changed");
        Trust::load(&endpoint.database, &endpoint.config).expect_err("refused")
    };
    let swap = "UPDATE authority_note SET note = ?1 WHERE version = ";
    assert!(matches!(tampered(&format!("{swap} 2"), &note), TrustError::Policy(_)));
    assert!(matches!(tampered(&format!("{swap} 1"), &note), TrustError::AnchorLost(_)));
    let drop = "DELETE FROM authority_note WHERE version = 2";
    assert!(matches!(tampered(drop, &[]), TrustError::BelowFloor { floor: 2, reached: 1 }));
    let drop = "DELETE FROM authority_note";
    assert!(matches!(tampered(drop, &[]), TrustError::AnchorLost(_)));
    let other = format!("UPDATE source SET anchor = '{}'", "0".repeat(64));
    assert!(matches!(tampered(&other, &[]), TrustError::OtherAnchor { .. }));
    let other = "UPDATE source SET distribution = 'other'";
    assert!(matches!(tampered(other, &[]), TrustError::OtherDistribution { .. }));

    // a right edge that does not make the held head would accuse an honest log of a fork
    let endpoint = Endpoint::updated(&repository);
    let connection = rusqlite::Connection::open(endpoint.places.database()).expect("the state");
    let torn = "UPDATE log SET frontier = zeroblob(32) WHERE log = 'collection'";
    connection.execute(torn, []).expect("changed");
    let error = Heads::load(&endpoint.database, &endpoint.trust()).expect_err("refused");
    assert!(error.to_string().contains("log.frontier"), "{error}");
}

#[test]
fn an_update_needs_an_enrolment() {
    let honest = repository();
    let mut endpoint = Endpoint::new(&honest);
    endpoint.config.name = "other".parse().expect("a name");
    let refused = endpoint.update(&honest);
    assert!(matches!(refused, Err(UpdateError::Trust(TrustError::NotEnrolled(_)))));
}

// readers

/// Reads the state whenever something is reported.
struct Reader(std::path::PathBuf, u32);

impl patchctl::report::Reporter for Reader {
    fn report(&mut self, event: &patchctl::report::Event<'_>) {
        if matches!(event, patchctl::report::Event::Following { .. }) {
            let database = patchctl::db::Database::open_read_only(&self.0).expect("readable");
            assert_eq!(database.sources().expect("readable").len(), 1);
            self.1 += 1;
        }
    }
}

#[test]
fn nobody_waits_for_the_network_to_read_the_state() {
    let honest = repository();
    let mut endpoint = Endpoint::updated(&honest);
    // more than SQLite keeps in memory before it shuts readers out
    let mut large = grown(&honest);
    for number in 0..300 {
        large.collection.push(format!("{number:030000}").into_bytes());
    }
    add(&mut large, "acme", "2.0.0");
    let mirrors = Mirrors::new(vec![Source::memory("server", &large.memory())]);
    let mut reader = Reader(endpoint.places.database(), 0);
    let Endpoint { database, places, config, .. } = &mut endpoint;
    let updater = Updater { database, places, config, now: large.now };
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let done = runtime.block_on(updater.run(&mirrors, &mut reader)).expect("honest");
    assert_eq!((done.collection.1, reader.1), (303, 2));
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

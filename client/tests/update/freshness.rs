//! Heads and notes past their age, clocks that are wrong (threats B).

use countersign_fixtures::{RepositoryBuilder, Server};
use countersign_format::key::SignatureType;
use countersign_format::layout::Log;
use countersign_format::policy::{Layer, Role, UncountedReason, Verdict};
use countersign_format::time::Timestamp;
use patchctl::trust::TrustError;

use super::{COLLECTION, DAY, checkpoint, grown, policy, reason, repository, shortfalls};
use crate::endpoint::Endpoint;

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

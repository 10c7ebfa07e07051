//! A new authority note reaches clients together with heads that satisfy it, and not before.

use countersign_store::crash::{Failure, with_failure};
use countersign_terminal::ExitStatus;

use super::*;
use crate::authority::{Admission, Authority, NoteChange, Retirement};
use crate::config::Span;
use crate::publish::Assurances;
use crate::server;

/// Publishes what is prepared.
fn publish(mut authority: Authority, now: Timestamp) {
    for key in authority.own_keys() {
        authority.sign(&key, &unencrypted(), now).expect("signed");
    }
    authority.publish(now).expect("published");
}

/// Version 2: the collection has a new key, and the old one counts below `until` only.
fn replace_the_collections_key(lab: &Lab, until: u64, now: Timestamp) {
    let authority = Authority::open(&lab.path("repo/authority")).expect("opened");
    let collection = Collection::open(&lab.path("repo/collection")).expect("opened");
    let (directory, id) = (collection.directory(), &collection.config().name);
    let (role, kgc) = (Log::Collection, authority.config().kgc);
    let request = server::renew(directory, id, role, None, &unencrypted()).expect("asked");
    let grant = authority.issue(&request.to_bytes(), &unencrypted(), now).expect("granted").grant;
    let acceptance = server::accept(directory, id, role, &grant.to_bytes(), kgc, &unencrypted());
    let acceptance = acceptance.expect("accepted").to_bytes();
    authority.admit(&acceptance, "acceptance", &Admission::default(), now).expect("admitted");
    let (id, reason) = (id.clone(), "stolen".to_owned());
    authority.retire(&Retirement { id, epoch: Some(1), until, reason }, now).expect("retired");
    publish(authority, now);
}

/// One released patch, which clients accept by version 1.
fn lab() -> Lab {
    let lab = Lab::new();
    lab.collect(&["1.0.0"], at(1));
    lab.sync(at(2)).expect("fetched");
    lab.release(&["acme@1.0.0"]);
    lab.publish(at(3)).expect("published");
    lab
}

fn is_behind(error: &DistributionError) -> bool {
    assert_eq!(error.exit(), ExitStatus::Signature, "{error:?}");
    matches!(error, DistributionError::Behind { version: 2, shown: 1, .. })
}

#[test]
fn what_the_collection_does_not_satisfy_yet_changes_nothing_for_clients() {
    let lab = lab();
    let (before, view) = (lab.files("repo/distribution/public"), lab.view(at(4)));
    replace_the_collections_key(&lab, 2, at(4));
    assert!(is_behind(&lab.sync(at(5)).expect_err("not signed by the new key")));
    assert!(is_behind(&lab.publish(at(6)).expect_err("not signed by the new key")));
    let distribution = lab.distribution();
    let mut session = distribution.session(&unencrypted(), at(7)).expect("a session");
    let waits_for = session.authority().waits_for().expect("it is said");
    assert!(waits_for.contains("collection's timestamped signature"), "{waits_for}");
    assert!(is_behind(&session.refresh(Assurances::default()).expect_err("not signed")));
    assert_eq!(lab.files("repo/distribution/public"), before);
    assert_eq!(lab.view(at(8)), view);

    // the collection signs; what is served still has the old signature
    lab.collect(&["1.1.0"], at(9));
    lab.sync(at(10)).expect("fetched");
    assert_eq!(lab.files("repo/distribution/public"), before);
    lab.publish(at(11)).expect("published");
    assert_eq!(lab.authority().version, 2);
    assert_eq!(lab.view(at(12)).decisions.last().map(String::as_str), Some("authority 2"));
    assert_eq!(lab.view(at(12)).released, view.released);
}

#[test]
fn a_refresh_shows_the_note_along_with_heads_that_satisfy_it() {
    let lab = lab();
    replace_the_collections_key(&lab, 2, at(4));
    lab.collect(&["1.1.0"], at(5));
    lab.sync(at(6)).expect("fetched");
    assert_eq!(lab.authority().version, 1);
    let distribution = lab.distribution();
    let mut session = distribution.session_without_keys(at(7)).expect("a session");
    assert!(session.is_due(at(7), None).expect("judged"), "a note waits");
    session.open_keys(&unencrypted()).expect("opened");
    session.refresh(Assurances::default()).expect("refreshed");
    assert_eq!(lab.authority().version, 2);
    assert_eq!(lab.view(at(8)).collection, 4);
    let session = distribution.session_without_keys(at(8)).expect("a session");
    assert!(!session.authority().is_waiting());
    assert!(!session.is_due(at(8), None).expect("judged"));
    let learned = lab.path("repo/distribution/state/learned/authority/2");
    assert!(!learned.exists(), "nothing waits any more");
}

#[test]
fn what_the_served_heads_satisfy_is_shown_at_once() {
    let lab = lab();
    let authority = Authority::open(&lab.path("repo/authority")).expect("opened");
    let change = NoteChange { valid_for: Some(Span(99_999)), ..NoteChange::default() };
    authority.change(&change, at(4)).expect("prepared");
    publish(authority, at(4));
    lab.sync(at(5)).expect("fetched");
    assert_eq!(lab.authority().version, 2);
    assert_eq!(lab.view(at(6)).released, set(["acme@1.0.0"]));
}

#[test]
fn clients_accept_what_is_served_wherever_it_fails() {
    let lab = lab();
    replace_the_collections_key(&lab, 2, at(4));
    lab.collect(&["1.1.0"], at(5));
    lab.copy("repo/distribution", "before");
    let (mut before, mut after, mut between) = (0, 0, Vec::new());
    for done in [false, true] {
        for steps in (u32::from(done)..).step_by(2) {
            lab.restore("before", "repo/distribution");
            let failure = Failure { after: steps, errno: 28, done };
            let both = || {
                lab.sync(at(6))?;
                lab.publish(at(7))
            };
            let (_, step) = with_failure(failure, both);
            let Some(step) = step else { break };
            match (lab.is_accepted(at(8)), lab.authority().version) {
                (true, 1) => before += 1,
                (true, _) => after += 1,
                (false, _) => between.push(step),
            }
            lab.sync(at(9)).expect("goes on");
            lab.publish(at(10)).expect("goes on");
            assert_eq!(lab.authority().version, 2, "{step}");
            assert_eq!(lab.view(at(11)).collection, 4, "{step}");
        }
    }
    // two files cannot change at once; nothing else is done between them
    assert!(between.len() < 9, "{between:?}");
    assert!(before > 20 && after > 3, "{before} {after}");
}

//! Logs that begin anew, the collection's and the distribution's own: what was taken back stays so.

use super::*;
use crate::authority::{Authority, LogChange, NoteChange};

/// Gives logs new origins, in the next version of the authority.
fn change(lab: &Lab, change: &NoteChange) {
    let mut authority = Authority::open(&lab.path("repo/authority")).expect("opened");
    authority.change(change, at(5)).expect("prepared");
    let keys = authority.own_keys();
    authority.sign(&keys[0], &unencrypted(), at(5)).expect("signed");
    authority.publish(at(5)).expect("published");
}

fn renamed(origin: &str) -> LogChange {
    LogChange { origin: Some(origin.parse().expect("a name")), ..LogChange::default() }
}

#[test]
fn what_was_withdrawn_behind_the_entries_that_are_kept_stays_withdrawn() {
    let lab = Lab::new();
    lab.collect(&["1.0.0", "1.1.0", "1.2.0"], at(1));
    lab.sync(at(2)).expect("fetched");
    lab.release(&["acme@1.0.0", "acme@1.1.0", "acme@1.2.0"]);
    lab.publish(at(3)).expect("published");
    lab.decide(&["acme@1.0.0", "acme@1.1.0"], &stable(), &withdraw("breaks")).expect("decided");
    lab.publish(at(4)).expect("published");
    lab.release(&["acme@1.1.0"]);
    lab.publish(at(4)).expect("published");
    let main = "main".parse().expect("a name");
    let log = Some((main, renamed("example.org/distribution/2")));
    change(&lab, &NoteChange { distribution: log, ..NoteChange::default() });
    lab.sync(at(6)).expect("fetched");
    let distribution = lab.distribution();
    let mut session = distribution.session(&unencrypted(), at(7)).expect("a session");
    assert_eq!(session.restart(2).expect("begun").0.kept, 2);
    let view = lab.view(at(7));
    assert_eq!(view.released, set(["acme@1.1.0", "acme@1.2.0"]));
    // the one that was released again has no need of it
    let expected = ["authority 1", "release stable 1..4", "withdraw stable 1..2", "authority 2"];
    assert_eq!(view.decisions, expected);
}

#[test]
fn what_was_revoked_in_a_log_that_was_left_is_not_released_again() {
    let lab = Lab::new();
    lab.collect(&["1.0.0", "1.1.0"], at(1));
    lab.sync(at(2)).expect("fetched");
    lab.release(&["acme@1.0.0", "acme@1.1.0"]);
    lab.publish(at(3)).expect("published");
    lab.copy("repo/collection", "unrevoked");
    lab.revoke("acme@1.0.0", at(4));
    lab.sync(at(4)).expect("fetched");
    lab.publish(at(4)).expect("published");
    change(
        &lab,
        &NoteChange { collection: renamed("example.org/collection/2"), ..NoteChange::default() },
    );
    // whoever begins the log anew says nothing of the revocation
    lab.restore("unrevoked", "repo/collection");
    let collection = Collection::open(&lab.path("repo/collection")).expect("opened");
    let mut session = collection.session(&unencrypted()).expect("a session");
    assert_eq!(session.restart(3, at(6)).expect("begun").0.kept, 3);
    lab.sync(at(7)).expect("fetched");
    let repeated = lab.distribution().decide_again().expect("decided");
    let versions: Vec<_> =
        repeated.iter().map(|again| again.patch.entry.version.to_string()).collect();
    assert_eq!(versions, ["1.1.0"]);
}

//! A log that begins anew under another origin, decisions that are made again, and publications that
//! are given up.

use countersign_store::crash::{Failure, with_failure};

use super::*;
use crate::authority::{Authority, LogChange, NoteChange};
use crate::publish::PublishError;

/// Gives a log a new origin, in the next version of the authority.
fn new_origin(lab: &Lab, log: Log, now: Timestamp) {
    let mut authority = Authority::open(&lab.path("repo/authority")).expect("opened");
    let origin = format!("example.org/{log}/2").parse().expect("a name");
    let change = LogChange { origin: Some(origin), ..LogChange::default() };
    let change = match log {
        Log::Collection => NoteChange { collection: change, ..NoteChange::default() },
        Log::Distribution => {
            let main = "main".parse().expect("a name");
            NoteChange { distribution: Some((main, change)), ..NoteChange::default() }
        }
    };
    authority.change(&change, now).expect("prepared");
    let keys = authority.own_keys();
    authority.sign(&keys[0], &unencrypted(), now).expect("signed");
    authority.publish(now).expect("published");
}

/// Two versions, both released; the first release is the second entry, after the authority's note.
fn lab() -> Lab {
    let lab = Lab::new();
    for (version, minute) in [("1.0.0", 1), ("1.1.0", 4)] {
        lab.collect(&[version], at(minute));
        lab.sync(at(minute + 1)).expect("fetched");
        lab.release(&[&format!("acme@{version}")]);
        lab.publish(at(minute + 2)).expect("published");
    }
    lab
}

fn restart(lab: &Lab, keep: u64, now: Timestamp) -> Result<u64, DistributionError> {
    Ok(lab.distribution().session(&unencrypted(), now)?.restart(keep)?.0.kept)
}

#[test]
fn a_log_begins_anew_only_under_a_new_origin_and_keeps_what_it_is_told_to() {
    let lab = lab();
    let before = lab.view(at(7));
    assert_eq!(before.decisions.len(), 3, "{before:?}");
    let refusal = |keep| match restart(&lab, keep, at(10)) {
        Err(DistributionError::Publish(error)) => error,
        other => panic!("{other:?}"),
    };
    assert!(matches!(refusal(2), PublishError::NotLeft(_)));
    assert_eq!(lab.view(at(7)), before);
    new_origin(&lab, Log::Distribution, at(8));
    lab.sync(at(9)).expect("fetched");
    assert!(matches!(refusal(4), PublishError::KeepsTooMany { keep: 4, size: 3 }));
    assert!(matches!(refusal(0), PublishError::KeepsNothing));
    assert_eq!(restart(&lab, 2, at(11)).expect("begun"), 2);
    let after = lab.view(at(12));
    assert_eq!(after.decisions[..2], before.decisions[..2]);
    assert_eq!(after.decisions[2..], ["authority 2"]);
    assert_eq!(after.released, set(["acme@1.0.0"]));
    assert!(matches!(refusal(2), PublishError::NotLeft(_)), "a new log is as final as any");
    // what was released after the fork is released again
    lab.release(&["acme@1.1.0"]);
    lab.publish(at(13)).expect("published");
    assert_eq!(lab.view(at(14)).released, before.released);
}

#[test]
fn a_restart_that_fails_anywhere_is_completed_by_the_next() {
    let lab = lab();
    let kept = lab.view(at(7)).decisions[..2].to_vec();
    new_origin(&lab, Log::Distribution, at(8));
    lab.sync(at(9)).expect("fetched");
    lab.copy("repo/distribution", "before");
    let mut failed = BTreeSet::new();
    for done in [false, true] {
        for after in (u32::from(done)..).step_by(2) {
            lab.restore("before", "repo/distribution");
            let failure = Failure { after, errno: 5, done };
            let (_, step) = with_failure(failure, || restart(&lab, 2, at(10)));
            let Some(step) = step else { break };
            failed.insert(step);
            // the rerun says another number: what was begun stands
            let journal = lab.path("repo/distribution/state/distribution-pending");
            match restart(&lab, if journal.exists() { 1 } else { 2 }, at(11)) {
                Ok(_) | Err(DistributionError::Publish(PublishError::NotLeft(_))) => {}
                Err(error) => panic!("{step} {after}: {error:?}"),
            }
            lab.publish(at(12)).expect("goes on");
            let view = lab.view(at(13));
            assert_eq!(view.decisions[..2], kept, "{step}");
            assert_eq!(view.decisions[2..], ["authority 2"], "{step}");
            assert_eq!(view.released, set(["acme@1.0.0"]), "{step}");
        }
    }
    assert!(failed.len() > 5 && failed.contains("left.rename"), "{failed:?}");
}

/// The collection's log began anew, and its patches are in the new one.
fn lab_after_the_collections_restart() -> Lab {
    let lab = lab();
    lab.decide(&["acme@1.0.0"], &stable(), &withdraw("old")).expect("decided");
    lab.decide(&["acme@1.0.0"], &"canary".parse().expect("a ring"), &release()).expect("decided");
    lab.publish(at(7)).expect("published");
    new_origin(&lab, Log::Collection, at(8));
    let collection = Collection::open(&lab.path("repo/collection")).expect("opened");
    let mut session = collection.session(&unencrypted()).expect("a session");
    session.restart(3, at(9)).expect("begun");
    lab
}

#[test]
fn what_stood_is_decided_again_once_and_wherever_it_fails() {
    let lab = lab_after_the_collections_restart();
    lab.sync(at(10)).expect("fetched");
    lab.copy("repo/distribution", "before");
    let words = |lab: &Lab| {
        let repeated = lab.distribution().decide_again().expect("decided");
        let word = |action: &Action| match action {
            Action::Release(_) => "released",
            Action::Withdraw { .. } => "withdrawn",
        };
        let mut words: Vec<_> = repeated
            .iter()
            .map(|it| format!("{} {} {}", it.patch.entry.version, word(&it.action), it.ring))
            .collect();
        words.sort();
        words
    };
    let again = words(&lab);
    assert_eq!(again, ["1.0.0 released canary", "1.0.0 withdrawn stable", "1.1.0 released stable"]);
    assert_eq!(words(&lab), Vec::<String>::new(), "it waits already");
    lab.publish(at(11)).expect("published");
    assert_eq!(words(&lab), Vec::<String>::new(), "it stands already");
    let after = lab.view(at(12));
    assert_eq!(after.released, set(["acme@1.1.0"]));
    for after_steps in 0.. {
        lab.restore("before", "repo/distribution");
        let failure = Failure { after: after_steps, errno: 28, done: false };
        let (result, step) = with_failure(failure, || lab.distribution().decide_again());
        let Some(step) = step else { break };
        assert!(result.is_err(), "{step}");
        // what was written before the failure waits already
        assert!([0, 3].contains(&words(&lab).len()), "{step}: all of it or nothing");
        lab.publish(at(11)).expect("published");
        assert_eq!(lab.view(at(12)).released, after.released, "{step}");
    }
}

#[test]
fn what_the_collection_revoked_is_not_decided_again() {
    let lab = lab_after_the_collections_restart();
    lab.revoke("acme@1.1.0", at(9));
    lab.sync(at(10)).expect("fetched");
    let repeated = lab.distribution().decide_again().expect("decided");
    assert!(repeated.iter().all(|it| it.patch.entry.version.to_string() == "1.0.0"));
    assert_eq!(repeated.len(), 2);
}

#[test]
fn a_publication_is_given_up_until_its_head_is_signed() {
    let lab = lab();
    lab.collect(&["1.2.0"], at(7));
    lab.sync(at(8)).expect("fetched");
    lab.release(&["acme@1.2.0"]);
    lab.copy("repo/distribution", "before");
    let published = lab.view(at(8)).decisions.len();
    let (mut given_up, mut completed) = (0, 0);
    for after in 0.. {
        lab.restore("before", "repo/distribution");
        let failure = Failure { after, errno: 5, done: false };
        let (_, step) = with_failure(failure, || lab.publish(at(9)));
        let Some(step) = step else { break };
        let distribution = lab.distribution();
        let session = distribution.session_without_keys(at(10)).expect("a session");
        match session.discard_round() {
            Ok(_) => {
                // what was decided waits again, and is taken back
                let view = lab.view(at(10)).decisions.len();
                let taken_back = lab.decide(&["acme@1.2.0"], &stable(), &withdraw("early"));
                if view == published && taken_back.is_ok() {
                    given_up += 1;
                }
                lab.publish(at(11)).expect("goes on");
            }
            Err(DistributionError::Publish(PublishError::Signed { .. })) => {
                completed += 1;
                lab.publish(at(11)).expect("completed");
                assert_eq!(lab.view(at(12)).decisions.len(), published + 1, "{step}");
                assert!(lab.view(at(12)).released.contains("acme@1.2.0"), "{step}");
            }
            Err(error) => panic!("{step} {after}: {error:?}"),
        }
    }
    assert!(given_up > 5 && completed > 0, "{given_up} {completed}");
}

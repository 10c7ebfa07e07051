//! A log that begins anew under another origin, and publications that are given up.

use std::collections::BTreeSet;
use std::fs;

use countersign_format::key::KeyName;
use countersign_format::layout::Log;
use countersign_store::crash::{Failure, with_failure};

use super::*;
use crate::authority::{Admission, LogChange, Retirement};
use crate::publish::Beginning;
use crate::round::describe_entry;
use crate::server;

/// Gives the collection's log a new origin, in the next version of the authority.
fn new_origin(lab: &Lab) {
    let mut authority = Authority::open(&lab.path("repo/authority")).expect("opened");
    let origin = Some("example.org/collection/2".parse().expect("a name"));
    let collection = LogChange { origin, ..LogChange::default() };
    authority.change(&NoteChange { collection, ..NoteChange::default() }, now()).expect("prepared");
    let keys = authority.own_keys();
    authority.sign(&keys[0], &unencrypted(), now()).expect("signed");
    authority.publish(now()).expect("published");
}

fn restart(lab: &Lab, keep: u64) -> Result<(Beginning, Publication), CollectionError> {
    lab.collection().session(&unencrypted())?.restart(keep, now())
}

/// A log of an authority note, two patches and the revocation of the first.
fn forked() -> Lab {
    let lab = Lab::new();
    let (one, two) = lab.trees();
    lab.add(&one, &addition(ACME_1, None)).expect("taken in");
    lab.publish().expect("published");
    lab.add(&two, &addition(ACME_2, None)).expect("taken in");
    lab.publish().expect("published");
    let patches = selector("acme@1.0.0");
    let revocation = Revocation { patches, reason: "test".parse().expect("a line") };
    let collection = lab.collection();
    let mut session = collection.session(&unencrypted()).expect("a session");
    session.revoke(&revocation, now()).expect("revoked");
    lab
}

#[test]
fn a_log_begins_anew_only_under_a_new_origin_and_keeps_what_there_is() {
    let lab = forked();
    let refusal = |keep| match restart(&lab, keep) {
        Err(CollectionError::Publish(error)) => error,
        other => panic!("{other:?}"),
    };
    assert!(matches!(refusal(2), PublishError::NotLeft(_)));
    new_origin(&lab);
    let refused = lab.publish().expect_err("of the old origin");
    assert!(
        matches!(refused, CollectionError::Publish(PublishError::Origin { .. })),
        "{refused:?}"
    );
    assert!(matches!(refusal(5), PublishError::KeepsTooMany { keep: 5, size: 4 }));
    assert!(matches!(refusal(0), PublishError::KeepsNothing));
    let (begun, _) = restart(&lab, 2).expect("begun");
    let repeated: Vec<_> = begun.repeated().iter().map(|it| String::from_utf8_lossy(it)).collect();
    let words = repeated.iter().map(|it| describe_entry(Log::Collection, it)).collect::<Vec<_>>();
    assert_eq!((begun.kept, words), (2, vec!["revokes entry 1: test".to_owned()]));
    assert!(matches!(refusal(2), PublishError::NotLeft(_)));
    // the same archive can be taken in again
    lab.add(&lab.path("two"), &addition(ACME_2, None)).expect("taken in");
    lab.publish().expect("published");
    // what was revoked stays revoked, wherever the log that was left said so
    let expected = ["authority 1", "acme@1.0.0", "revoke 1", "authority 2", "acme@1.1.0"];
    assert_eq!(names(&lab.entries()), expected);
    let published = lab.collection().published().expect("listed");
    let revoked: Vec<_> = published.iter().map(|patch| patch.revoked_by).collect();
    assert_eq!(revoked, [Some(2), None]);
}

#[test]
fn no_key_at_hand_signs_what_only_a_retired_one_signed() {
    let lab = forked();
    let authority = Authority::open(&lab.path("repo/authority")).expect("opened");
    let id: KeyName = "example.org/collection".parse().expect("a name");
    let (directory, role) = (lab.collection().directory().clone(), Log::Collection);
    let asked = server::renew(&directory, &id, role, None, &unencrypted()).expect("asked");
    let grant = authority.issue(&asked.to_bytes(), &unencrypted(), now()).expect("issued").grant;
    let (told, grant) = (authority.config().kgc, grant.to_bytes());
    let accepted = server::accept(&directory, &id, role, &grant, told, &unencrypted());
    let acceptance = accepted.expect("accepted").to_bytes();
    authority.admit(&acceptance, "acceptance", &Admission::default(), now()).expect("admitted");
    // from entry 2 on it may be the thief who signed
    let retirement = Retirement { id, epoch: Some(1), until: 2, reason: "stolen".into() };
    authority.retire(&retirement, now()).expect("retired");
    new_origin(&lab);
    match restart(&lab, 4) {
        Err(CollectionError::KeptUnsigned { index: 2, .. }) => {}
        other => panic!("{other:?}"),
    }
    assert_eq!(restart(&lab, 2).expect("begun").0.kept, 2);
    let expected = ["authority 1", "acme@1.0.0", "revoke 1", "authority 2"];
    assert_eq!(names(&lab.entries()), expected);
}

#[test]
fn a_restart_that_fails_anywhere_is_completed_by_the_next() {
    let lab = forked();
    new_origin(&lab);
    lab.copy("repo/collection", "before");
    let kept = lab.entries().into_iter().take(2).collect::<Vec<_>>();
    let mut failed = BTreeSet::new();
    // every second step fails, and every other fails once it is done
    for done in [false, true] {
        for after in (u32::from(done)..).step_by(2) {
            fs::remove_dir_all(lab.path("repo/collection")).expect("removed");
            lab.copy("before", "repo/collection");
            let (_, step) = with_failure(Failure { after, errno: 5, done }, || restart(&lab, 2));
            let Some(step) = step else { break };
            failed.insert(step);
            // the rerun says another number: what was begun stands
            let journal = lab.path("repo/collection/state/collection-pending");
            match restart(&lab, if journal.exists() { 1 } else { 2 }) {
                Ok(_) | Err(CollectionError::Publish(PublishError::NotLeft(_))) => {}
                Err(error) => panic!("{step}: {error:?}"),
            }
            lab.publish().expect("goes on");
            let entries = lab.entries();
            assert_eq!(entries[..2], kept, "{step}");
            assert_eq!(names(&entries)[2..], ["revoke 1", "authority 2"], "{step}");
            let published = lab.collection().published().expect("listed");
            assert_eq!((published.len(), published[0].revoked_by), (1, Some(2)), "{step}");
        }
    }
    assert!(failed.len() > 5 && failed.contains("left.rename"), "{failed:?}");
}

#[test]
fn a_publication_is_given_up_until_its_head_is_signed() {
    let lab = Lab::new();
    let (one, two) = lab.trees();
    lab.add(&one, &addition(ACME_1, None)).expect("taken in");
    lab.publish().expect("published");
    lab.add(&two, &addition(ACME_2, None)).expect("taken in");
    lab.copy("repo/collection", "before");
    let (mut not_begun, mut completed) = (0, 0);
    for after in 0.. {
        fs::remove_dir_all(lab.path("repo/collection")).expect("removed");
        lab.copy("before", "repo/collection");
        let failure = Failure { after, errno: 5, done: false };
        let (_, step) = with_failure(failure, || lab.publish());
        let Some(step) = step else { break };
        let collection = lab.collection();
        let discarded = collection.session_without_keys().expect("a session").discard_round();
        match discarded {
            // it was complete, or had not begun: another patch may take its place
            Ok(0) if collection.drafts().expect("listed").is_empty() => {
                assert!(lab.publish().is_ok(), "{step}");
            }
            Ok(0) => {
                not_begun += 1;
                let draft = collection.select_draft(&selector("acme@1.1.0")).expect("waits");
                collection.discard(std::slice::from_ref(&draft)).expect("given up");
                let other = "name = \"acme\"\nversion = \"1.2.0\"";
                lab.add(&two, &addition(other, None)).expect("taken in");
                lab.publish().unwrap_or_else(|error| panic!("{step}: {error:?}"));
                assert_eq!(names(&lab.entries())[1..], ["acme@1.0.0", "acme@1.2.0"], "{step}");
            }
            Ok(count) => panic!("{step}: a sealed publication of {count} was given up"),
            Err(CollectionError::Publish(PublishError::Signed { size: 3 })) => {
                completed += 1;
                lab.publish().expect("completed");
                assert_eq!(names(&lab.entries())[1..], ["acme@1.0.0", "acme@1.1.0"], "{step}");
            }
            Err(error) => panic!("{step}: {error:?}"),
        }
    }
    assert!(not_begun > 10 && completed > 3, "{not_begun} not begun, {completed} completed");
}

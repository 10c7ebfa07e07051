//! From the collection to what clients accept.

use countersign_format::key::SignatureType;

use super::*;
use crate::authority::{Admission, Authority, NoteChange};
use crate::config::Span;
use crate::publish::Assurances;
use crate::server;

#[test]
fn what_is_released_carries_both_signatures() {
    let lab = Lab::new();
    lab.collect(&["1.0.0", "1.1.0"], at(1));
    let synced = lab.sync(at(2)).expect("fetched");
    assert_eq!((synced.before, synced.size), (0, 3));
    let new: Vec<_> = synced.patches.iter().map(|patch| patch.index).collect();
    assert_eq!(new, [1, 2]);
    assert_eq!(synced.patches[0].signed_by[0].as_str(), "example.org/collection");
    assert!(lab.read(&layout::checkpoint(Log::Collection)).is_none(), "nothing is public yet");

    lab.release(&["acme@1.0.0"]);
    let publication = lab.publish(at(3)).expect("published");
    assert_eq!(publication.countersigned.len(), 1);
    assert_eq!((publication.collection, publication.distribution), (3, 2));
    let view = lab.view(at(3));
    assert_eq!(view.decisions, ["authority 1", "release stable 1..2"]);
    assert_eq!((view.collection, view.released), (3, set(["acme@1.0.0"])));

    // the other one is not there before it is released
    let held = lab.distribution().catalogue().expect("read");
    let second = held.patch(2).expect("held").entry.archive.sha256;
    assert!(lab.read(&layout::archive(&second)).is_none());

    let synced = lab.sync(at(4)).expect("fetched");
    assert_eq!((synced.before, synced.size, synced.patches.len()), (3, 3, 0));
    let decided = lab.distribution().decide(&Selection::New, &stable(), &release());
    assert_eq!(decided.expect("decided").waiting.len(), 1);
    lab.publish(at(5)).expect("published");
    assert_eq!(lab.view(at(5)).released, set(["acme@1.0.0", "acme@1.1.0"]));
    let again = lab.publish(at(6)).expect("nothing to do");
    assert_eq!((again.countersigned.len(), again.entries.len()), (0, 0));
    assert_eq!(again.time, Some(at(6)));
}

#[test]
fn one_decision_is_one_entry_and_the_last_one_stands() {
    let lab = Lab::new();
    lab.collect(&["1.0.0", "1.1.0", "1.2.0", "1.3.0"], at(1));
    lab.sync(at(2)).expect("fetched");
    lab.release(&["acme@1.3.0"]);
    lab.release(&["acme@1.0.0", "acme@1.1.0"]);
    lab.release(&["acme@1.2.0"]);
    // taken back before it was published: nobody hears of it
    let back = lab.decide(&["acme@1.2.0"], &stable(), &withdraw("doubts")).expect("taken back");
    assert_eq!((back.waiting.len(), back.taken_back.len()), (0, 1));
    lab.publish(at(3)).expect("published");
    let decisions = lab.view(at(3)).decisions;
    assert_eq!(decisions[1..], ["release stable 1..3 4..5"]);

    let canary = "canary".parse().expect("a ring");
    let note = layout::patch_note(
        &lab.distribution().catalogue().expect("read").patch(1).expect("held").entry.archive.sha256,
    );
    let before = lab.read(&note);
    lab.decide(&["acme@1.0.0"], &canary, &release()).expect("decided");
    lab.decide(&["acme@1.1.0"], &stable(), &withdraw("field reports")).expect("decided");
    let publication = lab.publish(at(4)).expect("published");
    assert_eq!(publication.countersigned, [], "a second ring needs no new signature");
    assert_eq!(lab.read(&note), before);
    let view = lab.view(at(4));
    assert_eq!(view.decisions[2..], ["release canary 1..2", "withdraw stable 2..3"]);
    assert_eq!(view.released, set(["acme@1.0.0", "acme@1.3.0"]));

    let standing = lab.decide(&["acme@1.0.0"], &stable(), &release()).expect("stands");
    assert_eq!((standing.waiting.len(), standing.standing.len()), (0, 1));
    let new = lab.distribution().decide(&Selection::New, &stable(), &release()).expect("decided");
    let names: Vec<_> = new.waiting.iter().map(|patch| patch.entry.version.to_string()).collect();
    assert_eq!(names, ["1.2.0"], "what was withdrawn is not new");
}

#[test]
fn unknown_unreleased_and_revoked_patches_are_refused() {
    let lab = Lab::new();
    let nothing = lab.decide(&["acme@1.0.0"], &stable(), &release());
    assert!(matches!(nothing, Err(DistributionError::NothingSynced)));
    lab.collect(&["1.0.0", "1.1.0"], at(1));
    lab.sync(at(2)).expect("fetched");
    let unknown = lab.decide(&["acme@9.0.0"], &stable(), &release()).expect_err("unknown");
    assert_eq!(unknown.hint().as_deref(), Some("there is acme@1.1.0, acme@1.0.0"));
    let other = lab.decide(&["acme@1.0.0"], &stable(), &withdraw("x"));
    assert!(matches!(other, Err(DistributionError::NotReleased { .. })), "{other:?}");

    lab.release(&["acme@1.0.0", "acme@1.1.0"]);
    lab.revoke("acme@1.0.0", at(3));
    let synced = lab.sync(at(4)).expect("fetched");
    assert_eq!(synced.revoked[0].index, 1);
    let revoked = lab.decide(&["acme@1.0.0"], &stable(), &release());
    assert!(matches!(revoked, Err(DistributionError::Revoked { .. })), "{revoked:?}");
    // the release that waited is gone
    lab.publish(at(5)).expect("published");
    let view = lab.view(at(5));
    assert_eq!(view.decisions[1..], ["release stable 2..3"]);
    assert_eq!(view.collection, 4);
}

#[test]
fn a_revoked_patch_is_not_even_fetched() {
    let lab = Lab::new();
    lab.collect(&["1.0.0", "1.1.0"], at(1));
    lab.revoke("acme@1.0.0", at(2));
    let collection = Collection::open(&lab.path("repo/collection")).expect("opened");
    let gone = collection.select_published(&selector("acme@1.0.0")).expect("found")[0]
        .entry
        .archive
        .sha256;
    let public = lab.path("repo/collection/public");
    fs::remove_file(public.join(layout::archive(&gone))).expect("removed");
    let synced = lab.sync(at(3)).expect("the rest is good");
    assert_eq!(synced.patches.len(), 2);
    assert_eq!(synced.patches[0].signed_by, []);
    assert!(
        lab.distribution().catalogue().expect("read").patch(1).expect("held").revoked.is_some()
    );
}

#[test]
fn refreshing_brings_the_newest_times_of_both() {
    let lab = Lab::new();
    lab.collect(&["1.0.0"], at(1));
    lab.sync(at(2)).expect("fetched");
    lab.release(&["acme@1.0.0"]);
    lab.publish(at(3)).expect("published");
    // by then readers would refuse both heads: 30 and 3 days
    let late = at(31 * 24 * 60);
    let collection = Collection::open(&lab.path("repo/collection")).expect("opened");
    let mut session = collection.session(&unencrypted()).expect("a session");
    session.refresh(late, Assurances::default()).expect("refreshed");
    let stale = lab.publish(late).expect_err("the head that is held is too old");
    assert_eq!(stale.exit(), countersign_terminal::ExitStatus::Expired, "{stale:?}");
    lab.sync(late).expect("fetched");
    let distribution = lab.distribution();
    let mut session = distribution.session(&unencrypted(), late).expect("a session");
    let refreshed = session.refresh(Assurances::default()).expect("refreshed");
    assert_eq!(refreshed.time, late);
    assert_eq!(lab.view(late).released, set(["acme@1.0.0"]));
}

#[test]
fn a_new_authority_note_is_passed_on_and_named_by_the_log() {
    let lab = Lab::new();
    lab.collect(&["1.0.0"], at(1));
    lab.sync(at(2)).expect("fetched");
    lab.publish(at(3)).expect("published");
    let mut authority = Authority::open(&lab.path("repo/authority")).expect("opened");
    let change = NoteChange { valid_for: Some(Span(99_999)), ..NoteChange::default() };
    authority.change(&change, at(4)).expect("prepared");
    let files = authority.own_keys();
    authority.sign(&files[0], &unencrypted(), at(4)).expect("signed");
    authority.publish(at(4)).expect("published");
    // the collection tells of it, where the authority itself cannot be reached
    lab.collect(&["1.1.0"], at(5));
    fs::remove_dir_all(lab.path("repo/authority")).expect("removed");
    lab.sync(at(6)).expect("fetched");
    lab.publish(at(7)).expect("published");
    assert_eq!(lab.authority().version, 2);
    assert_eq!(lab.view(at(7)).decisions, ["authority 1", "authority 2"]);
}

#[test]
fn both_of_a_servers_listed_keys_sign() {
    let lab = Lab::new();
    lab.collect(&["1.0.0"], at(1));
    lab.sync(at(2)).expect("fetched");
    let distribution = lab.distribution();
    let (directory, config) = (distribution.directory(), distribution.config());
    let request = server::renew(directory, &config.name, Log::Distribution, None, &unencrypted());
    let mut authority = Authority::open(&lab.path("repo/authority")).expect("opened");
    let grant = authority.issue(&request.expect("asked").to_bytes(), &unencrypted(), at(3));
    let grant = grant.expect("granted").grant.to_bytes();
    let kgc = authority.config().kgc;
    let (id, role) = (&config.name, Log::Distribution);
    let acceptance = server::accept(directory, id, role, &grant, kgc, &unencrypted());
    let acceptance = acceptance.expect("accepted").to_bytes();
    let admission = Admission::default();
    authority.admit(&acceptance, "acceptance", &admission, at(3)).expect("admitted");
    let files = authority.own_keys();
    authority.sign(&files[0], &unencrypted(), at(3)).expect("signed");
    authority.publish(at(3)).expect("published");

    lab.release(&["acme@1.0.0"]);
    lab.publish(at(4)).expect("published");
    let view = lab.view(at(4));
    assert_eq!(view.released, set(["acme@1.0.0"]));
    let entry = lab.distribution().catalogue().expect("read").patch(1).expect("held").entry.clone();
    let note = lab.read(&layout::patch_note(&entry.archive.sha256)).expect("the note");
    let note = Note::parse(&note, usize::MAX).expect("a note");
    let keys = lab.authority().distributions[0].log.keys.clone();
    assert_eq!(keys.len(), 2);
    for key in keys {
        let id = key.vkey.id(SignatureType::Countersignature);
        assert!(note.signatures().iter().any(|line| line.id == id));
    }
}

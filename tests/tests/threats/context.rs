//! Threats A7, A10: signatures that are genuine and were made for something else.

use countersign_fixtures::Repository;
use countersign_format::layout::{self, Log};
use countersign_format::note::Note;
use countersign_format::signature::countersign;
use countersign_tests::lab::present;

use crate::kit::{
    COLLECTION, COLLECTION_HEAD, DISTRIBUTION_HEAD, Scene, collection, distribution, head,
    patch_note, released,
};

/// A repository of other logs under the same keys of all parties.
fn elsewhere() -> Repository {
    let mut other = present().build();
    other.authority.collection.origin = "elsewhere.example.net/collection".parse().expect("a name");
    other.authority.distributions[0].log.origin =
        "elsewhere.example.net/distribution".parse().expect("a name");
    let other = released(other, "6.6.6");
    released(other, "6.6.7")
}

/// A7: what stands in the place of a head is signed by the right keys, for something else.
#[test]
fn no_other_text_is_a_head() {
    let scene = Scene::new();
    let next = scene.next();
    let replaced = |log: Log, bytes: Vec<u8>| {
        let mut shown = next.clone();
        shown.edit(&head(log), |head| *head = bytes);
        shown
    };
    let file = |log: Log| next.files()[&head(log)].clone();
    let note = next.files()[&patch_note(&next, 1)].clone();
    let missing = "timestamped signature is missing: none is by";
    // a patch note, an authority note
    let cases = [
        (Log::Collection, note, COLLECTION_HEAD),
        (Log::Collection, next.files()[&layout::authority(1)].clone(), COLLECTION_HEAD),
        (Log::Distribution, next.files()[&layout::authority(1)].clone(), DISTRIBUTION_HEAD),
    ];
    for (log, bytes, file) in cases {
        scene.refuses(&replaced(log, bytes), "update", 10, &[file, missing]);
    }
    // the other log's head: the distribution has signed both, and this one lacks the collection
    let collections = replaced(Log::Distribution, file(Log::Collection));
    let origin = format!("checkpoint is of the log {COLLECTION}, expected");
    scene.refuses(&collections, "update", 10, &[DISTRIBUTION_HEAD, &origin]);
    let distributions = replaced(Log::Collection, file(Log::Distribution));
    let words = [COLLECTION_HEAD, "the collection's timestamped signature is missing"];
    scene.refuses(&distributions, "update", 10, &words);
    scene.heals();
}

/// A7, A10: another repository's logs, by the same keys.
#[test]
fn logs_of_another_repository_under_the_same_keys_are_refused() {
    let scene = Scene::new();
    let other = elsewhere();
    let mut shown = scene.next();
    for (path, bytes) in other.files() {
        if !path.as_str().starts_with("authority/") {
            shown.files_mut().insert(path.clone(), bytes.clone());
        }
    }
    let origin = "checkpoint is of the log elsewhere.example.net/collection, expected";
    scene.refuses(&shown, "update", 10, &[COLLECTION_HEAD, origin, COLLECTION]);
    let genuine = scene.next().files()[&head(Log::Collection)].clone();
    let mut half = scene.next();
    half.edit(&head(Log::Collection), |bytes| *bytes = genuine);
    let theirs = other.files()[&head(Log::Distribution)].clone();
    half.edit(&head(Log::Distribution), |bytes| *bytes = theirs);
    let origin = "checkpoint is of the log elsewhere.example.net/distribution, expected";
    scene.refuses(&half, "update", 10, &[DISTRIBUTION_HEAD, origin]);
    // its authority note, which is signed by the same people, under the next number
    let before = scene.standing();
    let mut shown = scene.honest.clone();
    let theirs = other.files()[&layout::authority(1)].clone();
    shown.files_mut().insert(layout::authority(2), theirs);
    scene.serve(&shown);
    let outcome = scene.lab.endpoint("update").done();
    let outcome = outcome.says("authority/2 is passed over").says("the note says version 1");
    scene.learned_nothing(&before, &outcome);
    scene.heals();
}

/// A7: what stands in the place of a patch's note is signed by the right keys, for something else.
#[test]
fn no_other_text_is_a_patch_note() {
    let scene = Scene::with_offer();
    let path = patch_note(&scene.honest, 1);
    let layer = format!("layer 2 (archive): {path} is refused");
    let replaced = |note: &Note| {
        let mut shown = scene.honest.clone();
        let bytes = note.to_bytes();
        shown.edit(&path, |note| *note = bytes);
        shown
    };
    let checkpoint = scene.honest.note(&head(Log::Collection));
    let missing = "the distribution main's countersignature is missing";
    scene.refuses(&replaced(&checkpoint), "upgrade", 10, &[&layer, missing]);
    // the owner of the distribution countersigns what the collection signed as a head
    let own: Vec<_> = checkpoint
        .signatures()
        .iter()
        .filter(|line| line.name == collection().id && line.body.len() == 64)
        .cloned()
        .collect();
    let last = countersign(&distribution().signer(), &checkpoint, &own).expect("signs");
    let both = Note::new(checkpoint.text().to_owned(), own).with([last]);
    let other = "the note's text is not entry 1 of the collection's log";
    scene.refuses(&replaced(&both), "upgrade", 10, &[&layer, other]);
    // an authority note; the note of another patch; one of another repository
    let authority = scene.honest.note(&layout::authority(1));
    let missing = "the collection's signature is missing";
    scene.refuses(&replaced(&authority), "upgrade", 10, &[&layer, missing]);
    let older = scene.honest.note(&patch_note(&scene.honest, 0));
    scene.refuses(&replaced(&older), "upgrade", 10, &[&layer, other]);
    let elsewhere = elsewhere();
    let foreign = elsewhere.note(&patch_note(&elsewhere, 1));
    scene.refuses(&replaced(&foreign), "upgrade", 10, &[&layer, other]);
    scene.serve(&scene.honest);
    scene.lab.endpoint("upgrade").done().says("1.1.0");
}

/// A7: an authority note as an entry of a log is no patch and no decision: it is passed over.
#[test]
fn an_authority_note_among_the_entries_is_passed_over() {
    let scene = Scene::new();
    let mut shown = scene.honest.clone();
    let text = shown.note(&layout::authority(1)).text().to_owned();
    shown.collection.push(text.clone().into_bytes());
    shown.distribution.push(text.into_bytes());
    let shown = released(shown, "1.1.0");
    scene.serve(&shown);
    scene.lab.endpoint("update").done().says("2 new entries passed over");
    scene.lab.endpoint("upgrade").done().says("1.1.0");
    assert_eq!(scene.authority_version(), 1);
}

/// A10, B10: decisions about another log have no effect; about another tree they are a fork.
#[test]
fn a_release_of_another_log_has_no_effect_and_one_of_another_tree_is_a_fork() {
    let scene = Scene::new();
    let mut other = scene.honest.clone();
    let index = other.collect(&crate::kit::agent("1.1.0"));
    other.release_with(&[index], |release| {
        release.of.origin = "elsewhere.example.net/collection".parse().expect("a name");
    });
    other.release_with(&[index], |release| release.ring = "canary".parse().expect("a ring"));
    other.publish();
    scene.serve(&other);
    scene.lab.endpoint("update").done().says("nothing waits");

    let mut forked = other.clone();
    forked.release_with(&[index], |release| release.of.root.0[0] ^= 1);
    forked.publish();
    scene.refuses(&forked, "update", 12, &["fork: entry 3 of the distribution log speaks of"]);
    assert_eq!(scene.evidence().len(), 1, "the distribution's statement is kept");
    scene.serve(&released(other, "1.1.1"));
    scene.lab.endpoint("update").done();
}

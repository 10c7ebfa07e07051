//! Threats A on authority notes: who holds which role. A note that is not good is no beginning of
//! trust, and one that comes later is passed over by name and leaves everything as it is.

use std::fs;

use countersign_fixtures::{AuthorityKeys, Repository, Server};
use countersign_format::authority::AuthorityNote;
use countersign_format::key::SignatureType;
use countersign_format::layout::{self, Log};
use countersign_format::note::Note;

use crate::kit::{
    COLLECTION, COLLECTION_HEAD, Scene, authority_keys, collection, distribution, head, repository,
};

/// A change of a note.
type Change = fn(&mut AuthorityNote);

/// How a note is spoiled before it is signed, by all of the authority's keys.
enum Spoil {
    Note(Change),
    Text(fn(String) -> String),
}

/// What a machine says of the note.
struct Case {
    what: &'static str,
    spoil: Spoil,
    says: &'static str,
}

/// A3, A4, A11.
fn cases() -> Vec<Case> {
    let note = |what, spoil: Change, says| Case { what, spoil: Spoil::Note(spoil), says };
    let text =
        |what, spoil: fn(String) -> String, says| Case { what, spoil: Spoil::Text(spoil), says };
    vec![
        note(
            "one key for both roles",
            |note| {
                let both = note.collection.keys[0].clone();
                note.distributions[0].log.keys.push(both);
            },
            "stands in the note twice",
        ),
        note(
            "one key twice under two names",
            |note| {
                let mut twice = note.collection.keys[0].clone();
                (twice.kgc, twice.reconstruction) = (None, None);
                twice.id = "patches.example.org/collection/other".parse().expect("a name");
                twice.vkey.name = twice.id.clone();
                note.collection.keys.push(twice);
                note.collection.threshold = 2;
            },
            "stands in the note twice",
        ),
        note(
            "a key of the authority as a server's",
            |note| {
                let mut server = note.collection.keys[0].clone();
                (server.kgc, server.reconstruction) = (None, None);
                server.vkey = note.authority.keys[0].clone();
                server.id = server.vkey.name.clone();
                note.collection.keys.push(server);
            },
            "stands in the note twice",
        ),
        note(
            "a threshold of none for the collection",
            |note| note.collection.threshold = 0,
            "threshold 0 of the collection is not within 1 to its 1 unretired keys",
        ),
        note(
            "a threshold of none for the distribution: one signature would do",
            |note| note.distributions[0].log.threshold = 0,
            "threshold 0 of the distribution main is not within 1 to its 1 unretired keys",
        ),
        note(
            "a threshold of none for the authority",
            |note| note.authority.threshold = 0,
            "threshold 0 of the authority is not within 1 to its 3 unretired keys",
        ),
        note(
            "a threshold above the number of keys",
            |note| note.collection.threshold = 2,
            "threshold 2 of the collection is not within 1 to its 1 unretired keys",
        ),
        note(
            "a quorum of nobody",
            |note| note.witnesses.quorum = 1,
            "quorum 1 is above the number",
        ),
        note(
            "a key that no grant made",
            |note| note.collection.keys[0].epoch = 7,
            "key of patches.example.org/collection, epoch 7, is not the one that the KGC's points",
        ),
        text(
            "no threshold at all",
            |text| text.replacen("\"threshold\": 1,", "", 1),
            "missing field `threshold`",
        ),
        text(
            "an older format",
            |text| text.replacen("authority/v1", "authority/v0", 1),
            "authority/v0",
        ),
    ]
}

/// The note, signed by all keys of the authority.
fn spoiled(from: &Repository, version: u64, case: &Case) -> Vec<u8> {
    let mut note = from.authority.clone();
    note.version = version;
    let text = match case.spoil {
        Spoil::Note(spoil) => {
            spoil(&mut note);
            note.to_text()
        }
        Spoil::Text(spoil) => {
            let before = note.to_text();
            let text = spoil(before.clone());
            assert_ne!(text, before, "{}", case.what);
            text
        }
    };
    let lines = authority_keys().sign(&text, usize::MAX);
    Note::new(text, lines).to_bytes()
}

/// A3, A4, A11: no such note begins a machine's trust.
#[test]
fn no_such_note_is_a_beginning() {
    let scene = Scene::new();
    let note = scene.lab.path("spoiled.note");
    fs::create_dir(scene.lab.path("new")).expect("made");
    for case in cases() {
        fs::write(&note, spoiled(&repository(), 1, &case)).expect("written");
        let enroll = "--root new --yes enroll --authority spoiled.note";
        scene
            .lab
            .patchctl(enroll)
            .arg(scene.url())
            .exits(10)
            .says("authority: spoiled.note is refused")
            .says(case.says)
            .says("hint:");
        assert_eq!(
            fs::read_dir(scene.lab.path("new")).expect("listed").count(),
            0,
            "{}",
            case.what
        );
    }
}

/// A3, A4, A11: one that comes later is passed over by name, and nothing of it counts.
#[test]
fn no_such_note_follows_a_good_one() {
    let scene = Scene::new();
    let before = scene.standing();
    for case in cases() {
        let mut shown = scene.honest.clone();
        shown.files_mut().insert(layout::authority(2), spoiled(&scene.honest, 2, &case));
        scene.serve(&shown);
        let outcome = scene.lab.endpoint("update").done();
        let outcome = outcome.says("authority/2 is passed over").says(case.says);
        scene.learned_nothing(&before, &outcome);
        assert_eq!(scene.authority_version(), 1, "{}", case.what);
    }
    scene.heals();
}

/// A11: there is no word for fewer signatures. What a note says beyond what is known is not heeded.
#[test]
fn no_note_says_that_one_signature_is_enough() {
    let scene = Scene::new();
    let case = Case {
        what: "a word that one signature is enough",
        spoil: Spoil::Text(|text| {
            text.replacen("\"version\":", "\"signatures\": 1,\n  \"version\":", 1)
        }),
        says: "",
    };
    let note = spoiled(&scene.honest, 2, &case);
    let mut shown = scene.honest.clone();
    shown.files_mut().insert(layout::authority(2), note.clone());
    scene.serve(&shown);
    scene.lab.endpoint("update").done().says("authority version 2");
    for server in [collection(), distribution()] {
        let mut next = scene.next();
        next.files_mut().insert(layout::authority(2), note.clone());
        next.drop_lines(&head(Log::Collection), &server, SignatureType::Cosignature);
        scene.refuses(&next, "update", 10, &[COLLECTION_HEAD, "signature is missing"]);
    }
    scene.heals();
}

/// Serves `note` as the version of this number, which no log names, and requires that it is passed
/// over with these words.
#[track_caller]
fn passes_over(scene: &Scene, number: u64, note: &[u8], words: &[&str]) {
    let before = scene.standing();
    let mut shown = scene.honest.clone();
    shown.files_mut().insert(layout::authority(number), note.to_vec());
    scene.serve(&shown);
    let outcome = scene.lab.endpoint("update").done();
    let outcome = outcome.says(&format!("authority/{number} is passed over"));
    let outcome = words.iter().fold(outcome, |outcome, word| outcome.says(word));
    scene.learned_nothing(&before, &outcome);
    assert_eq!(scene.authority_version(), 1);
}

/// The next note of the repository after `change`, signed by so many of these keys.
fn next_note(
    scene: &Scene,
    change: impl FnOnce(&mut AuthorityNote),
    signers: &[(&AuthorityKeys, usize)],
) -> Vec<u8> {
    let mut note = scene.honest.authority.clone();
    note.version = 2;
    change(&mut note);
    let text = note.to_text();
    let lines = signers.iter().flat_map(|(keys, count)| keys.sign(&text, *count));
    Note::new(text.clone(), lines.collect()).to_bytes()
}

/// A4, A10: too few of the authority's keys, one of them nine times, another repository's note under
/// the same keys, a note under another number than its own.
#[test]
fn a_note_that_the_authority_did_not_mean_here_is_passed_over() {
    let scene = Scene::new();
    let keys = authority_keys();
    let one = next_note(&scene, |_| (), &[(&keys, 1)]);
    let one_of_two = [
        "authority: authority/2 is refused",
        "1 of 2 signatures of the authority of version 1 count",
        "none is by patches.example.org/authority-2 (ID",
        "or patches.example.org/authority-3 (ID",
    ];
    passes_over(&scene, 2, &one, &one_of_two);
    let nine = next_note(&scene, |_| (), &[(&keys, 1); 9]);
    let twice = "signature lines of key patches.example.org/authority-1 with ID";
    passes_over(&scene, 2, &nine, &["authority/2", twice, "stand twice"]);
    let elsewhere = next_note(
        &scene,
        |note| note.name = "elsewhere.example.net/authority".parse().expect("a name"),
        &[(&keys, 3)],
    );
    let renamed = "the authority's name changed from patches.example.org/authority to elsewhere";
    passes_over(&scene, 2, &elsewhere, &["authority/2", renamed]);
    let early = next_note(&scene, |note| note.version = 3, &[(&keys, 3)]);
    passes_over(&scene, 2, &early, &["the note says version 3, its file's name says 2"]);
    let first = scene.honest.enrolment();
    passes_over(&scene, 2, &first, &["the note says version 1, its file's name says 2"]);
    scene.heals();
}

/// B4, D4: what was retired stays retired, what was left stays left, and nobody is dropped in silence.
#[test]
fn a_note_takes_no_retirement_back() {
    let mut honest = repository();
    let renewed = Server::new(COLLECTION, 2);
    honest.authority.collection.keys[0].until = Some(1);
    honest.authority.collection.keys.push(renewed.listed());
    honest.collections = vec![renewed];
    honest.publish_authority(&authority_keys());
    honest.publish();
    let mut scene = Scene::with(honest);
    assert_eq!(scene.authority_version(), 2);
    scene.honest.authority.version = 2;
    let keys = authority_keys();
    let cases: [(Change, &str); 4] = [
        (|note| note.collection.keys[0].until = None, "was retired at 1 and is listed beyond that"),
        (|note| note.collection.keys[0].until = Some(2), "was retired at 1 and is listed beyond"),
        (|note| drop(note.collection.keys.remove(0)), "is no longer listed under"),
        (
            |note| {
                let retired = note.collection.keys.remove(0);
                note.collection.origin = format!("{COLLECTION}/2").parse().expect("a name");
                let mut again = retired;
                again.until = None;
                note.collection.keys.push(again);
            },
            "was retired and is listed as one in use",
        ),
    ];
    for (change, says) in cases {
        let before = scene.standing();
        let mut shown = scene.honest.clone();
        let note = next_note(
            &scene,
            |note| {
                note.version = 3;
                change(note);
            },
            &[(&keys, 3)],
        );
        shown.files_mut().insert(layout::authority(3), note);
        scene.serve(&shown);
        let outcome = scene.lab.endpoint("update").done();
        let outcome = outcome.says("authority/3 is passed over").says(COLLECTION).says(says);
        scene.learned_nothing(&before, &outcome);
        assert_eq!(scene.authority_version(), 2);
    }
    scene.heals();
}

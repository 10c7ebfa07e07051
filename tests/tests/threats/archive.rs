//! Threats A on layer 2: the notes of patches.

use countersign_fixtures::{Repository, Server};
use countersign_format::key::SignatureType;
use countersign_format::layout::RepoPath;
use countersign_format::note::{Note, SignatureLine};
use countersign_format::signature::countersign;

use crate::kit::{
    Scene, collection, distribution, patch_note, released, signed, with_two_keys, without,
};

/// The note of 1.1.0, which the machine knows and has not installed.
fn path(scene: &Scene) -> RepoPath {
    patch_note(&scene.honest, scene.honest.collection.entries().len() - 1)
}

#[track_caller]
fn refuses(scene: &Scene, words: &[&str], spoil: impl FnOnce(Note) -> Note) -> String {
    let mut shown = scene.honest.clone();
    let path = path(scene);
    shown.edit_note(&path, spoil);
    let file = format!("layer 2 (archive): {path} is refused");
    let words: Vec<&str> = [file.as_str()].into_iter().chain(words.iter().copied()).collect();
    scene.refuses(&shown, "upgrade", 10, &words).stderr
}

fn second(server: &Server, note: &Note, over: &[SignatureLine]) -> SignatureLine {
    countersign(&server.signer(), note, over).expect("a key in memory signs")
}

fn heals(scene: &Scene) {
    scene.serve(&scene.honest);
    scene.lab.endpoint("upgrade").done().says("1.1.0");
}

/// A1: four ways to lack a signature, four messages.
#[test]
fn a_note_that_somebody_did_not_sign_is_refused() {
    let scene = Scene::with_offer();
    let (first, last) = (collection(), distribution());
    let is_of = |line: &SignatureLine, server: &Server| line.name == server.id;
    let first_is_missing =
        "the collection's signature is missing: none is by patches.example.org/collection";
    let second_is_missing = "the distribution main's countersignature is missing: none is by \
                             patches.example.org/distribution";
    let stranger = Server::new("elsewhere.example.net/log", 1);
    let said = [
        refuses(&scene, &[first_is_missing], |note| without(&note, |line| is_of(line, &first))),
        refuses(&scene, &[second_is_missing], |note| without(&note, |line| is_of(line, &last))),
        refuses(&scene, &[first_is_missing, second_is_missing], |note| {
            let line = signed(&stranger, note.text());
            Note::new(note.text().to_owned(), vec![line])
        }),
        refuses(&scene, &["empty signature block"], |note| {
            Note::new(note.text().to_owned(), Vec::new())
        }),
    ];
    for (at, one) in said.iter().enumerate() {
        assert!(!said[..at].contains(one), "two ways, one message:\n{one}");
    }
    heals(&scene);
}

/// A3: neither key signs in the other's place.
#[test]
fn keys_do_not_change_places() {
    let scene = Scene::with_offer();
    // the distribution's key is all that a thief has
    refuses(&scene, &["the collection's signature is missing"], |note| {
        let own = signed(&distribution(), note.text());
        let last = second(&distribution(), &note, std::slice::from_ref(&own));
        Note::new(note.text().to_owned(), vec![own, last])
    });
    refuses(
        &scene,
        &["signature by key patches.example.org/collection with ID", "wrong"],
        |note| {
            let genuine = signed(&collection(), note.text());
            let body = signed(&distribution(), note.text()).body;
            let own = SignatureLine { body, ..genuine };
            let last = second(&distribution(), &note, std::slice::from_ref(&own));
            Note::new(note.text().to_owned(), vec![own, last])
        },
    );
    // the collection's key is all that a thief has
    refuses(&scene, &["the distribution main's countersignature is missing"], |note| {
        let own = signed(&collection(), note.text());
        let last = second(&collection(), &note, std::slice::from_ref(&own));
        Note::new(note.text().to_owned(), vec![own, last])
    });
    heals(&scene);
}

/// A5: a known signer's line that fails is refused, a stranger's is passed over.
#[test]
fn a_line_that_fails_is_refused_and_a_strangers_is_passed_over() {
    let mut scene = Scene::with_offer();
    for (server, kind, what) in [
        (collection(), SignatureType::Note, "the collection's signature by key"),
        (distribution(), SignatureType::Countersignature, "main's countersignature by key"),
    ] {
        let mut shown = scene.honest.clone();
        shown.spoil_lines(&path(&scene), &server, kind);
        let key = format!("{} with ID", server.id);
        scene.refuses(&shown, "upgrade", 10, &["layer 2 (archive)", what, &key, "is wrong"]);
    }
    let path = path(&scene);
    let stranger = Server::new("elsewhere.example.net/log", 1);
    scene.honest.edit_note(&path, |note| {
        let line = signed(&stranger, note.text());
        note.with([line])
    });
    heals(&scene);
}

fn offered(honest: Repository) -> Scene {
    let mut scene = Scene::with(honest);
    scene.honest = released(scene.honest.clone(), "1.1.0");
    scene.serve(&scene.honest);
    scene.lab.endpoint("update").done();
    scene
}

/// A2: a countersignature belongs to the first signatures that it was made over.
#[test]
fn a_countersignature_is_not_moved_to_other_first_signatures() {
    let (honest, alice) = with_two_keys(1);
    let scene = offered(honest);
    let wrong = [
        "the distribution main's countersignature by key patches.example.org/distribution",
        "wrong",
    ];
    // over the one key's signature, shown beside the other's
    refuses(&scene, &wrong, |note| {
        let over = [signed(&collection(), note.text())];
        let last = second(&distribution(), &note, &over);
        Note::new(note.text().to_owned(), vec![signed(&alice, note.text()), last])
    });
    // a first signature dropped, and one added
    refuses(&scene, &wrong, |note| without(&note, |line| line.name == alice.id));
    refuses(&scene, &wrong, |note| {
        let (one, other) = (signed(&collection(), note.text()), signed(&alice, note.text()));
        let last = second(&distribution(), &note, std::slice::from_ref(&one));
        Note::new(note.text().to_owned(), vec![one, other, last])
    });
    heals(&scene);
}

/// A4: one key fills no threshold of two.
#[test]
fn one_key_fills_no_threshold() {
    let (honest, alice) = with_two_keys(2);
    let scene = offered(honest);
    let one_of_two = [
        "1 of 2 signatures of the collection count",
        "none is by patches.example.org/collection/alice",
    ];
    refuses(&scene, &one_of_two, |note| {
        let own = signed(&collection(), note.text());
        let last = second(&distribution(), &note, std::slice::from_ref(&own));
        Note::new(note.text().to_owned(), vec![own, last])
    });
    refuses(&scene, &["signature lines of key patches.example.org/collection", "twice"], |note| {
        let own = signed(&collection(), note.text());
        let lines = vec![own; 9];
        let last = second(&distribution(), &note, &lines);
        Note::new(note.text().to_owned(), lines).with([last])
    });
    refuses(&scene, &["by key patches.example.org/collection/alice", "wrong"], |note| {
        let own = signed(&collection(), note.text());
        let genuine = signed(&alice, note.text());
        let lines = vec![own.clone(), SignatureLine { body: own.body, ..genuine }];
        let last = second(&distribution(), &note, &lines);
        Note::new(note.text().to_owned(), lines).with([last])
    });
    heals(&scene);
}

//! Threats A on layer 1: the heads of both logs.

use countersign_fixtures::Server;
use countersign_format::key::SignatureType;
use countersign_format::layout::Log;
use countersign_format::note::Note;

use crate::kit::{
    COLLECTION_HEAD, DISTRIBUTION_HEAD, Scene, collection, cosigned, distribution, head, signed,
    with_two_keys,
};

const FIRST_IS_MISSING: &str =
    "the collection's timestamped signature is missing: none is by patches.example.org/collection";
const SECOND_IS_MISSING: &str = "the distribution main's timestamped signature is missing: none is \
                                 by patches.example.org/distribution";

fn stranger() -> Server {
    Server::new("elsewhere.example.net/log", 1)
}

/// A1, A9: each log's head without one of its signatures, without any, without a block of them.
#[test]
fn a_head_that_somebody_did_not_sign_is_refused() {
    let scene = Scene::new();
    let cases = [
        (Log::Collection, collection(), COLLECTION_HEAD, FIRST_IS_MISSING),
        (Log::Collection, distribution(), COLLECTION_HEAD, SECOND_IS_MISSING),
        (Log::Distribution, distribution(), DISTRIBUTION_HEAD, SECOND_IS_MISSING),
    ];
    for (log, server, file, missing) in cases {
        let mut shown = scene.next();
        shown.drop_lines(&head(log), &server, SignatureType::Cosignature);
        scene.refuses(&shown, "update", 10, &[file, missing]);
    }
    let mut neither = scene.next();
    neither.edit_note(&head(Log::Collection), |note| {
        let line = signed(&stranger(), note.text());
        Note::new(note.text().to_owned(), vec![line])
    });
    scene.refuses(&neither, "update", 10, &[COLLECTION_HEAD, FIRST_IS_MISSING, SECOND_IS_MISSING]);
    for (log, file) in [(Log::Collection, COLLECTION_HEAD), (Log::Distribution, DISTRIBUTION_HEAD)]
    {
        let mut empty = scene.next();
        empty.edit(&head(log), |bytes| {
            let end = bytes.windows(2).rposition(|pair| pair == b"\n\n").expect("a note");
            bytes.truncate(end + 2);
        });
        scene.refuses(&empty, "update", 10, &[file, "empty signature block"]);
    }
    scene.heals();
}

/// A3: a key in another's place signs for nobody, whatever name it takes.
#[test]
fn a_key_in_another_roles_place_signs_for_nobody() {
    let scene = Scene::new();
    let cases = [
        (Log::Collection, collection(), distribution(), COLLECTION_HEAD, FIRST_IS_MISSING),
        (Log::Collection, distribution(), collection(), COLLECTION_HEAD, SECOND_IS_MISSING),
        (Log::Distribution, distribution(), collection(), DISTRIBUTION_HEAD, SECOND_IS_MISSING),
    ];
    for (log, owner, other, file, missing) in cases {
        let mut shown = scene.next();
        let path = head(log);
        shown.drop_lines(&path, &owner, SignatureType::Cosignature);
        if log == Log::Distribution {
            let line = cosigned(&other, shown.note(&path).text(), &shown);
            shown.edit_note(&path, |note| note.with([line]));
        }
        scene.refuses(&shown, "update", 10, &[file, missing]);
        // the same under the owner's name and key ID
        let mut shown = scene.next();
        let text = shown.note(&path).text().to_owned();
        let mut line = cosigned(&other, &text, &shown);
        let is_owners = |id| shown.note(&path).signatures().iter().any(|line| line.id == id);
        let genuine = cosigned(&owner, &text, &shown);
        assert!(is_owners(genuine.id));
        (line.name, line.id) = (genuine.name, genuine.id);
        shown.drop_lines(&path, &owner, SignatureType::Cosignature);
        shown.edit_note(&path, |note| note.with([line]));
        let key = format!("timestamped signature by key {} with ID", owner.id);
        scene.refuses(&shown, "update", 10, &[file, &key, "is wrong"]);
    }
    scene.heals();
}

/// A5: a line of a known signer that fails is refused, of whatever kind; a stranger's is passed over.
#[test]
fn a_known_signers_line_that_fails_is_refused_and_a_strangers_is_passed_over() {
    let scene = Scene::new();
    let cases = [
        (Log::Collection, collection(), SignatureType::Cosignature, "the collection's timestamped"),
        (Log::Collection, collection(), SignatureType::Note, "the collection's signature"),
        (Log::Collection, distribution(), SignatureType::Cosignature, "the distribution main's"),
        (Log::Distribution, distribution(), SignatureType::Note, "the distribution main's"),
    ];
    for (log, server, kind, whose) in cases {
        let mut shown = scene.next();
        shown.spoil_lines(&head(log), &server, kind);
        let key = format!("by key {} with ID", server.id);
        let file = format!("layer 1 (index): {log}/checkpoint is refused");
        scene.refuses(&shown, "update", 10, &[&file, whose, &key, "is wrong"]);
    }
    let mut next = scene.next();
    for log in Log::BOTH {
        let line = cosigned(&stranger(), next.note(&head(log)).text(), &next);
        next.edit_note(&head(log), |note| note.with([line]));
    }
    scene.serve(&next);
    scene.lab.endpoint("update").done();
}

/// A4, A9: one key fills no threshold of two, however often and under whatever name it signs.
#[test]
fn one_key_fills_no_threshold() {
    let (honest, alice) = with_two_keys(2);
    let scene = Scene::with(honest);
    let path = head(Log::Collection);
    let mut alone = scene.next();
    alone.drop_lines(&path, &alice, SignatureType::Cosignature);
    let words = [
        COLLECTION_HEAD,
        "1 of 2 timestamped signatures of the collection count",
        "none is by patches.example.org/collection/alice",
    ];
    scene.refuses(&alone, "update", 10, &words);
    // nine times, a second apart
    let mut nine = alone.clone();
    for _ in 0..8 {
        nine.wait(1);
        let line = cosigned(&collection(), nine.note(&path).text(), &nine);
        nine.edit_note(&path, |note| {
            let lines = note.signatures().iter().cloned().chain([line]).collect();
            Note::new(note.text().to_owned(), lines)
        });
    }
    scene.refuses(&nine, "update", 10, &words);
    // under the other's name, and with its ID
    for with_id in [false, true] {
        let mut named = alone.clone();
        let text = named.note(&path).text().to_owned();
        let mut line = cosigned(&collection(), &text, &named);
        line.name = alice.id.clone();
        if with_id {
            line.id = cosigned(&alice, &text, &named).id;
        }
        named.edit_note(&path, |note| note.with([line]));
        let wrong =
            ["timestamped signature by key patches.example.org/collection/alice", "is wrong"];
        scene.refuses(&named, "update", 10, if with_id { &wrong } else { &words });
    }
    scene.heals();
}

//! Threats A9: quorums of witnesses, together with thresholds above one.

use countersign_fixtures::{Repository, Server};
use countersign_format::authority::WitnessRole;
use countersign_format::key::{SignatureType, Vkey};
use countersign_format::layout::Log;
use countersign_format::note::{Note, SignatureLine};
use countersign_format::signature::{Signer as _, cosign};

use crate::kit::{
    COLLECTION_HEAD, DAY, DISTRIBUTION_HEAD, Scene, authority_keys, cosigned, head, released,
    with_two_keys,
};

fn witness(number: u32) -> Server {
    Server::new(&format!("witness-{number}.example.net/w"), 1)
}

fn listed(witness: &Server) -> Vkey {
    let signer = witness.signer();
    let (name, key) = (signer.name().clone(), signer.public_key().clone());
    Vkey { name, kind: SignatureType::Cosignature, key }
}

/// Puts the lines of these witnesses, made now, on both heads.
fn witnessed(mut repository: Repository, witnesses: &[Server]) -> Repository {
    for log in Log::BOTH {
        let text = repository.note(&head(log)).text().to_owned();
        let lines: Vec<_> =
            witnesses.iter().map(|witness| cosigned(witness, &text, &repository)).collect();
        repository.edit_note(&head(log), |note| note.with(lines));
    }
    repository
}

/// Two of two keys sign for the collection, and two of three witnesses must have cosigned.
fn scene() -> (Scene, Server) {
    let (mut honest, alice) = with_two_keys(2);
    let keys = (1..=3).map(|number| listed(&witness(number))).collect();
    honest.authority.witnesses = WitnessRole { quorum: 2, keys };
    honest.publish_authority(&authority_keys());
    honest.wait(1);
    honest.publish();
    (Scene::with(witnessed(honest, &[witness(1), witness(2)])), alice)
}

fn is_of(line: &SignatureLine, server: &Server) -> bool {
    line.name == server.id
}

/// A9: below the quorum, or the quorum and not the servers.
#[test]
fn a_head_without_its_quorum_is_refused() {
    let (scene, alice) = scene();
    let next = released(scene.honest.clone(), "1.1.0");
    for log in Log::BOTH {
        let file = if log == Log::Collection { COLLECTION_HEAD } else { DISTRIBUTION_HEAD };
        let mut one = witnessed(next.clone(), &[witness(1), witness(2)]);
        let dropped = witness(2);
        one.edit_note(&head(log), |note| {
            let lines = note.signatures().iter().filter(|line| !is_of(line, &dropped)).cloned();
            Note::new(note.text().to_owned(), lines.collect())
        });
        let words = [
            file,
            "1 of 2 timestamped signatures of the witnesses count: none is by",
            "witness-2.example.net/w (ID",
            "or witness-3.example.net/w (ID",
        ];
        scene.refuses(&one, "update", 10, &words);
    }
    scene.refuses(
        &next,
        "update",
        10,
        &[COLLECTION_HEAD, "0 of 2 timestamped signatures of the witnesses count"],
    );
    // all witnesses do not stand for a second server's key
    let all = [witness(1), witness(2), witness(3)];
    let mut alone = witnessed(next.clone(), &all);
    alone.drop_lines(&head(Log::Collection), &alice, SignatureType::Cosignature);
    let words = [
        COLLECTION_HEAD,
        "1 of 2 timestamped signatures of the collection count: none is by",
        "patches.example.org/collection/alice (ID",
    ];
    scene.refuses(&alone, "update", 10, &words);
    // both are short: both are said
    let mut both = witnessed(next.clone(), &all[..1]);
    both.drop_lines(&head(Log::Collection), &alice, SignatureType::Cosignature);
    let witnesses = "1 of 2 timestamped signatures of the witnesses count";
    scene.refuses(&both, "update", 10, &[words[1], witnesses]);
    scene.serve(&witnessed(next, &all[1..]));
    scene.lab.endpoint("update").done();
    scene.lab.endpoint("upgrade").done().says("1.1.0");
}

/// A9: what is no witness's word on this head.
#[test]
fn a_quorum_is_of_different_witnesses_who_saw_this_head_lately() {
    let (scene, _) = scene();
    let next = released(scene.honest.clone(), "1.1.0");
    let one = witnessed(next.clone(), &[witness(1)]);
    let path = head(Log::Collection);
    let text = next.note(&path).text().to_owned();
    let with = |line: SignatureLine| {
        let mut shown = one.clone();
        shown.edit_note(&path, |note| note.with([line]));
        shown
    };
    let mut later = next.clone();
    later.wait(1);
    let twice = with(cosigned(&witness(1), &text, &later));
    let short = "1 of 2 timestamped signatures of the witnesses count";
    scene.refuses(&twice, "update", 10, &[COLLECTION_HEAD, short, "none is by witness-2"]);
    let other_head = scene.honest.note(&path).text().to_owned();
    let other = with(cosigned(&witness(2), &other_head, &next));
    let wrong = "timestamped signature by key witness-2.example.net/w with ID";
    scene.refuses(&other, "update", 10, &[COLLECTION_HEAD, wrong, "is wrong"]);
    let stranger = with(cosigned(&witness(9), &text, &next));
    scene.refuses(&stranger, "update", 10, &[COLLECTION_HEAD, short]);
    // a server's key is no witness
    let server = with(cosigned(&crate::kit::distribution(), &text, &later));
    scene.refuses(&server, "update", 10, &[COLLECTION_HEAD]);
    // longer ago than the log's heads may be old
    let long_ago = countersign_format::time::Timestamp::from_seconds(next.now.seconds() - 31 * DAY);
    let old = cosign(&witness(2).signer(), &text, long_ago.expect("after 1970")).expect("signs");
    let words = [COLLECTION_HEAD, short, "witness-2.example.net/w (ID", "the limit is 2592000 s"];
    scene.refuses(&with(old), "update", 11, &words);
    scene.serve(&witnessed(next, &[witness(3), witness(1)]));
    scene.lab.endpoint("update").done();
}

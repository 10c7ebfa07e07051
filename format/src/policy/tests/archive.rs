//! Layer 2: patch notes.

use super::*;

const ENTRY: &str = r#"{"type":"patch/v1","name":"acme","version":"1.0.0","archive":{"sha256":"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad","size":1,"unpacked":1,"files":1},"collected":"2026-11-22T10:00:00Z"}
"#;

fn first(signer: &dyn Signer) -> SignatureLine {
    sign_note(signer, ENTRY).expect("signed")
}

fn second(signer: &dyn Signer, over: &[SignatureLine]) -> SignatureLine {
    let note = Note::new(ENTRY.into(), over.to_vec());
    countersign(signer, &note, over).expect("countersigned")
}

fn bytes(lines: Vec<SignatureLine>) -> Vec<u8> {
    Note::new(ENTRY.into(), lines).to_bytes()
}

fn verify_at(world: &World, bytes: &[u8], index: u64, released: u64) -> Result<(), PolicyError> {
    let context = PatchContext {
        file: "patches/ba/x.note",
        authority: &world.authority,
        entry: ENTRY.as_bytes(),
        index,
    };
    verify_patch(bytes, &context, world.main(), released).map(|_| ())
}

fn verify(world: &World, lines: Vec<SignatureLine>) -> Result<(), PolicyError> {
    verify_at(world, &bytes(lines), 0, 0)
}

fn refused(world: &World, lines: Vec<SignatureLine>) -> String {
    let error = verify(world, lines).expect_err("must be refused");
    assert_eq!(error.verdict(), Verdict::Signature);
    words(&error)
}

#[test]
fn both_signatures_or_nothing() {
    let world = World::new();
    let one = first(&world.collection);
    let two = second(&world.distribution, std::slice::from_ref(&one));
    assert!(verify(&world, vec![one.clone(), two.clone()]).is_ok());
    // strangers beside good lines change nothing
    let unknown = first(&stranger());
    assert!(verify(&world, vec![unknown.clone(), one.clone(), two.clone()]).is_ok());
    let messages = [
        refused(&world, vec![one.clone()]),
        refused(&world, vec![unknown]),
        refused(&world, vec![two.clone()]),
        words(&verify_at(&world, format!("{ENTRY}\n").as_bytes(), 0, 0).expect_err("none")),
    ];
    let layer = "layer 2 (archive): patches/ba/x.note is refused: ";
    let expected = [
        "the distribution main's countersignature is missing: none is by example.org/distribution",
        "the collection's signature is missing: none is by example.org/collection; \
         the distribution main's countersignature is missing: none is by example.org/distribution",
        "the collection's signature is missing: none is by example.org/collection",
        "note has an empty signature block",
    ];
    for (message, expected) in messages.iter().zip(expected) {
        assert_eq!(without_ids(message), format!("{layer}{expected}"));
    }
}

#[test]
fn a_countersignature_belongs_to_its_first_signatures() {
    let (mut world, collection_2, _) = World::with_two_of_two();
    world.authority.distributions[0].log.threshold = 1;
    world.authority.collection.threshold = 1;
    let (a, b) = (first(&world.collection), first(&collection_2));
    let over_a = second(&world.distribution, std::slice::from_ref(&a));
    let over_both = second(&world.distribution, &[a.clone(), b.clone()]);
    assert!(verify(&world, vec![a.clone(), over_a.clone()]).is_ok());
    assert!(verify(&world, vec![a.clone(), b.clone(), over_both.clone()]).is_ok());
    for splice in [
        vec![b.clone(), over_a.clone()],
        vec![a.clone(), b.clone(), over_a],
        vec![a.clone(), over_both.clone()],
        vec![b, a, over_both],
    ] {
        let message = refused(&world, splice);
        assert!(message.contains("the distribution main's countersignature by key"), "{message}");
    }
}

#[test]
fn keys_do_not_change_places() {
    let world = World::new();
    let by_distribution = first(&world.distribution);
    let by_collection = second(&world.collection, std::slice::from_ref(&by_distribution));
    let message = refused(&world, vec![by_distribution, by_collection]);
    assert!(message.contains("the collection's signature is missing"), "{message}");
    let one = first(&world.collection);
    let twice = second(&world.collection, std::slice::from_ref(&one));
    let message = refused(&world, vec![one, twice]);
    assert!(message.contains("countersignature is missing"), "{message}");
}

#[test]
fn a_known_signers_broken_line_rejects_the_note() {
    let (mut world, collection_2, _) = World::with_two_of_two();
    world.authority.collection.threshold = 1;
    world.authority.distributions[0].log.threshold = 1;
    let lines = vec![first(&world.collection), broken(first(&collection_2))];
    let countersigned = second(&world.distribution, &lines);
    let message = refused(&world, [lines, vec![countersigned]].concat());
    assert!(message.contains("the collection's signature by key example.org/collection-2"));
}

#[test]
fn thresholds_are_met_by_different_keys() {
    let (world, collection_2, distribution_2) = World::with_two_of_two();
    let lines = vec![first(&world.collection), first(&collection_2)];
    let one = second(&world.distribution, &lines);
    let two = second(&distribution_2, &lines);
    let all = [lines.clone(), vec![one.clone(), two]].concat();
    assert!(verify(&world, all).is_ok());
    let message = refused(&world, [lines, vec![one]].concat());
    assert!(message.contains("1 of 2 countersignatures of the distribution main count"));
}

#[test]
fn retirement_follows_the_logs_order() {
    let mut world = World::new();
    let (next, _) = issue("example.org/collection", 2, 21);
    world.authority.collection.keys.push(next);
    world.authority.collection.keys[0].until = Some(7);
    let (next, _) = issue("example.org/distribution", 2, 22);
    world.authority.distributions[0].log.keys.push(next);
    world.authority.distributions[0].log.keys[0].until = Some(9);
    let one = first(&world.collection);
    let two = second(&world.distribution, std::slice::from_ref(&one));
    let bytes = bytes(vec![one, two]);
    assert!(verify_at(&world, &bytes, 6, 8).is_ok());
    let error = verify_at(&world, &bytes, 7, 8).expect_err("after the collection's retirement");
    assert!(
        words(&error).contains("collection's signature does not count: example.org/collection")
    );
    assert!(words(&error).contains("is retired from index 7 on"));
    let error = verify_at(&world, &bytes, 6, 9).expect_err("after the distribution's retirement");
    assert!(words(&error).contains("is retired from index 9 on"));
}

#[test]
fn the_text_is_the_logs_entry() {
    let world = World::new();
    let other = ENTRY.replace("1.0.0", "1.0.1");
    let one = sign_note(&world.collection, &other).expect("signed");
    let note = Note::new(other, vec![one.clone()]);
    let two = countersign(&world.distribution, &note, &[one]).expect("countersigned");
    let error = verify_at(&world, &note.with([two]).to_bytes(), 3, 0).expect_err("another entry");
    assert_eq!(error.refusal, Refusal::OtherEntry { index: 3 });
}

#[test]
fn every_bit_of_a_note_matters() {
    let world = World::new();
    let one = first(&world.collection);
    let two = second(&world.distribution, std::slice::from_ref(&one));
    let good = bytes(vec![one, two]);
    for at in 0..good.len() {
        for bit in 0..8 {
            let mut bad = good.clone();
            bad[at] ^= 1 << bit;
            assert!(verify_at(&world, &bad, 0, 0).is_err(), "bit {bit} of byte {at}");
        }
        assert!(verify_at(&world, &good[..at], 0, 0).is_err(), "cut at {at}");
    }
    assert!(verify_at(&world, &vec![b'a'; MAX_NOTE + 1], 0, 0).is_err());
}

#[test]
fn a_distribution_sees_the_first_signature_only() {
    let world = World::new();
    let context = PatchContext {
        file: "x.note",
        authority: &world.authority,
        entry: ENTRY.as_bytes(),
        index: 0,
    };
    assert!(verify_first_patch(&bytes(vec![first(&world.collection)]), &context).is_ok());
    assert!(verify_first_patch(&bytes(vec![first(&stranger())]), &context).is_err());
}

//! Layer 1: checkpoints.

use super::*;
use crate::authority::WitnessRole;
use crate::key::SignatureType;
use crate::layout::Log;

const TEXT: &str = "example.org/collection\n0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n";

pub(super) fn context<'a>(world: &'a World, newest: &'a SignerTimes) -> CheckpointContext<'a> {
    CheckpointContext {
        file: "collection/checkpoint",
        log: Log::Collection,
        authority: &world.authority,
        distribution: world.main(),
        clock: Clock::local(now()),
        newest,
    }
}

fn ago(seconds: u64) -> Timestamp {
    Timestamp::from_seconds(now().seconds() - seconds).expect("a time")
}

fn lines(world: &World, collection: Timestamp, distribution: Timestamp) -> Vec<SignatureLine> {
    vec![
        sign_note(&world.collection, TEXT).expect("signed"),
        cosign(&world.collection, TEXT, collection).expect("cosigned"),
        cosign(&world.distribution, TEXT, distribution).expect("cosigned"),
    ]
}

fn bytes(lines: Vec<SignatureLine>) -> Vec<u8> {
    Note::new(TEXT.into(), lines).to_bytes()
}

fn refused(world: &World, lines: Vec<SignatureLine>) -> PolicyError {
    let newest = SignerTimes::new();
    verify_checkpoint(&bytes(lines), &context(world, &newest)).expect_err("must be refused")
}

#[test]
fn both_signatures_or_nothing() {
    let world = World::new();
    let newest = SignerTimes::new();
    let good = lines(&world, ago(10), ago(5));
    let verified = verify_checkpoint(&bytes(good.clone()), &context(&world, &newest));
    let verified = verified.expect("both signed");
    let times: Vec<_> = verified.counted.iter().filter_map(|counted| counted.time).collect();
    assert_eq!(times, [ago(10), ago(5)]);
    let message = words(&refused(&world, good[..2].to_vec()));
    assert_eq!(
        without_ids(&message),
        "layer 1 (index): collection/checkpoint is refused: \
         the distribution main's timestamped signature is missing: \
         none is by example.org/distribution"
    );
    // the plain signature alone says nothing about when
    let message = words(&refused(&world, vec![good[0].clone(), good[2].clone()]));
    assert!(message.contains("the collection's timestamped signature is missing"), "{message}");
    // a distribution sees the first only, and that is not enough for a client
    let first = bytes(good[..2].to_vec());
    assert!(verify_first_checkpoint(&first, &context(&world, &newest)).is_ok());
}

#[test]
fn a_known_signers_broken_line_rejects_the_checkpoint() {
    let world = World::new();
    for at in 0..3 {
        let mut bad = lines(&world, ago(10), ago(5));
        bad[at] = broken(bad[at].clone());
        let error = refused(&world, bad);
        assert!(matches!(error.refusal, Refusal::BadSignature { .. }), "line {at}");
    }
    // a cosignature that claims another time
    let mut bad = lines(&world, ago(10), ago(5));
    bad[1].body[7] ^= 1;
    assert!(matches!(refused(&world, bad).refusal, Refusal::BadSignature { .. }));
}

#[test]
fn a_checkpoint_of_another_log_or_role_is_refused() {
    let world = World::new();
    let text = TEXT.replace("org/collection", "net/collection");
    let by = |signer: &dyn Signer| cosign(signer, &text, ago(1)).expect("cosigned");
    let both = vec![by(&world.collection), by(&world.distribution)];
    let newest = SignerTimes::new();
    let elsewhere = Note::new(text.clone(), both).to_bytes();
    let error = verify_checkpoint(&elsewhere, &context(&world, &newest)).expect_err("another log");
    assert!(matches!(error.refusal, Refusal::Origin { .. }));
    // the collection's head is not the distribution's
    let good = bytes(lines(&world, ago(1), ago(1)));
    let other = CheckpointContext { log: Log::Distribution, ..context(&world, &newest) };
    let error = verify_checkpoint(&good, &other).expect_err("another log");
    assert!(matches!(error.refusal, Refusal::Origin { .. }));
}

#[test]
fn age_is_measured_by_role() {
    let mut world = World::new();
    world.authority.collection.max_age = 100;
    world.authority.distributions[0].log.max_age = 50;
    let newest = SignerTimes::new();
    let verify = |collection, distribution| {
        let bytes = bytes(lines(&world, ago(collection), ago(distribution)));
        verify_checkpoint(&bytes, &context(&world, &newest)).map(|_| ())
    };
    assert!(verify(100, 50).is_ok());
    let error = verify(101, 50).expect_err("the collection is too old");
    assert_eq!(error.verdict(), Verdict::Expired);
    assert!(words(&error).contains("the collection's timestamped signature does not count"));
    assert!(words(&error).contains("is 101 s old, the limit is 100 s"));
    let error = verify(100, 51).expect_err("the distribution is too old");
    assert!(words(&error).contains("is 51 s old, the limit is 50 s"));
}

#[test]
fn a_missing_key_is_no_freeze_however_often_another_is_late() {
    let (world, ..) = World::with_two_of_two();
    let late =
        |seconds: u64| cosign(&world.collection, TEXT, ago(259_200 + seconds)).expect("cosigned");
    let newest = SignerTimes::new();
    let stale = bytes(vec![late(1), late(2)]);
    let error = verify_first_checkpoint(&stale, &context(&world, &newest)).expect_err("one key");
    assert_eq!(error.verdict(), Verdict::Signature);
}

#[test]
fn a_clock_set_back_brings_nothing_old_to_life() {
    let world = World::new();
    let newest = SignerTimes::new();
    let bytes = bytes(lines(&world, ago(0), ago(0)));
    let at =
        |clock| verify_checkpoint(&bytes, &CheckpointContext { clock, ..context(&world, &newest) });
    let back = Clock { local: ago(200), floor: now().plus(300_000) };
    let error = at(back).expect_err("too old by the floor");
    assert!(words(&error).contains("is 300000 s old"));
    let wrong = Clock::local(Timestamp::EPOCH);
    let error = at(wrong).expect_err("in the future by the local clock");
    assert_eq!(error.verdict(), Verdict::Expired);
    assert!(words(&error).contains("ahead of the local clock, which says 1970-01-01T00:00:00Z"));
    assert!(at(Clock::local(ago(300))).is_ok());
    assert!(at(Clock::local(ago(301))).is_err());
}

#[test]
fn a_signer_never_goes_back() {
    let world = World::new();
    let newest = SignerTimes::from([(world.distribution.public_key().clone(), ago(5))]);
    let verify = |distribution| {
        let bytes = bytes(lines(&world, ago(9), ago(distribution)));
        verify_checkpoint(&bytes, &context(&world, &newest)).map(|_| ())
    };
    assert!(verify(5).is_ok());
    let error = verify(6).expect_err("older than before");
    assert_eq!(error.verdict(), Verdict::Rollback);
    assert!(words(&error).contains("is 1 s older than 2026-11-22T11:59:55Z"));
}

#[test]
fn a_retired_key_signs_no_checkpoint() {
    let mut world = World::new();
    let (next, signer) = issue("example.org/collection", 2, 21);
    world.authority.collection.keys.push(next);
    world.authority.collection.keys[0].until = Some(100);
    let error = refused(&world, lines(&world, ago(1), ago(1)));
    assert_eq!(error.verdict(), Verdict::Signature);
    assert!(words(&error).contains("is retired from index 100 on"));
    let mut with_next = lines(&world, ago(1), ago(1));
    with_next.push(cosign(&signer, TEXT, ago(1)).expect("cosigned"));
    let newest = SignerTimes::new();
    assert!(verify_checkpoint(&bytes(with_next), &context(&world, &newest)).is_ok());
}

#[test]
fn witnesses_reach_their_quorum() {
    let mut world = World::new();
    let signers: Vec<_> = (70..73).map(authority_key).collect();
    let keys =
        signers.iter().map(|signer| Vkey { kind: SignatureType::Cosignature, ..vkey(signer) });
    world.authority.witnesses = WitnessRole { quorum: 2, keys: keys.collect() };
    let mut with_one = lines(&world, ago(1), ago(1));
    with_one.push(cosign(&signers[0], TEXT, ago(1)).expect("cosigned"));
    let message = words(&refused(&world, with_one.clone()));
    assert!(message.contains("1 of 2 timestamped signatures of the witnesses count"), "{message}");
    with_one.push(cosign(&signers[2], TEXT, ago(1)).expect("cosigned"));
    let newest = SignerTimes::new();
    assert!(verify_checkpoint(&bytes(with_one), &context(&world, &newest)).is_ok());
}

#[test]
fn a_genuine_signature_of_another_kind_counts_for_nothing() {
    let world = World::new();
    // the collection's and the distribution's plain lines over the same text
    let plain = vec![
        sign_note(&world.collection, TEXT).expect("signed"),
        sign_note(&world.distribution, TEXT).expect("signed"),
    ];
    assert_eq!(refused(&world, plain).verdict(), Verdict::Signature);
}

#[test]
fn a_tally_counts_as_the_policy_does() {
    let mut world = World::new();
    let newest = SignerTimes::new();
    let tally = |world: &World, lines: &[SignatureLine], is_first| {
        let tallies = tally_checkpoint(&bytes(lines.to_vec()), &context(world, &newest), is_first);
        let of = |tally: Tally| format!("{} {} of {}", tally.role, tally.found, tally.needed);
        tallies.map(|tallies| tallies.into_iter().map(of).collect::<Vec<_>>())
    };
    let good = lines(&world, ago(10), ago(5));
    let both = ["collection 1 of 1", "distribution main 1 of 1"].map(String::from);
    assert_eq!(tally(&world, &good, false), Ok(both.to_vec()));
    assert_eq!(tally(&world, &good, true), Ok(both[..1].to_vec()));
    let one = tally(&world, &good[..2], false).expect("nothing is wrong with what is there");
    assert_eq!(one, ["collection 1 of 1", "distribution main 0 of 1"]);
    world.authority.collection.keys[0].until = Some(7);
    let retired = tally(&world, &good, false).expect("nothing is wrong");
    assert_eq!(retired, ["collection 0 of 1", "distribution main 1 of 1"]);
    let mut wrong = good;
    wrong[1].body[20] ^= 1;
    assert!(tally(&world, &wrong, false).is_err());
}

//! Layer by layer: what suffices, and every way in which it does not (threats A and B).

use super::*;
use crate::authority::tests::{authority_key, issue, note, role, vkey};
use crate::authority::{AuthorityNote, DistributionRole};
use crate::implicit_key::ImplicitSigner;
use crate::key::Vkey;
use crate::limits::MAX_NOTE;
use crate::signature::{SeedSigner, Signer, cosign, countersign, sign_note};

mod archive;
mod chain;
mod exhaustive;
mod index;

/// An authority note with one collection and one distribution, and their keys.
struct World {
    authority: AuthorityNote,
    collection: ImplicitSigner,
    distribution: ImplicitSigner,
}

impl World {
    fn new() -> Self {
        Self {
            authority: note(),
            collection: issue("example.org/collection", 1, 1).1,
            distribution: issue("example.org/distribution", 1, 2).1,
        }
    }

    fn main(&self) -> &DistributionRole {
        &self.authority.distributions[0]
    }

    /// Lists a second key for the collection and for the distribution, and asks for both.
    fn with_two_of_two() -> (Self, ImplicitSigner, ImplicitSigner) {
        let mut world = Self::new();
        let (first, collection) = issue("example.org/collection-2", 1, 11);
        let (second, distribution) = issue("example.org/distribution-2", 1, 12);
        world.authority.collection.keys.push(first);
        world.authority.collection.threshold = 2;
        world.authority.distributions[0].log.keys.push(second);
        world.authority.distributions[0].log.threshold = 2;
        (world, collection, distribution)
    }
}

fn time(text: &str) -> Timestamp {
    text.parse().expect("a time")
}

fn now() -> Timestamp {
    time("2026-11-22T12:00:00Z")
}

fn stranger() -> SeedSigner {
    SeedSigner::new("example.org/collection".parse().expect("a name"), &[200; 32])
}

/// The error's causes in one line, as a person would read them.
fn words(error: &PolicyError) -> String {
    format!("{error}: {}", error.refusal)
}

/// A message without the key IDs that it names.
fn without_ids(message: &str) -> String {
    let mut parts = message.split(" (ID ");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| text + part.split_once(')').map_or(part, |(_, rest)| rest))
}

/// `line` with one bit of its signature turned.
fn broken(mut line: SignatureLine) -> SignatureLine {
    *line.body.last_mut().expect("a signature") ^= 1;
    line
}

#[test]
fn a_key_id_alone_selects_nothing() {
    // two keys of one name and one ID: what a stranger's collision would be, listed on purpose
    let world = World::new();
    let text = "text\n";
    let good = sign_note(&world.collection, text).expect("signed");
    let stranger = stranger();
    let forged = SignatureLine { id: good.id, ..sign_note(&stranger, text).expect("signed") };
    let candidate =
        |vkey: &'static Vkey| Candidate { name: &vkey.name, key: &vkey.key, retired: None };
    let listed: &'static Vkey =
        Box::leak(Box::new(world.authority.collection.keys[0].vkey.clone()));
    let requirement = |threshold| Requirement {
        role: Role::Collection,
        form: Form::Note,
        threshold,
        candidates: vec![candidate(listed)],
    };
    let note = Note::new(text.into(), vec![good.clone()]);
    assert_eq!(decide(&note, &[requirement(1)]).expect("good").len(), 1);
    let note = Note::new(text.into(), vec![good, forged]);
    assert!(matches!(decide(&note, &[requirement(1)]), Err(Refusal::BadSignature { .. })));
}

#[test]
fn one_key_counts_once_however_often_it_signs() {
    let (world, ..) = World::with_two_of_two();
    let text = "example.org/collection\n0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n";
    let lines = (0..9).map(|second| {
        cosign(
            &world.collection,
            text,
            Timestamp::from_seconds(now().seconds() - second).expect("a time"),
        )
        .expect("cosigned")
    });
    let bytes = Note::new(text.into(), lines.collect()).to_bytes();
    let newest = SignerTimes::new();
    let error = verify_first_checkpoint(&bytes, &index::context(&world, &newest))
        .expect_err("one key is not two");
    assert!(words(&error).contains("1 of 2 timestamped signatures of the collection count"));
}

#[test]
fn the_newest_line_of_a_signer_is_the_one_that_is_remembered() {
    let world = World::new();
    let text = "example.org/collection\n0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n";
    let at = |ago: u64| Timestamp::from_seconds(now().seconds() - ago).expect("a time");
    for times in [[at(9), at(3), at(6)], [at(3), at(6), at(9)], [at(9), at(6), at(3)]] {
        let lines = times.map(|time| cosign(&world.collection, text, time).expect("cosigned"));
        let bytes = Note::new(text.into(), lines.to_vec()).to_bytes();
        let newest = SignerTimes::new();
        let verified = verify_first_checkpoint(&bytes, &index::context(&world, &newest));
        let counted = &verified.expect("signed").counted;
        assert_eq!(counted.len(), 1);
        assert_eq!(counted[0].time, Some(at(3)));
    }
}

#[test]
fn the_directory_vouches_for_itself_only() {
    let world = World::new();
    let text = "{\"type\":\"directory/v1\",\"name\":\"example.org/directory\",\"version\":1,\"expires\":\"2027-01-01T00:00:00Z\",\"servers\":[]}\n";
    let by = |signer: &dyn Signer| {
        let line = sign_note(signer, text).expect("signed");
        Note::new(text.into(), vec![line]).to_bytes()
    };
    let verify = |bytes: &[u8], now: Timestamp| {
        verify_directory(bytes, "directory", &world.authority, Clock::local(now))
    };
    assert!(verify(&by(&authority_key(60)), now()).is_ok());
    let error = verify(&by(&authority_key(50)), now()).expect_err("the authority's key");
    assert_eq!(error.verdict(), Verdict::Signature);
    let late = verify(&by(&authority_key(60)), time("2027-01-01T00:00:00Z")).expect_err("late");
    assert_eq!(late.verdict(), Verdict::Expired);
}

#[test]
fn an_applicant_shows_its_own_key() {
    let (key, signer) = issue("example.org/collection", 1, 1);
    let line = sign_note(&signer, "acceptance\n").expect("signed");
    let bytes = Note::new("acceptance\n".into(), vec![line]).to_bytes();
    let text = verify_own_signature(&bytes, "acceptance", &key.vkey).expect("its own");
    assert_eq!(*text, "acceptance\n");
    let (other, _) = issue("example.org/collection", 1, 9);
    assert!(verify_own_signature(&bytes, "acceptance", &other.vkey).is_err());
}

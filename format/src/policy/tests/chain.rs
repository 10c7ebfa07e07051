//! The authority: enrolment and the chain of its notes.

use super::*;
use crate::authority::ServerKey;

fn signed(authority: &AuthorityNote, signers: &[&SeedSigner]) -> Vec<u8> {
    let text = authority.to_text();
    let lines = signers.iter().map(|signer| sign_note(*signer, &text).expect("signed"));
    Note::new(text.clone(), lines.collect()).to_bytes()
}

fn enrolled() -> Chain {
    let bytes = signed(&note(), &[&authority_key(50)]);
    Chain::enroll(&bytes, "authority/1").expect("enrolled")
}

fn next(change: impl FnOnce(&mut AuthorityNote)) -> AuthorityNote {
    let mut next = note();
    next.version = 2;
    change(&mut next);
    next
}

fn follow(chain: &Chain, next: &AuthorityNote, signers: &[&SeedSigner]) -> Result<Chain, Refusal> {
    let file = format!("authority/{}", next.version);
    chain.follow(&signed(next, signers), &file, next.version).map_err(|error| error.refusal)
}

#[test]
fn the_first_note_is_signed_by_its_own_keys() {
    assert_eq!(enrolled().newest().version, 1);
    let error = Chain::enroll(&signed(&note(), &[&authority_key(51)]), "authority/1");
    let error = error.expect_err("a stranger's note");
    assert!(words(&error).contains("the authority of version 1's signature is missing"));
}

#[test]
fn a_rotation_is_signed_by_both_sides() {
    let chain = enrolled();
    let (old, new) = (authority_key(50), authority_key(51));
    let rotated = next(|note| note.authority.keys = vec![vkey(&new)]);
    let followed = follow(&chain, &rotated, &[&old, &new]).expect("both signed");
    assert_eq!(followed.newest().authority.keys, [vkey(&new)]);
    let Err(Refusal::TooFew(missing)) = follow(&chain, &rotated, &[&new]) else {
        panic!("the old side is missing")
    };
    assert_eq!(missing[0].role, Role::Authority { version: 1 });
    let Err(Refusal::TooFew(missing)) = follow(&chain, &rotated, &[&old]) else {
        panic!("the new side is missing")
    };
    assert_eq!(missing[0].role, Role::Authority { version: 2 });
    // the old key has no say any more
    let third = AuthorityNote { version: 3, ..rotated };
    assert!(follow(&followed, &third, &[&old]).is_err());
    assert!(follow(&followed, &third, &[&new]).is_ok());
}

#[test]
fn versions_and_names_hold() {
    let chain = enrolled();
    let key = authority_key(50);
    let bytes = signed(&next(|_| ()), &[&key]);
    let error = chain.follow(&bytes, "authority/3", 3).expect_err("another number");
    let wrong = ChainError::FileVersion { expected: 3, found: 2 };
    assert_eq!(error.refusal, Refusal::Chain(wrong));
    let again = follow(&chain, &next(|note| note.version = 1), &[&key]);
    assert_eq!(again.err(), Some(ChainError::Order { accepted: 1, found: 1 }.into()));
    let renamed = next(|note| note.name = "example.org/other".parse().expect("a name"));
    let refused = follow(&chain, &renamed, &[&key]).err();
    assert!(matches!(refused, Some(Refusal::Chain(ChainError::Name { .. }))));
    // a version in between that cannot be accepted is passed over
    assert!(follow(&chain, &next(|note| note.version = 3), &[&key]).is_ok());
}

#[test]
fn a_listed_key_stays_listed_and_a_retired_one_retired() {
    let chain = enrolled();
    let key = authority_key(50);
    let dropped = next(|note| note.collection.keys = vec![issue("example.org/collection", 2, 9).0]);
    let refused = follow(&chain, &dropped, &[&key]).err();
    assert!(matches!(refused, Some(Refusal::Chain(ChainError::Dropped { epoch: 1, .. }))));
    let retired = |version, until| {
        next(|note| {
            note.version = version;
            note.collection.keys.push(issue("example.org/collection", 2, 9).0);
            note.collection.keys[0].until = until;
        })
    };
    let chain = follow(&chain, &retired(2, Some(10)), &[&key]).expect("retired");
    let refused = follow(&chain, &retired(3, None), &[&key]).err();
    assert!(matches!(refused, Some(Refusal::Chain(ChainError::Revived { until: 10, .. }))));
    let refused = follow(&chain, &retired(3, Some(11)), &[&key]).err();
    assert!(matches!(refused, Some(Refusal::Chain(ChainError::Revived { until: 10, .. }))));
    assert!(follow(&chain, &retired(3, Some(9)), &[&key]).is_ok());
}

#[test]
fn a_retired_key_is_in_use_nowhere_again() {
    let authority = authority_key(50);
    let (retired, _) = issue("example.org/collection", 1, 1);
    let (fresh, _) = issue("example.org/collection", 2, 9);
    let chain = next(|note| {
        note.collection.keys[0].until = Some(10);
        note.collection.keys.push(fresh.clone());
    });
    let chain = follow(&enrolled(), &chain, &[&authority]).expect("retired");
    let moved = |until, change: &dyn Fn(&mut AuthorityNote)| {
        let keys = vec![ServerKey { until, ..retired.clone() }, fresh.clone()];
        let third = next(|note| {
            note.version = 3;
            note.collection = role("example.org/collection-2", keys);
            change(note);
        });
        follow(&chain, &third, &[&authority]).map(|_| ())
    };
    // what it signed is still good in the log that repeats the old one
    assert!(moved(Some(10), &|_| ()).is_ok());
    let returned = |refused: Result<(), Refusal>| {
        assert!(matches!(refused, Err(Refusal::Chain(ChainError::KeyReturned(_)))), "{refused:?}");
    };
    returned(moved(None, &|_| ()));
    returned(moved(None, &|note| {
        note.directory.keys.push(retired.vkey.clone());
        note.collection.keys.remove(0);
    }));
}

#[test]
fn a_text_that_nobody_signed_is_not_looked_at() {
    let unsigned = Note::new(
        "no authority note\n".into(),
        vec![sign_note(&stranger(), "no authority note\n").expect("signed")],
    );
    let error = enrolled().follow(&unsigned.to_bytes(), "authority/2", 2).expect_err("unsigned");
    assert!(matches!(error.refusal, Refusal::TooFew(_)), "{error:?}");
    let text = "no authority note\n";
    let signed = Note::new(text.into(), vec![sign_note(&authority_key(50), text).expect("signed")]);
    let error = enrolled().follow(&signed.to_bytes(), "authority/2", 2).expect_err("malformed");
    assert!(matches!(error.refusal, Refusal::Authority(_)), "{error:?}");
}

#[test]
fn a_left_origin_never_returns() {
    let key = authority_key(50);
    let moved = |version, origin: &str| {
        next(|note| {
            note.version = version;
            note.collection = role(origin, vec![issue("example.org/collection", 2, 9).0]);
        })
    };
    let chain = enrolled();
    let chain = follow(&chain, &moved(2, "example.org/collection-2"), &[&key]).expect("moved");
    let back = next(|note| note.version = 3);
    let refused = follow(&chain, &back, &[&key]).err();
    assert!(matches!(refused, Some(Refusal::Chain(ChainError::OriginReturned(_)))));
    // an origin does not pass from one holder to another either
    let taken = next(|note| {
        note.version = 2;
        let origin = note.distributions[0].log.origin.clone();
        note.collection.origin = origin;
        note.distributions.clear();
    });
    let refused = follow(&enrolled(), &taken, &[&key]).err();
    assert!(matches!(refused, Some(Refusal::Chain(ChainError::OriginReturned(_)))));
}

#[test]
fn only_the_newest_must_be_unexpired() {
    let authority = note();
    let before = Clock::local(now());
    assert!(check_unexpired(&authority, "authority/1", before).is_ok());
    let late = Clock { local: now(), floor: authority.expires };
    let error = check_unexpired(&authority, "authority/1", late).expect_err("expired");
    assert_eq!(error.verdict(), Verdict::Expired);
}

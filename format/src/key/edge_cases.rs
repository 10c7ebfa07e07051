//! Where Ed25519 verifiers part ways (threats A8): small order, mixed order, second spellings.
//!
//! The classes are those of C2SP's CCTV `ed25519` and of Chalkias, Garillot and Nikolaenko, "Taming
//! the many EdDSAs" (2020). Most are made here, so that the keys are ones that could be listed; the
//! ten cases of the paper are at the end.

use curve25519_dalek::constants::{ED25519_BASEPOINT_POINT as B, EIGHT_TORSION};
use curve25519_dalek::scalar::Scalar;
use sha2::{Digest as _, Sha512};

use super::*;

const MESSAGE: &[u8] = b"example.org/collection\n0\n";
/// ℓ, the order of the base point, little-endian.
const ORDER: [u8; 32] = [
    0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
];

/// A secret scalar and its public key.
fn pair() -> (Scalar, PublicKey) {
    let secret = Scalar::from_bytes_mod_order([7; 32]);
    let public = PublicKey::from_bytes(&(secret * B).compress().to_bytes()).expect("a good key");
    (secret, public)
}

/// k = SHA-512(R ‖ A ‖ M), for R as it is spelled.
fn challenge(r: &[u8; 32], key: &PublicKey) -> Scalar {
    let hash = Sha512::new().chain_update(r).chain_update(key.as_bytes()).chain_update(MESSAGE);
    Scalar::from_bytes_mod_order_wide(&hash.finalize().into())
}

fn signature(r: &[u8; 32], s: &[u8; 32]) -> [u8; 64] {
    [*r, *s].concat().try_into().expect("64 bytes")
}

/// The signature with the commitment spelled as `r`, which is of `nonce`·B up to a point of small
/// order: what whoever holds the key can make.
fn sign(nonce: Scalar, r: &[u8; 32]) -> [u8; 64] {
    let (secret, key) = pair();
    signature(r, &(nonce + challenge(r, &key) * secret).to_bytes())
}

/// Every 32 bytes that some decoder reads as a point of small order: eight points, and the second
/// spellings by a y beyond p and by a negative zero.
fn small_order() -> Vec<[u8; 32]> {
    let mut spellings: Vec<[u8; 32]> =
        EIGHT_TORSION.iter().map(|point| point.compress().to_bytes()).collect();
    spellings.extend(second_spellings(&[0, 1]));
    let mut minus_one = [0xff; 32];
    minus_one[0] = 0xec;
    let mut one = [0; 32];
    (one[0], one[31]) = (1, 0x80);
    spellings.extend([minus_one, one]);
    spellings
}

/// y + p for small y, with either sign.
fn second_spellings(ys: &[u8]) -> Vec<[u8; 32]> {
    let mut spellings = Vec::new();
    for y in ys {
        for top in [0x7f, 0xff] {
            let mut bytes = [0xff; 32];
            (bytes[0], bytes[31]) = (0xed + y, top);
            spellings.push(bytes);
        }
    }
    spellings
}

#[test]
fn an_honest_signature_is_good() {
    let (_, key) = pair();
    let nonce = Scalar::from(11_u64);
    assert!(key.verifies(MESSAGE, &sign(nonce, &(nonce * B).compress().to_bytes())));
}

#[test]
fn no_key_of_small_or_mixed_order_and_none_spelled_twice() {
    assert_eq!(small_order().len(), 14);
    let (secret, _) = pair();
    let mixed = EIGHT_TORSION[1..].iter().map(|small| (secret * B + small).compress().to_bytes());
    let all_ys: Vec<u8> = (0..19).collect();
    for bytes in small_order().into_iter().chain(mixed).chain(second_spellings(&all_ys)) {
        let read = PublicKey::from_bytes(&bytes);
        assert_eq!(read, Err(KeyError::Point(HEXLOWER.encode(&bytes))));
        let body = BASE64.encode(&[&[0x01], bytes.as_slice()].concat());
        let text = format!("example.org/a+00000000+{body}");
        assert!(matches!(text.parse::<Vkey>(), Err(KeyError::Point(_))));
    }
}

#[test]
fn no_commitment_of_small_order() {
    let (_, key) = pair();
    // s·B = k·A holds: verifiers that do not look at R, or clear the cofactor, take these
    for r in small_order() {
        assert!(!key.verifies(MESSAGE, &sign(Scalar::ZERO, &r)), "{r:02x?}");
    }
}

#[test]
fn no_commitment_of_mixed_order() {
    let (_, key) = pair();
    let nonce = Scalar::from(11_u64);
    for small in &EIGHT_TORSION[1..] {
        let r = (nonce * B + small).compress().to_bytes();
        assert!(!key.verifies(MESSAGE, &sign(nonce, &r)), "{r:02x?}");
    }
}

#[test]
fn no_second_scalar() {
    let (_, key) = pair();
    let nonce = Scalar::from(11_u64);
    let good = sign(nonce, &(nonce * B).compress().to_bytes());
    let (r, mut s) = (good[..32].try_into().expect("32 bytes"), [0; 32]);
    s.copy_from_slice(&good[32..]);
    for multiple in 1..=15 {
        let mut carry = 0_u16;
        for (digit, order) in s.iter_mut().zip(ORDER) {
            let sum = u16::from(*digit) + u16::from(order) + carry;
            (*digit, carry) = ((sum & 0xff) as u8, sum >> 8);
        }
        if carry > 0 {
            assert!(multiple > 14);
            break;
        }
        assert!(!key.verifies(MESSAGE, &signature(&r, &s)), "s + {multiple}ℓ");
    }
}

#[test]
fn the_cases_of_the_paper_have_one_verdict() {
    let cases: Vec<[String; 3]> =
        serde_json::from_str(include_str!("taming.json")).expect("the cases");
    assert_eq!(cases.len(), 10);
    let mut keys_taken = Vec::new();
    for (index, case) in cases.iter().enumerate() {
        let [message, key, signature] =
            case.each_ref().map(|hex| HEXLOWER.decode(hex.as_bytes()).expect("hex"));
        let Ok(key) = PublicKey::from_bytes(&key.try_into().expect("32 bytes")) else { continue };
        keys_taken.push(index);
        let signature = signature.try_into().expect("64 bytes");
        assert!(!key.verifies(&message, &signature), "case {index}");
    }
    // the others have keys that could not be listed; these two fail by their scalar
    assert_eq!(keys_taken, [6, 7]);
}

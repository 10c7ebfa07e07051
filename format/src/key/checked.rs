//! Points that were found good, so that the few keys of a repository, which stand in every note of its
//! authority, are checked once a process and not once a note: whether a point is of prime order costs
//! as much as verifying a signature.

use std::sync::{Mutex, PoisonError};

use curve25519_dalek::edwards::{CompressedEdwardsY, EdwardsPoint};
use curve25519_dalek::traits::IsIdentity as _;
use data_encoding::HEXLOWER;
use ed25519_dalek::VerifyingKey;

use super::KeyError;

/// Most that are kept: more than an authority note has keys. Beyond it all are forgotten.
const MAX_KEPT: usize = 256;

/// Those that are good; nothing else is kept.
static GOOD: Mutex<Vec<Key>> = Mutex::new(Vec::new());

/// A point that is canonical, of prime order and not the identity.
#[derive(Clone, Copy)]
pub(super) struct Key {
    pub(super) point: EdwardsPoint,
    pub(super) verifying: VerifyingKey,
}

/// Checks 32 bytes.
pub(super) fn key(bytes: &[u8; 32]) -> Result<Key, KeyError> {
    let good = || GOOD.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = good().iter().find(|key| key.verifying.as_bytes() == bytes) {
        return Ok(*known);
    }
    let key = check(bytes).ok_or_else(|| KeyError::Point(HEXLOWER.encode(bytes)))?;
    let mut good = good();
    if good.len() == MAX_KEPT {
        good.clear();
    }
    good.push(key);
    Ok(key)
}

fn check(bytes: &[u8; 32]) -> Option<Key> {
    let compressed = CompressedEdwardsY(*bytes);
    let point = compressed
        .decompress()
        .filter(|point| point.compress() == compressed)
        .filter(|point| !point.is_identity() && point.is_torsion_free())?;
    Some(Key { point, verifying: VerifyingKey::from_bytes(bytes).ok()? })
}

#[cfg(test)]
mod tests {
    use curve25519_dalek::constants::{ED25519_BASEPOINT_POINT as B, EIGHT_TORSION};
    use curve25519_dalek::scalar::Scalar;

    use super::*;

    #[test]
    fn a_verdict_is_the_same_again_and_beyond_what_is_kept() {
        let encoded = |point: EdwardsPoint| point.compress().to_bytes();
        for number in 1..=u64::try_from(2 * MAX_KEPT).expect("small") {
            let point = B * Scalar::from(number);
            let (good, bad) = (encoded(point), encoded(point + EIGHT_TORSION[1]));
            for _ in 0..2 {
                assert_eq!(key(&good).expect("good").point, point);
                assert_eq!(key(&good).expect("good").verifying.as_bytes(), &good);
                assert!(key(&bad).is_err());
            }
            assert!(GOOD.lock().expect("not poisoned").len() <= MAX_KEPT);
        }
    }
}

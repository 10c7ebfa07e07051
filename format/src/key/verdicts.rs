//! Signatures that were found good, so that none is verified twice in one process: what a publisher
//! signs is verified at once and again with all that readers ask for, and a head that came is judged
//! along with the one that is held.
//!
//! A verdict depends on key, signature and message alone, and is kept under the SHA-256 of the three.
//! Only good ones are kept.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use crate::hash::Hash32;

/// Most that are kept: those of a publication. Beyond it all are forgotten.
const MAX_KEPT: usize = 4096;

static GOOD: Mutex<BTreeSet<Hash32>> = Mutex::new(BTreeSet::new());

/// Whether a signature is good, which `verify` finds out where it is not known.
pub(super) fn good(
    (key, signature, message): (&[u8; 32], &[u8; 64], &[u8]),
    verify: impl FnOnce() -> bool,
) -> bool {
    let of = Hash32::of_parts(&[key, signature, message]);
    let good = || GOOD.lock().unwrap_or_else(PoisonError::into_inner);
    if good().contains(&of) {
        return true;
    }
    let is_good = verify();
    if is_good {
        let mut good = good();
        if good.len() >= MAX_KEPT {
            good.clear();
        }
        good.insert(of);
    }
    is_good
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn a_good_one_is_verified_once_and_a_bad_one_each_time() {
        let (key, signature) = ([1; 32], [2; 64]);
        let asked = Cell::new(0);
        let ask = |key: &[u8; 32], signature: &[u8; 64], message: &[u8], verdict| {
            let verify = || {
                asked.set(asked.get() + 1);
                verdict
            };
            good((key, signature, message), verify)
        };
        assert!(!ask(&key, &signature, b"message", false));
        assert!(ask(&key, &signature, b"message", true));
        assert!(ask(&key, &signature, b"message", false), "it is known");
        assert_eq!(asked.get(), 2);
        assert!(!ask(&[3; 32], &signature, b"message", false));
        assert!(!ask(&key, &[3; 64], b"message", false));
        assert!(!ask(&key, &signature, b"massage", false));
        assert_eq!(asked.get(), 5);
        for number in 0..2 * MAX_KEPT {
            assert!(ask(&key, &signature, &number.to_be_bytes(), true));
        }
        assert!(GOOD.lock().expect("not poisoned").len() <= MAX_KEPT);
    }
}

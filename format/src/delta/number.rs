//! Numbers of a delta: seven bits a byte, the lowest first, in their shortest form (LEB128).

use crate::limits::MAX_INTEGER;

/// Most bytes of a number.
pub(super) const MAX_BYTES: usize = 8;

/// Writes a number, at most 2⁵⁶−1.
pub(super) fn put(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(low_bits(number) | 0x80);
        number >>= 7;
    }
    out.push(low_bits(number));
}

fn low_bits(number: u64) -> u8 {
    u8::try_from(number & 0x7f).expect("seven bits")
}

/// Takes a number off the front of `bytes`; none where they end before it, or where it is above
/// [`MAX_INTEGER`] times two or longer than it need be.
pub(super) fn take(bytes: &mut &[u8]) -> Option<u64> {
    // nearly all are small
    if let [first @ 0..0x80, rest @ ..] = bytes {
        *bytes = rest;
        return Some(u64::from(*first));
    }
    let mut number = 0;
    for (index, byte) in bytes.iter().take(MAX_BYTES).enumerate() {
        number |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            *bytes = &bytes[index + 1..];
            let is_good = *byte != 0 && number <= 2 * MAX_INTEGER + 1;
            return is_good.then_some(number);
        }
    }
    None
}

/// A signed distance as a number: small ones of either sign are small.
pub(super) fn zigzag(from: u64, to: u64) -> u64 {
    if to >= from { (to - from) << 1 } else { ((from - to) << 1) - 1 }
}

/// Where a distance leads; none where that is below 0 or no number any more.
pub(super) fn follow(from: u64, distance: u64) -> Option<u64> {
    if distance & 1 == 0 {
        from.checked_add(distance >> 1)
    } else {
        from.checked_sub((distance >> 1) + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_has_one_form() {
        for number in [0, 1, 127, 128, 16_383, 16_384, MAX_INTEGER, 2 * MAX_INTEGER + 1] {
            let mut bytes = Vec::new();
            put(&mut bytes, number);
            bytes.push(7);
            let mut rest = bytes.as_slice();
            assert_eq!(take(&mut rest), Some(number));
            assert_eq!(rest, [7]);
        }
        for bytes in [&[][..], &[0x80], &[0x80, 0], &[0xff, 0x80, 0], &[0xff; 8], &[0xff; 9]] {
            assert_eq!(take(&mut &*bytes), None, "{bytes:?}");
        }
    }

    #[test]
    fn distances_go_both_ways() {
        for (from, to) in [(0, 0), (0, 9), (9, 0), (5, 4), (0, MAX_INTEGER), (MAX_INTEGER, 0)] {
            assert_eq!(follow(from, zigzag(from, to)), Some(to));
        }
        assert_eq!(follow(3, zigzag(4, 0)), None);
        assert_eq!(follow(u64::MAX, 2), None);
    }
}

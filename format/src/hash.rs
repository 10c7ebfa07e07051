//! SHA-256 values: of files, of log leaves and nodes, of note texts.
//!
//! FIPS 180-4. In JSON, paths and messages a hash is 64 lowercase hex digits; in checkpoints
//! (C2SP `tlog-checkpoint`) it is standard base64 with padding.

use std::fmt;
use std::str::FromStr;

use data_encoding::{BASE64, HEXLOWER};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest as _, Sha256};

use crate::base64;

/// A SHA-256 value: 32 bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hash32(pub [u8; 32]);

/// Why a text is no SHA-256 value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a SHA-256 value ({expected}): {found:?}")]
pub struct HashError {
    /// The form that was expected.
    pub expected: &'static str,
    /// What was found, cut to 80 characters.
    pub found: String,
}

impl Hash32 {
    /// The SHA-256 of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// The SHA-256 of the concatenation of `parts`.
    pub fn of_parts(parts: &[&[u8]]) -> Self {
        let mut hasher = Sha256::new();
        for part in parts {
            hasher.update(part);
        }
        Self(hasher.finalize().into())
    }

    /// The 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Standard base64 with padding, as checkpoints write it.
    pub fn to_base64(self) -> String {
        BASE64.encode(&self.0)
    }

    /// Reads standard base64 with padding; anything but the canonical form is refused.
    pub fn from_base64(text: &str) -> Result<Self, HashError> {
        let bytes = if text.len() > 64 { None } else { base64::decode(text) };
        let hash = bytes.and_then(|bytes| bytes.try_into().ok()).map(Self);
        hash.ok_or_else(|| HashError::new("base64 of 32 bytes", text))
    }
}

impl HashError {
    fn new(expected: &'static str, found: &str) -> Self {
        Self { expected, found: found.chars().take(80).collect() }
    }
}

impl FromStr for Hash32 {
    type Err = HashError;

    fn from_str(text: &str) -> Result<Self, HashError> {
        let bytes = if text.len() > 64 { None } else { HEXLOWER.decode(text.as_bytes()).ok() };
        let hash = bytes.and_then(|bytes| bytes.try_into().ok()).map(Self);
        hash.ok_or_else(|| HashError::new("64 lowercase hex digits", text))
    }
}

impl fmt::Display for Hash32 {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&HEXLOWER.encode(&self.0))
    }
}

impl fmt::Debug for Hash32 {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

impl Serialize for Hash32 {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Hash32 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// SHA-256 fed piece by piece, for streams.
#[derive(Clone, Default)]
pub struct Hasher(Sha256);

impl Hasher {
    /// A hasher that has seen nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Feeds the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The hash of all that was fed.
    pub fn finish(self) -> Hash32 {
        Hash32(self.0.finalize().into())
    }
}

impl fmt::Debug for Hasher {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Hasher")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex_is_lowercase_and_exact() {
        let hash = Hash32::of(b"abc");
        let hex = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(hash.to_string(), hex);
        assert_eq!(hex.parse(), Ok(hash));
        assert!(hex.to_uppercase().parse::<Hash32>().is_err());
        assert!(hex[..62].parse::<Hash32>().is_err());
        assert!(format!("{hex}00").parse::<Hash32>().is_err());
    }

    #[test]
    fn base64_has_one_form() {
        let hash = Hash32::of(b"abc");
        let text = hash.to_base64();
        assert_eq!(Hash32::from_base64(&text), Ok(hash));
        assert!(Hash32::from_base64(text.trim_end_matches('=')).is_err());
        let pieces = [BASE64.encode(&hash.0[..16]), BASE64.encode(&hash.0[16..])].concat();
        assert!(Hash32::from_base64(&pieces).is_err());
        // the last character before the padding carries two bits that must be zero
        let mut loose = text.into_bytes();
        loose[42] += 1;
        assert!(Hash32::from_base64(std::str::from_utf8(&loose).expect("ASCII")).is_err());
    }

    #[test]
    fn streamed_equals_whole() {
        let mut hasher = Hasher::new();
        hasher.update(b"a");
        hasher.update(b"bc");
        assert_eq!(hasher.finish(), Hash32::of(b"abc"));
        assert_eq!(Hash32::of_parts(&[b"ab", b"c"]), Hash32::of(b"abc"));
    }
}

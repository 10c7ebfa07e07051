//! Keys: names, key IDs, checked public keys, and their text form (SPEC §3.1; C2SP `signed-note`).

use std::fmt;
use std::str::FromStr;

use curve25519_dalek::edwards::EdwardsPoint;
use data_encoding::{BASE64, HEXLOWER};
use ed25519_dalek::VerifyingKey;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::base64;
use crate::hash::Hash32;
use crate::limits::MAX_KEY_NAME;

mod checked;
mod verdicts;

/// A server's identity and the name of its keys: a schema-less URL or an address, at most
/// [`MAX_KEY_NAME`] bytes, without Unicode white space, control characters or `+`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyName(Box<str>);

/// Four bytes that help to find a key; never enough to trust one (C2SP `signed-note`).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(pub [u8; 4]);

/// An Ed25519 public key that is canonical, of prime order and not the identity (SPEC §3.1).
#[derive(Clone, PartialEq, Eq)]
pub struct PublicKey(VerifyingKey);

/// What a signature line signs, told apart by the type byte that enters the key ID (SPEC §3.1).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum SignatureType {
    /// 0x01: the note text.
    Note,
    /// 0x04: a timestamped cosignature on a checkpoint (C2SP `tlog-cosignature`).
    Cosignature,
    /// 0xff with `countersign/v1\n`: the distribution's signature over text and first signatures.
    Countersignature,
}

/// A key as text: `<name>+<key ID>+<base64 of type and key>` (C2SP `signed-note` verifier key).
///
/// Only the types [`SignatureType::Note`] (servers) and [`SignatureType::Cosignature`] (witnesses)
/// are written so.
#[derive(Clone, PartialEq, Eq)]
pub struct Vkey {
    /// The key's name.
    pub name: KeyName,
    /// The type byte in its text.
    pub kind: SignatureType,
    /// The key.
    pub key: PublicKey,
}

/// Why a text or bytes are no key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The name is empty, too long, or has a character that names may not have.
    #[error(
        "key name {0:?} is empty, longer than {MAX_KEY_NAME} bytes, or has white space, a control character or `+`"
    )]
    Name(String),
    /// The text is not `<name>+<key ID>+<base64>`.
    #[error("not a key of the form name+id+base64: {0:?}")]
    Form(String),
    /// The type byte is neither 0x01 nor 0x04.
    #[error("key {0:?} has a type that is not known here")]
    Type(String),
    /// The key ID in the text is not that of name and key.
    #[error("key {0:?} has another key ID than its bytes make")]
    Id(String),
    /// The 32 bytes are not the canonical encoding of a point of prime order.
    #[error("public key {0} is not a canonical point of prime order")]
    Point(String),
}

const TEXT_SHOWN: usize = 300;

impl KeyName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for KeyName {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        let refused = |c: char| c == '+' || c.is_whitespace() || c.is_control();
        if text.is_empty() || text.len() > MAX_KEY_NAME || text.chars().any(refused) {
            return Err(KeyError::Name(text.chars().take(TEXT_SHOWN).collect()));
        }
        Ok(Self(text.into()))
    }
}

impl fmt::Display for KeyName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl fmt::Debug for KeyName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, formatter)
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&HEXLOWER.encode(&self.0))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

impl SignatureType {
    /// The bytes that stand for the type in a key ID.
    pub fn identifier(self) -> &'static [u8] {
        match self {
            Self::Note => &[0x01],
            Self::Cosignature => &[0x04],
            Self::Countersignature => b"\xffcountersign/v1\n",
        }
    }

    /// The key ID of `key` under `name` for this type: the first four bytes of
    /// SHA-256(name ‖ `\n` ‖ type ‖ key).
    pub fn key_id(self, name: &KeyName, key: &PublicKey) -> KeyId {
        let hash =
            Hash32::of_parts(&[name.as_str().as_bytes(), b"\n", self.identifier(), key.as_bytes()]);
        KeyId([hash.0[0], hash.0[1], hash.0[2], hash.0[3]])
    }
}

impl PublicKey {
    /// Checks 32 bytes: canonical, of prime order, not the identity.
    pub fn from_bytes(bytes: &[u8; 32]) -> Result<Self, KeyError> {
        checked::key(bytes).map(|key| Self(key.verifying))
    }

    /// The 32-byte encoding (RFC 8032 §5.1.2).
    pub fn as_bytes(&self) -> &[u8; 32] {
        self.0.as_bytes()
    }

    /// Whether `signature` is this key's over `message`, by `verify_strict`'s rules: no small-order
    /// or non-canonical R, no s beyond the group order.
    pub fn verifies(&self, message: &[u8], signature: &[u8; 64]) -> bool {
        verdicts::good((self.as_bytes(), signature, message), || {
            let signature = ed25519_dalek::Signature::from_bytes(signature);
            self.0.verify_strict(message, &signature).is_ok()
        })
    }
}

/// Decodes a canonical point of prime order that is not the identity.
pub(crate) fn checked_point(bytes: &[u8; 32]) -> Result<EdwardsPoint, KeyError> {
    checked::key(bytes).map(|key| key.point)
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&HEXLOWER.encode(self.as_bytes()))
    }
}

impl PartialOrd for PublicKey {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for PublicKey {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.as_bytes().cmp(other.as_bytes())
    }
}

impl Vkey {
    /// A server's key: written with type 0x01.
    pub fn server(name: KeyName, key: PublicKey) -> Self {
        Self { name, kind: SignatureType::Note, key }
    }

    /// The key ID under which this key makes lines of type `kind`.
    pub fn id(&self, kind: SignatureType) -> KeyId {
        kind.key_id(&self.name, &self.key)
    }
}

impl FromStr for Vkey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        let shown = || text.chars().take(TEXT_SHOWN).collect::<String>();
        if text.len() > MAX_KEY_NAME + 64 {
            return Err(KeyError::Form(shown()));
        }
        // standard base64 has `+` too, a name has none: split from the left
        let mut parts = text.splitn(3, '+');
        let (Some(name), Some(id), Some(body)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(KeyError::Form(shown()));
        };
        let name: KeyName = name.parse()?;
        let bytes = base64::decode(body).ok_or_else(|| KeyError::Form(shown()))?;
        let (kind, key) = match bytes.split_first() {
            Some((0x01, key)) => (SignatureType::Note, key),
            Some((0x04, key)) => (SignatureType::Cosignature, key),
            _ => return Err(KeyError::Type(shown())),
        };
        let key: &[u8; 32] = key.try_into().map_err(|_| KeyError::Form(shown()))?;
        let key = Self { name, kind, key: PublicKey::from_bytes(key)? };
        if key.id(kind).to_string() != id {
            return Err(KeyError::Id(shown()));
        }
        Ok(key)
    }
}

impl fmt::Display for Vkey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let body = [self.kind.identifier(), self.key.as_bytes()].concat();
        write!(formatter, "{}+{}+{}", self.name, self.id(self.kind), BASE64.encode(&body))
    }
}

impl fmt::Debug for Vkey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

macro_rules! serde_as_text {
    ($type:ty) => {
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

serde_as_text!(KeyName);
serde_as_text!(Vkey);

#[cfg(test)]
mod edge_cases;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_key_of_the_public_checksum_database() {
        // Go's sum.golang.org, from the documentation of golang.org/x/mod/sumdb
        let text = "sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8";
        let key: Vkey = text.parse().expect("a key");
        assert_eq!(key.name.as_str(), "sum.golang.org");
        assert_eq!(key.kind, SignatureType::Note);
        assert_eq!(key.to_string(), text);
        let other_id = text.replace("033de0ae", "033de0af");
        assert!(matches!(other_id.parse::<Vkey>(), Err(KeyError::Id(_))));
        let garbled = text.replace("033de0ae", "\u{1b}[2J").parse::<Vkey>().expect_err("no ID");
        assert!(!garbled.to_string().contains('\u{1b}'), "{garbled}");
        let upper = text.replace("033de0ae", "033DE0AE");
        assert!(matches!(upper.parse::<Vkey>(), Err(KeyError::Id(_))));
    }

    #[test]
    fn names_are_bounded_and_plain() {
        assert!("patches.example.org/collection".parse::<KeyName>().is_ok());
        assert!("패치.example.kr/collection".parse::<KeyName>().is_ok());
        for bad in ["", "a b", "a+b", "a\u{a0}b", "a\u{3000}b", "a\nb", "a\u{7f}b"] {
            assert!(bad.parse::<KeyName>().is_err(), "{bad:?}");
        }
        assert!("a".repeat(255).parse::<KeyName>().is_ok());
        assert!("a".repeat(256).parse::<KeyName>().is_err());
    }

    #[test]
    fn weak_points_are_no_keys() {
        let mut identity = [0; 32];
        identity[0] = 1;
        let order_two =
            HEXLOWER.decode(b"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f");
        let order_two: [u8; 32] = order_two.expect("hex").try_into().expect("32 bytes");
        let mut identity_with_sign = identity;
        identity_with_sign[31] |= 0x80;
        // y = p + 1 is another spelling of y = 1
        let mut not_canonical = order_two;
        not_canonical[0] = 0xee;
        for weak in [identity, order_two, identity_with_sign, not_canonical, [0; 32]] {
            assert!(matches!(PublicKey::from_bytes(&weak), Err(KeyError::Point(_))), "{weak:02x?}");
        }
    }

    #[test]
    fn a_point_with_a_small_order_part_is_no_key() {
        use curve25519_dalek::constants::{ED25519_BASEPOINT_POINT, EIGHT_TORSION};
        let mixed = (ED25519_BASEPOINT_POINT + EIGHT_TORSION[1]).compress().to_bytes();
        assert!(matches!(PublicKey::from_bytes(&mixed), Err(KeyError::Point(_))));
    }
}

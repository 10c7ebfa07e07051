//! The authority note: which keys hold which role (SPEC §5.2).
//!
//! Here are its members and what must hold within one note. Whether its signatures suffice, and
//! whether it may follow an earlier one, is decided in [`crate::policy`].

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use data_encoding::BASE64;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::hash::{Hash32, HashError};
use crate::implicit_key::{Binding, ImplicitKeyError};
use crate::json::{self, JsonError};
use crate::key::{KeyName, PublicKey, SignatureType, Vkey};
use crate::layout::Log;
use crate::text::DistributionName;
use crate::time::Timestamp;

const TYPE: &str = "authority/v1";
/// Most keys in one role: bounds the curve operations of reading a note. Most are retired ones.
pub const MAX_ROLE_KEYS: usize = 1024;

/// The text of an authority note.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct AuthorityNote {
    /// The authority's name; it never changes.
    pub name: KeyName,
    /// The note's version, from 1 on.
    pub version: u64,
    /// When clients no longer accept it as the newest.
    pub expires: Timestamp,
    /// The authority's own keys.
    pub authority: AuthorityRole,
    /// The collection.
    pub collection: LogRole,
    /// The distributions.
    pub distributions: Vec<DistributionRole>,
    /// Independent cosigners of both logs.
    #[serde(default)]
    pub witnesses: WitnessRole,
    /// The directory's keys; any one of them signs it.
    #[serde(default)]
    pub directory: DirectoryRole,
}

/// The authority's keys and how many of them must sign.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct AuthorityRole {
    /// How many different keys must sign.
    pub threshold: u32,
    /// The keys.
    pub keys: Vec<Vkey>,
}

/// Who signs a log: the collection, or a distribution.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct LogRole {
    /// The log's name.
    pub origin: KeyName,
    /// How many different keys must sign.
    pub threshold: u32,
    /// How old, in seconds, a signature's time may be.
    pub max_age: u64,
    /// The keys, retired ones among them.
    pub keys: Vec<ServerKey>,
}

/// A distribution.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(from = "FlatDistributionRole")]
pub struct DistributionRole {
    /// The name that clients are enrolled with; it never changes.
    pub name: DistributionName,
    /// Its log and its keys.
    #[serde(flatten)]
    pub log: LogRole,
}

/// A distribution as JSON has it. Read through this and not flattened: serde flattens by way of
/// values of any shape.
#[derive(Deserialize)]
struct FlatDistributionRole {
    name: DistributionName,
    origin: KeyName,
    threshold: u32,
    max_age: u64,
    keys: Vec<ServerKey>,
}

impl From<FlatDistributionRole> for DistributionRole {
    fn from(flat: FlatDistributionRole) -> Self {
        let FlatDistributionRole { name, origin, threshold, max_age, keys } = flat;
        Self { name, log: LogRole { origin, threshold, max_age, keys } }
    }
}

/// Independent cosigners.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct WitnessRole {
    /// How many different witnesses must have cosigned a head.
    pub quorum: u32,
    /// Their keys, of type 0x04.
    pub keys: Vec<Vkey>,
}

/// The directory's keys.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct DirectoryRole {
    /// The keys, any one of which signs.
    pub keys: Vec<Vkey>,
}

/// A server's key as the authority vouches for it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ServerKey {
    /// The server's identity, which is the key's name.
    pub id: KeyName,
    /// Counts the keys of this identity.
    pub epoch: u32,
    /// P, the authority's public point; null for a key born in hardware.
    pub kgc: Option<PointText>,
    /// R, the reconstruction point; null for a key born in hardware.
    pub reconstruction: Option<PointText>,
    /// The public key.
    pub vkey: Vkey,
    /// From which index of its log on its signatures no longer count; null while it is in use.
    pub until: Option<u64>,
}

/// 32 bytes in base64: an encoded point, nothing checked yet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PointText(pub [u8; 32]);

/// Why a text is no authority note.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AuthorityError {
    /// Not strict JSON of the note's shape.
    #[error("authority note is malformed")]
    Json(#[source] JsonError),
    /// A threshold of zero, or above what its keys can reach.
    #[error("threshold {threshold} of the {role} is not within 1 to its {keys} unretired keys")]
    Threshold {
        /// Whose threshold.
        role: String,
        /// The threshold.
        threshold: u32,
        /// Unretired keys of that role.
        keys: usize,
    },
    /// The witnesses' quorum is above their number.
    #[error("quorum {quorum} is above the number of {keys} witnesses")]
    Quorum {
        /// The quorum.
        quorum: u32,
        /// Witnesses.
        keys: usize,
    },
    /// One public key stands in two roles, or twice in one, under whatever name.
    #[error("the public key of {0} stands in the note twice")]
    KeyTwice(String),
    /// One identity has two keys of one epoch.
    #[error("{id} has two keys of epoch {epoch}")]
    EpochTwice {
        /// The identity.
        id: KeyName,
        /// The epoch.
        epoch: u32,
    },
    /// A server key's id is not its vkey's name.
    #[error("key of {id} carries the name {name}")]
    Name {
        /// The identity.
        id: KeyName,
        /// The name in the vkey.
        name: KeyName,
    },
    /// A key is of a type that its role does not use.
    #[error("key {0} has the wrong type for its role")]
    KeyType(String),
    /// Only one of P and R is given.
    #[error("key of {0} has only one of kgc and reconstruction")]
    HalfImplicit(KeyName),
    /// A ≠ eR + P, or P or R is no acceptable point.
    #[error("key of {id}, epoch {epoch}, is not the one that the KGC's points make")]
    Implicit {
        /// The identity.
        id: KeyName,
        /// The epoch.
        epoch: u32,
        /// What is wrong.
        source: Option<ImplicitKeyError>,
    },
    /// Two logs have one origin.
    #[error("two logs have the origin {0}")]
    OriginTwice(KeyName),
    /// Two distributions have one name.
    #[error("two distributions have the name {0}")]
    DistributionTwice(DistributionName),
    /// Versions begin at 1.
    #[error("version 0 does not exist")]
    Version,
    /// A role has more than [`MAX_ROLE_KEYS`] keys.
    #[error("the {0} has more than {MAX_ROLE_KEYS} keys")]
    TooManyKeys(String),
    /// A maximum age of zero: nothing would ever be fresh.
    #[error("max_age of the {0} is 0")]
    MaxAge(String),
}

impl AuthorityNote {
    /// Reads the text of an authority note and checks all that must hold within it.
    pub fn parse(text: &str) -> Result<Self, AuthorityError> {
        let note: Self = json::parse(text.as_bytes(), TYPE).map_err(AuthorityError::Json)?;
        note.check()?;
        Ok(note)
    }

    /// The note's text, spread over lines for people.
    pub fn to_text(&self) -> String {
        String::from_utf8(json::print_pretty(TYPE, self)).expect("JSON is UTF-8")
    }

    /// The distribution of that name.
    pub fn distribution(&self, name: &DistributionName) -> Option<&DistributionRole> {
        self.distributions.iter().find(|distribution| distribution.name == *name)
    }

    /// Checks all that must hold within one note.
    pub fn check(&self) -> Result<(), AuthorityError> {
        if self.version == 0 {
            return Err(AuthorityError::Version);
        }
        self.check_thresholds()?;
        self.check_public_keys()?;
        self.check_logs()?;
        let roles = self.distributions.iter().map(|distribution| &distribution.log);
        for key in roles.chain([&self.collection]).flat_map(|role| &role.keys) {
            key.check()?;
        }
        Ok(())
    }

    fn check_thresholds(&self) -> Result<(), AuthorityError> {
        let (threshold, keys) = (self.authority.threshold, self.authority.keys.len());
        check_threshold("authority", threshold, keys, keys)?;
        self.collection.check_threshold("collection")?;
        for distribution in &self.distributions {
            distribution.log.check_threshold(&format!("distribution {}", distribution.name))?;
        }
        let (quorum, keys) = (self.witnesses.quorum, self.witnesses.keys.len());
        if quorum as usize > keys {
            return Err(AuthorityError::Quorum { quorum, keys });
        }
        for (role, keys) in [("witnesses", keys), ("directory", self.directory.keys.len())] {
            if keys > MAX_ROLE_KEYS {
                return Err(AuthorityError::TooManyKeys(role.into()));
            }
        }
        Ok(())
    }

    fn check_public_keys(&self) -> Result<(), AuthorityError> {
        let logs = self.distributions.iter().map(|distribution| &distribution.log);
        let servers = logs.chain([&self.collection]).flat_map(|role| &role.keys);
        let notes = self.authority.keys.iter().chain(&self.directory.keys);
        let notes = notes.chain(servers.map(|key| &key.vkey));
        let mut seen: BTreeSet<&PublicKey> = BTreeSet::new();
        for (vkey, kind) in notes
            .map(|vkey| (vkey, SignatureType::Note))
            .chain(self.witnesses.keys.iter().map(|vkey| (vkey, SignatureType::Cosignature)))
        {
            if vkey.kind != kind {
                return Err(AuthorityError::KeyType(vkey.to_string()));
            }
            if !seen.insert(&vkey.key) {
                return Err(AuthorityError::KeyTwice(vkey.to_string()));
            }
        }
        Ok(())
    }

    fn check_logs(&self) -> Result<(), AuthorityError> {
        let mut origins = BTreeSet::from([&self.collection.origin]);
        let mut names = BTreeSet::new();
        for distribution in &self.distributions {
            if !origins.insert(&distribution.log.origin) {
                return Err(AuthorityError::OriginTwice(distribution.log.origin.clone()));
            }
            if !names.insert(&distribution.name) {
                return Err(AuthorityError::DistributionTwice(distribution.name.clone()));
            }
        }
        let logs = self.distributions.iter().map(|distribution| &distribution.log);
        let mut epochs = BTreeSet::new();
        for key in logs.chain([&self.collection]).flat_map(|role| &role.keys) {
            if !epochs.insert((&key.id, key.epoch)) {
                return Err(AuthorityError::EpochTwice { id: key.id.clone(), epoch: key.epoch });
            }
        }
        Ok(())
    }
}

impl LogRole {
    /// The keys in use.
    pub fn active(&self) -> impl Iterator<Item = &ServerKey> {
        self.keys.iter().filter(|key| key.until.is_none())
    }

    fn check_threshold(&self, role: &str) -> Result<(), AuthorityError> {
        if self.max_age == 0 {
            return Err(AuthorityError::MaxAge(role.into()));
        }
        check_threshold(role, self.threshold, self.active().count(), self.keys.len())
    }
}

fn check_threshold(
    role: &str,
    threshold: u32,
    active: usize,
    all: usize,
) -> Result<(), AuthorityError> {
    if all > MAX_ROLE_KEYS {
        return Err(AuthorityError::TooManyKeys(role.into()));
    }
    if threshold == 0 || threshold as usize > active {
        return Err(AuthorityError::Threshold { role: role.into(), threshold, keys: active });
    }
    Ok(())
}

impl ServerKey {
    /// P and R with what they bind, unless the key was born in hardware.
    pub fn binding(&self) -> Option<Binding> {
        Some(Binding {
            id: self.id.clone(),
            epoch: self.epoch,
            kgc: self.kgc?.0,
            reconstruction: self.reconstruction?.0,
        })
    }

    fn check(&self) -> Result<(), AuthorityError> {
        if self.id != self.vkey.name {
            return Err(AuthorityError::Name { id: self.id.clone(), name: self.vkey.name.clone() });
        }
        if self.kgc.is_some() != self.reconstruction.is_some() {
            return Err(AuthorityError::HalfImplicit(self.id.clone()));
        }
        let Some(binding) = self.binding() else { return Ok(()) };
        let wrong =
            |source| AuthorityError::Implicit { id: self.id.clone(), epoch: self.epoch, source };
        match binding.public_key() {
            Ok(key) if key == self.vkey.key => Ok(()),
            Ok(_) => Err(wrong(None)),
            Err(source) => Err(wrong(Some(source))),
        }
    }
}

impl AuthorityNote {
    /// The role that signs `log`, for clients of `distribution`.
    pub fn log_role<'a>(&'a self, log: Log, distribution: &'a DistributionRole) -> &'a LogRole {
        match log {
            Log::Collection => &self.collection,
            Log::Distribution => &distribution.log,
        }
    }
}

/// What an authority note is known by: the SHA-256 of its text.
pub fn fingerprint(text: &str) -> Hash32 {
    Hash32::of(text.as_bytes())
}

impl FromStr for PointText {
    type Err = HashError;

    fn from_str(text: &str) -> Result<Self, HashError> {
        Hash32::from_base64(text).map(|bytes| Self(bytes.0))
    }
}

impl fmt::Display for PointText {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&BASE64.encode(&self.0))
    }
}

impl Serialize for PointText {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for PointText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
pub(crate) mod tests;

//! Entries of both logs (SPEC §4.1, §4.2).
//!
//! An entry is one line of JSON with its newline; those bytes are the log's leaf, and for a patch
//! they are the text of its note. What cannot be understood is not an error of the log: readers
//! count such an entry, report it and pass it over.

use serde::{Deserialize, Serialize};

use crate::hash::Hash32;
use crate::json::{self, JsonError};
use crate::limits::MAX_ENTRY;

mod decision;
mod patch;

pub use decision::{IndexRange, Release, TreeHead, Withdraw, bucket};
pub use patch::{ArchiveReference, Evidence, PatchEntry, PatchIdentity, Severity};

const PATCH: &str = "patch/v1";
const REVOKE: &str = "revoke/v1";
const AUTHORITY: &str = "authority/v1";
const RELEASE: &str = "release/v1";
const WITHDRAW: &str = "withdraw/v1";

/// An entry of the collection's log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum CollectionEntry {
    /// A patch was collected.
    Patch(Box<PatchEntry>),
    /// A patch must never be installed again.
    Revoke(Revoke),
    /// The collection learned of an authority note.
    Authority(AuthorityReference),
}

/// An entry of the distribution's log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum DistributionEntry {
    /// Patches are released to a ring.
    Release(Release),
    /// Patches are withdrawn from a ring.
    Withdraw(Withdraw),
    /// The distribution learned of an authority note.
    Authority(AuthorityReference),
}

/// `revoke/v1`: a patch of the same log must never be installed again.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Revoke {
    /// Leaf index of the patch's entry.
    pub patch: u64,
    /// Why, for people.
    pub reason: crate::text::Line,
}

/// `authority/v1` in a log: this authority note exists, so nobody can hide it from readers.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct AuthorityReference {
    /// The note's version.
    pub version: u64,
    /// SHA-256 of the note's text.
    pub sha256: Hash32,
}

/// Why bytes are no entry.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EntryError {
    /// Longer than [`MAX_ENTRY`].
    #[error("entry is longer than {MAX_ENTRY} bytes")]
    TooLong,
    /// Of a type that this log does not have, or that a later version brought.
    #[error("entry is of type {0:?}, which is not known here")]
    UnknownType(String),
    /// Not one line of strict JSON of its type's shape.
    #[error("entry is malformed")]
    Malformed(#[source] JsonError),
    /// Its members contradict each other.
    #[error("entry is malformed: {0}")]
    Invalid(&'static str),
}

impl CollectionEntry {
    /// Reads an entry of the collection's log, newline included.
    pub fn parse(bytes: &[u8]) -> Result<Self, EntryError> {
        match kind(bytes)? {
            PATCH => PatchEntry::parse(bytes).map(Box::new).map(Self::Patch),
            REVOKE => line(bytes, REVOKE).map(Self::Revoke),
            AUTHORITY => line(bytes, AUTHORITY).map(Self::Authority),
            other => Err(EntryError::UnknownType(other.into())),
        }
    }

    /// The entry as bytes, newline included. Longer than [`MAX_ENTRY`] is refused.
    pub fn to_bytes(&self) -> Result<Vec<u8>, EntryError> {
        bounded(match self {
            Self::Patch(patch) => json::print_line(PATCH, patch),
            Self::Revoke(revoke) => json::print_line(REVOKE, revoke),
            Self::Authority(reference) => json::print_line(AUTHORITY, reference),
        })
    }
}

impl DistributionEntry {
    /// Reads an entry of the distribution's log, newline included.
    pub fn parse(bytes: &[u8]) -> Result<Self, EntryError> {
        match kind(bytes)? {
            RELEASE => Release::parse(bytes).map(Self::Release),
            WITHDRAW => Withdraw::parse(bytes).map(Self::Withdraw),
            AUTHORITY => line(bytes, AUTHORITY).map(Self::Authority),
            other => Err(EntryError::UnknownType(other.into())),
        }
    }

    /// The entry as bytes, newline included. Longer than [`MAX_ENTRY`] is refused.
    pub fn to_bytes(&self) -> Result<Vec<u8>, EntryError> {
        bounded(match self {
            Self::Release(release) => json::print_line(RELEASE, release),
            Self::Withdraw(withdraw) => json::print_line(WITHDRAW, withdraw),
            Self::Authority(reference) => json::print_line(AUTHORITY, reference),
        })
    }
}

impl PatchEntry {
    /// Reads a `patch/v1` entry, newline included: the text of a patch note.
    pub fn parse(bytes: &[u8]) -> Result<Self, EntryError> {
        if bytes.len() > MAX_ENTRY {
            return Err(EntryError::TooLong);
        }
        let patch: Self = line(bytes, PATCH)?;
        patch.check().map_err(EntryError::Invalid)?;
        Ok(patch)
    }
}

impl Release {
    fn parse(bytes: &[u8]) -> Result<Self, EntryError> {
        let release: Self = line(bytes, RELEASE)?;
        release.check().map_err(EntryError::Invalid)?;
        Ok(release)
    }
}

impl Withdraw {
    fn parse(bytes: &[u8]) -> Result<Self, EntryError> {
        let withdraw: Self = line(bytes, WITHDRAW)?;
        withdraw.check().map_err(EntryError::Invalid)?;
        Ok(withdraw)
    }
}

fn kind(bytes: &[u8]) -> Result<&str, EntryError> {
    if bytes.len() > MAX_ENTRY {
        return Err(EntryError::TooLong);
    }
    json::first_type(bytes).map_err(EntryError::Malformed)
}

fn line<T: serde::de::DeserializeOwned>(bytes: &[u8], kind: &str) -> Result<T, EntryError> {
    json::parse_line(bytes, kind).map_err(EntryError::Malformed)
}

fn bounded(bytes: Vec<u8>) -> Result<Vec<u8>, EntryError> {
    if bytes.len() > MAX_ENTRY { Err(EntryError::TooLong) } else { Ok(bytes) }
}

#[cfg(test)]
mod tests;

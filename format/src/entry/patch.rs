//! `patch/v1`: what the collection says of one patch.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::archive::Announced;
use crate::hash::Hash32;
use crate::limits::{MAX_ARCHIVE, MAX_FILES};
use crate::name::{PatchName, PatchVersion, Platform, Requirement};
use crate::text::{AdvisoryId, Line};
use crate::time::Timestamp;

/// A patch, as its log entry and its note's text tell it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PatchEntry {
    /// The component.
    pub name: PatchName,
    /// The version that the component has afterwards.
    pub version: PatchVersion,
    /// What must be installed for an incremental patch; none for a full one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<Requirement>,
    /// The machines that it is for.
    #[serde(default = "Platform::any", skip_serializing_if = "is_any")]
    pub platform: Platform,
    /// One line for people.
    #[serde(default, skip_serializing_if = "Line::is_empty")]
    pub summary: Line,
    /// How grave what it mends is.
    #[serde(default, skip_serializing_if = "Severity::is_none")]
    pub severity: Severity,
    /// The advisories that it closes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub advisories: Vec<AdvisoryId>,
    /// Components that must be there, and in which versions.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub requires: BTreeMap<PatchName, Requirement>,
    /// Components that must not be there in these versions.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub conflicts: BTreeMap<PatchName, Requirement>,
    /// The archive.
    pub archive: ArchiveReference,
    /// Services that must be restarted afterwards.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub restart: Vec<Line>,
    /// Whether the machine must be restarted afterwards.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub reboot: bool,
    /// When it was collected.
    pub collected: Timestamp,
    /// What vouches for its tests.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub evidence: Vec<Evidence>,
}

/// An archive's hash and the sizes that bound reading it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ArchiveReference {
    /// SHA-256 of the archive as stored.
    pub sha256: Hash32,
    /// Bytes of the archive as stored.
    pub size: u64,
    /// Sum of the sizes of its files.
    pub unpacked: u64,
    /// Number of entries of its manifest.
    pub files: u64,
}

/// A document that vouches for a patch's tests, kept by the collection.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Evidence {
    /// What kind of document it is.
    #[serde(rename = "type")]
    pub kind: Line,
    /// SHA-256 of the document.
    pub sha256: Hash32,
}

/// How grave what a patch mends is, in the words of CVSS.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Nothing of security.
    #[default]
    None,
    /// Low.
    Low,
    /// Medium.
    Medium,
    /// High.
    High,
    /// Critical.
    Critical,
}

/// What tells a patch from every other of a log, besides its archive's hash.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct PatchIdentity {
    /// The component.
    pub name: PatchName,
    /// The version.
    pub version: PatchVersion,
    /// The base as written, empty for a full patch.
    pub base: String,
    /// The platform.
    pub platform: Platform,
}

impl PatchEntry {
    /// Sizes that no archive has are no entry's either: sums over many entries stay far from 2^64.
    pub(super) fn check(&self) -> Result<(), &'static str> {
        let ArchiveReference { size, unpacked, files, .. } = self.archive;
        if size > MAX_ARCHIVE || unpacked > MAX_ARCHIVE {
            return Err("the archive is larger than archives may be");
        }
        if files > MAX_FILES {
            return Err("the archive has more files than archives may have");
        }
        Ok(())
    }

    /// What the archive's reader holds the archive to.
    pub fn announced(&self) -> Announced {
        Announced {
            name: self.name.clone(),
            version: self.version.clone(),
            base: self.base.clone(),
            platform: self.platform.clone(),
            size: self.archive.size,
            sha256: self.archive.sha256,
            unpacked: self.archive.unpacked,
            files: self.archive.files,
        }
    }

    /// (name, version, base, platform).
    pub fn identity(&self) -> PatchIdentity {
        PatchIdentity {
            name: self.name.clone(),
            version: self.version.clone(),
            base: self.base.as_ref().map(ToString::to_string).unwrap_or_default(),
            platform: self.platform.clone(),
        }
    }
}

impl fmt::Display for PatchIdentity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}@{}", self.name, self.version)?;
        if !self.base.is_empty() {
            write!(formatter, " for {}", self.base)?;
        }
        if self.platform != Platform::any() {
            write!(formatter, " ({})", self.platform)?;
        }
        Ok(())
    }
}

impl Severity {
    /// All severities, the lowest first.
    pub const ALL: [Self; 5] = [Self::None, Self::Low, Self::Medium, Self::High, Self::Critical];

    /// The severity's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }

    #[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes members by reference")]
    fn is_none(&self) -> bool {
        *self == Self::None
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.as_str())
    }
}

impl std::str::FromStr for Severity {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|severity| severity.as_str() == text)
            .ok_or_else(|| format!("{text:?} is none of none, low, medium, high, critical"))
    }
}

fn is_any(platform: &Platform) -> bool {
    *platform == Platform::any()
}

//! `patchrepo distribution …`: what only distributions do.

use std::path::Path;

use countersign_format::entry::{PatchEntry, Severity};
use countersign_format::name::{PatchName, PatchVersion, Platform, Requirement};
use countersign_format::text::{AdvisoryId, Line};
use countersign_store::Lock;
use countersign_terminal::{Failure, Output};
use serde::Serialize;

use crate::commands::lock;
use crate::distribution::{Distribution, Patch};

pub mod discard;
pub mod export;
pub mod import;
pub mod list;
pub mod publish;
pub mod refresh;
pub mod release;
pub mod show;
pub mod sync;
pub mod withdraw;

/// A patch, in reports.
#[derive(Serialize)]
struct PatchReport {
    index: u64,
    name: PatchName,
    version: PatchVersion,
    base: Option<Requirement>,
    platform: Platform,
    severity: Severity,
    advisories: Vec<AdvisoryId>,
    /// Bytes of the archive.
    size: u64,
    summary: Line,
}

impl PatchReport {
    fn new(index: u64, entry: &PatchEntry) -> Self {
        Self {
            index,
            name: entry.name.clone(),
            version: entry.version.clone(),
            base: entry.base.clone(),
            platform: entry.platform.clone(),
            severity: entry.severity,
            advisories: entry.advisories.clone(),
            size: entry.archive.size,
            summary: entry.summary.clone(),
        }
    }

    fn patch(&self) -> String {
        format!("{}@{}", self.name, self.version)
    }

    fn base(&self) -> String {
        self.base.as_ref().map_or_else(|| "full".to_owned(), ToString::to_string)
    }
}

impl From<&Patch> for PatchReport {
    fn from(patch: &Patch) -> Self {
        Self::new(patch.index, &patch.entry)
    }
}

/// Opens a distribution's directory and keeps others from changing it.
fn open_locked(path: &Path, output: &Output) -> Result<(Distribution, Lock), Failure> {
    let distribution = Distribution::open(path)?;
    let lock = lock(distribution.directory(), output)?;
    Ok((distribution, lock))
}

/// `1 patch`, `2 patches`.
fn patches(count: usize) -> String {
    format!("{count} patch{}", if count == 1 { "" } else { "es" })
}

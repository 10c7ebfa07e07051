//! `patchrepo distribution …`: what only distributions do.

use std::path::Path;

use clap::Args;
use countersign_format::entry::{PatchEntry, Severity};
use countersign_format::name::{PatchName, PatchVersion, Platform, Requirement};
use countersign_format::text::{AdvisoryId, Line};
use countersign_store::Lock;
use countersign_terminal::{Failure, Output};
use serde::Serialize;

use crate::commands::{lock, trust};
use crate::distribution::{Distribution, Patch};
use crate::known_authority::KnownAuthority;
use crate::patch_selector::{BaseSelector, PatchSelector};

pub mod list;
pub mod publish;
pub mod refresh;
pub mod release;
pub mod show;
pub mod sync;
pub mod withdraw;

/// Narrows patches down.
#[derive(Args, Debug)]
pub struct NarrowArgs {
    /// Only those for this platform
    #[arg(long, value_name = "PLATFORM")]
    platform: Option<Platform>,
    /// Only those with this base, as it is written; `none` is the full patch
    #[arg(long, value_name = "REQUIREMENT|none")]
    base: Option<BaseSelector>,
}

impl NarrowArgs {
    fn apply(&self, selectors: &[PatchSelector]) -> Vec<PatchSelector> {
        let narrow = |selector: &PatchSelector| PatchSelector {
            platform: self.platform.clone(),
            base: self.base.clone(),
            ..selector.clone()
        };
        selectors.iter().map(narrow).collect()
    }
}

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

/// Says what a person should know of how the authority was learned of.
fn tell_authority(known: &KnownAuthority, output: &Output) {
    trust::warn_passed_over(known.passed_over(), output);
    if let Some(fingerprint) = known.trusted_now() {
        output.warning(format!(
            "the authority note sha256:{fingerprint} is trusted from now on, since config.toml has \
             no anchor: compare it with what the authority's people say"
        ));
    }
    if let Some(error) = known.unreachable() {
        output.warning(format!("{error}: newer notes of the authority are not seen"));
    }
}

/// `1 patch`, `2 patches`.
fn patches(count: usize) -> String {
    format!("{count} patch{}", if count == 1 { "" } else { "es" })
}

//! A plan that is kept: what was decided, on what grounds, as a document that is shown, kept in a
//! file, and later carried out exactly or refused.
//!
//! The document gives no trust. Each of its patches is looked up again in the held index by its place
//! and its archive, passes all gates again and is fetched with both signatures like any other; what
//! is chosen from these patches alone must be what the document says.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use countersign_format::entry::Severity;
use countersign_format::hash::Hash32;
use countersign_format::name::{PatchName, PatchVersion, Requirement};
use countersign_format::text::AdvisoryId;
use countersign_format::time::Timestamp;
use countersign_store::durable::{Access, write_atomic};
use serde::{Deserialize, Serialize};

use crate::catalogue::{Catalogue, Offer};
use crate::db::{Database, DatabaseError};
use crate::resolve::{Plan, Reason, Removal, Skipped, Step};
use crate::trust::Head;

/// The number of this form of the document.
pub const PLAN_FORMAT: u32 = 1;
/// Longest plan that is read: many thousand steps.
pub const MAX_PLAN: u64 = 16 * 1024 * 1024;

/// A plan and its grounds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlanDocument {
    /// [`PLAN_FORMAT`].
    pub format: u32,
    /// When it was made.
    pub made_at: Timestamp,
    /// The machine that it is for: its place in rollouts.
    pub machine: String,
    /// Where it installs.
    pub root: PathBuf,
    /// What was known of the sources.
    pub sources: Vec<SourceGrounds>,
    /// What was installed.
    pub installed: BTreeMap<PatchName, PatchVersion>,
    /// What is to be installed, in order.
    pub steps: Vec<StepRecord>,
    /// What goes.
    pub removals: Vec<RemovalRecord>,
    /// What is offered and not taken.
    pub skipped: Vec<SkippedRecord>,
}

/// What was known of a source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceGrounds {
    /// Its name on this machine.
    pub name: String,
    /// SHA-256 of the authority note that trust in it begins with.
    pub authority: Hash32,
    /// The version of the newest authority note.
    pub authority_version: u64,
    /// The collection's log as it was held.
    pub collection: Option<LogGrounds>,
    /// The distribution's log as it was held.
    pub distribution: Option<LogGrounds>,
}

/// A log as it was held.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogGrounds {
    /// Its entries.
    pub size: u64,
    /// The root of their tree.
    pub root: Hash32,
}

/// A component's way to another version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StepRecord {
    /// The component.
    pub name: PatchName,
    /// Its version before.
    pub from: Option<PatchVersion>,
    /// Its version afterwards.
    pub to: PatchVersion,
    /// How grave the gravest of what it mends is.
    pub severity: Severity,
    /// The advisories that it closes.
    pub advisories: Vec<AdvisoryId>,
    /// The advisories that it opens again.
    pub opens: Vec<AdvisoryId>,
    /// Whether it was not asked for: something else needs it.
    pub dependency: bool,
    /// The patches, in order.
    pub patches: Vec<PatchRecord>,
}

/// A patch on the way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PatchRecord {
    /// The source that has it.
    pub source: String,
    /// The leaf index of its entry in the collection's log.
    pub index: u64,
    /// The version that it leads to.
    pub version: PatchVersion,
    /// What it can be applied to; none for a full one.
    pub base: Option<Requirement>,
    /// SHA-256 of its archive.
    pub archive: Hash32,
    /// Bytes of its archive.
    pub size: u64,
    /// Bytes of its files.
    pub unpacked: u64,
}

/// A component that goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RemovalRecord {
    /// The component.
    pub name: PatchName,
    /// Its version before.
    pub version: PatchVersion,
}

/// A version that is offered and not taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SkippedRecord {
    /// The component.
    pub name: PatchName,
    /// The version.
    pub version: PatchVersion,
    /// How grave what it would have mended is.
    pub severity: Severity,
    /// The advisories that stay open.
    pub advisories: Vec<AdvisoryId>,
    /// Why not.
    pub why: String,
}

/// Why a plan cannot be kept or read.
#[derive(Debug, thiserror::Error)]
pub enum PlanFileError {
    /// The file cannot be read or written.
    #[error("cannot {doing} {}", path.display())]
    File {
        /// What was tried.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Longer than [`MAX_PLAN`].
    #[error("{} is longer than {MAX_PLAN} bytes", .0.display())]
    TooLong(PathBuf),
    /// Not such a document.
    #[error("{} is no plan", path.display())]
    Form {
        /// The file.
        path: PathBuf,
        /// Where and why.
        source: serde_json::Error,
    },
    /// Of another release.
    #[error("{} has plan format {found}, this release knows {PLAN_FORMAT}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u32,
    },
}

/// The format alone, which is looked at before anything else.
#[derive(Deserialize)]
struct FormatOnly {
    format: u32,
}

impl PlanDocument {
    /// The document of a plan that was made just now.
    pub fn new(
        plan: &Plan,
        database: &Database,
        catalogue: &Catalogue,
        root: &Path,
        made_at: Timestamp,
    ) -> Result<Self, DatabaseError> {
        let log = |head: &Head| {
            head.held
                .as_ref()
                .map(|held| LogGrounds { size: head.size(), root: held.held.frontier.root() })
        };
        let sources = catalogue.sources().iter().map(|source| SourceGrounds {
            name: source.config.name.to_string(),
            authority: source.config.authority,
            authority_version: source.trust.authority().version,
            collection: log(&source.heads.collection),
            distribution: log(&source.heads.distribution),
        });
        let installed = database.installed()?.into_iter();
        Ok(Self {
            format: PLAN_FORMAT,
            made_at,
            machine: catalogue.machine().id.clone(),
            root: root.to_owned(),
            sources: sources.collect(),
            installed: installed.map(|is| (is.name, is.version)).collect(),
            steps: plan.steps.iter().map(|step| StepRecord::new(step, catalogue)).collect(),
            removals: plan.removals.iter().map(RemovalRecord::new).collect(),
            skipped: plan.skipped.iter().map(SkippedRecord::new).collect(),
        })
    }

    /// Reads a plan from a file, at most [`MAX_PLAN`] bytes; members that are not known are refused.
    pub fn read(path: &Path) -> Result<Self, PlanFileError> {
        let failed = |source| PlanFileError::File { doing: "read", path: path.to_owned(), source };
        let form = |source| PlanFileError::Form { path: path.to_owned(), source };
        let mut bytes = Vec::new();
        let file = File::open(path).map_err(failed)?;
        file.take(MAX_PLAN + 1).read_to_end(&mut bytes).map_err(failed)?;
        if bytes.len() as u64 > MAX_PLAN {
            return Err(PlanFileError::TooLong(path.to_owned()));
        }
        let FormatOnly { format } = serde_json::from_slice(&bytes).map_err(form)?;
        if format != PLAN_FORMAT {
            return Err(PlanFileError::Format { path: path.to_owned(), found: format });
        }
        serde_json::from_slice(&bytes).map_err(form)
    }

    /// Writes the plan to a file, whole or not at all.
    pub fn write(&self, path: &Path) -> Result<(), PlanFileError> {
        let failed = |source| PlanFileError::File { doing: "write", path: path.to_owned(), source };
        let mut bytes = serde_json::to_vec_pretty(self).expect("its keys are text");
        bytes.push(b'\n');
        let whole = std::path::absolute(path).map_err(failed)?;
        let (Some(directory), Some(name)) = (whole.parent(), whole.file_name()) else {
            return Err(failed(io::ErrorKind::IsADirectory.into()));
        };
        write_atomic(directory, Path::new(name), &bytes, Access::Public).map_err(failed)
    }

    /// Whether it is this plan that the document says.
    pub fn says(&self, plan: &Plan, catalogue: &Catalogue) -> bool {
        let steps: Vec<StepRecord> =
            plan.steps.iter().map(|step| StepRecord::new(step, catalogue)).collect();
        let removals: BTreeSet<&PatchName> =
            plan.removals.iter().map(|removal| &removal.name).collect();
        steps == self.steps
            && removals == self.removals.iter().map(|removal| &removal.name).collect()
    }
}

impl StepRecord {
    fn new(step: &Step, catalogue: &Catalogue) -> Self {
        Self {
            name: step.name.clone(),
            from: step.from.clone(),
            to: step.to.clone(),
            severity: step.severity,
            advisories: step.advisories.iter().cloned().collect(),
            opens: step.opens.iter().cloned().collect(),
            dependency: step.is_dependency,
            patches: step.links.iter().map(|link| PatchRecord::new(link, catalogue)).collect(),
        }
    }
}

impl PatchRecord {
    fn new(link: &Offer, catalogue: &Catalogue) -> Self {
        let entry = link.entry();
        Self {
            source: catalogue.sources()[link.source].config.name.to_string(),
            index: link.patch.leaf,
            version: entry.version.clone(),
            base: entry.base.clone(),
            archive: entry.archive.sha256,
            size: entry.archive.size,
            unpacked: entry.archive.unpacked,
        }
    }
}

impl RemovalRecord {
    fn new(removal: &Removal) -> Self {
        Self { name: removal.name.clone(), version: removal.version.clone() }
    }
}

impl SkippedRecord {
    /// What the record is of, with its reason in words only.
    pub(crate) fn skipped(&self) -> Skipped {
        Skipped {
            name: self.name.clone(),
            version: self.version.clone(),
            severity: self.severity,
            advisories: self.advisories.iter().cloned().collect(),
            why: Reason::Kept(self.why.clone()),
        }
    }

    fn new(skipped: &Skipped) -> Self {
        Self {
            name: skipped.name.clone(),
            version: skipped.version.clone(),
            severity: skipped.severity,
            advisories: skipped.advisories.iter().cloned().collect(),
            why: skipped.why.to_string(),
        }
    }
}

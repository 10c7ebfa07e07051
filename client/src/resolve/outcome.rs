//! What comes out: a plan.

use std::collections::BTreeSet;

use countersign_format::entry::Severity;
use countersign_format::name::{PatchName, PatchVersion};
use countersign_format::text::{AdvisoryId, Line};

use super::reason::Reason;
use crate::catalogue::Offer;

/// One component's way to its new version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// The component.
    pub name: PatchName,
    /// Its version now.
    pub from: Option<PatchVersion>,
    /// Its version then.
    pub to: PatchVersion,
    /// The patches, in the order to apply them; at least one.
    pub links: Vec<Offer>,
    /// How grave the gravest of what it mends is.
    pub severity: Severity,
    /// The advisories that it closes; going down closes none.
    pub advisories: BTreeSet<AdvisoryId>,
    /// The advisories that it opens again: it goes behind what closed them.
    pub opens: BTreeSet<AdvisoryId>,
    /// Whether it was not asked for: something else needs it.
    pub is_dependency: bool,
}

/// A component that goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Removal {
    /// The component.
    pub name: PatchName,
    /// Its version now.
    pub version: PatchVersion,
}

/// A version that is offered and not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skipped {
    /// The component.
    pub name: PatchName,
    /// The version.
    pub version: PatchVersion,
    /// How grave what it would have mended is.
    pub severity: Severity,
    /// The advisories that stay open.
    pub advisories: BTreeSet<AdvisoryId>,
    /// Why not.
    pub why: Reason,
}

/// What is to be done, as data that can be shown, tested and refused; and what is offered and is not
/// to be done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// One step a component; what is required comes first.
    pub steps: Vec<Step>,
    /// What goes, by name.
    pub removals: Vec<Removal>,
    /// What is offered and not taken, by name.
    pub skipped: Vec<Skipped>,
}

impl Plan {
    /// Whether nothing is to be done.
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty() && self.removals.is_empty()
    }

    /// Bytes of all archives.
    pub fn download(&self) -> u64 {
        self.links().map(|link| link.entry().archive.size).sum()
    }

    /// Bytes of all files when they are unpacked.
    pub fn unpacked(&self) -> u64 {
        self.links().map(|link| link.entry().archive.unpacked).sum()
    }

    /// All patches, in the order to apply them.
    pub fn links(&self) -> impl Iterator<Item = &Offer> {
        self.steps.iter().flat_map(|step| &step.links)
    }

    /// Services that must be restarted afterwards.
    pub fn restarts(&self) -> BTreeSet<&str> {
        self.links().flat_map(|link| link.entry().restart.iter().map(Line::as_str)).collect()
    }

    /// Whether the machine must be restarted afterwards.
    pub fn needs_reboot(&self) -> bool {
        self.links().any(|link| link.entry().reboot)
    }
}

//! What selection is told: the components that there are, and what is wished for.

use std::collections::BTreeSet;

use countersign_format::entry::{PatchEntry, Severity};
use countersign_format::name::{PatchName, PatchVersion};
use countersign_format::text::AdvisoryId;

use super::ways::Ways;
use crate::catalogue::Offer;
use crate::db::DatabaseError;
use crate::db::hold::Hold;

/// Where selection learns of components, one name after another: only those that can matter are
/// asked for.
pub trait Index {
    /// The names of all that is installed.
    fn installed(&self) -> Vec<PatchName>;

    /// What is known of one name, perhaps nothing.
    fn component(&self, name: &PatchName) -> Result<Component, DatabaseError>;
}

/// A component as selection sees it.
#[derive(Debug, Clone)]
pub struct Component {
    /// Its name.
    pub name: PatchName,
    /// What is installed.
    pub installed: Option<Present>,
    /// All its patches from the sources that count for it.
    pub offers: Vec<Offer>,
    /// Versions that a rollback undid and that are not offered again.
    pub held_back: BTreeSet<PatchVersion>,
    /// What keeps it from changing, if that counts now.
    pub hold: Option<Hold>,
}

/// The installed version of a component.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Present {
    /// The version.
    pub version: PatchVersion,
    /// The entry of the patch that brought it, where the index has it.
    pub entry: Option<PatchEntry>,
}

/// Which patches are wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Of this severity at least.
    pub severity: Option<Severity>,
    /// Closing one of these advisories.
    pub advisories: BTreeSet<AdvisoryId>,
    /// Of security at all: with an advisory or a severity.
    pub security: bool,
}

/// What is asked for one component.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wish {
    /// This very version; the newest if none is named.
    pub version: Option<PatchVersion>,
}

/// What is asked for, and what may be done for it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Request {
    /// The wishes, by name.
    pub wishes: Vec<(PatchName, Wish)>,
    /// Which versions are wanted.
    pub filter: Filter,
    /// Whether older versions than the installed ones will do.
    pub allow_downgrade: bool,
    /// Whether installed components that were not asked for may go.
    pub allow_removals: bool,
}

impl Filter {
    /// Whether everything is wanted.
    pub fn is_everything(&self) -> bool {
        *self == Self::default()
    }

    /// Whether this patch is wanted.
    pub fn wants(&self, severity: Severity, advisories: &BTreeSet<AdvisoryId>) -> bool {
        let grave = self.severity.is_none_or(|least| severity >= least);
        let named = self.advisories.is_empty() || !self.advisories.is_disjoint(advisories);
        let security = !self.security || severity > Severity::None || !advisories.is_empty();
        grave && named && security
    }
}

impl Component {
    /// The installed version.
    pub fn version(&self) -> Option<&PatchVersion> {
        self.installed.as_ref().map(|present| &present.version)
    }

    /// The cheapest ways from what is installed, to wherever offered patches lead.
    pub(super) fn ways(&self) -> Ways<'_> {
        Ways::new(self.version(), &self.offers)
    }

    /// The advisories that a step down to `to` opens again: those that versions above it close, and
    /// it does not.
    pub(super) fn opens(&self, to: &PatchVersion) -> BTreeSet<AdvisoryId> {
        let closed = |is_meant: &dyn Fn(&PatchVersion) -> bool| -> BTreeSet<AdvisoryId> {
            let meant = self.offers.iter().filter(|offer| is_meant(offer.version()));
            meant.flat_map(|offer| offer.entry().advisories.iter().cloned()).collect()
        };
        let Some(from) = self.version().filter(|from| to < *from) else { return BTreeSet::new() };
        let undone = closed(&|version| version > to && version <= from);
        undone.difference(&closed(&|version| version == to)).cloned().collect()
    }

    /// How grave what a step to `to` mends is, and the advisories that it closes: all that lies
    /// between, and the patches themselves.
    pub(super) fn mends(
        &self,
        to: &PatchVersion,
        links: &[usize],
    ) -> (Severity, BTreeSet<AdvisoryId>) {
        let between = |offer: &Offer| {
            offer.is_open()
                && self.version().is_some_and(|from| offer.version() > from)
                && offer.version() <= to
        };
        let mut mended = (Severity::default(), BTreeSet::new());
        for (at, offer) in self.offers.iter().enumerate() {
            if between(offer) || links.contains(&at) {
                mended.0 = mended.0.max(offer.entry().severity);
                mended.1.extend(offer.entry().advisories.iter().cloned());
            }
        }
        mended
    }
}

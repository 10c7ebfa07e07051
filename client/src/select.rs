//! Choosing what to install: for each name the newest version that is offered and can be reached,
//! and the cheapest way there in bytes. Pure: it reads nothing and changes nothing.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

use countersign_format::entry::{PatchEntry, Severity};
use countersign_format::name::{PatchName, PatchVersion};
use countersign_format::text::AdvisoryId;

use crate::catalogue::{Gate, Offer};

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

/// A component as selection sees it.
#[derive(Debug, Clone)]
pub struct Component {
    /// Its name.
    pub name: PatchName,
    /// What is installed.
    pub installed: Option<PatchVersion>,
    /// All its patches.
    pub offers: Vec<Offer>,
    /// Versions that a rollback undid and that are not offered again.
    pub held_back: BTreeSet<PatchVersion>,
}

/// What is asked for one component.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wish {
    /// This very version; the newest if none is named.
    pub version: Option<PatchVersion>,
    /// Whether an older version than the installed one will do.
    pub allow_downgrade: bool,
}

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
    /// The advisories that it closes.
    pub advisories: BTreeSet<AdvisoryId>,
}

/// What came of a wish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// What is to be done.
    pub outcome: Outcome,
    /// The newest version that is offered, where it is not what is to be done.
    pub skipped: Option<Skipped>,
}

/// What is to be done about a wish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// This.
    Step(Box<Step>),
    /// Nothing: what is installed is what was wished for, or nothing better is within reach.
    Nothing,
    /// Nothing that was wished for is offered to this machine. With the newest version that there
    /// is and its gate, if there is one.
    NotOffered(Option<(PatchVersion, Gate)>),
}

/// A version that is offered and not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skipped {
    /// The component.
    pub name: PatchName,
    /// The version.
    pub version: PatchVersion,
    /// Why not.
    pub why: SkipReason,
}

/// Why an offered version is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SkipReason {
    /// A rollback undid it.
    #[error("held back since a rollback undid it; a newer version will be offered")]
    HeldBack,
    /// Its patches do not fit what is installed.
    #[error("no patch leads to it from {}", from(.0.as_ref()))]
    NoPath(Option<PatchVersion>),
    /// It is older than what is installed.
    #[error("older than the installed {0}")]
    Downgrade(PatchVersion),
    /// Something it needs is not there.
    #[error("needs {name} {requirement}, {}", there(.found.as_ref()))]
    Requires {
        /// What it needs.
        name: PatchName,
        /// In which versions.
        requirement: String,
        /// What there would be.
        found: Option<PatchVersion>,
    },
    /// Something it conflicts with is there.
    #[error("conflicts with {name} {version}")]
    Conflicts {
        /// With what.
        name: PatchName,
        /// The version that there would be.
        version: PatchVersion,
    },
    /// An installed component cannot be together with it.
    #[error("the installed {name} {why}")]
    Breaks {
        /// The installed component.
        name: PatchName,
        /// What it asks for.
        why: Box<SkipReason>,
    },
}

fn from(version: Option<&PatchVersion>) -> String {
    version.map_or("nothing installed".into(), ToString::to_string)
}

fn there(version: Option<&PatchVersion>) -> String {
    version.map_or("which is not installed".into(), |version| format!("there is {version}"))
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
    /// Chooses what to do about a wish.
    pub fn choose(&self, wish: &Wish, filter: &Filter) -> Choice {
        let ways = self.ways();
        let mut skipped = None;
        for version in self.candidates(wish).into_iter().rev() {
            match self.obstacle(version, wish, &ways) {
                Ok(()) => {
                    let step = self.step(version, &ways);
                    let is_wanted = filter.wants(step.severity, &step.advisories);
                    let step = is_wanted.then(|| Outcome::Step(Box::new(step)));
                    return Choice { outcome: step.unwrap_or(Outcome::Nothing), skipped };
                }
                Err(Some(why)) => {
                    let (name, version) = (self.name.clone(), version.clone());
                    skipped.get_or_insert(Skipped { name, version, why });
                }
                Err(None) => return Choice { outcome: Outcome::Nothing, skipped },
            }
        }
        let is_missing = self.installed.is_none() || wish.version.is_some();
        let outcome = if is_missing && skipped.is_none() {
            Outcome::NotOffered(self.nearest(wish))
        } else {
            Outcome::Nothing
        };
        Choice { outcome, skipped }
    }

    /// The offered versions that a wish is about, the oldest first.
    fn candidates(&self, wish: &Wish) -> BTreeSet<&PatchVersion> {
        let takes_prereleases = self.installed.as_ref().is_some_and(PatchVersion::is_prerelease);
        let is_meant = |version: &&PatchVersion| match &wish.version {
            Some(wished) => wished == *version,
            None => takes_prereleases || !version.is_prerelease(),
        };
        let open = self.offers.iter().filter(|offer| offer.is_open());
        open.map(Offer::version).filter(is_meant).collect()
    }

    /// Why a candidate is not to be gone to. No reason where it is what there is already.
    fn obstacle(
        &self,
        version: &PatchVersion,
        wish: &Wish,
        ways: &Ways<'_>,
    ) -> Result<(), Option<SkipReason>> {
        let is_named = wish.version.is_some();
        if let Some(installed) = &self.installed {
            if version == installed || version < installed && !is_named && !wish.allow_downgrade {
                return Err(None);
            }
            if version < installed && !wish.allow_downgrade {
                return Err(Some(SkipReason::Downgrade(installed.clone())));
            }
        }
        if self.held_back.contains(version) && !is_named {
            return Err(Some(SkipReason::HeldBack));
        }
        if !ways.lead_to(version) {
            return Err(Some(SkipReason::NoPath(self.installed.clone())));
        }
        Ok(())
    }

    /// The newest patch that a wish is about, whatever its gate.
    fn nearest(&self, wish: &Wish) -> Option<(PatchVersion, Gate)> {
        let wished = |offer: &&Offer| wish.version.as_ref().is_none_or(|is| is == offer.version());
        let newest = self.offers.iter().filter(wished).max_by_key(|offer| offer.version())?;
        Some((newest.version().clone(), newest.gate.clone()))
    }

    fn step(&self, to: &PatchVersion, ways: &Ways<'_>) -> Step {
        let links = ways.to(to);
        let between = |offer: &&Offer| {
            self.installed.as_ref().is_some_and(|from| offer.version() > from)
                && offer.version() <= to
        };
        let closed: Vec<&Offer> = self
            .offers
            .iter()
            .filter(|offer| offer.is_open())
            .filter(between)
            .chain(links.iter().copied())
            .collect();
        Step {
            name: self.name.clone(),
            from: self.installed.clone(),
            to: to.clone(),
            severity: closed.iter().map(|offer| offer.entry().severity).max().unwrap_or_default(),
            advisories: closed
                .iter()
                .flat_map(|offer| offer.entry().advisories.iter().cloned())
                .collect(),
            links: links.into_iter().cloned().collect(),
        }
    }

    /// The cheapest ways from what is installed, to wherever offered patches lead.
    fn ways(&self) -> Ways<'_> {
        let start = self.installed.as_ref();
        let mut ways = Ways { start, best: BTreeMap::from([(start, (0, None))]) };
        let mut queue = BinaryHeap::from([Reverse((0, start))]);
        while let Some(Reverse((bytes, at))) = queue.pop() {
            if ways.best.get(&at).is_some_and(|(best, _)| *best < bytes) {
                continue;
            }
            for offer in self.offers.iter().filter(|offer| offer.is_open()) {
                if !leads_on(offer, at, start) {
                    continue;
                }
                let (to, bytes) = (Some(offer.version()), bytes + offer.entry().archive.size);
                if ways.best.get(&to).is_none_or(|(best, _)| bytes < *best) {
                    ways.best.insert(to, (bytes, Some((at, offer))));
                    queue.push(Reverse((bytes, to)));
                }
            }
        }
        ways
    }
}

/// Whether a patch can be applied to version `at`. A full one replaces whatever there is, so it is
/// only ever the first of a chain.
fn leads_on(offer: &Offer, at: Option<&PatchVersion>, start: Option<&PatchVersion>) -> bool {
    match (&offer.entry().base, at) {
        (None, at) => at == start,
        (Some(base), Some(at)) => base.matches(at) && offer.version() > at,
        (Some(_), None) => false,
    }
}

/// The last patch of the cheapest way to a version, with the version before it.
type LastLink<'c> = (Option<&'c PatchVersion>, &'c Offer);

/// The cheapest ways from one version to others.
struct Ways<'c> {
    start: Option<&'c PatchVersion>,
    /// Bytes of the archives on the way, and its last patch.
    best: BTreeMap<Option<&'c PatchVersion>, (u64, Option<LastLink<'c>>)>,
}

impl<'c> Ways<'c> {
    fn lead_to(&self, version: &PatchVersion) -> bool {
        self.best.contains_key(&Some(version))
    }

    /// The patches on the way to a version.
    fn to(&self, version: &PatchVersion) -> Vec<&'c Offer> {
        let mut links = Vec::new();
        let mut at = Some(version);
        while at != self.start
            && let Some((_, Some((before, offer)))) = self.best.get(&at)
        {
            links.push(*offer);
            at = *before;
        }
        links.reverse();
        links
    }
}

/// What would be installed: each component's version and, where the index has it, its entry.
pub type Set<'s> = BTreeMap<&'s PatchName, (&'s PatchVersion, Option<&'s PatchEntry>)>;

/// What in a set cannot be together: the component that asks for something, and what it asks for.
pub fn contradictions(set: &Set<'_>) -> Vec<(PatchName, SkipReason)> {
    let mut found = Vec::new();
    for (name, (_, entry)) in set {
        let Some(entry) = entry else { continue };
        for (needed, requirement) in &entry.requires {
            let there = set.get(needed).map(|(version, _)| *version);
            if !there.is_some_and(|version| requirement.matches(version)) {
                let why = SkipReason::Requires {
                    name: needed.clone(),
                    requirement: requirement.to_string(),
                    found: there.cloned(),
                };
                found.push(((*name).clone(), why));
            }
        }
        for (other, requirement) in &entry.conflicts {
            if let Some((version, _)) = set.get(other).filter(|(is, _)| requirement.matches(is)) {
                let why =
                    SkipReason::Conflicts { name: other.clone(), version: (*version).clone() };
                found.push(((*name).clone(), why));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests;

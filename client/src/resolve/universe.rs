//! All that a resolution can be about: the names that are reachable from what is installed and
//! wished for, their candidates, and what these ask of each other.

use std::cmp::Reverse;
use std::collections::{BTreeMap, VecDeque};

use countersign_format::entry::PatchEntry;
use countersign_format::name::{PatchName, PatchVersion, Requirement};

use super::ResolveError;
use super::component::{Component, Index, Request, Wish};
use super::reason::{Excluded, Exclusion};
use super::ways::Ways;
use crate::catalogue::{Gate, Offer};
use crate::db::hold::Hold;

/// Most names that one resolution looks at: far more than one machine has installed.
pub const MAX_NAMES: usize = 20_000;
/// Most versions that one resolution weighs against each other.
pub const MAX_CANDIDATES: usize = 200_000;

/// The place of a name in a universe.
pub(super) type NameAt = usize;
/// The place of a candidate in a universe.
pub(super) type CandidateAt = usize;

/// The names that can matter, by their places.
#[derive(Debug)]
pub(super) struct Universe {
    pub(super) names: Vec<Name>,
    pub(super) candidates: Vec<Candidate>,
}

/// A name, with what it may become.
#[derive(Debug)]
pub(super) struct Name {
    pub(super) component: Component,
    pub(super) wish: Option<Wish>,
    /// The preferred one first.
    pub(super) candidates: Vec<CandidateAt>,
    /// The newest first.
    pub(super) excluded: Vec<Excluded>,
}

/// A version that a name may have.
#[derive(Debug)]
pub(super) struct Candidate {
    pub(super) name: NameAt,
    pub(super) version: PatchVersion,
    pub(super) is_installed: bool,
    /// The cheapest way to it: places among the component's offers.
    pub(super) links: Vec<usize>,
    pub(super) requires: Vec<(NameAt, Requirement)>,
    pub(super) conflicts: Vec<(NameAt, Requirement)>,
}

impl Universe {
    /// Loads what is reachable from what is installed and what is wished for.
    pub(super) fn load(index: &impl Index, request: &Request) -> Result<Self, ResolveError> {
        let wishes: BTreeMap<&PatchName, &Wish> =
            request.wishes.iter().map(|(name, wish)| (name, wish)).collect();
        let mut queue: VecDeque<PatchName> = index.installed().into();
        queue.extend(wishes.keys().map(|name| (*name).clone()));
        let mut places: BTreeMap<PatchName, NameAt> = BTreeMap::new();
        let mut drafts = Vec::new();
        let mut count = 0;
        while let Some(name) = queue.pop_front() {
            if places.contains_key(&name) {
                continue;
            }
            places.insert(name.clone(), drafts.len());
            let component = index.component(&name)?;
            let draft = Draft::new(component, wishes.get(&name).copied(), request);
            for (_, _, entry) in &draft.candidates {
                queue.extend(entry.iter().flat_map(|entry| entry.requires.keys().cloned()));
            }
            count += draft.candidates.len();
            drafts.push(draft);
            if drafts.len() > MAX_NAMES {
                return Err(ResolveError::TooLarge { what: "names", limit: MAX_NAMES });
            }
            if count > MAX_CANDIDATES {
                return Err(ResolveError::TooLarge { what: "versions", limit: MAX_CANDIDATES });
            }
        }
        Ok(Self::connect(drafts, &places))
    }

    /// Turns names into places, now that all of them are known.
    fn connect(drafts: Vec<Draft>, places: &BTreeMap<PatchName, NameAt>) -> Self {
        let installed: Vec<Option<PatchVersion>> =
            drafts.iter().map(|draft| draft.component.version().cloned()).collect();
        let mut universe = Self { names: Vec::new(), candidates: Vec::new() };
        for (at, draft) in drafts.into_iter().enumerate() {
            let mut name = Name {
                component: draft.component,
                wish: draft.wish,
                candidates: Vec::new(),
                excluded: draft.excluded,
            };
            for (version, links, entry) in draft.candidates {
                let is_installed = installed[at].as_ref() == Some(&version);
                let mut candidate = Candidate {
                    name: at,
                    version,
                    is_installed,
                    links,
                    requires: Vec::new(),
                    conflicts: Vec::new(),
                };
                if let Some(entry) = entry {
                    candidate.asks(&entry, places, &installed);
                }
                name.candidates.push(universe.candidates.len());
                universe.candidates.push(candidate);
            }
            universe.names.push(name);
        }
        universe
    }

    /// A candidate of a name by its version.
    pub(super) fn find(&self, name: NameAt, version: &PatchVersion) -> Option<CandidateAt> {
        let is_it = |at: &&CandidateAt| self.candidates[**at].version == *version;
        self.names[name].candidates.iter().find(is_it).copied()
    }

    /// Whether two candidates of different names can be together.
    pub(super) fn go_together(&self, one: CandidateAt, other: CandidateAt) -> bool {
        let accepts = |one: &Candidate, other: &Candidate| {
            let is_about = |(name, _): &&(NameAt, Requirement)| *name == other.name;
            one.requires.iter().filter(is_about).all(|(_, needs)| needs.matches(&other.version))
                && !one
                    .conflicts
                    .iter()
                    .filter(is_about)
                    .any(|(_, refuses)| refuses.matches(&other.version))
        };
        let (one, other) = (&self.candidates[one], &self.candidates[other]);
        accepts(one, other) && accepts(other, one)
    }
}

impl Candidate {
    /// Notes what an entry asks for. What is installed and does not go together already is no
    /// reason against anything: no plan made it so.
    fn asks(
        &mut self,
        entry: &PatchEntry,
        places: &BTreeMap<PatchName, NameAt>,
        installed: &[Option<PatchVersion>],
    ) {
        let meets = |at: NameAt, requirement: &Requirement| {
            installed[at].as_ref().is_some_and(|version| requirement.matches(version))
        };
        for (name, requirement) in &entry.requires {
            let at = places[name];
            if !self.is_installed || meets(at, requirement) {
                self.requires.push((at, requirement.clone()));
            }
        }
        for (name, requirement) in &entry.conflicts {
            // what is never loaded is never installed, and nothing conflicts with itself
            let Some(at) = places.get(name).copied().filter(|at| *at != self.name) else {
                continue;
            };
            if !self.is_installed || !meets(at, requirement) {
                self.conflicts.push((at, requirement.clone()));
            }
        }
    }
}

/// A name whose requirements are not yet places.
struct Draft {
    component: Component,
    wish: Option<Wish>,
    candidates: Vec<(PatchVersion, Vec<usize>, Option<PatchEntry>)>,
    excluded: Vec<Excluded>,
}

impl Draft {
    fn new(component: Component, wish: Option<&Wish>, request: &Request) -> Self {
        let sorter = Sorter { component: &component, wish, request, ways: component.ways() };
        // nobody has to release what makes a long list, so no list is gone through for each version
        let mut versions: BTreeMap<&PatchVersion, Vec<&Gate>> = BTreeMap::new();
        for offer in &component.offers {
            versions.entry(offer.version()).or_default().push(&offer.gate);
        }
        let (mut candidates, mut excluded) = (Vec::new(), Vec::new());
        for (version, gates) in versions.into_iter().rev() {
            if component.version() == Some(version) {
                continue;
            }
            match sorter.exclusion(version, &gates) {
                Some(why) => excluded.push(Excluded { version: version.clone(), why }),
                None => candidates.push((version.clone(), sorter.ways.to(version))),
            }
        }
        if let Some(version) = component.version() {
            candidates.push((version.clone(), Vec::new()));
        }
        candidates.sort_by_cached_key(|(version, links)| sorter.rank(version, links));
        let is_wished = wish.is_some_and(|wish| sorter.is_of_use(wish, &candidates));
        let entry = |links: &[usize]| match links.last() {
            Some(last) => Some(component.offers[*last].entry().clone()),
            None => component.installed.as_ref().and_then(|present| present.entry.clone()),
        };
        let candidates = candidates
            .into_iter()
            .map(|(version, links)| {
                let entry = entry(&links);
                (version, links, entry)
            })
            .collect();
        let wish = wish.filter(|_| is_wished).cloned();
        drop(sorter);
        Self { component, wish, candidates, excluded }
    }
}

/// Sorts the versions of one component.
struct Sorter<'c> {
    component: &'c Component,
    wish: Option<&'c Wish>,
    request: &'c Request,
    ways: Ways<'c>,
}

impl Sorter<'_> {
    /// Why a version that is not installed is no candidate.
    fn exclusion(&self, version: &PatchVersion, gates: &[&Gate]) -> Option<Exclusion> {
        let installed = self.component.version();
        let is_named = self.wish.is_some_and(|wish| wish.version.as_ref() == Some(version));
        let takes_prereleases = is_named || installed.is_some_and(PatchVersion::is_prerelease);
        if let Some(gate) = closed_gate(gates) {
            return Some(Exclusion::Gate(gate.clone()));
        }
        if let Some(hold) = &self.component.hold
            && !allows(hold, installed, version)
        {
            return Some(Exclusion::Held(hold.clone()));
        }
        if version.is_prerelease() && !takes_prereleases {
            return Some(Exclusion::Prerelease);
        }
        if self.component.held_back.contains(version) && !is_named {
            return Some(Exclusion::HeldBack);
        }
        match installed {
            Some(installed) if version < installed && !self.request.allow_downgrade => {
                Some(Exclusion::Older(installed.clone()))
            }
            _ if !self.ways.lead_to(version) => Some(Exclusion::NoPath(installed.cloned())),
            _ => None,
        }
    }

    /// Small for what is preferred. Of a wish the newest that is wanted, then what is installed; of
    /// everything else what is installed, and if it must change the newest.
    fn rank(&self, version: &PatchVersion, links: &[usize]) -> (u8, Reverse<PatchVersion>) {
        let installed = self.component.version();
        let is_installed = Some(version) == installed;
        let is_newer = installed.is_none_or(|installed| version > installed);
        let class = match self.wish {
            None if is_installed => 0,
            None => 1 + u8::from(!is_newer),
            Some(_) if is_installed => 1,
            Some(_) if !self.is_wanted(version, links) => 3 + u8::from(!is_newer),
            Some(_) if is_newer => 0,
            // what is still offered stays
            Some(_) => u8::from(self.is_installed_offered()) * 2,
        };
        (class, Reverse(version.clone()))
    }

    fn is_installed_offered(&self) -> bool {
        let installed = self.component.version();
        let is_it = |offer: &Offer| Some(offer.version()) == installed;
        self.component.offers.iter().any(|offer| offer.is_open() && is_it(offer))
    }

    fn is_wanted(&self, version: &PatchVersion, links: &[usize]) -> bool {
        let (severity, advisories) = self.component.mends(version, links);
        self.request.filter.wants(severity, &advisories)
    }

    /// Whether a wish has anything that the filter lets through, if there is anything at all.
    fn is_of_use(&self, wish: &Wish, candidates: &[(PatchVersion, Vec<usize>)]) -> bool {
        let is_meant =
            |version: &PatchVersion| wish.version.as_ref().is_none_or(|is| is == version);
        let mut meant = candidates.iter().filter(|(version, _)| is_meant(version)).peekable();
        meant.peek().is_none()
            || meant.any(|(version, links)| links.is_empty() || self.is_wanted(version, links))
    }
}

/// The gate of a version none of whose patches is open; that of one for this machine, if any.
fn closed_gate<'g>(gates: &[&'g Gate]) -> Option<&'g Gate> {
    if gates.contains(&&Gate::Open) {
        return None;
    }
    let is_for_us = |gate: &&Gate| !matches!(gate, Gate::Platform(_));
    gates.iter().copied().find(is_for_us).or_else(|| gates.first().copied())
}

/// Whether a hold lets a component that is not at this version go there.
fn allows(hold: &Hold, installed: Option<&PatchVersion>, version: &PatchVersion) -> bool {
    hold.version.as_ref().is_some_and(|pin| {
        version == pin || version < pin && installed.is_some_and(|installed| installed < version)
    })
}

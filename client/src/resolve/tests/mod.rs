//! Small worlds of components, written as text.

mod brute;
mod explain;
mod together;
mod ways;

use std::collections::{BTreeMap, BTreeSet};

use countersign_format::entry::{ArchiveReference, PatchEntry, Severity};
use countersign_format::hash::Hash32;
use countersign_format::name::Platform;
use countersign_format::time::Timestamp;

use super::*;
use crate::catalogue::{Gate, Offer};
use crate::db::hold::Hold;
use crate::db::index::IndexedPatch;

/// All components by name.
#[derive(Default, Clone)]
struct World(BTreeMap<PatchName, Component>);

fn name(text: &str) -> PatchName {
    text.parse().expect("a name")
}

fn version(text: &str) -> PatchVersion {
    text.parse().expect("a version")
}

/// A patch `NAME VERSION` or `NAME VERSION<-BASE`, then after bars: its bytes, `needs NAME
/// REQUIREMENT`, `refuses NAME REQUIREMENT`, `high`, an advisory, `revoked`, `unreleased`.
fn offer(text: &str) -> Offer {
    let mut parts = text.split(" | ");
    let (component, to) = parts.next().and_then(|head| head.split_once(' ')).expect("NAME VERSION");
    let (to, base) = match to.split_once("<-") {
        Some((to, base)) => (to, Some(base.parse().expect("a requirement"))),
        None => (to, None),
    };
    let mut entry = PatchEntry {
        name: name(component),
        version: version(to),
        base,
        platform: Platform::any(),
        summary: "".parse().expect("a line"),
        severity: Severity::None,
        advisories: Vec::new(),
        requires: BTreeMap::new(),
        conflicts: BTreeMap::new(),
        archive: ArchiveReference {
            sha256: Hash32::of(text.as_bytes()),
            size: 100,
            unpacked: 100,
            files: 1,
        },
        restart: Vec::new(),
        reboot: false,
        collected: Timestamp::EPOCH,
        evidence: Vec::new(),
    };
    let mut gate = Gate::Open;
    for part in parts {
        let words: Vec<&str> = part.splitn(3, ' ').collect();
        match words.as_slice() {
            ["needs", other, requirement] => {
                entry.requires.insert(name(other), requirement.parse().expect("a requirement"));
            }
            ["refuses", other, requirement] => {
                entry.conflicts.insert(name(other), requirement.parse().expect("a requirement"));
            }
            ["high"] => entry.severity = Severity::High,
            ["revoked"] => gate = Gate::Revoked("it breaks".into()),
            ["unreleased"] => gate = Gate::NotReleased("stable".into()),
            [id] if id.starts_with("CVE") => entry.advisories.push(id.parse().expect("an id")),
            [size] => entry.archive.size = size.parse().expect("bytes"),
            _ => panic!("{part:?}"),
        }
    }
    Offer { source: 0, patch: IndexedPatch { leaf: 0, entry, bytes: Vec::new() }, gate }
}

impl World {
    /// With these patches, see [`offer`].
    fn new(offers: &[&str]) -> Self {
        let mut world = Self::default();
        for offer in offers.iter().map(|text| offer(text)) {
            world.at(offer.entry().name.as_str()).offers.push(offer);
        }
        world
    }

    fn at(&mut self, component: &str) -> &mut Component {
        let name = name(component);
        self.0.entry(name.clone()).or_insert_with(|| bare(name))
    }

    /// With what is installed: `NAME VERSION`, or as for [`offer`] if it asks for something.
    fn having(mut self, installed: &[&str]) -> Self {
        for text in installed {
            let entry = offer(text).patch.entry;
            let present = Present { version: entry.version.clone(), entry: Some(entry.clone()) };
            self.at(entry.name.as_str()).installed = Some(present);
        }
        self
    }

    fn holding(mut self, component: &str, pin: Option<&str>) -> Self {
        self.at(component).hold = Some(Hold {
            name: name(component),
            version: pin.map(version),
            until: None,
            reason: Some("year-end freeze".parse().expect("a line")),
            since: Timestamp::EPOCH,
        });
        self
    }

    fn resolve(&self, request: &Request, mode: Mode) -> Result<Plan, ResolveError> {
        resolve(self, request, mode)
    }

    /// The plan of installing `NAME NAME@VERSION …`, as text.
    fn install(&self, what: &str) -> String {
        shown(self.resolve(&wishes(what), Mode::Install))
    }

    /// The plan of upgrading all that is installed, as text.
    fn upgrade(&self) -> String {
        let names: Vec<&str> = self
            .0
            .values()
            .filter(|is| is.installed.is_some())
            .map(|is| is.name.as_str())
            .collect();
        shown(self.resolve(&wishes(&names.join(" ")), Mode::Upgrade))
    }
}

impl Index for World {
    fn installed(&self) -> Vec<PatchName> {
        let installed = self.0.values().filter(|component| component.installed.is_some());
        installed.map(|component| component.name.clone()).collect()
    }

    fn component(&self, name: &PatchName) -> Result<Component, DatabaseError> {
        Ok(self.0.get(name).cloned().unwrap_or_else(|| bare(name.clone())))
    }
}

fn bare(name: PatchName) -> Component {
    Component { name, installed: None, offers: Vec::new(), held_back: BTreeSet::new(), hold: None }
}

fn wishes(what: &str) -> Request {
    let wish = |text: &str| match text.split_once('@') {
        Some((is, at)) => (name(is), Wish { version: Some(version(at)) }),
        None => (name(text), Wish::default()),
    };
    Request { wishes: what.split_whitespace().map(wish).collect(), ..Request::default() }
}

/// Steps as `NAME VERSION` with a `+` where it is a dependency, removals as `-NAME`, what is skipped
/// in brackets with the reason.
fn shown(plan: Result<Plan, ResolveError>) -> String {
    let plan = match plan {
        Ok(plan) => plan,
        Err(error) => {
            let mut text = error.to_string();
            let mut next = std::error::Error::source(&error);
            while let Some(cause) = next {
                text = format!("{text}\n{cause}");
                next = cause.source();
            }
            return text;
        }
    };
    let step = |step: &Step| {
        format!("{}{} {}", if step.is_dependency { "+" } else { "" }, step.name, step.to)
    };
    let removal = |removal: &Removal| format!("-{}", removal.name);
    let skipped =
        |skipped: &Skipped| format!("[{} {}: {}]", skipped.name, skipped.version, skipped.why);
    let steps = plan.steps.iter().map(step).chain(plan.removals.iter().map(removal));
    steps.chain(plan.skipped.iter().map(skipped)).collect::<Vec<_>>().join(", ")
}

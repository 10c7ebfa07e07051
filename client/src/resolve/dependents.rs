//! What goes along when something is removed.

use std::collections::BTreeSet;
use std::fmt;

use countersign_format::name::{PatchName, Requirement};

use super::Index;
use crate::db::DatabaseError;

/// An installed component that needs another one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dependent {
    /// The component.
    pub name: PatchName,
    /// What it needs.
    pub needs: PatchName,
    /// In which versions.
    pub requirement: String,
}

impl fmt::Display for Dependent {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} needs {} {}", self.name, self.needs, self.requirement)
    }
}

/// The installed components that need what is removed, directly or through each other, with the
/// first thing that each needs; by distance, then by name. What an installed version needs is what
/// the index says of the patch that brought it; requirements that are not met anyway do not count.
pub fn dependents(
    index: &impl Index,
    removed: &[PatchName],
) -> Result<Vec<Dependent>, DatabaseError> {
    let mut installed = Vec::new();
    for name in index.installed() {
        installed.extend(index.component(&name)?.installed.map(|present| (name, present)));
    }
    let mut gone: BTreeSet<PatchName> = removed.iter().cloned().collect();
    let mut found = Vec::new();
    loop {
        let mut next = Vec::new();
        for (name, present) in installed.iter().filter(|(name, _)| !gone.contains(name)) {
            let requires = present.entry.iter().flat_map(|entry| &entry.requires);
            let is_met = |needs: &PatchName, requirement: &Requirement| {
                installed
                    .iter()
                    .any(|(name, present)| name == needs && requirement.matches(&present.version))
            };
            let lost = requires
                .into_iter()
                .find(|(needs, requirement)| gone.contains(*needs) && is_met(needs, requirement));
            next.extend(lost.map(|(needs, requirement)| Dependent {
                name: name.clone(),
                needs: needs.clone(),
                requirement: requirement.to_string(),
            }));
        }
        if next.is_empty() {
            return Ok(found);
        }
        gone.extend(next.iter().map(|dependent| dependent.name.clone()));
        found.extend(next);
    }
}

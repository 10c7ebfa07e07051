//! What is installed although somebody took it back since.

use countersign_format::name::{PatchName, PatchVersion};

use crate::catalogue::{Catalogue, Gate};
use crate::db::{Database, DatabaseError};

/// Something installed that would not be installed again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Concern {
    /// The component.
    pub name: PatchName,
    /// The installed version.
    pub version: PatchVersion,
    /// Who took it back.
    pub by: TakenBack,
    /// Why, in their words.
    pub reason: String,
}

/// Who took a patch back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum TakenBack {
    /// The collection, for good: it was revoked.
    Collection,
    /// The distribution, from this machine's ring: it was withdrawn.
    Distribution,
}

/// What is installed although it was revoked or withdrawn since, the revoked first.
pub fn concerns(database: &Database, catalogue: &Catalogue) -> Result<Vec<Concern>, DatabaseError> {
    let mut concerns = Vec::new();
    for installed in database.installed()? {
        for offer in catalogue.offers_of_archive(database, &installed.archive)? {
            for gate in catalogue.gates(&offer) {
                let (by, reason) = match gate.obstacle() {
                    Some(Gate::Revoked(reason)) => (TakenBack::Collection, reason),
                    Some(Gate::Withdrawn(reason)) => (TakenBack::Distribution, reason),
                    _ => continue,
                };
                let (name, version) = (installed.name.clone(), installed.version.clone());
                concerns.push(Concern { name, version, by, reason });
            }
        }
    }
    concerns.sort_by_key(|concern| concern.by);
    Ok(concerns)
}

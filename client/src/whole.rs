//! Full patches of one version: what brings every file of it, to compare with or to put back.

use countersign_format::name::{PatchName, PatchVersion, Platform};

use crate::catalogue::{Catalogue, Gate, Offer};
use crate::db::installed::Installed;
use crate::db::{Database, DatabaseError};

/// Why there is no full patch to be had.
#[derive(Debug, thiserror::Error)]
pub enum WholeError {
    /// No source has a patch of this name.
    #[error("no source has a patch named {0}")]
    Unknown(PatchName),
    /// No source has this version, or not for the platform that was asked for.
    #[error("no source has {name} {version}{}", for_platform(platform.as_ref()))]
    NoSuchVersion {
        /// The component.
        name: PatchName,
        /// The version.
        version: PatchVersion,
        /// The platform that was asked for.
        platform: Option<Platform>,
    },
    /// There are only patches that bring what changed.
    #[error("{name} {version} has incremental patches only, and none that brings every file")]
    OnlyIncremental {
        /// The component.
        name: PatchName,
        /// The version.
        version: PatchVersion,
    },
    /// There is one, but not for this machine, now.
    #[error("{name} {version} is not offered to this machine: {gate}")]
    NotOffered {
        /// The component.
        name: PatchName,
        /// The version.
        version: PatchVersion,
        /// Why.
        gate: Gate,
    },
    /// Several fit this machine.
    #[error("{name} {version} fits this machine for several platforms: {}", list(platforms))]
    Ambiguous {
        /// The component.
        name: PatchName,
        /// The version.
        version: PatchVersion,
        /// Which.
        platforms: Vec<Platform>,
    },
    /// The state database.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

fn for_platform(platform: Option<&Platform>) -> String {
    platform.map(|platform| format!(" for {platform}")).unwrap_or_default()
}

fn list(platforms: &[Platform]) -> String {
    platforms.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// The full patch of a version that this machine may install.
pub fn to_adopt(
    database: &Database,
    catalogue: &Catalogue,
    name: &PatchName,
    version: &PatchVersion,
    platform: Option<&Platform>,
) -> Result<Offer, WholeError> {
    let is_meant = |offer: &Offer| platform.is_none_or(|meant| offer.entry().platform == *meant);
    let mut named = catalogue.offers_named(database, name)?;
    catalogue.retain_strongest(&mut named);
    let full = full_patches(named, (name, version), &is_meant, platform)?;
    let (mut open, closed): (Vec<Offer>, Vec<Offer>) = full.into_iter().partition(Offer::is_open);
    // one archive may come from several sources
    open.dedup_by_key(|offer| offer.entry().archive.sha256);
    if open.len() > 1 {
        let platforms = open.iter().map(|offer| offer.entry().platform.clone()).collect();
        let (name, version) = (name.clone(), version.clone());
        return Err(WholeError::Ambiguous { name, version, platforms });
    }
    let gate = closed.into_iter().next().map(|offer| offer.gate);
    match (open.pop(), gate) {
        (Some(offer), _) => Ok(offer),
        (None, Some(gate)) => {
            Err(WholeError::NotOffered { name: name.clone(), version: version.clone(), gate })
        }
        (None, None) => {
            Err(WholeError::OnlyIncremental { name: name.clone(), version: version.clone() })
        }
    }
}

/// The full patch of an installed version: the very one that brought it, or one for its platform.
/// What is installed may be put back although it is not offered any more; what was revoked may not.
/// It comes from where it came from: another source may have the same files with other hooks.
pub fn to_mend(
    database: &Database,
    catalogue: &Catalogue,
    installed: &Installed,
) -> Result<Offer, WholeError> {
    let (name, version) = (&installed.name, &installed.version);
    let is_meant = |offer: &Offer| offer.entry().platform == installed.platform;
    let platform = Some(&installed.platform);
    let mut named = catalogue.offers_named(database, name)?;
    let mut brought = catalogue.offers_of_archive(database, &installed.archive)?;
    catalogue.retain_strongest(&mut brought);
    if brought.is_empty() {
        catalogue.retain_strongest(&mut named);
    } else {
        named.retain(|offer| brought.iter().any(|brought| brought.source == offer.source));
    }
    let full = full_patches(named, (name, version), &is_meant, platform)?;
    let is_revoked = |offer: &Offer| matches!(offer.gate, Gate::Revoked(_));
    let (revoked, mut fit): (Vec<Offer>, Vec<Offer>) = full.into_iter().partition(is_revoked);
    fit.sort_by_key(|offer| {
        let is_the_same = offer.entry().archive.sha256 == installed.archive;
        (!is_the_same, !offer.is_open())
    });
    match (fit.into_iter().next(), revoked.into_iter().next()) {
        (Some(offer), _) => Ok(offer),
        (None, Some(Offer { gate, .. })) => {
            Err(WholeError::NotOffered { name: name.clone(), version: version.clone(), gate })
        }
        (None, None) => {
            Err(WholeError::OnlyIncremental { name: name.clone(), version: version.clone() })
        }
    }
}

/// All full patches of a version that are meant; an error where there is none of the version at all.
fn full_patches(
    named: Vec<Offer>,
    (name, version): (&PatchName, &PatchVersion),
    is_meant: &dyn Fn(&Offer) -> bool,
    platform: Option<&Platform>,
) -> Result<Vec<Offer>, WholeError> {
    if named.is_empty() {
        return Err(WholeError::Unknown(name.clone()));
    }
    let of_version: Vec<Offer> =
        named.into_iter().filter(|offer| offer.version() == version && is_meant(offer)).collect();
    if of_version.is_empty() {
        let (name, version) = (name.clone(), version.clone());
        return Err(WholeError::NoSuchVersion { name, version, platform: platform.cloned() });
    }
    Ok(of_version.into_iter().filter(|offer| offer.entry().base.is_none()).collect())
}

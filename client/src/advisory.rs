//! Advisories that are open on this machine: a newer patch of something that is installed closes
//! them, whether or not that patch can be had yet.

use std::collections::{BTreeMap, BTreeSet};

use countersign_format::entry::Severity;
use countersign_format::name::{PatchName, PatchVersion};
use countersign_format::text::AdvisoryId;
use countersign_format::time::Timestamp;

use crate::catalogue::{Answer, Catalogue, Gate, Offer};
use crate::db::history::{TransactionRecord, TransactionState};
use crate::db::installed::Installed;
use crate::db::{Database, DatabaseError};
use crate::plan::Plan;

/// An advisory that is open for an installed component.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenAdvisory {
    /// The advisory.
    pub advisory: AdvisoryId,
    /// How grave the gravest patch is that closes it.
    pub severity: Severity,
    /// The component.
    pub name: PatchName,
    /// Its installed version.
    pub installed: PatchVersion,
    /// The oldest version that closes it.
    pub closed_by: PatchVersion,
    /// Whether that can be had now.
    pub remedy: Remedy,
    /// The transaction that went back behind a version which had closed it.
    pub reopened_by: Option<i64>,
}

/// Whether an advisory can be closed now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Remedy {
    /// By going to this version, as `upgrade` would.
    Now(PatchVersion),
    /// Not now.
    Later {
        /// Why.
        why: String,
        /// When that changes by itself.
        changes: Option<Timestamp>,
    },
}

/// All open advisories, the gravest first. `plan` is what `upgrade` would do.
pub fn open_advisories(
    database: &Database,
    catalogue: &Catalogue,
    plan: &Plan,
) -> Result<Vec<OpenAdvisory>, DatabaseError> {
    let history = database.history()?;
    let mut open = Vec::new();
    for installed in database.installed()? {
        let mut offers = catalogue.offers_named(database, &installed.name)?;
        offers.retain(|offer| catalogue.fits(offer.entry()));
        for (advisory, closing) in closing(&installed, &offers) {
            let versions = || closing.iter().map(|offer| offer.version());
            let sound = closing.iter().filter(|offer| !matches!(offer.gate, Gate::Revoked(_)));
            let oldest = sound.map(|offer| offer.version()).min().or_else(|| versions().min());
            let Some(oldest) = oldest.cloned() else { continue };
            open.push(OpenAdvisory {
                advisory: advisory.clone(),
                severity: closing
                    .iter()
                    .map(|offer| offer.entry().severity)
                    .max()
                    .unwrap_or_default(),
                name: installed.name.clone(),
                installed: installed.version.clone(),
                remedy: remedy(catalogue, plan, &installed.name, advisory, &closing),
                reopened_by: reopened_by(&history, &installed, versions().min()),
                closed_by: oldest,
            });
        }
    }
    open.sort_by(|left, right| {
        let key = |open: &OpenAdvisory| (open.advisory.clone(), open.name.clone());
        right.severity.cmp(&left.severity).then_with(|| key(left).cmp(&key(right)))
    });
    Ok(open)
}

/// The patches newer than what is installed by the advisories that they close, as far as the
/// installed version does not say that it closes them, too.
fn closing<'o>(
    installed: &Installed,
    offers: &'o [Offer],
) -> BTreeMap<&'o AdvisoryId, Vec<&'o Offer>> {
    let own = offers.iter().filter(|offer| *offer.version() == installed.version);
    let closed: BTreeSet<&AdvisoryId> = own.flat_map(|offer| &offer.entry().advisories).collect();
    let mut closing: BTreeMap<&AdvisoryId, Vec<&Offer>> = BTreeMap::new();
    for offer in offers.iter().filter(|offer| *offer.version() > installed.version) {
        for advisory in &offer.entry().advisories {
            if !closed.contains(advisory) {
                closing.entry(advisory).or_default().push(offer);
            }
        }
    }
    closing
}

fn remedy(
    catalogue: &Catalogue,
    plan: &Plan,
    name: &PatchName,
    advisory: &AdvisoryId,
    closing: &[&Offer],
) -> Remedy {
    let step = plan.steps.iter().find(|step| step.name == *name);
    if let Some(step) = step.filter(|step| step.advisories.contains(advisory)) {
        return Remedy::Now(step.to.clone());
    }
    if closing.iter().any(|offer| offer.is_open()) {
        let skipped = plan.skipped.iter().find(|skipped| skipped.name == *name);
        let why = skipped.map_or_else(
            || "upgrade does not take it".to_owned(),
            |skipped| format!("{} {}", skipped.version, skipped.why),
        );
        return Remedy::Later { why, changes: None };
    }
    // the one that a date will open before one that nothing will
    let opens = |offer: &&&Offer| {
        let gates = catalogue.gates(offer);
        let never = gates.iter().any(|gate| gate.answer() == Answer::No);
        let waits = gates.iter().filter(|gate| gate.answer() == Answer::Waits);
        waits.filter_map(crate::catalogue::GateState::changes).max().filter(|_| !never)
    };
    let nearest = closing.iter().min_by_key(|offer| {
        let opens = opens(offer);
        (opens.is_none(), opens)
    });
    Remedy::Later {
        why: nearest.map_or(String::new(), |offer| offer.gate.to_string()),
        changes: nearest.and_then(|offer| opens(&offer)),
    }
}

/// The last transaction that left `closing` or a later version behind.
fn reopened_by(
    history: &[TransactionRecord],
    installed: &Installed,
    closing: Option<&PatchVersion>,
) -> Option<i64> {
    let closing = closing?;
    let done = history.iter().filter(|record| record.state == TransactionState::Done);
    let goes_back = |record: &&TransactionRecord| {
        record.changes.iter().any(|change| {
            change.name == installed.name
                && change.old.as_ref().is_some_and(|old| old >= closing)
                && change.new.as_ref().is_none_or(|new| new < closing)
        })
    };
    done.into_iter().find(goes_back).map(|record| record.id)
}

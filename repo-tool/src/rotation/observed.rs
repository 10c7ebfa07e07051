//! What a repository serves, judged as if the old keys were gone.

use std::collections::BTreeMap;

use countersign_format::authority::AuthorityNote;
use countersign_format::layout::{self, Log};
use countersign_format::policy::Clock;
use countersign_store::Source;
use countersign_store::mirrors::chain;
use serde::Serialize;

use super::{Leaving, Plan, RoleName};
use crate::rehearsal::{Notes, Problem, RehearsalError, Rehearsed, rehearse, served_note};

/// A repository that was looked at.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Observed {
    /// Where it is.
    pub place: String,
    /// What it serves, or why that is not known.
    pub found: Result<Served, String>,
}

/// What a repository serves.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Served {
    /// The newest version of the authority note that it serves.
    pub version: u64,
    /// Entries of each log.
    pub sizes: BTreeMap<RoleName, u64>,
    /// What clients would refuse that go by the newest published version.
    pub now: Vec<Problem>,
    /// What they would refuse if the keys that are to go were gone.
    pub without: Vec<Problem>,
}

/// Looks at the repository at `source`. `first` is the authority's version 1, where clients may have
/// begun.
pub async fn observe(
    source: &Source,
    plan: &Plan,
    newest: &AuthorityNote,
    first: &[u8],
    clock: Clock,
) -> Observed {
    let place = source.name().to_owned();
    let found = look(source, plan, newest, first, clock).await;
    Observed { place, found: found.map_err(|error| chain(&error)) }
}

async fn look(
    source: &Source,
    plan: &Plan,
    newest: &AuthorityNote,
    first: &[u8],
    clock: Clock,
) -> Result<Served, RehearsalError> {
    let served = served_note(source, first).await?;
    let now = rehearse(source, Notes { now: &served, after: newest, clock }).await?;
    let sizes = sizes(&now);
    let without = plan.without(newest, &sizes);
    let then = rehearse(source, Notes { now: &served, after: &without, clock }).await?;
    Ok(Served { version: served.version, sizes, now: now.problems, without: then.problems })
}

fn sizes(rehearsed: &Rehearsed) -> BTreeMap<RoleName, u64> {
    let size = |log: Log| {
        let path = layout::checkpoint(log);
        rehearsed.files.iter().find(|file| file.file == path.as_str())?.size
    };
    let collection = size(Log::Collection).map(|size| (RoleName::Collection, size));
    let own = rehearsed.distribution.clone().map(RoleName::Distribution);
    let own = own.and_then(|role| Some((role, size(Log::Distribution)?)));
    collection.into_iter().chain(own).collect()
}

impl Plan {
    /// The note after `newest` in which all that is to go is gone: retired from the present end of
    /// its log on, or no longer listed.
    pub(super) fn without(
        &self,
        newest: &AuthorityNote,
        sizes: &BTreeMap<RoleName, u64>,
    ) -> AuthorityNote {
        let mut note = newest.clone();
        note.version += 1;
        for Leaving { role, key, .. } in &self.leaving {
            let size = sizes.get(role).copied().unwrap_or(u64::MAX);
            let log = match role {
                RoleName::Authority => {
                    note.authority.keys.retain(|listed| listed != key);
                    continue;
                }
                RoleName::Witness => {
                    note.witnesses.keys.retain(|listed| listed != key);
                    continue;
                }
                RoleName::Directory => {
                    note.directory.keys.retain(|listed| listed != key);
                    continue;
                }
                RoleName::Collection => &mut note.collection,
                RoleName::Distribution(name) => {
                    let found = note.distributions.iter_mut().find(|role| role.name == *name);
                    let Some(role) = found else { continue };
                    &mut role.log
                }
            };
            for listed in log.keys.iter_mut().filter(|listed| listed.vkey == *key) {
                listed.until = listed.until.or(Some(size));
            }
        }
        note
    }
}

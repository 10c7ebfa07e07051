//! Owners that a `pre-install` is to create first, as packages of services do.
//!
//! What is to be theirs is staged as root's, in a working area that is closed to everybody else.
//! Once the hooks have run, and before anything is backed up or put in place, the names are looked up
//! again and the objects are given away. A name that is still not there undoes the transaction.

use countersign_format::manifest::{FileEntry, FileKind, Owner};
use countersign_format::name::PatchName;

use super::error::{Failure, NoOwner};
use super::goal::{Expected, Goal};
use super::{Component, PrepareError, Prepared};
use crate::hooks::HookKind;
use crate::journal::{self, Operation};
use crate::owner::OwnerError;
use crate::stage::{self, Ownership, Spot};

/// Whose it is until its owner is there.
const UNTIL_THEN: (u32, u32) = (0, 0);

/// What a step puts in place and whose owner is not there yet.
#[derive(Debug)]
pub(super) struct Awaited {
    /// The step's place in the order.
    pub sequence: usize,
    /// The component that brings it.
    pub name: PatchName,
    /// What it is to be.
    pub kind: FileKind,
    /// Where it lies staged.
    pub spot: Spot,
}

/// The numbers to stage a file with; none where owners are left alone. `awaits` says that a
/// `pre-install` of the plan may create an owner that is not there.
pub(super) fn staged_owner(
    ownership: &Ownership,
    awaits: bool,
    name: &PatchName,
    entry: &FileEntry,
) -> Result<Option<(u32, u32)>, PrepareError> {
    let Some(owner) = owner_of(&entry.kind) else { return Ok(None) };
    match ownership.numbers(owner) {
        Err(_) if awaits => Ok(Some(UNTIL_THEN)),
        Err(source) => Err(Box::new(no_owner(name, entry.path.as_str(), owner, source)).into()),
        Ok(numbers) => Ok(numbers),
    }
}

/// The numbers to make a directory with, as [`staged_owner`] for one that was looked at already.
pub(super) fn staged_numbers(ownership: &Ownership, owner: &Owner) -> Option<(u32, u32)> {
    ownership.numbers(owner).unwrap_or(Some(UNTIL_THEN))
}

fn owner_of(kind: &FileKind) -> Option<&Owner> {
    match kind {
        FileKind::File(meta) => Some(&meta.owner),
        FileKind::Directory { owner, .. } => Some(owner),
        FileKind::Link { .. } => None,
    }
}

fn no_owner(name: &PatchName, path: &str, owner: &Owner, source: OwnerError) -> NoOwner {
    let owner = owner.as_str().to_owned();
    NoOwner { name: name.clone(), path: path.to_owned(), owner, source }
}

impl Component {
    /// Whether hooks of it run before anything is put in place of it.
    fn prepares(&self) -> bool {
        let is_such = |kind: HookKind| kind == HookKind::PreInstall;
        self.links.iter().any(|link| link.hooks.iter().any(|hook| is_such(hook.kind)))
    }
}

impl Prepared<'_> {
    /// What a goal's object is to be, if it has to wait for its owner; refused where no hook could
    /// create one.
    pub(super) fn awaited(&self, goal: &Goal) -> Result<Option<FileKind>, PrepareError> {
        let expected = goal.want.as_ref().map(|want| &want.expected);
        let Some(Expected::Entry(kind)) = expected else { return Ok(None) };
        let Some(owner) = owner_of(kind) else { return Ok(None) };
        match self.ownership.numbers(owner) {
            Ok(_) => Ok(None),
            Err(_) if self.components.iter().any(Component::prepares) => Ok(Some(kind.clone())),
            Err(source) => {
                Err(Box::new(no_owner(&goal.name, goal.path.as_str(), owner, source)).into())
            }
        }
    }

    /// Gives what waited to its owners, who must be there by now: in the journal first, so that it
    /// never says less than what is put in place.
    pub(super) fn settle_owners(&mut self) -> Result<(), Failure> {
        let awaited = std::mem::take(&mut self.awaited);
        if awaited.is_empty() {
            return Ok(());
        }
        self.ownership = Ownership::of(self.root)?;
        let mut owners = Vec::with_capacity(awaited.len());
        for Awaited { sequence, name, kind, spot } in &awaited {
            let step = &mut self.steps[*sequence];
            let Some(owner) = owner_of(kind) else { continue };
            let numbers = self
                .ownership
                .numbers(owner)
                .map_err(|source| Box::new(no_owner(name, step.path.as_str(), owner, source)))?;
            let Some((uid, gid)) = numbers else { continue };
            step.new = step.new.take().map(|new| new.owned_by(uid, gid));
            owners.push((*sequence, (kind, spot), (uid, gid)));
        }
        let database = self.database.begin()?;
        for (sequence, ..) in &owners {
            let new = self.steps[*sequence].new.as_ref();
            journal::change_new(&database, self.transaction, *sequence, new)?;
        }
        database.commit().map_err(crate::db::DatabaseError::from)?;
        for (sequence, (kind, spot), owner) in owners {
            let step = &self.steps[sequence];
            // what is there already is set when its turn comes
            if step.operation == Operation::Metadata {
                continue;
            }
            stage::give_away(self.areas.get(step.area), spot, kind, owner).map_err(|source| {
                Failure::Step { what: "give away", path: step.path.to_string(), source }
            })?;
        }
        Ok(())
    }
}

//! Turns decisions into steps, and stages what the steps put in place.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use countersign_format::manifest::{FileKind, LinkTarget};
use countersign_format::name::PatchName;
use countersign_format::relpath::RelPath;
use countersign_store::crash::step;

use super::decide::Decision;
use super::facts::{Decided, Decisions};
use super::goal::{Backup, Expected, Source, Want, same};
use super::owners::{Awaited, staged_numbers};
use super::trees::Trees;
use super::unpack::{note_area, require_space};
use super::{PrepareError, Prepared};
use crate::db::history::Notice;
use crate::journal::{Operation, Step};
use crate::object::{self, Found, Identity, Kind, Stamp};
use crate::root::DirPath;
use crate::stage::{self, Area, Spot, StageError};

/// Bits that a user without privilege needs on a directory to fill it.
const OWNER_BITS: u32 = 0o700;

/// What tells whether a step's objects are still what they were when they were looked at.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Stamps {
    /// Of what was found at the path.
    pub found: Option<Stamp>,
    /// Of the file that lies staged, whose content was hashed.
    pub staged: Option<Stamp>,
}

/// A step with what is needed to carry it out, besides the journal.
#[derive(Debug)]
struct Staged {
    pub step: Step,
    pub stamps: Stamps,
    /// Whose owner a hook is to create first, what it is to be, and where it lies.
    pub awaits: Option<(PatchName, FileKind, Spot)>,
}

/// The order of work: what others need comes first, what is in nobody's way goes last.
fn phase(step: &Step) -> u8 {
    let makes_directory = step.new.as_ref().is_some_and(Identity::is_directory);
    match step.operation {
        Operation::Create | Operation::CreateWithin | Operation::Exchange if makes_directory => 0,
        Operation::Create | Operation::CreateWithin => 1,
        Operation::Replace | Operation::Exchange => 2,
        Operation::Remove => 3,
        Operation::RemoveDirectory => 4,
        Operation::Metadata => 5,
    }
}

impl Prepared<'_> {
    /// Stages every object that the decisions need, and fills in steps and notices.
    pub(super) fn stage(&mut self, decisions: Decisions) -> Result<(), PrepareError> {
        let Decisions { mut decided, notices } = decisions;
        self.notices.extend(notices);
        self.check_backup_space(&decided)?;
        let trees = self.find_trees(&mut decided)?;
        let mut staged = Vec::with_capacity(decided.len());
        for decided in decided {
            self.stage_one(decided, &trees, &mut staged)?;
        }
        // directories from the top down, but removed from the bottom up
        staged.sort_by(|left, right| {
            let order = left.step.path.cmp(&right.step.path);
            let order = if left.step.operation == Operation::RemoveDirectory {
                order.reverse()
            } else {
                order
            };
            phase(&left.step).cmp(&phase(&right.step)).then(order)
        });
        for (sequence, Staged { step, stamps, awaits }) in staged.into_iter().enumerate() {
            self.steps.push(step);
            self.stamps.push(stamps);
            let awaited = awaits.map(|(name, kind, spot)| Awaited { sequence, name, kind, spot });
            self.awaited.extend(awaited);
        }
        Ok(())
    }

    /// Files that are brought back are copied, which takes space that unpacking did not count.
    fn check_backup_space(&mut self, decided: &[Decided]) -> Result<(), PrepareError> {
        let mut needed = std::collections::HashMap::<usize, Vec<u64>>::new();
        for decided in decided {
            let Some(Want { expected, source: Source::Backup(_) }) = &decided.goal.want else {
                continue;
            };
            if let Expected::Identity(Identity::File { size, .. }) = expected {
                let area = self.area_of(&DirPath::of(&decided.goal.path))?;
                needed.entry(area).or_default().push(*size);
            }
        }
        needed.into_iter().try_for_each(|(area, sizes)| require_space(&self.areas, area, &sizes))
    }

    pub(super) fn area_of(&mut self, directory: &DirPath) -> Result<usize, StageError> {
        self.areas.for_directory(directory, &mut note_area(self.database, self.transaction))
    }

    fn stage_one(
        &mut self,
        decided: Decided,
        trees: &Trees,
        staged: &mut Vec<Staged>,
    ) -> Result<(), PrepareError> {
        let Decided { goal, decision, found, stamp, aside } = decided;
        let path = goal.path.clone();
        let berth = trees.berth(&path).filter(|_| decision == Decision::Create);
        let operation = match decision {
            Decision::Create if berth.as_ref().is_some_and(|berth| berth.is_within) => {
                Operation::CreateWithin
            }
            Decision::Create => Operation::Create,
            Decision::Replace => Operation::Replace,
            Decision::Exchange => Operation::Exchange,
            Decision::Remove => Operation::Remove,
            Decision::RemoveDirectory => Operation::RemoveDirectory,
            Decision::Metadata => Operation::Metadata,
            Decision::Leave | Decision::Stay | Decision::KeepConfig | Decision::Refuse(_) => {
                return Ok(());
            }
        };
        let area = match &berth {
            Some(berth) => berth.area,
            None => self.area_of(&DirPath::of(&path))?,
        };
        let awaits = self.awaited(&goal)?;
        let mut stamps = Stamps { found: stamp, staged: None };
        let (lies_at, new) = match (&goal.want, operation) {
            (Some(want), Operation::Metadata) => {
                (self.areas.slot().into(), Some(self.wanted_directory(want)))
            }
            (Some(want), _) => {
                let berth = berth.map(|berth| berth.spot);
                let (at, is_copy) = self.materialise(&path, want, area, berth)?;
                let (new, staged) = self.staged_identity((area, &at, is_copy), &path, want)?;
                stamps.staged = staged;
                (at, Some(new))
            }
            (None, _) => (self.areas.slot().into(), None),
        };
        // what is kept of it, should it come to that, is kept under a number of its own
        let slot = if lies_at.below.is_some() { self.areas.slot() } else { lies_at.slot };
        let awaits = awaits.map(|kind| (goal.name.clone(), kind, lies_at));
        if aside {
            let at = stage::area_path(self.areas.get(area).at());
            let copy = format!("{at}/backup/{}/{slot}", self.transaction);
            self.notices.push(Notice::KeptAside { path: path.to_string(), copy });
        }
        let later = self.metadata_later(goal.want.as_ref(), new.as_ref());
        let step = Step { operation, path, area, slot, old: found, new, aside };
        if let Some(metadata) = later {
            let slot = self.areas.slot();
            let old = step.new.clone();
            let operation = Operation::Metadata;
            let path = step.path.clone();
            let later =
                Step { operation, path, area, slot, old, new: Some(metadata), aside: false };
            staged.push(Staged { step: later, stamps: Stamps::default(), awaits: None });
        }
        staged.push(Staged { step, stamps, awaits });
        Ok(())
    }

    /// A user without privilege cannot fill a directory that is closed to them: its mode is set
    /// when everything is in it.
    fn metadata_later(&self, want: Option<&Want>, new: Option<&Identity>) -> Option<Identity> {
        match (want, new) {
            (Some(want), Some(Identity::Directory { mode, .. })) => {
                let wanted = self.wanted_directory(want);
                let is_other = matches!(wanted, Identity::Directory { mode: m, .. } if m != *mode);
                is_other.then_some(wanted)
            }
            _ => None,
        }
    }

    /// Mode and owner that a wanted directory is to have in the end.
    fn wanted_directory(&self, want: &Want) -> Identity {
        let user = self.root.user();
        match &want.expected {
            Expected::Entry(FileKind::Directory { mode, owner }) => {
                let numbers = staged_numbers(&self.ownership, owner);
                // without privilege only the mode is ever set
                let (uid, gid) = numbers.unwrap_or((user, user));
                Identity::Directory { mode: mode.bits(), uid, gid }
            }
            Expected::Identity(identity) => identity.clone(),
            Expected::Entry(_) => Identity::Other,
        }
    }

    /// Puts a wanted object into the staging directory of the area that it is placed from: into its
    /// berth, or else a slot of its own. Returns where it is, and whether it had to be copied there.
    fn materialise(
        &mut self,
        path: &RelPath,
        want: &Want,
        area: usize,
        berth: Option<Spot>,
    ) -> Result<(Spot, bool), PrepareError> {
        let failed = |source| StageError::Object { path: path.to_string(), source };
        if let Source::Staged(staged) = &want.source
            && staged.area == area
        {
            let Some(berth) = berth.filter(|berth| staged.spot != *berth) else {
                return Ok((staged.spot.clone(), false));
            };
            staged.spot.move_to(&berth, self.areas.get(area)).map_err(failed)?;
            return Ok((berth, false));
        }
        let spot = berth.unwrap_or_else(|| self.areas.slot().into());
        let to = self.areas.get(area);
        match &want.source {
            Source::Staged(staged) => {
                let from = staged.spot.open_directory(self.areas.get(staged.area).staging());
                let name = staged.spot.file_name();
                from.and_then(|from| self.copy((from.as_fd(), &name), to, &spot))
                    .map_err(failed)?;
            }
            Source::Backup(backup) => {
                let (from, name) = self.open_backup(path.as_str(), backup)?;
                self.copy((from.as_fd(), &name), to, &spot).map_err(failed)?;
            }
            Source::Make => self.make(to, &spot, want).map_err(failed)?,
        }
        Ok((spot, true))
    }

    fn copy(&self, from: (BorrowedFd<'_>, &str), to: &Area, spot: &Spot) -> io::Result<()> {
        let keep_owner = self.root.is_privileged();
        let (directory, name) = (spot.make_directory(to.staging())?, spot.file_name());
        step("transaction.stage", || object::copy(from, (directory.as_fd(), &name), keep_owner))
    }

    fn make(&self, to: &Area, spot: &Spot, want: &Want) -> io::Result<()> {
        let privileged = self.root.is_privileged();
        let link = |target: &LinkTarget| {
            stage::make_staged_link(to, spot, target, privileged.then_some((0, 0)))
        };
        match (&want.expected, self.wanted_directory(want)) {
            (Expected::Entry(FileKind::Link { target }), _) => link(target),
            (Expected::Identity(Identity::Link { target }), _) => match target.parse() {
                Ok(target) => link(&target),
                Err(error) => Err(io::Error::other(format!("{error}"))),
            },
            (_, Identity::Directory { mode, uid, gid }) => {
                let mode = if privileged { mode } else { mode | OWNER_BITS };
                stage::make_staged_directory(to, spot, mode, privileged.then_some((uid, gid)))
            }
            _ => Err(io::Error::other("only directories and symlinks are made from nothing")),
        }
    }

    fn open_backup(
        &self,
        path: &str,
        backup: &Backup,
    ) -> Result<(std::os::fd::OwnedFd, String), PrepareError> {
        let damaged = |_| PrepareError::BackupDamaged {
            path: path.to_owned(),
            transaction: backup.transaction,
            problem: "gone",
        };
        let slot = format!(
            "{}/backup/{}/{}",
            stage::area_path(&backup.at),
            backup.transaction,
            backup.slot
        );
        let whole = match &backup.below {
            None => slot,
            Some(below) => format!("{slot}/{below}"),
        };
        let whole: RelPath = whole
            .parse()
            .map_err(|source| crate::root::RootError::Path { path: path.to_owned(), source })?;
        let parent = self.root.open_parent(&whole).map_err(damaged)?;
        match object::look(&parent, whole.file_name()) {
            Ok(Some(Found { kind: Kind::File, .. })) => Ok((parent, whole.file_name().to_owned())),
            _ => Err(damaged(crate::root::RootError::TooManyLinks(String::new()))),
        }
    }

    /// What lies staged, checked to be what is wanted, and a file's stamp.
    fn staged_identity(
        &self,
        (area, spot, is_copy): (usize, &Spot, bool),
        path: &RelPath,
        want: &Want,
    ) -> Result<(Identity, Option<Stamp>), PrepareError> {
        let failed = |source| StageError::Object { path: path.to_string(), source };
        let gone = || failed(io::Error::from(io::ErrorKind::NotFound));
        let name = spot.file_name();
        let open = || spot.open_directory(self.areas.get(area).staging()).map_err(failed);
        let look = || object::look(open()?, &*name).map_err(failed)?.ok_or_else(gone);
        // what was hashed while it was unpacked needs no second reading
        if let Expected::Entry(FileKind::File(meta)) = &want.expected {
            let Found { mode, uid, gid, stamp, .. } = match &want.source {
                Source::Staged(staged) if !is_copy => staged.found,
                _ => look()?,
            };
            let encode = |value: &Vec<u8>| data_encoding::BASE64.encode(value);
            let attributes = meta.xattrs.iter();
            let xattrs = attributes.map(|(name, value)| (name.clone(), encode(value))).collect();
            let (size, sha256) = (meta.size, meta.sha256);
            return Ok((Identity::File { mode, uid, gid, size, sha256, xattrs }, Some(stamp)));
        }
        let stamp = look()?.stamp;
        let found = object::identify(open()?, &*name).map_err(failed)?.ok_or_else(gone)?;
        if let (Expected::Identity(expected), Source::Backup(backup)) =
            (&want.expected, &want.source)
            && !same(expected, &found, &self.ownership)
        {
            return Err(PrepareError::BackupDamaged {
                path: path.to_string(),
                transaction: backup.transaction,
                problem: "not what was backed up",
            });
        }
        Ok((found, Some(stamp)))
    }
}

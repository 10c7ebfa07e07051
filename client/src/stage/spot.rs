//! Where objects lie in staging. What is for a directory that is not there lies in a tree: a directory
//! in a slot that is filled like it and put in place whole, by one rename.
//!
//! System calls: `mkdirat`, `openat`, `openat2`, `renameat2`, `unlinkat`.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use countersign_format::relpath::RelPath;
use countersign_store::crash::step;
use rustix::fs::{Mode, OFlags, RenameFlags, ResolveFlags};

use super::{Area, Areas, StageError, name};
use crate::object::{self, Kind};
use crate::root::{DirPath, Resolved};

/// A place in an area's staging directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spot {
    /// The slot.
    pub slot: u64,
    /// Where in the slot, if it holds a tree.
    pub below: Option<RelPath>,
}

/// An open directory of staging.
#[derive(Debug)]
pub enum StagingDirectory<'a> {
    /// The one that holds the slots.
    Slots(BorrowedFd<'a>),
    /// One in a tree.
    Tree(OwnedFd),
}

impl AsFd for StagingDirectory<'_> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Slots(directory) => *directory,
            Self::Tree(directory) => directory.as_fd(),
        }
    }
}

impl From<u64> for Spot {
    fn from(slot: u64) -> Self {
        Self { slot, below: None }
    }
}

impl Spot {
    /// The spot of `path` in a slot whose tree is for the directory `top`.
    pub fn in_tree(slot: u64, top: &RelPath, path: &RelPath) -> Self {
        let below = path.as_str().strip_prefix(top.as_str());
        let below = below.and_then(|below| below.strip_prefix('/'));
        let parse = |below: &str| below.parse().expect("what follows a `/` in a path is one");
        Self { slot, below: below.map(parse) }
    }

    /// The spot of another name in the same directory of a tree; none for a slot, or where the path
    /// would be too long.
    pub fn beside(&self, name: &str) -> Option<Self> {
        let below = DirPath::of(self.below.as_ref()?).join(name).ok()?;
        Some(Self { slot: self.slot, below: Some(below) })
    }

    /// Whether another spot is in the same directory.
    pub fn is_beside(&self, other: &Self) -> bool {
        // empty for what is at the top of a tree, none for a slot
        fn above(spot: &Spot) -> Option<&str> {
            let below = spot.below.as_ref()?.as_str();
            Some(below.rsplit_once('/').map_or("", |(above, _)| above))
        }
        let (this, that) = (above(self), above(other));
        this == that && (this.is_none() || self.slot == other.slot)
    }

    /// The name in its directory.
    pub fn file_name(&self) -> String {
        self.below.as_ref().map_or_else(|| name(self.slot), |below| below.file_name().to_owned())
    }

    /// Opens the directory that it is in, which must be there.
    pub fn open_directory<'a>(&self, staging: BorrowedFd<'a>) -> io::Result<StagingDirectory<'a>> {
        let Some(below) = &self.below else { return Ok(StagingDirectory::Slots(staging)) };
        let slot = name(self.slot);
        let path = match DirPath::of(below).as_path() {
            None => slot,
            Some(above) => format!("{slot}/{above}"),
        };
        open_beneath(staging, &path).map(StagingDirectory::Tree)
    }

    /// Opens the directory that it is in, and makes what is missing of it, closed to others.
    pub fn make_directory<'a>(&self, staging: BorrowedFd<'a>) -> io::Result<StagingDirectory<'a>> {
        let Some(below) = &self.below else { return Ok(StagingDirectory::Slots(staging)) };
        match self.open_directory(staging) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            open => return open,
        }
        let mut open = make(staging, &name(self.slot))?;
        if let Some(above) = DirPath::of(below).as_path() {
            for part in above.parts() {
                open = make(open.as_fd(), part)?;
            }
        }
        Ok(StagingDirectory::Tree(open))
    }

    /// Moves what is here to another spot of the same area, where nothing may be.
    pub fn move_to(&self, other: &Self, area: &Area) -> io::Result<()> {
        let from = self.open_directory(area.staging())?;
        let to = other.make_directory(area.staging())?;
        let (name, other) = (self.file_name(), other.file_name());
        step("transaction.gather", || {
            Ok(rustix::fs::renameat_with(from, &*name, to, &*other, RenameFlags::NOREPLACE)?)
        })
    }

    /// Removes what is here, and all below it.
    pub fn remove(&self, area: &Area) -> io::Result<()> {
        object::remove_all(self.open_directory(area.staging())?, &self.file_name())
    }
}

/// Makes a directory unless it is there, and opens it.
fn make(parent: BorrowedFd<'_>, name: &str) -> io::Result<OwnedFd> {
    step("transaction.stage", || match rustix::fs::mkdirat(parent, name, Mode::RWXU) {
        Ok(()) | Err(rustix::io::Errno::EXIST) => Ok(()),
        Err(error) => Err(error.into()),
    })?;
    object::open_directory(parent, name)
}

impl Areas<'_> {
    /// Where to stage what is for a resolved path: the area, and the spot in it. `note` is as for
    /// [`Areas::for_directory`].
    pub fn spot_for(
        &mut self,
        resolved: &Resolved,
        note: &mut dyn FnMut(usize, &DirPath) -> Result<(), StageError>,
    ) -> Result<(usize, Spot), StageError> {
        let area = self.for_directory(&DirPath::of(&resolved.path), note)?;
        let Some(top) = resolved.first_absent() else { return Ok((area, self.slot().into())) };
        let slot = self.tree(area, &top);
        Ok((area, Spot::in_tree(slot, &top, &resolved.path)))
    }

    /// The slot of the tree for a directory that is not there.
    pub fn tree(&mut self, area: usize, top: &RelPath) -> u64 {
        if let Some((_, slot)) = self.trees.get(top).filter(|(its, _)| *its == area) {
            return *slot;
        }
        let slot = self.slot();
        self.trees.insert(top.clone(), (area, slot));
        slot
    }
}

/// Removes from a tree all that does not belong there. `wanted` says what belongs at a path beneath the
/// install root, as the tree for `top` will have them: a directory, something else, or nothing.
pub fn weed(
    area: &Area,
    slot: u64,
    top: &RelPath,
    wanted: impl Fn(&str) -> Option<bool>,
) -> io::Result<()> {
    let mut ahead = vec![top.to_string()];
    while let Some(path) = ahead.pop() {
        let below = &path[top.as_str().len()..];
        let directory = match open_beneath(area.staging(), &format!("{}{below}", name(slot))) {
            // nothing was staged for it as yet
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            open => open?,
        };
        for (name, kind) in object::entries(&directory)? {
            let name = name.to_string_lossy();
            let path = format!("{path}/{name}");
            let is_directory = kind == Kind::Directory;
            if wanted(&path) != Some(is_directory) {
                step("transaction.weed", || object::remove_all(&directory, &name))?;
            } else if is_directory {
                ahead.push(path);
            }
        }
    }
    Ok(())
}

/// Opens a directory of a tree; a symlink anywhere on the way is an error.
fn open_beneath(staging: BorrowedFd<'_>, path: &str) -> io::Result<OwnedFd> {
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(rustix::fs::openat2(staging, path, flags, Mode::empty(), resolve)?)
}

//! Open parent directories: one path walk a directory, not one a file.

use std::os::fd::OwnedFd;

use countersign_format::relpath::RelPath;

use super::{DirPath, Root, RootError, is_absent};
use crate::object::{self, Found, Identity, Kind};

/// The last opened parent directory. Paths that come in order mostly share it with the one before.
///
/// Whoever exchanges or removes directories meanwhile says so by [`Parents::forget`].
#[derive(Debug)]
pub struct Parents<'r> {
    root: &'r Root,
    /// The directory, and its handle where it is there.
    last: Option<(DirPath, Option<OwnedFd>)>,
}

impl<'r> Parents<'r> {
    /// None is open as yet.
    pub fn new(root: &'r Root) -> Self {
        Self { root, last: None }
    }

    /// The directory of a resolved path, which must be there.
    pub fn of(&mut self, path: &RelPath) -> Result<&OwnedFd, RootError> {
        let is_open = matches!(&self.last, Some((last, Some(_))) if last.holds(path));
        if !is_open {
            let directory = DirPath::of(path);
            let open = self.root.open_directory(&directory)?;
            self.last = Some((directory, Some(open)));
        }
        let open = self.last.as_ref().and_then(|(_, open)| open.as_ref());
        Ok(open.expect("it is open, or was just opened"))
    }

    /// The directory of a resolved path; none where it, or one above it, is absent.
    pub fn find(&mut self, path: &RelPath) -> Result<Option<&OwnedFd>, RootError> {
        if self.last.as_ref().is_none_or(|(last, _)| !last.holds(path)) {
            let directory = DirPath::of(path);
            let open = match self.root.open_directory(&directory) {
                Ok(open) => Some(open),
                Err(RootError::Io { source, .. }) if is_absent(&source) => None,
                Err(error) => return Err(error),
            };
            self.last = Some((directory, open));
        }
        Ok(self.last.as_ref().and_then(|(_, open)| open.as_ref()))
    }

    /// Looks at a resolved path, as [`Root::look`].
    pub fn look(&mut self, path: &RelPath) -> Result<Option<Found>, RootError> {
        let Some(parent) = self.find(path)? else { return Ok(None) };
        object::look(parent, path.file_name())
            .map_err(|source| super::io_error("look at", path.as_str(), source))
    }

    /// The identity of the object at a resolved path, as [`Root::identify`].
    pub fn identify(&mut self, path: &RelPath) -> Result<Option<Identity>, RootError> {
        let Some(parent) = self.find(path)? else { return Ok(None) };
        object::identify(parent, path.file_name())
            .map_err(|source| super::io_error("read", path.as_str(), source))
    }

    /// Whether a directory is at a resolved path.
    pub fn is_directory(&mut self, path: &RelPath) -> Result<bool, RootError> {
        Ok(self.look(path)?.is_some_and(|found| found.kind == Kind::Directory))
    }

    /// Closes what is open: what is at the path may be another directory by now.
    pub fn forget(&mut self) {
        self.last = None;
    }
}

//! Where paths lead: part by part, through symlinks that are trusted, as things will be once a plan is
//! carried out.

use std::collections::HashMap;
use std::fmt;

use countersign_format::relpath::{RelPath, RelPathError};

use super::{DirPath, Root, RootError, io_error};
use crate::object::Kind;

/// Most symlinks followed on one path, as Linux has it.
pub const MAX_LINKS: usize = 40;

/// Where a path really leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolved {
    /// The path with every symlinked directory above it replaced by where it leads. The last part
    /// itself is not followed.
    pub path: RelPath,
    /// How many of the directories above it, counted from the innermost, are absent.
    pub absent: usize,
}

impl Resolved {
    /// The outermost of the directories above it that are absent.
    pub fn first_absent(&self) -> Option<RelPath> {
        let above = self.path.parts().count() - 1;
        let first = above.checked_sub(self.absent).filter(|_| self.absent > 0)?;
        self.path.ancestors().nth(first)
    }
}

/// Resolves paths as they will be once a plan is carried out, and remembers directories.
pub struct Resolver<'r> {
    root: &'r Root,
    becomes: HashMap<RelPath, Becomes>,
    known: HashMap<DirPath, (DirPath, usize)>,
    /// The directory of the last path. Paths that come in order mostly share it.
    last: Option<Known>,
}

/// A directory as it was given, and where it leads.
struct Known {
    given: DirPath,
    leads: DirPath,
    absent: usize,
}

/// What a resolved path will be, against what it is now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Becomes {
    /// A directory of the plan's own making, whatever is there now.
    Directory,
    /// Nothing, or at least nothing that leads on.
    Absent,
}

impl<'r> Resolver<'r> {
    /// A walker of the root as it is.
    pub fn new(root: &'r Root) -> Self {
        Self { root, becomes: HashMap::new(), known: HashMap::new(), last: None }
    }

    /// A walker of the root as it will be.
    pub fn with(root: &'r Root, becomes: HashMap<RelPath, Becomes>) -> Self {
        Self { root, becomes, known: HashMap::new(), last: None }
    }

    /// Resolves every directory above `path`.
    pub fn resolve(&mut self, path: &RelPath) -> Result<Resolved, RootError> {
        let last = self.last.take().filter(|last| last.given.holds(path));
        let last = if let Some(last) = last {
            last
        } else {
            let given = DirPath::of(path);
            let (leads, absent) = self.resolve_directory(&given)?;
            Known { given, leads, absent }
        };
        let Known { leads, absent, .. } = self.last.insert(last);
        let resolved = leads
            .join(path.file_name())
            .map_err(|source| RootError::Path { path: path.as_str().to_owned(), source })?;
        Ok(Resolved { path: resolved, absent: *absent })
    }

    /// Resolves a directory, its last part too, and counts its absent parts.
    pub fn resolve_directory(&mut self, given: &DirPath) -> Result<(DirPath, usize), RootError> {
        if let Some(known) = self.known.get(given) {
            return Ok(known.clone());
        }
        let resolved = self.walk(given)?;
        self.known.insert(given.clone(), resolved.clone());
        Ok(resolved)
    }

    fn walk(&self, given: &DirPath) -> Result<(DirPath, usize), RootError> {
        let bad = |source| RootError::Path { path: given.as_str().to_owned(), source };
        let mut ahead: Vec<String> = given.as_str().rsplit('/').map(str::to_owned).collect();
        let (mut at, mut absent, mut links) = (DirPath::ROOT, 0_usize, 0);
        while let Some(part) = ahead.pop() {
            match &*part {
                "" | "." => continue,
                ".." => {
                    absent = absent.saturating_sub(1);
                    at = at.parent().unwrap_or_default();
                    continue;
                }
                _ => {}
            }
            let next = at.join(&part).map_err(bad)?;
            if absent > 0 {
                absent += 1;
                at = next.into();
                continue;
            }
            match self.step(&next)? {
                Part::Directory => at = next.into(),
                Part::Absent => {
                    absent = 1;
                    at = next.into();
                }
                Part::Link(target) => {
                    links += 1;
                    if links > MAX_LINKS {
                        return Err(RootError::TooManyLinks(given.as_str().to_owned()));
                    }
                    if target.starts_with('/') {
                        at = DirPath::ROOT;
                    }
                    ahead.extend(target.rsplit('/').map(str::to_owned));
                }
            }
        }
        Ok((at, absent))
    }

    /// What one part of a path is, seen from its already resolved directory.
    fn step(&self, path: &RelPath) -> Result<Part, RootError> {
        match self.becomes.get(path) {
            // what will be a directory may be absent as yet; its parts are then absent too
            Some(Becomes::Directory) => {
                let is = self.root.look(path)?.is_some_and(|found| found.kind == Kind::Directory);
                return Ok(if is { Part::Directory } else { Part::Absent });
            }
            Some(Becomes::Absent) => return Ok(Part::Absent),
            None => {}
        }
        let Some(found) = self.root.look(path)? else { return Ok(Part::Absent) };
        match found.kind {
            Kind::Directory => Ok(Part::Directory),
            Kind::Link if self.root.trusts(found.uid) => {
                let parent = self.root.open_parent(path)?;
                let target = rustix::fs::readlinkat(&parent, path.file_name(), Vec::new());
                let target = target
                    .map_err(|source| io_error("read symlink", path.as_str(), source.into()))?;
                target.into_string().map(Part::Link).map_err(|_| RootError::Path {
                    path: path.as_str().to_owned(),
                    source: RelPathError::Utf8,
                })
            }
            Kind::Link => {
                Err(RootError::UntrustedLink { path: path.as_str().to_owned(), owner: found.uid })
            }
            kind => Err(RootError::NotDirectory { path: path.as_str().to_owned(), kind }),
        }
    }
}

impl fmt::Debug for Resolver<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Resolver").field("becomes", &self.becomes).finish_non_exhaustive()
    }
}

enum Part {
    Directory,
    Absent,
    Link(String),
}

//! Compares what is on disk with what was installed.

use countersign_format::manifest::{FileKind, FileMeta, Owner};
use countersign_format::name::PatchName;
use countersign_format::relpath::RelPath;
use data_encoding::BASE64;

use crate::db::installed::InstalledFile;
use crate::db::{Database, DatabaseError};
use crate::object::{Identity, Kind};
use crate::parallel;
use crate::report::{Event, Reporter};
use crate::root::{Parents, Root, RootError};
use crate::stage::Ownership;

/// How a path differs from its manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Deviation {
    /// Nothing is there.
    Missing,
    /// Something of another kind is there.
    Kind {
        /// What must be there.
        expected: Kind,
        /// What is.
        found: Kind,
    },
    /// Something is where nothing must be.
    Unexpected {
        /// What is there.
        found: Kind,
    },
    /// A file's content is another.
    Content,
    /// Permission bits differ.
    Mode {
        /// What they must be.
        expected: u32,
        /// What they are.
        found: u32,
    },
    /// The owner differs.
    Owner {
        /// Who must own it.
        expected: String,
        /// The user and group who do.
        found: (u32, u32),
    },
    /// A symlink points elsewhere.
    Target {
        /// Where it must point.
        expected: String,
        /// Where it does.
        found: String,
    },
    /// An extended attribute is absent or has another value.
    Attribute(String),
    /// It cannot be read.
    Unreadable(String),
}

impl std::fmt::Display for Deviation {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Missing => formatter.write_str("missing"),
            Self::Kind { expected, found } => write!(formatter, "is a {found}, not a {expected}"),
            Self::Unexpected { found } => write!(formatter, "a {found} is there again"),
            Self::Content => formatter.write_str("content differs"),
            Self::Mode { expected, found } => {
                write!(formatter, "mode is {found:04o}, not {expected:04o}")
            }
            Self::Owner { expected, found: (user, group) } => {
                write!(formatter, "owner is {user}:{group}, not {expected}")
            }
            Self::Target { expected, found } => {
                write!(formatter, "points at {found:?}, not {expected:?}")
            }
            Self::Attribute(name) => write!(formatter, "extended attribute {name} differs"),
            Self::Unreadable(reason) => write!(formatter, "cannot be read: {reason}"),
        }
    }
}

/// One difference between a machine and a manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The component.
    pub name: PatchName,
    /// The path, relative to the root.
    pub path: RelPath,
    /// What differs.
    pub deviation: Deviation,
    /// Whether it is a configuration file, which an administrator may change.
    pub config: bool,
}

/// Why a comparison could not be made.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// The state database.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// The root.
    #[error(transparent)]
    Root(#[from] RootError),
    /// No such component is installed.
    #[error("{0} is not installed")]
    NotInstalled(PatchName),
}

/// What an object differs in from what a manifest says; all of it, not only the first.
pub fn deviations(kind: &FileKind, found: Option<&Identity>, owners: &Ownership) -> Vec<Deviation> {
    let Some(found) = found else { return vec![Deviation::Missing] };
    match (kind, found) {
        (FileKind::File(meta), Identity::File { mode, uid, gid, size, sha256, xattrs }) => {
            let mut all = Vec::new();
            if (meta.size, meta.sha256) != (*size, *sha256) {
                all.push(Deviation::Content);
            }
            all.extend(mode_and_owner(meta.mode.bits(), &meta.owner, (*mode, *uid, *gid), owners));
            all.extend(attributes(meta, xattrs, owners));
            all
        }
        (FileKind::Directory { mode, owner }, Identity::Directory { mode: is, uid, gid }) => {
            mode_and_owner(mode.bits(), owner, (*is, *uid, *gid), owners)
        }
        (FileKind::Link { target }, Identity::Link { target: found }) => {
            if target.as_str() == found {
                Vec::new()
            } else {
                vec![Deviation::Target { expected: target.to_string(), found: found.clone() }]
            }
        }
        _ => vec![Deviation::Kind { expected: expected_kind(kind), found: found.kind() }],
    }
}

/// Whether an object is what a manifest says.
pub fn fits(kind: &FileKind, found: &Identity, owners: &Ownership) -> bool {
    deviations(kind, Some(found), owners).is_empty()
}

/// The kind of object that a manifest says.
pub fn expected_kind(kind: &FileKind) -> Kind {
    match kind {
        FileKind::File(_) => Kind::File,
        FileKind::Directory { .. } => Kind::Directory,
        FileKind::Link { .. } => Kind::Link,
    }
}

fn mode_and_owner(
    mode: u32,
    owner: &Owner,
    found: (u32, u32, u32),
    owners: &Ownership,
) -> Vec<Deviation> {
    let (found_mode, uid, gid) = found;
    let mut all = Vec::new();
    if mode != found_mode {
        all.push(Deviation::Mode { expected: mode, found: found_mode });
    }
    let is_owner = match owners {
        Ownership::AllOf(user) => uid == *user,
        Ownership::Named(owners) => owners.find(owner.as_str()) == Ok((uid, gid)),
    };
    if !is_owner {
        let expected = match owners {
            Ownership::AllOf(user) => user.to_string(),
            Ownership::Named(_) => owner.to_string(),
        };
        all.push(Deviation::Owner { expected, found: (uid, gid) });
    }
    all
}

fn attributes(
    meta: &FileMeta,
    found: &std::collections::BTreeMap<String, String>,
    owners: &Ownership,
) -> Vec<Deviation> {
    let is_set = |name: &str| matches!(owners, Ownership::Named(_)) || name.starts_with("user.");
    meta.xattrs
        .iter()
        .filter(|(name, value)| is_set(name) && found.get(*name) != Some(&BASE64.encode(value)))
        .map(|(name, _)| Deviation::Attribute(name.clone()))
        .collect()
}

/// Compares the files of installed components with their manifests; of all components when no name
/// is given. Differences come in order of names and paths.
pub fn verify_installed(
    database: &Database,
    root: &Root,
    names: &[PatchName],
    reporter: &mut dyn Reporter,
) -> Result<Vec<Difference>, VerifyError> {
    let components = if names.is_empty() {
        database.installed()?
    } else {
        let find = |name: &PatchName| {
            let found = database.find_installed(name)?;
            found.ok_or_else(|| VerifyError::NotInstalled(name.clone()))
        };
        names.iter().map(find).collect::<Result<_, _>>()?
    };
    let mut differences = Vec::new();
    for component in components {
        let owners = match component.installer {
            0 => Ownership::Named(root.owners()?),
            user => Ownership::AllOf(user),
        };
        let files = database.installed_files(&component.name)?;
        for (file, deviations) in files.iter().zip(compare(root, &files, &owners, reporter)) {
            differences.extend(deviations.into_iter().map(|deviation| Difference {
                name: component.name.clone(),
                path: file.entry.path.clone(),
                deviation,
                config: is_config(&file.entry.kind),
            }));
        }
    }
    Ok(differences)
}

/// Whether a manifest expects an administrator to change this.
pub fn is_config(kind: &FileKind) -> bool {
    matches!(kind, FileKind::File(FileMeta { config: true, .. }))
}

/// What each file differs in.
pub(crate) fn compare(
    root: &Root,
    files: &[InstalledFile],
    owners: &Ownership,
    reporter: &mut dyn Reporter,
) -> Vec<Vec<Deviation>> {
    let total = files.len();
    reporter.report(&Event::Verifying { done: 0, total });
    let begin = || Parents::new(root);
    let all = parallel::map(files, begin, |parents, file| compare_one(parents, file, owners));
    reporter.report(&Event::Verifying { done: total, total });
    all
}

fn compare_one(
    parents: &mut Parents<'_>,
    file: &InstalledFile,
    owners: &Ownership,
) -> Vec<Deviation> {
    match parents.identify(&file.resolved) {
        Ok(found) => deviations(&file.entry.kind, found.as_ref(), owners),
        Err(error) => {
            let source = std::error::Error::source(&error).map(ToString::to_string);
            vec![Deviation::Unreadable(source.unwrap_or_else(|| error.to_string()))]
        }
    }
}

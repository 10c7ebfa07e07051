//! The directory of one role: `config.toml`, `keys/`, `incoming/`, `state/`, `public/`, `lock`.
//!
//! `public/` is what others may read. Nothing secret is ever below it.

use std::ffi::OsString;
use std::fmt;
use std::fs::{self, DirBuilder, File};
use std::io::{self, Read as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use countersign_format::layout::Log;
use countersign_format::time::Timestamp;
use countersign_store::durable::{self, Access};
use countersign_store::{Holder, Lock, LockError};
use countersign_terminal::{ExitStatus, Failure};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::config::{self, ConfigError};

/// How long a command waits for another one that changes the same directory.
pub const LOCK_PATIENCE: Duration = Duration::from_secs(300);

/// What a directory is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Says which keys hold which role.
    Authority,
    /// Says where servers are.
    Directory,
    /// Collects and tests patches; gives the first signature.
    Collection,
    /// Releases patches; gives the second signature.
    Distribution,
    /// Cosigns heads that extend those that it cosigned before.
    Witness,
}

/// The directory of one role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoleDir {
    path: PathBuf,
}

/// Why a role's directory was not made or not opened.
#[derive(Debug, thiserror::Error)]
pub enum RoleDirError {
    /// There is something already where it was to be made.
    #[error("{0} exists already and is not an empty directory")]
    Exists(PathBuf),
    /// Making it was interrupted before.
    #[error("{0} is left from an init that was interrupted")]
    Interrupted(PathBuf),
    /// There is no `config.toml`.
    #[error("{path} is not the directory of {} {role}", role.article())]
    NotThere {
        /// The directory.
        path: PathBuf,
        /// The role that was expected.
        role: Role,
    },
    /// It is another role's.
    #[error("{path} is the directory of {} {found}, not of {} {expected}",
        found.article(), expected.article())]
    OtherRole {
        /// The directory.
        path: PathBuf,
        /// The role that was expected.
        expected: Role,
        /// The role that it has.
        found: Role,
    },
    /// Reading or writing failed.
    #[error("cannot {action} {path}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// A file is longer than its kind may be.
    #[error("{path} is longer than {limit} bytes")]
    TooLong {
        /// The file.
        path: PathBuf,
        /// The bound.
        limit: usize,
    },
    /// Another process changes the directory.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// Its configuration is refused.
    #[error(transparent)]
    Config(#[from] ConfigError),
}

/// The one member of a configuration that every role has; the others are not looked at.
#[derive(Deserialize)]
struct RoleOnly {
    role: Role,
}

impl Role {
    /// The role as it stands in commands, paths and files.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Authority => "authority",
            Self::Directory => "directory",
            Self::Collection => "collection",
            Self::Distribution => "distribution",
            Self::Witness => "witness",
        }
    }

    fn article(self) -> &'static str {
        if self == Self::Authority { "an" } else { "a" }
    }
}

impl From<Log> for Role {
    fn from(log: Log) -> Self {
        match log {
            Log::Collection => Self::Collection,
            Log::Distribution => Self::Distribution,
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl RoleDir {
    /// Makes the directory at `path`: `fill` puts keys, state and `config.toml` into it. It is
    /// there whole or not at all.
    pub fn create<E: From<RoleDirError>>(
        path: &Path,
        fill: impl FnOnce(&Self) -> Result<(), E>,
    ) -> Result<Self, E> {
        create_whole(path, |staging| {
            let directory = Self { path: staging.to_owned() };
            directory.make_rooms().map_err(failed("make", staging))?;
            fill(&directory)
        })?;
        Ok(Self { path: path.to_owned() })
    }

    /// Opens the directory of `role` and reads its configuration.
    pub fn open<T: DeserializeOwned>(path: &Path, role: Role) -> Result<(Self, T), RoleDirError> {
        let directory = Self { path: path.to_owned() };
        let found = directory.role(role)?;
        if found != role {
            return Err(RoleDirError::OtherRole { path: path.into(), expected: role, found });
        }
        let config = config::read(&directory.config())?;
        Ok((directory, config))
    }

    /// The directory of the role whose `public/` is `public`, if it is one's.
    pub(crate) fn of_public(public: &Path) -> Option<Self> {
        let path = fs::canonicalize(public).ok()?.parent()?.to_owned();
        let directory = Self { path };
        let is_role = fs::symlink_metadata(directory.config()).is_ok_and(|config| config.is_file());
        let is_its =
            is_role && fs::canonicalize(directory.public()).ok() == fs::canonicalize(public).ok();
        is_its.then_some(directory)
    }

    /// What the directory is for. `expected` is for the message when it is none.
    fn role(&self, expected: Role) -> Result<Role, RoleDirError> {
        match config::read::<RoleOnly>(&self.config()) {
            Ok(only) => Ok(only.role),
            Err(ConfigError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                Err(RoleDirError::NotThere { path: self.path.clone(), role: expected })
            }
            Err(error) => Err(error.into()),
        }
    }

    /// The directory itself.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// `config.toml`.
    pub fn config(&self) -> PathBuf {
        self.path.join("config.toml")
    }

    /// `keys/`: secrets, mode 0700.
    pub fn keys(&self) -> PathBuf {
        self.path.join("keys")
    }

    /// `incoming/`: what came and is not published yet.
    pub fn incoming(&self) -> PathBuf {
        self.path.join("incoming")
    }

    /// `state/`: what the role remembers and nobody else needs.
    pub fn state(&self) -> PathBuf {
        self.path.join("state")
    }

    /// `public/`: what others may read.
    pub fn public(&self) -> PathBuf {
        self.path.join("public")
    }

    /// `lock`: held by the one process that changes the directory.
    pub fn lock_file(&self) -> PathBuf {
        self.path.join("lock")
    }

    /// Waits until no other process changes the directory, at most [`LOCK_PATIENCE`], and keeps
    /// others out until the lock is dropped. `command` and `now` are what others are told.
    pub fn lock(
        &self,
        command: &str,
        now: Timestamp,
        on_wait: impl FnOnce(Option<&Holder>),
    ) -> Result<Lock, RoleDirError> {
        let this = Holder::this_process(command, now.seconds());
        Ok(Lock::acquire(&self.lock_file(), &this, Some(LOCK_PATIENCE), on_wait)?)
    }

    /// Writes a file of the directory, whole and durably.
    pub fn write(&self, relative: &Path, bytes: &[u8], access: Access) -> Result<(), RoleDirError> {
        durable::write_atomic(&self.path, relative, bytes, access).map_err(|source| {
            RoleDirError::Io { action: "write", path: self.path.join(relative), source }
        })
    }

    /// Reads a file of the directory; `None` if there is none.
    pub fn read(&self, relative: &Path, limit: usize) -> Result<Option<Vec<u8>>, RoleDirError> {
        match read_file(&self.path.join(relative), limit) {
            Err(RoleDirError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                Ok(None)
            }
            read => read.map(Some),
        }
    }

    fn make_rooms(&self) -> io::Result<()> {
        let make = |path: &Path, mode: u32| DirBuilder::new().mode(mode).create(path);
        make(&self.keys(), 0o700)?;
        make(&self.incoming(), 0o755)?;
        make(&self.state(), 0o755)?;
        make(&self.public(), 0o755)
    }
}

/// Makes a directory at `path`, where there is none or an empty one. It is there whole or not at
/// all: `fill` fills it under another name beside `path`, from which it is then renamed.
pub fn create_whole<E: From<RoleDirError>>(
    path: &Path,
    fill: impl FnOnce(&Path) -> Result<(), E>,
) -> Result<(), E> {
    match fs::read_dir(path).map(|mut entries| entries.next().is_none()) {
        Ok(true) => (),
        Err(error) if error.kind() == io::ErrorKind::NotFound => (),
        _ => return Err(RoleDirError::Exists(path.to_owned()).into()),
    }
    let staging = staging_path(path);
    if staging.symlink_metadata().is_ok() {
        return Err(RoleDirError::Interrupted(staging).into());
    }
    DirBuilder::new().mode(0o755).create(&staging).map_err(failed("make", &staging))?;
    let filled = fill(&staging).and_then(|()| {
        sync_tree(&staging)
            .and_then(|()| fs::rename(&staging, path))
            .and_then(|()| File::open(parent(path))?.sync_all())
            .map_err(failed("make", path))
            .map_err(Into::into)
    });
    if filled.is_err() {
        // the first error says more than one about the clean-up would
        let _ = fs::remove_dir_all(&staging);
    }
    filled
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> RoleDirError {
    let path = path.to_owned();
    move |source| RoleDirError::Io { action, path, source }
}

/// Reads a file of at most `limit` bytes.
pub fn read_file(path: &Path, limit: usize) -> Result<Vec<u8>, RoleDirError> {
    // most files are small: one call reads them, another finds their end
    let mut bytes = Vec::with_capacity(limit.min(4096));
    File::open(path)
        .and_then(|file| file.take(limit as u64 + 1).read_to_end(&mut bytes))
        .map_err(|source| RoleDirError::Io { action: "read", path: path.to_owned(), source })?;
    if bytes.len() > limit {
        return Err(RoleDirError::TooLong { path: path.to_owned(), limit });
    }
    Ok(bytes)
}

/// Writes a file that a command was asked to make, whole and durably.
pub fn write_file(path: &Path, bytes: &[u8]) -> Result<(), RoleDirError> {
    let name = Path::new(path.file_name().unwrap_or_default());
    durable::write_atomic(parent(path), name, bytes, Access::Public)
        .map_err(|source| RoleDirError::Io { action: "write", path: path.to_owned(), source })
}

/// `DIR.new`, beside the directory so that renaming it is one step.
fn staging_path(path: &Path) -> PathBuf {
    let mut name: OsString = path.components().as_path().as_os_str().to_owned();
    name.push(".new");
    name.into()
}

fn parent(path: &Path) -> &Path {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    parent.unwrap_or(Path::new("."))
}

fn sync_tree(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        for entry in fs::read_dir(path)? {
            sync_tree(&entry?.path())?;
        }
    }
    File::open(path)?.sync_all()
}

impl From<RoleDirError> for Failure {
    fn from(error: RoleDirError) -> Self {
        let hint = match &error {
            RoleDirError::NotThere { path, role } => {
                Some(format!("make it with: patchrepo {role} init {} --name NAME", path.display()))
            }
            RoleDirError::Interrupted(path) => {
                Some(format!("no key in it was ever used; remove it: rm -r {}", path.display()))
            }
            _ => None,
        };
        let exit = match &error {
            RoleDirError::NotThere { .. } | RoleDirError::OtherRole { .. } => ExitStatus::Usage,
            RoleDirError::Io { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
                ExitStatus::Privilege
            }
            RoleDirError::Lock(LockError::Held { .. }) => ExitStatus::Locked,
            _ => ExitStatus::Failed,
        };
        if let RoleDirError::Config(error) = error {
            return error.into();
        }
        Self::new(exit, error).maybe_hint(hint)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::config::DirectoryConfig;

    fn write_config(directory: &RoleDir) -> Result<(), RoleDirError> {
        let text = "role = \"directory\"\nname = \"example.org/d\"\nvalid_for = \"1d\"\n";
        fs::write(directory.config(), text).map_err(|source| RoleDirError::Io {
            action: "write",
            path: directory.config(),
            source,
        })
    }

    #[test]
    fn a_directory_is_made_whole() {
        let base = tempfile::tempdir().expect("a directory");
        let path = base.path().join("directory");
        let made = RoleDir::create(&path, write_config).expect("made");
        let keys = made.keys().metadata().expect("keys");
        assert_eq!(keys.permissions().mode() & 0o777, 0o700);
        let (opened, config) =
            RoleDir::open::<DirectoryConfig>(&path, Role::Directory).expect("opened");
        assert_eq!(opened, made);
        assert_eq!(config.name.as_str(), "example.org/d");
        assert_eq!(fs::read_dir(base.path()).expect("listed").count(), 1);
    }

    #[test]
    fn or_not_at_all() {
        let base = tempfile::tempdir().expect("a directory");
        let path = base.path().join("directory/");
        let failed = RoleDir::create(&path, |_| Err(RoleDirError::Exists("x".into())));
        assert!(failed.is_err());
        assert_eq!(fs::read_dir(base.path()).expect("listed").count(), 0);
        fs::create_dir(&path).expect("made");
        RoleDir::create(&path, write_config).expect("an empty directory is taken");
        let again = RoleDir::create(&path, write_config);
        assert!(matches!(again, Err(RoleDirError::Exists(_))));
    }

    #[test]
    fn an_interrupted_init_is_named() {
        let base = tempfile::tempdir().expect("a directory");
        fs::create_dir(base.path().join("a.new")).expect("made");
        let error = RoleDir::create(&base.path().join("a"), write_config).expect_err("left over");
        assert!(matches!(error, RoleDirError::Interrupted(_)));
        assert!(base.path().join("a.new").exists());
    }

    #[test]
    fn another_roles_directory_is_told_from_none() {
        let base = tempfile::tempdir().expect("a directory");
        let path = base.path().join("directory");
        let open = |role| RoleDir::open::<DirectoryConfig>(&path, role);
        let error = open(Role::Collection).expect_err("nothing there");
        assert!(matches!(error, RoleDirError::NotThere { .. }));
        RoleDir::create(&path, write_config).expect("made");
        let error = open(Role::Authority).expect_err("another role");
        assert_eq!(
            error.to_string(),
            format!("{} is the directory of a directory, not of an authority", path.display())
        );
    }
}

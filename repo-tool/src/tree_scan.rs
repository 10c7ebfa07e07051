//! From a directory to the entries of a manifest (SPEC §7).
//!
//! In scope: files, symlinks and directories with their modes and extended attributes (`user.*`
//! and `security.capability`). Devices, sockets and pipes are refused; hard links become copies.
//! Owners are those that the scan is told, `root:root` otherwise: who owns the files on the machine
//! that packs says nothing about the machine that installs.
//!
//! A directory is declared where it would not come about by itself as it is: if it is empty, if its
//! mode is not 0755, or if it has an owner other than root. The others are made when the first file
//! below them is, and belong to nobody, so that two components may share `usr/bin`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, Metadata};
use std::io::{self, Read as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use countersign_format::hash::{Hash32, Hasher};
use countersign_format::limits::MAX_FILES;
use countersign_format::manifest::{
    FileEntry, FileError, FileKind, FileMeta, LinkTarget, Mode, Owner, Xattrs,
};
use countersign_format::relpath::{RelPath, RelPathError};
use countersign_terminal::{ExitStatus, Failure};

mod xattrs;

/// Mode of directories that need no declaration.
const PLAIN_DIRECTORY: u32 = 0o755;
/// Bytes read at a time.
const PIECE: usize = 128 * 1024;

/// What a directory cannot say of its files.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Settings {
    /// Who owns everything; `root:root` unless said.
    pub owner: Owner,
    /// Who owns a path and all below it. The longest path that fits counts.
    pub owners: BTreeMap<RelPath, Owner>,
    /// Files that an administrator is expected to change.
    pub config_files: BTreeSet<RelPath>,
}

/// Why a directory cannot be packed.
#[derive(Debug, thiserror::Error)]
pub enum ScanError {
    /// Something could not be read.
    #[error("cannot read {path}")]
    Read {
        /// What.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The tree is not a directory.
    #[error("{0} is not a directory")]
    NotDirectory(PathBuf),
    /// A name that payload paths may not have.
    #[error("{path} cannot be packed")]
    Name {
        /// The file.
        path: PathBuf,
        /// What is wrong with its name.
        source: RelPathError,
    },
    /// A device, socket or pipe.
    #[error("{path} is a {kind}, which cannot be packed")]
    Kind {
        /// The file.
        path: PathBuf,
        /// What it is.
        kind: &'static str,
    },
    /// A symlink's target or a file's extended attributes that cannot be packed.
    #[error("{path} cannot be packed")]
    Member {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: FileError,
    },
    /// More than [`MAX_FILES`] paths.
    #[error("{0} has more than {MAX_FILES} files")]
    TooMany(PathBuf),
    /// A config file that is not there, or is not a regular file.
    #[error("config file {0:?} is not a regular file of the tree")]
    NoConfigFile(RelPath),
}

/// What a directory tree holds, in byte order of paths. `progress` is told the bytes of each piece
/// that was hashed.
pub fn scan(
    root: &Path,
    settings: &Settings,
    progress: &(dyn Fn(u64) + Sync),
) -> Result<Vec<FileEntry>, ScanError> {
    let metadata =
        fs::metadata(root).map_err(|source| ScanError::Read { path: root.to_owned(), source })?;
    if !metadata.is_dir() {
        return Err(ScanError::NotDirectory(root.to_owned()));
    }
    let mut walk = Walk { root, settings, entries: Vec::new() };
    walk.directory(root, None)?;
    let mut entries = walk.entries;
    hash_files(root, &mut entries, progress)?;
    entries.sort_by(|left, right| left.path.cmp(&right.path));
    check_config_files(settings, &entries)?;
    Ok(entries)
}

/// Bytes of all files below `root`, as far as they can be told without reading them: for a
/// progress bar.
pub fn size(root: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(root) else { return 0 };
    entries
        .flatten()
        .map(|entry| match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => size(&entry.path()),
            Ok(metadata) if metadata.is_file() => metadata.len(),
            _ => 0,
        })
        .sum()
}

/// One walk over a tree. Files get their size and hash later.
struct Walk<'a> {
    root: &'a Path,
    settings: &'a Settings,
    entries: Vec<FileEntry>,
}

impl Walk<'_> {
    fn directory(&mut self, path: &Path, relative: Option<&RelPath>) -> Result<(), ScanError> {
        let failed = |source| ScanError::Read { path: path.to_owned(), source };
        let mut is_empty = true;
        for entry in fs::read_dir(path).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let path = entry.path();
            let name = entry.file_name();
            let relative = match relative {
                Some(above) => [above.as_str().as_bytes(), b"/", name.as_bytes()].concat(),
                None => name.as_bytes().to_vec(),
            };
            let relative = RelPath::from_bytes(&relative)
                .map_err(|source| ScanError::Name { path: path.clone(), source })?;
            self.member(&path, relative)?;
            is_empty = false;
        }
        let Some(relative) = relative else { return Ok(()) };
        let metadata = fs::symlink_metadata(path).map_err(failed)?;
        let (mode, owner) = (mode(&metadata), self.settings.owner_of(relative));
        if is_empty || mode.bits() != PLAIN_DIRECTORY || owner != Owner::ROOT {
            self.add(relative.clone(), FileKind::Directory { mode, owner })?;
        }
        Ok(())
    }

    fn member(&mut self, path: &Path, relative: RelPath) -> Result<(), ScanError> {
        let failed = |source| ScanError::Read { path: path.to_owned(), source };
        let wrong = |source| ScanError::Member { path: path.to_owned(), source };
        let metadata = fs::symlink_metadata(path).map_err(failed)?;
        let kind = metadata.file_type();
        if kind.is_dir() {
            return self.directory(path, Some(&relative));
        }
        if kind.is_symlink() {
            let target = fs::read_link(path).map_err(failed)?;
            let target: LinkTarget = target.to_str().unwrap_or_default().parse().map_err(wrong)?;
            return self.add(relative, FileKind::Link { target });
        }
        if !kind.is_file() {
            let kind = match () {
                () if kind.is_socket() => "socket",
                () if kind.is_fifo() => "pipe",
                () => "device",
            };
            return Err(ScanError::Kind { path: path.to_owned(), kind });
        }
        let xattrs = xattrs::read(path).map_err(failed)?;
        let file = FileMeta {
            mode: mode(&metadata),
            size: 0,
            sha256: Hash32([0; 32]),
            config: self.settings.config_files.contains(&relative),
            owner: self.settings.owner_of(&relative),
            xattrs: Xattrs::new(xattrs).map_err(wrong)?,
        };
        self.add(relative, FileKind::File(file))
    }

    fn add(&mut self, path: RelPath, kind: FileKind) -> Result<(), ScanError> {
        if self.entries.len() as u64 == MAX_FILES {
            return Err(ScanError::TooMany(self.root.to_owned()));
        }
        self.entries.push(FileEntry { path, kind });
        Ok(())
    }
}

impl Settings {
    fn owner_of(&self, path: &RelPath) -> Owner {
        let fits = |above: &RelPath| {
            path == above
                || path.as_str().strip_prefix(above.as_str()).is_some_and(|r| r.starts_with('/'))
        };
        // of paths that are all ancestors of one, the greatest is the longest
        let owner = self.owners.iter().rfind(|(above, _)| fits(above));
        owner.map_or_else(|| self.owner.clone(), |(_, owner)| owner.clone())
    }
}

fn mode(metadata: &Metadata) -> Mode {
    Mode::from_bits(metadata.mode() & 0o7777).expect("twelve bits")
}

/// Reads every file once, on as many threads as there are processors.
fn hash_files(
    root: &Path,
    entries: &mut [FileEntry],
    progress: &(dyn Fn(u64) + Sync),
) -> Result<(), ScanError> {
    let files: Vec<Mutex<&mut FileEntry>> =
        entries.iter_mut().filter(|entry| entry.as_file().is_some()).map(Mutex::new).collect();
    let next = AtomicUsize::new(0);
    let work = || -> Result<(), ScanError> {
        while let Some(entry) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
            let mut entry = entry.lock().expect("no other thread has this entry");
            let path = root.join(&entry.path);
            let (found_size, found_hash) = hash(&path, progress)
                .map_err(|source| ScanError::Read { path: path.clone(), source })?;
            if let FileKind::File(file) = &mut entry.kind {
                (file.size, file.sha256) = (found_size, found_hash);
            }
        }
        Ok(())
    };
    let threads = thread::available_parallelism().map_or(1, usize::from).min(files.len());
    thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(work)).collect();
        let mine = work();
        let join = |result: Result<(), ScanError>, thread: thread::ScopedJoinHandle<'_, _>| {
            result.and(thread.join().expect("hashing does not panic"))
        };
        others.into_iter().fold(mine, join)
    })
}

fn hash(path: &Path, progress: &(dyn Fn(u64) + Sync)) -> io::Result<(u64, Hash32)> {
    let mut file = File::open(path)?;
    let (mut hasher, mut size) = (Hasher::new(), 0);
    let mut piece = vec![0; PIECE];
    loop {
        let read = match file.read(&mut piece) {
            Ok(0) => return Ok((size, hasher.finish())),
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        hasher.update(&piece[..read]);
        size += read as u64;
        progress(read as u64);
    }
}

fn check_config_files(settings: &Settings, entries: &[FileEntry]) -> Result<(), ScanError> {
    for path in &settings.config_files {
        let found = entries.binary_search_by(|entry| entry.path.cmp(path)).ok();
        if found.is_none_or(|at| entries[at].as_file().is_none()) {
            return Err(ScanError::NoConfigFile(path.clone()));
        }
    }
    Ok(())
}

impl From<ScanError> for Failure {
    fn from(error: ScanError) -> Self {
        let exit = match &error {
            ScanError::Read { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
                ExitStatus::Privilege
            }
            ScanError::NotDirectory(_) | ScanError::NoConfigFile(_) => ExitStatus::Usage,
            _ => ExitStatus::Failed,
        };
        let hint = match &error {
            ScanError::Kind { .. } => Some("leave it out of the tree; a hook can make it"),
            _ => None,
        };
        Self::new(exit, error).maybe_hint(hint)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};
    use std::os::unix::net::UnixListener;

    use super::*;

    fn chmod(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("chmod");
    }

    fn relpath(text: &str) -> RelPath {
        text.parse().expect("a path")
    }

    fn tree() -> tempfile::TempDir {
        let root = tempfile::tempdir().expect("a directory");
        let at = |path: &str| root.path().join(path);
        for directory in ["opt", "opt/plain", "opt/empty", "opt/closed"] {
            fs::create_dir(at(directory)).expect("made");
            chmod(&at(directory), 0o755);
        }
        for (file, mode) in [("opt/plain/tool", 0o755), ("opt/closed/key", 0o600), ("opt-x", 0o644)]
        {
            fs::write(at(file), file).expect("written");
            chmod(&at(file), mode);
        }
        chmod(&at("opt/closed"), 0o700);
        symlink("../plain/tool", at("opt/closed/link")).expect("linked");
        root
    }

    #[test]
    fn a_tree_becomes_entries_in_byte_order() {
        let root = tree();
        let seen = Mutex::new(0);
        let progress = |bytes| *seen.lock().expect("whole") += bytes;
        let settings =
            Settings { config_files: [relpath("opt/closed/key")].into(), ..Settings::default() };
        let entries = scan(root.path(), &settings, &progress).expect("scanned");
        let paths: Vec<&str> = entries.iter().map(|entry| entry.path.as_str()).collect();
        let expected = [
            "opt-x",
            "opt/closed",
            "opt/closed/key",
            "opt/closed/link",
            "opt/empty",
            "opt/plain/tool",
        ];
        assert_eq!(paths, expected);
        assert_eq!(seen.into_inner().expect("whole"), size(root.path()));
        let file = entries[2].as_file().expect("a file");
        assert_eq!((file.mode.bits(), file.size, file.config), (0o600, 14, true));
        assert_eq!(file.sha256, Hash32::of(b"opt/closed/key"));
        assert!(!entries[5].as_file().expect("a file").config);
        let FileKind::Link { target } = &entries[3].kind else { panic!("a symlink") };
        assert_eq!(target.as_str(), "../plain/tool");
        let FileKind::Directory { mode, .. } = &entries[1].kind else { panic!("a directory") };
        assert_eq!(mode.bits(), 0o700);
    }

    #[test]
    fn owners_are_those_of_the_longest_path_that_fits() {
        let root = tree();
        let owner = |text: &str| text.parse::<Owner>().expect("an owner");
        let settings = Settings {
            owner: owner("app:app"),
            owners: [
                (relpath("opt"), owner("a:a")),
                (relpath("opt/plain"), owner("b:b")),
                (relpath("opt/pla"), owner("c:c")),
                (relpath("opt/closed/key"), owner("root:root")),
            ]
            .into(),
            ..Settings::default()
        };
        let entries = scan(root.path(), &settings, &|_| ()).expect("scanned");
        let owner_of = |path: &str| {
            let entry = entries.iter().find(|entry| entry.path.as_str() == path).expect("there");
            match &entry.kind {
                FileKind::File(file) => file.owner.to_string(),
                FileKind::Directory { owner, .. } => owner.to_string(),
                FileKind::Link { .. } => panic!("a link"),
            }
        };
        assert_eq!(owner_of("opt-x"), "app:app");
        assert_eq!(owner_of("opt/plain/tool"), "b:b");
        assert_eq!(owner_of("opt/plain"), "b:b", "declared because of its owner");
        assert_eq!(owner_of("opt/closed"), "a:a");
        assert_eq!(owner_of("opt/closed/key"), "root:root");
    }

    #[test]
    fn hard_links_are_copies_and_sockets_are_refused() {
        let root = tree();
        fs::hard_link(root.path().join("opt-x"), root.path().join("twin")).expect("linked");
        let entries = scan(root.path(), &Settings::default(), &|_| ()).expect("scanned");
        let of = |name: &str| entries.iter().find(|entry| entry.path.as_str() == name);
        assert_eq!(of("opt-x").map(|entry| &entry.kind), of("twin").map(|entry| &entry.kind));
        let _socket = UnixListener::bind(root.path().join("socket")).expect("bound");
        let error = scan(root.path(), &Settings::default(), &|_| ()).expect_err("refused");
        assert!(matches!(error, ScanError::Kind { kind: "socket", .. }));
    }

    #[test]
    fn what_cannot_be_named_or_is_not_there_is_refused() {
        let root = tree();
        let missing =
            Settings { config_files: [relpath("opt/empty")].into(), ..Settings::default() };
        let error = scan(root.path(), &missing, &|_| ()).expect_err("refused");
        assert!(matches!(error, ScanError::NoConfigFile(_)));
        let error = scan(&root.path().join("opt-x"), &Settings::default(), &|_| ());
        assert!(matches!(error, Err(ScanError::NotDirectory(_))));
        fs::write(root.path().join("a\nb"), "x").expect("written");
        let error = scan(root.path(), &Settings::default(), &|_| ()).expect_err("refused");
        assert!(matches!(error, ScanError::Name { source: RelPathError::Control, .. }));
    }
}

//! Trees of files: making them, and saying exactly what lies on disk.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use countersign_format::hash::Hash32;

/// A directory that is filled step by step.
#[derive(Debug)]
pub struct Tree {
    root: PathBuf,
}

/// What lies below a directory: each path with its kind, mode, owner, content and extended attributes.
/// Two are equal if the trees are.
pub type Snapshot = BTreeMap<PathBuf, String>;

impl Tree {
    /// A tree at `root`, which is made if need be.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        let root = root.into();
        fs::create_dir_all(&root).expect("a test's directory can be made");
        Self { root }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.root
    }

    /// Writes a file of mode 0644.
    pub fn file(&self, path: &str, content: impl AsRef<[u8]>) -> &Self {
        self.write(path, content.as_ref(), 0o644)
    }

    /// Writes a file of mode 0755.
    pub fn program(&self, path: &str, content: impl AsRef<[u8]>) -> &Self {
        self.write(path, content.as_ref(), 0o755)
    }

    /// Makes a symbolic link.
    pub fn link(&self, path: &str, target: &str) -> &Self {
        let path = self.above(path);
        symlink(target, path).expect("a test's directory takes links");
        self
    }

    /// Writes a file of `length` bytes that do not compress, which follow from `seed`.
    pub fn noise(&self, path: &str, length: usize, seed: u64) -> &Self {
        self.write(path, &noise(length, seed), 0o644)
    }

    fn write(&self, path: &str, content: &[u8], mode: u32) -> &Self {
        let path = self.above(path);
        fs::write(&path, content).expect("a test's file can be written");
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("it is the test's own");
        self
    }

    fn above(&self, path: &str) -> PathBuf {
        let path = self.root.join(path);
        let parent = path.parent().expect("a path below the root");
        fs::create_dir_all(parent).expect("a test's directory can be made");
        path
    }
}

/// Bytes that do not compress (xorshift64*, Vigna 2016).
pub fn noise(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed | 1;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        bytes.extend(state.wrapping_mul(0x2545_f491_4f6c_dd1d).to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

/// All that lies below `root` but for the paths in `without` and what is below them. The directories
/// above those are passed over too where nothing else is in them.
pub fn snapshot(root: &Path, without: &[&str]) -> Snapshot {
    let mut found = Snapshot::new();
    collect(root, Path::new(""), without, &mut found);
    found.retain(|path, description| {
        let is_above = without.iter().any(|skipped| Path::new(skipped).starts_with(path));
        !(is_above && description.starts_with("directory"))
    });
    found
}

fn collect(root: &Path, below: &Path, without: &[&str], found: &mut Snapshot) {
    let directory = root.join(below);
    let entries =
        fs::read_dir(&directory).unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
    for entry in entries {
        let path = below.join(entry.expect("a readable directory").file_name());
        if without.iter().any(|skipped| path == Path::new(skipped)) {
            continue;
        }
        let full = root.join(&path);
        let metadata = full.symlink_metadata().expect("it was just listed");
        let mode = metadata.mode() & 0o7777;
        let owner = format!("{}:{}", metadata.uid(), metadata.gid());
        let description = if metadata.is_dir() {
            collect(root, &path, without, found);
            format!("directory {mode:04o} {owner}")
        } else if metadata.is_symlink() {
            let target = fs::read_link(&full).expect("it was just listed");
            format!("link {owner} to {}", target.display())
        } else {
            let content = fs::read(&full).expect("the test may read it");
            format!("file {mode:04o} {owner} {}", Hash32::of(&content))
        };
        found.insert(path, description + &attributes(&full));
    }
}

/// The extended attributes of a file or directory, in the order of their names; those of the whole
/// system, such as labels, left out.
fn attributes(path: &Path) -> String {
    let mut list = [0; 4096];
    let Ok(length) = rustix::fs::llistxattr(path, &mut list[..]) else { return String::new() };
    let names = list[..length].split(|byte| *byte == 0);
    let mut names: Vec<_> = names.filter_map(|name| std::str::from_utf8(name).ok()).collect();
    names.retain(|name| name.starts_with("user.") || *name == "security.capability");
    names.sort_unstable();
    let mut text = String::new();
    for name in names {
        let mut value = [0; 4096];
        let length = rustix::fs::lgetxattr(path, name, &mut value[..]).expect("it was just listed");
        text = format!("{text} {name}={}", value[..length].escape_ascii());
    }
    text
}

/// The files below `root`, in order, but for the paths in `without` and what is below them.
pub fn files_below(root: &Path, without: &[&str]) -> Vec<PathBuf> {
    let found = snapshot(root, without).into_iter();
    found.filter(|(_, what)| what.starts_with("file")).map(|(path, _)| path).collect()
}

/// Copies a tree with its modes and links.
pub fn copy(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        let kind = entry.file_type()?;
        if kind.is_dir() {
            copy(&entry.path(), &target)?;
        } else if kind.is_symlink() {
            symlink(fs::read_link(entry.path())?, target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    // last, since a directory may not be writable
    fs::set_permissions(to, from.metadata()?.permissions())
}

/// Puts a copy of the tree `from` in the place of the one at `to`.
pub fn replace(from: &Path, to: &Path) -> io::Result<()> {
    fs::remove_dir_all(to)?;
    copy(from, to)
}

//! Which files of an incremental patch come as changes to others, and the deltas of those.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, BufReader, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use countersign_format::archive::{ArchiveReader, Member};
use countersign_format::manifest::{Bases, Delta, Deltas, FileEntry, FileKind, FileMeta};
use countersign_format::relpath::RelPath;
use countersign_format::tree::Tree;

use super::CollectionError;
use super::draft::Staging;
use crate::delta;

/// Below the directory in which a patch is prepared; gone when it is.
const OLD: &str = "old";
const SPOOL: &str = "deltas";

/// Where the files are of the tree that a patch goes on from.
pub(super) enum OldFiles {
    /// As they lie in a directory.
    Tree(PathBuf),
    /// In the archive of a full patch.
    Archive(PathBuf),
}

/// The deltas of a patch.
#[derive(Default)]
pub(super) struct Made {
    /// What the manifest says of them.
    pub deltas: Option<Deltas>,
    /// All of them, one after another.
    spool: Option<File>,
    /// Where each begins.
    places: BTreeMap<RelPath, u64>,
}

impl Made {
    /// Makes the deltas of those of `files`, which lie in `source`, that take less than the files.
    pub fn make(
        before: &Tree,
        files: &[FileEntry],
        source: &Path,
        old: &OldFiles,
        staging: &Staging,
    ) -> Result<Self, CollectionError> {
        let pairs = pairs(before, files);
        if pairs.is_empty() {
            return Ok(Self::default());
        }
        let bases = pairs.iter().map(|pair| pair.base).collect();
        let old = OldPaths::new(old, &bases, staging)?;
        let mut made = Self::default();
        let mut said = BTreeMap::new();
        let mut end = 0;
        for Pair { path, file, base } in pairs {
            let new = source.join(path);
            let found = delta::make(&old.path(base), &new, (path, file));
            let Some(delta) = found.map_err(CollectionError::io("compare", &new))? else {
                continue;
            };
            made.keep(&delta, staging)?;
            made.places.insert(path.clone(), end);
            end += delta.len() as u64;
            let from = (base != path).then(|| base.clone());
            said.insert(path.clone(), Delta { from, bytes: delta.len() as u64 });
        }
        drop(old);
        let paths: BTreeSet<&RelPath> = said.iter().map(|(path, delta)| delta.base(path)).collect();
        let bases = Bases::find(paths, before).expect("they were taken from it").hash();
        made.deltas = (!said.is_empty()).then_some(Deltas { bases, files: said });
        Ok(made)
    }

    /// A delta, to be read from where it begins; none of a file that comes whole.
    pub fn open(&self, path: &RelPath) -> io::Result<Option<File>> {
        let (Some(place), Some(spool)) = (self.places.get(path), &self.spool) else {
            return Ok(None);
        };
        // one at a time is read, so that they may share their position
        let mut spool = spool.try_clone()?;
        spool.seek(SeekFrom::Start(*place))?;
        Ok(Some(spool))
    }

    fn keep(&mut self, delta: &[u8], staging: &Staging) -> Result<(), CollectionError> {
        let path = staging.directory()?.join(SPOOL);
        let failed = CollectionError::io("write", &path);
        let spool = match self.spool.take() {
            Some(spool) => Ok(spool),
            // no name is needed any more
            None => File::options().read(true).write(true).create_new(true).open(&path).and_then(
                |spool| {
                    fs::remove_file(&path)?;
                    Ok(spool)
                },
            ),
        };
        let kept = spool.and_then(|mut spool| {
            spool.write_all(delta)?;
            Ok(spool)
        });
        self.spool = Some(kept.map_err(failed)?);
        Ok(())
    }
}

/// A file and what it may be made of.
struct Pair<'p> {
    path: &'p RelPath,
    file: &'p FileMeta,
    base: &'p RelPath,
}

/// For each file what was at its path before; or else what had the same path but for numbers, as
/// libraries have them: of several what is about as long.
fn pairs<'p>(before: &'p Tree, files: &'p [FileEntry]) -> Vec<Pair<'p>> {
    let is_base = |file: &FileMeta| !file.config && file.size > 0;
    let mut alike: BTreeMap<String, Vec<(&RelPath, u64)>> = BTreeMap::new();
    for (path, kind) in before.iter() {
        if let FileKind::File(file) = kind
            && is_base(file)
        {
            alike.entry(without_numbers(path)).or_default().push((path, file.size));
        }
    }
    let pair = |entry: &'p FileEntry| {
        let (path, file) = (&entry.path, entry.as_file()?);
        let own = match before.get(path) {
            Some(FileKind::File(old)) if is_base(old) => Some(path),
            _ => None,
        };
        let similar = || {
            let alike = alike.get(&without_numbers(path))?;
            alike.iter().min_by_key(|(_, size)| size.abs_diff(file.size)).map(|(path, _)| *path)
        };
        let base = own.or_else(similar)?;
        (!file.config && file.size > 0).then_some(Pair { path, file, base })
    };
    files.iter().filter_map(pair).collect()
}

/// A path with one `0` for each number.
fn without_numbers(path: &RelPath) -> String {
    let mut text = String::new();
    for character in path.as_str().chars() {
        let is_digit = character.is_ascii_digit();
        if !is_digit {
            text.push(character);
        } else if !text.ends_with('0') {
            text.push('0');
        }
    }
    text
}

/// Where to read each base.
enum OldPaths<'o> {
    Tree(&'o Path),
    Unpacked { directory: PathBuf, names: BTreeMap<RelPath, String> },
}

impl<'o> OldPaths<'o> {
    fn new(
        old: &'o OldFiles,
        wanted: &BTreeSet<&RelPath>,
        staging: &Staging,
    ) -> Result<Self, CollectionError> {
        match old {
            OldFiles::Tree(root) => Ok(Self::Tree(root)),
            OldFiles::Archive(archive) => {
                Self::unpack(archive, wanted, staging.directory()?.join(OLD))
            }
        }
    }

    /// Brings the wanted files out of an archive of the collection's own.
    fn unpack(
        archive: &Path,
        wanted: &BTreeSet<&RelPath>,
        directory: PathBuf,
    ) -> Result<Self, CollectionError> {
        fs::create_dir(&directory).map_err(CollectionError::io("make", &directory))?;
        let file = File::open(archive).map_err(CollectionError::io("read", archive))?;
        let mut reader = ArchiveReader::open_unannounced(BufReader::new(file))
            .map_err(CollectionError::archive(archive))?;
        let mut names = BTreeMap::new();
        while let Some(member) = reader.next_member().map_err(CollectionError::archive(archive))? {
            let Member::Entry { entry, delta: None, mut content } = member else { continue };
            if !wanted.contains(&entry.path) {
                continue;
            }
            let name = names.len().to_string();
            let path = directory.join(&name);
            File::create_new(&path)
                .and_then(|mut file| io::copy(&mut content, &mut file))
                .map_err(CollectionError::io("write", &path))?;
            names.insert(entry.path.clone(), name);
        }
        Ok(Self::Unpacked { directory, names })
    }

    fn path(&self, base: &RelPath) -> PathBuf {
        match self {
            Self::Tree(root) => root.join(base),
            Self::Unpacked { directory, names } => {
                directory.join(names.get(base).map_or("", String::as_str))
            }
        }
    }
}

impl Drop for OldPaths<'_> {
    fn drop(&mut self) {
        if let Self::Unpacked { directory, .. } = self {
            // a draft is not to have it; what cannot be removed goes with the draft
            let _ = fs::remove_dir_all(directory);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, size: u64, config: bool) -> FileEntry {
        let text = format!(
            "{{\"path\":\"{path}\",\"mode\":\"0644\",\"size\":{size},\"config\":{config},\
             \"sha256\":\"{}\"}}",
            "00".repeat(32)
        );
        serde_json::from_str(&text).expect("a file")
    }

    #[test]
    fn each_file_is_compared_with_what_is_most_likely_like_it() {
        let before = Tree::from_entries([
            file("etc/acme.conf", 9, true),
            file("etc/other", 9, true),
            file("lib/liba.so.1.2", 100, false),
            file("lib/liba.so.1.10", 300, false),
            file("lib/same", 5, false),
            file("lib/same2", 5, false),
            file("lib/empty", 0, false),
        ]);
        let after = [
            file("etc/acme.conf", 9, true),
            file("etc/other", 9, false),
            file("lib/liba.so.2.0", 290, false),
            file("lib/same", 600, false),
            file("lib/empty", 600, false),
            file("lib/new", 600, false),
            file("lib/same2", 0, false),
        ];
        let found = pairs(&before, &after);
        let found: Vec<_> =
            found.iter().map(|pair| (pair.path.as_str(), pair.base.as_str())).collect();
        assert_eq!(found, [("lib/liba.so.2.0", "lib/liba.so.1.10"), ("lib/same", "lib/same")]);
    }
}

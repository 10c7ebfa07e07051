//! Offline proofs that a patch is in the collection's log (C2SP `tlog-proof`): what an endpoint
//! needs besides archive and note where it has no index.

use countersign_format::checkpoint::{Checkpoint, CheckpointError};
use countersign_format::entry::{CollectionEntry, PatchEntry};
use countersign_format::hash::Hash32;
use countersign_format::layout::{self, Log, RepoPath};
use countersign_format::limits::MAX_NOTE;
use countersign_format::merkle::{MerkleError, leaf_hash, prove_inclusion, verify_inclusion};
use countersign_format::note::{Note, NoteError};
use countersign_format::proof::Proof;
use countersign_store::{Sink, WriteError};

use crate::index::PatchIndex;
use crate::patch_selector::PatchSelector;
use crate::publish::{PublishError, TreeNodes, read_entries_from, read_entry};

/// A proof, and the patch that it is about.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Proven {
    /// The patch.
    pub entry: PatchEntry,
    /// The proof, with the log's head as it is signed.
    pub proof: Proof,
}

/// Why nothing was proven.
#[derive(Debug, thiserror::Error)]
pub enum ProveError {
    /// A file could not be read.
    #[error(transparent)]
    Read(#[from] WriteError),
    /// The log could not be read.
    #[error(transparent)]
    Log(#[from] PublishError),
    /// A file is not there.
    #[error("{0} is not there")]
    Missing(RepoPath),
    /// The head is no note.
    #[error("collection/checkpoint is no note")]
    Note(#[from] NoteError),
    /// The head is no checkpoint.
    #[error("collection/checkpoint is no checkpoint")]
    Checkpoint(#[from] CheckpointError),
    /// The tiles do not lead from the entry to the root.
    #[error("the tiles do not lead from entry {index} to the root of collection/checkpoint")]
    Tree {
        /// Leaf index of the entry.
        index: u64,
        /// What is wrong.
        source: MerkleError,
    },
    /// The log has no such patch.
    #[error("the log has no patch {0}")]
    NoPatch(Box<PatchSelector>),
    /// The log has several.
    #[error("the log has several patches {selector}: {found}")]
    Several {
        /// What was asked for.
        selector: Box<PatchSelector>,
        /// What there is.
        found: String,
    },
}

/// Proves that the one patch which `selector` means is in the collection's log below `public`, where
/// it is looked up in `index` if there is one: what that says is read from the log.
pub fn prove(
    public: &dyn Sink,
    index: Option<&PatchIndex>,
    selector: &PatchSelector,
) -> Result<Proven, ProveError> {
    let path = layout::checkpoint(Log::Collection);
    let bytes = public.read(&path, MAX_NOTE as u64)?.ok_or(ProveError::Missing(path))?;
    let note = Note::parse(&bytes, MAX_NOTE)?;
    let head = Checkpoint::parse(note.text())?;
    let mut found = Vec::new();
    if let Some(index) = index {
        found = look_up(public, head.size, index, selector)?;
        let known = index.head().map_or(0, |known| known.size);
        read(public, (known, head.size), selector, &mut found)?;
    }
    if found.is_empty() {
        read(public, (0, head.size), selector, &mut found)?;
    }
    let (index, leaf, entry) = only(found, selector)?;
    let mut nodes = TreeNodes::of(public, Log::Collection, head.size);
    let hashes = prove_inclusion(index, head.size, &mut nodes)?;
    verify_inclusion(leaf, index, head.size, &hashes, &head.root)
        .map_err(|source| ProveError::Tree { index, source })?;
    Ok(Proven { entry, proof: Proof { index, hashes, checkpoint: note } })
}

/// A patch, with the index and the hash of its leaf.
type Found = (u64, Hash32, PatchEntry);

/// What `index` knows of the patches that are meant, as the log says it.
fn look_up(
    public: &dyn Sink,
    size: u64,
    index: &PatchIndex,
    selector: &PatchSelector,
) -> Result<Vec<Found>, ProveError> {
    let mut found = Vec::new();
    for patch in index.named(&selector.name, &selector.version)? {
        let is_meant = selector.admits(&patch.entry.platform, patch.entry.base.as_ref());
        if is_meant && patch.index < size {
            let bytes = read_entry(public, Log::Collection, size, patch.index)?;
            if PatchEntry::parse(&bytes).ok().as_ref() == Some(&patch.entry) {
                found.push((patch.index, leaf_hash(&bytes), patch.entry));
            }
        }
    }
    Ok(found)
}

/// Adds the patches that are meant, by the entries of the log in a range.
fn read(
    public: &dyn Sink,
    range: (u64, u64),
    selector: &PatchSelector,
    found: &mut Vec<Found>,
) -> Result<(), ProveError> {
    read_entries_from(public, Log::Collection, range, |index, bytes| {
        let Ok(CollectionEntry::Patch(patch)) = CollectionEntry::parse(bytes) else { return };
        let is_named = patch.name == selector.name && patch.version == selector.version;
        let repeats = found.iter().any(|(_, _, other): &Found| {
            other.identity() == patch.identity() || other.archive.sha256 == patch.archive.sha256
        });
        if is_named && !repeats && selector.admits(&patch.platform, patch.base.as_ref()) {
            found.push((index, leaf_hash(bytes), *patch));
        }
    })?;
    Ok(())
}

fn only(mut found: Vec<Found>, selector: &PatchSelector) -> Result<Found, ProveError> {
    match found.len() {
        0 => Err(ProveError::NoPatch(Box::new(selector.clone()))),
        1 => Ok(found.remove(0)),
        _ => {
            let names: Vec<_> =
                found.iter().map(|(_, _, entry)| entry.identity().to_string()).collect();
            let (selector, found) = (Box::new(selector.clone()), names.join(", "));
            Err(ProveError::Several { selector, found })
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::fs::{self, File};
    use std::os::unix::fs::symlink;
    use std::path::{Path, PathBuf};

    use countersign_fixtures::{PatchSpec, Payload, Repository, RepositoryBuilder};
    use countersign_store::durable::Temporary;
    use countersign_store::{DirectoryWriter, MemoryRepository, Put};

    use super::*;

    fn selector(text: &str) -> PatchSelector {
        text.parse().expect("a selector")
    }

    #[test]
    fn proofs_hold_in_trees_of_many_shapes() {
        let mut repository = RepositoryBuilder::new().build();
        for count in [1, 1, 253, 1, 1, 300, 3_600] {
            repository.collect_history(count);
            repository.publish();
            let size = repository.collection.size();
            let memory = repository.memory();
            let head = repository.note(&layout::checkpoint(Log::Collection));
            let root = Checkpoint::parse(head.text()).expect("a head").root;
            for index in [0, size / 2, size - 1] {
                let selector = selector(&format!("history@0.0.{index}"));
                let proven = prove(&memory, None, &selector).expect("proven");
                let entry =
                    &repository.collection.entries()[usize::try_from(index).expect("small")];
                let read = Proof::parse(&proven.proof.to_bytes()).expect("a proof");
                assert_eq!((read.index, &read.checkpoint), (index, &head));
                verify_inclusion(leaf_hash(entry), index, size, &read.hashes, &root)
                    .unwrap_or_else(|error| panic!("{index} of {size}: {error}"));
            }
        }
    }

    #[test]
    fn one_patch_is_meant_or_none() {
        let mut repository = RepositoryBuilder::new().build();
        let payload = Payload::new().file("opt/acme/data", "one");
        let other = Payload::new().file("opt/acme/data", "two");
        repository.collect(&PatchSpec::full("acme", "2.0.0", &other));
        repository.collect(&PatchSpec::incremental("acme", "2.0.0", "^1", &payload, &other));
        repository.publish();
        let memory = repository.memory();
        let several = prove(&memory, None, &selector("acme@2.0.0"));
        assert!(matches!(several, Err(ProveError::Several { .. })));
        let mut full = selector("acme@2.0.0");
        full.base = Some(crate::patch_selector::BaseSelector::Full);
        assert_eq!(prove(&memory, None, &full).expect("proven").proof.index, 0);
        let none = prove(&memory, None, &selector("acme@3.0.0"));
        assert!(matches!(none, Err(ProveError::NoPatch(_))));
    }

    #[test]
    fn damaged_tiles_prove_nothing() {
        let mut repository = RepositoryBuilder::new().build();
        repository.collect_history(3);
        repository.publish();
        let memory: MemoryRepository = repository.memory();
        let tile = layout::tile(Log::Collection, 0, 0, 3);
        let mut bytes = repository.files()[&tile].clone();
        bytes[0] ^= 1;
        memory.replace(&tile, &bytes);
        let refused = prove(&memory, None, &selector("history@0.0.2"));
        assert!(matches!(refused, Err(ProveError::Tree { index: 2, .. })));
        memory.replace(&tile, &bytes[..64]);
        let refused = prove(&memory, None, &selector("history@0.0.2"));
        assert!(matches!(refused, Err(ProveError::Log(PublishError::Damaged { .. }))));
    }

    /// Reads of a repository, counted by kind.
    struct Counting {
        files: DirectoryWriter,
        bundles: Cell<usize>,
    }

    impl Sink for Counting {
        fn read(&self, path: &RepoPath, limit: u64) -> Result<Option<Vec<u8>>, WriteError> {
            let is_bundle = path.as_str().contains("/entries/");
            self.bundles.set(self.bundles.get() + usize::from(is_bundle));
            self.files.read(path, limit)
        }

        fn size(&self, path: &RepoPath) -> Result<Option<u64>, WriteError> {
            self.files.size(path)
        }

        fn put_immutable(&mut self, _: &RepoPath, _: &[u8]) -> Result<Put, WriteError> {
            unreachable!("proving writes nothing")
        }

        fn put_immutable_file(&mut self, _: &RepoPath, _: &mut File) -> Result<Put, WriteError> {
            unreachable!("proving writes nothing")
        }

        fn put_immutable_link(&mut self, _: &RepoPath, _: &Path) -> Result<Put, WriteError> {
            unreachable!("proving writes nothing")
        }

        fn put_along(&mut self, _: Temporary) -> Result<(), WriteError> {
            unreachable!("proving writes nothing")
        }

        fn discard(&mut self) {
            unreachable!("proving writes nothing")
        }

        fn flush(&mut self, _: &[Temporary]) -> Result<(), WriteError> {
            unreachable!("proving writes nothing")
        }

        fn put_heads(&mut self, _: &[(RepoPath, Vec<u8>)]) -> Result<(), WriteError> {
            unreachable!("proving writes nothing")
        }

        fn remove(&mut self, _: &RepoPath) -> Result<(), WriteError> {
            unreachable!("proving writes nothing")
        }
    }

    #[test]
    fn with_an_index_one_bundle_is_read() {
        let mut repository = RepositoryBuilder::new().build();
        repository.collect_history(2_000);
        repository.publish();
        let place = tempfile::tempdir().expect("a directory");
        let (public, state) = server(place.path(), &mut repository);
        let files = || DirectoryWriter::new(&public);
        assert!(PatchIndex::beside(&public).is_none(), "nobody made one");
        drop(PatchIndex::open(&state, files()).expect("made"));
        let index = PatchIndex::beside(&public).expect("an index");
        let wanted = selector("history@0.0.1234");
        let prove = |index: Option<&PatchIndex>| {
            let counting = Counting { files: files(), bundles: Cell::new(0) };
            let proven = prove(&counting, index, &wanted).expect("proven");
            (proven, counting.bundles.get())
        };
        let (whole, read) = prove(None);
        assert_eq!(read, 8, "all of them");
        assert_eq!(prove(Some(&index)), (whole, 1));
        let none = super::prove(&files(), Some(&index), &selector("history@1.0.0"));
        assert!(matches!(none, Err(ProveError::NoPatch(_))));
        drop(index);
        // of what is published later, the rest of the log is read
        repository.collect_history(300);
        repository.publish();
        repository.write_to(&public);
        let behind = PatchIndex::beside(&public).expect("an index");
        let newest = selector("history@0.0.2299");
        let found = |index| super::prove(&files(), index, &newest).expect("proven");
        assert_eq!(found(Some(&behind)), found(None));
    }

    /// The directory of a server that published a repository.
    fn server(place: &Path, repository: &mut Repository) -> (PathBuf, PathBuf) {
        let (public, state) = (place.join("public"), place.join("state"));
        fs::create_dir(&public).expect("made");
        fs::create_dir(&state).expect("made");
        fs::write(place.join("config.toml"), "role = \"collection\"\n").expect("written");
        repository.write_to(&public);
        (public, state)
    }

    /// Whoever copies a repository to a place that others can write to still proves with nothing but it.
    #[test]
    fn only_a_servers_own_index_is_looked_into_and_none_is_written() {
        let mut repository = RepositoryBuilder::new().build();
        repository.collect_history(3);
        repository.publish();
        let place = tempfile::tempdir().expect("a directory");
        let (public, state) = server(place.path(), &mut repository);
        let database = state.join("index.db");
        drop(PatchIndex::open(&state, DirectoryWriter::new(&public)).expect("made"));
        repository.collect_history(1);
        repository.publish();
        repository.write_to(&public);
        let files =
            || ["", "-wal"].map(|end| fs::read(format!("{}{end}", database.display())).ok());
        let before = files();
        assert!(PatchIndex::beside(&public).is_some());
        assert_eq!(files(), before, "it is behind and stays so");

        let elsewhere = place.path().join("elsewhere.db");
        fs::rename(&database, &elsewhere).expect("moved");
        symlink(&elsewhere, &database).expect("linked");
        assert!(PatchIndex::beside(&public).is_none(), "a link");
        fs::rename(&elsewhere, &database).expect("moved back");
        assert!(PatchIndex::beside(&public).is_some());

        let moved = place.path().join("states");
        fs::rename(&state, &moved).expect("moved");
        symlink(&moved, &state).expect("linked");
        assert!(PatchIndex::beside(&public).is_none(), "a link to its directory");
        fs::remove_file(&state).expect("removed");
        fs::rename(&moved, &state).expect("moved back");
        let config = place.path().join("config.toml");
        fs::rename(&config, place.path().join("other.toml")).expect("moved");
        assert!(PatchIndex::beside(&public).is_none(), "nobody's directory");
        fs::write(&database, "no database").expect("written");
        for end in ["-wal", "-shm"] {
            let _ = fs::remove_file(format!("{}{end}", database.display()));
        }
        fs::write(config, "").expect("written");
        assert!(PatchIndex::beside(&public).is_none(), "torn");
        assert_eq!(fs::read(&database).expect("read"), b"no database");
    }
}

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

use crate::patch_selector::PatchSelector;
use crate::publish::{PublishError, TreeNodes, read_entries};

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

/// Proves that the one patch which `selector` means is in the collection's log below `public`.
pub fn prove(public: &dyn Sink, selector: &PatchSelector) -> Result<Proven, ProveError> {
    let path = layout::checkpoint(Log::Collection);
    let bytes = public.read(&path, MAX_NOTE as u64)?.ok_or(ProveError::Missing(path))?;
    let note = Note::parse(&bytes, MAX_NOTE)?;
    let head = Checkpoint::parse(note.text())?;
    let (index, leaf, entry) = find(public, head.size, selector)?;
    let mut nodes = TreeNodes::of(public, Log::Collection, head.size);
    let hashes = prove_inclusion(index, head.size, &mut nodes)?;
    verify_inclusion(leaf, index, head.size, &hashes, &head.root)
        .map_err(|source| ProveError::Tree { index, source })?;
    Ok(Proven { entry, proof: Proof { index, hashes, checkpoint: note } })
}

fn find(
    public: &dyn Sink,
    size: u64,
    selector: &PatchSelector,
) -> Result<(u64, Hash32, PatchEntry), ProveError> {
    let mut found = Vec::new();
    read_entries(public, Log::Collection, size, |index, bytes| {
        let Ok(CollectionEntry::Patch(patch)) = CollectionEntry::parse(bytes) else { return };
        let is_named = patch.name == selector.name && patch.version == selector.version;
        let repeats = found.iter().any(|(_, _, other): &(u64, Hash32, PatchEntry)| {
            other.identity() == patch.identity() || other.archive.sha256 == patch.archive.sha256
        });
        if is_named && !repeats && selector.admits(&patch.platform, patch.base.as_ref()) {
            found.push((index, leaf_hash(bytes), *patch));
        }
    })?;
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
    use countersign_fixtures::{PatchSpec, Payload, RepositoryBuilder};
    use countersign_store::MemoryRepository;

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
                let proven = prove(&memory, &selector).expect("proven");
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
        let several = prove(&memory, &selector("acme@2.0.0"));
        assert!(matches!(several, Err(ProveError::Several { .. })));
        let mut full = selector("acme@2.0.0");
        full.base = Some(crate::patch_selector::BaseSelector::Full);
        assert_eq!(prove(&memory, &full).expect("proven").proof.index, 0);
        let none = prove(&memory, &selector("acme@3.0.0"));
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
        let refused = prove(&memory, &selector("history@0.0.2"));
        assert!(matches!(refused, Err(ProveError::Tree { index: 2, .. })));
        memory.replace(&tile, &bytes[..64]);
        let refused = prove(&memory, &selector("history@0.0.2"));
        assert!(matches!(refused, Err(ProveError::Log(PublishError::Damaged { .. }))));
    }
}

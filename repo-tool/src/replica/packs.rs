//! Copying packs. Their bytes depend on the compressor that made them, so they are fetched.

use std::collections::BTreeSet;

use countersign_format::layout::RepoPath;
use countersign_format::pack::{MAX_PACK_LEVEL, pack_span};
use countersign_store::{GetError, Sink as _};

use super::{Replica, ReplicaError};
use crate::tree::{Pack, Tree};

/// Stages the packs that the log gained since it had `old` entries and that the source has besides
/// those in `staged`, which were read along with its entries. Returns the paths of those that hold
/// something else than they should.
pub(super) async fn copy_packs(
    replica: &mut Replica,
    tree: &Tree,
    old: u64,
    staged: &BTreeSet<RepoPath>,
) -> Result<Vec<RepoPath>, ReplicaError> {
    let mut bad = Vec::new();
    for pack in new_packs(tree, old) {
        if copy(replica, &pack, staged).await? == Copied::Bad {
            bad.push(pack.path);
        }
    }
    for level in 1..=MAX_PACK_LEVEL {
        // large ones are made later; the newest is asked for first, so that
        // a source that never makes them costs one request
        for index in (0..old / pack_span(level)).rev() {
            let pack = tree.pack(level, index);
            match copy(replica, &pack, staged).await? {
                Copied::Written | Copied::Held => {}
                Copied::Bad => bad.push(pack.path),
                Copied::Missing => break,
            }
        }
    }
    Ok(bad)
}

/// The packs that became possible since the log had `old` entries.
fn new_packs(tree: &Tree, old: u64) -> Vec<Pack> {
    let size = tree.size();
    let mut packs = Vec::new();
    for level in 0..=MAX_PACK_LEVEL {
        let span = pack_span(level);
        packs.extend((old / span..size / span).map(|index| tree.pack(level, index)));
    }
    packs.extend((size > old).then(|| tree.tail_pack()));
    packs
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Copied {
    Written,
    Held,
    Missing,
    Bad,
}

async fn copy(
    replica: &mut Replica,
    pack: &Pack,
    staged: &BTreeSet<RepoPath>,
) -> Result<Copied, ReplicaError> {
    if replica.writer.size(&pack.path)?.is_some() || staged.contains(&pack.path) {
        return Ok(Copied::Held);
    }
    let limit = usize::try_from(pack.limit()).expect("a pack fits in memory");
    let bytes = match replica.get(&pack.path, limit).await {
        Ok(Some(bytes)) => bytes,
        Ok(None) => return Ok(Copied::Missing),
        Err(GetError { cause: countersign_store::Cause::TooLarge { .. }, .. }) => {
            return Ok(Copied::Bad);
        }
        Err(error) => return Err(error.into()),
    };
    if !pack.is_in(&bytes).unwrap_or(false) {
        return Ok(Copied::Bad);
    }
    replica.writer.put_immutable(&pack.path, &bytes)?;
    Ok(Copied::Written)
}

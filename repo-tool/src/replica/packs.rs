//! Copying packs. Their bytes depend on the compressor that made them, so they are fetched.

use std::collections::BTreeSet;
use std::io;

use countersign_format::hash::Hash32;
use countersign_format::layout::{self, RepoPath};
use countersign_format::limits::{MAX_ENTRY, MAX_PACK};
use countersign_format::merkle::{Frontier, leaf_hash};
use countersign_format::pack::{MAX_PACK_LEVEL, PackError, for_each_entry, pack_span};
use countersign_format::tile::tile_width;
use countersign_store::{GetError, Sink as _};

use super::{Replica, ReplicaError};
use crate::tree::{FULL, Tree, WIDTH, root_over};

/// A pack that a log may have.
struct Place {
    path: RepoPath,
    entries: u64,
    /// The root over its entries.
    root: Hash32,
}

/// Stages the packs that the log gained since it had `old` entries: those in `kept`, which were
/// read along with its entries, and those that the source has besides. Returns the paths of those
/// that hold something else than they should.
pub(super) async fn copy_packs(
    replica: &mut Replica,
    tree: &Tree,
    old: u64,
    kept: Vec<(RepoPath, Vec<u8>)>,
) -> Result<Vec<RepoPath>, ReplicaError> {
    let mut staged = BTreeSet::new();
    for (path, bytes) in kept {
        if replica.writer.size(&path)?.is_none() {
            replica.writer.put_immutable(&path, &bytes)?;
        }
        staged.insert(path);
    }
    let mut bad = Vec::new();
    for place in new_packs(tree, old) {
        if copy(replica, &place, &staged).await? == Copied::Bad {
            bad.push(place.path);
        }
    }
    for level in 1..=MAX_PACK_LEVEL {
        // large ones are made later; the newest is asked for first, so that
        // a source that never makes them costs one request
        for index in (0..old / pack_span(level)).rev() {
            let place = full_pack(tree, level, index);
            match copy(replica, &place, &staged).await? {
                Copied::Written | Copied::Held => {}
                Copied::Bad => bad.push(place.path),
                Copied::Missing => break,
            }
        }
    }
    Ok(bad)
}

/// The packs that became possible since the log had `old` entries.
fn new_packs(tree: &Tree, old: u64) -> Vec<Place> {
    let size = tree.size();
    let mut places = Vec::new();
    for level in 0..=MAX_PACK_LEVEL {
        let span = pack_span(level);
        places.extend((old / span..size / span).map(|index| full_pack(tree, level, index)));
    }
    let width = tile_width(size, 0, size / WIDTH);
    if width > 0 && size > old {
        let (_, tail) = tree.parts();
        let path = layout::pack(tree.log(), 0, size / WIDTH, width);
        places.push(Place { path, entries: width.into(), root: root_over(&[], tail) });
    }
    places
}

fn full_pack(tree: &Tree, level: u8, index: u64) -> Place {
    Place {
        path: layout::pack(tree.log(), level, index, FULL),
        entries: pack_span(level),
        root: tree.pack_root(level, index),
    }
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
    place: &Place,
    kept: &BTreeSet<RepoPath>,
) -> Result<Copied, ReplicaError> {
    if replica.writer.size(&place.path)?.is_some() || kept.contains(&place.path) {
        return Ok(Copied::Held);
    }
    let limit = MAX_PACK.min(place.entries * (MAX_ENTRY as u64 + 2) + 1024);
    let limit = usize::try_from(limit).expect("a pack fits in memory");
    let bytes = match replica.get(&place.path, limit).await {
        Ok(Some(bytes)) => bytes,
        Ok(None) => return Ok(Copied::Missing),
        Err(GetError { cause: countersign_store::Cause::TooLarge { .. }, .. }) => {
            return Ok(Copied::Bad);
        }
        Err(error) => return Err(error.into()),
    };
    if root_of(&bytes, place.entries).ok() != Some(place.root) {
        return Ok(Copied::Bad);
    }
    replica.writer.put_immutable(&place.path, &bytes)?;
    Ok(Copied::Written)
}

/// The root over a pack's entries.
pub(crate) fn root_of(pack: &[u8], entries: u64) -> Result<Hash32, PackError<io::Error>> {
    let mut frontier = Frontier::empty();
    for_each_entry(pack, entries, |entry| {
        frontier.push(leaf_hash(entry));
        Ok(())
    })?;
    Ok(frontier.root())
}

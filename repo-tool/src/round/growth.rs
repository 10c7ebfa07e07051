//! The proof that a head's tree extends an earlier one: what lets the holder of a key on a machine
//! without the log sign that it does.

use std::convert::Infallible;

use countersign_format::hash::Hash32;
use countersign_format::layout::Log;
use countersign_format::merkle::{Frontier, NodeReader, leaf_hash, prove_consistency};
use countersign_format::tile::perfect_root;
use countersign_store::Sink;
use serde::{Deserialize, Serialize};

use crate::publish::{PublishError, read_entries};

/// An earlier tree, and the proof that the head's extends it (RFC 9162 §2.1.4).
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Growth {
    /// Entries of the earlier tree.
    pub size: u64,
    /// Its root.
    pub root: Hash32,
    /// The proof.
    pub proof: Vec<Hash32>,
}

struct Leaves(Vec<Hash32>);

impl NodeReader for Leaves {
    type Error = Infallible;

    fn node(&mut self, level: u8, index: u64) -> Result<Hash32, Infallible> {
        let place = |index: u64| usize::try_from(index << level).expect("leaves are in memory");
        Ok(perfect_root(&self.0[place(index)..place(index + 1)]))
    }
}

/// Proves that the log of `size` entries in `sink`, with `new` after them, extends its first
/// `since` entries, which are no more than that.
pub fn grow(
    sink: &dyn Sink,
    log: Log,
    size: u64,
    new: &[Vec<u8>],
    since: u64,
) -> Result<Growth, PublishError> {
    let mut leaves = Vec::new();
    read_entries(sink, log, size, |_, entry| leaves.push(leaf_hash(entry)))?;
    leaves.extend(new.iter().map(|entry| leaf_hash(entry)));
    let mut frontier = Frontier::empty();
    let old = usize::try_from(since).map_or(leaves.len(), |since| since.min(leaves.len()));
    leaves[..old].iter().for_each(|leaf| frontier.push(*leaf));
    let total = leaves.len() as u64;
    let Ok(proof) = prove_consistency(old as u64, total, &mut Leaves(leaves));
    Ok(Growth { size: frontier.size(), root: frontier.root(), proof })
}

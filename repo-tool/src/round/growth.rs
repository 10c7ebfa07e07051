//! The proof that a head's tree extends an earlier one, and with what: what lets the holder of a key
//! on a machine without the log see what the head says, and sign that it does.

use std::convert::Infallible;

use countersign_format::checkpoint::Checkpoint;
use countersign_format::entry::{CollectionEntry, DistributionEntry, IndexRange};
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
    /// Of a log of the signer's own: the roots of the earlier tree's full subtrees, to which the
    /// entries are appended.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub frontier: Vec<Hash32>,
    /// Of a log of the signer's own: the entries behind the earlier tree, newlines included.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub entries: Vec<String>,
}

impl Growth {
    /// Whether the entries lead from the earlier tree to `head`: then they are what it adds.
    pub fn shows(&self, head: &Checkpoint) -> bool {
        let Ok(mut frontier) = Frontier::from_parts(self.size, self.frontier.clone()) else {
            return false;
        };
        let is_earlier = frontier.root() == self.root;
        self.entries.iter().for_each(|entry| frontier.push(leaf_hash(entry.as_bytes())));
        is_earlier && (frontier.size(), frontier.root()) == (head.size, head.root)
    }

    /// Without the entries: of the log of others it is enough that it grew.
    #[must_use]
    pub fn proof_only(self) -> Self {
        Self { frontier: Vec::new(), entries: Vec::new(), ..self }
    }

    /// Each entry in words, with its index, as one of the log of `role`.
    pub fn describe(&self, role: Log) -> impl Iterator<Item = (u64, String)> {
        let words = move |entry: &String| match role {
            Log::Collection => collection_entry(entry),
            Log::Distribution => distribution_entry(entry),
        };
        (self.size..).zip(self.entries.iter().map(words))
    }
}

fn collection_entry(entry: &str) -> String {
    match CollectionEntry::parse(entry.as_bytes()) {
        Ok(CollectionEntry::Patch(patch)) => format!("patch {}", patch.identity()),
        Ok(CollectionEntry::Revoke(it)) => format!("revokes entry {}: {}", it.patch, it.reason),
        Ok(CollectionEntry::Authority(it)) => names_authority(it.version),
        Err(_) => MEANS_NOTHING.to_owned(),
    }
}

fn distribution_entry(entry: &str) -> String {
    match DistributionEntry::parse(entry.as_bytes()) {
        Ok(DistributionEntry::Release(it)) => {
            let percent =
                if it.percent < 100 { format!(", {} %", it.percent) } else { String::new() };
            format!("releases {} of {} to {}{percent}", list(&it.patches), it.of.origin, it.ring)
        }
        Ok(DistributionEntry::Withdraw(it)) => {
            let (patches, reason) = (list(&it.patches), &it.reason);
            format!("withdraws {patches} of {} from {}: {reason}", it.of.origin, it.ring)
        }
        Ok(DistributionEntry::Authority(it)) => names_authority(it.version),
        Err(_) => MEANS_NOTHING.to_owned(),
    }
}

const MEANS_NOTHING: &str = "nothing that readers understand";

fn names_authority(version: u64) -> String {
    format!("names version {version} of the authority note")
}

fn list(ranges: &[IndexRange]) -> String {
    let one = |range: &IndexRange| match range.end - range.start {
        1 => range.start.to_string(),
        _ => format!("{}–{}", range.start, range.end - 1),
    };
    ranges.iter().map(one).collect::<Vec<_>>().join(", ")
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
    let (mut leaves, mut entries) = (Vec::new(), Vec::new());
    let mut take = |entry: &[u8]| {
        if leaves.len() as u64 >= since {
            entries.push(String::from_utf8_lossy(entry).into_owned());
        }
        leaves.push(leaf_hash(entry));
    };
    read_entries(sink, log, size, |_, entry| take(entry))?;
    for entry in new {
        take(entry);
    }
    let mut frontier = Frontier::empty();
    let old = usize::try_from(since).map_or(leaves.len(), |since| since.min(leaves.len()));
    leaves[..old].iter().for_each(|leaf| frontier.push(*leaf));
    let total = leaves.len() as u64;
    let Ok(proof) = prove_consistency(old as u64, total, &mut Leaves(leaves));
    let (size, root, frontier) = (frontier.size(), frontier.root(), frontier.roots().to_vec());
    Ok(Growth { size, root, proof, frontier, entries })
}

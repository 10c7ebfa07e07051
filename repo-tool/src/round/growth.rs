//! The proof that a head's tree extends an earlier one, and with what: what lets the holder of a key
//! on a machine without the log see what the head says, and sign that it does.

use countersign_format::checkpoint::Checkpoint;
use countersign_format::entry::{CollectionEntry, DistributionEntry, IndexRange};
use countersign_format::hash::Hash32;
use countersign_format::layout::Log;
use countersign_format::merkle::{Frontier, leaf_hash, prove_consistency};
use countersign_store::Sink;
use serde::{Deserialize, Serialize};

use crate::publish::{PublishError, TreeNodes, read_entries_from};

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
        (self.size..).zip(self.entries.iter().map(move |entry| describe_entry(role, entry)))
    }
}

/// An entry of the log of `role` in words.
pub fn describe_entry(role: Log, entry: &str) -> String {
    match role {
        Log::Collection => collection_entry(entry),
        Log::Distribution => distribution_entry(entry),
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

/// Proves that the log in `sink`, with `new` after its entries, extends its first `since` entries,
/// of which there may be fewer. Reads hash tiles, and the entries behind those.
pub fn grow(
    sink: &dyn Sink,
    log: Log,
    new: &[Vec<u8>],
    since: u64,
) -> Result<Growth, PublishError> {
    let mut nodes = TreeNodes::open(sink, log, new)?;
    let (held, total) = (nodes.held(), nodes.size());
    let frontier = nodes.frontier_at(since.min(total))?;
    let (size, root) = (frontier.size(), frontier.root());
    let proof = prove_consistency(size, total, &mut nodes)?;
    let mut entries = Vec::new();
    let mut take = |entry: &[u8]| entries.push(String::from_utf8_lossy(entry).into_owned());
    read_entries_from(sink, log, (size.min(held), held), |_, entry| take(entry))?;
    let behind = usize::try_from(size.saturating_sub(held)).unwrap_or(usize::MAX);
    new.iter().skip(behind).for_each(|entry| take(entry));
    Ok(Growth { size, root, proof, frontier: frontier.roots().to_vec(), entries })
}

#[cfg(test)]
mod tests {
    use countersign_fixtures::RepositoryBuilder;
    use countersign_format::layout;
    use countersign_format::merkle::verify_consistency;

    use super::*;

    #[test]
    fn every_earlier_tree_is_proven_whatever_is_about_to_be_appended() {
        let mut repository = RepositoryBuilder::new().build();
        repository.collect_history(600);
        repository.publish();
        let note = repository.note(&layout::checkpoint(Log::Collection));
        let Checkpoint { origin, size: held, .. } = Checkpoint::parse(note.text()).expect("a head");
        let new: Vec<Vec<u8>> = (0..300).map(|it: u32| it.to_string().into_bytes()).collect();
        for new in [&new[..0], &new[..1], &new[..]] {
            let mut frontier = Frontier::empty();
            let mut roots = vec![frontier.root()];
            for entry in repository.collection.entries().iter().chain(new) {
                frontier.push(leaf_hash(entry));
                roots.push(frontier.root());
            }
            let total = held + new.len() as u64;
            for since in [0, 1, 255, 256, 257, 512, 599, held, total, total + 5] {
                let memory = repository.memory();
                let grown = grow(&memory, Log::Collection, new, since).expect("proven");
                let root = roots[usize::try_from(since.min(total)).expect("small")];
                assert_eq!((grown.size, grown.root), (since.min(total), root), "{since}");
                let newest =
                    Checkpoint { size: total, root: frontier.root(), origin: origin.clone() };
                assert!(grown.shows(&newest), "{since} of {total}");
                verify_consistency(grown.size, &root, total, &frontier.root(), &grown.proof)
                    .unwrap_or_else(|error| panic!("{since} of {total}: {error}"));
            }
        }
    }
}

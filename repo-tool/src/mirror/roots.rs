//! The roots that decisions name, against those that the entries make.

use countersign_format::hash::Hash32;
use countersign_format::layout::Log;
use countersign_format::merkle::{Frontier, leaf_hash};

use super::released::Named;
use crate::replica::{Fork, Replica, ReplicaError};

/// Looks for a tree of the collection's log that is another than a decision says.
pub(super) struct Roots {
    frontier: Frontier,
    named: Named,
    /// The first contradiction: size, root that is named, root that the entries make.
    contradiction: Option<(u64, Hash32, Hash32)>,
}

impl Roots {
    /// Roots at `frontier` and beyond are compared as entries are pushed.
    pub(super) fn new(frontier: Frontier, named: Named) -> Self {
        let mut roots = Self { frontier, named, contradiction: None };
        roots.compare(roots.frontier.size(), roots.frontier.root());
        roots
    }

    /// The sizes that decisions name below the beginning.
    pub(super) fn earlier(&self) -> Vec<u64> {
        self.named.range(..self.frontier.size()).map(|(size, _)| *size).collect()
    }

    /// Adds the next entry.
    pub(super) fn push(&mut self, entry: &[u8]) {
        self.frontier.push(leaf_hash(entry));
        if self.named.contains_key(&self.frontier.size()) {
            self.compare(self.frontier.size(), self.frontier.root());
        }
    }

    /// Compares the root that the log had at `size`.
    pub(super) fn compare(&mut self, size: u64, found: Hash32) {
        let named = self.named.get(&size).into_iter().flatten().find(|named| **named != found);
        if let Some(named) = named {
            self.contradiction.get_or_insert((size, *named, found));
        }
    }

    /// An error if there was a contradiction.
    pub(super) fn check(&self, replica: &Replica) -> Result<(), ReplicaError> {
        let Some((size, named, found)) = self.contradiction else { return Ok(()) };
        Err(ReplicaError::Fork(Box::new(Fork {
            source_name: replica.source().name().to_owned(),
            log: Log::Collection,
            size,
            found,
            named,
            other: "a decision of the distribution's log".to_owned(),
        })))
    }
}

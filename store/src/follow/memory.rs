//! How much memory the files of logs take that are asked for ahead, or wait to be folded.

use std::sync::Arc;

use countersign_format::limits::{MAX_BUNDLE, MAX_ENTRY, MAX_PACK};
use countersign_format::pack::max_pack_length;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::WIDTH;
use super::cover::{Part, Step};

/// Bytes that they take together: three of the largest packs, as a hostile server may send them.
pub(super) const MAX_AHEAD: u64 = 3 * MAX_PACK;
// entries that stand in a tail pack are read all at once
const _: () = assert!(MAX_AHEAD > 2 * (MAX_BUNDLE as u64) + 2 * WIDTH * MAX_ENTRY as u64);

/// The memory for the files of one log, or of several that are read side by side.
///
/// Every file that is asked for has its share of it first: as much as it may be large. A file that
/// the next entries are in waits for a share while nothing else of its log has one, so that logs do
/// not wait for each other without end.
#[derive(Clone, Debug)]
pub struct Memory(Arc<Semaphore>);

/// What one file takes, until it is dropped.
#[derive(Debug)]
pub(super) struct Share {
    _permit: OwnedSemaphorePermit,
}

impl Default for Memory {
    fn default() -> Self {
        Self::of(MAX_AHEAD)
    }
}

impl Memory {
    /// Memory of so many bytes.
    pub(super) fn of(bytes: u64) -> Self {
        Self(Arc::new(Semaphore::new(usize::try_from(bytes).expect("64 bits"))))
    }

    /// The share of a step's file, if there is as much now.
    pub(super) fn share(&self, step: &Step) -> Option<Share> {
        let permit = Arc::clone(&self.0).try_acquire_many_owned(permits(step));
        permit.ok().map(|permit| Share { _permit: permit })
    }

    /// The share of a step's file, once there is as much.
    pub(super) async fn wait(&self, step: &Step) -> Share {
        let permit = Arc::clone(&self.0).acquire_many_owned(permits(step)).await;
        Share { _permit: permit.expect("nobody closes it") }
    }

    /// Bytes of which no share is taken.
    #[cfg(test)]
    pub(super) fn left(&self) -> u64 {
        self.0.available_permits() as u64
    }
}

fn permits(step: &Step) -> u32 {
    u32::try_from(most(step)).expect("at most MAX_AHEAD")
}

/// Bytes that a step's file takes at most: as it came and, of a tail pack, its entries besides.
pub(super) fn most(step: &Step) -> u64 {
    let (_, count) = step.span();
    match step.part {
        Part::Pack { .. } => max_pack_length(count),
        Part::Tail { .. } => {
            let wanted = step.entries.end - step.entries.start;
            max_pack_length(count) + wanted * MAX_ENTRY as u64
        }
        Part::Bundle { .. } => MAX_BUNDLE as u64,
    }
}

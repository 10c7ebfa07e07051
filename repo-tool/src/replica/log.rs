//! Copying a log: entries are fetched once, tiles and bundles follow from them, packs come along.

use countersign_format::layout::RepoPath;
use countersign_format::merkle::leaf_hash;
use countersign_store::Sink as _;
use countersign_store::follow::FollowError;

use super::heads::Head;
use super::packs::copy_packs;
use super::{Replica, ReplicaError};
use crate::publish::LogCopy;
use crate::tree::{Tree, WIDTH};

/// Takes the new entries one by one: leaf index, and the entry's bytes.
pub type Visitor<'a> = dyn FnMut(u64, &[u8]) + 'a;

/// Fetches what a log gained and stages its files: tiles, bundles and packs. Every new entry is
/// handed to `visit`, and counts only if this succeeds. Nothing is visible before the writer's next
/// [`Sink::sync`](countersign_store::Sink::sync).
///
/// After an error nothing is staged any more. One that [may be of packs](ReplicaError::may_be_packs)
/// proves nothing: the log is to be copied without.
///
/// Returns the packs that were left out because they are not what their place says.
pub async fn copy_log(
    replica: &mut Replica,
    head: &Head,
    visit: &mut Visitor<'_>,
) -> Result<Vec<RepoPath>, ReplicaError> {
    if head.is_held {
        return Ok(Vec::new());
    }
    let copied = copy_gained(replica, head, visit).await;
    if copied.is_err() {
        replica.writer.discard();
    }
    copied
}

async fn copy_gained(
    replica: &mut Replica,
    head: &Head,
    visit: &mut Visitor<'_>,
) -> Result<Vec<RepoPath>, ReplicaError> {
    let root = replica.root.clone();
    let damaged = |source| ReplicaError::Held { root: root.clone(), source };
    let new = &head.signed.checkpoint;
    let (source, writer) = (replica.source.clone(), &mut replica.writer);
    let mut tree = Tree::load(writer, head.log, head.held.size).map_err(damaged)?;
    let mut copy = LogCopy::open(writer, head.log, &new.origin).map_err(damaged)?;
    let mut leaves = tree.parts().1.to_vec();
    let mut observe = |index: u64, entry: &[u8]| {
        visit(index, entry);
        leaves.push(leaf_hash(entry));
        if (index + 1).is_multiple_of(WIDTH) || index + 1 == new.size {
            tree.push(&std::mem::take(&mut leaves));
        }
    };
    let copied = copy.follow_keeping(&source, new, replica.with_packs, &mut observe).await;
    if let Err(FollowError::Root { size, with_packs: false, .. }) = &copied {
        let before = replica.held_head(head.log)?.map(|held| held.bytes).unwrap_or_default();
        replica.keep_contradiction(head.log, *size, &before, &head.bytes)?;
    }
    copy_packs(replica, &tree, head.held.size, &copied?).await
}

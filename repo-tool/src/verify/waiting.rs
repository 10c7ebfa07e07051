//! Heads that wait for their witnesses (SPEC §4.6): signed by the servers, going on from what is
//! published, with all the files that they need. What belongs to them belongs to the repository.

use countersign_terminal::Progress;

use super::finding::FindingKind;
use super::heads::{self, Head};
use super::tree::root_at;
use super::{Check, Context, LogSummary, Logs, chain};
use crate::tree::Tree;

/// Checks them, and adds to what is to be checked of the published logs what they lead to.
pub(super) async fn check(
    check: &mut Check,
    (authority, context): (&chain::Authority, &Context<'_>),
    (published, logs): (&[Head], &mut Logs),
    progress: &Progress,
) -> Vec<LogSummary> {
    // nobody asks for witnesses of a collection's own repository
    if context.is_first {
        return Vec::new();
    }
    let mut waiting = Vec::new();
    for head in published {
        let found = heads::waiting(check, context, head.log).await;
        waiting.extend(found.filter(|found| may_replace(check, head, found)));
    }
    if waiting.is_empty() {
        return Vec::new();
    }
    // a head that waits for nothing goes with the other log's that does
    let next: Vec<Head> = published
        .iter()
        .map(|head| waiting.iter().find(|waiting| waiting.log == head.log).unwrap_or(head).clone())
        .collect();
    let found = check.logs(authority, context, &next, progress).await;
    for head in &waiting {
        let before = published.iter().find(|published| published.log == head.log);
        let tree = found.trees.iter().find(|tree| tree.log() == head.log);
        if let (Some(before), Some(tree)) = (before, tree) {
            extends(check, before, head, tree).await;
        }
    }
    for job in found.jobs {
        if !logs.jobs.iter().any(|known| known.is_alike(&job)) {
            logs.jobs.push(job);
        }
    }
    let is_waiting = |summary: &LogSummary| waiting.iter().any(|head| head.log == summary.log);
    found.summaries.into_iter().filter(is_waiting).collect()
}

/// Whether a head may come after the published one, by its size and root alone.
fn may_replace(check: &mut Check, published: &Head, waiting: &Head) -> bool {
    let (before, after) = (&published.checkpoint, &waiting.checkpoint);
    if after.size < before.size {
        let message = format!(
            "left from a publication: it has {} entries, published are {}",
            after.size, before.size
        );
        check.findings.add(&waiting.file, FindingKind::Unexpected, message);
    } else if after.size == before.size && after.root != before.root {
        fork(check, waiting, before.size);
    } else {
        return true;
    }
    false
}

/// Reports a head whose tree does not begin with the published one.
async fn extends(check: &mut Check, published: &Head, waiting: &Head, tree: &Tree) {
    let reader = check.reader.clone();
    let size = published.checkpoint.size;
    let root = root_at(tree, size, &reader).await;
    if root.is_some_and(|root| root != published.checkpoint.root) {
        fork(check, waiting, size);
    }
}

fn fork(check: &mut Check, waiting: &Head, size: u64) {
    let message = format!(
        "the {} log was forked: the head that waits for its witnesses does not go on from the \
         published one of {size} entries",
        waiting.log
    );
    check.findings.add(&waiting.file, FindingKind::Fork, message);
}

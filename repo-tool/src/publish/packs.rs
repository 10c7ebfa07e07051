//! Packs of several bundles, made of bundles that are published (SPEC §4.4).

use countersign_format::layout::{self, Log, RepoPath};
use countersign_format::limits::{MAX_BUNDLE, MAX_PACK_INFLATED};
use countersign_format::pack::{self, MAX_PACK_LEVEL};
use countersign_store::Sink;

use super::growth::Bundle;
use super::{FULL, LEVEL, PublishError};

/// Largest pack, inflated, that publishing makes at once: more takes seconds to compress, and is
/// left to the next refresh.
const MAX_AT_ONCE: u64 = 4 * 1024 * 1024;

/// Stages the pack of one bundle, unless it is there: one that an interrupted run of another
/// version made is as good.
pub(super) fn add_single(
    sink: &mut dyn Sink,
    log: Log,
    bundle: &Bundle,
) -> Result<(), PublishError> {
    if sink.size(&bundle.pack_path(log))?.is_none() {
        sink.put_immutable(&bundle.pack_path(log), &bundle.pack(log)?)?;
    }
    Ok(())
}

/// Stages the packs of level 1 that a log completes by growing from `old` to `new` entries, unless
/// they are large.
pub(super) fn add_completed(
    sink: &mut dyn Sink,
    log: Log,
    old: u64,
    new: u64,
) -> Result<(), PublishError> {
    let span = pack::pack_span(1);
    for index in old / span..new / span {
        add(sink, log, 1, index, MAX_AT_ONCE)?;
    }
    Ok(())
}

/// Removes what [`add_completed`] staged.
pub(super) fn remove_completed(
    sink: &mut dyn Sink,
    log: Log,
    old: u64,
    new: u64,
) -> Result<(), PublishError> {
    let span = pack::pack_span(1);
    for index in old / span..new / span {
        sink.remove(&layout::pack(log, 1, index, FULL))?;
    }
    Ok(())
}

/// Stages every pack that a log of `size` entries may have and lacks, and returns how many.
pub(super) fn add_missing(sink: &mut dyn Sink, log: Log, size: u64) -> Result<usize, PublishError> {
    let mut added = 0;
    for level in 0..=MAX_PACK_LEVEL {
        for index in 0..size / pack::pack_span(level) {
            if sink.size(&layout::pack(log, level, index, FULL))?.is_none() {
                added += usize::from(add(sink, log, level, index, MAX_PACK_INFLATED)?);
            }
        }
    }
    Ok(added)
}

/// Stages one full pack, unless it inflates beyond `limit`. Returns whether it did.
fn add(
    sink: &mut dyn Sink,
    log: Log,
    level: u8,
    index: u64,
    limit: u64,
) -> Result<bool, PublishError> {
    let count = pack::pack_span(level) / u64::from(FULL);
    let bundles: Vec<RepoPath> = (index * count..(index + 1) * count)
        .map(|bundle| layout::bundle(log, bundle, FULL))
        .collect();
    let mut total = 0;
    for path in &bundles {
        total += sink.size(path)?.ok_or_else(|| PublishError::Missing(path.clone()))?;
    }
    if total > limit {
        return Ok(false);
    }
    let mut bytes = Vec::new();
    for path in &bundles {
        let bundle = sink.read(path, MAX_BUNDLE as u64)?;
        bytes.extend(bundle.ok_or_else(|| PublishError::Missing(path.clone()))?);
    }
    let path = layout::pack(log, level, index, FULL);
    match pack::compress(&bytes, LEVEL) {
        Ok(packed) => sink.put_immutable(&path, &packed)?,
        Err(source) => return Err(PublishError::Compress { path, source }),
    };
    Ok(true)
}

//! Packs of several bundles, made of bundles that are published (SPEC §4.4).

use countersign_format::layout::{self, Log, RepoPath};
use countersign_format::limits::{MAX_BUNDLE, MAX_PACK_INFLATED};
use countersign_format::pack::{self, MAX_PACK_LEVEL};
use countersign_store::Sink;

use super::growth::Bundle;
use super::{FULL, PublishError};
use crate::side_by_side::side_by_side;

/// zstd level of packs that are there for good and that a refresh makes: they are made once and
/// read by everybody. Of one bundle with 83 kB, 1.6 MB/s and 22.05 kB.
const LEVEL: i32 = 19;
/// Of full bundles, which publishing makes: 9.4 MB/s and 22.17 kB. What readers fetch of a large
/// log are the packs of many bundles.
const FULL_LEVEL: i32 = 15;
/// Of unfinished bundles, which each publication makes anew: 430 MB/s and 24.00 kB.
const TAIL_LEVEL: i32 = 3;

/// Stages the packs of bundles, each alone, unless they are there: one that an interrupted run of
/// another version made is as good. Unlike all other files, their bytes depend on the compressor.
pub(super) fn add_singles(
    sink: &mut dyn Sink,
    log: Log,
    bundles: &[Bundle],
) -> Result<(), PublishError> {
    let mut missing = Vec::new();
    for bundle in bundles {
        if sink.size(&bundle.pack_path(log))?.is_none() {
            missing.push(bundle);
        }
    }
    let level = |bundle: &Bundle| if bundle.is_full() { FULL_LEVEL } else { TAIL_LEVEL };
    let packs = side_by_side(&missing, |bundle| pack::compress(&bundle.bytes, level(bundle)));
    for (bundle, pack) in missing.iter().zip(packs) {
        let path = bundle.pack_path(log);
        match pack {
            Ok(bytes) => sink.put_immutable(&path, &bytes)?,
            Err(source) => return Err(PublishError::Compress { path, source }),
        };
    }
    Ok(())
}

/// Stages every pack that a log of `size` entries may have and lacks, and returns how many.
pub(super) fn add_missing(sink: &mut dyn Sink, log: Log, size: u64) -> Result<usize, PublishError> {
    let mut added = 0;
    for level in 0..=MAX_PACK_LEVEL {
        for index in 0..size / pack::pack_span(level) {
            if sink.size(&layout::pack(log, level, index, FULL))?.is_none() {
                added += usize::from(add(sink, log, level, index)?);
            }
        }
    }
    Ok(added)
}

/// Stages one full pack, unless it inflates beyond [`MAX_PACK_INFLATED`]. Returns whether it did.
fn add(sink: &mut dyn Sink, log: Log, level: u8, index: u64) -> Result<bool, PublishError> {
    let count = pack::pack_span(level) / u64::from(FULL);
    let bundles: Vec<RepoPath> = (index * count..(index + 1) * count)
        .map(|bundle| layout::bundle(log, bundle, FULL))
        .collect();
    let mut total = 0;
    for path in &bundles {
        total += sink.size(path)?.ok_or_else(|| PublishError::Missing(path.clone()))?;
    }
    if total > MAX_PACK_INFLATED {
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

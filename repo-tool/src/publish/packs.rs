//! Packs, made of bundles that are published (SPEC §4.4).

use std::ops::Range;

use countersign_format::layout::{self, Log, RepoPath};
use countersign_format::limits::{MAX_BUNDLE, TILE_WIDTH};
use countersign_format::pack::{self, MAX_PACK_LEVEL, Order, pack_span, tail_start};
use countersign_format::tile::tile_width;
use countersign_store::Sink;

use super::PublishError;
use super::growth::Bundle;
use crate::side_by_side::side_by_side;

const WIDTH: u64 = TILE_WIDTH as u64;
/// zstd level of packs that are there for good and that a refresh makes: they are made once and
/// read by everybody.
const LEVEL: i32 = 19;
/// Of single full bundles, which publishing makes. What readers fetch of a large log are the packs of
/// many bundles.
const FULL_LEVEL: i32 = 15;
/// Of tails, which each publication makes anew.
const TAIL_LEVEL: i32 = 6;

/// A pack that is to be made.
struct Plan<'b> {
    path: RepoPath,
    order: Order,
    entries: Vec<&'b [u8]>,
    level: i32,
}

/// Stages the packs that come with a head of `size` entries, of which `bundles` are new: that of each
/// full bundle and that of the tail, unless they are there. One that an interrupted run of another
/// version made is as good: unlike all other files, their bytes depend on the compressor.
pub(super) fn add_new(
    sink: &mut dyn Sink,
    log: Log,
    bundles: &[Bundle],
    size: u64,
) -> Result<(), PublishError> {
    let mut plans = Vec::new();
    for bundle in bundles.iter().filter(|bundle| bundle.is_full()) {
        let path = layout::pack(log, 0, bundle.index());
        if sink.size(&path)?.is_none() {
            let entries = bundle.entries(log)?;
            plans.push(Plan { path, order: Order::Bundles, entries, level: FULL_LEVEL });
        }
    }
    let before;
    if lacks_tail(sink, log, size)? {
        let first_new = bundles.first().map_or(u64::MAX, Bundle::index);
        let indexes = tail_start(size) / WIDTH..size.div_ceil(WIDTH).min(first_new);
        before = read(sink, log, size, indexes)?;
        plans.push(tail(log, size, before.iter().chain(bundles))?);
    }
    stage(sink, &plans).map(drop)
}

/// Stages every pack that a log of `size` entries may have and lacks, and returns how many.
pub(super) fn add_missing(sink: &mut dyn Sink, log: Log, size: u64) -> Result<usize, PublishError> {
    let mut added = 0;
    for level in 0..=MAX_PACK_LEVEL {
        for index in 0..size / pack_span(level) {
            let path = layout::pack(log, level, index);
            if sink.size(&path)?.is_some() {
                continue;
            }
            let count = pack_span(level) / WIDTH;
            let bundles = read(sink, log, size, index * count..(index + 1) * count)?;
            let entries = entries(log, &bundles)?;
            added += stage(sink, &[Plan { path, order: Order::Bundles, entries, level: LEVEL }])?;
        }
    }
    if lacks_tail(sink, log, size)? {
        let indexes = tail_start(size) / WIDTH..size.div_ceil(WIDTH);
        let bundles = read(sink, log, size, indexes)?;
        added += stage(sink, &[tail(log, size, &bundles)?])?;
    }
    Ok(added)
}

fn lacks_tail(sink: &dyn Sink, log: Log, size: u64) -> Result<bool, PublishError> {
    Ok(size > 0 && sink.size(&layout::tail_pack(log, size))?.is_none())
}

/// The tail pack of a log of `size` entries, which `bundles` end with.
fn tail<'b>(
    log: Log,
    size: u64,
    bundles: impl IntoIterator<Item = &'b Bundle>,
) -> Result<Plan<'b>, PublishError> {
    let is_in = |bundle: &&Bundle| bundle.index() >= tail_start(size) / WIDTH;
    let mut entries = entries(log, bundles.into_iter().filter(is_in))?;
    entries.reverse();
    let path = layout::tail_pack(log, size);
    Ok(Plan { path, order: Order::Tail, entries, level: TAIL_LEVEL })
}

fn entries<'b>(
    log: Log,
    bundles: impl IntoIterator<Item = &'b Bundle>,
) -> Result<Vec<&'b [u8]>, PublishError> {
    let mut entries = Vec::new();
    for bundle in bundles {
        entries.extend(bundle.entries(log)?);
    }
    Ok(entries)
}

/// Bundles of a log of `size` entries.
fn read(
    sink: &dyn Sink,
    log: Log,
    size: u64,
    indexes: Range<u64>,
) -> Result<Vec<Bundle>, PublishError> {
    let read = |index: u64| {
        let width = tile_width(size, 0, index);
        let path = layout::bundle(log, index, width);
        let bytes = sink.read(&path, MAX_BUNDLE as u64)?;
        Ok(Bundle::new(index, width, bytes.ok_or(PublishError::Missing(path))?))
    };
    indexes.map(read).collect()
}

/// Makes packs and stages them, without those that would inflate beyond what readers take. Returns how
/// many.
fn stage(sink: &mut dyn Sink, plans: &[Plan<'_>]) -> Result<usize, PublishError> {
    let make =
        |plan: &Plan<'_>| pack::compress(plan.order, plan.entries.iter().copied(), plan.level);
    let mut staged = 0;
    for (plan, made) in plans.iter().zip(side_by_side(plans, make)) {
        match made {
            Ok(Some(bytes)) => {
                sink.put_immutable(&plan.path, &bytes)?;
                staged += 1;
            }
            Ok(None) => {}
            Err(source) => {
                return Err(PublishError::Compress { path: plan.path.clone(), source });
            }
        }
    }
    Ok(staged)
}

//! Which files are read to go from one size of a log to another: the cheapest cover (SPEC §4.3).

use std::collections::VecDeque;
use std::ops::Range;

use countersign_format::layout::{self, Log, RepoPath};
use countersign_format::pack::{MAX_PACK_LEVEL, TAIL_GROUP, pack_span, tail_start};
use countersign_format::tile::tile_width;

use super::WIDTH;

/// How many times smaller an entry is in a pack than in a bundle, about: 75 to 95 against 300 bytes.
/// Decides between a range of a bundle and a pack that has more than what is wanted.
const PACK_GAIN: u64 = 3;

/// A file, and the entries that are taken from it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Step {
    /// The entries.
    pub(super) entries: Range<u64>,
    /// The file.
    pub(super) part: Part,
}

/// A file of the head that is gone to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Part {
    /// The pack `(level, index)`.
    Pack { level: u8, index: u64 },
    /// The tail pack of the head of `size` entries.
    Tail { size: u64 },
    /// The bundle `index` of `width` entries.
    Bundle { index: u64, width: u16 },
}

impl Step {
    /// Of a pack or a bundle, its first entry, and how many it has.
    pub(super) fn span(&self) -> (u64, u64) {
        match self.part {
            Part::Pack { level, index } => (index * pack_span(level), pack_span(level)),
            Part::Tail { size } => (tail_start(size), size - tail_start(size)),
            Part::Bundle { index, width } => (index * WIDTH, width.into()),
        }
    }

    /// Whether all entries of a pack or a bundle are taken.
    pub(super) fn is_whole(&self) -> bool {
        let (first, count) = self.span();
        self.entries == (first..first + count)
    }

    /// The file's path.
    pub(super) fn path(&self, log: Log) -> RepoPath {
        match self.part {
            Part::Pack { level, index } => layout::pack(log, level, index),
            Part::Tail { size } => layout::tail_pack(log, size),
            Part::Bundle { index, width } => layout::bundle(log, index, width),
        }
    }

    /// What to read where the file is not there, as packs may be; none for a bundle, which a log cannot
    /// be without.
    pub(super) fn otherwise(&self, size: u64) -> Option<VecDeque<Step>> {
        match self.part {
            Part::Pack { level, .. } => Some(cover(self.entries.clone(), size, level, false)),
            Part::Tail { .. } => Some(cover(self.entries.clone(), size, 1, false)),
            Part::Bundle { .. } => None,
        }
    }
}

/// The files for a reader that holds `from` of `size` entries, if all packs are there.
pub(super) fn best_cover(from: u64, size: u64) -> VecDeque<Step> {
    cover(from..size, size, MAX_PACK_LEVEL + 1, true)
}

/// The bundles that have `entries` of a log of `size`.
pub(super) fn cover_of_bundles(entries: Range<u64>, size: u64) -> VecDeque<Step> {
    cover(entries, size, 0, false)
}

/// The files that have `entries` of a log of `size`: packs of levels below `levels`, the tail pack
/// where `with_tail`, and bundles.
fn cover(entries: Range<u64>, size: u64, levels: u8, with_tail: bool) -> VecDeque<Step> {
    let mut steps = VecDeque::new();
    let mut at = entries.start;
    while at < entries.end {
        let part = if with_tail && is_for_tail(at, size) {
            Part::Tail { size }
        } else {
            next_part(at, entries.end, size, levels)
        };
        let mut step = Step { entries: at..entries.end, part };
        let (first, count) = step.span();
        step.entries.end = entries.end.min(first + count);
        at = step.entries.end;
        steps.push_back(step);
    }
    steps
}

/// Whether the tail pack has what is missing, and costs less than ranges of bundles.
fn is_for_tail(at: u64, size: u64) -> bool {
    let missing = size - at;
    at >= tail_start(size) && missing * PACK_GAIN > missing.next_multiple_of(TAIL_GROUP as u64)
}

/// The largest pack that begins at `at` and ends before `end`, or the bundle, whichever is cheaper.
fn next_part(at: u64, end: u64, size: u64, levels: u8) -> Part {
    let fits = |level: &u8| at.is_multiple_of(pack_span(*level)) && at + pack_span(*level) <= end;
    if let Some(level) = (0..levels).rev().find(fits) {
        return Part::Pack { level, index: at / pack_span(level) };
    }
    let index = at / WIDTH;
    let width = tile_width(size, 0, index);
    let missing = (index + 1) * WIDTH - at;
    if levels > 0 && u64::from(width) == WIDTH && missing * PACK_GAIN > WIDTH {
        return Part::Pack { level: 0, index };
    }
    Part::Bundle { index, width }
}

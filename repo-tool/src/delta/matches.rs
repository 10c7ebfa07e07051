//! What of a file is like what in another.
//!
//! C. Percival, "Naive Differences of Executable Code" (2003): exact matches, found in a suffix
//! array, are grown to both sides for as long as more than half of the bytes are equal.

/// How many more bytes than in the place that fits so far must be equal for another place to count.
const BETTER: usize = 8;
/// A match as long as this is not left for one that is hardly better: looking on from each of its
/// bytes would take its length squared.
const LONG: usize = 512;
/// Longest match that is measured; one that goes on is found again behind it.
const MAX_MEASURED: usize = 16 * 1024;

/// A part of the file: what is like the base, and what comes behind it that is like nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Match {
    /// Where in the base.
    pub from: usize,
    /// How many bytes; perhaps none.
    pub length: usize,
    /// How many bytes come behind them.
    pub literal: usize,
}

/// Finds in a base what a file is like.
pub(super) struct Matcher {
    base: Vec<u8>,
    /// Where the base's suffixes begin, in their byte order.
    suffixes: Vec<i32>,
}

/// The place of something in the file, and of what it is like in the base.
#[derive(Debug, Clone, Copy, Default)]
struct Aligned {
    file: usize,
    base: usize,
}

impl Aligned {
    /// The base's byte beside a byte of the file, if there is one.
    fn beside(self, base: &[u8], at: usize) -> Option<u8> {
        (self.base + at).checked_sub(self.file).and_then(|at| base.get(at)).copied()
    }
}

impl Matcher {
    /// Sorts the base's suffixes: at most 2 GiB of them.
    pub fn new(base: Vec<u8>) -> Self {
        let (_, suffixes) = divsufsort::sort(&base).into_parts();
        Self { base, suffixes }
    }

    /// What is matched with.
    pub fn base(&self) -> &[u8] {
        &self.base
    }

    /// The parts of a file, from its beginning to its end.
    pub fn matches(&self, file: &[u8]) -> Vec<Match> {
        let mut matches = Vec::new();
        let mut last = Aligned::default();
        let mut scan = 0;
        while let Some((next, end)) = self.next_place(file, scan, last) {
            let before = grow_forward(&self.base, file, last, next.file);
            let mut back = 0;
            if next.file < file.len() {
                back = grow_backward(&self.base, file, last, next);
            }
            let (before, back) = part_overlap(&self.base, file, (last, before), (next, back));
            let literal = next.file - back - (last.file + before);
            matches.push(Match { from: last.base, length: before, literal });
            last = Aligned { file: next.file - back, base: next.base.saturating_sub(back) };
            scan = end;
        }
        matches
    }

    /// Where the file is next like something in another place than the last, and where looking goes
    /// on; at last the file's end. None behind that.
    fn next_place(&self, file: &[u8], mut scan: usize, last: Aligned) -> Option<(Aligned, usize)> {
        if last.file == file.len() {
            return None;
        }
        // equal bytes from `scan` to `counted` where the last place goes on
        let (mut equal, mut counted) = (0, scan);
        let fits = |at: usize| last.beside(&self.base, at) == Some(file[at]);
        while scan < file.len() {
            let (base, length) = self.longest(&file[scan..]);
            while counted < scan + length {
                equal += usize::from(fits(counted));
                counted += 1;
            }
            let goes_on = length == equal || length >= LONG && length <= equal + BETTER;
            if length > equal + BETTER {
                return Some((Aligned { file: scan, base }, scan + length));
            }
            if goes_on && length > 0 {
                scan += length;
                (equal, counted) = (0, scan);
                continue;
            }
            if counted > scan {
                equal -= usize::from(fits(scan));
            } else {
                counted = scan + 1;
            }
            scan += 1;
        }
        Some((Aligned { file: file.len(), base: 0 }, file.len()))
    }

    /// The longest beginning of `file` that is in the base: where, and how long.
    fn longest(&self, file: &[u8]) -> (usize, usize) {
        let wanted = &file[..file.len().min(MAX_MEASURED)];
        let suffix = |at: usize| {
            let start = usize::try_from(self.suffixes[at]).expect("a place of the base");
            (start, &self.base[start..])
        };
        let (mut low, mut high) = (0, self.suffixes.len());
        while low < high {
            let middle = low.midpoint(high);
            let (_, text) = suffix(middle);
            if text[..text.len().min(wanted.len())] < *wanted {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        // the longest is beside the place where it would be
        let beside = [low.checked_sub(1), (low < self.suffixes.len()).then_some(low)];
        let measured = beside.into_iter().flatten().map(|at| {
            let (start, text) = suffix(at);
            (start, text.iter().zip(wanted).take_while(|(left, right)| left == right).count())
        });
        measured.max_by_key(|(_, length)| *length).unwrap_or_default()
    }
}

/// How far a match goes on from `last` with more than half of its bytes equal, up to `end`.
fn grow_forward(base: &[u8], file: &[u8], last: Aligned, end: usize) -> usize {
    let pairs = file[last.file..end].iter().zip(&base[last.base.min(base.len())..]);
    most_equal(pairs.map(|(left, right)| left == right))
}

/// How far a match goes back from `next`, but not behind `last`.
fn grow_backward(base: &[u8], file: &[u8], last: Aligned, next: Aligned) -> usize {
    let pairs = file[last.file..next.file].iter().rev().zip(base[..next.base].iter().rev());
    most_equal(pairs.map(|(left, right)| left == right))
}

/// The length at which there are most equal bytes over unequal ones; the shortest of several.
fn most_equal(pairs: impl Iterator<Item = bool>) -> usize {
    let (mut balance, mut best, mut length) = (0_i64, 0, 0);
    for (index, is_equal) in pairs.enumerate() {
        balance += if is_equal { 1 } else { -1 };
        if balance > best {
            (best, length) = (balance, index + 1);
        }
    }
    length
}

/// Where two matches want the same bytes of the file: parts them where most bytes are equal.
fn part_overlap(
    base: &[u8],
    file: &[u8],
    (last, before): (Aligned, usize),
    (next, back): (Aligned, usize),
) -> (usize, usize) {
    let start = next.file - back;
    let Some(overlap) = (last.file + before).checked_sub(start).filter(|overlap| *overlap > 0)
    else {
        return (before, back);
    };
    let (mut balance, mut best, mut kept) = (0_i64, 0, 0);
    for index in 0..overlap {
        let at = start + index;
        balance += i64::from(last.beside(base, at) == Some(file[at]));
        balance -= i64::from(next.beside(base, at) == Some(file[at]));
        if balance > best {
            (best, kept) = (balance, index + 1);
        }
    }
    (before - overlap + kept, back - kept)
}

//! Makes deltas (SPEC §7.1): a file as changes to another.
//!
//! In scope: what of a file is like what in its base, and whether saying so takes less than the file
//! does. How it is written is `countersign_format::delta`'s. The same two files always make the same
//! delta.

use std::fs::File;
use std::io::{self, Read as _};
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use countersign_format::delta::{DeltaReader, DeltaWriter};
use countersign_format::manifest::FileMeta;
use countersign_format::relpath::RelPath;

mod matches;

use matches::{Match, Matcher};

/// Largest file that is made of another, or that another is made of: beyond it a file comes whole.
pub const MAX_FILE: u64 = 1 << 32;
/// How much of a file is looked at at once. Five bytes of memory are needed for each of the base.
const WINDOW: u64 = 32 * 1024 * 1024;
/// How much of the base: as much again on either side of the same place.
const BASE_WINDOW: u64 = 2 * WINDOW;
/// What sizes are compared at: what a higher level makes of both differs in proportion.
const LEVEL: i32 = 9;
/// What a delta has to save beyond its own bytes: its members of the manifest.
const WORTH: usize = 24;

/// The delta that makes `new` of `old`; none where the file itself takes no more.
pub fn make(old: &Path, new: &Path, what: (&RelPath, &FileMeta)) -> io::Result<Option<Vec<u8>>> {
    let (old, new) = (File::open(old)?, File::open(new)?);
    let (old_size, new_size) = (old.metadata()?.len(), new.metadata()?.len());
    if old_size == 0 || new_size == 0 || old_size.max(new_size) > MAX_FILE {
        return Ok(None);
    }
    let delta = compare((&old, old_size), (&new, new_size))?;
    if delta.len() as u64 > new_size || !is_worth_it(&delta, &new, new_size)? {
        return Ok(None);
    }
    // what was made is what a machine will make: the files may have changed under us
    let read = |to: &mut [u8], at: u64| old.read_exact_at(to, at);
    let mut made = DeltaReader::new(delta.as_slice(), read, old_size, what.0, what.1);
    io::copy(&mut made, &mut io::sink())?;
    Ok(Some(delta))
}

/// Window by window, so that memory does not grow with the files.
fn compare(old: (&File, u64), new: (&File, u64)) -> io::Result<Vec<u8>> {
    let mut writer = DeltaWriter::new(Vec::new());
    let mut at = 0;
    let mut known: Option<(Range<u64>, Matcher)> = None;
    while at < new.1 {
        let file = read(new.0, &(at..(at + WINDOW).min(new.1)))?;
        let range = base_range(at, old.1, new.1);
        let (range, matcher) = match known.take() {
            Some(known) if known.0 == range => known,
            _ => {
                let matcher = Matcher::new(read(old.0, &range)?);
                (range, matcher)
            }
        };
        let mut done = 0;
        for Match { from, length, literal } in matcher.matches(&file) {
            let (copied, own) = (done + length, done + length + literal);
            let like = &matcher.base()[from..from + length];
            writer.copy(range.start + from as u64, like, &file[done..copied])?;
            writer.literal(&file[copied..own])?;
            done = own;
        }
        at += file.len() as u64;
        known = Some((range, matcher));
    }
    Ok(writer.finish()?.0)
}

fn read(file: &File, range: &Range<u64>) -> io::Result<Vec<u8>> {
    let length = usize::try_from(range.end - range.start).expect("at most a base's window");
    let mut bytes = vec![0; length];
    file.read_exact_at(&mut bytes, range.start)?;
    Ok(bytes)
}

/// The part of the base that a window of the file is compared with: what is in the same place, and as
/// much on either side as there is room for.
fn base_range(at: u64, old_size: u64, new_size: u64) -> Range<u64> {
    if old_size <= BASE_WINDOW {
        return 0..old_size;
    }
    // as far in proportion: below 2⁶⁴, since both are at most 2³²
    let place = at * old_size / new_size;
    let start = place.saturating_sub(WINDOW / 2).min(old_size - BASE_WINDOW);
    start..start + BASE_WINDOW
}

/// Whether a delta takes less in an archive than the file.
fn is_worth_it(delta: &[u8], new: &File, new_size: u64) -> io::Result<bool> {
    // nothing is compressed twice to learn what is plain
    if (delta.len() as u64) < new_size / 64 {
        return Ok(true);
    }
    let mut file = Vec::new();
    let (delta, mut left) = (compressed(delta)? + WORTH, 0);
    // a piece at a time, until it is more than the delta
    let mut new = new.take(new_size);
    loop {
        file.clear();
        if (&mut new).take(WINDOW).read_to_end(&mut file)? == 0 {
            return Ok(false);
        }
        left += compressed(&file)?;
        if left > delta {
            return Ok(true);
        }
    }
}

fn compressed(bytes: &[u8]) -> io::Result<usize> {
    Ok(zstd::bulk::compress(bytes, LEVEL)?.len())
}

#[cfg(test)]
mod tests;

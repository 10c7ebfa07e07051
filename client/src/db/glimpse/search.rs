//! Finding the lines that may have a text, many of them at once.

use memchr::memmem::Finder;
use memchr::{memchr, memchr_iter, memrchr};

use crate::db::DatabaseError;
use crate::db::lines::{NOTHING, split};

/// A text that is looked for; capitals and small letters are the same.
pub(super) struct Search {
    finder: Finder<'static>,
    /// Lines in small letters.
    lowered: Vec<u8>,
}

impl Search {
    pub(super) fn new(lowercase: &str) -> Self {
        let finder = Finder::new(lowercase.as_bytes()).into_owned();
        Self { finder, lowered: Vec::new() }
    }

    /// Hands out the lines of a value that may have the text in one of their members: all that have
    /// it, and some that have it elsewhere or not at all.
    pub(super) fn each_in(
        &mut self,
        first: u64,
        lines: &str,
        mut take: impl FnMut(u64, &str) -> Result<(), DatabaseError>,
    ) -> Result<(), DatabaseError> {
        self.lowered.clear();
        self.lowered.extend_from_slice(lines.as_bytes());
        self.lowered.make_ascii_lowercase();
        if is_as_written(lines) {
            return self.each_hit(first, lines, take);
        }
        let mut start = 0;
        for (leaf, line) in (first..).zip(split(lines)) {
            let lowered = &self.lowered[start..start + line.len()];
            start += line.len();
            let may_have = !is_as_written(line) || self.finder.find(lowered).is_some();
            if may_have && line != NOTHING {
                take(leaf, line)?;
            }
        }
        Ok(())
    }

    /// Goes from hit to hit, without looking at lines.
    fn each_hit(
        &self,
        first: u64,
        lines: &str,
        mut take: impl FnMut(u64, &str) -> Result<(), DatabaseError>,
    ) -> Result<(), DatabaseError> {
        let (bytes, mut at, mut leaf) = (lines.as_bytes(), 0, first);
        while at < bytes.len()
            && let Some(hit) = self.finder.find(&self.lowered[at..])
        {
            let before = &bytes[at..at + hit];
            leaf += memchr_iter(b'\n', before).count() as u64;
            let start = at + memrchr(b'\n', before).map_or(0, |end| end + 1);
            let rest = &bytes[at + hit..];
            let end = at + hit + memchr(b'\n', rest).map_or(rest.len(), |end| end + 1);
            let line = &lines[start..end];
            if line != NOTHING {
                take(leaf, line)?;
            }
            (at, leaf) = (end, leaf + 1);
        }
        Ok(())
    }
}

/// Whether whatever is in a member is there as it is written: without escapes, and without letters
/// beyond ASCII, which are the same as others in small letters.
fn is_as_written(text: &str) -> bool {
    text.is_ascii() && memchr(b'\\', text.as_bytes()).is_none()
}

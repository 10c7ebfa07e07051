//! The entries of patches, byte for byte, by their leaf indexes.
//!
//! An entry is one line of text, so [`LINES`] of them are one value: a row an entry would be half of
//! what a first update costs. What is no patch has the line `null`, so that a line's number tells
//! its leaf index, and a shell's `json_each` reads the whole.

use rusqlite::{Connection, Transaction, params};

use super::source::{SourceId, number, signed};
use super::{Database, DatabaseError, bad_value};

/// Lines of one value: few enough that one more entry writes little, enough that rows cost nothing.
pub(super) const LINES: u64 = 64;

/// The line of what is no patch.
pub(super) const NOTHING: &str = "null\n";

/// Appends lines within a transaction.
#[derive(Debug)]
pub(super) struct LineWriter<'t> {
    transaction: &'t Transaction<'t>,
    source: SourceId,
    /// Leaf index of the next line.
    next: u64,
    /// The lines of the value that the next one belongs to.
    lines: Vec<u8>,
    is_changed: bool,
}

impl<'t> LineWriter<'t> {
    /// For a log of which `size` entries have lines.
    pub(super) fn open(
        transaction: &'t Transaction<'t>,
        source: SourceId,
        size: u64,
    ) -> Result<Self, DatabaseError> {
        let lines = if size.is_multiple_of(LINES) {
            Vec::new()
        } else {
            read(transaction, source, size, |lines| lines.as_bytes().to_vec())?.unwrap_or_default()
        };
        Ok(Self { transaction, source, next: size, lines, is_changed: false })
    }

    /// Appends an entry, which ends with its only line break.
    pub(super) fn push(&mut self, entry: &[u8]) -> Result<(), DatabaseError> {
        self.lines.extend_from_slice(entry);
        self.next += 1;
        self.is_changed = true;
        if self.next.is_multiple_of(LINES) {
            self.write()?;
            self.lines.clear();
        }
        Ok(())
    }

    /// Lets lines be empty up to a leaf index.
    pub(super) fn skip_to(&mut self, leaf: u64) -> Result<(), DatabaseError> {
        while self.next < leaf {
            self.push(NOTHING.as_bytes())?;
        }
        Ok(())
    }

    /// The line of an earlier patch.
    pub(super) fn line(&self, leaf: u64) -> Result<Option<Vec<u8>>, DatabaseError> {
        let own = |lines: &str| pick(lines, leaf).map(|line| line.as_bytes().to_vec());
        if leaf / LINES == self.next / LINES {
            return Ok(own(utf8(&self.lines)?));
        }
        Ok(read(self.transaction, self.source, leaf, own)?.flatten())
    }

    /// Writes what is not yet written.
    pub(super) fn finish(self) -> Result<(), DatabaseError> {
        if self.is_changed && !self.lines.is_empty() { self.write() } else { Ok(()) }
    }

    fn write(&self) -> Result<(), DatabaseError> {
        let mut statement = self.transaction.prepare_cached(
            "INSERT OR REPLACE INTO patch_lines (source, first, lines) VALUES (?1, ?2, ?3)",
        )?;
        let first = (self.next - 1) / LINES * LINES;
        statement.execute(params![self.source.0, signed(first), self.lines])?;
        Ok(())
    }
}

impl Database {
    /// The lines of patches with these leaf indexes, which ascend.
    pub(super) fn lines_at(
        &self,
        source: SourceId,
        leaves: &[u64],
        mut take: impl FnMut(u64, &str) -> Result<(), DatabaseError>,
    ) -> Result<(), DatabaseError> {
        for leaves in leaves.chunk_by(|one, other| one / LINES == other / LINES) {
            let take_all = |lines: &str| {
                leaves.iter().try_for_each(|leaf| {
                    pick(lines, *leaf).map_or(Ok(()), |line| take(*leaf, line))
                })
            };
            read(self.connection(), source, leaves[0], take_all)?.transpose()?;
        }
        Ok(())
    }

    /// The lines of all patches of a source, in the log's order.
    pub(crate) fn each_line(
        &self,
        source: SourceId,
        take: impl FnMut(u64, &[u8]) -> Result<(), DatabaseError>,
    ) -> Result<(), DatabaseError> {
        each_line(self.connection(), source, take)
    }
}

/// The lines of all patches of a source, in the log's order.
pub(super) fn each_line(
    connection: &Connection,
    source: SourceId,
    mut take: impl FnMut(u64, &[u8]) -> Result<(), DatabaseError>,
) -> Result<(), DatabaseError> {
    each_value(connection, source, |first, lines| {
        numbered(first, lines).try_for_each(|(leaf, line)| take(leaf, line.as_bytes()))
    })
}

/// The values that hold the lines of a source, each with the leaf index of its first line.
pub(super) fn each_value(
    connection: &Connection,
    source: SourceId,
    mut take: impl FnMut(u64, &str) -> Result<(), DatabaseError>,
) -> Result<(), DatabaseError> {
    let mut statement = connection
        .prepare_cached("SELECT first, lines FROM patch_lines WHERE source = ?1 ORDER BY first")?;
    let mut rows = statement.query([source.0])?;
    while let Some(row) = rows.next()? {
        let first = number("patch_lines.first", row.get(0)?)?;
        take(first, text(row, 1)?)?;
    }
    Ok(())
}

/// What `look` makes of the value that a leaf index belongs to.
fn read<T>(
    connection: &Connection,
    source: SourceId,
    leaf: u64,
    look: impl FnOnce(&str) -> T,
) -> Result<Option<T>, DatabaseError> {
    let mut statement = connection
        .prepare_cached("SELECT lines FROM patch_lines WHERE source = ?1 AND first = ?2")?;
    let mut rows = statement.query(params![source.0, signed(leaf / LINES * LINES)])?;
    let Some(row) = rows.next()? else { return Ok(None) };
    Ok(Some(look(text(row, 0)?)))
}

fn pick(lines: &str, leaf: u64) -> Option<&str> {
    let at = usize::try_from(leaf % LINES).ok()?;
    split(lines).nth(at).filter(|line| *line != NOTHING)
}

/// The lines of a value that are patches, with their leaf indexes.
pub(super) fn numbered(first: u64, lines: &str) -> impl Iterator<Item = (u64, &str)> {
    (first..).zip(split(lines)).filter(|(_, line)| *line != NOTHING)
}

/// The lines of a value, each with its line break.
pub(super) fn split(lines: &str) -> impl Iterator<Item = &str> {
    let mut rest = lines;
    std::iter::from_fn(move || {
        let end = memchr::memchr(b'\n', rest.as_bytes()).map_or(rest.len(), |end| end + 1);
        let (line, others) = rest.split_at(end);
        rest = others;
        (!line.is_empty()).then_some(line)
    })
}

fn text<'r>(row: &'r rusqlite::Row<'_>, column: usize) -> Result<&'r str, DatabaseError> {
    utf8(row.get_ref(column)?.as_blob().map_err(rusqlite::Error::from)?)
}

fn utf8(bytes: &[u8]) -> Result<&str, DatabaseError> {
    std::str::from_utf8(bytes).map_err(|error| bad_value("patch_lines.lines", &error))
}

//! Writing patches: their entries, and what they are found by.

use rusqlite::Transaction;

use super::DatabaseError;
use super::index::{IndexWriter, IndexedPatch};
use super::lines::{LineWriter, each_line};
use super::lookup::{Kind, LookupWriter, PatchKeys};
use super::source::{SourceId, number};

/// Writes the patches of one source within a transaction.
#[derive(Debug)]
pub(crate) struct PatchWriter<'t> {
    lines: LineWriter<'t>,
    names: LookupWriter<'t>,
    archives: LookupWriter<'t>,
}

impl<'t> PatchWriter<'t> {
    /// For a collection's log that grows from `before` entries to `after`.
    pub(crate) fn open(
        index: &IndexWriter<'t>,
        before: u64,
        after: u64,
    ) -> Result<Self, DatabaseError> {
        let IndexWriter { transaction, source } = *index;
        let lookup = |kind| LookupWriter::open(transaction, source, kind, before, after);
        Ok(Self {
            lines: LineWriter::open(transaction, source, before)?,
            names: lookup(Kind::Name)?,
            archives: lookup(Kind::Archive)?,
        })
    }

    /// Keeps a patch. False where an earlier one has its identity or its archive.
    pub(crate) fn put(
        &mut self,
        leaf: u64,
        keys: PatchKeys,
        bytes: &[u8],
    ) -> Result<bool, DatabaseError> {
        let mut similar = self.names.find(keys.name)?;
        similar.extend(self.archives.find(keys.archive)?);
        if !similar.is_empty() && self.is_repeated(&similar, leaf, bytes)? {
            return Ok(false);
        }
        self.names.add(keys.name, leaf)?;
        self.archives.add(keys.archive, leaf)?;
        self.lines.skip_to(leaf)?;
        self.lines.push(bytes)?;
        Ok(true)
    }

    /// Whether one of the patches with like keys has the identity or the archive of this one.
    fn is_repeated(&self, similar: &[u64], leaf: u64, bytes: &[u8]) -> Result<bool, DatabaseError> {
        let new = IndexedPatch::parse(leaf, bytes)?.entry;
        for other in similar {
            let Some(line) = self.lines.line(*other)? else { continue };
            let other = IndexedPatch::parse(*other, &line)?.entry;
            if other.identity() == new.identity() || other.archive.sha256 == new.archive.sha256 {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Writes what is not yet written of a log with `size` entries.
    pub(crate) fn finish(mut self, size: u64) -> Result<(), DatabaseError> {
        self.lines.skip_to(size)?;
        self.lines.finish()?;
        self.names.finish()?;
        self.archives.finish()
    }
}

/// Makes what lookups need anew, for every source.
pub(super) fn make_lookups(transaction: &Transaction<'_>) -> Result<(), DatabaseError> {
    transaction.execute("DELETE FROM patch_key", [])?;
    let mut statement =
        transaction.prepare("SELECT source, size FROM log WHERE log = 'collection'")?;
    let rows = statement.query_map([], |row| Ok((SourceId(row.get(0)?), row.get(1)?)))?;
    for row in rows {
        let (source, size): (SourceId, i64) = row?;
        let size = number("log.size", size)?;
        let lookup = |kind| LookupWriter::open(transaction, source, kind, 0, size);
        let (mut names, mut archives) = (lookup(Kind::Name)?, lookup(Kind::Archive)?);
        each_line(transaction, source, |leaf, line| {
            let keys = PatchKeys::of(&IndexedPatch::parse(leaf, line)?.entry);
            names.add(keys.name, leaf)?;
            archives.add(keys.archive, leaf)
        })?;
        names.finish()?;
        archives.finish()?;
    }
    Ok(())
}

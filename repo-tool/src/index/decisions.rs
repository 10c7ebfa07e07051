//! What the distribution's log decided about the patches of one collection's log (SPEC §4.2).

use std::path::Path;

use countersign_format::checkpoint::Checkpoint;
use countersign_format::entry::{DistributionEntry, IndexRange};
use countersign_format::hash::Hash32;
use countersign_format::key::KeyName;
use countersign_format::layout::Log;
use countersign_format::text::RingName;
use countersign_store::DirectoryWriter;
use rusqlite::{Connection, OptionalExtension as _, Params};

use super::{FILE, Part, as_integer, from_integer};
use crate::publish::{EntryReader, PublishError};

/// The decisions of the distribution's log that is held below a directory.
#[derive(Debug)]
pub struct DecisionIndex {
    connection: Connection,
    origin: KeyName,
}

/// A range of patches and the entry that says something of them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Said {
    /// Leaf index of the entry.
    pub entry: u64,
    /// Whether it releases them.
    pub is_release: bool,
}

impl DecisionIndex {
    /// Opens the index in the directory `state` of the distribution's log below `files`, as far as
    /// it speaks of the collection's log called `origin`.
    pub fn open(
        state: &Path,
        files: &DirectoryWriter,
        origin: &KeyName,
    ) -> Result<Self, PublishError> {
        let opened = super::open::<Self>(state, files)?;
        Ok(Self { connection: opened.connection, origin: origin.clone() })
    }

    /// What stands for a patch and a ring.
    pub fn standing(&self, patch: u64, ring: &RingName) -> Result<Option<Said>, PublishError> {
        let sql = "SELECT end, entry, is_release FROM standing
            WHERE origin = ?1 AND ring = ?2 AND start <= ?3 ORDER BY start DESC LIMIT 1";
        let with = (self.origin.as_str(), ring.as_str(), as_integer(patch));
        let row = self.row(sql, with, |row| {
            let said = Said { entry: row.get(1).map(from_integer)?, is_release: row.get(2)? };
            Ok((row.get(0).map(from_integer)?, said))
        })?;
        Ok(row.and_then(|(end, said)| (patch < end).then_some(said)))
    }

    /// The rings that anything was ever decided about, in their order.
    pub fn rings(&self) -> Result<Vec<RingName>, PublishError> {
        let rings = || {
            let mut select =
                self.connection.prepare_cached("SELECT ring FROM ring WHERE origin = ?1")?;
            let rows = select.query_map([self.origin.as_str()], |row| row.get::<_, String>(0))?;
            rows.collect::<rusqlite::Result<Vec<_>>>()
        };
        let rings = rings().map_err(failed)?;
        Ok(rings.iter().filter_map(|ring| ring.parse().ok()).collect())
    }

    /// The entry that first released a patch, to whatever ring, and the patches around it of which
    /// the same is true.
    pub fn first_release(&self, patch: u64) -> Result<(IndexRange, Option<u64>), PublishError> {
        let (origin, at) = (self.origin.as_str(), as_integer(patch));
        let sql = "SELECT start, end, entry FROM first
            WHERE origin = ?1 AND start <= ?2 ORDER BY start DESC LIMIT 1";
        let before = self.row(sql, (origin, at), |row| {
            let range =
                IndexRange { start: from_integer(row.get(0)?), end: from_integer(row.get(1)?) };
            Ok((range, from_integer(row.get(2)?)))
        })?;
        if let Some((range, entry)) = before
            && patch < range.end
        {
            return Ok((range, Some(entry)));
        }
        let sql = "SELECT min(start) FROM first WHERE origin = ?1 AND start > ?2";
        let next: Option<Option<i64>> = self.row(sql, (origin, at), |row| row.get(0))?;
        let start = before.map_or(0, |(range, _)| range.end);
        let end = next.flatten().map_or(u64::MAX, from_integer);
        Ok((IndexRange { start, end }, None))
    }

    /// The trees of `size` entries and more that decisions name.
    pub fn named_from(&self, size: u64) -> Result<Vec<(u64, Hash32)>, PublishError> {
        let read = || {
            let sql = "SELECT size, root FROM named WHERE origin = ?1 AND size >= ?2";
            let mut select = self.connection.prepare_cached(sql)?;
            let tree = |row: &rusqlite::Row<'_>| {
                Ok((from_integer(row.get(0)?), Hash32(row.get::<_, [u8; 32]>(1)?)))
            };
            let rows = select.query_map((self.origin.as_str(), as_integer(size)), tree)?;
            rows.collect::<rusqlite::Result<Vec<_>>>()
        };
        read().map_err(failed)
    }

    /// The log that decisions are about.
    pub fn origin(&self) -> &KeyName {
        &self.origin
    }

    /// That what it says is not what the log says.
    pub(crate) fn wrong() -> PublishError {
        failed(rusqlite::Error::InvalidQuery)
    }

    /// Begins to take entries that no head is held of yet: without [`Self::keep`] they are forgotten
    /// with this.
    pub(crate) fn begin(&self) -> Result<(), PublishError> {
        let ended = if self.connection.is_autocommit() { "" } else { "ROLLBACK;" };
        self.connection.execute_batch(&format!("{ended} BEGIN IMMEDIATE")).map_err(failed)
    }

    /// Takes the next entry.
    pub(crate) fn take(&self, index: u64, entry: &DistributionEntry) -> Result<(), PublishError> {
        take(&self.connection, index, entry).map_err(failed)
    }

    /// Keeps what was taken, now that `head` is held.
    pub(crate) fn keep(&self, head: &Checkpoint) -> Result<(), PublishError> {
        super::write_indexed(&self.connection, Log::Distribution, head)
            .and_then(|()| self.connection.execute_batch("COMMIT"))
            .and_then(|()| super::shorten(&self.connection))
            .map_err(failed)
    }

    /// The ranges of patches below `size` that nothing was ever decided about for a ring.
    pub fn undecided(&self, ring: &RingName, size: u64) -> Result<Vec<IndexRange>, PublishError> {
        let sql = "SELECT start, end FROM decided WHERE origin = ?1 AND ring = ?2 ORDER BY start";
        let decided = ranges(&self.connection, sql, (self.origin.as_str(), ring.as_str()));
        let mut gaps = Vec::new();
        let mut next = 0;
        for range in decided.map_err(failed)? {
            gaps.push(IndexRange { start: next, end: range.start.min(size) });
            next = range.end;
        }
        gaps.push(IndexRange { start: next, end: size });
        gaps.retain(|gap| gap.start < gap.end);
        Ok(gaps)
    }

    fn row<T>(
        &self,
        sql: &str,
        with: impl Params,
        read: impl FnOnce(&rusqlite::Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Option<T>, PublishError> {
        let select = self.connection.prepare_cached(sql);
        select.and_then(|mut select| select.query_row(with, read).optional()).map_err(failed)
    }
}

impl Part for DecisionIndex {
    const LOG: Log = Log::Distribution;
    const TABLES: &'static [&'static str] = &["standing", "first", "decided", "ring", "named"];

    fn take(
        connection: &Connection,
        files: &DirectoryWriter,
        (from, to): (u64, u64),
        size: u64,
    ) -> Result<(), PublishError> {
        let mut reader = EntryReader::new(files.reader(), Log::Distribution, size);
        for index in from..to {
            // one that cannot be understood says nothing to anybody
            if let Ok(entry) = DistributionEntry::parse(&reader.read(index)?) {
                take(connection, index, &entry).map_err(failed)?;
            }
        }
        Ok(())
    }
}

fn take(on: &Connection, index: u64, entry: &DistributionEntry) -> rusqlite::Result<()> {
    let (of, ring, patches, is_release) = match entry {
        DistributionEntry::Release(it) => (&it.of, &it.ring, &it.patches, true),
        DistributionEntry::Withdraw(it) => (&it.of, &it.ring, &it.patches, false),
        DistributionEntry::Authority(_) => return Ok(()),
    };
    let place = (of.origin.as_str(), ring.as_str());
    on.prepare_cached("INSERT OR IGNORE INTO named VALUES (?1, ?2, ?3)")?.execute((
        place.0,
        as_integer(of.size),
        of.root.as_bytes(),
    ))?;
    on.prepare_cached("INSERT OR IGNORE INTO ring VALUES (?1, ?2)")?.execute(place)?;
    for range in patches {
        stand(on, place, *range, Said { entry: index, is_release })?;
        decide(on, place, *range)?;
        if is_release {
            release_first(on, place.0, *range, index)?;
        }
    }
    Ok(())
}

/// Lets `said` stand for a range, in the place of what stood for parts of it.
fn stand(
    on: &Connection,
    (origin, ring): (&str, &str),
    range: IndexRange,
    said: Said,
) -> rusqlite::Result<()> {
    let (start, end) = (as_integer(range.start), as_integer(range.end));
    let sql = "SELECT start, end, entry, is_release FROM standing
        WHERE origin = ?1 AND ring = ?2 AND start < ?4
        AND start >= coalesce((SELECT max(start) FROM standing
            WHERE origin = ?1 AND ring = ?2 AND start <= ?3), ?3) AND end > ?3";
    let mut select = on.prepare_cached(sql)?;
    let rows = select.query_map((origin, ring, start, end), |row| {
        Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
    })?;
    let overlapped: Vec<(i64, i64, i64, bool)> = rows.collect::<rusqlite::Result<_>>()?;
    let mut remove =
        on.prepare_cached("DELETE FROM standing WHERE origin = ?1 AND ring = ?2 AND start = ?3")?;
    let mut insert = on.prepare_cached("INSERT INTO standing VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?;
    for (low, high, entry, is_release) in overlapped {
        remove.execute((origin, ring, low))?;
        if low < start {
            insert.execute((origin, ring, low, start, entry, is_release))?;
        }
        if end < high {
            insert.execute((origin, ring, end, high, entry, is_release))?;
        }
    }
    insert.execute((origin, ring, start, end, as_integer(said.entry), said.is_release))?;
    Ok(())
}

/// Adds a range to those that anything was decided about, which are kept apart.
fn decide(
    on: &Connection,
    (origin, ring): (&str, &str),
    range: IndexRange,
) -> rusqlite::Result<()> {
    let sql = "SELECT start, end FROM decided WHERE origin = ?1 AND ring = ?2 AND start <= ?4
        AND start >= coalesce((SELECT max(start) FROM decided
            WHERE origin = ?1 AND ring = ?2 AND start <= ?3), ?3) AND end >= ?3";
    let with = (origin, ring, as_integer(range.start), as_integer(range.end));
    let touched = ranges(on, sql, with)?;
    let mut whole = range;
    let mut remove =
        on.prepare_cached("DELETE FROM decided WHERE origin = ?1 AND ring = ?2 AND start = ?3")?;
    for other in touched {
        remove.execute((origin, ring, as_integer(other.start)))?;
        whole.start = whole.start.min(other.start);
        whole.end = whole.end.max(other.end);
    }
    let mut insert = on.prepare_cached("INSERT INTO decided VALUES (?1, ?2, ?3, ?4)")?;
    insert.execute((origin, ring, as_integer(whole.start), as_integer(whole.end)))?;
    Ok(())
}

/// Remembers that `entry` released what of a range was not released before.
fn release_first(
    on: &Connection,
    origin: &str,
    range: IndexRange,
    entry: u64,
) -> rusqlite::Result<()> {
    let sql = "SELECT start, end FROM first WHERE origin = ?1 AND start < ?3
        AND start >= coalesce((SELECT max(start) FROM first
            WHERE origin = ?1 AND start <= ?2), ?2) AND end > ?2 ORDER BY start";
    let with = (origin, as_integer(range.start), as_integer(range.end));
    let released = ranges(on, sql, with)?;
    let mut insert = on.prepare_cached("INSERT INTO first VALUES (?1, ?2, ?3, ?4)")?;
    let mut next = range.start;
    for other in released.into_iter().chain([IndexRange { start: range.end, end: range.end }]) {
        if next < other.start {
            insert.execute((
                origin,
                as_integer(next),
                as_integer(other.start),
                as_integer(entry),
            ))?;
        }
        next = next.max(other.end);
    }
    Ok(())
}

fn ranges(on: &Connection, sql: &str, with: impl Params) -> rusqlite::Result<Vec<IndexRange>> {
    let mut select = on.prepare_cached(sql)?;
    let range = |row: &rusqlite::Row<'_>| {
        Ok(IndexRange { start: row.get(0).map(from_integer)?, end: row.get(1).map(from_integer)? })
    };
    let rows = select.query_map(with, range)?;
    rows.collect()
}

fn failed(source: rusqlite::Error) -> PublishError {
    PublishError::Index { path: FILE.into(), source }
}

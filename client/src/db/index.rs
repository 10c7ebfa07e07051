//! The entries of both logs as the state keeps them: patches, revocations, decisions, and what was
//! passed over.

use countersign_format::entry::{DistributionEntry, PatchEntry, Release, Revoke, Withdraw};
use countersign_format::hash::Hash32;
use countersign_format::layout::Log;
use countersign_format::name::PatchName;
use countersign_format::text::RingName;
use rusqlite::{Row, Transaction, params};

use super::lookup::{Kind, archive_key, name_key};
use super::source::{SourceId, number, signed};
use super::{Database, DatabaseError, bad_value};

/// A patch of the collection's log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct IndexedPatch {
    /// Leaf index of its entry.
    pub leaf: u64,
    /// The entry.
    pub entry: PatchEntry,
    /// The entry, byte for byte.
    pub bytes: Vec<u8>,
}

/// A decision of the distribution's log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct IndexedDecision {
    /// Leaf index of its entry.
    pub leaf: u64,
    /// What was decided.
    pub decision: Decision,
}

/// A release or a withdrawal.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Decision {
    /// Patches are released to a ring.
    Release(Release),
    /// Patches are withdrawn from a ring.
    Withdraw(Withdraw),
}

/// An entry that was passed over.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Oddity {
    /// The log.
    pub log: Log,
    /// Its leaf index.
    pub leaf: u64,
    /// Why.
    pub reason: String,
}

impl Decision {
    /// The tree that it speaks of.
    pub fn of(&self) -> &countersign_format::entry::TreeHead {
        match self {
            Self::Release(release) => &release.of,
            Self::Withdraw(withdraw) => &withdraw.of,
        }
    }

    /// The leaf indexes of the collection's log that it covers.
    pub fn patches(&self) -> &[countersign_format::entry::IndexRange] {
        match self {
            Self::Release(release) => &release.patches,
            Self::Withdraw(withdraw) => &withdraw.patches,
        }
    }

    /// The ring.
    pub fn ring(&self) -> &RingName {
        match self {
            Self::Release(release) => &release.ring,
            Self::Withdraw(withdraw) => &withdraw.ring,
        }
    }
}

impl Database {
    /// All patches of a source, in the log's order.
    pub fn patches(&self, source: SourceId) -> Result<Vec<IndexedPatch>, DatabaseError> {
        let mut patches = Vec::new();
        self.each_line(source, |leaf, line| {
            patches.push(IndexedPatch::parse(leaf, line)?);
            Ok(())
        })?;
        Ok(patches)
    }

    /// The patches of a source with this name, in the log's order.
    pub fn patches_named(
        &self,
        source: SourceId,
        name: &PatchName,
    ) -> Result<Vec<IndexedPatch>, DatabaseError> {
        let leaves = self.leaves_of(source, Kind::Name, name_key(name), None)?;
        let mut patches = self.patches_at(source, &leaves)?;
        patches.retain(|patch| patch.entry.name == *name);
        Ok(patches)
    }

    /// The patch of a source with this archive.
    pub fn patch_of_archive(
        &self,
        source: SourceId,
        archive: &Hash32,
    ) -> Result<Option<IndexedPatch>, DatabaseError> {
        let [first, second] = archive_key(archive);
        let leaves = self.leaves_of(source, Kind::Archive, first, Some(second))?;
        let patches = self.patches_at(source, &leaves)?;
        Ok(patches.into_iter().find(|patch| patch.entry.archive.sha256 == *archive))
    }

    fn patches_at(
        &self,
        source: SourceId,
        leaves: &[u64],
    ) -> Result<Vec<IndexedPatch>, DatabaseError> {
        let mut patches = Vec::new();
        self.lines_at(source, leaves, |leaf, line| {
            patches.push(IndexedPatch::parse(leaf, line.as_bytes())?);
            Ok(())
        })?;
        Ok(patches)
    }

    /// Leaf indexes of the revoked patches of a source, with the reasons.
    pub fn revocations(&self, source: SourceId) -> Result<Vec<(u64, String)>, DatabaseError> {
        let mut statement = self.connection().prepare_cached(
            "SELECT patch, reason FROM revocation WHERE source = ?1 ORDER BY patch",
        )?;
        let rows = statement.query_map([source.0], |row| Ok((row.get(0)?, row.get(1)?)))?;
        rows.map(|row| {
            let (patch, reason) = row?;
            Ok((number("revocation.patch", patch)?, reason))
        })
        .collect()
    }

    /// All decisions of a source, in the log's order.
    pub fn decisions(&self, source: SourceId) -> Result<Vec<IndexedDecision>, DatabaseError> {
        let mut statement = self
            .connection()
            .prepare_cached("SELECT leaf, entry FROM decision WHERE source = ?1 ORDER BY leaf")?;
        let rows = statement.query_map([source.0], entry_row)?;
        rows.map(|row| parse_decision(row?)).collect()
    }

    /// The entries of a source that were passed over, at most `most` of them, and how many there
    /// are.
    pub fn oddities(
        &self,
        source: SourceId,
        most: u32,
    ) -> Result<(Vec<Oddity>, u64), DatabaseError> {
        let all = self.connection().query_row(
            "SELECT count(*) FROM oddity WHERE source = ?1",
            [source.0],
            |row| row.get(0),
        )?;
        let mut statement = self.connection().prepare_cached(
            "SELECT log, leaf, reason FROM oddity WHERE source = ?1 ORDER BY log, leaf LIMIT ?2",
        )?;
        let rows = statement.query_map(params![source.0, most], |row| {
            Ok((row.get::<_, String>(0)?, row.get(1)?, row.get(2)?))
        })?;
        let oddities: Result<_, DatabaseError> = rows
            .map(|row| {
                let (log, leaf, reason) = row?;
                let log = match log.as_str() {
                    "collection" => Log::Collection,
                    _ => Log::Distribution,
                };
                Ok(Oddity { log, leaf: number("oddity.leaf", leaf)?, reason })
            })
            .collect();
        Ok((oddities?, number("oddity", all)?))
    }
}

/// Writes entries of one source's logs within a transaction.
#[derive(Debug)]
pub(crate) struct IndexWriter<'t> {
    pub(crate) transaction: &'t Transaction<'t>,
    pub(crate) source: SourceId,
}

impl IndexWriter<'_> {
    /// Keeps a revocation; the first one of a patch stands.
    pub(crate) fn put_revocation(&self, leaf: u64, revoke: &Revoke) -> Result<(), DatabaseError> {
        let mut statement = self.transaction.prepare_cached(
            "INSERT OR IGNORE INTO revocation (source, patch, leaf, reason)
             VALUES (?1, ?2, ?3, ?4)",
        )?;
        statement.execute(params![
            self.source.0,
            signed(revoke.patch),
            signed(leaf),
            revoke.reason.as_str()
        ])?;
        Ok(())
    }

    /// Keeps a decision.
    pub(crate) fn put_decision(
        &self,
        leaf: u64,
        decision: &Decision,
        bytes: &[u8],
    ) -> Result<(), DatabaseError> {
        let mut statement = self.transaction.prepare_cached(
            "INSERT INTO decision (source, leaf, ring, origin, size, root, entry)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        )?;
        let of = decision.of();
        statement.execute(params![
            self.source.0,
            signed(leaf),
            decision.ring().as_str(),
            of.origin.as_str(),
            signed(of.size),
            of.root.as_bytes(),
            bytes,
        ])?;
        Ok(())
    }

    /// Keeps an entry that is passed over.
    pub(crate) fn put_oddity(
        &self,
        log: Log,
        leaf: u64,
        reason: &str,
        bytes: &[u8],
    ) -> Result<(), DatabaseError> {
        let mut statement = self.transaction.prepare_cached(
            "INSERT INTO oddity (source, log, leaf, reason, entry) VALUES (?1, ?2, ?3, ?4, ?5)",
        )?;
        statement.execute(params![self.source.0, log.as_str(), signed(leaf), reason, bytes])?;
        Ok(())
    }

    /// Drops all that is held of a log, since its name changed.
    pub(crate) fn drop_log(&self, log: Log) -> Result<(), DatabaseError> {
        let tables: &[&str] = match log {
            Log::Collection => &["patch_lines", "patch_key", "revocation"],
            Log::Distribution => &["decision"],
        };
        for table in tables {
            let delete = format!("DELETE FROM {table} WHERE source = ?1");
            self.transaction.execute(&delete, [self.source.0])?;
        }
        for table in ["oddity", "signer_time", "log"] {
            let delete = format!("DELETE FROM {table} WHERE source = ?1 AND log = ?2");
            self.transaction.execute(&delete, params![self.source.0, log.as_str()])?;
        }
        Ok(())
    }

    /// The trees that decisions speak of with a size within a range, and the decisions' leaf
    /// indexes, for the log of this name.
    pub(crate) fn heads_between(
        &self,
        origin: &str,
        above: u64,
        upto: u64,
    ) -> Result<Vec<DecidedHead>, DatabaseError> {
        let mut statement = self.transaction.prepare_cached(
            "SELECT leaf, size, root FROM decision
             WHERE source = ?1 AND origin = ?2 AND size >= ?3 AND size <= ?4 ORDER BY size, leaf",
        )?;
        let rows = statement
            .query_map(params![self.source.0, origin, signed(above), signed(upto)], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get::<_, [u8; 32]>(2)?))
            })?;
        rows.map(|row| {
            let (leaf, size, root) = row?;
            Ok(DecidedHead {
                leaf: number("decision.leaf", leaf)?,
                size: number("decision.size", size)?,
                root: Hash32(root),
            })
        })
        .collect()
    }
}

/// A tree that a decision speaks of.
#[derive(Debug)]
pub(crate) struct DecidedHead {
    /// Leaf index of the decision.
    pub(crate) leaf: u64,
    /// The tree's size.
    pub(crate) size: u64,
    /// Its root.
    pub(crate) root: Hash32,
}

fn entry_row(row: &Row<'_>) -> rusqlite::Result<(i64, Vec<u8>)> {
    Ok((row.get(0)?, row.get(1)?))
}

impl IndexedPatch {
    pub(super) fn parse(leaf: u64, line: &[u8]) -> Result<Self, DatabaseError> {
        let entry =
            PatchEntry::parse(line).map_err(|error| bad_value("patch_lines.lines", &error))?;
        Ok(Self { leaf, entry, bytes: line.to_vec() })
    }
}

fn parse_decision((leaf, bytes): (i64, Vec<u8>)) -> Result<IndexedDecision, DatabaseError> {
    let decision = match DistributionEntry::parse(&bytes) {
        Ok(DistributionEntry::Release(release)) => Decision::Release(release),
        Ok(DistributionEntry::Withdraw(withdraw)) => Decision::Withdraw(withdraw),
        Ok(DistributionEntry::Authority(_)) => {
            return Err(bad_value("decision.entry", &"an authority note, not a decision"));
        }
        Err(error) => return Err(bad_value("decision.entry", &error)),
    };
    Ok(IndexedDecision { leaf: number("decision.leaf", leaf)?, decision })
}

//! What is trusted and held of each source: its authority notes, its directory, the heads of its
//! logs, and the newest time seen of each signer.

use countersign_format::checkpoint::Checkpoint;
use countersign_format::hash::Hash32;
use countersign_format::key::{KeyName, PublicKey};
use countersign_format::layout::Log;
use countersign_format::limits::MAX_NOTE;
use countersign_format::merkle::Frontier;
use countersign_format::note::Note;
use countersign_format::policy::SignerTimes;
use countersign_format::text::DistributionName;
use countersign_format::time::Timestamp;
use countersign_store::Validator;
use countersign_store::follow::Held;
use rusqlite::{Connection, OptionalExtension as _, Transaction, params};

use super::{Database, DatabaseError, bad_value, parse};
use crate::config::{MAX_SOURCE_NAME, SourceName};

/// The number of a source in the state.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct SourceId(pub(crate) i64);

/// A source, as the state knows it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SourceRecord {
    /// Its number.
    pub id: SourceId,
    /// Its name.
    pub name: SourceName,
    /// SHA-256 of the text of the authority note that trust begins with.
    pub anchor: Hash32,
    /// The distribution whose word counts.
    pub distribution: DistributionName,
    /// The highest version of the authority note that was ever accepted.
    pub floor: u64,
    /// When an update last ended well.
    pub updated: Option<Timestamp>,
}

/// A source that is to be taken up.
#[derive(Clone, Debug)]
pub struct NewSource<'a> {
    /// Its name.
    pub name: &'a SourceName,
    /// The distribution whose word counts.
    pub distribution: &'a DistributionName,
    /// SHA-256 of the text of the authority note that trust begins with.
    pub anchor: Hash32,
    /// The note's version.
    pub version: u64,
    /// The note.
    pub note: &'a [u8],
    /// The identity of this machine, if it has none yet.
    pub machine: &'a str,
}

/// A source that was taken up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Enrolled {
    /// Its number.
    pub id: SourceId,
    /// Whether the state knew all of it from before.
    pub is_known: bool,
}

/// What is held of a log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HeldLog {
    /// The log's name when it was read.
    pub origin: KeyName,
    /// Its right edge.
    pub held: Held,
    /// The checkpoint as it came.
    pub checkpoint: Vec<u8>,
    /// The server that sent it and what it gave along, to ask later whether it changed.
    pub validator: Option<(String, Validator)>,
}

/// The directory note as it was last asked for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HeldDirectory {
    /// When.
    pub asked: Timestamp,
    /// The note; none where there was none.
    pub note: Option<Vec<u8>>,
}

impl Database {
    /// This machine's identity in rollouts; none before the first enrolment.
    pub fn machine_id(&self) -> Result<Option<String>, DatabaseError> {
        let find = "SELECT id FROM machine";
        Ok(self.connection().query_row(find, [], |row| row.get(0)).optional()?)
    }

    /// All sources, by name.
    pub fn sources(&self) -> Result<Vec<SourceRecord>, DatabaseError> {
        let mut statement = self.connection().prepare(
            "SELECT id, name, anchor, distribution, floor, updated FROM source ORDER BY name",
        )?;
        let rows = statement.query_map([], |row| {
            let texts: [String; 3] = [row.get(1)?, row.get(2)?, row.get(3)?];
            let numbers: (i64, i64, Option<i64>) = (row.get(0)?, row.get(4)?, row.get(5)?);
            Ok((texts, numbers))
        })?;
        rows.map(|row| {
            let ([name, anchor, distribution], (id, floor, updated)) = row?;
            Ok(SourceRecord {
                id: SourceId(id),
                name: parse("source.name", &name)?,
                anchor: parse("source.anchor", &anchor)?,
                distribution: parse("source.distribution", &distribution)?,
                floor: number("source.floor", floor)?,
                updated: updated.map(|at| time("source.updated", at)).transpose()?,
            })
        })
        .collect()
    }

    /// Takes up a source with the authority note that trust in it begins with, and gives this
    /// machine an identity if it has none.
    ///
    /// What the state knows of a source that was removed is taken up again: with the same authority
    /// note and distribution all of it; with the same note alone the notes accepted since and the
    /// newest times of signers. Removing a source and adding it again takes no step back. `others`
    /// are the sources that this machine has besides; their records stay theirs.
    pub fn enroll(
        &mut self,
        new: &NewSource<'_>,
        others: &[SourceName],
    ) -> Result<Enrolled, DatabaseError> {
        let NewSource { name, distribution, anchor, version, note, machine } = new;
        let records = self.sources()?;
        let is_left = |record: &&SourceRecord| !others.contains(&record.name);
        let same = |record: &&SourceRecord| {
            record.anchor == *anchor && record.distribution == **distribution
        };
        let left = records.iter().filter(is_left).find(same);
        let namesake = records.iter().find(|record| record.name == **name);
        let transaction = self.begin()?;
        transaction.execute("INSERT OR IGNORE INTO machine (one, id) VALUES (1, ?1)", [machine])?;
        if let Some(old) = namesake.filter(|old| left.is_none_or(|left| left.id != old.id)) {
            // its floors are kept under a name that nobody has
            let rename = "UPDATE source SET name = ?2 WHERE id = ?1";
            transaction.execute(rename, params![old.id.0, spare_name(&records, old)])?;
        }
        let id = if let Some(left) = left {
            let rename = "UPDATE source SET name = ?2 WHERE id = ?1";
            transaction.execute(rename, params![left.id.0, name.as_str()])?;
            left.id
        } else {
            transaction.execute(
                "INSERT INTO source (name, anchor, distribution, floor) VALUES (?1, ?2, ?3, ?4)",
                params![name.as_str(), anchor.to_string(), distribution.as_str(), signed(*version)],
            )?;
            SourceId(transaction.last_insert_rowid())
        };
        let is_other = |record: &&SourceRecord| record.anchor == *anchor && record.id != id;
        for known in records.iter().filter(is_other) {
            take_floors(&transaction, known.id, id)?;
        }
        put_authority(&transaction, id, *version, note)?;
        transaction.commit()?;
        Ok(Enrolled { id, is_known: left.is_some() })
    }

    /// Forgets a source.
    pub fn forget_source(&mut self, source: SourceId) -> Result<(), DatabaseError> {
        self.connection().execute("DELETE FROM source WHERE id = ?1", [source.0])?;
        Ok(())
    }

    /// The accepted authority notes of a source, the oldest first.
    pub fn authority_notes(&self, source: SourceId) -> Result<Vec<(u64, Vec<u8>)>, DatabaseError> {
        let mut statement = self.connection().prepare(
            "SELECT version, note FROM authority_note WHERE source = ?1 ORDER BY version",
        )?;
        let rows = statement
            .query_map([source.0], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, Vec<u8>>(1)?)))?;
        rows.map(|row| {
            let (version, note) = row?;
            Ok((number("authority_note.version", version)?, note))
        })
        .collect()
    }

    /// Keeps an accepted authority note; its version becomes the floor.
    pub fn accept_authority(
        &mut self,
        source: SourceId,
        version: u64,
        note: &[u8],
    ) -> Result<(), DatabaseError> {
        let transaction = self.begin()?;
        put_authority(&transaction, source, version, note)?;
        transaction.execute(
            "UPDATE source SET floor = MAX(floor, ?2) WHERE id = ?1",
            params![source.0, signed(version)],
        )?;
        Ok(transaction.commit()?)
    }

    /// The directory note that is held, if it was ever asked for.
    pub fn held_directory(&self, source: SourceId) -> Result<Option<HeldDirectory>, DatabaseError> {
        let row = self
            .connection()
            .query_row(
                "SELECT asked, note FROM directory_note WHERE source = ?1",
                [source.0],
                |row| Ok((row.get(0)?, row.get(1)?)),
            )
            .optional()?;
        row.map(|(asked, note)| {
            Ok(HeldDirectory { asked: time("directory_note.asked", asked)?, note })
        })
        .transpose()
    }

    /// Keeps what asking for the directory brought.
    pub fn hold_directory(
        &mut self,
        source: SourceId,
        directory: &HeldDirectory,
    ) -> Result<(), DatabaseError> {
        self.connection().execute(
            "INSERT OR REPLACE INTO directory_note (source, asked, note) VALUES (?1, ?2, ?3)",
            params![source.0, signed(directory.asked.seconds()), directory.note],
        )?;
        Ok(())
    }

    /// What is held of a log; none before the first update.
    pub fn held_log(&self, source: SourceId, log: Log) -> Result<Option<HeldLog>, DatabaseError> {
        let mut statement = self.connection().prepare_cached(
            "SELECT origin, size, frontier, tail, checkpoint, validator, server
             FROM log WHERE source = ?1 AND log = ?2",
        )?;
        let row = statement
            .query_row(params![source.0, log.as_str()], |row| {
                Ok(LogRow {
                    origin: row.get(0)?,
                    size: row.get(1)?,
                    frontier: row.get(2)?,
                    tail: row.get(3)?,
                    checkpoint: row.get(4)?,
                    validator: row.get(5)?,
                    server: row.get(6)?,
                })
            })
            .optional()?;
        row.map(LogRow::parse).transpose()
    }

    /// The newest time seen of each signer on a log.
    pub fn signer_times(&self, source: SourceId, log: Log) -> Result<SignerTimes, DatabaseError> {
        let mut statement = self
            .connection()
            .prepare_cached("SELECT key, time FROM signer_time WHERE source = ?1 AND log = ?2")?;
        let rows = statement.query_map(params![source.0, log.as_str()], |row| {
            Ok((row.get::<_, [u8; 32]>(0)?, row.get(1)?))
        })?;
        rows.map(|row| {
            let (key, seconds) = row?;
            let key = PublicKey::from_bytes(&key)
                .map_err(|error| bad_value("signer_time.key", &error))?;
            Ok((key, time("signer_time.time", seconds)?))
        })
        .collect()
    }
}

struct LogRow {
    origin: String,
    size: i64,
    frontier: Vec<u8>,
    tail: i64,
    checkpoint: Vec<u8>,
    validator: Option<String>,
    server: Option<String>,
}

impl LogRow {
    fn parse(self) -> Result<HeldLog, DatabaseError> {
        let (roots, rest) = self.frontier.as_chunks::<32>();
        if !rest.is_empty() {
            return Err(bad_value("log.frontier", &"not a whole number of hashes"));
        }
        let size = number("log.size", self.size)?;
        let frontier = Frontier::from_parts(size, roots.iter().copied().map(Hash32).collect())
            .map_err(|error| bad_value("log.frontier", &error))?;
        let head = Note::parse(&self.checkpoint, MAX_NOTE)
            .ok()
            .and_then(|note| Checkpoint::parse(note.text()).ok());
        if head.is_none_or(|head| (head.size, head.root) != (size, frontier.root())) {
            return Err(bad_value("log.frontier", &"it does not make the held checkpoint"));
        }
        // a validator only saves bytes: one that cannot be read is as good as none
        let validator = self.server.zip(self.validator.and_then(|text| text.parse().ok()));
        Ok(HeldLog {
            origin: parse("log.origin", &self.origin)?,
            held: Held { frontier, tail: number("log.tail", self.tail)? },
            checkpoint: self.checkpoint,
            validator,
        })
    }
}

/// A name for a record whose own one is given to another.
fn spare_name(records: &[SourceRecord], old: &SourceRecord) -> String {
    let short: String = old.name.as_str().chars().take(MAX_SOURCE_NAME / 2).collect();
    let names = (old.id.0..).map(|number| format!("{short}.{number}"));
    let is_spare = |name: &String| records.iter().all(|record| record.name.as_str() != name);
    names.into_iter().find(is_spare).expect("there are more numbers than records")
}

fn put_authority(
    connection: &Connection,
    source: SourceId,
    version: u64,
    note: &[u8],
) -> Result<(), DatabaseError> {
    connection.execute(
        "INSERT OR REPLACE INTO authority_note (source, version, note) VALUES (?1, ?2, ?3)",
        params![source.0, signed(version), note],
    )?;
    Ok(())
}

/// What was accepted of the authority's notes, and the newest times of signers, holds for every
/// source that begins with the same note.
fn take_floors(
    transaction: &Transaction<'_>,
    known: SourceId,
    new: SourceId,
) -> Result<(), DatabaseError> {
    let ids = params![known.0, new.0];
    transaction.execute(
        "INSERT OR IGNORE INTO authority_note (source, version, note)
         SELECT ?2, version, note FROM authority_note WHERE source = ?1",
        ids,
    )?;
    transaction.execute(
        "UPDATE source SET floor = MAX(floor, (SELECT floor FROM source WHERE id = ?1))
         WHERE id = ?2",
        ids,
    )?;
    transaction.execute(
        "INSERT INTO signer_time (source, log, key, time)
         SELECT ?2, log, key, time FROM signer_time WHERE source = ?1
         ON CONFLICT DO UPDATE SET time = MAX(time, excluded.time)",
        ids,
    )?;
    Ok(())
}

/// Keeps the head that a log has come to.
pub(crate) fn put_log(
    transaction: &Transaction<'_>,
    source: SourceId,
    log: Log,
    held: &HeldLog,
) -> Result<(), DatabaseError> {
    let frontier = &held.held.frontier;
    let roots: Vec<u8> = frontier.roots().iter().flat_map(|root| root.0).collect();
    let (server, validator) = held.validator.as_ref().map(|(s, v)| (s, v.as_str())).unzip();
    transaction.execute(
        "INSERT OR REPLACE INTO log
             (source, log, origin, size, frontier, tail, checkpoint, validator, server)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        params![
            source.0,
            log.as_str(),
            held.origin.as_str(),
            signed(frontier.size()),
            roots,
            signed(held.held.tail),
            held.checkpoint,
            validator,
            server,
        ],
    )?;
    Ok(())
}

/// Keeps a signer's time on a log where it is newer than the one that is held.
pub(crate) fn put_signer_time(
    transaction: &Transaction<'_>,
    source: SourceId,
    log: Log,
    key: &PublicKey,
    time: Timestamp,
) -> Result<(), DatabaseError> {
    transaction.execute(
        "INSERT INTO signer_time (source, log, key, time) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT DO UPDATE SET time = MAX(time, excluded.time)",
        params![source.0, log.as_str(), key.as_bytes(), signed(time.seconds())],
    )?;
    Ok(())
}

/// Notes that an update ended well.
pub(crate) fn put_updated(
    transaction: &Transaction<'_>,
    source: SourceId,
    at: Timestamp,
) -> Result<(), DatabaseError> {
    transaction.execute(
        "UPDATE source SET updated = ?2 WHERE id = ?1",
        params![source.0, signed(at.seconds())],
    )?;
    Ok(())
}

/// A number as SQLite holds it. All numbers of a repository are below 2⁵³.
pub(crate) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

pub(crate) fn number(column: &'static str, value: i64) -> Result<u64, DatabaseError> {
    u64::try_from(value).map_err(|error| bad_value(column, &error))
}

fn time(column: &'static str, value: i64) -> Result<Timestamp, DatabaseError> {
    Timestamp::from_seconds(number(column, value)?).map_err(|error| bad_value(column, &error))
}

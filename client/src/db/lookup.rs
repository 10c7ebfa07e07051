//! Finding patches by name and by archive.
//!
//! A row a patch and its indexes would cost a first update of 100,000 patches more than everything
//! else together. What a lookup needs is three numbers a patch, kept in buckets of a few hundred:
//! a lookup reads one bucket, an update writes the buckets that it adds to. Keys are hashes cut
//! short, so whoever finds a leaf by one looks at the entry itself.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};

use countersign_format::entry::PatchEntry;
use countersign_format::hash::Hash32;
use countersign_format::name::{PatchName, Requirement};
use rusqlite::{Connection, OptionalExtension as _, Transaction, params};

use super::source::{SourceId, signed};
use super::{Database, DatabaseError, bad_value};

/// How many records a bucket has at least, on average, once there are several.
const BUCKET: u64 = 256;
/// Most bits of a key that choose its bucket.
const MAX_BITS: u32 = 24;
/// Bytes of a record: the key, a second one that tells more, the leaf index; big-endian.
const RECORD: usize = 12;

/// What patches are found by.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    /// The name; the second key is of all that identifies a patch.
    Name,
    /// The archive's hash, of which the two keys are the first eight bytes.
    Archive,
}

/// What a patch is found by.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct PatchKeys {
    /// Of its name and of its identity.
    pub(crate) name: Key,
    /// Of its archive.
    pub(crate) archive: Key,
}

/// A key and a second one.
pub(crate) type Key = [u32; 2];

impl PatchKeys {
    /// Bytes of [`Self::to_bytes`].
    pub(crate) const LENGTH: usize = 16;

    pub(crate) fn of(entry: &PatchEntry) -> Self {
        let mut hasher = Hasher::default();
        let infallible = "hashing does not fail";
        hasher.write_str(entry.name.as_str()).expect(infallible);
        let name = hasher.finish();
        let base = entry.base.as_ref().map(Requirement::as_str).unwrap_or_default();
        write!(hasher, "\n{}\n{base}\n{}", entry.version, entry.platform).expect(infallible);
        Self { name: [name, hasher.finish()], archive: archive_key(&entry.archive.sha256) }
    }

    pub(crate) fn to_bytes(self) -> [u8; Self::LENGTH] {
        let mut bytes = [0; Self::LENGTH];
        let (to, _) = bytes.as_chunks_mut::<4>();
        for (to, number) in to.iter_mut().zip([self.name, self.archive].concat()) {
            *to = number.to_be_bytes();
        }
        bytes
    }

    pub(crate) fn from_bytes(bytes: [u8; Self::LENGTH]) -> Self {
        let at = |at: usize| u32::from_be_bytes([0, 1, 2, 3].map(|byte| bytes[4 * at + byte]));
        Self { name: [at(0), at(1)], archive: [at(2), at(3)] }
    }
}

/// What a name is looked for by.
pub(super) fn name_key(name: &PatchName) -> u32 {
    let mut hasher = Hasher::default();
    hasher.write_str(name.as_str()).expect("hashing does not fail");
    hasher.finish()
}

/// What an archive is looked for by.
pub(super) fn archive_key(archive: &Hash32) -> Key {
    let at = |at: usize| u32::from_be_bytes([0, 1, 2, 3].map(|byte| archive.0[at + byte]));
    [at(0), at(4)]
}

/// FNV-1a (draft-eastlake-fnv-21) of 64 bits, folded to 32. Whoever makes collisions makes lookups
/// slow and nothing else.
struct Hasher(u64);

impl Default for Hasher {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Hasher {
    fn finish(&self) -> u32 {
        let bytes = self.0.to_be_bytes();
        u32::from_be_bytes([0, 1, 2, 3].map(|at| bytes[at] ^ bytes[at + 4]))
    }
}

impl fmt::Write for Hasher {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        Ok(())
    }
}

/// Adds records within a transaction.
#[derive(Debug)]
pub(super) struct LookupWriter<'t> {
    transaction: &'t Transaction<'t>,
    source: SourceId,
    kind: Kind,
    bits: u32,
    buckets: BTreeMap<u32, Bucket>,
}

/// The records of a bucket by columns: what is looked through is the first of them, many numbers at
/// once.
#[derive(Debug, Default)]
struct Bucket {
    first: Vec<u32>,
    second: Vec<u32>,
    leaf: Vec<u32>,
    is_changed: bool,
}

impl Bucket {
    fn parse(bytes: &[u8]) -> Result<Self, DatabaseError> {
        let (records, rest) = bytes.as_chunks::<RECORD>();
        if !rest.is_empty() {
            return Err(bad_value("patch_key.records", &"not a whole number of records"));
        }
        let column = |at: usize| {
            let number = |record: &[u8; RECORD]| {
                u32::from_be_bytes([0, 1, 2, 3].map(|byte| record[4 * at + byte]))
            };
            records.iter().map(number).collect()
        };
        Ok(Self { first: column(0), second: column(1), leaf: column(2), is_changed: false })
    }

    fn push(&mut self, [first, second]: Key, leaf: u32) {
        self.first.push(first);
        self.second.push(second);
        self.leaf.push(leaf);
        self.is_changed = true;
    }

    fn records(&self) -> impl Iterator<Item = (Key, u32)> {
        let keys = self.first.iter().zip(&self.second);
        keys.zip(&self.leaf).map(|((first, second), leaf)| ([*first, *second], *leaf))
    }

    /// Leaf indexes of what has this first key, and the second one if one is given.
    fn find(&self, first: u32, second: Option<u32>) -> Vec<u64> {
        // looks at all of it without stopping: most often there is nothing
        if self.first.iter().filter(|other| **other == first).count() == 0 {
            return Vec::new();
        }
        let is_it =
            |(key, _): &(Key, u32)| key[0] == first && second.is_none_or(|second| key[1] == second);
        self.records().filter(is_it).map(|(_, leaf)| u64::from(leaf)).collect()
    }
}

impl<'t> LookupWriter<'t> {
    /// For a log that grows from `before` entries to `after`.
    pub(super) fn open(
        transaction: &'t Transaction<'t>,
        source: SourceId,
        kind: Kind,
        before: u64,
        after: u64,
    ) -> Result<Self, DatabaseError> {
        let bits = bits(after);
        let mut writer = Self { transaction, source, kind, bits, buckets: BTreeMap::new() };
        if bits != self::bits(before) {
            writer.split_anew()?;
        }
        Ok(writer)
    }

    /// Takes all records into as many buckets as there are to be.
    fn split_anew(&mut self) -> Result<(), DatabaseError> {
        let mut statement = self.transaction.prepare(
            "SELECT records FROM patch_key WHERE source = ?1 AND kind = ?2 ORDER BY bucket",
        )?;
        let mut rows = statement.query(params![self.source.0, self.kind.as_str()])?;
        while let Some(row) = rows.next()? {
            let held = Bucket::parse(row.get_ref(0)?.as_blob().map_err(rusqlite::Error::from)?)?;
            for (key, leaf) in held.records() {
                self.buckets.entry(bucket(key, self.bits)).or_default().push(key, leaf);
            }
        }
        let delete = "DELETE FROM patch_key WHERE source = ?1 AND kind = ?2";
        self.transaction.execute(delete, params![self.source.0, self.kind.as_str()])?;
        // what has no records yet has no row
        for number in 0..1 << self.bits {
            self.buckets.entry(number).or_default();
        }
        Ok(())
    }

    /// Leaf indexes of the patches that have both keys, and perhaps of others.
    pub(super) fn find(&mut self, key: Key) -> Result<Vec<u64>, DatabaseError> {
        Ok(self.bucket(key)?.find(key[0], Some(key[1])))
    }

    /// Adds a patch.
    pub(super) fn add(&mut self, key: Key, leaf: u64) -> Result<(), DatabaseError> {
        let leaf = u32::try_from(leaf).map_err(|error| bad_value("patch_key.records", &error))?;
        self.bucket(key)?.push(key, leaf);
        Ok(())
    }

    fn bucket(&mut self, key: Key) -> Result<&mut Bucket, DatabaseError> {
        let number = bucket(key, self.bits);
        let Self { transaction, source, kind, buckets, .. } = self;
        Ok(match buckets.entry(number) {
            std::collections::btree_map::Entry::Occupied(held) => held.into_mut(),
            std::collections::btree_map::Entry::Vacant(vacant) => {
                vacant.insert(read(transaction, *source, *kind, number)?)
            }
        })
    }

    /// Writes what changed.
    pub(super) fn finish(self) -> Result<(), DatabaseError> {
        let mut statement = self.transaction.prepare_cached(
            "INSERT OR REPLACE INTO patch_key (source, kind, bucket, records)
             VALUES (?1, ?2, ?3, ?4)",
        )?;
        let changed = self.buckets.iter().filter(|(_, bucket)| bucket.is_changed);
        for (number, bucket) in changed {
            let numbers = bucket.records().flat_map(|(key, leaf)| [key[0], key[1], leaf]);
            let bytes: Vec<u8> = numbers.flat_map(u32::to_be_bytes).collect();
            statement.execute(params![self.source.0, self.kind.as_str(), number, bytes])?;
        }
        Ok(())
    }
}

impl Database {
    /// Leaf indexes of the patches of a source with this key, in the log's order, and perhaps of
    /// others. Without a second key all that have the first one.
    pub(super) fn leaves_of(
        &self,
        source: SourceId,
        kind: Kind,
        key: u32,
        second: Option<u32>,
    ) -> Result<Vec<u64>, DatabaseError> {
        let bucket = bucket([key, 0], self.bucket_bits(source)?);
        Ok(read(self.connection(), source, kind, bucket)?.find(key, second))
    }

    /// Leaf indexes of the patches of a source with one of these first keys, in the log's order, and
    /// perhaps of others.
    pub(super) fn leaves_of_any(
        &self,
        source: SourceId,
        kind: Kind,
        keys: impl Iterator<Item = u32>,
    ) -> Result<Vec<u64>, DatabaseError> {
        let bits = self.bucket_bits(source)?;
        let bucket = |key: &u32| bucket([*key, 0], bits);
        let mut keys: Vec<u32> = keys.collect();
        // a bucket's keys begin with the same bits
        keys.sort_unstable();
        keys.dedup();
        let mut leaves = Vec::new();
        for keys in keys.chunk_by(|one, other| bucket(one) == bucket(other)) {
            let bucket = read(self.connection(), source, kind, bucket(&keys[0]))?;
            leaves.extend(keys.iter().flat_map(|key| bucket.find(*key, None)));
        }
        leaves.sort_unstable();
        Ok(leaves)
    }

    fn bucket_bits(&self, source: SourceId) -> Result<u32, DatabaseError> {
        let mut statement = self
            .connection()
            .prepare_cached("SELECT size FROM log WHERE source = ?1 AND log = 'collection'")?;
        let size: Option<i64> = statement.query_row([source.0], |row| row.get(0)).optional()?;
        Ok(bits(size.unwrap_or_default().unsigned_abs()))
    }
}

impl Kind {
    fn as_str(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::Archive => "archive",
        }
    }
}

/// How many bits of a key choose its bucket, in a log with `size` entries.
fn bits(size: u64) -> u32 {
    (size / BUCKET).checked_ilog2().unwrap_or(0).min(MAX_BITS)
}

fn bucket(key: Key, bits: u32) -> u32 {
    key[0].checked_shr(u32::BITS - bits).unwrap_or(0)
}

fn read(
    connection: &Connection,
    source: SourceId,
    kind: Kind,
    bucket: u32,
) -> Result<Bucket, DatabaseError> {
    let mut statement = connection.prepare_cached(
        "SELECT records FROM patch_key WHERE source = ?1 AND kind = ?2 AND bucket = ?3",
    )?;
    let mut rows = statement.query(params![source.0, kind.as_str(), signed(bucket.into())])?;
    let Some(row) = rows.next()? else { return Ok(Bucket::default()) };
    Bucket::parse(row.get_ref(0)?.as_blob().map_err(rusqlite::Error::from)?)
}

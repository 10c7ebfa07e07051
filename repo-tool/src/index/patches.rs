//! The patches of the collection's log, by name, version and archive.

use std::cell::RefCell;
use std::path::Path;

use countersign_format::checkpoint::Checkpoint;
use countersign_format::entry::{CollectionEntry, PatchEntry, PatchIdentity};
use countersign_format::hash::Hash32;
use countersign_format::layout::Log;
use countersign_format::name::{PatchName, PatchVersion};
use countersign_store::DirectoryWriter;
use rusqlite::{Connection, OptionalExtension as _, Params};

use super::{FILE, Opened, Part, as_integer, from_integer, key_of};
use crate::catalogue::{Catalogue, Patch};
use crate::publish::{EntryReader, PublishError};
use crate::role_dir::RoleDir;

/// The patches of the log that is held below a directory.
#[derive(Debug)]
pub struct PatchIndex {
    connection: Connection,
    entries: RefCell<EntryReader>,
    head: Option<Checkpoint>,
}

/// What the index has of a log while it takes more of it.
pub(crate) struct Known<'c> {
    connection: &'c Connection,
    entries: &'c RefCell<EntryReader>,
}

impl PatchIndex {
    /// Opens the index of the server whose repository `public` is, if it has one, to look into it and
    /// no more: it is not brought up to date, and may know less than what is published.
    pub fn beside(public: &Path) -> Option<Self> {
        let role = RoleDir::of_public(public)?;
        let copy = role.path().join("collection");
        // the server's log, or its copy of it, is at least what is published
        let files = DirectoryWriter::new(if copy.is_dir() { &copy } else { public });
        super::look_into::<Self>(&role.state(), &files).map(|opened| Self::new(opened, files))
    }

    /// Opens the index in the directory `state` of the collection's log below `files`.
    pub fn open(state: &Path, files: DirectoryWriter) -> Result<Self, PublishError> {
        super::open::<Self>(state, &files).map(|opened| Self::new(opened, files))
    }

    fn new(opened: Opened, files: DirectoryWriter) -> Self {
        let Opened { connection, head, size } = opened;
        let entries = EntryReader::new(files, Log::Collection, size);
        Self { connection, entries: entries.into(), head }
    }

    /// The head of the log that the index is of; none if there is no log yet.
    pub fn head(&self) -> Option<&Checkpoint> {
        self.head.as_ref()
    }

    /// The patches of a component to a version, in the log's order.
    pub fn named(
        &self,
        name: &PatchName,
        version: &PatchVersion,
    ) -> Result<Vec<Patch>, PublishError> {
        let key = name_key(name, Some(version));
        let mut found = self.known().by_name((key, key))?;
        found.retain(|patch| patch.entry.name == *name && patch.entry.version == *version);
        Ok(found)
    }

    /// The patches of a component, in the log's order.
    pub fn of_name(&self, name: &PatchName) -> Result<Vec<Patch>, PublishError> {
        let first = name_key(name, None);
        let mut found = self.known().by_name((first, first | 0xffff_ffff))?;
        found.retain(|patch| patch.entry.name == *name);
        found.sort_by_key(|patch| patch.index);
        Ok(found)
    }

    /// The patch that has an archive.
    pub fn of_archive(&self, archive: &Hash32) -> Result<Option<Patch>, PublishError> {
        self.known().archive(archive)
    }

    /// The patch at a leaf index.
    pub fn patch(&self, index: u64) -> Result<Option<Patch>, PublishError> {
        self.known().patch(index)
    }

    /// What is known of the log, to go on from.
    pub(crate) fn known(&self) -> Known<'_> {
        Known { connection: &self.connection, entries: &self.entries }
    }
}

impl Known<'_> {
    /// The patch that has this identity.
    pub(crate) fn identity(&self, identity: &PatchIdentity) -> Result<Option<Patch>, PublishError> {
        let key = name_key(&identity.name, Some(&identity.version));
        let sql = "SELECT entry FROM name WHERE key = ?1 AND identity = ?2 ORDER BY entry";
        for index in self.indexes(sql, (key, identity_key(identity)))? {
            if let Some(patch) = self.read(index)?
                && patch.entry.identity() == *identity
            {
                return Ok(Some(patch));
            }
        }
        Ok(None)
    }

    /// The patch that has this archive.
    pub(crate) fn archive(&self, archive: &Hash32) -> Result<Option<Patch>, PublishError> {
        let sql = "SELECT entry FROM archive WHERE key = ?1 ORDER BY entry";
        for index in self.indexes(sql, [key_of(archive)])? {
            if let Some(patch) = self.read(index)?
                && patch.entry.archive.sha256 == *archive
            {
                return Ok(Some(patch));
            }
        }
        Ok(None)
    }

    /// The patch at a leaf index; none for an entry that is none, or that repeats another.
    pub(crate) fn patch(&self, index: u64) -> Result<Option<Patch>, PublishError> {
        if index >= self.entries.borrow().size() {
            return Ok(None);
        }
        let Some(patch) = self.read(index)? else { return Ok(None) };
        let key = name_key(&patch.entry.name, Some(&patch.entry.version));
        let sql = "SELECT entry FROM name WHERE key = ?1 AND entry = ?2";
        let found = self.indexes(sql, (key, as_integer(index)))?;
        Ok(Some(patch).filter(|_| !found.is_empty()))
    }

    fn by_name(&self, (first, last): (i64, i64)) -> Result<Vec<Patch>, PublishError> {
        let sql = "SELECT entry FROM name WHERE key BETWEEN ?1 AND ?2 ORDER BY key, entry";
        let mut found = Vec::new();
        for index in self.indexes(sql, (first, last))? {
            found.extend(self.read(index)?);
        }
        Ok(found)
    }

    /// Reads the patch at a leaf index from the log.
    fn read(&self, index: u64) -> Result<Option<Patch>, PublishError> {
        let bytes = self.entries.borrow_mut().read(index)?;
        let Ok(CollectionEntry::Patch(entry)) = CollectionEntry::parse(&bytes) else {
            return Ok(None);
        };
        let mut select =
            self.ask(|on| on.prepare_cached("SELECT entry FROM revoked WHERE patch = ?1"))?;
        let by = select.query_row([as_integer(index)], |row| row.get(0)).optional();
        let by = by.map_err(failed)?.map(from_integer);
        let mut patch = Patch { index, entry: *entry, revoked: None, revoked_by: by };
        if let Some(by) = by
            && let Ok(CollectionEntry::Revoke(revoke)) =
                CollectionEntry::parse(&self.entries.borrow_mut().read(by)?)
        {
            patch.revoked = Some(revoke.reason);
        }
        Ok(Some(patch))
    }

    fn indexes(&self, sql: &str, with: impl Params) -> Result<Vec<u64>, PublishError> {
        self.ask(|on| {
            let mut select = on.prepare_cached(sql)?;
            let rows = select.query_map(with, |row| row.get(0).map(from_integer))?;
            rows.collect()
        })
    }

    fn ask<'s, T>(
        &'s self,
        what: impl FnOnce(&'s Connection) -> rusqlite::Result<T>,
    ) -> Result<T, PublishError> {
        what(self.connection).map_err(failed)
    }
}

impl Part for PatchIndex {
    const LOG: Log = Log::Collection;
    const TABLES: &'static [&'static str] = &["name", "archive", "revoked"];

    fn take(
        connection: &Connection,
        files: &DirectoryWriter,
        (from, to): (u64, u64),
        size: u64,
    ) -> Result<(), PublishError> {
        let entries = EntryReader::new(files.reader(), Log::Collection, size).into();
        let known = Known { connection, entries: &entries };
        let mut new = Catalogue::above(&known);
        let mut reader = EntryReader::new(files.reader(), Log::Collection, size);
        for index in from..to {
            new.add(index, &reader.read(index)?)?;
        }
        insert(connection, &new).map_err(failed)
    }
}

fn insert(connection: &Connection, new: &Catalogue<'_>) -> rusqlite::Result<()> {
    let mut name = connection.prepare_cached("INSERT INTO name VALUES (?1, ?2, ?3)")?;
    let mut archive = connection.prepare_cached("INSERT INTO archive VALUES (?1, ?2)")?;
    let mut revoked = connection.prepare_cached("INSERT OR IGNORE INTO revoked VALUES (?1, ?2)")?;
    for patch in new.patches() {
        let (index, PatchEntry { name: of, version, .. }) = (as_integer(patch.index), &patch.entry);
        let identity = identity_key(&patch.entry.identity());
        name.execute((name_key(of, Some(version)), index, identity))?;
        archive.execute((key_of(&patch.entry.archive.sha256), index))?;
    }
    for (patch, by) in new.revocations() {
        revoked.execute((as_integer(patch), as_integer(by)))?;
    }
    Ok(())
}

/// Where a name, or one of its versions, is looked for: all versions of a name lie together.
fn name_key(name: &PatchName, version: Option<&PatchVersion>) -> i64 {
    let half = |text: &str| key_of(&Hash32::of(text.as_bytes())) >> 32;
    let of_version = version.map_or(0, |version| half(&version.to_string()) & 0xffff_ffff);
    half(name.as_str()) << 32 | of_version
}

fn identity_key(identity: &PatchIdentity) -> i64 {
    let PatchIdentity { name, version, base, platform } = identity;
    key_of(&Hash32::of(format!("{name}\n{version}\n{platform}\n{base}").as_bytes()))
}

fn failed(source: rusqlite::Error) -> PublishError {
    PublishError::Index { path: FILE.into(), source }
}

//! Whose signatures counted for what is installed, written down when it was.
//!
//! Keys retire and notes leave the cache; who stood for a version can be told all the same.

use std::collections::BTreeSet;

use countersign_format::hash::Hash32;
use countersign_format::policy::{PatchNote, Role, Verified};
use rusqlite::{Connection, params};

use super::{Database, DatabaseError, bad_value};

/// The names of the keys whose signatures counted for a patch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Signers {
    /// Those of the collection.
    pub collection: BTreeSet<String>,
    /// Those of the distribution.
    pub distribution: BTreeSet<String>,
}

impl Signers {
    /// Whose signatures counted for a note.
    pub fn of(note: &Verified<PatchNote>) -> Self {
        let mut signers = Self::default();
        for counted in &note.counted {
            match counted.role {
                Role::Collection => signers.collection.insert(counted.name.to_string()),
                Role::Distribution(_) => signers.distribution.insert(counted.name.to_string()),
                _ => continue,
            };
        }
        signers
    }

    /// Adds those of another patch.
    pub fn extend(&mut self, other: Self) {
        self.collection.extend(other.collection);
        self.distribution.extend(other.distribution);
    }

    /// Whether none is known.
    pub fn is_empty(&self) -> bool {
        self.collection.is_empty() && self.distribution.is_empty()
    }
}

/// Writes down who signed an archive, in the place of what was known; nothing where nobody is known,
/// as for one that a rollback brings back.
pub(crate) fn put_signers(
    connection: &Connection,
    archive: &Hash32,
    signers: &Signers,
) -> Result<(), DatabaseError> {
    if signers.is_empty() {
        return Ok(());
    }
    let archive = archive.to_string();
    connection.execute("DELETE FROM signer WHERE archive = ?1", [&archive])?;
    let mut statement =
        connection.prepare_cached("INSERT INTO signer (archive, role, key) VALUES (?1, ?2, ?3)")?;
    for (role, keys) in
        [("collection", &signers.collection), ("distribution", &signers.distribution)]
    {
        for key in keys {
            statement.execute(params![archive, role, key])?;
        }
    }
    Ok(())
}

impl Database {
    /// Who signed an archive that was installed; nobody where that was before it was written down.
    pub fn signers(&self, archive: &Hash32) -> Result<Signers, DatabaseError> {
        let mut statement =
            self.connection().prepare_cached("SELECT role, key FROM signer WHERE archive = ?1")?;
        let mut rows = statement.query([archive.to_string()])?;
        let mut signers = Signers::default();
        while let Some(row) = rows.next()? {
            let (role, key): (String, String) = (row.get(0)?, row.get(1)?);
            match role.as_str() {
                "collection" => signers.collection.insert(key),
                "distribution" => signers.distribution.insert(key),
                _ => return Err(bad_value("signer.role", &role)),
            };
        }
        Ok(signers)
    }
}

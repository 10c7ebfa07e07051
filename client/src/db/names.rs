//! Names for completion at a prompt: quick, never waiting, never complaining.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use rusqlite::{OpenFlags, params};

use super::Database;

/// Most names that are offered at once: nobody reads more.
pub const MAX_NAMES: u32 = 500;

/// A name and what it stands for.
pub type Named = (String, Option<String>);

impl Database {
    /// Opens the database to look something up at once, or not at all: while a writer commits, after
    /// a crash, and where the schema is another, there is nothing to be had.
    pub fn glimpse(path: &Path) -> Option<Self> {
        let database = Self::connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY).ok()?;
        database.connection.busy_timeout(Duration::ZERO).ok()?;
        let schema = database.check_schema().ok()?;
        (schema == super::MIGRATIONS.len()).then_some(database)
    }

    /// Installed components whose names begin like this, with their versions.
    pub fn complete_installed(&self, prefix: &str) -> Vec<Named> {
        self.names(
            "SELECT name, version FROM installed WHERE substr(name, 1, length(?1)) = ?1 \
                    ORDER BY name LIMIT ?2",
            prefix,
        )
    }

    /// Components in any index whose names begin like this.
    pub fn complete_indexed(&self, prefix: &str) -> Vec<Named> {
        let mut names = BTreeSet::new();
        for source in self.sources().unwrap_or_default() {
            // nobody is to be told that something cannot be read: there is less to be had then
            let _ = self.each_glimpse(source.id, |_, glimpse| {
                let is_beyond =
                    |last: &String| names.len() == MAX_NAMES as usize && *glimpse.name >= **last;
                if glimpse.name.starts_with(prefix)
                    && !names.last().is_some_and(is_beyond)
                    && !names.contains(&*glimpse.name)
                {
                    names.insert(glimpse.name.to_string());
                    if names.len() > MAX_NAMES as usize {
                        names.pop_last();
                    }
                }
                Ok(())
            });
        }
        names.into_iter().map(|name| (name, None)).collect()
    }

    /// `NAME@VERSION` of all versions in any index that begin like this.
    pub fn complete_versions(&self, prefix: &str) -> Vec<Named> {
        let name = prefix.split_once('@').and_then(|(name, _)| name.parse().ok());
        let Some(name) = name else { return Vec::new() };
        let mut versions = BTreeSet::new();
        for source in self.sources().unwrap_or_default() {
            for patch in self.patches_named(source.id, &name).unwrap_or_default() {
                versions.insert(format!("{name}@{}", patch.entry.version));
            }
        }
        versions.retain(|version| version.starts_with(prefix));
        versions.into_iter().take(MAX_NAMES as usize).map(|version| (version, None)).collect()
    }

    /// Transactions whose numbers begin like this, the newest first, with their commands.
    pub fn complete_transactions(&self, prefix: &str) -> Vec<Named> {
        self.names(
            "SELECT CAST(id AS TEXT), command FROM txn WHERE state = 'done' \
                    AND substr(CAST(id AS TEXT), 1, length(?1)) = ?1 ORDER BY id DESC LIMIT ?2",
            prefix,
        )
    }

    fn names(&self, query: &str, prefix: &str) -> Vec<Named> {
        let read = || {
            let mut statement = self.connection().prepare(query)?;
            let row = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?));
            statement.query_map(params![prefix, MAX_NAMES], row)?.collect::<rusqlite::Result<_>>()
        };
        read().unwrap_or_default()
    }
}

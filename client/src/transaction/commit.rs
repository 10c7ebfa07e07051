//! Commits a transaction: tables, history and the journal's end in one database transaction.

use std::collections::HashMap;

use countersign_format::relpath::RelPath;
use countersign_store::crash::crash_point;
use rusqlite::{Connection, OptionalExtension as _, params};

use super::Component;
use super::error::Failure;
use super::site::Site;
use crate::db::change::{put_files, put_notice, put_old_hooks};
use crate::db::installed::{self, InstalledFile};
use crate::db::signers::put_signers;
use crate::db::{Database, DatabaseError, change};
use crate::hooks::Action;
use crate::journal;

/// The rows of a transaction's commit. Dropped, they are taken back unless they were committed.
#[derive(Debug)]
pub(super) struct Rows<'p> {
    database: &'p mut Database,
    transaction: i64,
    components: &'p [Component],
}

impl<'p> Rows<'p> {
    /// Nothing is written as yet.
    pub fn new(database: &'p mut Database, transaction: i64, components: &'p [Component]) -> Self {
        Self { database, transaction, components }
    }

    /// As [`Self::write`], while others read the state as it was: they could not any more once a page
    /// that has no room in memory is written to its file.
    pub fn write_ahead(&mut self) -> Result<(), DatabaseError> {
        self.database.connection().execute_batch("PRAGMA cache_spill = OFF")?;
        self.write()
    }

    /// Begins the database transaction and writes what the plan alone says, whatever becomes of
    /// single steps.
    pub fn write(&mut self) -> Result<(), DatabaseError> {
        let (database, transaction) = (self.database.connection(), self.transaction);
        let is_rollback = self.components.iter().any(|part| part.action == Action::Rollback);
        database.execute_batch("BEGIN IMMEDIATE")?;
        // a path may pass from one component to another: all go before any comes
        for component in self.components {
            drop_old(database, transaction, component)?;
        }
        for component in self.components {
            put_new(database, component)?;
            for link in &component.links {
                put_signers(database, &link.archive, &link.signers)?;
            }
        }
        for component in self.components {
            hold_back(database, transaction, component, is_rollback)?;
        }
        Ok(())
    }

    /// Writes what became of the steps and commits it all.
    pub fn commit(self, site: &Site<'_, '_>, skipped: &[usize], now: u64) -> Result<(), Failure> {
        let Err(error) = self.try_commit(site, skipped, now) else { return Ok(()) };
        self.take_back();
        // a commit can fail and be done all the same: what the database says now counts
        match state(self.database.connection(), self.transaction) {
            Ok(Some(state)) if state == "done" => Ok(()),
            _ => Err(error.into()),
        }
    }

    fn try_commit(
        &self,
        site: &Site<'_, '_>,
        skipped: &[usize],
        now: u64,
    ) -> Result<(), DatabaseError> {
        let (database, transaction) = (self.database.connection(), self.transaction);
        for (path, made) in site.directory_changes(skipped) {
            put_directory(database, transaction, &path, made)?;
        }
        for notice in &*site.notices {
            put_notice(database, transaction, notice)?;
        }
        journal::forget(database, transaction, skipped)?;
        journal::commit(database, transaction, now)?;
        crash_point("transaction.commit");
        Ok(database.execute_batch("COMMIT")?)
    }

    fn take_back(&self) {
        let database = self.database.connection();
        if !database.is_autocommit() {
            // closing the database does it too
            let _ = database.execute_batch("ROLLBACK");
        }
    }
}

impl Drop for Rows<'_> {
    fn drop(&mut self) {
        self.take_back();
        // at worst what is written next stays in memory until it is committed
        let _ = self.database.connection().execute_batch("PRAGMA cache_spill = ON");
    }
}

fn state(connection: &Connection, transaction: i64) -> Result<Option<String>, DatabaseError> {
    let query = "SELECT state FROM txn WHERE id = ?1";
    Ok(connection.query_row(query, [transaction], |row| row.get(0)).optional()?)
}

/// What differs between two sets of files: of the first, then of the second.
fn difference<'f>(files: &'f [InstalledFile], others: &[InstalledFile]) -> Vec<&'f InstalledFile> {
    let others: HashMap<&RelPath, &InstalledFile> =
        others.iter().map(|file| (&file.entry.path, file)).collect();
    files
        .iter()
        .filter(|file| others.get(&file.entry.path).is_none_or(|other| other != file))
        .collect()
}

fn drop_old(
    database: &Connection,
    transaction: i64,
    component: &Component,
) -> Result<(), DatabaseError> {
    let name = &component.name;
    put_old_hooks(database, transaction, name, &component.old_hooks)?;
    let old = difference(&component.old_files, &component.new_files);
    let new = difference(&component.new_files, &component.old_files);
    put_files(database, transaction, name, &old, &new)?;
    for file in old {
        installed::delete_file(database, name, &file.entry.path)?;
    }
    Ok(())
}

fn put_new(database: &Connection, component: &Component) -> Result<(), DatabaseError> {
    let name = &component.name;
    match &component.becomes {
        Some(becomes) => installed::put(database, becomes)?,
        None => installed::delete(database, name)?,
    }
    for file in difference(&component.new_files, &component.old_files) {
        installed::put_file(database, name, file)?;
    }
    if component.becomes.is_some() {
        installed::replace_hooks(database, name, &component.new_hooks)?;
    }
    Ok(())
}

fn put_directory(
    database: &Connection,
    transaction: i64,
    path: &RelPath,
    made: bool,
) -> Result<(), DatabaseError> {
    if made {
        database.execute(
            "INSERT OR IGNORE INTO created_directory (path, transaction_id) VALUES (?1, ?2)",
            params![path.as_str(), transaction],
        )?;
    } else {
        // what was in a directory that became a file went with it, without steps of its own
        database.execute(
            "DELETE FROM created_directory
             WHERE path = ?1 OR substr(path, 1, length(?1) + 1) = ?1 || '/'",
            [path.as_str()],
        )?;
    }
    Ok(())
}

/// A version that a rollback undid is held back; a version that is installed is not any more.
fn hold_back(
    database: &Connection,
    transaction: i64,
    component: &Component,
    is_rollback: bool,
) -> Result<(), DatabaseError> {
    let now = component.becomes.as_ref().map(|becomes| &becomes.version);
    let undone = component
        .was
        .as_ref()
        .map(|was| &was.version)
        .filter(|_| is_rollback && !component.lets_go);
    if let Some(undone) = undone.filter(|undone| now.is_none_or(|now| *undone > now)) {
        change::hold_back(database, transaction, &component.name, undone)?;
    }
    if let Some(now) = now {
        change::release(database, &component.name, now)?;
    }
    Ok(())
}

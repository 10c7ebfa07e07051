//! Commits a transaction: tables, history and the journal's end in one database transaction.

use std::collections::HashMap;

use countersign_format::relpath::RelPath;
use countersign_store::crash::crash_point;
use rusqlite::{Connection, OptionalExtension as _, params};

use super::error::Failure;
use super::{Component, Prepared};
use crate::db::change::{put_files, put_notice, put_old_hooks};
use crate::db::installed::{self, InstalledFile};
use crate::db::signers::put_signers;
use crate::db::{DatabaseError, change};
use crate::hooks::Action;
use crate::journal::{self, Operation};
use crate::object::Identity;

impl Prepared<'_> {
    pub(super) fn commit(&mut self, skipped: &[usize]) -> Result<(), Failure> {
        let transaction = self.transaction;
        match self.commit_rows(skipped) {
            Ok(()) => Ok(()),
            // a commit can fail and be done all the same: what the database says now counts
            Err(error) => match state(self.connection(), transaction) {
                Ok(Some(state)) if state == "done" => Ok(()),
                _ => Err(error.into()),
            },
        }
    }

    fn commit_rows(&mut self, skipped: &[usize]) -> Result<(), DatabaseError> {
        let now = self.now();
        let transaction = self.transaction;
        let directories = self.directory_changes(skipped);
        let is_rollback = self.components.iter().any(|part| part.action == Action::Rollback);
        let (components, notices) = (&self.components, &self.notices);
        let database = self.database.begin()?;
        // a path may pass from one component to another: all go before any comes
        for component in components {
            drop_old(&database, transaction, component)?;
        }
        for component in components {
            put_new(&database, component)?;
            for link in &component.links {
                put_signers(&database, &link.archive, &link.signers)?;
            }
        }
        for (path, made) in directories {
            put_directory(&database, transaction, &path, made)?;
        }
        for notice in notices {
            put_notice(&database, transaction, notice)?;
        }
        for component in components {
            hold_back(&database, transaction, component, is_rollback)?;
        }
        journal::forget(&database, transaction, skipped)?;
        journal::commit(&database, transaction, now)?;
        crash_point("transaction.commit");
        Ok(database.commit()?)
    }

    /// The directories that the steps made (true) and took away (false).
    fn directory_changes(&self, skipped: &[usize]) -> Vec<(RelPath, bool)> {
        let is_directory =
            |identity: &Option<Identity>| identity.as_ref().is_some_and(Identity::is_directory);
        let mut changes = Vec::new();
        for (at, step) in self.steps.iter().enumerate() {
            if skipped.contains(&at) || step.operation == Operation::Metadata {
                continue;
            }
            match (is_directory(&step.old), is_directory(&step.new)) {
                (false, true) => changes.push((step.path.clone(), true)),
                (true, false) => changes.push((step.path.clone(), false)),
                _ => {}
            }
        }
        changes
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

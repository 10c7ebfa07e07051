//! What transactions changed, as rollbacks need it.

use std::collections::HashSet;

use countersign_format::manifest::FileEntry;
use countersign_format::name::{PatchName, PatchVersion};
use countersign_format::relpath::RelPath;
use rusqlite::{Connection, OptionalExtension as _, params};

use super::history::{LinkRecord, Notice};
use super::installed::{Installed, InstalledFile, InstalledHook, parse_hook};
use super::{DatabaseError, count, parse, parse_json, to_json};
use crate::hooks::HookRun;

/// One component's whole change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Change {
    pub name: PatchName,
    pub was: Option<Installed>,
    pub becomes: Option<Installed>,
}

/// The whole changes of a transaction, by name.
pub(crate) fn whole_changes(
    connection: &Connection,
    id: i64,
) -> Result<Vec<Change>, DatabaseError> {
    let mut statement = connection
        .prepare_cached("SELECT name, was, becomes FROM txn_change WHERE txn = ?1 ORDER BY name")?;
    let rows = statement.query_map([id], |row| {
        Ok((
            row.get::<_, String>(0)?,
            row.get::<_, Option<String>>(1)?,
            row.get::<_, Option<String>>(2)?,
        ))
    })?;
    let record =
        |text: Option<String>| text.map(|text| parse_json("txn_change.was", &text)).transpose();
    rows.map(|row| {
        let (name, was, becomes) = row?;
        Ok(Change {
            name: parse("txn_change.name", &name)?,
            was: record(was)?,
            becomes: record(becomes)?,
        })
    })
    .collect()
}

pub(crate) fn put_change(
    connection: &Connection,
    id: i64,
    change: &Change,
) -> Result<(), DatabaseError> {
    let version = |installed: &Option<Installed>| {
        installed.as_ref().map(|installed| installed.version.to_string())
    };
    connection.execute(
        "INSERT INTO txn_change (txn, name, old_version, new_version, was, becomes)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        params![
            id,
            change.name.as_str(),
            version(&change.was),
            version(&change.becomes),
            change.was.as_ref().map(to_json),
            change.becomes.as_ref().map(to_json),
        ],
    )?;
    Ok(())
}

pub(crate) fn put_link(
    connection: &Connection,
    id: i64,
    position: usize,
    link: &LinkRecord,
) -> Result<(), DatabaseError> {
    connection.execute(
        "INSERT INTO txn_link (txn, name, position, old_version, version, archive)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        params![
            id,
            link.name.as_str(),
            count(position),
            link.old.as_ref().map(ToString::to_string),
            link.version.to_string(),
            link.archive.to_string(),
        ],
    )?;
    Ok(())
}

/// Which side of a change files are on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Old,
    New,
}

impl Side {
    fn as_str(self) -> &'static str {
        match self {
            Self::Old => "old",
            Self::New => "new",
        }
    }
}

/// Writes down which files of a component a transaction changed, in order of paths: those that it
/// takes away or changes as they were, and of those that it brings or changes the paths.
pub(crate) fn put_files(
    connection: &Connection,
    id: i64,
    name: &PatchName,
    old: &[&InstalledFile],
    new: &[&InstalledFile],
) -> Result<(), DatabaseError> {
    let mut statement = connection
        .prepare_cached("INSERT INTO txn_files (txn, name, side, files) VALUES (?1, ?2, ?3, ?4)")?;
    let mut put = |side: Side, files: String| {
        statement.execute(params![id, name.as_str(), side.as_str(), files])
    };
    if !old.is_empty() {
        let files: Vec<_> = old.iter().map(|file| (&file.resolved, &file.entry)).collect();
        put(Side::Old, to_json(&files))?;
    }
    if !new.is_empty() {
        let paths: Vec<_> = new.iter().map(|file| &file.entry.path).collect();
        put(Side::New, to_json(&paths))?;
    }
    Ok(())
}

fn files_of(
    connection: &Connection,
    id: i64,
    name: &PatchName,
    side: Side,
) -> Result<Option<String>, DatabaseError> {
    let mut statement = connection
        .prepare_cached("SELECT files FROM txn_files WHERE txn = ?1 AND name = ?2 AND side = ?3")?;
    let row = statement.query_row(params![id, name.as_str(), side.as_str()], |row| row.get(0));
    Ok(row.optional()?)
}

/// The files of a component that a transaction took away or changed, as they were before.
pub(crate) fn old_files(
    connection: &Connection,
    id: i64,
    name: &PatchName,
) -> Result<Vec<InstalledFile>, DatabaseError> {
    let Some(files) = files_of(connection, id, name, Side::Old)? else {
        return earlier_files(connection, id, name, Side::Old);
    };
    let files: Vec<(RelPath, FileEntry)> = parse_json("txn_files.files", &files)?;
    Ok(files.into_iter().map(|(resolved, entry)| InstalledFile { entry, resolved }).collect())
}

/// The paths of the files of a component that a transaction brought or changed.
pub(crate) fn new_paths(
    connection: &Connection,
    id: i64,
    name: &PatchName,
) -> Result<HashSet<RelPath>, DatabaseError> {
    let Some(files) = files_of(connection, id, name, Side::New)? else {
        let files = earlier_files(connection, id, name, Side::New)?;
        return Ok(files.into_iter().map(|file| file.entry.path).collect());
    };
    parse_json("txn_files.files", &files)
}

/// As transactions wrote it down before schema 7: one row a file.
fn earlier_files(
    connection: &Connection,
    id: i64,
    name: &PatchName,
    side: Side,
) -> Result<Vec<InstalledFile>, DatabaseError> {
    let mut statement = connection.prepare_cached(
        "SELECT resolved, entry FROM txn_file WHERE txn = ?1 AND name = ?2 AND side = ?3
         ORDER BY path",
    )?;
    let rows = statement.query_map(params![id, name.as_str(), side.as_str()], |row| {
        Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?))
    })?;
    rows.map(|row| {
        let (resolved, entry) = row?;
        Ok(InstalledFile {
            resolved: parse("txn_file.resolved", &resolved)?,
            entry: parse_json("txn_file.entry", &entry)?,
        })
    })
    .collect()
}

pub(crate) fn put_old_hooks(
    connection: &Connection,
    id: i64,
    name: &PatchName,
    hooks: &[InstalledHook],
) -> Result<(), DatabaseError> {
    for hook in hooks {
        connection.execute(
            "INSERT INTO txn_hook (txn, name, hook, content) VALUES (?1, ?2, ?3, ?4)",
            params![id, name.as_str(), hook.kind.as_str(), hook.content],
        )?;
    }
    Ok(())
}

/// The hooks that a component had before a transaction.
pub(crate) fn old_hooks(
    connection: &Connection,
    id: i64,
    name: &PatchName,
) -> Result<Vec<InstalledHook>, DatabaseError> {
    let mut statement = connection.prepare_cached(
        "SELECT hook, content FROM txn_hook WHERE txn = ?1 AND name = ?2 ORDER BY hook",
    )?;
    let rows =
        statement.query_map(params![id, name.as_str()], |row| Ok((row.get(0)?, row.get(1)?)))?;
    rows.map(|row| parse_hook(row?)).collect()
}

pub(crate) fn put_hook_run(
    connection: &Connection,
    id: i64,
    run: &HookRun,
) -> Result<(), DatabaseError> {
    let text = |version: &Option<PatchVersion>| version.as_ref().map(ToString::to_string);
    connection.execute(
        "INSERT INTO txn_hook_run
             (txn, position, name, hook, action, old_version, new_version, outcome, output, truncated)
         VALUES (?1, (SELECT coalesce(max(position), 0) + 1 FROM txn_hook_run WHERE txn = ?1),
             ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        params![
            id,
            run.call.name.as_str(),
            run.call.kind.as_str(),
            run.call.action.as_str(),
            text(&run.call.old),
            text(&run.call.new),
            run.outcome.to_string(),
            run.output,
            run.truncated,
        ],
    )?;
    Ok(())
}

pub(crate) fn put_notice(
    connection: &Connection,
    id: i64,
    notice: &Notice,
) -> Result<(), DatabaseError> {
    connection.execute(
        "INSERT INTO txn_notice (txn, position, notice)
         VALUES (?1, (SELECT coalesce(max(position), 0) + 1 FROM txn_notice WHERE txn = ?1), ?2)",
        params![id, to_json(notice)],
    )?;
    Ok(())
}

/// Holds a version back until a newer one comes.
pub(crate) fn hold_back(
    connection: &Connection,
    id: i64,
    name: &PatchName,
    version: &PatchVersion,
) -> Result<(), DatabaseError> {
    connection.execute(
        "INSERT OR IGNORE INTO held_back (name, version, transaction_id) VALUES (?1, ?2, ?3)",
        params![name.as_str(), version.to_string(), id],
    )?;
    Ok(())
}

/// Ends the holding back of a version.
pub(crate) fn release(
    connection: &Connection,
    name: &PatchName,
    version: &PatchVersion,
) -> Result<(), DatabaseError> {
    connection.execute(
        "DELETE FROM held_back WHERE name = ?1 AND version = ?2",
        params![name.as_str(), version.to_string()],
    )?;
    Ok(())
}

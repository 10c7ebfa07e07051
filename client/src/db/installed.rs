//! What is installed: components, their files, their hooks.

use countersign_format::hash::Hash32;
use countersign_format::manifest::{FileEntry, FileKind};
use countersign_format::name::{PatchName, PatchVersion, Platform};
use countersign_format::relpath::RelPath;
use countersign_format::tree::Tree;
use rusqlite::{Connection, OptionalExtension as _, Row, params};
use serde::{Deserialize, Serialize};

use super::{Database, DatabaseError, bad_value, parse, parse_json, to_json};
use crate::hooks::HookKind;
use crate::root::DirPath;

/// One installed component.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Installed {
    /// Its name.
    pub name: PatchName,
    /// Its version.
    pub version: PatchVersion,
    /// The platform of the patch that brought this version.
    pub platform: Platform,
    /// Hash of the listing of its files.
    pub tree: Hash32,
    /// SHA-256 of the archive that brought this version.
    pub archive: Hash32,
    /// The user who installed it. Files that an unprivileged user installed are all this user's.
    pub installer: u32,
    /// The transaction that brought this version.
    pub transaction: i64,
}

/// One file, directory or symlink of an installed component.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstalledFile {
    /// What the manifest says of it, its path among that.
    pub entry: FileEntry,
    /// Its path without symlinked directories, as it was when it was placed.
    pub resolved: RelPath,
}

/// A version that is not offered again since a rollback undid it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldBack {
    /// The component.
    pub name: PatchName,
    /// The version.
    pub version: PatchVersion,
    /// The rollback.
    pub transaction: i64,
}

/// One installed hook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstalledHook {
    /// When it runs.
    pub kind: HookKind,
    /// The program.
    pub content: Vec<u8>,
}

impl Database {
    /// Every installed component, by name.
    pub fn installed(&self) -> Result<Vec<Installed>, DatabaseError> {
        let mut statement = self.connection().prepare(&format!("{SELECT} ORDER BY name"))?;
        let rows = statement.query_map([], InstalledRow::read)?;
        rows.map(|row| row?.parse()).collect()
    }

    /// One installed component.
    pub fn find_installed(&self, name: &PatchName) -> Result<Option<Installed>, DatabaseError> {
        find(self.connection(), name)
    }

    /// The files of one installed component, by path.
    pub fn installed_files(&self, name: &PatchName) -> Result<Vec<InstalledFile>, DatabaseError> {
        files(self.connection(), name)
    }

    /// The tree of one installed component.
    pub fn installed_tree(&self, name: &PatchName) -> Result<Tree, DatabaseError> {
        Ok(Tree::from_entries(self.installed_files(name)?.into_iter().map(|file| file.entry)))
    }

    /// The paths of all installed configuration files, relative to the root.
    pub fn config_files(&self) -> Result<Vec<String>, DatabaseError> {
        let mut statement = self.connection().prepare(
            "SELECT path FROM installed_file
             WHERE kind = 'file' AND json_extract(entry, '$.config') ORDER BY path",
        )?;
        let rows = statement.query_map([], |row| row.get(0))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// The roots of the mounts in which transactions have worked, relative to the install root.
    pub fn areas(&self) -> Result<Vec<String>, DatabaseError> {
        let mut statement =
            self.connection().prepare("SELECT DISTINCT path FROM txn_area ORDER BY path")?;
        let rows = statement.query_map([], |row| row.get(0))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// The components that have something at a path, given as manifests have it or resolved.
    pub fn owners_of(&self, path: &RelPath) -> Result<Vec<PatchName>, DatabaseError> {
        let mut statement = self.connection().prepare_cached(
            "SELECT name FROM installed_file WHERE resolved = ?1
             UNION SELECT name FROM installed_file WHERE path = ?1 AND path <> resolved
             ORDER BY name",
        )?;
        let rows = statement.query_map([path.as_str()], |row| row.get::<_, String>(0))?;
        rows.map(|name| parse("installed_file.name", &name?)).collect()
    }

    /// The versions that a rollback undid and that are not offered again. A newer one is.
    pub fn held_back(&self) -> Result<Vec<(PatchName, PatchVersion)>, DatabaseError> {
        let held = self.held_back_by()?.into_iter();
        Ok(held.map(|held| (held.name, held.version)).collect())
    }

    /// As [`Self::held_back`], with the rollbacks.
    pub fn held_back_by(&self) -> Result<Vec<HeldBack>, DatabaseError> {
        let mut statement = self.connection().prepare(
            "SELECT name, version, transaction_id FROM held_back ORDER BY name, version",
        )?;
        let rows = statement.query_map([], |row| {
            Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?, row.get(2)?))
        })?;
        rows.map(|row| {
            let (name, version, transaction) = row?;
            Ok(HeldBack {
                name: parse("held_back.name", &name)?,
                version: parse("held_back.version", &version)?,
                transaction,
            })
        })
        .collect()
    }
}

const SELECT: &str =
    "SELECT name, version, platform, tree, archive, installer, transaction_id FROM installed";

pub(crate) fn find(
    connection: &Connection,
    name: &PatchName,
) -> Result<Option<Installed>, DatabaseError> {
    let mut statement = connection.prepare_cached(&format!("{SELECT} WHERE name = ?1"))?;
    let row = statement.query_row([name.as_str()], InstalledRow::read).optional()?;
    row.map(InstalledRow::parse).transpose()
}

pub(crate) fn files(
    connection: &Connection,
    name: &PatchName,
) -> Result<Vec<InstalledFile>, DatabaseError> {
    let mut statement = connection.prepare_cached(
        "SELECT resolved, entry FROM installed_file WHERE name = ?1 ORDER BY path",
    )?;
    let rows = statement.query_map([name.as_str()], |row| {
        Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?))
    })?;
    rows.map(|row| {
        let (resolved, entry) = row?;
        Ok(InstalledFile {
            resolved: parse("installed_file.resolved", &resolved)?,
            entry: parse_json("installed_file.entry", &entry)?,
        })
    })
    .collect()
}

/// The components, and whether it is a directory there, that have something at a resolved path.
pub(crate) fn at_resolved(
    connection: &Connection,
    path: &RelPath,
) -> Result<Vec<(PatchName, FileEntry)>, DatabaseError> {
    let mut statement = connection.prepare_cached(
        "SELECT name, entry FROM installed_file WHERE resolved = ?1 ORDER BY name",
    )?;
    let rows = statement.query_map([path.as_str()], |row| {
        Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?))
    })?;
    rows.map(|row| {
        let (name, entry) = row?;
        Ok((parse("installed_file.name", &name)?, parse_json("installed_file.entry", &entry)?))
    })
    .collect()
}

/// Whether anything installed lies in a resolved directory, at whatever depth.
pub(crate) fn is_anything_below(
    connection: &Connection,
    directory: &DirPath,
) -> Result<bool, DatabaseError> {
    let Some(directory) = directory.as_path() else { return Ok(true) };
    // `0` comes right after `/`
    let mut statement = connection.prepare_cached(
        "SELECT 1 FROM installed_file WHERE resolved > ?1 || '/' AND resolved < ?1 || '0'",
    )?;
    Ok(statement.exists([directory.as_str()])?)
}

pub(crate) fn hooks(
    connection: &Connection,
    name: &PatchName,
) -> Result<Vec<InstalledHook>, DatabaseError> {
    let mut statement = connection
        .prepare_cached("SELECT hook, content FROM installed_hook WHERE name = ?1 ORDER BY hook")?;
    let rows = statement.query_map([name.as_str()], |row| Ok((row.get(0)?, row.get(1)?)))?;
    rows.map(|row| parse_hook(row?)).collect()
}

pub(crate) fn parse_hook(row: (String, Vec<u8>)) -> Result<InstalledHook, DatabaseError> {
    let kind = HookKind::from_word(&row.0)
        .ok_or_else(|| bad_value("installed_hook.hook", &format!("{:?}", row.0)))?;
    Ok(InstalledHook { kind, content: row.1 })
}

/// Whether a transaction made this directory where none was.
pub(crate) fn is_created_directory(
    connection: &Connection,
    path: &RelPath,
) -> Result<bool, DatabaseError> {
    let mut statement =
        connection.prepare_cached("SELECT 1 FROM created_directory WHERE path = ?1")?;
    Ok(statement.exists([path.as_str()])?)
}

pub(crate) fn put(connection: &Connection, installed: &Installed) -> Result<(), DatabaseError> {
    connection.execute(
        // not REPLACE: that would delete the row first, and its files with it
        "INSERT INTO installed (name, version, platform, tree, archive, installer, transaction_id)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
         ON CONFLICT (name) DO UPDATE SET version = ?2, platform = ?3, tree = ?4, archive = ?5,
             installer = ?6, transaction_id = ?7",
        params![
            installed.name.as_str(),
            installed.version.to_string(),
            installed.platform.as_str(),
            installed.tree.to_string(),
            installed.archive.to_string(),
            installed.installer,
            installed.transaction,
        ],
    )?;
    Ok(())
}

pub(crate) fn delete(connection: &Connection, name: &PatchName) -> Result<(), DatabaseError> {
    connection.execute("DELETE FROM installed WHERE name = ?1", [name.as_str()])?;
    Ok(())
}

pub(crate) fn put_file(
    connection: &Connection,
    name: &PatchName,
    file: &InstalledFile,
) -> Result<(), DatabaseError> {
    let kind = match file.entry.kind {
        FileKind::File(_) => "file",
        FileKind::Directory { .. } => "directory",
        FileKind::Link { .. } => "link",
    };
    let mut statement = connection.prepare_cached(
        "INSERT INTO installed_file (path, name, resolved, kind, entry)
         VALUES (?1, ?2, ?3, ?4, ?5)",
    )?;
    statement.execute(params![
        file.entry.path.as_str(),
        name.as_str(),
        file.resolved.as_str(),
        kind,
        to_json(&file.entry),
    ])?;
    Ok(())
}

pub(crate) fn delete_file(
    connection: &Connection,
    name: &PatchName,
    path: &RelPath,
) -> Result<(), DatabaseError> {
    let mut statement =
        connection.prepare_cached("DELETE FROM installed_file WHERE path = ?1 AND name = ?2")?;
    statement.execute([path.as_str(), name.as_str()])?;
    Ok(())
}

pub(crate) fn replace_hooks(
    connection: &Connection,
    name: &PatchName,
    hooks: &[InstalledHook],
) -> Result<(), DatabaseError> {
    connection.execute("DELETE FROM installed_hook WHERE name = ?1", [name.as_str()])?;
    for hook in hooks {
        connection.execute(
            "INSERT INTO installed_hook (name, hook, content) VALUES (?1, ?2, ?3)",
            params![name.as_str(), hook.kind.as_str(), hook.content],
        )?;
    }
    Ok(())
}

struct InstalledRow {
    texts: [String; 5],
    installer: u32,
    transaction: i64,
}

impl InstalledRow {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            texts: [row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?],
            installer: row.get(5)?,
            transaction: row.get(6)?,
        })
    }

    fn parse(self) -> Result<Installed, DatabaseError> {
        let [name, version, platform, tree, archive] = &self.texts;
        Ok(Installed {
            name: parse("installed.name", name)?,
            version: parse("installed.version", version)?,
            platform: parse("installed.platform", platform)?,
            tree: parse("installed.tree", tree)?,
            archive: parse("installed.archive", archive)?,
            installer: self.installer,
            transaction: self.transaction,
        })
    }
}

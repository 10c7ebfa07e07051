//! The history of transactions, for people and for rollbacks.

use countersign_format::hash::Hash32;
use countersign_format::name::{PatchName, PatchVersion};
use rusqlite::{Connection, OptionalExtension as _, Row};
use serde::{Deserialize, Serialize};

use super::{Database, DatabaseError, bad_value, parse, parse_json};
use crate::hooks::Action;

/// How far a transaction came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TransactionState {
    /// It was being prepared; nothing outside the working areas was touched.
    Staging,
    /// Its journal is complete; the machine may be between old and new until it is recovered.
    Begun,
    /// It was committed.
    Done,
    /// It failed, and everything was put back.
    Undone,
}

impl TransactionState {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Staging => "staging",
            Self::Begun => "begun",
            Self::Done => "done",
            Self::Undone => "undone",
        }
    }

    fn from_word(word: &str) -> Result<Self, DatabaseError> {
        [Self::Staging, Self::Begun, Self::Done, Self::Undone]
            .into_iter()
            .find(|state| state.as_str() == word)
            .ok_or_else(|| bad_value("txn.state", &format!("{word:?}")))
    }
}

/// One transaction, as the history has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransactionRecord {
    /// Its number; later ones are higher, some may be missing.
    pub id: i64,
    /// The command that a person gave.
    pub command: String,
    /// When it started, in seconds since 1970.
    pub started: u64,
    /// When it ended, in seconds since 1970.
    pub finished: Option<u64>,
    /// How far it came.
    pub state: TransactionState,
    /// What it did: `install`, `upgrade`, `remove`, `repair`, `reinstall`, `adopt` or `rollback`.
    pub action: Action,
    /// For a rollback, the transaction after which the machine is as it was; 0 is before the first.
    pub rolled_back_to: Option<i64>,
    /// Whether a stale index was let through by the person's word.
    pub allow_stale: bool,
    /// Whether what a rollback needs is still there.
    pub kept: bool,
    /// Whether the machine can go back to what was after it: it is done, something was done since,
    /// and the backups of all of that are there.
    pub can_go_back: bool,
    /// Why it failed.
    pub error: Option<String>,
    /// What it changed, by name.
    pub changes: Vec<ChangeRecord>,
}

/// One component's change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangeRecord {
    /// The component.
    pub name: PatchName,
    /// Its version before; none where it was not installed.
    pub old: Option<PatchVersion>,
    /// Its version after; none where it was removed.
    pub new: Option<PatchVersion>,
}

/// One link of the chain of patches that led a component to its new version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkRecord {
    /// The component.
    pub name: PatchName,
    /// The version before the link.
    pub old: Option<PatchVersion>,
    /// The version after it.
    pub version: PatchVersion,
    /// SHA-256 of its archive; of a rollback, of the archive that once brought the version.
    pub archive: Hash32,
}

/// A hook's run, as the history has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HookRecord {
    /// Whose hook.
    pub name: PatchName,
    /// Which, such as `post-install`.
    pub hook: String,
    /// What it was told is going on.
    pub action: String,
    /// How it ended, in words.
    pub outcome: String,
    /// The beginning of its output.
    pub output: Vec<u8>,
    /// Whether there was more output.
    pub truncated: bool,
}

/// Something that a person should know about a transaction that went well.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "notice")]
pub enum Notice {
    /// A file had local changes (or was nobody's) and was replaced or removed; the copy is kept.
    KeptAside {
        /// The path, relative to the root.
        path: String,
        /// Where the copy is, relative to the root.
        copy: String,
    },
    /// A configuration file had local changes and stays; the new one lies beside it.
    ConfigKept {
        /// The path, relative to the root.
        path: String,
        /// Where the shipped one is, relative to the root.
        shipped: String,
    },
    /// A configuration file was deleted by hand and stays so; the new one lies where it would be.
    ConfigDeleted {
        /// The path, relative to the root.
        path: String,
        /// Where the shipped one is, relative to the root.
        shipped: String,
    },
    /// A component was adopted, and its files stay now that this is undone.
    LetGo {
        /// The component.
        name: String,
    },
    /// A directory was to go but holds files of somebody else's.
    DirectoryStays {
        /// The path, relative to the root.
        path: String,
    },
    /// A path was to go but is something else now.
    NotRemoved {
        /// The path, relative to the root.
        path: String,
        /// What is there.
        found: String,
    },
    /// A file that the transaction did not touch had local changes before, and still has.
    LocalChangeLeft {
        /// The path, relative to the root.
        path: String,
        /// What differs.
        difference: String,
    },
    /// An old version's hook did not end well when it was put back to work.
    RecoveryHookFailed {
        /// The component.
        name: String,
        /// How it ended.
        outcome: String,
    },
}

impl std::fmt::Display for Notice {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::KeptAside { path, copy } => {
                write!(formatter, "/{path} had local changes, which are kept in /{copy}")
            }
            Self::ConfigKept { path, shipped } => {
                write!(formatter, "/{path} has local changes and stays; the new one is /{shipped}")
            }
            Self::ConfigDeleted { path, shipped } => {
                write!(formatter, "/{path} was deleted and stays so; the new one is /{shipped}")
            }
            Self::LetGo { name } => {
                write!(formatter, "the files of {name} stay: it had been adopted")
            }
            Self::DirectoryStays { path } => {
                write!(formatter, "/{path} is not empty and stays")
            }
            Self::NotRemoved { path, found } => {
                write!(formatter, "/{path} was not removed: it is {found}")
            }
            Self::LocalChangeLeft { path, difference } => {
                write!(formatter, "/{path} has local changes that were left alone: {difference}")
            }
            Self::RecoveryHookFailed { name, outcome } => {
                write!(formatter, "post-install of {name} did not end well: {outcome}")
            }
        }
    }
}

const SELECT: &str = "SELECT id, command, started, finished, state, action, rolled_back_to,
    allow_stale, kept, error FROM txn";

impl Database {
    /// Every transaction that touched the machine, the newest first.
    pub fn history(&self) -> Result<Vec<TransactionRecord>, DatabaseError> {
        let mut statement = self
            .connection()
            .prepare(&format!("{SELECT} WHERE state <> 'staging' ORDER BY id DESC"))?;
        let rows = statement.query_map([], TransactionRow::read)?;
        rows.map(|row| row?.complete(self.connection())).collect()
    }

    /// One transaction.
    pub fn transaction(&self, id: i64) -> Result<Option<TransactionRecord>, DatabaseError> {
        let mut statement = self.connection().prepare(&format!("{SELECT} WHERE id = ?1"))?;
        let row = statement.query_row([id], TransactionRow::read).optional()?;
        row.map(|row| row.complete(self.connection())).transpose()
    }

    /// The patches that a transaction applied, by name and in order.
    pub fn links(&self, transaction: i64) -> Result<Vec<LinkRecord>, DatabaseError> {
        let mut statement = self.connection().prepare(
            "SELECT name, old_version, version, archive FROM txn_link WHERE txn = ?1
             ORDER BY name, position",
        )?;
        let rows = statement.query_map([transaction], |row| {
            Ok((
                row.get::<_, String>(0)?,
                row.get::<_, Option<String>>(1)?,
                row.get::<_, String>(2)?,
                row.get::<_, String>(3)?,
            ))
        })?;
        rows.map(|row| {
            let (name, old, version, archive) = row?;
            Ok(LinkRecord {
                name: parse("txn_link.name", &name)?,
                old: old.map(|old| parse("txn_link.old_version", &old)).transpose()?,
                version: parse("txn_link.version", &version)?,
                archive: parse("txn_link.archive", &archive)?,
            })
        })
        .collect()
    }

    /// The hooks that a transaction ran, in order.
    pub fn hook_runs(&self, transaction: i64) -> Result<Vec<HookRecord>, DatabaseError> {
        let mut statement = self.connection().prepare(
            "SELECT name, hook, action, outcome, output, truncated FROM txn_hook_run
             WHERE txn = ?1 ORDER BY position",
        )?;
        let rows = statement.query_map([transaction], |row| {
            Ok((
                row.get::<_, String>(0)?,
                row.get(1)?,
                row.get(2)?,
                row.get(3)?,
                row.get(4)?,
                row.get(5)?,
            ))
        })?;
        rows.map(|row| {
            let (name, hook, action, outcome, output, truncated) = row?;
            let name = parse("txn_hook_run.name", &name)?;
            Ok(HookRecord { name, hook, action, outcome, output, truncated })
        })
        .collect()
    }

    /// What a person should know about a transaction.
    pub fn notices(&self, transaction: i64) -> Result<Vec<Notice>, DatabaseError> {
        let mut statement = self
            .connection()
            .prepare("SELECT notice FROM txn_notice WHERE txn = ?1 ORDER BY position")?;
        let rows = statement.query_map([transaction], |row| row.get::<_, String>(0))?;
        rows.map(|notice| parse_json("txn_notice.notice", &notice?)).collect()
    }
}

struct TransactionRow {
    id: i64,
    command: String,
    started: i64,
    finished: Option<i64>,
    state: String,
    action: String,
    rolled_back_to: Option<i64>,
    allow_stale: bool,
    kept: bool,
    error: Option<String>,
}

impl TransactionRow {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            id: row.get(0)?,
            command: row.get(1)?,
            started: row.get(2)?,
            finished: row.get(3)?,
            state: row.get(4)?,
            action: row.get(5)?,
            rolled_back_to: row.get(6)?,
            allow_stale: row.get(7)?,
            kept: row.get(8)?,
            error: row.get(9)?,
        })
    }

    fn complete(self, connection: &Connection) -> Result<TransactionRecord, DatabaseError> {
        let seconds =
            |value: i64| u64::try_from(value).map_err(|error| bad_value("txn.started", &error));
        Ok(TransactionRecord {
            id: self.id,
            command: self.command,
            started: seconds(self.started)?,
            finished: self.finished.map(seconds).transpose()?,
            state: TransactionState::from_word(&self.state)?,
            action: Action::from_word(&self.action)
                .ok_or_else(|| bad_value("txn.action", &self.action))?,
            rolled_back_to: self.rolled_back_to,
            allow_stale: self.allow_stale,
            kept: self.kept,
            can_go_back: can_go_back(connection, self.id)?,
            error: self.error,
            changes: changes(connection, self.id)?,
        })
    }
}

fn can_go_back(connection: &Connection, id: i64) -> Result<bool, DatabaseError> {
    let mut statement = connection.prepare_cached(
        "SELECT (SELECT state FROM txn WHERE id = ?1) = 'done'
             AND count(*) > 0 AND coalesce(min(kept), 0) = 1
         FROM txn WHERE state = 'done' AND id > ?1",
    )?;
    Ok(statement.query_row([id], |row| row.get(0))?)
}

fn changes(connection: &Connection, id: i64) -> Result<Vec<ChangeRecord>, DatabaseError> {
    let mut statement = connection.prepare_cached(
        "SELECT name, old_version, new_version FROM txn_change WHERE txn = ?1 ORDER BY name",
    )?;
    let rows = statement.query_map([id], |row| {
        Ok((
            row.get::<_, String>(0)?,
            row.get::<_, Option<String>>(1)?,
            row.get::<_, Option<String>>(2)?,
        ))
    })?;
    let version =
        |text: Option<String>| text.map(|text| parse("txn_change.version", &text)).transpose();
    rows.map(|row| {
        let (name, old, new) = row?;
        Ok(ChangeRecord {
            name: parse("txn_change.name", &name)?,
            old: version(old)?,
            new: version(new)?,
        })
    })
    .collect()
}

//! `state.db`: what this machine trusts, knows and has installed, in one SQLite file.
//!
//! A rollback journal rather than a write-ahead log: a reader without privilege cannot open a
//! cleanly closed WAL database. `synchronous=EXTRA`, so that a commit survives a power cut
//! together with the deletion of its journal. The file is made by [`Database::create`] alone: one
//! that is missing, empty or torn is never taken for a first use, since that would drop the floor
//! under versions and times.

pub(crate) mod change;
pub mod glimpse;
pub mod history;
pub mod hold;
pub mod index;
pub mod installed;
mod lines;
pub(crate) mod lookup;
mod migrations;
pub mod names;
pub(crate) mod patches;
pub mod signers;
pub mod source;

use std::fmt::Display;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags, Transaction, TransactionBehavior};
use serde::Serialize;
use serde::de::DeserializeOwned;

use self::migrations::LINES_SINCE;
pub use self::migrations::MIGRATIONS;

/// `application_id` of a state database: the letters `CSst`.
const APPLICATION_ID: i64 = 0x4353_7374;

/// How long a statement waits for another process's short write before it gives up.
const BUSY: Duration = Duration::from_secs(10);

/// Largest database that an update may make, in bytes: a hundred times what a repository of 100,000
/// patches takes. Whoever stole the key of a log must not fill the disk with entries.
pub const MAX_DATABASE: u64 = 8 * 1024 * 1024 * 1024;

/// Pages that a writer holds in memory, in KiB: what installing 10,000 files changes.
const CACHE: i64 = 12 * 1024;

/// Most pages that SQLite can count.
const MOST_PAGES: u64 = 4_294_967_294;

/// An open state database.
#[derive(Debug)]
pub struct Database {
    connection: Connection,
    path: PathBuf,
}

/// Why the state database cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// There is no file: this machine is not enrolled.
    #[error("no state database at {}", .0.display())]
    Missing(PathBuf),
    /// There is no file yet: this machine was made from an image and enrols at its first update.
    #[error("no state database at {} yet: this machine's image carries an enrolment", .0.display())]
    NotYet(PathBuf),
    /// A first use was asked for where there is a database.
    #[error("a state database is already at {}", .0.display())]
    Exists(PathBuf),
    /// There is no file, and yet this machine was enrolled.
    #[error("state database {} is gone, but {} shows that this machine was enrolled", path.display(), trace.display())]
    Lost {
        /// Where it was.
        path: PathBuf,
        /// What is left of the enrolment.
        trace: PathBuf,
    },
    /// The file is there but holds no state: lost or torn, never a first use.
    #[error("state database {} is corrupt or empty: {reason}", path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What was found.
        reason: String,
    },
    /// The file was written by a newer release.
    #[error("state database {} has schema {found}, this release knows up to {known}", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its schema.
        found: usize,
        /// The newest schema this release knows.
        known: usize,
    },
    /// The file was written by an older release and only reading was asked for.
    #[error("state database {} has schema {found}, this release needs {known}", path.display())]
    Older {
        /// The file.
        path: PathBuf,
        /// Its schema.
        found: usize,
        /// The schema this release needs.
        known: usize,
    },
    /// A value in the database is not what this release writes there.
    #[error("state database has a bad value in {column}: {reason}")]
    Value {
        /// Table and column.
        column: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// Others than root and the user can write to the file or its directory.
    #[error(
        "{} is owned by user {owner} with mode {mode:04o}: others could change what is trusted",
        path.display()
    )]
    Exposed {
        /// The file or directory.
        path: PathBuf,
        /// Its owner.
        owner: u32,
        /// Its mode.
        mode: u32,
    },
    /// The file cannot be made or moved.
    #[error("{what} {}", path.display())]
    File {
        /// What was tried.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Why it failed.
        source: std::io::Error,
    },
    /// SQLite refuses.
    #[error("state database")]
    Sqlite(#[from] rusqlite::Error),
}

impl Database {
    /// Makes a new state database, for enrolment alone. It appears under its name complete and
    /// durable, or not at all.
    pub fn create(path: &Path) -> Result<Self, DatabaseError> {
        if path.try_exists().map_err(|source| file_error("look for", path, source))? {
            return Err(DatabaseError::Exists(path.to_owned()));
        }
        let mut unfinished = path.as_os_str().to_owned();
        unfinished.push(".new");
        let unfinished = PathBuf::from(unfinished);
        remove_if_there(&unfinished)?;
        let mut database = Self::connect(
            &unfinished,
            OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE,
        )?;
        database.prepare_for_writing()?;
        database.connection.pragma_update(None, "application_id", APPLICATION_ID)?;
        database.migrate()?;
        drop(database);
        std::fs::rename(&unfinished, path).map_err(|source| file_error("name", path, source))?;
        let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        std::fs::File::open(directory.unwrap_or(Path::new(".")))
            .and_then(|directory| directory.sync_all())
            .map_err(|source| file_error("make durable", path, source))?;
        Self::open_for_write(path)
    }

    /// Opens the database to change it. An older schema stays as it is until [`Self::migrate`]:
    /// recovery comes first and reads its predecessor's journal.
    pub fn open_for_write(path: &Path) -> Result<Self, DatabaseError> {
        Self::must_exist(path)?;
        must_be_closed(path)?;
        let database = Self::connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        database
            .check_schema()
            .and_then(|_| database.prepare_for_writing())
            .map_err(|error| database.explain(error))?;
        Ok(database)
    }

    /// Opens the database to read it. Never waits for a writer longer than its commit takes.
    pub fn open_read_only(path: &Path) -> Result<Self, DatabaseError> {
        Self::must_exist(path)?;
        let mut database = Self::connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        let mut schema = database.check_schema();
        if schema.as_ref().is_err_and(was_interrupted) {
            // a writer was killed while it wrote; only who may write can put that right
            Self::connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?.check_schema()?;
            database = Self::connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
            schema = database.check_schema();
        }
        let found = schema.map_err(|error| database.explain(error))?;
        if found < MIGRATIONS.len() {
            return Err(DatabaseError::Older {
                path: path.to_owned(),
                found,
                known: MIGRATIONS.len(),
            });
        }
        Ok(database)
    }

    /// Brings an older schema up to this release's; all steps or none.
    pub fn migrate(&mut self) -> Result<(), DatabaseError> {
        // without a write where there is nothing to be done: the state may be looked at only
        if user_version(&self.connection)? == MIGRATIONS.len() {
            return Ok(());
        }
        let transaction = self.begin()?;
        let at = user_version(&transaction)?;
        for migration in MIGRATIONS.iter().skip(at) {
            transaction.execute_batch(migration)?;
        }
        if at < LINES_SINCE {
            patches::make_lookups(&transaction)?;
        }
        transaction.pragma_update(None, "user_version", count(MIGRATIONS.len()))?;
        Ok(transaction.commit()?)
    }

    /// What SQLite finds wrong with the file, at most twenty things: pages that make no sense, and
    /// indexes that do not say what their tables say. It reads all of the file.
    pub fn integrity(&self) -> Result<Vec<String>, DatabaseError> {
        let mut statement = self.connection.prepare("PRAGMA integrity_check(20)")?;
        let rows = statement.query_map([], |row| row.get::<_, String>(0))?;
        let found: Vec<String> = rows.collect::<Result<_, _>>()?;
        Ok(found.into_iter().filter(|line| line != "ok").collect())
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The connection, for the modules that own tables.
    pub(crate) fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Starts a transaction that takes the write lock at once.
    pub(crate) fn begin(&mut self) -> Result<Transaction<'_>, DatabaseError> {
        Ok(self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?)
    }

    /// Starts a transaction that only reads: many reads in one cost no locks of their own, and see the
    /// same state. Dropped, it is over. None where a transaction is under way anyhow.
    pub fn read(&self) -> Result<Option<Transaction<'_>>, DatabaseError> {
        if !self.connection.is_autocommit() {
            return Ok(None);
        }
        let behavior = TransactionBehavior::Deferred;
        Ok(Some(Transaction::new_unchecked(&self.connection, behavior)?))
    }

    /// Bounds what the database may grow to, or takes the bound away. Past it nothing more can be
    /// written, so it is not for transactions that install or undo.
    pub(crate) fn bound(&self, most: Option<u64>) -> Result<(), DatabaseError> {
        let page: i64 = self.connection.query_row("PRAGMA page_size", [], |row| row.get(0))?;
        let pages = most.map_or(MOST_PAGES, |most| most / page.unsigned_abs().max(1));
        let set = format!("PRAGMA max_page_count = {pages}");
        Ok(self.connection.query_row(&set, [], |_| Ok(()))?)
    }

    fn connect(path: &Path, flags: OpenFlags) -> Result<Self, DatabaseError> {
        let flags = flags | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_NOFOLLOW;
        // NOFOLLOW refuses a symlink anywhere in the path; those above the file are the operator's
        let whole = std::path::absolute(path)
            .and_then(|path| match (path.parent(), path.file_name()) {
                (Some(parent), Some(name)) => Ok(parent.canonicalize()?.join(name)),
                _ => Ok(path),
            })
            .map_err(|source| file_error("resolve", path, source))?;
        let connection = Connection::open_with_flags(whole, flags)?;
        connection.busy_timeout(BUSY)?;
        // a plan that depends on what is bound is made anew for each value, at ten times the cost
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
        connection.pragma_update(None, "foreign_keys", true)?;
        connection.pragma_update(None, "trusted_schema", false)?;
        Ok(Self { connection, path: path.to_owned() })
    }

    fn must_exist(path: &Path) -> Result<(), DatabaseError> {
        match path.try_exists() {
            Ok(true) => Ok(()),
            Ok(false) => Err(DatabaseError::Missing(path.to_owned())),
            Err(source) => Err(file_error("look for", path, source)),
        }
    }

    fn prepare_for_writing(&self) -> Result<(), DatabaseError> {
        let mode: String =
            self.connection.query_row("PRAGMA journal_mode = DELETE", [], |row| row.get(0))?;
        if mode != "delete" {
            return Err(self.corrupt(format!("journal mode stays {mode}")));
        }
        self.connection.pragma_update(None, "synchronous", "EXTRA")?;
        // what does not fit is written, and flushed, ahead of the commit
        self.connection.pragma_update(None, "cache_size", -CACHE)?;
        Ok(())
    }

    fn check_schema(&self) -> Result<usize, DatabaseError> {
        let application: i64 =
            self.connection.query_row("PRAGMA application_id", [], |row| row.get(0))?;
        let found = user_version(&self.connection)?;
        if found == 0 || application != APPLICATION_ID {
            return Err(self.corrupt("it has no schema of this program".into()));
        }
        if found > MIGRATIONS.len() {
            return Err(DatabaseError::Newer {
                path: self.path.clone(),
                found,
                known: MIGRATIONS.len(),
            });
        }
        Ok(found)
    }

    fn corrupt(&self, reason: String) -> DatabaseError {
        DatabaseError::Corrupt { path: self.path.clone(), reason }
    }

    /// Says "corrupt" where SQLite found no database in the file.
    fn explain(&self, error: DatabaseError) -> DatabaseError {
        match error {
            DatabaseError::Sqlite(rusqlite::Error::SqliteFailure(failure, ref message))
                if matches!(failure.code, ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) =>
            {
                self.corrupt(message.clone().unwrap_or_else(|| failure.to_string()))
            }
            other => other,
        }
    }
}

fn was_interrupted(error: &DatabaseError) -> bool {
    let DatabaseError::Sqlite(rusqlite::Error::SqliteFailure(failure, _)) = error else {
        return false;
    };
    failure.extended_code == rusqlite::ffi::SQLITE_READONLY_ROLLBACK
}

/// Whoever can write to the state decides what this machine trusts, and what recovery puts where.
fn must_be_closed(path: &Path) -> Result<(), DatabaseError> {
    for path in path.parent().into_iter().chain([path]) {
        let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        let exposed = exposure(path).map_err(|source| file_error("look at", path, source))?;
        if let Some((owner, mode)) = exposed {
            return Err(DatabaseError::Exposed { path: path.to_owned(), owner, mode });
        }
    }
    Ok(())
}

/// The owner and the mode of a file or directory that others than root and this user can write to.
pub(crate) fn exposure(path: &Path) -> std::io::Result<Option<(u32, u32)>> {
    let user = rustix::process::geteuid().as_raw();
    let found = std::fs::metadata(path)?;
    let (owner, mode) = (found.uid(), found.mode() & 0o7777);
    let by_group = user == 0 && found.gid() != 0 && mode & 0o020 != 0;
    let exposed = (owner != 0 && owner != user) || mode & 0o002 != 0 || by_group;
    Ok(exposed.then_some((owner, mode)))
}

fn user_version(connection: &Connection) -> Result<usize, DatabaseError> {
    let version: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    usize::try_from(version).map_err(|_| DatabaseError::Value {
        column: "user_version",
        reason: format!("{version} is negative"),
    })
}

/// A count for a column.
pub(crate) fn count(value: usize) -> i64 {
    i64::try_from(value).expect("counts of things in memory fit 63 bits")
}

/// Reads a column that holds a word of this program's.
pub fn parse<T>(column: &'static str, text: &str) -> Result<T, DatabaseError>
where
    T: FromStr,
    T::Err: Display,
{
    text.parse().map_err(|error: T::Err| bad_value(column, &error))
}

/// Reads a column that holds JSON of this program's.
pub(crate) fn parse_json<T: DeserializeOwned>(
    column: &'static str,
    text: &str,
) -> Result<T, DatabaseError> {
    serde_json::from_str(text).map_err(|error| bad_value(column, &error))
}

/// JSON of one of this program's own types, for a column.
pub(crate) fn to_json<T: Serialize>(value: &T) -> String {
    serde_json::to_string(value).expect("types of this program have text keys")
}

/// A column whose value this program does not write.
pub(crate) fn bad_value(column: &'static str, reason: &dyn Display) -> DatabaseError {
    DatabaseError::Value { column, reason: reason.to_string() }
}

fn remove_if_there(path: &Path) -> Result<(), DatabaseError> {
    match std::fs::remove_file(path) {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
            Err(file_error("remove", path, source))
        }
        _ => Ok(()),
    }
}

fn file_error(what: &'static str, path: &Path, source: std::io::Error) -> DatabaseError {
    DatabaseError::File { what, path: path.to_owned(), source }
}

#[cfg(test)]
mod tests;

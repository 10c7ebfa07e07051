//! The state, opened by whoever changes it: one process at a time, and after every interrupted
//! transaction was finished or undone.

use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use countersign_format::time::Timestamp;
use countersign_store::{Holder, Lock, LockError};

use crate::db::{Database, DatabaseError};
use crate::first_boot::{self, FirstBootError};
use crate::places::Places;
use crate::report::Reporter;
use crate::root::{Root, RootError};
use crate::transaction::{Context, RecoverError, Recovered, recover};

/// The state, locked.
#[derive(Debug)]
pub struct State {
    /// The database.
    pub database: Database,
    /// Interrupted transactions that were put back when the state was opened.
    pub recovered: Vec<Recovered>,
    _lock: Lock,
}

/// How the state is opened.
pub struct Opening<'a> {
    /// Where it is, and which root it speaks of.
    pub places: &'a Places,
    /// What a transaction is told of the outside world.
    pub context: Context<'a>,
    /// The time, for the lock's holder.
    pub now: Timestamp,
    /// How long to wait for another process.
    pub patience: Duration,
    /// Called once if another process holds the state, with what is known of it.
    pub on_wait: &'a mut dyn FnMut(Option<&Holder>),
}

/// Why the state cannot be changed.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// Its directory cannot be made.
    #[error("cannot make {}", path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Another process holds it, or the lock cannot be used.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// The database.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// The install root.
    #[error(transparent)]
    Root(#[from] RootError),
    /// An interrupted transaction could not be put back.
    #[error(transparent)]
    Recover(#[from] RecoverError),
    /// The enrolment that an image carries.
    #[error(transparent)]
    FirstBoot(#[from] FirstBootError),
}

impl State {
    /// Opens the state of an enrolled machine.
    pub fn open(opening: Opening<'_>, reporter: &mut dyn Reporter) -> Result<Self, StateError> {
        // before the lock is made: a machine that is not enrolled gets no directories
        let is_waiting = |found: &Result<(), StateError>| {
            matches!(found, Err(StateError::Database(DatabaseError::NotYet(_))))
        };
        let found = must_be_there(opening.places);
        if !is_waiting(&found) {
            found?;
        }
        Self::lock_and_open(opening, reporter, |places| match must_be_there(places) {
            found if is_waiting(&found) => Ok(Database::create(&places.database()).map(drop)?),
            found => found,
        })
    }

    /// Opens the state for an enrolment: makes it if this is the first one. One that is there and
    /// damaged is refused, as everywhere, and so is one that is gone from an enrolled machine: a new
    /// one would know no floor under versions and times.
    pub fn open_or_create(
        opening: Opening<'_>,
        reporter: &mut dyn Reporter,
    ) -> Result<Self, StateError> {
        let directory = &opening.places.state;
        let mut builder = std::fs::DirBuilder::new();
        builder.recursive(true).mode(0o755);
        builder.create(directory).map_err(|source| directory_error(directory, source))?;
        Self::lock_and_open(opening, reporter, |places| match must_be_there(places) {
            Err(StateError::Database(DatabaseError::Missing(path))) => {
                Database::create(&path).map(drop).map_err(StateError::Database)
            }
            found => found,
        })
    }

    fn lock_and_open(
        opening: Opening<'_>,
        reporter: &mut dyn Reporter,
        find: impl FnOnce(&Places) -> Result<(), StateError>,
    ) -> Result<Self, StateError> {
        let Opening { places, context, now, patience, on_wait } = opening;
        let holder = Holder::this_process(context.command, now.seconds());
        let lock = Lock::acquire(&places.lock(), &holder, Some(patience), on_wait)?;
        find(places)?;
        let mut database = Database::open_for_write(&places.database())?;
        let root = Root::open(&places.root)?;
        let recovered = recover(&mut database, &root, context, reporter)?;
        database.migrate()?;
        first_boot::take(&mut database, places)?;
        Ok(Self { database, recovered, _lock: lock })
    }
}

impl std::fmt::Debug for Opening<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Opening").field("places", self.places).finish_non_exhaustive()
    }
}

/// Whether there is a state. Where there is none, what is left of an enrolment says that there was.
pub fn must_be_there(places: &Places) -> Result<(), StateError> {
    let path = places.database();
    if path.try_exists().map_err(|source| directory_error(&path, source))? {
        return Ok(());
    }
    if first_boot::is_waiting(places) {
        return Err(DatabaseError::NotYet(path).into());
    }
    Err(match places.trace_of_enrolment() {
        Some(trace) => DatabaseError::Lost { path, trace },
        None => DatabaseError::Missing(path),
    }
    .into())
}

fn directory_error(path: &Path, source: io::Error) -> StateError {
    StateError::Directory { path: path.to_owned(), source }
}

//! Taking new entries of both logs into the index, in one database transaction.
//!
//! The entries are all here and make the signed trees before it begins: nobody is kept from reading
//! the state by a server that takes its time.

use std::cell::RefCell;
use std::error::Error;
use std::path::Path;

use countersign_format::hash::Hash32;
use countersign_format::layout::Log;
use countersign_store::Source;
use countersign_store::crash::crash_point;
use countersign_store::follow::{FollowError, Held, LogReader, Memory};

use crate::db::index::{DecidedHead, IndexWriter};
use crate::db::source::put_updated;
use crate::db::{DatabaseError, MAX_DATABASE};
use crate::report::{Event, Reporter};
use crate::trust::{Head, Heads};

use super::error::{AttemptError, Fork};
use super::evidence::Proof;
use super::spool::{Spool, SpoolError};
use super::take::{TakeError, Taker};
use super::{Attempt, NewHead, Updated};

/// How many entries go by between two reports.
const REPORT_EVERY: u64 = 1024;

/// Why entries were not taken.
pub(super) enum FoldError {
    /// For a reason that needs no evidence.
    Attempt(AttemptError),
    /// They do not lead to the signed root.
    Root { log: Log, expected: Hash32, found: Hash32 },
    /// The distribution decided on another tree.
    Decided(DecidedHead),
}

/// A log read up to its new head.
pub(super) struct Fetched {
    /// The new entries.
    pub(super) entries: Spool,
    /// What is held then.
    pub(super) held: Held,
}

impl Attempt<'_, '_> {
    /// Goes to the new heads. On an error the database is as before.
    pub(super) async fn fold(
        &mut self,
        server: &Source,
        heads: &Heads,
        collection: &NewHead,
        distribution: &NewHead,
    ) -> Result<Updated, AttemptError> {
        let folded = match self.fetch_both(server, heads, collection, distribution).await {
            Ok(fetched) => self.take_bounded(heads, collection, distribution, fetched),
            Err(error) => Err(error),
        };
        let oddities = folded.map_err(|error| match error {
            FoldError::Attempt(error) => error,
            FoldError::Root { log: Log::Collection, expected, found } => {
                self.other_root(&heads.collection, collection, expected, found)
            }
            FoldError::Root { log: Log::Distribution, expected, found } => {
                self.other_root(&heads.distribution, distribution, expected, found)
            }
            FoldError::Decided(decided) => self.other_tree(&decided, collection, distribution),
        })?;
        Ok(Updated {
            authority: (0, self.trust.authority().version),
            passed_over: std::mem::take(&mut self.passed_over),
            collection: (heads.collection.size(), collection.signed.checkpoint.size),
            distribution: (heads.distribution.size(), distribution.signed.checkpoint.size),
            oddities,
            directory: self.directory.take(),
            server: server.name().to_owned(),
            failed: Vec::new(),
            statistics: server.statistics(),
        })
    }

    async fn fetch_both(
        &mut self,
        server: &Source,
        heads: &Heads,
        collection: &NewHead,
        distribution: &NewHead,
    ) -> Result<[Fetched; 2], FoldError> {
        let reporter = RefCell::new(&mut *self.reporter);
        let state = &self.updater.places.state;
        let memory = Memory::default();
        let read = |from: &Head| LogReader::new(server, from.log).sharing(&memory);
        // side by side; where one fails, nobody waits for the other
        let (decisions, patches) = tokio::try_join!(
            fetch(read(&heads.distribution), &heads.distribution, distribution, state, &reporter),
            fetch(read(&heads.collection), &heads.collection, collection, state, &reporter),
        )?;
        Ok([decisions, patches])
    }

    /// Takes all entries or, where they would make the database too large, none.
    fn take_bounded(
        &mut self,
        heads: &Heads,
        collection: &NewHead,
        distribution: &NewHead,
        fetched: [Fetched; 2],
    ) -> Result<u64, FoldError> {
        self.updater.database.bound(Some(MAX_DATABASE))?;
        let taken = self.take_both(heads, collection, distribution, fetched);
        self.updater.database.bound(None)?;
        taken
    }

    fn take_both(
        &mut self,
        heads: &Heads,
        collection: &NewHead,
        distribution: &NewHead,
        [decisions, patches]: [Fetched; 2],
    ) -> Result<u64, FoldError> {
        let (source, now) = (self.trust.id(), self.updater.now);
        let transaction = self.updater.database.begin()?;
        let index = IndexWriter { transaction: &transaction, source };
        let mut taker = Taker::new(&index);

        // decisions first: the trees that they speak of are compared while the collection's log is
        // read
        taker.take(&heads.distribution, distribution, decisions)?;
        taker.check_mentions(&self.trust, Log::Distribution)?;

        let size = collection.signed.checkpoint.size;
        let to = &collection.signed.checkpoint;
        let held = held_of(&heads.collection).frontier;
        let decided = index.heads_between(to.origin.as_str(), held.size().max(1), size)?;
        taker.watch(held, decided, to)?;
        taker.take(&heads.collection, collection, patches)?;
        taker.check_mentions(&self.trust, Log::Collection)?;

        let oddities = taker.oddities;
        put_updated(&transaction, source, now)?;
        crash_point("update.folded");
        transaction.commit().map_err(DatabaseError::from)?;
        crash_point("update.committed");
        Ok(oddities)
    }

    fn other_root(
        &self,
        from: &Head,
        new: &NewHead,
        expected: Hash32,
        found: Hash32,
    ) -> AttemptError {
        let (log, size, held) = (from.log, new.signed.checkpoint.size, held_of(from).frontier);
        let edge: Vec<String> = held.roots().iter().map(ToString::to_string).collect();
        let about = format!(
            "The entries of the {log} log that were served after the held {}\n\
             lead to the root {found} at {size} entries;\n\
             the signed head has {expected}. The held right edge is\n{}\n",
            held.size(),
            edge.join("\n"),
        );
        let before = from.held.as_ref().map_or(&[][..], |held| &held.checkpoint);
        let evidence = self.keep(Proof::Served, log, [before, &new.bytes], &about);
        AttemptError::Fork { fork: Fork::Entries { log, held: held.size(), size }, evidence }
    }

    fn other_tree(
        &self,
        decided: &DecidedHead,
        collection: &NewHead,
        distribution: &NewHead,
    ) -> AttemptError {
        let DecidedHead { leaf, size, root } = *decided;
        let about = format!(
            "Entry {leaf} of the distribution log, whose head is in \"held\",\n\
             speaks of a collection log with the root {root} at {size} entries.\n\
             The log whose head is in \"found\" has another root there.\n"
        );
        let notes = [distribution.bytes.as_slice(), &collection.bytes];
        let evidence = self.keep(Proof::Signed, Log::Collection, notes, &about);
        AttemptError::Fork { fork: Fork::Decided { leaf, size }, evidence }
    }
}

/// Reads a log up to its new head. Before it is said to be another one than was signed, it is read
/// without packs.
async fn fetch(
    reader: LogReader<'_>,
    from: &Head,
    new: &NewHead,
    state: &Path,
    reporter: &RefCell<&mut (dyn Reporter + '_)>,
) -> Result<Fetched, FoldError> {
    match fetch_once(&reader, from, new, state, reporter).await {
        Err(error) if error.may_be_packs() => {
            Ok(fetch_once(&reader.packs(false), from, new, state, reporter).await?)
        }
        fetched => Ok(fetched?),
    }
}

async fn fetch_once(
    reader: &LogReader<'_>,
    from: &Head,
    new: &NewHead,
    state: &Path,
    reporter: &RefCell<&mut (dyn Reporter + '_)>,
) -> Result<Fetched, FollowError> {
    let (log, start, size) = (from.log, from.size(), new.signed.checkpoint.size);
    let mut entries = Spool::new(state, log);
    let mut take = |leaf: u64, bytes: &[u8], hash: &Hash32| -> Result<(), _> {
        entries.push(bytes, hash)?;
        let done = leaf + 1 - start;
        if done.is_multiple_of(REPORT_EVERY) || leaf + 1 == size {
            reporter.borrow_mut().report(&Event::Following { log, done, total: size - start });
        }
        Ok::<_, Box<dyn Error + Send + Sync>>(())
    };
    let checkpoint = &new.signed.checkpoint;
    let held = reader.follow(&held_of(from), checkpoint, &mut take).await?;
    Ok(Fetched { entries, held })
}

fn held_of(head: &Head) -> Held {
    head.held.as_ref().map(|held| held.held.clone()).unwrap_or_default()
}

impl From<AttemptError> for FoldError {
    fn from(error: AttemptError) -> Self {
        Self::Attempt(error)
    }
}

impl From<DatabaseError> for FoldError {
    fn from(error: DatabaseError) -> Self {
        Self::Attempt(error.into())
    }
}

impl From<TakeError> for FoldError {
    fn from(error: TakeError) -> Self {
        match error {
            TakeError::Database(error) => error.into(),
            TakeError::Spool(error) => Self::Attempt(AttemptError::Spool(error)),
            TakeError::Decided(decided) => Self::Decided(decided),
        }
    }
}

impl From<FollowError> for FoldError {
    fn from(error: FollowError) -> Self {
        match error {
            FollowError::Root { log, expected, found, .. } => Self::Root { log, expected, found },
            FollowError::Get(error) => Self::Attempt(error.into()),
            FollowError::Taker(error) => match error.downcast::<SpoolError>() {
                Ok(error) => Self::Attempt(AttemptError::Spool(*error)),
                Err(error) => Self::Attempt(AttemptError::Follow(FollowError::Taker(error))),
            },
            other => Self::Attempt(AttemptError::Follow(other)),
        }
    }
}

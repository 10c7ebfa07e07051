//! Taking new entries of both logs into the index, in one database transaction.
//!
//! The entries are all here and make the signed trees before it begins: nobody is kept from reading
//! the state by a server that takes its time.

use std::error::Error;

use countersign_format::entry::{AuthorityReference, CollectionEntry, DistributionEntry};
use countersign_format::hash::Hash32;
use countersign_format::layout::Log;
use countersign_format::merkle::{Frontier, leaf_hash};
use countersign_store::Source;
use countersign_store::crash::crash_point;
use countersign_store::follow::{FollowError, Held, follow};

use crate::db::index::{DecidedHead, Decision, IndexWriter};
use crate::db::source::{HeldLog, put_log, put_signer_time, put_updated};
use crate::db::{DatabaseError, MAX_DATABASE};
use crate::report::Event;
use crate::trust::{Head, Heads, Trust};

use super::error::{AttemptError, Fork};
use super::evidence::Proof;
use super::spool::{Spool, SpoolError};
use super::{Attempt, NewHead, Updated};

/// How many entries go by between two reports.
const REPORT_EVERY: u64 = 1024;

/// Why entries were not taken.
enum FoldError {
    /// For a reason that needs no evidence.
    Attempt(AttemptError),
    /// They do not lead to the signed root.
    Root { log: Log, expected: Hash32, found: Hash32 },
    /// The distribution decided on another tree.
    Decided(DecidedHead),
}

/// Why one entry was not taken.
#[derive(Debug, thiserror::Error)]
enum TakeError {
    #[error(transparent)]
    Database(#[from] DatabaseError),
    #[error(transparent)]
    Spool(#[from] SpoolError),
    #[error("entry {} decides on another tree", .0.leaf)]
    Decided(DecidedHead),
}

/// A log read up to its new head.
struct Fetched {
    entries: Spool,
    held: Held,
}

/// An entry that names an authority note.
struct Mention {
    leaf: u64,
    reference: AuthorityReference,
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
        Ok([
            self.fetch(server, &heads.distribution, distribution).await?,
            self.fetch(server, &heads.collection, collection).await?,
        ])
    }

    /// Reads a log up to its new head.
    async fn fetch(
        &mut self,
        server: &Source,
        from: &Head,
        new: &NewHead,
    ) -> Result<Fetched, FoldError> {
        let (log, start, size) = (from.log, from.size(), new.signed.checkpoint.size);
        let mut entries = Spool::new(&self.updater.places.state);
        let reporter = &mut *self.reporter;
        let mut take = |leaf: u64, bytes: &[u8]| -> Result<(), Box<dyn Error + Send + Sync>> {
            entries.push(bytes)?;
            let done = leaf + 1 - start;
            if done.is_multiple_of(REPORT_EVERY) || leaf + 1 == size {
                reporter.report(&Event::Following { log, done, total: size - start });
            }
            Ok(())
        };
        let held = follow(server, log, &held_of(from), &new.signed.checkpoint, &mut take).await?;
        Ok(Fetched { entries, held })
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
        let origin = collection.signed.checkpoint.origin.as_str();
        let decided = index.heads_between(origin, heads.collection.size().max(1), size)?;
        taker.watch(held_of(&heads.collection).frontier, decided)?;
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

/// Takes entries into the index.
struct Taker<'t> {
    index: &'t IndexWriter<'t>,
    mentions: Vec<Mention>,
    oddities: u64,
    /// The collection's log as far as it is read, for the trees that decisions speak of.
    frontier: Frontier,
    /// Those trees, the largest first.
    decided: Vec<DecidedHead>,
}

impl<'t> Taker<'t> {
    fn new(index: &'t IndexWriter<'t>) -> Self {
        let frontier = Frontier::empty();
        Self { index, mentions: Vec::new(), oddities: 0, frontier, decided: Vec::new() }
    }

    /// Takes the new entries of a log and keeps its head.
    fn take(&mut self, from: &Head, new: &NewHead, fetched: Fetched) -> Result<(), FoldError> {
        let log = from.log;
        if from.is_left {
            self.index.drop_log(log)?;
        }
        let Fetched { entries, held } = fetched;
        let mut leaf = from.size();
        entries.drain(|bytes| -> Result<(), TakeError> {
            match log {
                Log::Collection => self.collection_entry(leaf, bytes)?,
                Log::Distribution => self.distribution_entry(leaf, bytes)?,
            }
            leaf += 1;
            Ok(())
        })?;
        let now_held = HeldLog {
            origin: new.signed.checkpoint.origin.clone(),
            held,
            checkpoint: new.bytes.clone(),
            validator: new.validator.clone(),
        };
        put_log(self.index.transaction, self.index.source, log, &now_held)?;
        for counted in &new.signed.counted {
            if let Some(time) = counted.time {
                let (transaction, source) = (self.index.transaction, self.index.source);
                put_signer_time(transaction, source, log, &counted.key, time)?;
            }
        }
        Ok(())
    }

    fn collection_entry(&mut self, leaf: u64, bytes: &[u8]) -> Result<(), TakeError> {
        match CollectionEntry::parse(bytes) {
            Ok(CollectionEntry::Patch(patch)) => {
                if !self.index.put_patch(leaf, &patch, bytes)? {
                    self.pass_over(Log::Collection, leaf, "repeats an earlier patch", bytes)?;
                }
            }
            Ok(CollectionEntry::Revoke(revoke)) if revoke.patch < leaf => {
                self.index.put_revocation(leaf, &revoke)?;
            }
            Ok(CollectionEntry::Revoke(_)) => {
                self.pass_over(Log::Collection, leaf, "revokes what is not there", bytes)?;
            }
            Ok(CollectionEntry::Authority(reference)) => {
                self.mentions.push(Mention { leaf, reference });
            }
            Err(error) => {
                self.pass_over(Log::Collection, leaf, &super::error::chain(&error), bytes)?;
            }
        }
        self.compare_decided(leaf, bytes)
    }

    fn distribution_entry(&mut self, leaf: u64, bytes: &[u8]) -> Result<(), TakeError> {
        let decision = match DistributionEntry::parse(bytes) {
            Ok(DistributionEntry::Release(release)) => Decision::Release(release),
            Ok(DistributionEntry::Withdraw(withdraw)) => Decision::Withdraw(withdraw),
            Ok(DistributionEntry::Authority(reference)) => {
                self.mentions.push(Mention { leaf, reference });
                return Ok(());
            }
            Err(error) => {
                let reason = super::error::chain(&error);
                return self.pass_over(Log::Distribution, leaf, &reason, bytes);
            }
        };
        Ok(self.index.put_decision(leaf, &decision, bytes)?)
    }

    fn pass_over(
        &mut self,
        log: Log,
        leaf: u64,
        reason: &str,
        bytes: &[u8],
    ) -> Result<(), TakeError> {
        self.oddities += 1;
        Ok(self.index.put_oddity(log, leaf, reason, bytes)?)
    }

    /// Compares the trees that decisions speak of from here on, `frontier` being what is held.
    fn watch(
        &mut self,
        frontier: Frontier,
        mut decided: Vec<DecidedHead>,
    ) -> Result<(), FoldError> {
        decided.reverse();
        (self.frontier, self.decided) = (frontier, decided);
        Ok(self.compare_here()?)
    }

    fn compare_decided(&mut self, leaf: u64, bytes: &[u8]) -> Result<(), TakeError> {
        debug_assert_eq!(self.frontier.size(), leaf, "entries come in order");
        self.frontier.push(leaf_hash(bytes));
        self.compare_here()
    }

    fn compare_here(&mut self) -> Result<(), TakeError> {
        let size = self.frontier.size();
        while let Some(decided) = self.decided.pop_if(|decided| decided.size == size) {
            if decided.root != self.frontier.root() {
                return Err(TakeError::Decided(decided));
            }
        }
        Ok(())
    }

    /// Checks that the authority notes that a log's new entries name are the accepted ones. Those
    /// below the enrolled one, and those that were passed over and superseded, are of the past.
    fn check_mentions(&mut self, trust: &Trust, log: Log) -> Result<(), FoldError> {
        let newest = trust.authority().version;
        for Mention { leaf, reference } in self.mentions.drain(..) {
            let version = reference.version;
            match trust.accepted().get(&version) {
                Some(accepted) if *accepted == reference.sha256 => {}
                Some(_) => {
                    return Err(AttemptError::OtherAuthority { log, leaf, version }.into());
                }
                None if version < newest => {}
                None => return Err(AttemptError::AuthorityHidden { log, leaf, version }.into()),
            }
        }
        Ok(())
    }
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

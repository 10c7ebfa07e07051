//! Fetching and verifying what is new of a source.
//!
//! One server after the other is tried until one serves an authority chain, two heads and entries
//! that all verify. Authority notes are kept as soon as they verify, since the highest version ever
//! accepted is a floor; everything else is kept in one database transaction or not at all.

use std::sync::Arc;

use countersign_format::layout::{self, Log};
use countersign_format::limits::{MAX_AUTHORITY_NOTE, MAX_NOTE};
use countersign_format::policy::{Clock, SignedCheckpoint, Verified, verify_directory};
use countersign_format::time::Timestamp;
use countersign_store::authority::{PassedOver, Walk};
use countersign_store::mirrors::Passed;
use countersign_store::{Get, GetError, Got, Mirrors, Source, Statistics};
use tokio::sync::Mutex;

use crate::config::SourceConfig;
use crate::db::Database;
use crate::db::source::HeldDirectory;
use crate::places::Places;
use crate::report::Reporter;
use crate::trust::{Head, Heads, Trust};

mod authority;
mod error;
mod evidence;
mod fold;
mod spool;
mod take;

pub use error::{AttemptError, Fork, UpdateError};
use evidence::Proof;
pub use evidence::{MAX_EVIDENCE, MAX_UNPROVEN};
pub use spool::SpoolError;

/// After how many seconds the directory is asked for again.
const DIRECTORY_AGE: u64 = 24 * 60 * 60;

/// What an update brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Updated {
    /// Version of the newest authority note before and now.
    pub authority: (u64, u64),
    /// Versions of the authority note that could not be accepted, and why.
    pub passed_over: Vec<PassedOver>,
    /// Entries of the collection's log before and now.
    pub collection: (u64, u64),
    /// Entries of the distribution's log before and now.
    pub distribution: (u64, u64),
    /// New entries that were passed over: malformed, of an unknown type, or repeating another.
    pub oddities: u64,
    /// Why the directory was not taken, where it was not.
    pub directory: Option<String>,
    /// The server that served it.
    pub server: String,
    /// Servers that failed before.
    pub failed: Vec<Passed>,
    /// What was asked of all servers.
    pub statistics: Statistics,
}

/// What an update works with.
#[derive(Debug)]
pub struct Updater<'a> {
    /// The state.
    pub database: &'a mut Database,
    /// Where evidence goes.
    pub places: &'a Places,
    /// The source.
    pub config: &'a SourceConfig,
    /// What the clock says.
    pub now: Timestamp,
}

/// One update, shared by the attempts with one server after the other.
struct Attempt<'a, 'r> {
    updater: Updater<'a>,
    trust: Trust,
    reporter: &'r mut dyn Reporter,
    passed_over: Vec<PassedOver>,
    directory: Option<String>,
}

impl Updater<'_> {
    /// Fetches what is new of the source from the first of `mirrors` that serves it well. The
    /// caller holds the state's lock.
    pub async fn run(
        self,
        mirrors: &Mirrors,
        reporter: &mut dyn Reporter,
    ) -> Result<Updated, UpdateError> {
        let trust = Trust::load(self.database, self.config)?;
        let before = trust.authority().version;
        let attempt =
            Attempt { updater: self, trust, reporter, passed_over: Vec::new(), directory: None };
        // a mutex, since mirrors are tried through a shared reference; nothing ever waits for it
        let attempt = Mutex::new(attempt);
        let with = async |server: &Arc<Source>| attempt.lock().await.with(server).await;
        let tried = mirrors.try_each(with).await;
        let (mut updated, _) = match tried {
            Ok(updated) => updated,
            Err(failed) => {
                // a note that is not good may be why nothing else was
                let passed_over = attempt.into_inner().passed_over;
                return Err(UpdateError::Servers { failed, passed_over });
            }
        };
        updated.authority.0 = before;
        updated.failed = mirrors.failures();
        updated.statistics = mirrors.statistics();
        Ok(updated)
    }
}

impl Attempt<'_, '_> {
    async fn with(&mut self, server: &Source) -> Result<Updated, AttemptError> {
        let heads = Heads::load(self.updater.database, &self.trust)?;
        let mut walk = Walk::after(self.trust.chain().clone());
        let keys = self.trust.authority().directory.keys.clone();
        let (step, collection, distribution, directory) = tokio::join!(
            walk.step(server),
            fetch(server, &heads.collection),
            fetch(server, &heads.distribution),
            self.fetch_directory(server, &heads, false),
        );
        self.take_authority(server, walk, step).await?;
        // an origin may have changed: what is held of another log is not held of this one
        let heads = Heads::load(self.updater.database, &self.trust)?;
        let clock = self.trust.clock(&heads, self.updater.now)?;
        self.trust.check_unexpired(clock)?;
        let directory = match directory {
            // one that was listed just now was not asked for, or is that of other keys
            Ok(None) if self.trust.authority().directory.keys != keys => {
                self.fetch_directory(server, &heads, true).await
            }
            asked => asked,
        };
        self.take_directory(directory, clock)?;
        let collection = self.verify(server, &heads.collection, collection?, clock).await?;
        let distribution = self.verify(server, &heads.distribution, distribution?, clock).await?;
        self.fold(server, &heads, &collection, &distribution).await
    }

    /// Verifies a head and compares it with the held one.
    async fn verify(
        &self,
        server: &Source,
        from: &Head,
        got: Got,
        clock: Clock,
    ) -> Result<NewHead, AttemptError> {
        let got = match (got, &from.held) {
            // it was asked for by what was held of another log
            (Got::NotModified, None) => fetch(server, from).await?,
            (got, _) => got,
        };
        let (bytes, validator) = match (got, &from.held) {
            (Got::NotModified, Some(held)) => (held.checkpoint.clone(), held.validator.clone()),
            (Got::Whole { bytes, validator }, _) => {
                let server = server.name().to_owned();
                (bytes, validator.map(|validator| (server, validator)))
            }
            (Got::NotFound | Got::NotModified | Got::Part { .. }, _) => {
                let (server, log) = (server.name().to_owned(), from.log);
                return Err(AttemptError::NoCheckpoint { server, log });
            }
        };
        let signed = self.trust.verify_head(from, &bytes, clock)?;
        if let Some(held) = &from.held {
            self.compare(from.log, held, &bytes, &signed)?;
        }
        Ok(NewHead { signed, bytes, validator })
    }

    fn compare(
        &self,
        log: Log,
        held: &crate::db::source::HeldLog,
        bytes: &[u8],
        signed: &SignedCheckpoint,
    ) -> Result<(), AttemptError> {
        let frontier = &held.held.frontier;
        let (size, found) = (frontier.size(), signed.checkpoint.size);
        if found < size {
            return Err(AttemptError::Smaller { log, held: size, found });
        }
        if found == size && frontier.root() != signed.checkpoint.root {
            let (held_root, found_root) = (frontier.root(), signed.checkpoint.root);
            let about = format!(
                "Two heads of the {log} log with {size} entries and different roots,\n\
                 {held_root} and {found_root}, both with all signatures.\n"
            );
            let notes = [held.checkpoint.as_slice(), bytes];
            let evidence = self.keep(Proof::Signed, log, notes, &about);
            let fork = Fork::SameSize { log, size, held: held_root, found: found_root };
            return Err(AttemptError::Fork { fork, evidence });
        }
        Ok(())
    }

    async fn fetch_directory(
        &self,
        server: &Source,
        heads: &Heads,
        is_changed: bool,
    ) -> Result<Option<Got>, AttemptError> {
        if self.trust.authority().directory.keys.is_empty() {
            return Ok(None);
        }
        let now = self.trust.clock(heads, self.updater.now)?.now();
        let held = self.updater.database.held_directory(self.trust.id())?;
        let is_recent =
            held.is_some_and(|held| held.asked <= now && now.since(held.asked) < DIRECTORY_AGE);
        if is_recent && !is_changed {
            return Ok(None);
        }
        let request = Get::up_to(MAX_AUTHORITY_NOTE as u64);
        Ok(Some(server.get(&layout::directory(), &request).await?))
    }

    /// Keeps the directory if it verifies and is no older than the held one. It can vouch for
    /// nothing, so whatever is wrong with it is said and stops nothing.
    fn take_directory(
        &mut self,
        got: Result<Option<Got>, AttemptError>,
        clock: Clock,
    ) -> Result<(), AttemptError> {
        let note = match got {
            Ok(None) => return Ok(()),
            Ok(Some(Got::Whole { bytes, .. })) => Some(bytes),
            Ok(Some(_)) => None,
            Err(error) => {
                self.directory = Some(error::chain(&error));
                return Ok(());
            }
        };
        let (id, file) = (self.trust.id(), layout::directory());
        let database = &mut *self.updater.database;
        let verify =
            |note: &[u8]| verify_directory(note, file.as_str(), self.trust.authority(), clock);
        let held = database.held_directory(id)?.and_then(|directory| directory.note);
        // that it has expired since makes its version no smaller
        let ever = Clock::local(Timestamp::EPOCH);
        let signed =
            |note: &[u8]| verify_directory(note, file.as_str(), self.trust.authority(), ever).ok();
        let oldest = held.as_deref().and_then(signed);
        let oldest = oldest.map_or(0, |directory| directory.version);
        let kept = match note.as_deref().map(verify) {
            Some(Ok(new)) if new.version >= oldest => note,
            Some(Ok(new)) => {
                let found = new.version;
                self.directory = Some(format!("its version went back from {oldest} to {found}"));
                held
            }
            Some(Err(error)) => {
                self.directory = Some(error::chain(&error));
                held
            }
            None => held,
        };
        Ok(database.hold_directory(id, &HeldDirectory { asked: clock.now(), note: kept })?)
    }
}

/// A verified head that is to be gone to.
struct NewHead {
    signed: Verified<SignedCheckpoint>,
    bytes: Vec<u8>,
    validator: Option<(String, countersign_store::Validator)>,
}

/// Asks for a checkpoint, unless it is the one that this server sent the last time.
async fn fetch(server: &Source, head: &Head) -> Result<Got, GetError> {
    let validator = head.held.as_ref().and_then(|held| held.validator.clone());
    let known = validator.filter(|(from, _)| from == server.name()).map(|(_, known)| known);
    let request = Get::up_to(MAX_NOTE as u64).unless(known);
    server.get(&layout::checkpoint(head.log), &request).await
}

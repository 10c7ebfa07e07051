//! What this machine trusts of a source: the chain of authority notes from the enrolled one on, and
//! the verified heads of both logs.
//!
//! The chain is built anew at every start from the note whose hash stands in the settings. What the
//! state holds besides is a cache, except for the highest version ever accepted, which is a floor.

use std::collections::BTreeMap;

use countersign_format::authority::{AuthorityNote, DistributionRole, LogRole};
use countersign_format::directory::DirectoryNote;
use countersign_format::hash::Hash32;
use countersign_format::key::PublicKey;
use countersign_format::layout::{self, Log};
use countersign_format::policy::{
    Chain, CheckpointContext, Clock, PolicyError, SignedCheckpoint, SignerTimes, Verified,
    check_unexpired, verify_checkpoint, verify_directory,
};
use countersign_format::text::{DistributionName, RegionName};
use countersign_format::time::Timestamp;
use countersign_store::Location;

use crate::config::{SourceConfig, SourceName};
use crate::db::source::{HeldLog, SourceId, SourceRecord};
use crate::db::{Database, DatabaseError};
use crate::servers;

/// What is trusted of a source.
#[derive(Debug, Clone)]
pub struct Trust {
    record: SourceRecord,
    chain: Chain,
    accepted: BTreeMap<u64, Hash32>,
}

/// Why nothing can be trusted of a source.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// The settings name a source that the state does not know.
    #[error("source {0} is configured, but the state does not know it")]
    NotEnrolled(SourceName),
    /// The state was enrolled with another authority note than the settings name.
    #[error(
        "source {name} begins with authority note {found} in the state, with {expected} in its settings"
    )]
    OtherAnchor {
        /// The source.
        name: SourceName,
        /// By the settings.
        expected: Hash32,
        /// By the state.
        found: Hash32,
    },
    /// The settings name another distribution than the one whose decisions the state holds.
    #[error("source {name} is enrolled with distribution {found}, its settings name {expected}")]
    OtherDistribution {
        /// The source.
        name: SourceName,
        /// By the settings.
        expected: DistributionName,
        /// By the state.
        found: DistributionName,
    },
    /// The enrolled authority note is not in the state.
    #[error("the state has lost the authority note that source {0} was enrolled with")]
    AnchorLost(SourceName),
    /// A stored authority note does not verify.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// The stored chain ends below the highest version that was ever accepted.
    #[error(
        "the authority's notes in the state end at version {reached}, version {floor} was accepted before"
    )]
    BelowFloor {
        /// The highest version ever accepted.
        floor: u64,
        /// Where the chain ends.
        reached: u64,
    },
    /// The newest authority note does not list the distribution.
    #[error("version {version} of the authority note lists no distribution {name}")]
    NoDistribution {
        /// The distribution that the source is enrolled with.
        name: DistributionName,
        /// The newest version.
        version: u64,
    },
    /// There is no head yet.
    #[error("source {0} was never updated")]
    NeverUpdated(SourceName),
    /// The state database.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

/// What is held of both logs under the names that the authority gives them now.
#[derive(Debug, Clone)]
pub struct Heads {
    /// The collection's log.
    pub collection: Head,
    /// The distribution's log.
    pub distribution: Head,
}

/// What is held of one log.
#[derive(Debug, Clone)]
pub struct Head {
    /// Which one.
    pub log: Log,
    /// Its head; none before the first update, and once its name has changed.
    pub held: Option<HeldLog>,
    /// The newest time seen of each signer.
    pub newest: SignerTimes,
    /// Whether what the state holds is of a log that was left.
    pub is_left: bool,
}

impl Trust {
    /// Chains the source's authority notes from the enrolled one on.
    pub fn load(database: &Database, config: &SourceConfig) -> Result<Self, TrustError> {
        let record = database
            .sources()?
            .into_iter()
            .find(|record| record.name == config.name)
            .ok_or_else(|| TrustError::NotEnrolled(config.name.clone()))?;
        if record.anchor != config.authority {
            return Err(TrustError::OtherAnchor {
                name: config.name.clone(),
                expected: config.authority,
                found: record.anchor,
            });
        }
        if record.distribution != config.distribution {
            return Err(TrustError::OtherDistribution {
                name: config.name.clone(),
                expected: config.distribution.clone(),
                found: record.distribution,
            });
        }
        let mut notes = database.authority_notes(record.id)?.into_iter();
        let (_, first) = notes.next().ok_or_else(|| TrustError::AnchorLost(config.name.clone()))?;
        let mut trust = Self::begin(record, &first)?;
        if trust.chain.fingerprint() != config.authority {
            return Err(TrustError::AnchorLost(config.name.clone()));
        }
        for (version, note) in notes {
            let chain = trust.chain.follow(&note, layout::authority(version).as_str(), version)?;
            trust.take(chain);
        }
        let (floor, reached) = (trust.record.floor, trust.authority().version);
        if reached < floor {
            return Err(TrustError::BelowFloor { floor, reached });
        }
        Ok(trust)
    }

    fn begin(record: SourceRecord, first: &[u8]) -> Result<Self, TrustError> {
        let chain = Chain::enroll(first, "enrolled authority note")?;
        let accepted = [(chain.newest().version, chain.fingerprint())].into();
        Ok(Self { record, chain, accepted })
    }

    /// Takes a chain that goes on from this one's.
    pub(crate) fn take(&mut self, chain: Chain) {
        self.accepted.insert(chain.newest().version, chain.fingerprint());
        self.record.floor = self.record.floor.max(chain.newest().version);
        self.chain = chain;
    }

    /// The source.
    pub fn record(&self) -> &SourceRecord {
        &self.record
    }

    /// The source's number in the state.
    pub fn id(&self) -> SourceId {
        self.record.id
    }

    /// The chain.
    pub fn chain(&self) -> &Chain {
        &self.chain
    }

    /// The newest authority note.
    pub fn authority(&self) -> &AuthorityNote {
        self.chain.newest()
    }

    /// The accepted versions, each with the SHA-256 of its text.
    pub fn accepted(&self) -> &BTreeMap<u64, Hash32> {
        &self.accepted
    }

    /// The distribution that the source is enrolled with.
    pub fn distribution(&self) -> Result<&DistributionRole, TrustError> {
        let name = &self.record.distribution;
        self.authority().distribution(name).ok_or_else(|| TrustError::NoDistribution {
            name: name.clone(),
            version: self.authority().version,
        })
    }

    /// Who signs a log.
    pub fn log_role(&self, log: Log) -> Result<&LogRole, TrustError> {
        Ok(self.authority().log_role(log, self.distribution()?))
    }

    /// The local clock with the floor that verified times put under it: the smaller of the newest
    /// times of the collection and of the distribution, so that neither can push it alone.
    pub fn clock(&self, heads: &Heads, local: Timestamp) -> Result<Clock, TrustError> {
        let newest_of = |role: &LogRole| {
            let is_one = |key: &&PublicKey| role.keys.iter().any(|listed| listed.vkey.key == **key);
            let times = heads.collection.newest.iter().chain(&heads.distribution.newest);
            times.filter(|(key, _)| is_one(key)).map(|(_, time)| *time).max()
        };
        let collection = newest_of(&self.authority().collection);
        let distribution = newest_of(&self.distribution()?.log);
        Ok(Clock { local, floor: collection.min(distribution).unwrap_or(Timestamp::EPOCH) })
    }

    /// Verifies a checkpoint as a client does.
    pub fn verify_head(
        &self,
        head: &Head,
        bytes: &[u8],
        clock: Clock,
    ) -> Result<Verified<SignedCheckpoint>, TrustError> {
        let file = layout::checkpoint(head.log);
        let context = CheckpointContext {
            file: file.as_str(),
            log: head.log,
            authority: self.authority(),
            distribution: self.distribution()?,
            clock,
            newest: &head.newest,
        };
        Ok(verify_checkpoint(bytes, &context)?)
    }

    /// Checks that the authority note is unexpired.
    pub fn check_unexpired(&self, clock: Clock) -> Result<(), TrustError> {
        let authority = self.authority();
        Ok(check_unexpired(authority, layout::authority(authority.version).as_str(), clock)?)
    }

    /// Checks that the authority note is unexpired and that both held heads still are what a client
    /// accepts: signed by whom they must be, and no older than they may be.
    pub fn check_fresh(&self, heads: &Heads, local: Timestamp) -> Result<(), TrustError> {
        let clock = self.clock(heads, local)?;
        self.check_unexpired(clock)?;
        for head in [&heads.collection, &heads.distribution] {
            let held = head.held.as_ref();
            let held = held.ok_or_else(|| TrustError::NeverUpdated(self.record.name.clone()))?;
            self.verify_head(head, &held.checkpoint, clock)?;
        }
        Ok(())
    }

    /// What the held directory says, or why it is not followed; none where none is held.
    pub fn directory(
        &self,
        database: &Database,
        clock: Clock,
    ) -> Result<Option<Result<Verified<DirectoryNote>, PolicyError>>, TrustError> {
        let held = database.held_directory(self.id())?.and_then(|directory| directory.note);
        let file = layout::directory();
        Ok(held.map(|note| verify_directory(&note, file.as_str(), self.authority(), clock)))
    }

    /// Where to look for the repository: the directory's addresses as [`servers::order`] has them
    /// for a machine in `region`, then the one that the settings name. A directory that does not
    /// verify or has expired is passed over.
    pub fn locations(
        &self,
        database: &Database,
        heads: &Heads,
        config: &SourceConfig,
        region: Option<&RegionName>,
        local: Timestamp,
    ) -> Result<Vec<Location>, TrustError> {
        let mut locations: Vec<Location> = Vec::new();
        if let Some(Ok(directory)) = self.directory(database, self.clock(heads, local)?)? {
            let machine = database.machine_id()?.unwrap_or_default();
            let urls = directory.urls(&self.record.distribution);
            let ordered = servers::order(urls, region, &machine);
            locations.extend(ordered.into_iter().filter_map(|one| one.url.parse().ok()));
        }
        locations.retain(|location| *location != config.url);
        locations.push(config.url.clone());
        Ok(locations)
    }
}

impl Heads {
    /// What the state holds of both logs.
    pub fn load(database: &Database, trust: &Trust) -> Result<Self, TrustError> {
        Ok(Self {
            collection: Head::load(database, trust, Log::Collection)?,
            distribution: Head::load(database, trust, Log::Distribution)?,
        })
    }
}

impl Head {
    fn load(database: &Database, trust: &Trust, log: Log) -> Result<Self, TrustError> {
        let held = database.held_log(trust.id(), log)?;
        let origin = &trust.log_role(log)?.origin;
        let is_left = held.as_ref().is_some_and(|held| held.origin != *origin);
        let newest =
            if is_left { SignerTimes::new() } else { database.signer_times(trust.id(), log)? };
        Ok(Self { log, held: held.filter(|_| !is_left), newest, is_left })
    }

    /// Entries that are held.
    pub fn size(&self) -> u64 {
        self.held.as_ref().map_or(0, |held| held.held.frontier.size())
    }
}

//! A witness: cosigns heads of both logs that it has seen to extend those that it cosigned before
//! (SPEC §4.6, C2SP `tlog-witness`).
//!
//! Its directory holds `config.toml` with its name, key and where the secret lives,
//! `state/repository` with the authority notes that it knows and evidence of forks, and one file
//! a log with the newest head that it cosigned. It keeps the frontier of a log and none of its
//! entries, so its work grows with what is new.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use countersign_format::authority::{AuthorityNote, DistributionRole};
use countersign_format::checkpoint::Checkpoint;
use countersign_format::key::{KeyName, SignatureType, Vkey};
use countersign_format::layout::{self, Log};
use countersign_format::limits::MAX_NOTE;
use countersign_format::note::Note;
use countersign_format::policy::{CheckpointContext, Clock, verify_first_checkpoint};
use countersign_format::signature::cosign;
use countersign_format::time::Timestamp;
use countersign_store::authority::Anchor;
use countersign_store::crash::crash_point;
use countersign_store::durable::Access;
use countersign_store::follow::{FollowError, follow};
use countersign_store::{Failover as _, Source};
use serde::{Deserialize, Serialize};

use crate::config;
use crate::key_store::{FoundKey, KeyLocation, Passphrases, SigningKey, generate};
use crate::publish::SignedHead;
use crate::replica::{Fork, Replica, ReplicaError, newest_times};
use crate::role_dir::{Role, RoleDir};
use crate::round::{Cosignature, Cosignatures};

mod error;
mod record;

pub use error::WitnessError;
use record::Witnessed;

/// Where the authority notes and the evidence are.
const REPOSITORY: &str = "repository";

/// Settings of a witness.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WitnessConfig {
    /// Always `witness`.
    pub role: Role,
    /// Where the key lives.
    pub signer: KeyLocation,
    /// The key, as the authority lists it.
    pub key: Vkey,
}

/// A witness: where its files are, and its settings.
#[derive(Debug)]
pub struct Witness {
    directory: RoleDir,
    config: WitnessConfig,
}

/// What a witness is told.
#[derive(Debug)]
pub struct WitnessOptions {
    /// What the chain of authority notes begins with.
    pub anchor: Anchor,
    /// The time.
    pub now: Timestamp,
}

/// What a run came to.
#[derive(Debug)]
pub struct Run {
    /// What is handed back.
    pub cosignatures: Cosignatures,
    /// Where the heads came from.
    pub source: String,
    /// Sources that were passed over, each with the reason.
    pub failed: Vec<(String, WitnessError)>,
}

/// A location that means the same from wherever the witness is run.
fn lasting(signer: &KeyLocation) -> KeyLocation {
    match signer {
        KeyLocation::File(path) => {
            // it was just opened by this name, so there is a directory that it counts from
            KeyLocation::File(std::path::absolute(path).unwrap_or_else(|_| path.clone()))
        }
        other => other.clone(),
    }
}

/// A head that a source has, signed by the log's own keys.
struct Found {
    bytes: Vec<u8>,
    checkpoint: Checkpoint,
    note: Note,
}

impl Witness {
    /// Makes a witness with a key at `signer`, in its own directory unless given, and returns it
    /// with its public key. A key that is there is taken.
    pub fn init(
        path: &Path,
        name: &KeyName,
        signer: Option<&KeyLocation>,
        passphrases: &Passphrases,
    ) -> Result<(Self, Vkey), WitnessError> {
        let mut made = None;
        RoleDir::create(path, |directory| {
            let (public, location) = if let Some(signer) = signer {
                (FoundKey::open(signer, passphrases)?.public_key().clone(), lasting(signer))
            } else {
                let file = directory.keys().join("witness.pem");
                let public = generate(&KeyLocation::File(file), passphrases)?;
                (public, KeyLocation::File(PathBuf::from("keys/witness.pem")))
            };
            let key = Vkey { name: name.clone(), kind: SignatureType::Cosignature, key: public };
            let config = WitnessConfig { role: Role::Witness, signer: location, key: key.clone() };
            let text = config::print(&config);
            directory.write(Path::new("config.toml"), text.as_bytes(), Access::Public)?;
            let public = format!("{key}\n");
            directory.write(Path::new("witness.pub"), public.as_bytes(), Access::Public)?;
            made = Some(key);
            Ok::<_, WitnessError>(())
        })?;
        Ok((Self::open(path)?, made.expect("made along with the directory")))
    }

    /// Opens a witness.
    pub fn open(path: &Path) -> Result<Self, WitnessError> {
        let (directory, config) = RoleDir::open(path, Role::Witness)?;
        Ok(Self { directory, config })
    }

    /// Where its files are.
    pub fn directory(&self) -> &RoleDir {
        &self.directory
    }

    /// Opens the key.
    pub fn key(&self, passphrases: &Passphrases) -> Result<SigningKey, WitnessError> {
        let location = match &self.config.signer {
            KeyLocation::File(path) => KeyLocation::File(self.directory.path().join(path)),
            other => other.clone(),
        };
        Ok(SigningKey::open(&location, &self.config.key, passphrases)?)
    }

    /// Cosigns the heads of the first of `sources` that serves them well. A fork that any of those
    /// asked shows ends it: then nothing is cosigned, and both statements are kept. Whoever calls
    /// this holds the witness's lock.
    pub async fn run(
        &self,
        sources: &[Arc<Source>],
        key: &SigningKey,
        options: &WitnessOptions,
    ) -> Result<Run, WitnessError> {
        let mut failed = Vec::new();
        for source in sources {
            match self.run_from(source, key, options).await {
                Ok(cosignatures) => {
                    let source = source.name().to_owned();
                    return Ok(Run { cosignatures, source, failed });
                }
                Err(WitnessError::Replica(error))
                    if error.is_worth_another_server() && !error.is_fork() =>
                {
                    failed.push((source.name().to_owned(), error.into()));
                }
                Err(error) => return Err(error),
            }
        }
        Err(failed.pop().map_or(WitnessError::NoSource, |(_, error)| error))
    }

    async fn run_from(
        &self,
        source: &Arc<Source>,
        key: &SigningKey,
        options: &WitnessOptions,
    ) -> Result<Cosignatures, WitnessError> {
        let root = self.directory.state().join(REPOSITORY);
        fs::create_dir_all(&root).map_err(ReplicaError::local("make", &root))?;
        let mut replica = Replica::open(&root, source.clone())?;
        let clock = Clock::local(options.now);
        let walk = replica.copy_authority(&options.anchor, clock).await?;
        let authority = walk.chain().newest();
        let distribution = read_distribution(&replica, authority).await?;
        let mut next = Vec::new();
        for log in [Log::Collection, Log::Distribution] {
            next.push(self.look_at(&replica, log, (authority, distribution), options.now).await?);
        }
        let mut heads = Vec::new();
        for witnessed in next {
            // recorded first: whatever happens then, no other tree of this size is ever cosigned
            witnessed.save(&self.directory)?;
            crash_point("witness.recorded");
            let head = witnessed.head.checkpoint();
            let line = cosign(key, &head.to_string(), witnessed.head.time)?;
            heads.push(Cosignature::new(&head, &line));
        }
        Ok(Cosignatures { witness: self.config.key.clone(), heads })
    }

    /// Fetches a log's head, checks that it is signed and extends the one that was cosigned last,
    /// and returns what is to be recorded before it is cosigned.
    async fn look_at(
        &self,
        replica: &Replica,
        log: Log,
        (authority, distribution): (&AuthorityNote, &DistributionRole),
        now: Timestamp,
    ) -> Result<Witnessed, WitnessError> {
        let origin = &authority.log_role(log, distribution).origin;
        let held = Witnessed::load(&self.directory, origin)?;
        let note = Note::parse(held.note.as_bytes(), MAX_NOTE).ok();
        let newest = note.map(|note| newest_times(&note, authority, distribution));
        let found = read_signed(replica, log, |file, bytes| {
            let context = CheckpointContext {
                file,
                log,
                authority,
                distribution,
                clock: Clock::local(now),
                newest: &newest.clone().unwrap_or_default(),
            };
            let signed = verify_first_checkpoint(&bytes, &context)?;
            let (checkpoint, note) = (signed.checkpoint.clone(), signed.note.clone());
            Ok(Found { bytes, checkpoint, note })
        });
        let found = found.await?;
        replica
            .check_forward(log, &held.head.checkpoint(), &found.checkpoint)
            .or_else(|error| keep_fork(replica, log, &held, &found, error))?;
        let take = &mut |_, _: &[u8]| Ok(());
        let followed = follow(replica.source(), log, &held.held(), &found.checkpoint, take).await;
        let reached = match followed {
            Ok(reached) => reached,
            Err(FollowError::Root { size, expected, found: made, .. }) => {
                let source_name = replica.source().name().to_owned();
                let other = format!("what extends the {} cosigned entries", held.head.size);
                let fork = Fork { source_name, log, size, found: expected, named: made, other };
                let error = ReplicaError::Fork(Box::new(fork));
                return keep_fork(replica, log, &held, &found, error);
            }
            Err(error) => return Err(ReplicaError::from(error).into()),
        };
        let time = held.time(now)?;
        let text = String::from_utf8_lossy(&found.note.to_bytes()).into_owned();
        Ok(Witnessed::new(SignedHead::new(&found.checkpoint, time), &reached, text))
    }
}

/// Keeps two statements that contradict each other, if that is what `error` says.
fn keep_fork<T>(
    replica: &Replica,
    log: Log,
    held: &Witnessed,
    found: &Found,
    error: ReplicaError,
) -> Result<T, WitnessError> {
    if error.is_fork() {
        let size = found.checkpoint.size;
        replica.keep_contradiction(log, size, held.note.as_bytes(), &found.bytes)?;
        let evidence = replica.evidence();
        return Err(WitnessError::Fork { source: Box::new(error), evidence });
    }
    Err(error.into())
}

/// Which distribution's repository it is: the one whose log's head lies there.
async fn read_distribution<'a>(
    replica: &Replica,
    authority: &'a AuthorityNote,
) -> Result<&'a DistributionRole, WitnessError> {
    let found = read_signed(replica, Log::Distribution, |_, bytes| Ok(bytes)).await?;
    let note = Note::parse(&found, MAX_NOTE).ok();
    let origin = note.and_then(|note| Checkpoint::parse(note.text()).ok()).map(|head| head.origin);
    let listed = authority.distributions.iter();
    let role = listed.into_iter().find(|role| Some(&role.log.origin) == origin.as_ref());
    role.ok_or_else(|| {
        let source = replica.source().name().to_owned();
        let origin = origin.map_or_else(|| "nothing".to_owned(), |origin| origin.to_string());
        WitnessError::OtherOrigin { source_name: source, origin }
    })
}

/// Reads the head that waits for witnesses, or else the published one, and has it judged.
async fn read_signed<T>(
    replica: &Replica,
    log: Log,
    judge: impl Fn(&str, Vec<u8>) -> Result<T, ReplicaError>,
) -> Result<T, ReplicaError> {
    let candidate = layout::candidate(log);
    let (path, bytes) = if let Some(bytes) = replica.get(&candidate, MAX_NOTE).await? {
        (candidate, bytes)
    } else {
        let path = layout::checkpoint(log);
        let bytes = replica.get_required(&path, MAX_NOTE).await?;
        (path, bytes)
    };
    let name = replica.source().name().trim_end_matches('/');
    judge(&format!("{name}/{path}"), bytes)
}

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

use countersign_format::key::{KeyName, SignatureType, Vkey};
use countersign_format::layout::Log;
use countersign_format::policy::Clock;
use countersign_format::signature::cosign;
use countersign_format::time::Timestamp;
use countersign_store::authority::Anchor;
use countersign_store::crash::crash_point;
use countersign_store::durable::Access;
use countersign_store::{Failover as _, Source};
use serde::{Deserialize, Serialize};

use crate::config;
use crate::key_store::{FoundKey, KeyLocation, Passphrases, SigningKey, generate};
use crate::replica::{Replica, ReplicaError};
use crate::role_dir::{Role, RoleDir};
use crate::round::{Cosignature, Cosignatures};

mod error;
mod look;
mod record;

pub use error::WitnessError;
pub use look::Found;
use look::{Look, read_distribution};

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
    /// A person says that the published heads are the newest that this witness ever cosigned, since
    /// its record was lost or restored from a backup.
    pub adopts_public_heads: bool,
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
        let mut failed: Vec<(String, WitnessError)> = Vec::new();
        let mut unproven = Vec::new();
        for source in sources {
            match self.run_from(source, key, options, &unproven).await {
                Ok(cosignatures) => {
                    let source = source.name().to_owned();
                    return Ok(Run { cosignatures, source, failed });
                }
                Err(error) if error.is_worth_another_server() => {
                    if let WitnessError::Unproven { found, .. } = &error {
                        unproven.push(Found::clone(found));
                    }
                    failed.push((source.name().to_owned(), error));
                }
                Err(error) => return Err(error),
            }
        }
        // a head that may be of another history says more than a server that is away
        let is_unproven = |(_, error): &(_, _)| matches!(error, WitnessError::Unproven { .. });
        let worst = failed.iter().position(is_unproven).or(failed.len().checked_sub(1));
        Err(worst.map_or(WitnessError::NoSource, |worst| failed.swap_remove(worst).1))
    }

    async fn run_from(
        &self,
        source: &Arc<Source>,
        key: &SigningKey,
        options: &WitnessOptions,
        unproven: &[Found],
    ) -> Result<Cosignatures, WitnessError> {
        let root = self.directory.state().join(REPOSITORY);
        fs::create_dir_all(&root).map_err(ReplicaError::local("make", &root))?;
        let mut replica = Replica::open(&root, source.clone())?;
        let clock = Clock::local(options.now);
        let walk = replica.copy_authority(&options.anchor, clock).await?;
        let authority = walk.chain().newest();
        let distribution = read_distribution(&replica, authority).await?;
        let look = Look {
            directory: &self.directory,
            replica: &replica,
            authority,
            distribution,
            now: options.now,
            key: &self.config.key,
            adopts: options.adopts_public_heads,
            unproven,
        };
        let next = [look.at(Log::Collection).await?, look.at(Log::Distribution).await?];
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
}

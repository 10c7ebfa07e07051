//! What the authority does: it says, in a chain of threshold-signed notes, which keys hold which
//! role, and issues servers their partial keys (SPEC §5).
//!
//! Its directory holds `keys/master.pem` (the KGC's secret), `keys/authority-N.pem` (signing keys,
//! or none of them, if their holders keep them elsewhere), `next` (the next version with the
//! signatures it has so far), `state/grants/` and `public/authority/`.

use std::path::Path;

use countersign_format::authority::{
    AuthorityNote, AuthorityRole, DirectoryRole, LogRole, PointText, WitnessRole,
};
use countersign_format::implicit_key::MasterSecret;
use countersign_format::key::{KeyName, Vkey};
use countersign_format::layout;
use countersign_format::limits::MAX_AUTHORITY_NOTE;
use countersign_format::policy::Chain;
use countersign_format::signature::{SeedSigner, Signer as _};
use countersign_format::time::Timestamp;
use countersign_store::durable::Access;

use crate::config::{self, AuthorityConfig, Span};
use crate::key_store::{self, KeyStoreError, Passphrases, Secret, SecretKind};
use crate::role_dir::{self, Role, RoleDir, RoleDirError};

mod change;
mod draft;
mod error;
mod grants;
mod publish;
mod request;
mod selector;
mod summary;
#[cfg(test)]
mod tests;

pub use change::{Admission, LogChange, NoteChange, Retirement};
pub use draft::Draft;
pub use error::AuthorityError;
pub use grants::{Issued, Preview};
pub use publish::{Standing, unproven};
pub use request::{DraftRequest, MAX_REQUEST, Merged};
pub use selector::KeySelector;
pub use summary::{key_line, summary};

/// Age limit of the collection's signatures unless another is given: a collection may be away for
/// a holiday.
pub const COLLECTION_MAX_AGE: u64 = 30 * 86_400;
/// Age limit of a distribution's signatures unless another is given: for so long an attacker who
/// holds the distribution can keep a client from learning that there is something new.
pub const DISTRIBUTION_MAX_AGE: u64 = 3 * 86_400;
/// Most signing keys that `init` makes at once: beyond it is a typing mistake.
pub const MAX_NEW_KEYS: u32 = 32;

/// An authority: its directory, its settings, and what it has published.
#[derive(Debug)]
pub struct Authority {
    directory: RoleDir,
    config: AuthorityConfig,
    /// `None` before the first version.
    chain: Option<Chain>,
}

/// What a new authority is made of.
#[derive(Debug, Clone)]
pub struct NewAuthority {
    /// Its name, for ever.
    pub name: KeyName,
    /// How many signing keys to make here.
    pub keys: u32,
    /// Signing keys that were made elsewhere.
    pub foreign: Vec<Vkey>,
    /// How many keys must sign.
    pub threshold: u32,
    /// For how long a version is valid.
    pub valid_for: Span,
}

impl Authority {
    /// Makes an authority: its directory, master secret, signing keys, and the draft of version 1.
    pub fn init(
        path: &Path,
        new: &NewAuthority,
        passphrases: &Passphrases,
        now: Timestamp,
    ) -> Result<Self, AuthorityError> {
        let count = new.keys as usize + new.foreign.len();
        if new.keys > MAX_NEW_KEYS || new.threshold == 0 || new.threshold as usize > count {
            return Err(AuthorityError::Keys { threshold: new.threshold, count });
        }
        RoleDir::create(path, |directory| {
            let secret = Secret::generate(SecretKind::AuthorityMaster)?;
            key_store::create(&directory.keys().join("master.pem"), &secret, passphrases)?;
            let kgc = PointText(MasterSecret::from_seed(*secret.seed()).public());
            let mut keys = new.foreign.clone();
            for number in 1..=new.keys {
                keys.push(NewKey::draw(&new.name, number)?.save(directory, passphrases)?);
            }
            let note = first_note(new, keys, now);
            Draft::unsigned(note).save(directory)?;
            let (name, valid_for) = (new.name.clone(), new.valid_for);
            let config = AuthorityConfig { role: Role::Authority, name, valid_for, kgc };
            let text = config::print(&config);
            directory.write(Path::new("config.toml"), text.as_bytes(), Access::Public)?;
            Ok::<_, AuthorityError>(())
        })?;
        Self::open(path)
    }

    /// Opens an authority's directory and verifies all that it has published.
    pub fn open(path: &Path) -> Result<Self, AuthorityError> {
        let (directory, config) = RoleDir::open::<AuthorityConfig>(path, Role::Authority)?;
        let chain = read_chain(&directory)?;
        Ok(Self { directory, config, chain })
    }

    /// Its directory.
    pub fn directory(&self) -> &RoleDir {
        &self.directory
    }

    /// Its settings.
    pub fn config(&self) -> &AuthorityConfig {
        &self.config
    }

    /// What it has published; `None` before the first version.
    pub fn chain(&self) -> Option<&Chain> {
        self.chain.as_ref()
    }

    /// The newest published note.
    pub fn newest(&self) -> Option<&AuthorityNote> {
        self.chain.as_ref().map(|chain| &**chain.newest())
    }

    /// The next version as prepared so far; begun from the newest one if nothing is prepared.
    pub fn draft(&self, now: Timestamp) -> Result<Draft, AuthorityError> {
        if let Some(draft) = self.prepared()? {
            return Ok(draft);
        }
        let newest = self.newest().ok_or(AuthorityError::NothingPrepared)?;
        let mut note = newest.clone();
        note.version += 1;
        note.expires = now.plus(self.config.valid_for.0);
        Ok(Draft::unsigned(note))
    }

    /// The next version if something is prepared.
    pub fn prepared(&self) -> Result<Option<Draft>, AuthorityError> {
        let draft = Draft::load(&self.directory)?;
        // one that was published, and whose removal a crash prevented, is no draft any more
        let published = self.newest().map_or(0, |newest| newest.version);
        Ok(draft.filter(|draft| draft.note().version > published))
    }

    /// Gives up what is prepared. Returns whether there was something.
    pub fn discard(&self) -> Result<bool, AuthorityError> {
        let prepared = self.prepared()?.is_some();
        if prepared && self.chain.is_none() {
            return Err(AuthorityError::FirstVersion);
        }
        Draft::remove(&self.directory)?;
        Ok(prepared)
    }

    /// A further signing key of the authority's own, with the lowest free number.
    fn draw_signing_key(&self) -> Result<NewKey, AuthorityError> {
        let free = |number: &u32| !key_path(&self.directory, *number).exists();
        let number = (1..=u32::MAX).find(free).expect("there are fewer files than numbers");
        NewKey::draw(&self.config.name, number)
    }
}

/// A signing key that has no file yet.
struct NewKey {
    number: u32,
    secret: Secret,
    vkey: Vkey,
}

impl NewKey {
    fn draw(authority: &KeyName, number: u32) -> Result<Self, AuthorityError> {
        let name: KeyName = format!("{authority}/{number}").parse()?;
        let secret = Secret::generate(SecretKind::Ed25519)?;
        let signer = SeedSigner::new(name.clone(), secret.seed());
        let vkey = Vkey::server(name, signer.public_key().clone());
        Ok(Self { number, secret, vkey })
    }

    /// Makes `keys/authority-N.pem` and, beside it, `authority-N.pub` with the public key.
    fn save(self, directory: &RoleDir, passphrases: &Passphrases) -> Result<Vkey, AuthorityError> {
        let Self { number, secret, vkey } = self;
        key_store::create(&key_path(directory, number), &secret, passphrases)?;
        let public = Path::new("keys").join(format!("authority-{number}.pub"));
        directory.write(&public, format!("{vkey}\n").as_bytes(), Access::Public)?;
        Ok(vkey)
    }
}

fn key_path(directory: &RoleDir, number: u32) -> std::path::PathBuf {
    directory.keys().join(format!("authority-{number}.pem"))
}

/// Version 1 before any server is admitted. It cannot be signed yet: the collection has no key.
fn first_note(new: &NewAuthority, keys: Vec<Vkey>, now: Timestamp) -> AuthorityNote {
    AuthorityNote {
        name: new.name.clone(),
        version: 1,
        expires: now.plus(new.valid_for.0),
        authority: AuthorityRole { threshold: new.threshold, keys },
        // the origin becomes the first collection's name when that is admitted
        collection: LogRole {
            origin: new.name.clone(),
            threshold: 1,
            max_age: COLLECTION_MAX_AGE,
            keys: Vec::new(),
        },
        distributions: Vec::new(),
        witnesses: WitnessRole::default(),
        directory: DirectoryRole::default(),
    }
}

/// Verifies the published notes, one after the other.
fn read_chain(directory: &RoleDir) -> Result<Option<Chain>, AuthorityError> {
    let mut chain: Option<Chain> = None;
    for version in 1.. {
        let path = directory.public().join(layout::authority(version));
        let shown = path.display().to_string();
        let bytes = match role_dir::read_file(&path, MAX_AUTHORITY_NOTE) {
            Err(RoleDirError::Io { source, .. })
                if source.kind() == std::io::ErrorKind::NotFound =>
            {
                break;
            }
            read => read?,
        };
        chain = Some(match chain {
            None => Chain::enroll(&bytes, &shown)?,
            Some(chain) => chain.follow(&bytes, &shown, version)?,
        });
    }
    Ok(chain)
}

/// The master secret: only `issue` opens it.
fn open_master(
    directory: &RoleDir,
    passphrases: &Passphrases,
) -> Result<MasterSecret, KeyStoreError> {
    let path = directory.keys().join("master.pem");
    let secret = key_store::open(&path, passphrases)?
        .expect_kind(SecretKind::AuthorityMaster)
        .map_err(|source| KeyStoreError::Secret { path, source })?;
    Ok(MasterSecret::from_seed(*secret.seed()))
}

//! What the distribution does: it fetches from the collection and checks the first signature,
//! releases what a person decides to release, and gives the second.
//!
//! Its directory holds, besides what every server has:
//!
//! - `collection/`: a private copy of what the collection publishes, in a repository's layout:
//!   everything in it was verified before it came there, so publishing is copying and signing;
//! - `state/collection-times`: the newest time seen of each signer of the collection's log;
//! - `state/collection-head`: the newest head of the collection's log that was cosigned;
//! - `state/decisions`: what is to be released and withdrawn with the next publication;
//! - `state/index.db`: where both logs say what, as a cache that is made anew where it is missing;
//! - `evidence/`: heads that contradict each other, should the collection ever sign such.

use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use countersign_format::authority::{AuthorityNote, DistributionRole};
use countersign_format::layout::Log;
use countersign_format::policy::Clock;
use countersign_format::time::Timestamp;
use countersign_store::{DirectoryWriter, HttpOptions, Source};

use crate::blocking::block_on;
use crate::config::ServerConfig;
use crate::directory_copy::{Carried, carry};
use crate::known_authority::KnownAuthority;
use crate::role_dir::{RoleDir, RoleDirError};
use crate::server;

mod archive;
mod authority;
mod collection_head;
mod decide;
mod decisions;
mod error;
mod held;
mod notes;
mod publish;
mod rounds;
mod standing;
mod sync;
#[cfg(test)]
mod tests;
mod times;

pub use crate::catalogue::{Catalogue, PassedOver, Patch};
pub use decide::{Decided, Repeated, Selection};
pub use decisions::{Action, Decision, Decisions, Terms};
pub use error::DistributionError;
pub use held::Held;
pub use publish::{Publication, Refreshed, Session};
pub use rounds::Since;
pub use standing::{Standing, Standings};
pub use sync::{NewPatch, Revocation, Synced};

/// A distribution's directory and settings.
#[derive(Debug)]
pub struct Distribution {
    directory: RoleDir,
    config: ServerConfig,
}

impl Distribution {
    /// Opens a distribution's directory.
    pub fn open(path: &Path) -> Result<Self, RoleDirError> {
        let (directory, config) = server::open(path, Log::Distribution)?;
        let copy = directory.path().join("collection");
        let made = match DirBuilder::new().mode(0o755).create(&copy) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            made => made,
        };
        made.map_err(|source| RoleDirError::Io { action: "make", path: copy, source })?;
        Ok(Self { directory, config })
    }

    /// Its directory.
    pub fn directory(&self) -> &RoleDir {
        &self.directory
    }

    /// Its settings.
    pub fn config(&self) -> &ServerConfig {
        &self.config
    }

    /// The private copy of what the collection publishes.
    pub fn copy(&self) -> PathBuf {
        self.directory.path().join("collection")
    }

    /// Takes the newest directory from where the configuration says into `public/`, if it does.
    /// One that is refused stops nothing. Whoever does holds the lock.
    pub fn carry_directory(
        &self,
        known: &KnownAuthority,
        now: Timestamp,
    ) -> Result<Option<Carried>, DistributionError> {
        let Some(place) = &self.config.directory else { return Ok(None) };
        if known.is_waiting() {
            // clients still go by an earlier note, which may list another key for it
            return Ok(None);
        }
        let location = place.resolve(self.directory.path());
        let source = Source::open(&location, &HttpOptions::default());
        let (mut sink, authority) = (self.public_sink(), known.chain().newest());
        Ok(Some(block_on(carry(&source, &mut sink, authority, Clock::local(now)))?))
    }

    fn copy_sink(&self) -> DirectoryWriter {
        DirectoryWriter::new(&self.copy())
    }

    fn public_sink(&self) -> DirectoryWriter {
        DirectoryWriter::new(&self.directory.public())
    }

    /// The distribution that this server signs for.
    fn role<'a>(
        &self,
        authority: &'a AuthorityNote,
    ) -> Result<&'a DistributionRole, DistributionError> {
        let lists_this =
            |role: &&DistributionRole| role.log.keys.iter().any(|key| key.id == self.config.name);
        authority.distributions.iter().find(lists_this).ok_or_else(|| {
            DistributionError::NotListed {
                name: self.config.name.clone(),
                version: authority.version,
            }
        })
    }
}

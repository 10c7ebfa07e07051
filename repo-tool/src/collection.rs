//! What the collection does: it takes patches in, has them tested, and gives the first signature.
//!
//! Its directory holds, besides what every server has:
//!
//! - `incoming/`: patches that are not published yet: of each the archive,
//!   `<name>-<version>-<hash>.patch`, and in `drafts` two lines: what only the collection needs to
//!   know, and the log entry to be, byte for byte;
//! - `evidence/`: the documents of tests, and what the tests printed;
//! - `state/index.db`: where the log says what, so that neither a repeated identity nor
//!   `NAME@VERSION` needs a look at all of it: a cache that is made anew where it is missing.

use std::path::Path;

use countersign_format::layout::Log;
use countersign_store::{DirectoryWriter, durable};

use crate::config::ServerConfig;
use crate::patch_selector::PatchSelector;
use crate::role_dir::{RoleDir, RoleDirError};
use crate::server;

mod add;
mod deltas;
mod draft;
mod error;
mod evidence;
mod publish;
mod published;
mod rounds;
mod spec;
#[cfg(test)]
mod tests;
mod unpack;

pub use add::{Addition, Against, PackProgress, Packed};
pub use draft::Draft;
pub use error::CollectionError;
pub use evidence::{Outcome, TestLimits, TestOutput, TestRecord, TestRun};
pub use publish::{Publication, Revocation, Session};
pub use spec::{HookFiles, PatchSpec};

/// A collection's directory and settings.
#[derive(Debug)]
pub struct Collection {
    directory: RoleDir,
    config: ServerConfig,
}

impl Collection {
    /// Opens a collection's directory.
    pub fn open(path: &Path) -> Result<Self, RoleDirError> {
        let (directory, config) = server::open(path, Log::Collection)?;
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

    /// The patches that are not published yet, by name and version.
    pub fn drafts(&self) -> Result<Vec<Draft>, CollectionError> {
        Draft::all(&self.directory.incoming())
    }

    /// Those of them that `selector` means; an error if there are none.
    pub fn select_drafts(&self, selector: &PatchSelector) -> Result<Vec<Draft>, CollectionError> {
        let mut drafts = self.drafts()?;
        drafts.retain(|draft| draft.is_meant(selector));
        if drafts.is_empty() {
            return Err(CollectionError::NotIncoming(selector.clone()));
        }
        Ok(drafts)
    }

    /// The one of them that `selector` means.
    pub fn select_draft(&self, selector: &PatchSelector) -> Result<Draft, CollectionError> {
        let mut drafts = self.select_drafts(selector)?;
        match drafts.len() {
            1 => Ok(drafts.remove(0)),
            _ => Err(CollectionError::Several(selector.clone())),
        }
    }

    /// Gives up patches that are not published yet. Whoever does holds the role's lock.
    pub fn discard(&self, drafts: &[Draft]) -> Result<(), CollectionError> {
        let entries: Vec<_> = drafts.iter().map(|draft| &draft.entry).collect();
        Draft::remove_of(&self.directory.incoming(), &entries)
    }

    fn public_sink(&self) -> DirectoryWriter {
        DirectoryWriter::new(&self.directory.public())
    }

    /// Removes what killed runs left. Whoever does holds the role's lock.
    fn clean(&self) -> Result<(), CollectionError> {
        Draft::clean(&self.directory.incoming())?;
        let evidence = self.directory.path().join("evidence");
        let folders = [self.directory.public(), self.directory.state(), evidence];
        for folder in folders.into_iter().filter(|folder| folder.is_dir()) {
            durable::clean_temporaries(&folder)
                .map_err(CollectionError::io("remove temporaries below", &folder))?;
        }
        Ok(())
    }
}

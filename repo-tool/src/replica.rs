//! Copying a repository's files as they are, verified as they arrive: what mirrors do, and what a
//! distribution does with its collection's repository.
//!
//! A copy needs no state besides the files that it copies: what it holds of a log follows from the
//! checkpoint and the unfinished tiles in its own directory, the newest times of signers from the
//! checkpoint's signatures. What it remembers besides only saves work. Files that never change are
//! written first, checkpoints last, so that a copy that was killed anywhere serves the head before
//! or the new one, and the next run goes on.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use countersign_format::layout::{Log, RepoPath};
use countersign_store::durable::{self, Access};
use countersign_store::{DirectoryWriter, Get, GetError, Got, Source};

mod authority;
mod error;
mod heads;
mod log;
mod packs;
mod patches;
mod state;

use crate::publish::forget_superseded;
pub use error::{Fork, NoSource, ReplicaError};
pub use heads::{Head, HeldHead, Signatures};
pub(crate) use heads::{newest_times, time_of};
pub use log::copy_log;
pub use patches::{Judge, Wanted, fetch_patches};
use state::{STATE, State};

/// Where partly fetched archives wait in a copy's directory.
const INCOMING: &str = ".incoming";

/// Where statements that contradict each other are kept in a copy's directory.
const EVIDENCE: &str = ".evidence";
/// The lock in a copy's directory.
pub const LOCK: &str = ".lock";

/// Whether the path of a file in a copy's directory is the copy's own business and no part of the
/// repository.
pub(crate) fn is_private(path: &str) -> bool {
    let first = path.split('/').next().unwrap_or(path);
    path == LOCK || [INCOMING, EVIDENCE, STATE].contains(&first)
}

/// A copy of a repository in a directory, and where it is copied from. Whoever uses it holds a lock.
#[derive(Debug)]
pub struct Replica {
    root: PathBuf,
    source: Arc<Source>,
    writer: DirectoryWriter,
    state: State,
    /// Whether logs are read from packs, as far as there are any.
    with_packs: bool,
}

impl Replica {
    /// The copy below `root`, which is there. Removes what a run left half written, unless the last
    /// one ended with [`Self::close`].
    pub fn open(root: &Path, source: Arc<Source>) -> Result<Self, ReplicaError> {
        let state = State::open(root);
        let state = state.map_err(ReplicaError::local("make", &root.join(STATE)))?;
        if !state.begin() {
            durable::clean_temporaries(root).map_err(ReplicaError::local("clean up", root))?;
        }
        let writer = DirectoryWriter::new(root);
        Ok(Self { root: root.to_owned(), source, writer, state, with_packs: true })
    }

    /// Reads logs from packs only if `with_packs`.
    #[must_use]
    pub fn packs(self, with_packs: bool) -> Self {
        Self { with_packs, ..self }
    }

    /// Ends a run that went well: what is staged is dropped, and nothing is left half written.
    pub fn close(self) {
        drop(self.writer);
        self.state.end();
    }

    /// Where an index of what is held may lie.
    pub fn index_folder(&self) -> &Path {
        self.state.folder()
    }

    /// The directory.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Where it is copied from.
    pub fn source(&self) -> &Arc<Source> {
        &self.source
    }

    /// Writes the files.
    pub fn writer(&mut self) -> &mut DirectoryWriter {
        &mut self.writer
    }

    /// A small file of the source; none if there is none.
    pub async fn get(&self, path: &RepoPath, limit: usize) -> Result<Option<Vec<u8>>, GetError> {
        match self.source.get(path, &Get::up_to(limit as u64)).await? {
            Got::Whole { bytes, .. } | Got::Part { bytes, .. } => Ok(Some(bytes)),
            Got::NotFound | Got::NotModified => Ok(None),
        }
    }

    /// As [`Self::get`], for a file without which there is no repository.
    pub async fn get_required(
        &self,
        path: &RepoPath,
        limit: usize,
    ) -> Result<Vec<u8>, ReplicaError> {
        self.get(path, limit).await?.ok_or_else(|| ReplicaError::Missing {
            source_name: self.source.name().to_owned(),
            path: path.clone(),
        })
    }

    /// Forgets a log whose origin was left: a new one begins in its place (SPEC §5.2).
    ///
    /// Its checkpoint goes last, so that a killed run finds it and does this again.
    pub fn drop_log(&mut self, log: Log) -> Result<(), ReplicaError> {
        for part in ["tile", "pack"] {
            let path = self.root.join(log.as_str()).join(part);
            match fs::remove_dir_all(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                removed => removed.map_err(ReplicaError::local("remove", &path))?,
            }
        }
        forget_superseded(self.state.folder(), log)
            .map_err(ReplicaError::local("remove what is known of", self.state.folder()))?;
        let checkpoint = countersign_format::layout::checkpoint(log);
        durable::remove(&self.root, checkpoint.as_ref())
            .map_err(ReplicaError::local("remove", &self.root.join(&checkpoint)))
    }

    /// Keeps statements that contradict each other, for a person to look at: `files` are names and
    /// contents. Nobody else can read them.
    pub fn keep_evidence(&self, files: &[(String, &[u8])]) -> Result<(), ReplicaError> {
        for (name, bytes) in files {
            let path = Path::new(EVIDENCE).join(name);
            durable::write_atomic(&self.root, &path, bytes, Access::Private)
                .map_err(ReplicaError::local("write", &self.root.join(&path)))?;
        }
        Ok(())
    }

    /// Where statements that contradict each other are kept.
    pub fn evidence(&self) -> PathBuf {
        self.root.join(EVIDENCE)
    }

    /// Removes partly fetched archives that nobody waits for any more.
    pub fn clear_incoming(&self) -> Result<(), ReplicaError> {
        let incoming = self.incoming();
        match fs::remove_dir_all(&incoming) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => removed.map_err(ReplicaError::local("remove", &incoming)),
        }
    }

    /// Where partly fetched archives wait.
    fn incoming(&self) -> PathBuf {
        self.root.join(INCOMING)
    }
}

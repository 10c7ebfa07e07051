//! Looking at what others serve of a server's log before a head is signed: a server that was
//! restored from a backup, state and all, can notice only there.

use countersign_format::authority::LogRole;
use countersign_format::checkpoint::Checkpoint;
use countersign_format::key::{KeyName, Vkey};
use countersign_format::layout::{self, Log, RepoPath};
use countersign_format::limits::MAX_NOTE;
use countersign_format::note::Note;
use countersign_format::policy::verify_own_signature;
use countersign_store::{Get, GetError, Got, HttpOptions, Source};

use crate::blocking::block_on;
use crate::config::ServerConfig;
use crate::role_dir::RoleDir;

/// A place that could not be looked at.
#[derive(Debug, thiserror::Error)]
#[error("cannot tell whether {place} has a newer head of this log")]
pub struct Unwatched {
    /// The place.
    pub place: String,
    /// Why.
    pub source: GetError,
}

/// Others serve a newer or another head of the log than the one that is held here.
#[derive(Debug, thiserror::Error)]
#[error("{place} has a head of {origin} with {theirs} entries, here there are {ours}")]
pub struct OtherHead {
    /// Where it was found.
    pub place: String,
    /// The log.
    pub origin: KeyName,
    /// Entries of the head there.
    pub theirs: u64,
    /// Entries of the head here.
    pub ours: u64,
}

impl OtherHead {
    /// What a person can do about it.
    pub const HINT: &str = "this looks like a restored backup: copy the newest files of the log \
        back from there; signing anew would make a fork that every client refuses";
}

/// Refuses if a place in `published_at` serves a head of `log` that one of the keys in `role`
/// signed and that is not within `ours`. Returns the places that could not be looked at.
pub fn watch(
    directory: &RoleDir,
    config: &ServerConfig,
    log: Log,
    role: &LogRole,
    ours: &Checkpoint,
) -> Result<Vec<Unwatched>, OtherHead> {
    let keys: Vec<&Vkey> = role.active().map(|key| &key.vkey).collect();
    let path = layout::checkpoint(log);
    let mut unwatched = Vec::new();
    for place in &config.published_at {
        let location = place.resolve(directory.path());
        let source = Source::open(&location, &HttpOptions::default());
        let bytes = match block_on(source.get(&path, &Get::up_to(MAX_NOTE as u64))) {
            Ok(Got::Whole { bytes, .. }) => bytes,
            // nothing is served there yet
            Ok(_) => continue,
            Err(source) => {
                unwatched.push(Unwatched { place: place.to_string(), source });
                continue;
            }
        };
        let Some(theirs) = own_head(&bytes, &path, &keys) else { continue };
        let differs =
            theirs.size > ours.size || (theirs.size == ours.size && theirs.root != ours.root);
        if theirs.origin == ours.origin && differs {
            return Err(OtherHead {
                place: place.to_string(),
                origin: theirs.origin,
                theirs: theirs.size,
                ours: ours.size,
            });
        }
    }
    Ok(unwatched)
}

/// The head that a checkpoint says, if one of `keys` signed it: what others make up is no reason
/// not to publish.
fn own_head(bytes: &[u8], path: &RepoPath, keys: &[&Vkey]) -> Option<Checkpoint> {
    let is_own = |key: &&&Vkey| verify_own_signature(bytes, path.as_str(), key).is_ok();
    keys.iter().find(is_own)?;
    let note = Note::parse(bytes, MAX_NOTE).ok()?;
    Checkpoint::parse(note.text()).ok()
}

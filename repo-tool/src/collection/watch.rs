//! Looking at what others serve of this log before a head is signed: a server that was restored
//! from a backup, state and all, can notice only there.

use countersign_format::authority::AuthorityNote;
use countersign_format::checkpoint::Checkpoint;
use countersign_format::key::Vkey;
use countersign_format::layout::{self, Log};
use countersign_format::limits::MAX_NOTE;
use countersign_format::note::Note;
use countersign_format::policy::verify_own_signature;
use countersign_store::{Get, GetError, Got, HttpOptions, Source};

use super::{Collection, CollectionError};
use crate::blocking::block_on;

/// A place that could not be looked at.
#[derive(Debug, thiserror::Error)]
#[error("cannot tell whether {place} has a newer head of this log")]
pub struct Unwatched {
    /// The place.
    pub place: String,
    /// Why.
    pub source: GetError,
}

impl Collection {
    /// Refuses if a place in `published_at` serves a head that one of this server's keys signed and
    /// that is not within `ours`. Returns the places that could not be looked at.
    pub(super) fn watch(
        &self,
        ours: &Checkpoint,
        authority: &AuthorityNote,
    ) -> Result<Vec<Unwatched>, CollectionError> {
        let keys: Vec<&Vkey> = authority.collection.active().map(|key| &key.vkey).collect();
        let mut unwatched = Vec::new();
        for place in &self.config.published_at {
            let location = place.resolve(self.directory.path());
            let source = Source::open(&location, &HttpOptions::default());
            let path = layout::checkpoint(Log::Collection);
            let bytes = match block_on(source.get(&path, &Get::up_to(MAX_NOTE as u64))) {
                Ok(Got::Whole { bytes, .. }) => bytes,
                // nothing is served there yet
                Ok(_) => continue,
                Err(source) => {
                    unwatched.push(Unwatched { place: place.to_string(), source });
                    continue;
                }
            };
            let Some(theirs) = own_head(&bytes, &keys) else { continue };
            let differs =
                theirs.size > ours.size || (theirs.size == ours.size && theirs.root != ours.root);
            if theirs.origin == ours.origin && differs {
                return Err(CollectionError::OtherHead {
                    place: place.to_string(),
                    origin: theirs.origin,
                    theirs: theirs.size,
                    ours: ours.size,
                });
            }
        }
        Ok(unwatched)
    }
}

/// The head that a checkpoint says, if one of `keys` signed it: what others make up is no reason
/// not to publish.
fn own_head(bytes: &[u8], keys: &[&Vkey]) -> Option<Checkpoint> {
    let path = layout::checkpoint(Log::Collection);
    let is_own = |key: &&&Vkey| verify_own_signature(bytes, path.as_str(), key).is_ok();
    keys.iter().find(is_own)?;
    let note = Note::parse(bytes, MAX_NOTE).ok()?;
    Checkpoint::parse(note.text()).ok()
}

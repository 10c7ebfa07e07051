//! The directory's note in a repository that carries it, a distribution's or a mirror's (SPEC §6).
//!
//! It can vouch for nothing, so one that is refused stops nothing: it is said, and the one that is
//! held stays.

use countersign_format::authority::AuthorityNote;
use countersign_format::directory::DirectoryNote;
use countersign_format::layout;
use countersign_format::limits::MAX_AUTHORITY_NOTE;
use countersign_format::policy::{Clock, PolicyError, Verified, verify_directory};
use countersign_format::time::Timestamp;
use countersign_store::{Get, GetError, Got, Sink, Source, WriteError};

/// What looking for a newer directory came to.
#[derive(Debug)]
pub enum Carried {
    /// There is none at the source, or it is the one that is held.
    Same,
    /// This version was put in place.
    Taken(u64),
    /// The source's was not taken.
    Refused(NotTaken),
}

/// Why a directory is not taken.
#[derive(Debug, thiserror::Error)]
pub enum NotTaken {
    /// The authority lists no key for a directory.
    #[error("the authority's version {0} lists no key of a directory")]
    NoKey(u64),
    /// It cannot be read.
    #[error("{place} cannot be read")]
    Get {
        /// Where it was looked for.
        place: String,
        /// Why.
        source: GetError,
    },
    /// Its signature, its text or its expiry.
    #[error(transparent)]
    Policy(PolicyError),
    /// Its version is before the one that is held.
    #[error("its version {found} is before version {held}, held here")]
    Older {
        /// Its version.
        found: u64,
        /// The one held.
        held: u64,
    },
    /// Another text under the number of the one that is held.
    #[error("its version {0} is another than the version of that number held here")]
    Other(u64),
}

/// Takes the directory at `source` into the repository below `sink`, if it verifies and is newer.
pub async fn carry(
    source: &Source,
    sink: &mut dyn Sink,
    authority: &AuthorityNote,
    clock: Clock,
) -> Result<Carried, WriteError> {
    if authority.directory.keys.is_empty() {
        return Ok(Carried::Refused(NotTaken::NoKey(authority.version)));
    }
    let path = layout::directory();
    let bytes = match source.get(&path, &Get::up_to(MAX_AUTHORITY_NOTE as u64)).await {
        Ok(Got::Whole { bytes, .. } | Got::Part { bytes, .. }) => bytes,
        Ok(Got::NotFound | Got::NotModified) => return Ok(Carried::Same),
        Err(error) => {
            let place = source.name().to_owned();
            return Ok(Carried::Refused(NotTaken::Get { place, source: error }));
        }
    };
    let held = sink.read(&path, MAX_AUTHORITY_NOTE as u64)?;
    if held.as_ref() == Some(&bytes) {
        return Ok(Carried::Same);
    }
    match judge(&bytes, held.as_deref(), authority, clock) {
        Ok(found) => {
            sink.put_mutable(&path, &bytes)?;
            Ok(Carried::Taken(found.version))
        }
        Err(why) => Ok(Carried::Refused(why)),
    }
}

/// The directory that the repository below `sink` holds, if one that this authority's keys signed,
/// expired or not.
pub fn held(
    sink: &dyn Sink,
    authority: &AuthorityNote,
) -> Result<Option<Verified<DirectoryNote>>, WriteError> {
    let bytes = sink.read(&layout::directory(), MAX_AUTHORITY_NOTE as u64)?;
    Ok(bytes.and_then(|bytes| signed(&bytes, authority)))
}

fn judge(
    bytes: &[u8],
    held: Option<&[u8]>,
    authority: &AuthorityNote,
    clock: Clock,
) -> Result<Verified<DirectoryNote>, NotTaken> {
    let path = layout::directory();
    let found =
        verify_directory(bytes, path.as_str(), authority, clock).map_err(NotTaken::Policy)?;
    let held = held.and_then(|bytes| signed(bytes, authority));
    match held {
        Some(held) if found.version < held.version => {
            Err(NotTaken::Older { found: found.version, held: held.version })
        }
        Some(held) if found.version == held.version && *found != *held => {
            Err(NotTaken::Other(found.version))
        }
        _ => Ok(found),
    }
}

/// The note if its signature counts now; those of keys that were replaced are dropped. That it
/// expired makes its version no smaller.
fn signed(bytes: &[u8], authority: &AuthorityNote) -> Option<Verified<DirectoryNote>> {
    let path = layout::directory();
    verify_directory(bytes, path.as_str(), authority, Clock::local(Timestamp::EPOCH)).ok()
}

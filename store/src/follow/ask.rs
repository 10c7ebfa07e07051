//! Asking for one file of a log.

use countersign_format::layout::Log;
use countersign_format::limits::MAX_BUNDLE;
use countersign_format::pack::max_pack_length;

use super::cover::{Part, Step};
use super::queue::Answer;
use super::{WIDTH, tail};
use crate::error::{Cause, GetError};
use crate::source::{Get, Got, Source};

/// What came of a step.
pub(super) enum Piece {
    /// The entries of a tail pack.
    Entries(Vec<Vec<u8>>),
    /// The entries as a bundle has them.
    Bundle(Vec<u8>),
    /// A pack.
    Pack(Vec<u8>),
}

impl Piece {
    /// Its bytes.
    #[cfg(test)]
    pub(super) fn length(&self) -> u64 {
        match self {
            Self::Entries(entries) => entries.iter().map(|entry| entry.len() as u64).sum(),
            Self::Bundle(bytes) | Self::Pack(bytes) => bytes.len() as u64,
        }
    }
}

/// Reads the file of a step. In the bundle of which entries are held, the rest begins at byte `tail`.
pub(super) async fn ask(source: &Source, log: Log, tail: u64, step: Step) -> Answer {
    let path = step.path(log);
    let (_, count) = step.span();
    match step.part {
        Part::Tail { size } => {
            let entries = tail::read(source, &path, size, size - step.entries.start).await?;
            Ok(entries.map(Piece::Entries))
        }
        Part::Pack { .. } => {
            match unless_too_large(source.get(&path, &Get::up_to(max_pack_length(count))).await)? {
                Got::Whole { bytes, .. } | Got::Part { bytes, .. } => Ok(Some(Piece::Pack(bytes))),
                Got::NotFound | Got::NotModified => Ok(None),
            }
        }
        Part::Bundle { .. } => {
            let mut request = Get::up_to(MAX_BUNDLE as u64);
            let is_rest = !step.entries.start.is_multiple_of(WIDTH);
            if is_rest {
                request = request.range(tail, None);
            }
            match source.get(&path, &request).await? {
                Got::Whole { mut bytes, .. } if is_rest => {
                    let tail = usize::try_from(tail).expect("a bundle fits in memory");
                    bytes.drain(..tail.min(bytes.len()));
                    Ok(Some(Piece::Bundle(bytes)))
                }
                Got::Whole { bytes, .. } | Got::Part { bytes, .. } => {
                    Ok(Some(Piece::Bundle(bytes)))
                }
                Got::NotFound | Got::NotModified => Ok(None),
            }
        }
    }
}

/// A pack that is larger than packs may be is none: a log can do without.
pub(super) fn unless_too_large(answer: Result<Got, GetError>) -> Result<Got, GetError> {
    match answer {
        Err(GetError { cause: Cause::TooLarge { .. }, .. }) => Ok(Got::NotFound),
        answer => answer,
    }
}

//! When clients see a new authority note: not before what they are served satisfies it.
//!
//! Clients keep every note that verifies, and judge both heads by the newest. One that is shown
//! before the heads satisfy it makes all of them refuse this repository, so it waits: until the
//! served heads happen to satisfy it, or else for the next ones that are published, which do. A note
//! that takes a stolen collection key away may wait too, since nothing that the thief signs comes
//! here meanwhile: the collection is judged by the newest note that is known, shown or not.
//!
//! Only witnesses are shown one sooner, along with the heads that wait for them (SPEC §4.6), and so
//! is everybody else.

use countersign_format::layout::{self, Log};
use countersign_format::limits::MAX_NOTE;
use countersign_format::policy::{
    CheckpointContext, Clock, PolicyError, SignerTimes, Verdict, verify_checkpoint,
};
use countersign_format::time::Timestamp;
use countersign_store::Sink as _;
use countersign_store::mirrors::chain;

use super::{Distribution, DistributionError};
use crate::known_authority::KnownAuthority;

impl Distribution {
    /// Shows clients the notes that they do not see yet, if they would accept what is served by the
    /// newest; else remembers why they would not.
    pub(super) fn show_authority(
        &self,
        known: &mut KnownAuthority,
        now: Timestamp,
    ) -> Result<(), DistributionError> {
        if !known.is_waiting() {
            return Ok(());
        }
        match self.refused_by(known, now)? {
            None => known.show(&self.directory)?,
            Some(why) => known.wait_for(why),
        }
        Ok(())
    }

    /// Why clients would refuse the served heads by the newest note, if they would.
    fn refused_by(
        &self,
        known: &KnownAuthority,
        now: Timestamp,
    ) -> Result<Option<String>, DistributionError> {
        let (public, authority) = (self.public_sink(), known.chain().newest());
        for log in Log::BOTH {
            let path = layout::checkpoint(log);
            let Some(bytes) = public.read(&path, MAX_NOTE as u64)? else { continue };
            let distribution = match self.role(authority) {
                Ok(role) => role,
                Err(error) => return Ok(Some(error.to_string())),
            };
            let context = CheckpointContext {
                file: path.as_str(),
                log,
                authority,
                distribution,
                clock: Clock::local(now),
                newest: &SignerTimes::new(),
            };
            if let Err(error) = verify_checkpoint(&bytes, &context) {
                return Ok(Some(chain(&error)));
            }
        }
        Ok(None)
    }
}

/// A refusal of the collection's head. One for a signature, while the newest note waits, says that
/// the collection has not signed by it yet.
pub(super) fn behind(known: &KnownAuthority, error: PolicyError) -> DistributionError {
    if !known.is_waiting() || error.verdict() != Verdict::Signature {
        return error.into();
    }
    let (version, shown) = (known.chain().newest().version, known.shown());
    DistributionError::Behind { version, shown, source: Box::new(error) }
}

//! Beginning the log anew, adopting what is published, giving up what was begun.

use countersign_format::checkpoint::Checkpoint;
use countersign_format::entry::DistributionEntry;
use countersign_format::layout::Log;
use countersign_format::merkle::empty_root;

use super::{Publication, Session};
use crate::distribution::standing::withdrawn_since;
use crate::distribution::{Distribution, DistributionError};
use crate::known_authority::forget_announced;
use crate::publish::{Beginning, Publisher, Which, begin_anew, leave, leave_record};
use crate::round::Gathered;

impl Session<'_> {
    /// Takes the published heads for the newest, since a person says so.
    pub fn adopt_public_heads(&self) -> Result<(), DistributionError> {
        let state = self.distribution.directory.state();
        let (sink, role) = (self.distribution.public_sink(), &self.role()?.log);
        Publisher::adopt(&sink, &state, Log::Distribution, role)?;
        self.held_head()?.adopt(self.distribution, role)
    }

    /// Begins the distribution's own log under the origin that the authority gave it, with the first
    /// `keep` entries of the one that is left, to the byte, and with what withdrew patches of them
    /// later (SPEC §5.2, new origin). An interrupted run is completed, with what that one kept.
    /// Returns with what it began.
    pub fn restart(&mut self, keep: u64) -> Result<(Beginning, Publication), DistributionError> {
        let Distribution { directory, .. } = self.distribution;
        let (origin, log) = (self.role()?.log.origin.clone(), Log::Distribution);
        let (state, public) = (directory.state(), directory.public());
        self.held_head()?;
        self.watch(&Checkpoint { origin: origin.clone(), size: 0, root: empty_root() })?;
        let repeat = |kept: &[Vec<u8>], left: &[Vec<u8>]| {
            let withdrawn = withdrawn_since(kept, left);
            let bytes = withdrawn.iter().map(DistributionEntry::to_bytes);
            Ok::<_, DistributionError>(bytes.collect::<Result<_, _>>()?)
        };
        let begun = begin_anew(&public, &state, log, &origin, (keep, self.now), repeat)?;
        Gathered::clear(directory)?;
        forget_announced(directory)?;
        leave_record(&state, log, &origin)?;
        leave(&public, &state, log, &origin, Which::Public)?;
        let publication = self.publish()?;
        Ok((begun, publication))
    }

    /// Gives up a publication that has begun and waits for signatures, or was interrupted. What was
    /// decided waits again. Returns how many entries it had.
    pub fn discard_round(&self) -> Result<usize, DistributionError> {
        let mut writer = self.distribution.public_sink();
        let mut publisher = self.open(&mut writer)?;
        let head = self.held_head()?;
        let round = self.round(&publisher, &head)?;
        let directory = &self.distribution.directory;
        round.check_unsigned(&Gathered::load(directory, Log::Distribution)?)?;
        let given_up = publisher.abandon()?;
        Gathered::clear(directory)?;
        Ok(given_up)
    }

    /// Sets aside the published copy of a collection's log whose origin was left.
    pub(super) fn leave_collection(&self) -> Result<(), DistributionError> {
        let directory = &self.distribution.directory;
        let (state, origin) = (directory.state(), &self.note().collection.origin);
        leave_record(&state, Log::Collection, origin)?;
        leave(&directory.public(), &state, Log::Collection, origin, Which::Public)?;
        Ok(())
    }
}

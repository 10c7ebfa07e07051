//! Gathering the collection's signatures where more than one person must sign.

use countersign_format::key::Vkey;
use countersign_format::layout::Log;
use countersign_format::time::Timestamp;

use super::publish::Session;
use super::{Collection, CollectionError};
use crate::publish::Publisher;
use crate::round::{Imported, Kind, Round, Signatures, SigningRequest, Standing, grow};
use crate::server;

impl Collection {
    /// What others are still to sign, as a file for them; with heads that are proven to extend the
    /// first `since` entries of the log, the published ones unless given.
    pub fn signing_request(
        &self,
        since: Option<u64>,
        now: Timestamp,
    ) -> Result<Option<SigningRequest>, CollectionError> {
        self.in_round(|session, publisher, mut round, own| {
            let gathered = session.gathered(publisher, &round)?;
            let size = publisher.size();
            let new = publisher.unseen().to_vec();
            for item in round.items.iter_mut().filter(|item| item.kind == Kind::Head) {
                let since = since.unwrap_or(size);
                let sink = publisher.sink();
                item.growth = Some(grow(sink, Log::Collection, &new, since)?);
            }
            Ok(round.request(&gathered, own, now)?)
        })
    }

    /// Takes what others signed.
    pub fn import(
        &self,
        brought: &Signatures,
        now: Timestamp,
    ) -> Result<(Imported, Vec<Standing>), CollectionError> {
        self.in_round(|session, publisher, round, own| {
            let mut gathered = session.gathered(publisher, &round)?;
            let imported = round.import(brought, &mut gathered, now)?;
            Ok((imported, round.standings(&gathered, own, now)?))
        })
    }

    /// Who has signed what is being published, or the published head.
    pub fn standings(&self, now: Timestamp) -> Result<Vec<Standing>, CollectionError> {
        self.in_round(|session, publisher, round, own| {
            let gathered = session.gathered(publisher, &round)?;
            Ok(round.standings(&gathered, own, now)?)
        })
    }

    fn in_round<T>(
        &self,
        act: impl FnOnce(&Session<'_>, &mut Publisher<'_>, Round, &[Vkey]) -> Result<T, CollectionError>,
    ) -> Result<T, CollectionError> {
        let session = self.session_without_keys()?;
        let own = server::own_keys(&self.directory, &session.note().collection)?;
        let mut writer = session.writer();
        let mut publisher = session.open(&mut writer)?;
        let round = session.round(&publisher)?;
        act(&session, &mut publisher, round, &own)
    }
}

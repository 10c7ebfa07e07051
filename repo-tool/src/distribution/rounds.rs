//! Gathering the distribution's signatures where more than one person must sign.

use countersign_format::key::Vkey;
use countersign_format::layout::Log;
use countersign_format::merkle::prove_inclusion;
use countersign_format::time::Timestamp;
use countersign_store::Sink;

use super::collection_head::HeldHead;
use super::publish::Session;
use super::{Distribution, DistributionError};
use crate::publish::{Publisher, TreeNodes, read_head};
use crate::round::{
    Cosignatures, Gathered, Imported, Item, Kind, Round, RoundError, Signatures, SigningRequest,
    Standing, grow,
};
use crate::server;

/// From which sizes on the growth of each log is proven.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Since {
    /// Of the collection's log; the published head's unless given.
    pub collection: Option<u64>,
    /// Of the distribution's log; the published head's unless given.
    pub distribution: Option<u64>,
}

impl Distribution {
    /// What others are still to sign, as a file for them, with heads that are proven to extend the
    /// ones of `since`.
    pub fn signing_request(
        &self,
        since: Since,
        now: Timestamp,
    ) -> Result<Option<SigningRequest>, DistributionError> {
        self.in_round(now, |session, publisher, head, mut round, own| {
            let gathered = session.gathered(publisher, head, &round)?;
            let new = publisher.unseen().to_vec();
            prove_places(&self.copy_sink(), head.checkpoint.size, &mut round.items)?;
            for item in round.items.iter_mut().filter(|item| item.kind == Kind::Head) {
                item.growth = Some(if item.own {
                    let size = publisher.size();
                    let since = since.distribution.unwrap_or(size);
                    grow(publisher.sink(), Log::Distribution, &new, since)?
                } else {
                    let cosigned = read_head(publisher.sink(), Log::Collection)?;
                    let cosigned = cosigned.map_or(0, |head| head.size);
                    let since = since.collection.unwrap_or(cosigned);
                    grow(&self.copy_sink(), Log::Collection, &[], since)?.proof_only()
                });
            }
            let collection = String::from_utf8(head.note.to_bytes()).expect("notes are text");
            let request = round.request(&gathered, own, now)?;
            Ok(request.map(|request| SigningRequest { collection: Some(collection), ..request }))
        })
    }

    /// Takes what others signed.
    pub fn import(
        &self,
        brought: &Signatures,
        now: Timestamp,
    ) -> Result<(Imported, Vec<Standing>), DistributionError> {
        self.in_round(now, |session, publisher, head, round, own| {
            let mut gathered = session.gathered(publisher, head, &round)?;
            let imported = round.import(brought, &mut gathered, now)?;
            Ok((imported, all(&round, &gathered, own, now)?))
        })
    }

    /// Takes what a witness handed back.
    pub fn import_cosignatures(
        &self,
        brought: &Cosignatures,
        now: Timestamp,
    ) -> Result<(Imported, Vec<Standing>), DistributionError> {
        self.in_round(now, |session, publisher, head, round, own| {
            let mut gathered = session.gathered(publisher, head, &round)?;
            let imported = round.import_cosignatures(brought, &mut gathered, now)?;
            Ok((imported, all(&round, &gathered, own, now)?))
        })
    }

    /// Who has signed what is being published, and the published heads.
    pub fn signed_by(&self, now: Timestamp) -> Result<Vec<Standing>, DistributionError> {
        self.in_round(now, |session, publisher, head, round, own| {
            let gathered = session.gathered(publisher, head, &round)?;
            Ok(all(&round, &gathered, own, now)?)
        })
    }

    fn in_round<T>(
        &self,
        now: Timestamp,
        act: impl FnOnce(
            &Session<'_>,
            &mut Publisher<'_>,
            &HeldHead,
            Round,
            &[Vkey],
        ) -> Result<T, DistributionError>,
    ) -> Result<T, DistributionError> {
        let session = self.session_without_keys(now)?;
        let own = server::own_keys(&self.directory, &session.role()?.log)?;
        let head = session.held_head()?;
        let mut writer = self.public_sink();
        let mut publisher = session.open(&mut writer)?;
        let round = session.round(&publisher, &head)?;
        act(&session, &mut publisher, &head, round, &own)
    }
}

/// Adds to each patch the proof of its place among the first `size` entries of the collection's log,
/// of which `copy` holds the tiles.
fn prove_places(copy: &dyn Sink, size: u64, items: &mut [Item]) -> Result<(), DistributionError> {
    let mut nodes = TreeNodes::of(copy, Log::Collection, size);
    for item in items.iter_mut().filter(|item| item.kind == Kind::Countersignature) {
        let index = item.index.expect("a countersignature has one");
        item.inclusion = prove_inclusion(index, size, &mut nodes)?;
    }
    Ok(())
}

/// Who has signed what, servers' keys and witnesses.
fn all(
    round: &Round,
    gathered: &Gathered<'_>,
    own: &[Vkey],
    now: Timestamp,
) -> Result<Vec<Standing>, RoundError> {
    let mut standings = round.standings(gathered, own, now)?;
    standings.extend(round.witness_standings(gathered, now)?);
    Ok(standings)
}

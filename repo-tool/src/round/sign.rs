//! Signing a request on the machine of a key's holder, which needs no network and no log.

use std::collections::BTreeSet;
use std::path::Path;

use countersign_format::authority::{AuthorityNote, DistributionRole, PointText};
use countersign_format::checkpoint::Checkpoint;
use countersign_format::hash::Hash32;
use countersign_format::key::{KeyName, PublicKey, SignatureType};
use countersign_format::layout::{self, Log};
use countersign_format::merkle::{leaf_hash, verify_consistency, verify_inclusion};
use countersign_format::note::{Note, SignatureLine};
use countersign_format::policy::{
    CheckpointContext, Clock, PatchContext, SignerTimes, verify_first_checkpoint,
    verify_first_patch,
};
use countersign_format::signature::{Signer, cosign, sign_note};
use countersign_format::time::Timestamp;
use countersign_store::Lock;
use countersign_store::crash::crash_point;

use super::{Item, Kind, RoundError, Signature, Signatures, SigningRequest, print};
use crate::key_store::{FoundKey, SigningKey};
use crate::publish::{HeadRecord, SignedHead};
use crate::role_dir::{LOCK_PATIENCE, RoleDirError};

/// The holder of a key.
pub struct Holder<'h> {
    /// The key.
    pub key: SigningKey,
    /// The directory of the record of heads that the key signed.
    pub record: &'h Path,
    /// The newest authority note that the holder trusts, for countersignatures.
    pub authority: Option<&'h AuthorityNote>,
}

impl SigningRequest {
    /// The key as the request names it; an error if it may not sign.
    pub fn name(&self, found: FoundKey) -> Result<SigningKey, RoundError> {
        let key = self.keys.iter().find(|vkey| vkey.key == *found.public_key());
        let names = || self.keys.iter().map(|vkey| vkey.name.to_string()).collect::<Vec<_>>();
        let key = key.ok_or_else(|| RoundError::NotMine(names().join(", ")))?;
        Ok(found.named(&key.name))
    }

    /// Refuses a request with two heads of one log, since each would be judged by what was signed
    /// before both, and one that does not show what a head adds to a log of the role's own: nobody
    /// signs what is not seen.
    pub fn check_heads(&self) -> Result<(), RoundError> {
        let mut origins = BTreeSet::new();
        for item in &self.items {
            let Some(head) = item.checkpoint() else { continue };
            let growth = item.growth.as_ref().filter(|_| item.own);
            if growth.is_some_and(|growth| !growth.shows(&head)) {
                return Err(RoundError::NotShown(head.origin));
            }
            if let Some(twice) = origins.replace(head.origin) {
                return Err(RoundError::TwoHeads(twice));
            }
        }
        Ok(())
    }
}

/// Signs all that a request asks for, or nothing: first every item is looked at, then the record
/// of heads is advanced, then the key signs. Nobody else who signs with this record does so meanwhile.
pub fn sign(
    request: &SigningRequest,
    holder: &Holder<'_>,
    now: Timestamp,
) -> Result<Signatures, RoundError> {
    let _lock = holder.lock(now)?;
    request.check_heads()?;
    let mut heads = Vec::new();
    for (place, item) in request.items.iter().enumerate() {
        if !is_signed_by(item, request.role) {
            return Err(RoundError::OtherKind { place, role: request.role });
        }
        match item.kind {
            Kind::Patch => (),
            Kind::Countersignature => holder.verify_first(request, item, now)?,
            Kind::Head => heads.push((place, holder.look_at(item, now)?)),
        }
    }
    let mut signatures = Vec::new();
    let mut keep = |item: &Item, line: &SignatureLine| {
        signatures.push(Signature { of: item.id(), line: print(line) });
    };
    for item in request.items.iter().filter(|item| item.kind != Kind::Head) {
        keep(item, &item.line_by(&holder.key)?);
    }
    for (place, (mut record, next)) in heads {
        let item = &request.items[place];
        record.advance(&next)?;
        crash_point("sign.head");
        if item.own {
            keep(item, &sign_note(&holder.key, &item.text)?);
        }
        keep(item, &cosign(&holder.key, &item.text, next.time)?);
    }
    Ok(Signatures { role: request.role, signatures })
}

/// Whether a role signs such a thing, so that no file of one role is signed as another's.
fn is_signed_by(item: &Item, role: Log) -> bool {
    match (item.kind, role) {
        (Kind::Patch, Log::Collection) | (Kind::Countersignature, Log::Distribution) => {
            item.entry().is_some()
        }
        (Kind::Head, _) => item.checkpoint().is_some(),
        _ => false,
    }
}

/// Which record is of a key and a log. The key's name is no part of it: requests say how a key is
/// called, and a timestamped signature is the same under any name.
pub(super) fn record_name(origin: &KeyName, key: &PublicKey) -> String {
    let key = PointText(*key.as_bytes());
    let name = Hash32::of(format!("{origin}\n{key}\n").as_bytes()).to_string();
    format!("head-{}", &name[..16])
}

impl Holder<'_> {
    /// Keeps others from signing with the same record.
    fn lock(&self, now: Timestamp) -> Result<Lock, RoundError> {
        let this = countersign_store::Holder::this_process("patchrepo sign", now.seconds());
        let path = self.record.join("heads.lock");
        let lock = Lock::acquire(&path, &this, Some(LOCK_PATIENCE), |_| ());
        Ok(lock.map_err(RoleDirError::from)?)
    }

    /// Verifies the first signatures: a countersignature says that this was done. Where the patch
    /// stands in the collection's log is proven and not believed, for by that it is judged whether a
    /// key that was retired counts.
    fn verify_first(
        &self,
        request: &SigningRequest,
        item: &Item,
        now: Timestamp,
    ) -> Result<(), RoundError> {
        let authority = self.authority.ok_or(RoundError::NoAuthority)?;
        let head = self.verify_collection(request, authority, now)?;
        let no_place = |source| RoundError::NoPlace { patch: item.to_string(), source };
        let index = item.index.ok_or_else(|| no_place(None))?;
        let leaf = leaf_hash(item.text.as_bytes());
        verify_inclusion(leaf, index, head.size, &item.inclusion, &head.root)
            .map_err(|error| no_place(Some(error)))?;
        let note = Note::new(item.text.clone(), item.first_lines()).to_bytes();
        let entry = item.text.as_bytes();
        let context = PatchContext { file: &item.to_string(), authority, entry, index };
        verify_first_patch(&note, &context)?;
        Ok(())
    }

    /// Verifies the collection's head, in which patches are proven to be.
    fn verify_collection(
        &self,
        request: &SigningRequest,
        authority: &AuthorityNote,
        now: Timestamp,
    ) -> Result<Checkpoint, RoundError> {
        let vkey = self.key.vkey();
        let is_listed =
            |role: &&DistributionRole| role.log.active().any(|key| key.vkey.key == vkey.key);
        let distribution = authority.distributions.iter().find(is_listed).ok_or_else(|| {
            let id = vkey.id(SignatureType::Countersignature);
            RoundError::NotListed { name: vkey.name.clone(), id }
        })?;
        let head = request.collection.as_ref().ok_or(RoundError::NoCollection)?;
        let file = layout::checkpoint(Log::Collection);
        let context = CheckpointContext {
            file: file.as_str(),
            log: Log::Collection,
            authority,
            distribution,
            clock: Clock::local(now),
            newest: &SignerTimes::new(),
        };
        Ok(verify_first_checkpoint(head.as_bytes(), &context)?.checkpoint.clone())
    }

    /// Looks whether this key may sign a head: of one size it signs one tree, and each tree extends
    /// those that it signed before.
    fn look_at(&self, item: &Item, now: Timestamp) -> Result<(HeadRecord, SignedHead), RoundError> {
        let head = item.checkpoint().expect("looked at before");
        let name = record_name(&head.origin, self.key.public_key());
        let record = HeadRecord::open(self.record, &name)?;
        if let Some(signed) = record.newest().filter(|signed| signed.size < head.size) {
            let since = item.growth.as_ref().map_or(0, |growth| growth.size);
            let (origin, size) = (head.origin.clone(), signed.size);
            let Some(growth) = item.growth.as_ref().filter(|growth| growth.size == size) else {
                return Err(RoundError::OtherSince { origin, signed: size, since });
            };
            if growth.root != signed.root {
                return Err(RoundError::Fork { origin, signed: size, source: None });
            }
            let proof = &growth.proof;
            if let Err(error) = verify_consistency(size, &signed.root, head.size, &head.root, proof)
            {
                return Err(RoundError::Fork { origin, signed: size, source: Some(error) });
            }
        }
        let next = SignedHead::new(&head, record.time(now)?);
        record.check(&next)?;
        Ok((record, next))
    }
}

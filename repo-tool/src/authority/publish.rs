//! Signing the next version, key by key, and publishing it once enough have signed.

use countersign_format::authority::AuthorityNote;
use countersign_format::key::{KeyName, Vkey};
use countersign_format::layout;
use countersign_format::limits::MAX_AUTHORITY_NOTE;
use countersign_format::policy::Chain;
use countersign_format::signature::{Signer as _, sign_note};
use countersign_format::time::Timestamp;
use countersign_store::{DirectoryWriter, Sink as _};
use serde::Serialize;

use super::{Authority, AuthorityError, Draft, KeySelector};
use crate::history;
use crate::key_store::{FoundKey, KeyLocation, Passphrases, SigningKey};
use crate::role_dir;

/// Which of the keys that must sign have signed; with their IDs where another key has the same name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Standing {
    /// The version whose keys these are.
    pub version: u64,
    /// How many must sign.
    pub threshold: u32,
    /// Those whose line on the draft verifies.
    pub signed: Vec<KeySelector>,
    /// Those that have none.
    pub unsigned: Vec<KeySelector>,
    /// Those that have a line that does not verify: the text was changed since they signed it, or
    /// they never did. Nothing with such a line is signed or published.
    pub invalid: Vec<KeySelector>,
}

#[derive(Serialize)]
struct PublishDetails {
    version: u64,
    sha256: countersign_format::hash::Hash32,
}

impl Standing {
    fn of(note: &AuthorityNote, all: &[&AuthorityNote], draft: &Draft) -> Self {
        let selector = |vkey: &Vkey| {
            let all = all.iter().flat_map(|note| &note.authority.keys);
            let is_alone = all.filter(|one| one.name == vkey.name).all(|one| one.key == vkey.key);
            if is_alone { vkey.name.clone().into() } else { KeySelector::of(vkey) }
        };
        let (version, threshold) = (note.version, note.authority.threshold);
        let (signed, unsigned, invalid) = (Vec::new(), Vec::new(), Vec::new());
        let mut standing = Self { version, threshold, signed, unsigned, invalid };
        for vkey in &note.authority.keys {
            let names = match draft.is_signed_by(vkey) {
                Some(true) => &mut standing.signed,
                Some(false) => &mut standing.invalid,
                None => &mut standing.unsigned,
            };
            names.push(selector(vkey));
        }
        standing
    }

    /// By the published version's keys, and by the next one's.
    pub(super) fn all(newest: Option<&AuthorityNote>, draft: &Draft) -> Vec<Self> {
        let notes: Vec<_> = newest.into_iter().chain([draft.note()]).collect();
        notes.iter().map(|note| Self::of(note, &notes, draft)).collect()
    }

    /// Whether as many have signed as must, and nobody's line is wrong.
    pub fn is_met(&self) -> bool {
        self.signed.len() >= self.threshold as usize && self.invalid.is_empty()
    }
}

/// The authority's keys that `next` is the first to list and that have not signed it: nothing shows
/// yet that somebody holds them. None of a first version, in which all are new.
pub fn unproven(
    newest: Option<&AuthorityNote>,
    next: &AuthorityNote,
    standings: &[Standing],
) -> Vec<KeySelector> {
    let Some(newest) = newest else { return Vec::new() };
    let has_not_signed = |key: &&Vkey| {
        let of_next = standings.iter().filter(|standing| standing.version == next.version);
        of_next.flat_map(|standing| &standing.unsigned).any(|unsigned| unsigned.means(key))
    };
    let new = next.authority.keys.iter().filter(|key| !newest.authority.keys.contains(key));
    new.filter(has_not_signed).map(KeySelector::of).collect()
}

impl Authority {
    /// Adds the signature of the key at `location` to the next version. The draft must be complete
    /// and must be allowed to follow what is published: nobody signs what could never count.
    pub fn sign(
        &self,
        location: &KeyLocation,
        passphrases: &Passphrases,
        now: Timestamp,
    ) -> Result<(KeyName, Draft), AuthorityError> {
        let mut draft = self.draft(now)?;
        draft.note().check().map_err(AuthorityError::Incomplete)?;
        let signer = open_signer(self.newest(), &draft, location, passphrases)?;
        draft.add(sign_note(&signer, draft.text())?);
        self.save(&draft)?;
        Ok((signer.name().clone(), draft))
    }

    /// The signing keys in the authority's own directory: `keys/authority-*.pem`, by number.
    pub fn own_keys(&self) -> Vec<KeyLocation> {
        let mut numbers: Vec<u32> = std::fs::read_dir(self.directory().keys())
            .into_iter()
            .flatten()
            .filter_map(|entry| {
                let name = entry.ok()?.file_name();
                name.to_str()?.strip_prefix("authority-")?.strip_suffix(".pem")?.parse().ok()
            })
            .collect();
        numbers.sort_unstable();
        numbers
            .into_iter()
            .map(|number| KeyLocation::File(super::key_path(self.directory(), number)))
            .collect()
    }

    /// The public keys of those in the authority's own directory, as far as they are noted there.
    pub fn local_keys(&self) -> Vec<Vkey> {
        let public = |location: KeyLocation| {
            let KeyLocation::File(path) = location else { return None };
            let text = std::fs::read_to_string(path.with_extension("pub")).ok()?;
            text.trim().parse().ok()
        };
        self.own_keys().into_iter().filter_map(public).collect()
    }

    /// Who has signed the draft and who is still to, by the published version's keys and by its
    /// own. Both thresholds must be met.
    pub fn standing(&self, draft: &Draft) -> Vec<Standing> {
        Standing::all(self.newest(), draft)
    }

    /// Publishes the next version if both thresholds are met, and returns it.
    pub fn publish(&mut self, now: Timestamp) -> Result<Chain, AuthorityError> {
        let draft = self.prepared()?.ok_or(AuthorityError::NothingPrepared)?;
        let chain = self.successor(&draft)?;
        let version = draft.note().version;
        let (path, bytes) = (layout::authority(version), draft.to_bytes());
        let mut writer = DirectoryWriter::new(&self.directory().public());
        writer.put_immutable(&path, &bytes)?;
        writer.sync()?;
        Draft::remove(self.directory())?;
        let details = PublishDetails { version, sha256: chain.fingerprint() };
        history::record(self.directory(), now, "publish", &details)?;
        self.chain = Some(chain.clone());
        Ok(chain)
    }

    /// What clients' chain would be once the next version is published: whether it would be
    /// accepted. Nothing is written.
    pub fn successor(&self, draft: &Draft) -> Result<Chain, AuthorityError> {
        draft.check_number(self.newest())?;
        let version = draft.note().version;
        if draft.signatures().is_empty() {
            let missing = self.standing(draft).into_iter().flat_map(|standing| standing.unsigned);
            let mut missing: Vec<_> = missing.map(|key| key.to_string()).collect();
            missing.sort_unstable();
            missing.dedup();
            return Err(AuthorityError::Unsigned { version, missing: missing.join(", ") });
        }
        let (path, bytes) = (layout::authority(version), draft.to_bytes());
        Ok(match self.chain() {
            None => Chain::enroll(&bytes, path.as_str())?,
            Some(chain) => chain.follow(&bytes, path.as_str(), version)?,
        })
    }

    /// The file of the first version: what every chain can begin with.
    pub fn first_version(&self) -> Result<Option<Vec<u8>>, AuthorityError> {
        self.chain().map(|_| self.published_file(1)).transpose()
    }

    /// The file of a published version.
    pub(super) fn published_file(&self, version: u64) -> Result<Vec<u8>, AuthorityError> {
        let path = self.directory().public().join(layout::authority(version));
        Ok(role_dir::read_file(&path, MAX_AUTHORITY_NOTE)?)
    }
}

/// Opens a key, and finds by the public key under which name it is listed. Refused where the draft
/// was changed after somebody signed it, and where it leaves a version out.
pub(super) fn open_signer(
    newest: Option<&AuthorityNote>,
    draft: &Draft,
    location: &KeyLocation,
    passphrases: &Passphrases,
) -> Result<SigningKey, AuthorityError> {
    draft.check_number(newest)?;
    // who signs puts a line in the place of an earlier one: nobody's is to be lost unseen
    let invalid = Standing::all(newest, draft).into_iter().flat_map(|standing| standing.invalid);
    let invalid = invalid.map(|key| key.name().clone());
    if let Some(name) = invalid.into_iter().next() {
        return Err(AuthorityError::ChangedSince(name));
    }
    let found = FoundKey::open(location, passphrases)?;
    let listed = newest.into_iter().chain([draft.note()]);
    let listed = listed
        .flat_map(|note| &note.authority.keys)
        .find(|vkey| vkey.key == *found.public_key())
        .ok_or_else(|| AuthorityError::ForeignKey(location.clone()))?;
    Ok(found.named(&listed.name))
}

//! Gathering signatures where a threshold asks for more keys than there are at hand (SPEC §5.4).
//!
//! A publication's journal fixes what is to be signed. What the keys at hand sign of patches is
//! kept in `state/signatures`, and so is what comes from elsewhere: [`SigningRequest`] is the file
//! that travels to the holder of a key, [`Signatures`] the one that comes back. Nothing under
//! `public/` changes before every threshold is met. Heads are signed here last of all, so a round
//! that somebody refuses leaves no head behind that this server's keys have signed.

use std::collections::BTreeMap;

use countersign_format::authority::LogRole;
use countersign_format::hash::Hash32;
use countersign_format::json;
use countersign_format::key::{KeyName, Vkey};
use countersign_format::layout::Log;
use countersign_format::note::{Note, SignatureLine};
use countersign_format::policy::{
    Clock, Counted, Gathering, PolicyError, Role, verify_brought, verify_gathered,
};
use countersign_format::signature::{Signer, countersign, sign_note};
use countersign_format::time::Timestamp;
use countersign_store::crash::crash_point;
use serde::{Deserialize, Serialize};

mod error;
mod gathered;
mod growth;
mod item;
mod quorum;
mod sign;
#[cfg(test)]
mod tests;

pub use error::RoundError;
pub use gathered::Gathered;
pub use growth::{Growth, describe_entry, grow};
pub use item::{Item, Kind};
pub use quorum::{Cosignature, Cosignatures, Quorum};
pub use sign::{Holder, sign};

const SIGNATURES: &str = "signatures/v1";
const REQUEST: &str = "signing-request/v1";
/// Largest of the files that travel: the entries of some hundreds of patches.
pub const MAX_ROUND_FILE: usize = 16 * 1024 * 1024;
/// Most that is to be signed at once.
pub const MAX_ITEMS: usize = 10_000;

/// What one publication asks to be signed, and by whom.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Round {
    /// Whose keys are to sign.
    pub role: Role,
    /// The same, as a role's directory has it.
    pub log: Log,
    /// The keys, and how many of them.
    pub keys: LogRole,
    /// When it began, if it is a publication: heads that were signed before are of an earlier one.
    pub begun: Option<Timestamp>,
    /// What is to be signed.
    pub items: Vec<Item>,
    /// The heads that witnesses cosign before they are published.
    pub quorums: Vec<Quorum>,
}

/// The file that travels to the holder of a key.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SigningRequest {
    /// Whose keys are to sign.
    pub role: Log,
    /// How many of the keys must sign.
    pub threshold: u32,
    /// When the publication began, if it is one; else the published head is signed anew.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub begun: Option<Timestamp>,
    /// The keys that may sign.
    pub keys: Vec<Vkey>,
    /// A distribution's: the collection's head with the collection's signatures, under which the
    /// patches that are countersigned have their places.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub collection: Option<String>,
    /// What is to be signed.
    pub items: Vec<Item>,
}

/// The file that comes back, and what is kept of it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Signatures {
    /// Whose keys signed.
    pub role: Log,
    /// What they signed.
    pub signatures: Vec<Signature>,
}

/// One signature line and what it stands under.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Signature {
    /// [`Item::id`].
    pub of: Hash32,
    /// The line, as it stands on a note.
    pub line: String,
}

/// Who has signed one thing.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Standing {
    /// What, in words.
    pub item: String,
    /// How many must sign.
    pub threshold: u32,
    /// Whose signatures are there and count.
    pub signed: Vec<KeyName>,
    /// Whose keys are at hand and sign when all others have.
    pub at_hand: Vec<KeyName>,
    /// Who has not signed.
    pub missing: Vec<KeyName>,
}

/// How many lines came and were new.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Imported {
    /// Lines that were not there.
    pub new: usize,
    /// Lines that were there already.
    pub known: usize,
}

impl Standing {
    /// Whether as many have signed, or will, as must.
    pub fn is_met(&self) -> bool {
        self.signed.len() + self.at_hand.len() >= self.threshold as usize
    }
}

impl Round {
    /// What is still to be signed by others, as the file that travels. None if nothing is.
    pub fn request(
        &self,
        gathered: &Gathered<'_>,
        own: &[Vkey],
        now: Timestamp,
    ) -> Result<Option<SigningRequest>, RoundError> {
        let standings = self.standings(gathered, own, now)?;
        let missing = self.items.iter().zip(standings).filter(|(_, standing)| !standing.is_met());
        let items: Vec<Item> = missing.map(|(item, _)| item.clone()).collect();
        if items.is_empty() {
            return Ok(None);
        }
        let is_others = |vkey: &&Vkey| !own.contains(vkey);
        Ok(Some(SigningRequest {
            role: self.log,
            threshold: self.keys.threshold,
            begun: self.begun,
            keys: self.keys.active().map(|key| &key.vkey).filter(is_others).cloned().collect(),
            collection: None,
            items,
        }))
    }

    /// Who has signed what. `own` are the keys at hand.
    pub fn standings(
        &self,
        gathered: &Gathered<'_>,
        own: &[Vkey],
        now: Timestamp,
    ) -> Result<Vec<Standing>, RoundError> {
        self.items.iter().map(|item| self.standing(item, gathered, own, now)).collect()
    }

    fn standing(
        &self,
        item: &Item,
        gathered: &Gathered<'_>,
        own: &[Vkey],
        now: Timestamp,
    ) -> Result<Standing, RoundError> {
        let counted = self.count(item, &gathered.lines(item), &self.keys, 0, now)?;
        let has_signed = |vkey: &Vkey| counted.iter().any(|line| line.key == vkey.key);
        let (mut signed, mut at_hand, mut missing) = (Vec::new(), Vec::new(), Vec::new());
        for key in self.keys.active() {
            let list = match () {
                () if has_signed(&key.vkey) => &mut signed,
                () if own.contains(&key.vkey) => &mut at_hand,
                () => &mut missing,
            };
            list.push(key.id.clone());
        }
        let threshold = self.keys.threshold;
        Ok(Standing { item: item.to_string(), threshold, signed, at_hand, missing })
    }

    /// Refuses to go on while a threshold is not met. The keys at hand, `own`, count for what they
    /// are about to sign.
    pub fn check(
        &self,
        gathered: &Gathered<'_>,
        own: &[Vkey],
        now: Timestamp,
    ) -> Result<(), RoundError> {
        let mut others = self.keys.clone();
        others.keys.retain(|key| !own.contains(&key.vkey));
        let held = self.keys.active().filter(|key| own.contains(&key.vkey)).count();
        let held = u32::try_from(held).expect("at most MAX_ROLE_KEYS");
        let needed = self.keys.threshold.saturating_sub(held);
        for item in &self.items {
            if let Err(source) = self.count(item, &gathered.lines(item), &others, needed, now) {
                let standings = self.standings(gathered, own, now)?;
                let (role, log) = (self.role.to_string(), self.log);
                return Err(RoundError::Waiting { role, log, standings, source: Box::new(source) });
            }
        }
        Ok(())
    }

    /// Refuses to give the round up once others have signed its head: with their signatures, of
    /// which some may still travel, it could be shown as the log's.
    pub fn check_unsigned(&self, gathered: &Gathered<'_>) -> Result<(), RoundError> {
        let own = |item: &&Item| item.kind == Kind::Head && item.own && self.begun.is_some();
        match self.items.iter().filter(own).find(|item| !gathered.lines(item).is_empty()) {
            Some(item) => Err(RoundError::HeadSigned(item.to_string())),
            None => Ok(()),
        }
    }

    fn count(
        &self,
        item: &Item,
        lines: &[SignatureLine],
        keys: &LogRole,
        threshold: u32,
        now: Timestamp,
    ) -> Result<Vec<Counted>, PolicyError> {
        item.count(lines, (&self.role, keys), threshold, now)
    }

    /// Takes what came back: every line must be of something that this round asks for, by a key
    /// that is listed, good, and not older than the round. All of the file or nothing.
    pub fn import(
        &self,
        brought: &Signatures,
        gathered: &mut Gathered<'_>,
        now: Timestamp,
    ) -> Result<Imported, RoundError> {
        if brought.role != self.log {
            return Err(RoundError::OtherRole { found: brought.role, expected: self.log });
        }
        let items: BTreeMap<Hash32, &Item> =
            self.items.iter().map(|item| (item.id(), item)).collect();
        let mut kept = gathered.kept.clone();
        let mut imported = Imported::default();
        for (place, signature) in brought.signatures.iter().enumerate() {
            let item = items.get(&signature.of);
            let item = item.ok_or(RoundError::NotAsked { place, of: signature.of })?;
            let line = SignatureLine::parse(&signature.line).ok_or(RoundError::Line(place))?;
            self.judge(item, &line, gathered, now)?;
            if kept.contains(signature) {
                imported.known += 1;
                continue;
            }
            kept.put(item, &line);
            imported.new += 1;
        }
        gathered.keep(kept)?;
        crash_point("round.imported");
        Ok(imported)
    }

    fn judge(
        &self,
        item: &Item,
        line: &SignatureLine,
        gathered: &Gathered<'_>,
        now: Timestamp,
    ) -> Result<(), RoundError> {
        let (file, first) = (item.to_string(), item.first_lines());
        let whose = (&self.role, &self.keys);
        let what = item.gathering(&first, now);
        let verify = |line| verify_brought(&item.text, line, &file, &what, whose);
        let Some(counted) = verify(line)? else {
            return Err(RoundError::NotListed { name: line.name.clone(), id: line.id });
        };
        let lines = gathered.lines(item);
        let same = lines.iter().filter(|held| (&held.name, held.id) == (&line.name, line.id));
        // one that is too old by now is no reason to refuse a newer one
        let held = same.filter_map(|held| verify(held).ok()??.time).max();
        match (counted.time, self.begun.max(held)) {
            (Some(time), Some(begun)) if time < begun => {
                Err(RoundError::Early { name: counted.name, time, begun })
            }
            _ => Ok(()),
        }
    }
}

impl SigningRequest {
    /// Reads the file that travels.
    pub fn parse(bytes: &[u8]) -> Result<Self, RoundError> {
        let what = "signing request";
        let request: Self =
            json::parse(bytes, REQUEST).map_err(|source| RoundError::Json { what, source })?;
        if request.items.len() > MAX_ITEMS {
            return Err(RoundError::TooMany);
        }
        Ok(request)
    }

    /// The file.
    pub fn to_bytes(&self) -> Vec<u8> {
        json::print_pretty(REQUEST, self)
    }
}

impl Signatures {
    /// Reads the file that comes back.
    pub fn parse(bytes: &[u8]) -> Result<Self, RoundError> {
        let what = "file of signatures";
        json::parse(bytes, SIGNATURES).map_err(|source| RoundError::Json { what, source })
    }

    /// The file.
    pub fn to_bytes(&self) -> Vec<u8> {
        json::print_pretty(SIGNATURES, self)
    }
}

impl Item {
    /// What judges the lines of this.
    fn gathering<'f>(&self, first: &'f [SignatureLine], now: Timestamp) -> Gathering<'f> {
        match self.kind {
            Kind::Patch => Gathering::Patch,
            Kind::Countersignature => Gathering::Countersignature(first),
            Kind::Head => Gathering::Head(Clock::local(now)),
        }
    }

    /// Which keys of `whose` role signed this, by `lines`; an error where they are fewer than
    /// `threshold`.
    fn count(
        &self,
        lines: &[SignatureLine],
        whose: (&Role, &LogRole),
        threshold: u32,
        now: Timestamp,
    ) -> Result<Vec<Counted>, PolicyError> {
        let (file, first) = (self.to_string(), self.first_lines());
        let note = Note::new(self.text.clone(), lines.to_vec());
        verify_gathered(&note, &file, &self.gathering(&first, now), whose, threshold)
    }

    /// The line of a key on a patch note.
    fn line_by(&self, key: &dyn Signer) -> Result<SignatureLine, RoundError> {
        let first = self.first_lines();
        Ok(match self.kind {
            Kind::Countersignature => {
                countersign(key, &Note::new(self.text.clone(), first.clone()), &first)?
            }
            Kind::Patch | Kind::Head => sign_note(key, &self.text)?,
        })
    }
}

/// A line as it stands on a note, without its newline.
fn print(line: &SignatureLine) -> String {
    let mut text = String::new();
    line.print(&mut text);
    text.trim_end().to_owned()
}

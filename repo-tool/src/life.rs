//! How long things last: which keys hold a role since when, when they were last seen to sign, and
//! what lapses next (SPEC §4.2, §5.2, §6).
//!
//! In scope: reading notes and heads, and working out dates. What to do about them is said here in
//! words; nothing is changed.

use countersign_format::authority::{AuthorityNote, DistributionRole, LogRole, ServerKey};
use countersign_format::key::{KeyName, SignatureType, Vkey};
use countersign_format::layout::{self, Log};
use countersign_format::limits::{MAX_AUTHORITY_NOTE, MAX_NOTE};
use countersign_format::policy::{
    CheckpointContext, Clock, Counted, PolicyError, Role, SignerTimes, verify_checkpoint,
    verify_directory, verify_first_checkpoint,
};
use countersign_format::time::Timestamp;
use countersign_store::{Get, GetError, Got, Source};
use serde::Serialize;

/// An accepted version of the authority note.
#[derive(Clone, Debug)]
pub struct Version {
    /// What it says.
    pub note: AuthorityNote,
    /// When its file was written, where that can be seen.
    pub written: Option<Timestamp>,
}

/// A key of a role.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct KeyLife {
    /// The role, such as `collection` or `distribution main`.
    pub role: String,
    /// The key's name.
    pub name: KeyName,
    /// Its ID as a signer of notes, in hex.
    pub id: String,
    /// Counts the keys of a server.
    pub epoch: Option<u32>,
    /// The first known version of the authority note that lists it.
    pub since_version: u64,
    /// When that version was written, where it can be seen.
    pub since: Option<Timestamp>,
    /// The newest time of a signature of it on the heads that were looked at.
    pub last_use: Option<Timestamp>,
    /// When it counts for nothing any more unless something is done: the authority note's expiry.
    pub expires: Timestamp,
    /// From which index of its log on it counts no more.
    pub retired_from: Option<u64>,
    /// The newest version lists it no longer.
    pub dropped: bool,
}

/// Something that lapses.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
pub struct Deadline {
    /// When.
    pub at: Timestamp,
    /// What.
    pub what: String,
    /// What clients do from then on.
    pub then: &'static str,
    /// What to do before.
    pub remedy: &'static str,
    /// Of what timers renew: how many seconds before the end it is only if they failed. It is not
    /// worth a word before.
    pub margin: Option<u64>,
}

/// What a repository shows of its signers.
#[derive(Debug, Default)]
pub struct Seen {
    /// The newest time of each key on any head.
    pub times: SignerTimes,
    /// What lapses there.
    pub deadlines: Vec<Deadline>,
}

/// Why a repository cannot be looked at.
#[derive(Debug, thiserror::Error)]
pub enum LifeError {
    /// A file could not be read.
    #[error(transparent)]
    Get(#[from] GetError),
    /// It has no head.
    #[error("{place} has no {path}")]
    Missing {
        /// The repository.
        place: String,
        /// The checkpoint.
        path: layout::RepoPath,
    },
    /// Its head is not signed by whom it must be, whatever the time.
    #[error("{place} is not signed as the authority says")]
    Policy {
        /// The repository.
        place: String,
        /// Why.
        source: Box<PolicyError>,
    },
}

/// All keys that any version lists: those of the newest by role, then those that were dropped.
pub fn keys(versions: &[Version], times: &SignerTimes) -> Vec<KeyLife> {
    let Some(newest) = versions.last() else { return Vec::new() };
    let mut lives: Vec<(Vkey, KeyLife)> = Vec::new();
    for version in versions {
        for Listed { role, vkey, epoch, until } in listed(&version.note) {
            let is_one =
                |(key, life): &&mut (Vkey, KeyLife)| life.role == role && key.key == vkey.key;
            if let Some((_, life)) = lives.iter_mut().find(is_one) {
                life.retired_from = until;
                continue;
            }
            let life = KeyLife {
                role,
                name: vkey.name.clone(),
                id: vkey.id(SignatureType::Note).to_string(),
                epoch,
                since_version: version.note.version,
                since: version.written,
                last_use: times.get(&vkey.key).copied(),
                expires: newest.note.expires,
                retired_from: until,
                dropped: false,
            };
            lives.push((vkey, life));
        }
    }
    let still = listed(&newest.note);
    for (vkey, life) in &mut lives {
        life.dropped = !still.iter().any(|one| one.role == life.role && one.vkey.key == vkey.key);
    }
    let mut lives: Vec<_> = lives.into_iter().map(|(_, life)| life).collect();
    lives.sort_by_key(|life| life.dropped);
    lives
}

/// A key as a note lists it.
pub(crate) struct Listed {
    pub(crate) role: String,
    pub(crate) vkey: Vkey,
    pub(crate) epoch: Option<u32>,
    pub(crate) until: Option<u64>,
}

/// All keys of a note, by role.
pub(crate) fn listed(note: &AuthorityNote) -> Vec<Listed> {
    let plain = |role: &str, keys: &[Vkey]| -> Vec<Listed> {
        let one = |vkey: &Vkey| {
            let (role, vkey) = (role.to_owned(), vkey.clone());
            Listed { role, vkey, epoch: None, until: None }
        };
        keys.iter().map(one).collect()
    };
    let log = |role: String, log: &LogRole| -> Vec<Listed> {
        let one = |key: &ServerKey| {
            let (role, vkey) = (role.clone(), key.vkey.clone());
            Listed { role, vkey, epoch: Some(key.epoch), until: key.until }
        };
        log.keys.iter().map(one).collect()
    };
    let mut all = plain("authority", &note.authority.keys);
    all.extend(log("collection".into(), &note.collection));
    for distribution in &note.distributions {
        all.extend(log(format!("distribution {}", distribution.name), &distribution.log));
    }
    all.extend(plain("witness", &note.witnesses.keys));
    all.extend(plain("directory", &note.directory.keys));
    all
}

/// When the authority note lapses.
pub fn authority_deadline(note: &AuthorityNote) -> Deadline {
    Deadline {
        at: note.expires,
        what: format!("version {} of the authority note expires", note.version),
        then: "clients refuse everything",
        remedy: "patchrepo authority change DIR, authority sign DIR, authority publish DIR",
        margin: None,
    }
}

/// Looks at a repository's heads and directory. Signatures must be those that the authority wants;
/// how old they are is what is to be found out.
pub async fn look(source: &Source, authority: &AuthorityNote) -> Result<Seen, LifeError> {
    let mut seen = Seen::default();
    let ageless = ageless(authority);
    let (log, path) = (Log::Collection, layout::checkpoint(Log::Collection));
    let place = || source.name().to_owned();
    let bytes = read(source, &path, MAX_NOTE).await?;
    let bytes = bytes.ok_or_else(|| LifeError::Missing { place: place(), path })?;
    let refused = |error| LifeError::Policy { place: place(), source: Box::new(error) };
    let Some(decided) = read(source, &layout::checkpoint(Log::Distribution), MAX_NOTE).await?
    else {
        // a collection's own repository, which its distributions read
        let mut first = None;
        for role in &ageless.distributions {
            let head = verify_first_checkpoint(&bytes, &context(log, &ageless, role));
            first = Some(head.map(|head| head.counted.clone()));
        }
        let counted = first.unwrap_or_else(|| Ok(Vec::new())).map_err(refused)?;
        seen.take(log, &authority.collection, "the collection's head", &counted);
        return Ok(seen);
    };
    let mut last = None;
    for (role, real) in ageless.distributions.iter().zip(&authority.distributions) {
        let own = verify_checkpoint(&decided, &context(Log::Distribution, &ageless, role));
        let both = own
            .and_then(|own| Ok((own, verify_checkpoint(&bytes, &context(log, &ageless, role))?)));
        let (own, both) = match both {
            Ok(heads) => heads,
            Err(error) => {
                last.get_or_insert(error);
                continue;
            }
        };
        seen.take(log, &authority.collection, "the collection's head", &both.counted);
        let cosigned = "the distribution's signature on the collection's head";
        seen.take(log, &real.log, cosigned, &both.counted);
        seen.take(Log::Distribution, &real.log, "the distribution's head", &own.counted);
        let quorum = authority.witnesses.quorum;
        let (first, second) = (authority.collection.max_age, real.log.max_age);
        seen.take_witnesses("the collection's head", (quorum, first), &both.counted);
        seen.take_witnesses("the distribution's head", (quorum, second), &own.counted);
        seen.deadlines.extend(directory_deadline(source, authority).await?);
        return Ok(seen);
    }
    last.map_or(Ok(seen), |error| Err(refused(error)))
}

impl Deadline {
    /// Whether it has passed at `now`, or comes so soon that something is to be done: within
    /// `span` seconds, and, where timers renew it, after they should have.
    pub fn is_near(&self, now: Timestamp, span: u64) -> bool {
        self.at.since(now) <= span.min(self.margin.unwrap_or(u64::MAX))
    }
}

impl Seen {
    /// What another repository shows, too.
    pub fn join(&mut self, other: Self) {
        for (key, time) in other.times {
            let newest = self.times.entry(key).or_insert(time);
            *newest = (*newest).max(time);
        }
        self.deadlines.extend(other.deadlines);
    }

    /// Takes what counted on a head, and says when the signatures of `role` on it get too old: once
    /// fewer than its threshold are young enough.
    fn take(&mut self, log: Log, role: &LogRole, what: &str, counted: &[Counted]) {
        for Counted { key, time, .. } in counted {
            if let Some(time) = time {
                let newest = self.times.entry(key.clone()).or_insert(*time);
                *newest = (*newest).max(*time);
            }
        }
        let is_own = |one: &&Counted| role.active().any(|key| key.vkey.key == one.key);
        let mut times: Vec<_> = counted.iter().filter(is_own).filter_map(|one| one.time).collect();
        times.sort_unstable_by(|one, other| other.cmp(one));
        let Some(oldest) = times.get((role.threshold as usize).saturating_sub(1)) else { return };
        self.deadlines.push(Deadline {
            at: oldest.plus(role.max_age),
            what: format!("{what}, signed at {oldest}, gets too old"),
            then: "clients refuse updates",
            remedy: match log {
                Log::Collection => {
                    "patchrepo collection refresh DIR, distribution sync DIR, distribution refresh DIR"
                }
                Log::Distribution => "patchrepo distribution refresh DIR",
            },
            margin: Some(role.max_age / 2),
        });
    }
}

impl Seen {
    /// When the quorum's lines on a head get too old.
    fn take_witnesses(&mut self, what: &str, (quorum, max_age): (u32, u64), counted: &[Counted]) {
        let lines = counted.iter().filter(|one| one.role == Role::Witness);
        let mut times: Vec<_> = lines.filter_map(|one| one.time).collect();
        times.sort_unstable_by(|one, other| other.cmp(one));
        let place = (quorum as usize).checked_sub(1);
        let Some(oldest) = place.and_then(|place| times.get(place)) else { return };
        self.deadlines.push(Deadline {
            at: oldest.plus(max_age),
            what: format!("the witnesses' quorum on {what}, of {oldest}, gets too old"),
            then: "clients refuse updates",
            remedy: "patchrepo witness run, distribution import DIR LINES, distribution refresh DIR",
            margin: Some(max_age / 2),
        });
    }
}

/// The note with no limit to the age of signatures.
fn ageless(authority: &AuthorityNote) -> AuthorityNote {
    let mut ageless = authority.clone();
    ageless.collection.max_age = u64::MAX;
    for distribution in &mut ageless.distributions {
        distribution.log.max_age = u64::MAX;
    }
    ageless
}

/// At the end of time: none is of the future.
fn context<'a>(
    log: Log,
    authority: &'a AuthorityNote,
    distribution: &'a DistributionRole,
) -> CheckpointContext<'a> {
    static NONE: SignerTimes = SignerTimes::new();
    let file = match log {
        Log::Collection => "collection/checkpoint",
        Log::Distribution => "distribution/checkpoint",
    };
    let clock = Clock::local(Timestamp::MAX);
    CheckpointContext { file, log, authority, distribution, clock, newest: &NONE }
}

async fn directory_deadline(
    source: &Source,
    authority: &AuthorityNote,
) -> Result<Option<Deadline>, LifeError> {
    if authority.directory.keys.is_empty() {
        return Ok(None);
    }
    let path = layout::directory();
    let Some(bytes) = read(source, &path, MAX_AUTHORITY_NOTE).await? else { return Ok(None) };
    let ever = Clock::local(Timestamp::EPOCH);
    // one that does not verify is followed by nobody, and so nothing lapses
    let Ok(note) = verify_directory(&bytes, path.as_str(), authority, ever) else {
        return Ok(None);
    };
    Ok(Some(Deadline {
        at: note.expires,
        what: format!("version {} of the directory expires", note.version),
        then: "clients and mirrors ask the enrolled URL alone",
        remedy: "patchrepo directory publish DIR, distribution refresh DIR",
        margin: None,
    }))
}

async fn read(
    source: &Source,
    path: &layout::RepoPath,
    limit: usize,
) -> Result<Option<Vec<u8>>, GetError> {
    match source.get(path, &Get::up_to(limit as u64)).await? {
        Got::Whole { bytes, .. } | Got::Part { bytes, .. } => Ok(Some(bytes)),
        Got::NotFound | Got::NotModified => Ok(None),
    }
}

#[cfg(test)]
mod tests;

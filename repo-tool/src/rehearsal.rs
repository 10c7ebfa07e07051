//! A rehearsal of the next version of the authority note: what clients make of what a repository
//! serves now, before and after (SPEC §4, §5.2).
//!
//! In scope: reading what is served and asking the one policy twice. Nothing is written anywhere,
//! and nothing is decided here that [`countersign_format::policy`] does not decide.

use countersign_format::authority::{AuthorityNote, DistributionRole};
use countersign_format::checkpoint::Checkpoint;
use countersign_format::layout::{self, Log, RepoPath};
use countersign_format::limits::{MAX_AUTHORITY_NOTE, MAX_NOTE};
use countersign_format::note::Note;
use countersign_format::policy::{
    CheckpointContext, Clock, PolicyError, Role, SignerTimes, Verdict, check_unexpired,
    tally_checkpoint, verify_checkpoint, verify_directory, verify_first_checkpoint,
};
use countersign_format::text::DistributionName;
use countersign_store::authority::{Anchor, AuthorityError, Walk};
use countersign_store::follow::FollowError;
use countersign_store::mirrors::chain;
use countersign_store::{Get, GetError, Got, Source};
use serde::Serialize;

mod keys;
mod patches;
mod problem;
#[cfg(test)]
mod tests;

pub use keys::{KeyChange, RoleChange, key_changes, role_changes};
pub use patches::{LostPatch, PatchCount};
pub use problem::Problem;

/// The two notes that are compared.
#[derive(Clone, Copy, Debug)]
pub struct Notes<'a> {
    /// What clients of the repository go by now.
    pub now: &'a AuthorityNote,
    /// What they would go by then.
    pub after: &'a AuthorityNote,
    /// The time.
    pub clock: Clock,
}

/// What a repository serves, judged by both notes.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Rehearsed {
    /// The repository.
    pub repository: String,
    /// Whose it is; none for a collection's own, which its distributions read.
    pub distribution: Option<DistributionName>,
    /// The newest version of the authority note that it serves: what its clients go by now.
    pub version: u64,
    /// Both heads, and the directory if it serves one.
    pub files: Vec<Judged>,
    /// The patches that clients may install.
    pub patches: PatchCount,
    /// Why clients would refuse something, and what to do first.
    pub problems: Vec<Problem>,
}

/// A file that is served, judged by both notes.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Judged {
    /// The file, as a path below the repository's base.
    pub file: String,
    /// Entries of the log, if it is a head.
    pub size: Option<u64>,
    /// Whose signatures are asked for, and how many count.
    pub counts: Vec<Count>,
    /// Why it is refused now, if it is.
    pub refused_now: Option<String>,
    /// Why it would be refused then, if it would.
    pub refused_after: Option<String>,
}

/// How many signatures of a role count.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Count {
    /// The role.
    pub role: String,
    /// By the note that clients go by now; none where nothing is asked of the role.
    pub now: Option<Of>,
    /// By the one that they would go by then.
    pub after: Option<Of>,
}

/// So many of so many.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub struct Of {
    /// How many there are.
    pub found: u32,
    /// How many must be.
    pub needed: u32,
}

/// Why a repository could not be judged.
#[derive(Debug, thiserror::Error)]
pub enum RehearsalError {
    /// A file could not be read.
    #[error(transparent)]
    Get(#[from] GetError),
    /// Its authority notes could not be read.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    /// Its log could not be read.
    #[error(transparent)]
    Follow(#[from] FollowError),
    /// A file is missing.
    #[error("{place} has no {path}")]
    Missing {
        /// The repository.
        place: String,
        /// The file.
        path: RepoPath,
    },
    /// A head is none.
    #[error("{path} at {place} is no checkpoint")]
    NoCheckpoint {
        /// The repository.
        place: String,
        /// The file.
        path: RepoPath,
    },
    /// The log is no distribution's.
    #[error("{place} serves the log {origin}, which is no distribution's")]
    NoDistribution {
        /// The repository.
        place: String,
        /// The log.
        origin: String,
    },
}

impl std::fmt::Display for Of {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{} of {}", self.found, self.needed)
    }
}

/// The newest note that clients of the repository go by, beginning with `first`, the authority's
/// version 1. What it serves may be behind what the authority has published.
pub async fn served_note(source: &Source, first: &[u8]) -> Result<AuthorityNote, RehearsalError> {
    let file = layout::authority(1).to_string();
    let anchor = Anchor::Note { bytes: first.to_vec(), file };
    let walk = Walk::begin(source, &anchor).await?.finish(source).await?;
    Ok(AuthorityNote::clone(walk.chain().newest()))
}

/// Judges what `source` serves by both notes.
pub async fn rehearse(source: &Source, notes: Notes<'_>) -> Result<Rehearsed, RehearsalError> {
    let served = Served::read(source).await?;
    let mut rehearsed = Rehearsed {
        repository: source.name().to_owned(),
        distribution: None,
        version: notes.now.version,
        files: Vec::new(),
        patches: PatchCount::default(),
        problems: Vec::new(),
    };
    let (now, after) = served.distributions(source, notes)?;
    let Some(now) = now else {
        // what distributions ask of the collection is the same for all of them
        if let Some(role) = notes.after.distributions.first() {
            let before = notes.now.distribution(&role.name).unwrap_or(role);
            served.judge(Log::Collection, notes, (before, role), &mut rehearsed);
        }
        return Ok(rehearsed);
    };
    rehearsed.distribution = Some(now.name.clone());
    let Some(after) = after else {
        rehearsed.problems.push(Problem::dropped(&now.name));
        return Ok(rehearsed);
    };
    for log in Log::BOTH {
        served.judge(log, notes, (now, after), &mut rehearsed);
    }
    served.judge_directory(notes, &mut rehearsed);
    let file = layout::authority(notes.after.version);
    if let Err(error) = check_unexpired(notes.after, file.as_str(), notes.clock) {
        rehearsed.problems.push(Problem::expired(&error));
    }
    if notes.now.collection.origin == notes.after.collection.origin {
        let heads = (&served.collection.1, served.distribution.as_ref().map(|head| &head.1));
        rehearsed.patches = patches::judge(source, notes, (now, after), heads).await?;
        rehearsed.problems.extend(Problem::of_patches(&rehearsed.patches));
    }
    Ok(rehearsed)
}

impl Rehearsed {
    /// What kind of refusal clients would meet, the worst; none where all goes on.
    pub fn verdict(&self) -> Option<Verdict> {
        self.problems.iter().map(|problem| problem.verdict).max()
    }
}

/// The files that change, as they are served.
struct Served {
    collection: (Vec<u8>, Checkpoint),
    distribution: Option<(Vec<u8>, Checkpoint)>,
    directory: Option<Vec<u8>>,
}

impl Served {
    async fn read(source: &Source) -> Result<Self, RehearsalError> {
        let (own, path) =
            (head(source, Log::Distribution).await?, layout::checkpoint(Log::Collection));
        let missing = || RehearsalError::Missing { place: source.name().to_owned(), path };
        Ok(Self {
            collection: head(source, Log::Collection).await?.ok_or_else(missing)?,
            distribution: own,
            directory: read(source, &layout::directory(), MAX_AUTHORITY_NOTE).await?,
        })
    }

    /// Whose repository it is, by both notes.
    fn distributions<'a>(
        &self,
        source: &Source,
        notes: Notes<'a>,
    ) -> Result<(Option<&'a DistributionRole>, Option<&'a DistributionRole>), RehearsalError> {
        let Some((_, head)) = &self.distribution else { return Ok((None, None)) };
        let is_its = |role: &&DistributionRole| role.log.origin == head.origin;
        let now = notes.now.distributions.iter().find(is_its);
        let now = now.ok_or_else(|| RehearsalError::NoDistribution {
            place: source.name().to_owned(),
            origin: head.origin.to_string(),
        })?;
        Ok((Some(now), notes.after.distribution(&now.name)))
    }

    fn judge(
        &self,
        log: Log,
        notes: Notes<'_>,
        (now, after): (&DistributionRole, &DistributionRole),
        rehearsed: &mut Rehearsed,
    ) {
        static NONE: SignerTimes = SignerTimes::new();
        let head = match log {
            Log::Collection => Some(&self.collection),
            Log::Distribution => self.distribution.as_ref(),
        };
        let Some((bytes, checkpoint)) = head else { return };
        let file = layout::checkpoint(log);
        let is_first = self.distribution.is_none();
        let by = |authority, distribution| {
            let (file, clock) = (file.as_str(), notes.clock);
            CheckpointContext { file, log, authority, distribution, clock, newest: &NONE }
        };
        let (now, after) = (by(notes.now, now), by(notes.after, after));
        let refusal = |context: &CheckpointContext<'_>| {
            if is_first {
                verify_first_checkpoint(bytes, context).err()
            } else {
                verify_checkpoint(bytes, context).err()
            }
        };
        let tally = |context| tally_checkpoint(bytes, context, is_first).unwrap_or_default();
        let mut counts: Vec<Count> = Vec::new();
        for (tallies, is_after) in [(tally(&now), false), (tally(&after), true)] {
            for tally in tallies {
                let of = Some(Of { found: tally.found, needed: tally.needed });
                let count = count_of(&mut counts, &tally.role);
                *(if is_after { &mut count.after } else { &mut count.now }) = of;
            }
        }
        let refused_after = refusal(&after);
        rehearsed.problems.extend(refused_after.as_ref().map(|error| Problem::of_head(log, error)));
        rehearsed.files.push(Judged {
            size: Some(checkpoint.size),
            counts,
            refused_now: refusal(&now).as_ref().map(said),
            refused_after: refused_after.as_ref().map(said),
            file: file.to_string(),
        });
    }

    fn judge_directory(&self, notes: Notes<'_>, rehearsed: &mut Rehearsed) {
        let Some(bytes) = &self.directory else { return };
        let file = layout::directory();
        let refusal =
            |note: &AuthorityNote| verify_directory(bytes, file.as_str(), note, notes.clock).err();
        let (now, after) = (refusal(notes.now), refusal(notes.after));
        let of = |refusal: &Option<PolicyError>| {
            Some(Of { found: u32::from(refusal.is_none()), needed: 1 })
        };
        // one that nobody follows now is none that would be lost
        if let (None, Some(error)) = (&now, &after) {
            rehearsed.problems.push(Problem::of_directory(error));
        }
        rehearsed.files.push(Judged {
            size: None,
            counts: vec![Count { role: "directory".into(), now: of(&now), after: of(&after) }],
            refused_now: now.as_ref().map(said),
            refused_after: after.as_ref().map(said),
            file: file.to_string(),
        });
    }
}

fn count_of<'c>(counts: &'c mut Vec<Count>, role: &Role) -> &'c mut Count {
    let role = role.to_string();
    let place = counts.iter().position(|count| count.role == role).unwrap_or_else(|| {
        counts.push(Count { role, now: None, after: None });
        counts.len() - 1
    });
    &mut counts[place]
}

/// A refusal without the words that say which file it is about.
fn said(error: &PolicyError) -> String {
    chain(&error.refusal)
}

async fn head(source: &Source, log: Log) -> Result<Option<(Vec<u8>, Checkpoint)>, RehearsalError> {
    let path = layout::checkpoint(log);
    let Some(bytes) = read(source, &path, MAX_NOTE).await? else { return Ok(None) };
    let note = Note::parse(&bytes, MAX_NOTE).ok();
    let checkpoint = note.and_then(|note| Checkpoint::parse(note.text()).ok());
    let place = source.name().to_owned();
    let checkpoint = checkpoint.ok_or(RehearsalError::NoCheckpoint { place, path })?;
    Ok(Some((bytes, checkpoint)))
}

async fn read(source: &Source, path: &RepoPath, limit: usize) -> Result<Option<Vec<u8>>, GetError> {
    match source.get(path, &Get::up_to(limit as u64)).await? {
        Got::Whole { bytes, .. } | Got::Part { bytes, .. } => Ok(Some(bytes)),
        Got::NotFound | Got::NotModified => Ok(None),
    }
}

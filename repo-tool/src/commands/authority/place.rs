//! What `authority status` and `authority check` look at: the authority's notes, and repositories.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use clap::Args;
use countersign_format::authority::AuthorityNote;
use countersign_format::layout;
use countersign_format::limits::MAX_AUTHORITY_NOTE;
use countersign_format::policy::{Chain, SignerTimes};
use countersign_format::time::Timestamp;
use countersign_store::authority::{Anchor, AuthorityError, Step, Walk};
use countersign_store::mirrors::chain;
use countersign_store::{Get, Got, HttpOptions, Location, Source};
use countersign_terminal::{ExitStatus, Failure, OrFail as _, Output};

use crate::commands::block_on;
use crate::commands::trust::{authority_failure, exit_of_get, warn_passed_over};
use crate::config::AuthorityConfig;
use crate::life::{Deadline, LifeError, Seen, Version, authority_deadline, look};
use crate::role_dir::{self, Role, RoleDir};

/// Where the notes are, and the repositories whose heads are looked at.
#[derive(Args, Debug)]
pub struct PlaceArgs {
    /// An authority's directory, a repository's directory or URL, or the file of a note
    #[arg(value_name = "DIR|URL|FILE")]
    place: String,
    /// A repository whose heads and directory are looked at, too
    #[arg(long, value_name = "URL|DIR")]
    repository: Vec<Location>,
}

/// What was found.
pub struct Known {
    /// The accepted versions, the oldest first.
    pub versions: Vec<Version>,
    /// The newest time of each key on the heads.
    pub times: SignerTimes,
    /// What lapses, the nearest first.
    pub deadlines: Vec<Deadline>,
    /// Why a repository says nothing, if one does.
    pub failure: Option<Failure>,
}

impl PlaceArgs {
    /// Reads the notes, and what the repositories show.
    pub fn read(&self, output: &Output) -> Result<Known, Failure> {
        let path = Path::new(&self.place);
        let (mut notes, own) = if path.is_file() {
            (Notes::of_file(path, &self.place)?, None)
        } else if path.join("config.toml").exists() {
            let (directory, _) = RoleDir::open::<AuthorityConfig>(path, Role::Authority)?;
            (read_notes(&Location::Directory(directory.public()), output)?, None)
        } else {
            if !path.exists() && !self.place.contains("://") {
                let error = format!("there is no {}", self.place);
                return Err(Failure::new(ExitStatus::Failed, error));
            }
            let location: Location = self.place.parse().or_fail(ExitStatus::Usage)?;
            (read_notes(&location, output)?, Some(location))
        };
        let mut seen = Seen::default();
        let mut failure = None;
        let mut serving = Vec::new();
        for location in own.iter().chain(&self.repository) {
            match notes.look_at(location, output)? {
                Ok((found, served)) => {
                    seen.join(found);
                    serving.push((location, served));
                }
                Err((error, exit)) => {
                    output.warning(error);
                    failure =
                        Some(Failure::new(exit, format!("{location} says nothing of its age")));
                }
            }
        }
        let Seen { times, mut deadlines } = seen;
        let newest = notes.newest();
        deadlines.push(authority_deadline(newest));
        for (location, served) in serving {
            if served.version < newest.version {
                let (older, newer) = (served.version, newest.version);
                output.detail(format!("{location} serves version {older}, and there is {newer}"));
                deadlines.push(authority_deadline(&served));
            }
        }
        deadlines.sort();
        deadlines.dedup();
        Ok(Known { versions: notes.versions, times, deadlines, failure })
    }
}

/// The notes that are known, and what clients begin with.
pub(super) struct Notes {
    /// The accepted versions, the oldest first.
    pub(super) versions: Vec<Version>,
    anchor: Anchor,
}

/// What a repository shows by the newest note that its clients go by; or why it cannot be judged.
type Looked = Result<(Seen, AuthorityNote), (String, ExitStatus)>;

impl Notes {
    fn of_file(path: &Path, name: &str) -> Result<Self, Failure> {
        let bytes = role_dir::read_file(path, MAX_AUTHORITY_NOTE)?;
        let chain = Chain::enroll(&bytes, name).or_fail(ExitStatus::Signature)?;
        let version =
            Version { note: AuthorityNote::clone(chain.newest()), written: written(path) };
        Ok(Self { versions: vec![version], anchor: Anchor::Note { bytes, file: name.to_owned() } })
    }

    fn newest(&self) -> &AuthorityNote {
        &self.versions.last().expect("reading finds one or fails").note
    }

    /// Judges a repository as its clients do: by the newest note that it leads them to, which may
    /// be behind the newest that is known, or ahead of it.
    fn look_at(&mut self, location: &Location, output: &Output) -> Result<Looked, Failure> {
        let source = Source::open(location, &HttpOptions::default());
        let followed = block_on(follow(&source, location, &self.anchor))?;
        let (versions, walk) = match followed {
            Ok(followed) => followed,
            Err(error) => {
                let failure = authority_failure(error);
                return Ok(Err((chain(failure.error()), failure.exit())));
            }
        };
        warn_passed_over(walk.passed_over(), output);
        let served = AuthorityNote::clone(walk.chain().newest());
        let known = self.newest().version;
        self.versions.extend(versions.into_iter().filter(|found| found.note.version > known));
        Ok(match block_on(look(&source, &served))? {
            Ok(seen) => Ok((seen, served)),
            Err(error) => Err((chain(&error), exit_of_look(&error))),
        })
    }
}

impl Known {
    /// The newest note.
    pub fn newest(&self) -> &AuthorityNote {
        &self.versions.last().expect("reading finds one or fails").note
    }
}

fn exit_of_look(error: &LifeError) -> ExitStatus {
    match error {
        LifeError::Get(error) => exit_of_get(error),
        LifeError::Missing { .. } => ExitStatus::Unreachable,
        LifeError::Policy { .. } => ExitStatus::Signature,
    }
}

/// The versions from 1 on that readers accept; those that they pass over are named.
pub(super) fn read_notes(location: &Location, output: &Output) -> Result<Notes, Failure> {
    let source = Source::open(location, &HttpOptions::default());
    let path = layout::authority(1);
    let got = block_on(source.get(&path, &Get::up_to(MAX_AUTHORITY_NOTE as u64)))?;
    let Got::Whole { bytes, .. } = got.or_fail(ExitStatus::Unreachable)? else {
        let error = format!("{} has no {path}", source.name());
        return Err(Failure::new(ExitStatus::Failed, error));
    };
    let anchor = Anchor::Note { bytes, file: path.to_string() };
    let followed = block_on(follow(&source, location, &anchor))?;
    let (versions, walk) = followed.map_err(authority_failure)?;
    warn_passed_over(walk.passed_over(), output);
    Ok(Notes { versions, anchor })
}

/// The accepted versions from the anchor on.
async fn follow(
    source: &Source,
    location: &Location,
    anchor: &Anchor,
) -> Result<(Vec<Version>, Walk), AuthorityError> {
    let mut walk = Walk::begin(source, anchor).await?;
    let version = |walk: &Walk| {
        let note = AuthorityNote::clone(walk.chain().newest());
        let written = file_of(location, note.version).and_then(|path| written(&path));
        Version { note, written }
    };
    let mut versions = vec![version(&walk)];
    loop {
        match walk.step(source).await? {
            Step::End => return Ok((versions, walk)),
            Step::Accepted { .. } => versions.push(version(&walk)),
            Step::PassedOver { .. } => {}
        }
    }
}

fn file_of(location: &Location, version: u64) -> Option<PathBuf> {
    match location {
        Location::Directory(path) => Some(path.join(layout::authority(version))),
        Location::Http(_) => None,
    }
}

/// When a file was written, as far as the file system says.
fn written(path: &Path) -> Option<Timestamp> {
    let time = fs::metadata(path).and_then(|metadata| metadata.modified()).ok()?;
    Timestamp::from_seconds(time.duration_since(UNIX_EPOCH).ok()?.as_secs()).ok()
}

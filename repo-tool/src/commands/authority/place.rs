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
use countersign_store::authority::{Anchor, Step, Walk};
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
        let (versions, own) = if path.is_file() {
            (vec![read_file(path, &self.place)?], None)
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
        let newest = &versions.last().expect("reading finds one or fails").note;
        let mut seen = Seen::default();
        let mut failure = None;
        for location in own.iter().chain(&self.repository) {
            match look_at(location, newest)? {
                Ok(found) => seen.join(found),
                Err(error) => {
                    output.warning(chain(&error));
                    let exit = exit_of_look(&error);
                    failure =
                        Some(Failure::new(exit, format!("{location} says nothing of its age")));
                }
            }
        }
        let Seen { times, mut deadlines } = seen;
        deadlines.push(authority_deadline(newest));
        deadlines.sort();
        Ok(Known { versions, times, deadlines, failure })
    }
}

impl Known {
    /// The newest note.
    pub fn newest(&self) -> &AuthorityNote {
        &self.versions.last().expect("reading finds one or fails").note
    }
}

fn look_at(
    location: &Location,
    newest: &AuthorityNote,
) -> Result<Result<Seen, LifeError>, Failure> {
    let source = Source::open(location, &HttpOptions::default());
    block_on(look(&source, newest))
}

fn exit_of_look(error: &LifeError) -> ExitStatus {
    match error {
        LifeError::Get(error) => exit_of_get(error),
        LifeError::Missing { .. } => ExitStatus::Unreachable,
        LifeError::Policy { .. } => ExitStatus::Signature,
    }
}

fn read_file(path: &Path, name: &str) -> Result<Version, Failure> {
    let bytes = role_dir::read_file(path, MAX_AUTHORITY_NOTE)?;
    let chain = Chain::enroll(&bytes, name).or_fail(ExitStatus::Signature)?;
    Ok(Version { note: AuthorityNote::clone(chain.newest()), written: written(path) })
}

/// The versions from 1 on that readers accept; those that they pass over are named.
fn read_notes(location: &Location, output: &Output) -> Result<Vec<Version>, Failure> {
    let source = Source::open(location, &HttpOptions::default());
    let (versions, walk) = block_on(walk(&source, location))??;
    warn_passed_over(walk.passed_over(), output);
    Ok(versions)
}

async fn walk(source: &Source, location: &Location) -> Result<(Vec<Version>, Walk), Failure> {
    let path = layout::authority(1);
    let got = source.get(&path, &Get::up_to(MAX_AUTHORITY_NOTE as u64)).await;
    let Got::Whole { bytes, .. } = got.or_fail(ExitStatus::Unreachable)? else {
        let error = format!("{} has no {path}", source.name());
        return Err(Failure::new(ExitStatus::Failed, error));
    };
    let anchor = Anchor::Note { bytes, file: path.to_string() };
    let mut walk = Walk::begin(source, &anchor).await.map_err(authority_failure)?;
    let version = |walk: &Walk| {
        let note = AuthorityNote::clone(walk.chain().newest());
        let written = file_of(location, note.version).and_then(|path| written(&path));
        Version { note, written }
    };
    let mut versions = vec![version(&walk)];
    loop {
        match walk.step(source).await.map_err(authority_failure)? {
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

//! `patchrepo distribution publish`.

use std::path::PathBuf;

use clap::Args;
use countersign_format::entry::{DistributionEntry, IndexRange};
use countersign_format::time::Timestamp;
use countersign_terminal::{ExitStatus, Failure, Output, Report};
use serde::Serialize;

use super::{PatchReport, open_locked};
use crate::commands::now;
use crate::commands::say::{WorkedWith, say_authority, say_directory, say_shown, say_unwatched};
use crate::distribution::Publication;
use crate::key_store::{PassphraseArgs, Passphrases};

/// Give the second signature: publish what was released and withdrawn
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  \
    patchrepo distribution publish /srv/distribution\n  \
    patchrepo distribution publish /srv/distribution --passphrase-file /run/keys/distribution\n\n\
    Writes below public/, which a web server serves: archives and countersigned notes of what is\n\
    newly released, the collection's log as sync fetched it with the second signature on its head,\n\
    and the log of decisions. A run that was interrupted is completed first.")]
pub struct PublishArgs {
    /// The distribution's directory
    #[arg(value_name = "DIR")]
    directory: PathBuf,
    #[command(flatten)]
    passphrase: PassphraseArgs,
}

#[derive(Serialize)]
struct PublishReport {
    directory: PathBuf,
    /// When the heads were signed.
    time: Option<Timestamp>,
    /// Entries of both logs.
    collection: u64,
    distribution: u64,
    /// Patches whose notes carry the second signature from now on.
    countersigned: Vec<PatchReport>,
    /// What the log says from now on.
    entries: Vec<EntryReport>,
    #[serde(flatten)]
    worked_with: WorkedWith,
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
enum EntryReport {
    Release { ring: String, patches: Vec<IndexRange> },
    Withdraw { ring: String, patches: Vec<IndexRange>, reason: String },
    Authority { version: u64 },
}

impl PublishReport {
    fn new(directory: PathBuf, publication: Publication, worked_with: WorkedWith) -> Self {
        let report = |(index, entry): &(u64, _)| PatchReport::new(*index, entry);
        Self {
            directory,
            time: publication.time,
            collection: publication.collection,
            distribution: publication.distribution,
            countersigned: publication.countersigned.iter().map(report).collect(),
            entries: publication.entries.into_iter().map(Into::into).collect(),
            worked_with,
        }
    }
}

impl From<DistributionEntry> for EntryReport {
    fn from(entry: DistributionEntry) -> Self {
        match entry {
            DistributionEntry::Release(release) => {
                Self::Release { ring: release.ring.to_string(), patches: release.patches }
            }
            DistributionEntry::Withdraw(withdraw) => Self::Withdraw {
                ring: withdraw.ring.to_string(),
                patches: withdraw.patches,
                reason: withdraw.reason.to_string(),
            },
            DistributionEntry::Authority(reference) => {
                Self::Authority { version: reference.version }
            }
        }
    }
}

impl Report for PublishReport {
    fn print(&self, output: &Output) {
        for patch in &self.countersigned {
            output.print_line(format!("countersigned {} ({})", patch.patch(), patch.base()));
        }
        for entry in &self.entries {
            output.print_line(match entry {
                EntryReport::Release { ring, patches } => {
                    format!("released to {ring}: {}", indexes(patches))
                }
                EntryReport::Withdraw { ring, patches, reason } => {
                    format!("withdrawn from {ring}: {} ({reason})", indexes(patches))
                }
                EntryReport::Authority { version } => format!("named authority/{version}"),
            });
        }
        let Self { collection, distribution, .. } = self;
        output.note(format!(
            "{} serves {collection} entries of the collection's log and {distribution} decisions; {}.",
            self.directory.display(),
            self.worked_with
        ));
    }
}

/// `entry 17`, `entries 17 to 42, 50`.
fn indexes(ranges: &[IndexRange]) -> String {
    let one = |range: &IndexRange| match range.end - range.start {
        1 => range.start.to_string(),
        _ => format!("{} to {}", range.start, range.end - 1),
    };
    let list: Vec<_> = ranges.iter().map(one).collect();
    let noun = if ranges.iter().map(|range| range.end - range.start).sum::<u64>() == 1 {
        "entry"
    } else {
        "entries"
    };
    format!("{noun} {}", list.join(", "))
}

/// Publishes and says what.
pub fn run(arguments: &PublishArgs, output: &Output) -> Result<ExitStatus, Failure> {
    let (distribution, _lock) = open_locked(&arguments.directory, output)?;
    let now = now()?;
    let mut session = distribution.session_without_keys(now)?;
    say_authority(session.authority(), distribution.directory(), now, output);
    say_directory(distribution.carry_directory(session.authority(), now)?.as_ref(), output);
    session.open_keys(&Passphrases::new(&arguments.passphrase))?;
    let publication = session.publish()?;
    say_unwatched(session.unwatched(), output);
    say_shown(session.authority(), output);
    let worked_with = WorkedWith::new(session.authority());
    let public = distribution.directory().public();
    output.report(&PublishReport::new(public, publication, worked_with));
    Ok(ExitStatus::Done)
}

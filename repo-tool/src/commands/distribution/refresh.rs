//! `patchrepo distribution refresh`.

use std::path::PathBuf;

use clap::Args;
use countersign_format::time::Timestamp;
use countersign_terminal::{ExitStatus, Failure, Output, Report};
use serde::Serialize;

use super::open_locked;
use crate::commands::due::{DueArgs, NothingDue};
use crate::commands::now;
use crate::commands::say::{say_authority, say_directory, say_shown, say_unwatched};
use crate::key_store::{PassphraseArgs, Passphrases};
use crate::publish::Assurances;

/// Sign both heads anew, so that clients see that they are current
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  \
    patchrepo distribution refresh /srv/distribution\n  \
    patchrepo distribution refresh /srv/distribution --clock-was-wrong\n\n\
    To be run often enough for the authority's max_age, after a sync, which brings the collection's\n\
    newer time. Also makes packs that publish left for later, and removes what was superseded.")]
pub struct RefreshArgs {
    /// The distribution's directory
    #[arg(value_name = "DIR")]
    directory: PathBuf,
    /// Sign with an earlier time than the last one: that clock was ahead
    #[arg(long)]
    clock_was_wrong: bool,
    /// Take the heads in public/ for the newest that were ever signed, after a restored backup
    #[arg(long)]
    adopt_public_head: bool,
    #[command(flatten)]
    due: DueArgs,
    #[command(flatten)]
    passphrase: PassphraseArgs,
}

#[derive(Serialize)]
struct RefreshReport {
    /// When the heads were signed.
    time: Timestamp,
    packs: usize,
    removed: usize,
}

impl Report for RefreshReport {
    fn print(&self, output: &Output) {
        output.print_field("signed", self.time);
        output.print_field("packs made", self.packs);
        output.print_field("files removed", self.removed);
    }
}

/// Refreshes and says when the heads were signed.
pub fn run(arguments: &RefreshArgs, output: &Output) -> Result<ExitStatus, Failure> {
    let (distribution, _lock) = open_locked(&arguments.directory, output)?;
    let now = now()?;
    // a timer's run that finds nothing due asks for no passphrase
    let mut session = distribution.session_without_keys(now)?;
    say_authority(session.authority(), distribution.directory(), now, output);
    say_directory(distribution.carry_directory(session.authority(), now)?.as_ref(), output);
    let DueArgs { force, .. } = arguments.due;
    let is_asked_for = force || arguments.clock_was_wrong || arguments.adopt_public_head;
    if !is_asked_for && !session.is_due(now, arguments.due.older_than())? {
        output.report(&NothingDue { refreshed: false });
        return Ok(ExitStatus::Done);
    }
    session.open_keys(&Passphrases::new(&arguments.passphrase))?;
    if arguments.adopt_public_head {
        session.adopt_public_heads()?;
    }
    let refreshed = session.refresh(Assurances { clock_was_wrong: arguments.clock_was_wrong })?;
    say_unwatched(session.unwatched(), output);
    say_shown(session.authority(), output);
    output.report(&RefreshReport {
        time: refreshed.time,
        packs: refreshed.packs,
        removed: refreshed.removed,
    });
    Ok(ExitStatus::Done)
}

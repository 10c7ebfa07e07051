//! `patchrepo collection refresh`.

use std::path::PathBuf;

use clap::Args;
use countersign_format::time::Timestamp;
use countersign_terminal::{ExitStatus, Failure, Output, Report};
use serde::Serialize;

use super::PublishedReport;
use crate::collection::Collection;
use crate::commands::due::{DueArgs, NothingDue};
use crate::commands::say::{say_authority, say_unwatched};
use crate::commands::{lock, now};
use crate::key_store::{PassphraseArgs, Passphrases};
use crate::publish::Assurances;

/// How the head is signed anew.
#[derive(Args, Debug)]
pub struct RefreshArgs {
    /// The collection's directory
    #[arg(value_name = "DIR")]
    directory: PathBuf,
    /// The clock was ahead when the head was signed last; sign at an earlier time
    #[arg(long)]
    clock_was_wrong: bool,
    /// public/ holds the newest head ever published, although the record of it is older or missing
    #[arg(long)]
    adopt_public_head: bool,
    #[command(flatten)]
    due: DueArgs,
    #[command(flatten)]
    passphrase: PassphraseArgs,
}

#[derive(Serialize)]
struct RefreshReport {
    /// When the head was signed.
    time: Timestamp,
    /// Packs that were missing and were made.
    packs: usize,
    /// Superseded files that were removed.
    removed: usize,
    #[serde(flatten)]
    published: PublishedReport,
}

impl Report for RefreshReport {
    fn print(&self, output: &Output) {
        if !self.published.patches.is_empty() || !self.published.authority.is_empty() {
            self.published.print(output);
        }
        output.print_field("signed", self.time);
        output.print_field("entries", self.published.size);
        output.print_field("note", &self.published.worked_with);
        if self.packs > 0 {
            output.note(format!("{} packs were made.", self.packs));
        }
        if self.removed > 0 {
            output.note(format!("{} superseded files were removed.", self.removed));
        }
    }
}

/// Signs the head anew.
pub fn run(arguments: &RefreshArgs, output: &Output) -> Result<ExitStatus, Failure> {
    let collection = Collection::open(&arguments.directory)?;
    let _lock = lock(collection.directory(), output)?;
    let now = now()?;
    // a timer's run that finds nothing due asks for no passphrase
    let mut session = collection.session_without_keys()?;
    say_authority(session.authority(), collection.directory(), now, output);
    let DueArgs { force, .. } = arguments.due;
    let is_asked_for = force || arguments.clock_was_wrong || arguments.adopt_public_head;
    if !is_asked_for && !session.is_due(now, arguments.due.older_than())? {
        output.report(&NothingDue { refreshed: false });
        return Ok(ExitStatus::Done);
    }
    session.open_keys(&Passphrases::new(&arguments.passphrase))?;
    if arguments.adopt_public_head {
        session.adopt_public_head()?;
    }
    let assurances = Assurances { clock_was_wrong: arguments.clock_was_wrong };
    let (publication, refreshed) = session.refresh(now, assurances)?;
    say_unwatched(session.unwatched(), output);
    output.report(&RefreshReport {
        time: refreshed.time,
        packs: refreshed.packs,
        removed: refreshed.removed,
        published: PublishedReport::new(&publication, session.authority()),
    });
    Ok(ExitStatus::Done)
}

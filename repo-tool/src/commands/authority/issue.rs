//! `patchrepo authority issue`.

use std::path::PathBuf;

use clap::Args;
use countersign_format::limits::MAX_NOTE;
use countersign_terminal::{ExitStatus, Failure, Output, Report};
use serde::Serialize;

use super::listed::{keys_of, warn_listed};
use super::open_locked;
use crate::authority::Preview;
use crate::commands::{Compared, Delivered, DestinationArgs, now};
use crate::key_store::{PassphraseArgs, Passphrases};
use crate::life::KeyLife;
use crate::role_dir;

/// Answer a server's request with the partial key for its identity
///
/// Shows who asks and the fingerprint of the request, and asks before anything is granted.
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  \
    patchrepo authority issue /srv/authority request.json -o grant.json\n  \
    patchrepo authority issue lab request.json -o grant.json --yes\n\n\
    Make sure that the request comes from the server whose name it carries: call its people, and\n\
    compare the fingerprint that is shown here with the one that they saw. The same request gets\n\
    the same grant again, never a second one.")]
pub struct IssueArgs {
    /// The authority's directory
    #[arg(value_name = "DIR")]
    directory: PathBuf,
    /// The server's request
    #[arg(value_name = "REQUEST")]
    request: PathBuf,
    /// Grant without being asked: the fingerprint was compared
    #[arg(short, long)]
    yes: bool,
    #[command(flatten)]
    destination: DestinationArgs,
    #[command(flatten)]
    passphrase: PassphraseArgs,
}

#[derive(Serialize)]
struct Answered {
    id: String,
    role: String,
    epoch: u32,
    new: bool,
    /// Keys that the name has already.
    listed: Vec<KeyLife>,
    /// Epochs that the name was granted and that no version lists.
    unlisted: Vec<u32>,
    #[serde(flatten)]
    fingerprint: Compared,
    #[serde(flatten)]
    delivered: Delivered,
}

impl Report for Answered {
    fn print(&self, output: &Output) {
        let Self { id, role, epoch, .. } = self;
        let again = if self.new { "" } else { " again: it was granted before" };
        output.note(format!("Granted to {id} as {role}, epoch {epoch}{again}."));
        output.note(format!("Next: on that server, patchrepo {role} accept."));
    }
}

/// Shows what is asked for, asks, and delivers the grant.
pub fn run(arguments: &IssueArgs, output: &Output) -> Result<ExitStatus, Failure> {
    let request = role_dir::read_file(&arguments.request, MAX_NOTE)?;
    let (authority, _lock) = open_locked(&arguments.directory, output)?;
    let mut preview = authority.preview(&request, now()?)?;
    let listed = keys_of(&authority, &preview.id, output)?;
    // of a log that was given up, some versions before
    preview.unlisted.retain(|epoch| !listed.iter().any(|life| life.epoch == Some(*epoch)));
    let fingerprint = Compared::of(&request);
    show(&preview, &listed, &fingerprint, output);
    if !output.confirm("Is that what its people read to you?", arguments.yes)? {
        return Err(Failure::new(ExitStatus::Failed, "nothing was granted").hint(
            "find out who asks under that name; a request that was never granted does no harm",
        ));
    }
    let passphrases = Passphrases::new(&arguments.passphrase);
    let issued = authority.issue(&request, &passphrases, now()?)?;
    let delivered = arguments.destination.deliver(&issued.grant.to_bytes(), output)?;
    output.report(&Answered {
        id: issued.grant.id.to_string(),
        role: issued.grant.role.to_string(),
        epoch: issued.grant.epoch,
        new: issued.new,
        listed,
        unlisted: preview.unlisted,
        fingerprint,
        delivered,
    });
    Ok(ExitStatus::Done)
}

/// Who asks, and what people compare.
fn show(preview: &Preview, listed: &[KeyLife], fingerprint: &Compared, output: &Output) {
    let Preview { id, role, epoch, new, unlisted } = preview;
    let again = if *new { "" } else { ", which was granted before" };
    output.note(format!("{id} asks for a key as {role}, epoch {epoch}{again}."));
    fingerprint.say(output);
    if *new {
        warn_listed(id.as_str(), listed, output);
        warn_unlisted(id.as_str(), unlisted, output);
    }
}

/// Warns of grants that nobody brought an acceptance of: a stranger may have been first.
fn warn_unlisted(id: &str, epochs: &[u32], output: &Output) {
    if epochs.is_empty() {
        return;
    }
    let epochs: Vec<_> = epochs.iter().map(ToString::to_string).collect();
    output.warning(format!(
        "{id} was granted epoch {} before, and no version lists that: ask its people whether it was \
         they who asked. If not, a stranger did: admit no acceptance of that epoch. This one is good \
         all the same",
        epochs.join(", ")
    ));
}

//! `patchrepo authority issue`.

use std::path::PathBuf;

use clap::Args;
use countersign_format::limits::MAX_NOTE;
use countersign_terminal::{ExitStatus, Failure, Output, Report};
use serde::Serialize;

use super::listed::{keys_of, warn_listed};
use super::open_locked;
use crate::commands::{Compared, Delivered, DestinationArgs, now};
use crate::key_store::{PassphraseArgs, Passphrases};
use crate::life::KeyLife;
use crate::role_dir;

/// Answer a server's request with the partial key for its identity
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  \
    patchrepo authority issue /srv/authority request.json -o grant.json\n\n\
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
        self.fingerprint.say(output);
        if self.new {
            warn_listed(id, &self.listed, output);
        }
        output.note(format!("Next: on that server, patchrepo {role} accept."));
    }
}

/// Issues the grant and delivers it.
pub fn run(arguments: &IssueArgs, output: &Output) -> Result<ExitStatus, Failure> {
    let request = role_dir::read_file(&arguments.request, MAX_NOTE)?;
    let (authority, _lock) = open_locked(&arguments.directory, output)?;
    let passphrases = Passphrases::new(&arguments.passphrase);
    let issued = authority.issue(&request, &passphrases, now()?)?;
    let delivered = arguments.destination.deliver(&issued.grant.to_bytes(), output)?;
    output.report(&Answered {
        id: issued.grant.id.to_string(),
        role: issued.grant.role.to_string(),
        epoch: issued.grant.epoch,
        new: issued.new,
        listed: keys_of(&authority, &issued.grant.id, output)?,
        fingerprint: Compared::of(&request),
        delivered,
    });
    Ok(ExitStatus::Done)
}

//! `patchrepo collection accept`, `patchrepo distribution accept`.

use std::path::PathBuf;

use clap::Args;
use countersign_format::authority::PointText;
use countersign_format::issue::{Acceptance, Grant};
use countersign_format::layout::Log;
use countersign_format::limits::MAX_NOTE;
use countersign_terminal::{ExitStatus, Failure, OrFail as _, Output, Report};
use serde::Serialize;

use super::parse_point;
use crate::authority::key_line;
use crate::commands::{Compared, Delivered, DestinationArgs, lock};
use crate::config::ServerConfig;
use crate::key_store::{PassphraseArgs, Passphrases};
use crate::{role_dir, server};

/// Which grant is taken.
#[derive(Args, Debug)]
pub struct AcceptArgs {
    /// The server's directory
    #[arg(value_name = "DIR")]
    directory: PathBuf,
    /// The authority's answer
    #[arg(value_name = "GRANT")]
    grant: PathBuf,
    /// The authority's public point, as its people told you; asked for if you never gave it
    #[arg(long, value_name = "BASE64", value_parser = parse_point)]
    kgc: Option<PointText>,
    /// Trust the public point in the grant without being asked
    #[arg(short, long)]
    yes: bool,
    #[command(flatten)]
    destination: DestinationArgs,
    #[command(flatten)]
    passphrase: PassphraseArgs,
}

#[derive(Serialize)]
struct Accepted {
    id: String,
    epoch: u32,
    /// The key as the authority's people and the holders are shown it.
    key: String,
    #[serde(flatten)]
    fingerprint: Compared,
    #[serde(flatten)]
    delivered: Delivered,
}

impl Report for Accepted {
    fn print(&self, output: &Output) {
        output.note(format!("{} holds its key of epoch {} now.", self.id, self.epoch));
        output.note(format!("Its key: {}", self.key));
        self.fingerprint.say(output);
        output.note("Next: take the acceptance to the authority (patchrepo authority admit).");
    }
}

/// Takes the grant and delivers the acceptance.
pub fn run(role: Log, arguments: &AcceptArgs, output: &Output) -> Result<ExitStatus, Failure> {
    let (directory, config) = server::open(&arguments.directory, role)?;
    let bytes = role_dir::read_file(&arguments.grant, MAX_NOTE)?;
    let grant = Grant::parse(&bytes).or_fail(ExitStatus::Failed)?;
    let told = told(arguments, &config, &grant, output)?;
    let _lock = lock(&directory, output)?;
    let passphrases = Passphrases::new(&arguments.passphrase);
    let note = server::accept(&directory, &config.name, role, &bytes, told, &passphrases)?;
    let bytes = note.to_bytes();
    let acceptance = Acceptance::verify(&bytes, "acceptance").or_fail(ExitStatus::Failed)?;
    let key = key_line(&acceptance.server_key());
    let (id, epoch, fingerprint) = (grant.id.to_string(), grant.epoch, Compared::of(&bytes));
    let delivered = arguments.destination.deliver(&bytes, output)?;
    output.report(&Accepted { id, epoch, key, fingerprint, delivered });
    Ok(ExitStatus::Done)
}

/// The authority's public point by another way than the grant came; in the end a person's word.
fn told(
    arguments: &AcceptArgs,
    config: &ServerConfig,
    grant: &Grant,
    output: &Output,
) -> Result<PointText, Failure> {
    if let Some(told) = arguments.kgc.or(config.kgc) {
        return Ok(told);
    }
    let question = format!(
        "The grant names the authority's public point as {}.\nIs that what its people told you?",
        grant.kgc
    );
    if output.confirm(question, arguments.yes)? {
        return Ok(grant.kgc);
    }
    Err(Failure::new(ExitStatus::Failed, "the grant was not accepted")
        .hint("ask the authority's people for its public point and give it with --kgc"))
}

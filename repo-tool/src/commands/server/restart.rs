//! `patchrepo collection restart`, `patchrepo distribution restart`.

use std::path::PathBuf;

use clap::Args;
use countersign_format::layout::Log;
use countersign_terminal::{ExitStatus, Failure, Output, Report};
use serde::Serialize;

use crate::collection::Collection;
use crate::commands::say::{say_authority, say_unwatched};
use crate::commands::{lock, now};
use crate::distribution::Distribution;
use crate::key_store::{PassphraseArgs, Passphrases};
use crate::publish::Beginning;
use crate::round::describe_entry;

/// What is kept of the log that is left.
#[derive(Args, Debug)]
pub struct RestartArgs {
    /// The server's directory
    #[arg(value_name = "DIR")]
    directory: PathBuf,
    /// How many of its entries the new log begins with: those before the fork
    #[arg(long, value_name = "N")]
    keep: u64,
    #[command(flatten)]
    passphrase: PassphraseArgs,
}

#[derive(Serialize)]
struct Restarted {
    /// The new log's origin.
    origin: String,
    /// Entries that were kept.
    kept: u64,
    /// What of the left log's later entries the new one says again, in words.
    repeated: Vec<String>,
    /// Entries of the new log.
    size: u64,
}

impl Restarted {
    fn new(role: Log, origin: String, begun: &Beginning, size: u64) -> Self {
        let words = |entry: &Vec<u8>| describe_entry(role, &String::from_utf8_lossy(entry));
        let repeated = begun.repeated().iter().map(words).collect();
        Self { origin, kept: begun.kept, repeated, size }
    }
}

impl Report for Restarted {
    fn print(&self, output: &Output) {
        output.print_field("origin", &self.origin);
        output.print_field("kept", format!("{} entries", self.kept));
        for entry in &self.repeated {
            output.print_field("repeated", entry);
        }
        output.print_field("entries", self.size);
        output.note("What was left is below state/left/ of the server's directory.");
    }
}

/// Begins the log anew and publishes it.
pub fn run(role: Log, arguments: &RestartArgs, output: &Output) -> Result<ExitStatus, Failure> {
    let passphrases = Passphrases::new(&arguments.passphrase);
    let restarted = match role {
        Log::Collection => restart_collection(arguments, &passphrases, output)?,
        Log::Distribution => restart_distribution(arguments, &passphrases, output)?,
    };
    output.report(&restarted);
    Ok(ExitStatus::Done)
}

fn restart_collection(
    arguments: &RestartArgs,
    passphrases: &Passphrases,
    output: &Output,
) -> Result<Restarted, Failure> {
    let collection = Collection::open(&arguments.directory)?;
    let _lock = lock(collection.directory(), output)?;
    let now = now()?;
    let mut session = collection.session(passphrases)?;
    say_authority(session.authority(), collection.directory(), now, output);
    let (begun, publication) = session.restart(arguments.keep, now)?;
    say_unwatched(session.unwatched(), output);
    let origin = session.authority().chain().newest().collection.origin.to_string();
    Ok(Restarted::new(Log::Collection, origin, &begun, publication.size))
}

fn restart_distribution(
    arguments: &RestartArgs,
    passphrases: &Passphrases,
    output: &Output,
) -> Result<Restarted, Failure> {
    let distribution = Distribution::open(&arguments.directory)?;
    let _lock = lock(distribution.directory(), output)?;
    let now = now()?;
    let mut session = distribution.session(passphrases, now)?;
    say_authority(session.authority(), distribution.directory(), now, output);
    let (begun, publication) = session.restart(arguments.keep)?;
    say_unwatched(session.unwatched(), output);
    let origin = session.origin()?.to_string();
    Ok(Restarted::new(Log::Distribution, origin, &begun, publication.distribution))
}

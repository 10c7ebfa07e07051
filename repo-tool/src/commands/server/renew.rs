//! `patchrepo collection renew`, `patchrepo distribution renew`.

use std::path::PathBuf;

use clap::Args;
use countersign_format::layout::Log;
use countersign_terminal::{ExitStatus, Failure, Output};

use super::Asked;
use crate::commands::lock;
use crate::key_store::{NewPassphraseArgs, Passphrases};
use crate::server;

/// Which server asks.
#[derive(Args, Debug)]
pub struct RenewArgs {
    /// The server's directory
    #[arg(value_name = "DIR")]
    directory: PathBuf,
    /// Write a copy of the request to FILE
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    #[command(flatten)]
    passphrase: NewPassphraseArgs,
}

/// Makes a further secret and the request for it.
pub fn run(role: Log, arguments: &RenewArgs, output: &Output) -> Result<ExitStatus, Failure> {
    let (directory, config) = server::open(&arguments.directory, role)?;
    let _lock = lock(&directory, output)?;
    let passphrases = Passphrases::for_new_keys(&arguments.passphrase);
    let request = server::renew(&directory, &config.name, role, &passphrases)?;
    output.report(&Asked::new(&directory, request, arguments.output.as_deref())?);
    Ok(ExitStatus::Done)
}

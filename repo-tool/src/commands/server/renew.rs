//! `patchrepo collection renew`, `patchrepo distribution renew`.

use std::path::PathBuf;

use clap::Args;
use countersign_format::layout::Log;
use countersign_terminal::{ExitStatus, Failure, Output};

use super::AskedReport;
use crate::commands::lock;
use crate::key_store::{KeyLocation, NewPassphraseArgs, Passphrases};
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
    /// Sign with the ordinary key at this place, such as one born in hardware, and not with one
    /// that is made together with the authority: file:PATH, pkcs11:…, exec:COMMAND
    #[arg(long, value_name = "LOCATION")]
    signer: Option<KeyLocation>,
    #[command(flatten)]
    passphrase: NewPassphraseArgs,
}

/// Makes a further secret and the request for it.
pub fn run(role: Log, arguments: &RenewArgs, output: &Output) -> Result<ExitStatus, Failure> {
    let (directory, config) = server::open(&arguments.directory, role)?;
    let _lock = lock(&directory, output)?;
    let passphrases = Passphrases::for_new_keys(&arguments.passphrase);
    let signer = arguments.signer.as_ref();
    let asked = server::renew(&directory, &config.name, role, signer, &passphrases)?;
    let copy = arguments.output.as_deref();
    output.report(&AskedReport::new(&directory, &config.name, asked, signer, copy)?);
    Ok(ExitStatus::Done)
}

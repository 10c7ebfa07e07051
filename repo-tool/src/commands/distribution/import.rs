//! `patchrepo distribution import`.

use std::path::PathBuf;

use clap::Args;
use countersign_terminal::{ExitStatus, Failure, Output};

use crate::commands::round::{Brought, StandingReport, read_brought};
use crate::commands::{lock, now};
use crate::distribution::Distribution;

/// Take the signatures that the holder of a key, or a witness, brought
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  \
    patchrepo distribution import /srv/distribution signatures.json\n  \
    patchrepo distribution import /srv/distribution witness.lines\n\n\
    All of the file is taken or nothing: every signature must be of something that waits for it, by a\n\
    key that the authority lists, good, and no older than what waits.")]
pub struct ImportArgs {
    /// The distribution's directory
    #[arg(value_name = "DIR")]
    directory: PathBuf,
    /// What `patchrepo sign` or `patchrepo witness run` wrote
    #[arg(value_name = "SIGNATURES")]
    signatures: PathBuf,
}

/// Takes them and says who is still to sign.
pub fn run(arguments: &ImportArgs, output: &Output) -> Result<ExitStatus, Failure> {
    let distribution = Distribution::open(&arguments.directory)?;
    let _lock = lock(distribution.directory(), output)?;
    let (imported, standings) = match read_brought(&arguments.signatures)? {
        Brought::Signatures(signatures) => distribution.import(&signatures, now()?)?,
        Brought::Cosignatures(lines) => distribution.import_cosignatures(&lines, now()?)?,
    };
    output.report(&StandingReport::new(Some(imported), standings));
    Ok(ExitStatus::Done)
}

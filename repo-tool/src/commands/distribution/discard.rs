//! `patchrepo distribution discard`.

use std::path::PathBuf;

use clap::Args;
use countersign_terminal::{ExitStatus, Failure, Output};

use super::open_locked;
use crate::commands::now;
use crate::commands::round::RoundDiscarded;

/// Give up a publication that has begun and waits for signatures, or was interrupted
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  \
    patchrepo distribution discard /srv/distribution --round\n\n\
    What was decided waits again; take it back with withdraw. Refused once somebody signed the head:\n\
    then complete it with publish.")]
pub struct DiscardArgs {
    /// The distribution's directory
    #[arg(value_name = "DIR")]
    directory: PathBuf,
    /// That it is the publication, and not a decision, that is given up
    #[arg(long, required = true)]
    round: bool,
}

/// Gives it up.
pub fn run(arguments: &DiscardArgs, output: &Output) -> Result<ExitStatus, Failure> {
    let (distribution, _lock) = open_locked(&arguments.directory, output)?;
    let entries = distribution.session_without_keys(now()?)?.discard_round()?;
    output.report(&RoundDiscarded { entries });
    Ok(ExitStatus::Done)
}

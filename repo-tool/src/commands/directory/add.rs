//! `patchrepo directory add`.

use std::path::PathBuf;

use clap::Args;
use countersign_format::text::DistributionName;
use countersign_terminal::{ExitStatus, Failure, Output};

use super::{Prepared, open_locked};

/// List a base URL for a distribution in the next version
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  \
    patchrepo directory add /srv/directory https://m1.example.net/patches/\n  \
    patchrepo directory add /srv/directory https://192.0.2.10/ --distribution north --first")]
pub struct AddArgs {
    /// The directory's directory
    #[arg(value_name = "DIR")]
    directory: PathBuf,
    /// The base URL
    #[arg(value_name = "URL")]
    url: String,
    /// Which distribution is read there
    #[arg(long, value_name = "NAME", default_value = "main")]
    distribution: DistributionName,
    /// Let clients try it before the others
    #[arg(long)]
    first: bool,
}

/// Lists it and shows the next version.
pub fn run(arguments: &AddArgs, output: &Output) -> Result<ExitStatus, Failure> {
    let (directory, _lock) = open_locked(&arguments.directory, output)?;
    directory.add(&arguments.distribution, &arguments.url, arguments.first)?;
    output.report(&Prepared { servers: directory.servers()? });
    Ok(ExitStatus::Done)
}

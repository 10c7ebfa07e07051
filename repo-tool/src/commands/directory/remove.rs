//! `patchrepo directory remove`.

use std::path::PathBuf;

use clap::Args;
use countersign_format::text::DistributionName;
use countersign_terminal::{ExitStatus, Failure, Output};

use super::{Prepared, open_locked};

/// No longer list a base URL in the next version
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  \
    patchrepo directory remove /srv/directory https://m1.example.net/patches/")]
pub struct RemoveArgs {
    /// The directory's directory
    #[arg(value_name = "DIR")]
    directory: PathBuf,
    /// The base URL
    #[arg(value_name = "URL")]
    url: String,
    /// Which distribution was read there
    #[arg(long, value_name = "NAME", default_value = "main")]
    distribution: DistributionName,
}

/// Removes it and shows the next version.
pub fn run(arguments: &RemoveArgs, output: &Output) -> Result<ExitStatus, Failure> {
    let (directory, _lock) = open_locked(&arguments.directory, output)?;
    directory.remove(&arguments.distribution, &arguments.url)?;
    output.report(&Prepared { servers: directory.servers()? });
    Ok(ExitStatus::Done)
}

//! `patchrepo directory add`.

use std::num::NonZeroU16;
use std::path::PathBuf;

use clap::Args;
use countersign_format::directory::ServerUrl;
use countersign_format::text::{DistributionName, RegionName};
use countersign_terminal::{ExitStatus, Failure, Output};

use super::{Prepared, open_locked};

/// List a base URL for a distribution in the next version
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  \
    patchrepo directory add /srv/directory https://m1.example.net/patches/\n  \
    patchrepo directory add /srv/directory https://192.0.2.10/ --distribution north --first\n  \
    patchrepo directory add /srv/directory https://eu.example.net/ --region eu --weight 30\n\n\
    Clients ask servers of their own region first; of each region those with a weight before the\n\
    others, by turns: one with weight 30 is the first choice of three times as many machines as one\n\
    with weight 10. Those without are asked in the order that directory show has.")]
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
    /// Let clients try it before the others that have no weight either
    #[arg(long, conflicts_with = "weight")]
    first: bool,
    /// Its share of the machines against that of the others, 1 to 65535
    #[arg(long, value_name = "N")]
    weight: Option<NonZeroU16>,
    /// Where it is: machines with this `region` in their settings ask it first
    #[arg(long, value_name = "REGION")]
    region: Option<RegionName>,
}

/// Lists it and shows the next version.
pub fn run(arguments: &AddArgs, output: &Output) -> Result<ExitStatus, Failure> {
    let (directory, _lock) = open_locked(&arguments.directory, output)?;
    let AddArgs { url, weight, region, .. } = arguments;
    let url = ServerUrl { url: url.clone(), weight: *weight, region: region.clone() };
    directory.add(&arguments.distribution, url, arguments.first)?;
    output.report(&Prepared { servers: directory.servers()? });
    Ok(ExitStatus::Done)
}

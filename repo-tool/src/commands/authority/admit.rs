//! `patchrepo authority admit`.

use std::path::PathBuf;

use clap::Args;
use countersign_format::key::KeyName;
use countersign_format::limits::MAX_NOTE;
use countersign_format::text::DistributionName;
use countersign_terminal::{ExitStatus, Failure, Output};

use super::{Prepared, open_locked};
use crate::authority::Admission;
use crate::commands::now;
use crate::role_dir;

/// Verify a server's proof that it holds its key, and list the key in the next version
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  \
    patchrepo authority admit /srv/authority acceptance.txt\n  \
    patchrepo authority admit /srv/authority acceptance.txt --distribution north")]
pub struct AdmitArgs {
    /// The authority's directory
    #[arg(value_name = "DIR")]
    directory: PathBuf,
    /// The server's acceptance
    #[arg(value_name = "ACCEPTANCE")]
    acceptance: PathBuf,
    /// Which distribution the key is of, if it is one's; `main` unless given
    #[arg(long, value_name = "NAME")]
    distribution: Option<DistributionName>,
    /// The log's name, with the first key of a role; the server's name unless given
    #[arg(long, value_name = "NAME")]
    origin: Option<KeyName>,
}

/// Lists the key and shows the next version.
pub fn run(arguments: AdmitArgs, output: &Output) -> Result<ExitStatus, Failure> {
    let acceptance = role_dir::read_file(&arguments.acceptance, MAX_NOTE)?;
    let (authority, _lock) = open_locked(&arguments.directory, output)?;
    let admission = Admission { distribution: arguments.distribution, origin: arguments.origin };
    let file = arguments.acceptance.display().to_string();
    let (key, draft) = authority.admit(&acceptance, &file, &admission, now()?)?;
    output.note(format!("{} proved that it holds its key of epoch {}.", key.id, key.epoch));
    output.report(&Prepared::new(&authority, &draft));
    Ok(ExitStatus::Done)
}

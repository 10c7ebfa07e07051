//! `patchrepo authority admit`.

use std::path::PathBuf;

use clap::Args;
use countersign_format::key::KeyName;
use countersign_format::limits::MAX_NOTE;
use countersign_format::text::DistributionName;
use countersign_terminal::{ExitStatus, Failure, Output, Report};
use serde::Serialize;

use super::listed::{keys_of, warn_listed};
use super::{Prepared, open_locked};
use crate::authority::{Admission, key_line};
use crate::commands::{Compared, now};
use crate::role_dir;

/// Verify a server's proof that it holds its key, and list the key in the next version
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  \
    patchrepo authority admit /srv/authority acceptance.txt\n  \
    patchrepo authority admit /srv/authority acceptance.txt --distribution north\n  \
    patchrepo authority admit /srv/authority request.json --ordinary-key\n\n\
    An ordinary key, such as one born in hardware, is bound to its server by nothing but the\n\
    authority's word: make sure that it is theirs before you admit it.")]
pub struct AdmitArgs {
    /// The authority's directory
    #[arg(value_name = "DIR")]
    directory: PathBuf,
    /// The server's acceptance; with --ordinary-key, its request
    #[arg(value_name = "ACCEPTANCE")]
    acceptance: PathBuf,
    /// List an ordinary key, such as one born in hardware, which no grant made
    #[arg(long)]
    ordinary_key: bool,
    /// Which distribution the key is of, if it is one's; `main` unless given
    #[arg(long, value_name = "NAME")]
    distribution: Option<DistributionName>,
    /// The log's name, with the first key of a role; the server's name unless given
    #[arg(long, value_name = "NAME")]
    origin: Option<KeyName>,
}

#[derive(Serialize)]
struct Admitted {
    #[serde(flatten)]
    fingerprint: Compared,
    #[serde(flatten)]
    prepared: Prepared,
}

impl Report for Admitted {
    fn print(&self, output: &Output) {
        self.prepared.print(output);
    }
}

/// Lists the key and shows the next version.
pub fn run(arguments: AdmitArgs, output: &Output) -> Result<ExitStatus, Failure> {
    let acceptance = role_dir::read_file(&arguments.acceptance, MAX_NOTE)?;
    let (authority, _lock) = open_locked(&arguments.directory, output)?;
    let fingerprint = Compared::of(&acceptance);
    let admission = Admission { distribution: arguments.distribution, origin: arguments.origin };
    let file = arguments.acceptance.display().to_string();
    let (key, draft) = if arguments.ordinary_key {
        authority.admit_ordinary(&acceptance, &file, &admission, now()?)?
    } else {
        authority.admit(&acceptance, &file, &admission, now()?)?
    };
    output.note(format!("{} proved that it holds its key of epoch {}.", key.id, key.epoch));
    output.note(format!("Its key: {}", key_line(&key)));
    fingerprint.say(output);
    warn_listed(key.id.as_str(), &keys_of(&authority, &key.id, output)?, output);
    output.report(&Admitted { fingerprint, prepared: Prepared::new(&authority, &draft) });
    Ok(ExitStatus::Done)
}

//! `patchrepo authority publish`.

use std::path::PathBuf;

use clap::Args;
use countersign_format::hash::Hash32;
use countersign_format::layout;
use countersign_format::words::to_words;
use countersign_store::Location;
use countersign_terminal::{ExitStatus, Failure, Output, Report};
use serde::Serialize;

use super::{open_locked, rehearsal};
use crate::commands::now;

/// Publish the next version, once enough keys have signed it
///
/// With --dry-run nothing is written, and the exit code is not 0 where signatures are missing or
/// clients would refuse what the repositories serve now.
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  \
    patchrepo authority publish /srv/authority --dry-run --repository https://patches.example.org/\n  \
    patchrepo authority publish /srv/authority\n\n\
    The note is written below public/authority/. Servers take it from there; clients get it from\n\
    the distribution.")]
pub struct PublishArgs {
    /// The authority's directory
    #[arg(value_name = "DIR")]
    directory: PathBuf,
    /// Publish nothing: show which keys would count, who has signed, and what clients would accept
    #[arg(long)]
    dry_run: bool,
    /// A repository whose heads and patches are judged by the next version; may be repeated
    #[arg(long, value_name = "URL|DIR", requires = "dry_run")]
    repository: Vec<Location>,
}

#[derive(Serialize)]
struct Published {
    version: u64,
    file: PathBuf,
    sha256: Hash32,
    words: String,
}

impl Report for Published {
    fn print(&self, output: &Output) {
        output.print_field("version", self.version);
        output.print_field("file", self.file.display());
        output.print_field("sha256", self.sha256);
        output.print_field("in words", &self.words);
        output.print_field("enrol with", format!("--authority sha256:{}", self.sha256));
    }
}

/// Publishes and says where; or shows what that would come to.
pub fn run(arguments: &PublishArgs, output: &Output) -> Result<ExitStatus, Failure> {
    if arguments.dry_run {
        return rehearsal::run(&arguments.directory, &arguments.repository, output);
    }
    let (mut authority, _lock) = open_locked(&arguments.directory, output)?;
    let chain = authority.publish(now()?)?;
    let version = chain.newest().version;
    let file = authority.directory().public().join(layout::authority(version));
    let words = to_words(&chain.fingerprint());
    output.report(&Published { version, file, sha256: chain.fingerprint(), words });
    Ok(ExitStatus::Done)
}

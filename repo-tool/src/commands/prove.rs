//! `patchrepo prove`.

use std::path::{Path, PathBuf};

use clap::Args;
use countersign_format::hash::Hash32;
use countersign_store::DirectoryWriter;
use countersign_terminal::{ExitStatus, Failure, Output, Report};
use serde::Serialize;

use super::narrow::NarrowArgs;
use super::{Delivered, DestinationArgs};
use crate::index::PatchIndex;
use crate::patch_selector::PatchSelector;
use crate::prove::{ProveError, prove};
use crate::publish::PublishError;

/// Make an offline proof that a patch is in the collection's log
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  \
    patchrepo prove /srv/distribution/public acme-agent@2.1.1 -o acme-agent.tlog-proof\n  \
    patchrepo prove /srv/mirror acme-agent@2.1.1 --base none -o acme-agent.tlog-proof\n\n\
    The proof holds the log's head with its signatures. Along with the archive and its note it\n\
    installs where there is no network. Its form is C2SP's tlog-proof.")]
pub struct ProveArgs {
    /// The repository's directory, or that of a collection or distribution
    #[arg(value_name = "DIR")]
    directory: PathBuf,
    /// The patch
    #[arg(value_name = "NAME@VERSION")]
    patch: PatchSelector,
    #[command(flatten)]
    narrow: NarrowArgs,
    #[command(flatten)]
    destination: DestinationArgs,
}

#[derive(Serialize)]
struct Shown {
    patch: String,
    index: u64,
    archive: Hash32,
    proof: Delivered,
}

impl Report for Shown {
    fn print(&self, output: &Output) {
        if let Delivered::File { file } = &self.proof {
            output.note(format!(
                "The proof of {}, entry {}, is in {}.",
                self.patch,
                self.index,
                file.display()
            ));
        }
    }
}

/// Proves, and writes the proof.
pub fn run(arguments: &ProveArgs, output: &Output) -> Result<ExitStatus, Failure> {
    let public = public(&arguments.directory);
    let selector = arguments.narrow.narrow(&arguments.patch);
    let (files, index) = (DirectoryWriter::new(&public), PatchIndex::beside(&public));
    let proven = prove(&files, index.as_ref(), &selector).map_err(failure)?;
    let shown = Shown {
        patch: proven.entry.identity().to_string(),
        index: proven.proof.index,
        archive: proven.entry.archive.sha256,
        proof: arguments.destination.deliver(&proven.proof.to_bytes(), output)?,
    };
    output.report(&shown);
    Ok(ExitStatus::Done)
}

/// A role's directory holds the repository in `public/`.
fn public(directory: &Path) -> PathBuf {
    let public = directory.join("public");
    if public.is_dir() { public } else { directory.to_owned() }
}

fn failure(error: ProveError) -> Failure {
    let (exit, hint) = match &error {
        ProveError::NoPatch(_) => (ExitStatus::NotFound, None),
        ProveError::Several { .. } => {
            (ExitStatus::Usage, Some("narrow it down with --platform and --base"))
        }
        ProveError::Tree { .. } | ProveError::Log(PublishError::Damaged { .. }) => {
            (ExitStatus::Failed, Some("see what is wrong with: patchrepo verify"))
        }
        _ => (ExitStatus::Failed, None),
    };
    Failure::new(exit, error).maybe_hint(hint)
}

//! `patchrepo collection revoke`.

use std::path::PathBuf;

use clap::Args;
use countersign_format::text::Line;
use countersign_terminal::{ExitStatus, Failure, Output};

use super::PublishedReport;
use crate::collection::{Collection, Revocation};
use crate::commands::narrow::NarrowArgs;
use crate::commands::say::{say_authority, say_unwatched};
use crate::commands::{lock, now};
use crate::key_store::{PassphraseArgs, Passphrases};
use crate::patch_selector::PatchSelector;

/// What is revoked.
#[derive(Args, Debug)]
pub struct RevokeArgs {
    /// The collection's directory
    #[arg(value_name = "DIR")]
    directory: PathBuf,
    /// Published patches
    #[arg(value_name = "NAME@VERSION")]
    patch: PatchSelector,
    #[command(flatten)]
    narrow: NarrowArgs,
    /// Why, for people
    #[arg(long, value_name = "TEXT")]
    reason: Line,
    #[command(flatten)]
    passphrase: PassphraseArgs,
}

/// Revokes and publishes that.
pub fn run(arguments: &RevokeArgs, output: &Output) -> Result<ExitStatus, Failure> {
    let collection = Collection::open(&arguments.directory)?;
    let _lock = lock(collection.directory(), output)?;
    let now = now()?;
    let patches = arguments.narrow.narrow(&arguments.patch);
    let revocation = Revocation { patches, reason: arguments.reason.clone() };
    let mut session = collection.session_without_keys()?;
    say_authority(session.authority(), collection.directory(), now, output);
    session.open_keys(&Passphrases::new(&arguments.passphrase))?;
    let publication = session.revoke(&revocation, now)?;
    say_unwatched(session.unwatched(), output);
    output.report(&PublishedReport::new(&publication, session.authority()));
    Ok(ExitStatus::Done)
}

//! `patchrepo collection publish`.

use std::path::PathBuf;

use clap::Args;
use countersign_terminal::{ExitStatus, Failure, Output};

use super::PublishedReport;
use crate::collection::{Collection, Draft};
use crate::commands::narrow::NarrowArgs;
use crate::commands::say::{say_authority, say_unwatched};
use crate::commands::{lock, now};
use crate::key_store::{PassphraseArgs, Passphrases};
use crate::patch_selector::PatchSelector;

/// What is published.
#[derive(Args, Debug)]
pub struct PublishArgs {
    /// The collection's directory
    #[arg(value_name = "DIR")]
    directory: PathBuf,
    /// Patches that were taken in; all unless said
    #[arg(value_name = "NAME@VERSION")]
    patches: Vec<PatchSelector>,
    #[command(flatten)]
    narrow: NarrowArgs,
    #[command(flatten)]
    passphrase: PassphraseArgs,
}

/// Signs and publishes.
pub fn run(arguments: &PublishArgs, output: &Output) -> Result<ExitStatus, Failure> {
    let collection = Collection::open(&arguments.directory)?;
    let _lock = lock(collection.directory(), output)?;
    let drafts = chosen(&collection, arguments)?;
    let now = now()?;
    let mut session = collection.session_without_keys()?;
    say_authority(session.authority(), collection.directory(), now, output);
    session.open_keys(&Passphrases::new(&arguments.passphrase))?;
    let publication = session.publish(&drafts, now)?;
    say_unwatched(session.unwatched(), output);
    output.report(&PublishedReport::new(&publication, session.authority()));
    Ok(ExitStatus::Done)
}

fn chosen(collection: &Collection, arguments: &PublishArgs) -> Result<Vec<Draft>, Failure> {
    if arguments.patches.is_empty() {
        return Ok(collection.drafts()?);
    }
    let mut drafts: Vec<Draft> = Vec::new();
    for selector in &arguments.patches {
        for draft in collection.select_drafts(&arguments.narrow.narrow(selector))? {
            if !drafts.contains(&draft) {
                drafts.push(draft);
            }
        }
    }
    Ok(drafts)
}

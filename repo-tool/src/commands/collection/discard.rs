//! `patchrepo collection discard`.

use std::path::PathBuf;

use clap::Args;
use countersign_terminal::{ExitStatus, Failure, Output, Report};
use serde::Serialize;

use super::PatchLine;
use crate::collection::Collection;
use crate::commands::lock;
use crate::commands::narrow::NarrowArgs;
use crate::commands::round::RoundDiscarded;
use crate::patch_selector::PatchSelector;

/// What is given up.
#[derive(Args, Debug)]
pub struct DiscardArgs {
    /// The collection's directory
    #[arg(value_name = "DIR")]
    directory: PathBuf,
    /// Patches that were taken in and are not published
    #[arg(value_name = "NAME@VERSION", required_unless_present = "round")]
    patches: Vec<PatchSelector>,
    /// The publication that has begun and waits for signatures, or was interrupted; its patches wait
    /// again, as before
    #[arg(long, conflicts_with_all = ["patches", "platform", "base"])]
    round: bool,
    #[command(flatten)]
    narrow: NarrowArgs,
}

#[derive(Serialize)]
struct Discarded {
    patches: Vec<PatchLine>,
}

impl Report for Discarded {
    fn print(&self, output: &Output) {
        for patch in &self.patches {
            output.note(format!("{}@{} is given up.", patch.name, patch.version));
        }
    }
}

/// Gives them up.
pub fn run(arguments: &DiscardArgs, output: &Output) -> Result<ExitStatus, Failure> {
    let collection = Collection::open(&arguments.directory)?;
    let _lock = lock(collection.directory(), output)?;
    if arguments.round {
        let entries = collection.session_without_keys()?.discard_round()?;
        output.report(&RoundDiscarded { entries });
        return Ok(ExitStatus::Done);
    }
    let mut drafts = Vec::new();
    for selector in &arguments.patches {
        for draft in collection.select_drafts(&arguments.narrow.narrow(selector))? {
            // whoever names a patch twice gives it up once
            if !drafts.contains(&draft) {
                drafts.push(draft);
            }
        }
    }
    collection.discard(&drafts)?;
    let patches = drafts.iter().map(|draft| PatchLine::new(None, &draft.entry)).collect();
    output.report(&Discarded { patches });
    Ok(ExitStatus::Done)
}

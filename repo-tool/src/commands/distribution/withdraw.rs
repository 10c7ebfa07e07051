//! `patchrepo distribution withdraw`.

use std::path::PathBuf;

use clap::Args;
use countersign_format::text::{Line, RingName};
use countersign_terminal::{ExitStatus, Failure, Output};

use super::open_locked;
use super::release::DecidedReport;
use crate::commands::narrow::NarrowArgs;
use crate::distribution::{Action, Selection};
use crate::patch_selector::PatchSelector;

/// Decide that patches are no longer released to a ring
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  \
    patchrepo distribution withdraw /srv/distribution acme-agent@2.1.1 --reason stalls\n\n\
    The decision waits until publish signs it. Machines that have the patch keep it, and say so. A\n\
    release that was not published yet is taken back.")]
pub struct WithdrawArgs {
    /// The distribution's directory
    #[arg(value_name = "DIR")]
    directory: PathBuf,
    /// The patches
    #[arg(value_name = "NAME@VERSION", required = true)]
    patches: Vec<PatchSelector>,
    /// The ring
    #[arg(long, value_name = "RING", default_value = "stable")]
    ring: RingName,
    /// Why, for people
    #[arg(long, value_name = "TEXT")]
    reason: Line,
    #[command(flatten)]
    narrow: NarrowArgs,
}

/// Decides and shows what waits.
pub fn run(arguments: &WithdrawArgs, output: &Output) -> Result<ExitStatus, Failure> {
    let (distribution, _lock) = open_locked(&arguments.directory, output)?;
    let action = Action::Withdraw { reason: arguments.reason.clone() };
    let selection = Selection::Patches(arguments.narrow.narrow_all(&arguments.patches));
    let decided = distribution.decide(&selection, &arguments.ring, &action)?;
    output.report(&DecidedReport::new(&arguments.ring, &action, &decided));
    Ok(ExitStatus::Done)
}

//! `patchctl remove`.

use clap::Args;
use countersign_format::name::PatchName;
use countersign_terminal::{ExitStatus, Failure};
use patchctl::root::Root;
use patchctl::transaction::{Change, prepare_change};

use super::done::finish;
use crate::explain::OrExplain as _;
use crate::session::Session;

/// Remove what patches installed
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  \
    patchctl remove acme-agent\n  \
    patchctl remove acme-agent libacme --yes")]
pub struct RemoveArgs {
    /// What to remove
    #[arg(value_name = "NAME", required = true)]
    names: Vec<PatchName>,
}

/// Removes.
pub fn run(session: &Session<'_>, arguments: &RemoveArgs) -> Result<ExitStatus, Failure> {
    let mut state = session.open()?;
    let root = Root::open(&session.places.root).or_explain()?;
    let context = session.context(false);
    let change = Change { remove: arguments.names.clone(), ..Change::default() };
    let mut bars = session.bars();
    let prepared = prepare_change(&mut state.database, &root, change, context, &mut bars);
    finish(session, prepared.or_explain()?, "remove these?")
}

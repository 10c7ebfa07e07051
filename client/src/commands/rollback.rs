//! `patchctl rollback`.

use std::collections::BTreeSet;

use clap::Args;
use countersign_terminal::{ExitStatus, Failure};
use patchctl::catalogue::{Catalogue, Gate};
use patchctl::db::Database;
use patchctl::root::Root;
use patchctl::transaction::{ComponentChange, prepare_rollback, rollback_changes};

use super::done::finish;
use crate::explain::OrExplain as _;
use crate::session::Session;

/// Undo the last transaction, or go back to what was after an earlier one
///
/// The versions that are undone are held back until a newer one comes.
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  \
    patchctl rollback\n  \
    patchctl rollback --to 12\n  \
    patchctl rollback --allow-vulnerable --yes")]
pub struct RollbackArgs {
    /// Go back to what was after this transaction; 0 is before the first
    #[arg(long, value_name = "TRANSACTION")]
    to: Option<i64>,
    /// Go back although closed advisories open again
    #[arg(long)]
    allow_vulnerable: bool,
    /// Go back to a version although it was revoked since
    #[arg(long)]
    allow_revoked: bool,
}

/// Rolls back.
pub fn run(session: &Session<'_>, arguments: &RollbackArgs) -> Result<ExitStatus, Failure> {
    let mut state = session.open()?;
    let changes = rollback_changes(&state.database, arguments.to).or_explain()?;
    let has_sources = !session.sources.is_empty();
    let catalogue = has_sources.then(|| session.catalogue(&state.database)).transpose()?;
    weigh(session, &state.database, catalogue.as_ref(), &changes, arguments)?;
    let root = Root::open(&session.places.root).or_explain()?;
    let context = session.context(false);
    let prepared = prepare_rollback(&mut state.database, &root, arguments.to, context);
    finish(session, prepared.or_explain()?, "go back to these?")
}

/// Refuses to go back to what is known to be bad, unless it was allowed.
fn weigh(
    session: &Session<'_>,
    database: &Database,
    catalogue: Option<&Catalogue>,
    changes: &[ComponentChange],
    arguments: &RollbackArgs,
) -> Result<(), Failure> {
    let mut opened = Vec::new();
    for change in changes {
        // what goes away has no holes
        let Some(to) = &change.new else { continue };
        let offers = catalogue.map(|known| known.offers_named(database, &change.name));
        let offers = offers.transpose().or_explain()?.unwrap_or_default();
        if !offers.iter().any(|offer| offer.version() == to) {
            session.output.warning(format!(
                "no source has {} {to}: whether it was revoked or is vulnerable is not known",
                change.name
            ));
        }
        let revoked = offers.iter().filter(|offer| offer.version() == to).find_map(|offer| {
            match &offer.gate {
                Gate::Revoked(reason) => Some(reason),
                _ => None,
            }
        });
        if let Some(reason) = revoked {
            let text = format!("{} {to} was revoked: {reason}", change.name);
            if !arguments.allow_revoked {
                return Err(Failure::new(ExitStatus::Unsatisfiable, text)
                    .hint("go back all the same with --allow-revoked"));
            }
            session.output.warning(text);
        }
        let undone =
            |version| version > to && change.old.as_ref().is_some_and(|old| version <= old);
        let advisories: BTreeSet<String> = offers
            .iter()
            .filter(|offer| undone(offer.version()))
            .flat_map(|offer| offer.entry().advisories.iter().map(ToString::to_string))
            .collect();
        opened.extend(advisories.into_iter().map(|id| format!("{id} ({})", change.name)));
    }
    if opened.is_empty() {
        return Ok(());
    }
    let text = format!("going back opens {}", opened.join(", "));
    if !arguments.allow_vulnerable {
        return Err(Failure::new(ExitStatus::Unsatisfiable, text)
            .hint("go back all the same with --allow-vulnerable"));
    }
    session.output.warning(text);
    Ok(())
}

//! `patchctl repair`.

use std::collections::BTreeSet;

use clap::Args;
use countersign_format::name::PatchName;
use countersign_terminal::{ExitStatus, Failure};
use patchctl::catalogue::Offer;
use patchctl::db::installed::Installed;
use patchctl::download::forget;
use patchctl::root::Root;
use patchctl::space;
use patchctl::state::State;
use patchctl::transaction::{ConfigPolicy, Mending, PlannedPatch, Scope, prepare_mend};
use patchctl::verify::{Difference, verify_installed};
use patchctl::whole;

use super::change::not_confirmed;
use super::config_files::ConfigFilesArgs;
use super::done::{DoneReport, apply};
use super::fetch::fetch;
use crate::explain::OrExplain as _;
use crate::session::Session;

/// Put right what `verify` finds different
///
/// The files come from the signed archive of the installed version, from the cache or a server. What
/// was there is kept aside and listed, and a rollback brings it back. Configuration files are yours
/// and stay, unless --config new takes those that were shipped.
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  \
    patchctl repair\n  \
    patchctl repair acme-agent --yes\n  \
    patchctl repair acme-agent --config new\n  \
    patchctl repair --dry-run")]
pub struct RepairArgs {
    /// Only these
    #[arg(value_name = "NAME")]
    names: Vec<PatchName>,
    #[command(flatten)]
    config_files: ConfigFilesArgs,
}

/// Puts right.
pub fn run(session: &Session<'_>, arguments: &RepairArgs) -> Result<ExitStatus, Failure> {
    let state = session.open()?;
    let config = arguments.config_files.policy(&session.arguments);
    let root = Root::open(&session.places.root).or_explain()?;
    let found = verify_installed(&state.database, &root, &arguments.names, &mut session.bars());
    let is_ours = |difference: &Difference| config == ConfigPolicy::New || !difference.config;
    let found: Vec<Difference> = found.or_explain()?.into_iter().filter(is_ours).collect();
    for Difference { name, path, deviation, .. } in &found {
        session.output.print_line(format!("{name}: /{path}: {deviation}"));
    }
    if found.is_empty() {
        session.output.note("everything is as it was installed");
        session.output.report(&DoneReport::nothing(session));
        return Ok(ExitStatus::Done);
    }
    let names: BTreeSet<PatchName> = found.into_iter().map(|difference| difference.name).collect();
    let names: Vec<PatchName> = names.into_iter().collect();
    let scope = Scope::Differing;
    let manner = Manner { scope, config, allow_stale: false, question: "put these right?" };
    mend(session, state, &names, &manner)
}

/// How components are put right.
#[derive(Debug, Clone, Copy)]
pub struct Manner<'q> {
    /// Whole, or where they differ.
    pub scope: Scope,
    /// What becomes of configuration files with local changes.
    pub config: ConfigPolicy,
    /// Whether a person let a stale index through, for the history.
    pub allow_stale: bool,
    /// What is asked before.
    pub question: &'q str,
}

/// Puts components right, whole or where they differ, from full patches of their versions: asks,
/// fetches, and does it.
pub fn mend(
    session: &Session<'_>,
    mut state: State,
    names: &[PatchName],
    manner: &Manner<'_>,
) -> Result<ExitStatus, Failure> {
    let Manner { scope, config, allow_stale, question } = *manner;
    let catalogue = session.catalogue(&state.database)?;
    let mut offers = Vec::with_capacity(names.len());
    for name in names {
        let installed = find_installed(&state, name)?;
        offers.push(whole::to_mend(&state.database, &catalogue, &installed).or_explain()?);
    }
    let offers: Vec<&Offer> = offers.iter().collect();
    let (cache, path) = (&session.places.cache, &session.places.root);
    // what differs is most often little; how much is known once the archives are here
    space::require(&session.places, &offers, scope == Scope::All).or_explain()?;
    if !session.arguments.dry_run && !session.output.confirm(question, session.arguments.yes)? {
        return Err(not_confirmed());
    }
    let patches = fetch(session, &state.database, &catalogue, &offers)?;
    let patches = patches.into_iter().map(|got| PlannedPatch::new(&got.note, got.archive));
    let mending = Mending { patches: patches.collect(), scope, config };
    let root = Root::open(path).or_explain()?;
    let (context, mut bars) = (session.context(allow_stale), session.bars());
    let prepared = prepare_mend(&mut state.database, &root, mending, context, &mut bars);
    let exit = apply(session, prepared.or_explain()?)?;
    if let Err(error) = forget(cache, &offers) {
        session.output.warning(format!("cannot clean the cache: {error}"));
    }
    Ok(exit)
}

fn find_installed(state: &State, name: &PatchName) -> Result<Installed, Failure> {
    let found = state.database.find_installed(name).or_explain()?;
    found.ok_or_else(|| {
        Failure::new(ExitStatus::NotFound, format!("{name} is not installed"))
            .hint("see what is installed: patchctl list --installed")
    })
}

//! `patchctl install`.

use std::path::{Path, PathBuf};

use clap::Args;
use countersign_terminal::{ExitStatus, Failure};
use patchctl::local::{LocalPatch, PATCH_ENDING};
use patchctl::plan::Planner;
use patchctl::plan_file::PlanDocument;

use super::NameAndVersion;
use super::change::carry_out;
use super::filter::ChangeArgs;
use crate::explain::OrExplain as _;
use crate::session::Session;

/// Install patches by name, or from files
///
/// A file's note must lie beside it, `acme.note` beside `acme.patch`, and where the held log does
/// not have the patch a proof, `acme.tlog-proof`. Files pass the same gates as names, and need no
/// network.
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  \
    patchctl install acme-agent\n  \
    patchctl install acme-agent@2.1.0 libacme --yes\n  \
    patchctl install /media/stick/acme-agent.patch --offline\n  \
    patchctl install acme-agent --download-only\n  \
    patchctl install --plan tonight.plan")]
pub struct InstallArgs {
    /// Patches by name, NAME@VERSION, or files
    #[arg(value_name = "NAME[@VERSION]|FILE.patch", required_unless_present = "plan")]
    pub what: Vec<String>,
    /// Carry out exactly this plan, which patchctl plan wrote, or nothing
    #[arg(long, value_name = "FILE", conflicts_with = "what")]
    pub plan: Option<PathBuf>,
    #[command(flatten)]
    pub change: ChangeArgs,
}

/// Installs.
pub fn run(session: &Session<'_>, arguments: &InstallArgs) -> Result<ExitStatus, Failure> {
    if let Some(path) = &arguments.plan {
        return run_plan(session, path, &arguments.change);
    }
    let (names, files) = sort(&arguments.what)?;
    let state = session.open()?;
    let catalogue = session.catalogue(&state.database)?;
    let change = &arguments.change;
    if !names.is_empty() {
        session.check_fresh(&catalogue, change.allow_stale)?;
    }
    let read = |path: &PathBuf| LocalPatch::read(path, &state.database, &catalogue);
    let local: Vec<LocalPatch> = files.iter().map(read).collect::<Result<_, _>>().or_explain()?;
    let offers = local.iter().map(|patch| patch.offer.clone()).collect();
    let wanted: Vec<_> = names.into_iter().map(|wish| (wish.name, wish.version)).collect();
    let planner = Planner::new(&state.database, &catalogue, change.selection.options());
    let plan = planner.or_explain()?.install(&wanted, offers).or_explain()?;
    carry_out(session, state, &catalogue, &plan, local, change)
}

/// Carries out a plan that was kept.
fn run_plan(
    session: &Session<'_>,
    path: &Path,
    change: &ChangeArgs,
) -> Result<ExitStatus, Failure> {
    let document = PlanDocument::read(path).or_explain()?;
    let state = session.open()?;
    let catalogue = session.catalogue(&state.database)?;
    session.check_fresh(&catalogue, change.allow_stale)?;
    let planner = Planner::new(&state.database, &catalogue, change.selection.options());
    let plan = planner.or_explain()?.again(&document, &session.places.root).or_explain()?;
    let change = ChangeArgs { is_exact: true, ..change.clone() };
    carry_out(session, state, &catalogue, &plan, Vec::new(), &change)
}

/// Names and files. What ends like an archive or has a slash is a file.
fn sort(what: &[String]) -> Result<(Vec<NameAndVersion>, Vec<PathBuf>), Failure> {
    let (mut names, mut files) = (Vec::new(), Vec::new());
    for text in what {
        let path = Path::new(text);
        let is_patch = path.extension().is_some_and(|ending| ending == PATCH_ENDING);
        if is_patch || text.contains('/') {
            files.push(path.to_owned());
        } else {
            let name: Result<NameAndVersion, String> = text.parse();
            names.push(name.map_err(|error| {
                Failure::usage(error).hint("give NAME, NAME@VERSION or FILE.patch")
            })?);
        }
    }
    Ok((names, files))
}

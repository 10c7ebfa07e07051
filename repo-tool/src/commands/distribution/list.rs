//! `patchrepo distribution list`.

use std::collections::BTreeSet;
use std::path::PathBuf;

use clap::Args;
use countersign_format::text::{Line, RingName};
use countersign_terminal::{ExitStatus, Failure, Output, Report, Table, bytes};
use serde::Serialize;

use super::PatchReport;
use crate::distribution::{Action, Decisions, Distribution, Patch, Standing, Terms};

/// List the patches that are held, and what was decided about them
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  \
    patchrepo distribution list /srv/distribution\n  \
    patchrepo distribution list /srv/distribution --undecided\n\n\
    held: fetched and verified, nothing decided. to release, to withdraw: decided, to be published.\n\
    released, withdrawn: published. revoked: the collection took it back for good.")]
pub struct ListArgs {
    /// The distribution's directory
    #[arg(value_name = "DIR")]
    directory: PathBuf,
    /// Only those that nothing was decided about
    #[arg(long)]
    undecided: bool,
}

#[derive(Serialize)]
struct ListReport {
    patches: Vec<PatchState>,
}

/// A patch and all that is decided about it.
#[derive(Serialize)]
pub(super) struct PatchState {
    #[serde(flatten)]
    pub(super) patch: PatchReport,
    /// Why the collection revoked it, if it did.
    pub(super) revoked: Option<Line>,
    pub(super) rings: Vec<RingState>,
}

/// What is decided about a patch for one ring.
#[derive(Serialize)]
pub(super) struct RingState {
    pub(super) ring: RingName,
    /// `released` or `withdrawn`.
    pub(super) decision: &'static str,
    /// Whether that is published; otherwise it is with the next publication.
    pub(super) published: bool,
    #[serde(flatten)]
    pub(super) details: Details,
}

#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum Details {
    Release(Terms),
    Withdraw { reason: Line },
}

impl PatchState {
    pub(super) fn new(
        patch: &Patch,
        standings: &[(RingName, Standing)],
        decisions: &Decisions,
    ) -> Self {
        let mut rings: BTreeSet<&RingName> = standings.iter().map(|(ring, _)| ring).collect();
        rings.extend(decisions.all().iter().map(|decision| &decision.ring));
        let mut states = Vec::new();
        for ring in rings {
            let published = standings.iter().find(|(of, _)| of == ring);
            let published = published.map(|(_, standing)| &standing.action);
            let waiting = decisions.of(patch.index, ring);
            for (action, is_published) in [(published, true), (waiting, false)] {
                states.extend(action.map(|action| RingState::new(ring, action, is_published)));
            }
        }
        Self { patch: patch.into(), revoked: patch.revoked.clone(), rings: states }
    }

    fn summary(&self) -> String {
        let mut words: Vec<String> =
            self.rings.iter().map(|ring| format!("{} {}", ring.words(), ring.ring)).collect();
        if self.revoked.is_some() {
            words.insert(0, "revoked".to_owned());
        }
        if words.is_empty() { "held".to_owned() } else { words.join(", ") }
    }
}

impl RingState {
    fn new(ring: &RingName, action: &Action, published: bool) -> Self {
        let (decision, details) = match action {
            Action::Release(terms) => ("released", Details::Release(terms.clone())),
            Action::Withdraw { reason } => {
                ("withdrawn", Details::Withdraw { reason: reason.clone() })
            }
        };
        Self { ring: ring.clone(), decision, published, details }
    }

    /// The decision, in words for people.
    pub(super) fn words(&self) -> &'static str {
        match (&self.details, self.published) {
            (Details::Release(_), true) => "released",
            (Details::Release(_), false) => "to release",
            (Details::Withdraw { .. }, true) => "withdrawn",
            (Details::Withdraw { .. }, false) => "to withdraw",
        }
    }
}

impl Report for ListReport {
    fn print(&self, output: &Output) {
        let header = ["INDEX", "PATCH", "BASE", "SEVERITY", "SIZE", "STATE", "SUMMARY"];
        let mut table = Table::new(header).right(0).right(4);
        for state in &self.patches {
            let patch = &state.patch;
            table.row([
                patch.index.to_string(),
                patch.patch(),
                patch.base(),
                patch.severity.to_string(),
                bytes(patch.size),
                state.summary(),
                patch.summary.to_string(),
            ]);
        }
        output.print_table(&table);
        if self.patches.is_empty() {
            output.note("There is none.");
        }
    }
}

/// Lists them.
pub fn run(arguments: &ListArgs, output: &Output) -> Result<ExitStatus, Failure> {
    let distribution = Distribution::open(&arguments.directory)?;
    let (catalogue, standings) = (distribution.catalogue()?, distribution.standings()?);
    let decisions = Decisions::read(distribution.directory())?;
    let state = |patch: &Patch| {
        let of_patch = standings.of_patch(patch.index);
        let of_patch: Vec<_> = of_patch.map(|(ring, it)| (ring.clone(), it.clone())).collect();
        PatchState::new(patch, &of_patch, &decisions)
    };
    let mut patches: Vec<_> = catalogue.patches().map(state).collect();
    if arguments.undecided {
        patches.retain(|state| state.rings.is_empty() && state.revoked.is_none());
    }
    output.report(&ListReport { patches });
    Ok(ExitStatus::Done)
}

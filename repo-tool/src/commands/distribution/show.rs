//! `patchrepo distribution show`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use countersign_format::entry::PatchEntry;
use countersign_format::layout;
use countersign_terminal::{ExitStatus, Failure, Output, Report, bytes, duration};
use serde::Serialize;

use super::list::{Details, PatchState, RingState};
use crate::commands::narrow::NarrowArgs;
use crate::commands::now;
use crate::commands::round::StandingReport;
use crate::distribution::{Decisions, Distribution, Terms};
use crate::patch_selector::PatchSelector;

/// Show what is known of patches, or who has signed what is being published
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  \
    patchrepo distribution show /srv/distribution\n  \
    patchrepo distribution show /srv/distribution acme-agent@2.1.1\n  \
    patchrepo distribution show /srv/distribution acme-agent@2.1.1 --base none")]
pub struct ShowArgs {
    /// The distribution's directory
    #[arg(value_name = "DIR")]
    directory: PathBuf,
    /// The patches
    #[arg(value_name = "NAME@VERSION")]
    patch: Option<PatchSelector>,
    #[command(flatten)]
    narrow: NarrowArgs,
}

#[derive(Serialize)]
struct ShowReport {
    patches: Vec<Shown>,
}

#[derive(Serialize)]
struct Shown {
    #[serde(flatten)]
    state: PatchState,
    entry: PatchEntry,
    /// Where the archive and the note with the first signature are.
    archive: PathBuf,
    note: PathBuf,
}

impl Report for ShowReport {
    fn print(&self, output: &Output) {
        for (place, shown) in self.patches.iter().enumerate() {
            if place > 0 {
                output.print_line("");
            }
            shown.print(output);
        }
    }
}

impl Shown {
    fn print(&self, output: &Output) {
        let patch = &self.state.patch;
        output.print_heading(format!("{} ({})", patch.patch(), patch.base()));
        output.print_field("index", patch.index);
        output.print_field("platform", &patch.platform);
        output.print_field("severity", patch.severity);
        let advisories: Vec<_> = patch.advisories.iter().map(ToString::to_string).collect();
        if !advisories.is_empty() {
            output.print_field("advisories", advisories.join(", "));
        }
        output.print_field("summary", &patch.summary);
        let unpacked = bytes(self.entry.archive.unpacked);
        output.print_field("size", format!("{}, {unpacked} unpacked", bytes(patch.size)));
        output.print_field("collected", self.entry.collected);
        output.print_field("archive", self.archive.display());
        output.print_field("note", self.note.display());
        if let Some(reason) = &self.state.revoked {
            output.print_field("revoked", reason);
        }
        for ring in &self.state.rings {
            output.print_field(ring.ring.as_str(), describe(ring));
        }
        if self.state.rings.is_empty() {
            output.print_field("decided", "nothing");
        }
    }
}

fn describe(ring: &RingState) -> String {
    let mut parts = vec![ring.words().to_owned()];
    match &ring.details {
        Details::Release(Terms { start, ramp, percent, deadline }) => {
            if *percent < 100 {
                parts.push(format!("{percent} % of machines"));
            }
            parts.extend(start.map(|start| format!("from {start}")));
            if *ramp > 0 {
                parts.push(format!("over {}", duration(Duration::from_secs(*ramp))));
            }
            parts.extend(deadline.map(|deadline| format!("deadline {deadline}")));
        }
        Details::Withdraw { reason } => parts.push(reason.to_string()),
    }
    parts.join(", ")
}

/// Shows them.
pub fn run(arguments: &ShowArgs, output: &Output) -> Result<ExitStatus, Failure> {
    let distribution = Distribution::open(&arguments.directory)?;
    let Some(patch) = &arguments.patch else {
        output.report(&StandingReport::new(None, distribution.signed_by(now()?)?));
        return Ok(ExitStatus::Done);
    };
    let mut held = distribution.held()?;
    let decisions = Decisions::read(distribution.directory())?;
    let mut patches = Vec::new();
    for patch in held.select(&arguments.narrow.narrow(patch))? {
        let hash = &patch.entry.archive.sha256;
        patches.push(Shown {
            state: PatchState::new(&patch, &held.standings(patch.index)?, &decisions),
            entry: patch.entry.clone(),
            archive: distribution.copy().join(layout::archive(hash)),
            note: distribution.copy().join(layout::patch_note(hash)),
        });
    }
    output.report(&ShowReport { patches });
    Ok(ExitStatus::Done)
}

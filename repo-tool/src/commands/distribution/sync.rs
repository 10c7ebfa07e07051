//! `patchrepo distribution sync`.

use std::path::PathBuf;

use clap::Args;
use countersign_format::entry::PatchEntry;
use countersign_format::key::KeyName;
use countersign_format::text::Line;
use countersign_terminal::{ExitStatus, Failure, Output, Report, Table, Task, Unit, bytes};
use serde::Serialize;

use super::{PatchReport, open_locked, patches};
use crate::commands::now;
use crate::commands::say::{WorkedWith, say_authority, say_directory};
use crate::config::Place;
use crate::distribution::{NewPatch, PassedOver, Revocation, Synced};

/// Fetch what is new from the collection and verify the first signature
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  \
    patchrepo distribution sync /srv/distribution\n  \
    patchrepo distribution sync lab/distribution --from lab/collection/public\n  \
    patchrepo distribution sync /srv/distribution --from https://collection.example.org/\n\n\
    Every note and archive is verified as it arrives. Nothing is released by that: look at what is\n\
    new, then decide with release. A fetch that was interrupted goes on where it ended.")]
pub struct SyncArgs {
    /// The distribution's directory
    #[arg(value_name = "DIR")]
    directory: PathBuf,
    /// Where the collection publishes; `collection` of config.toml unless given
    #[arg(long, value_name = "URL|DIR", value_parser = Place::of_argument)]
    from: Option<Place>,
}

#[derive(Serialize)]
struct SyncReport {
    from: String,
    /// Entries of the collection's log that were held before, and now.
    before: u64,
    size: u64,
    patches: Vec<NewReport>,
    revoked: Vec<RevokedReport>,
    passed_over: Vec<PassedOverReport>,
    #[serde(flatten)]
    worked_with: WorkedWith,
    /// The log that was held until now, if the authority gave it up for a new one.
    #[serde(skip_serializing_if = "Option::is_none")]
    left: Option<KeyName>,
}

#[derive(Serialize)]
struct NewReport {
    #[serde(flatten)]
    patch: PatchReport,
    signed_by: Vec<KeyName>,
}

#[derive(Serialize)]
struct RevokedReport {
    #[serde(flatten)]
    patch: PatchReport,
    reason: Line,
}

#[derive(Serialize)]
struct PassedOverReport {
    index: u64,
    why: String,
}

impl SyncReport {
    fn new(from: String, synced: Synced, worked_with: WorkedWith) -> Self {
        let new = |patch: NewPatch| NewReport {
            patch: PatchReport::new(patch.index, &patch.entry),
            signed_by: patch.signed_by,
        };
        let revoked = |revocation: Revocation| RevokedReport {
            patch: PatchReport::new(revocation.index, &revocation.entry),
            reason: revocation.reason,
        };
        let passed_over =
            |PassedOver { index, why }| PassedOverReport { index, why: why.to_string() };
        Self {
            from,
            before: synced.before,
            size: synced.size,
            patches: synced.patches.into_iter().map(new).collect(),
            revoked: synced.revoked.into_iter().map(revoked).collect(),
            passed_over: synced.passed_over.into_iter().map(passed_over).collect(),
            worked_with,
            left: synced.left,
        }
    }
}

impl Report for SyncReport {
    fn print(&self, output: &Output) {
        let header = ["INDEX", "PATCH", "BASE", "SEVERITY", "SIZE", "SIGNED BY", "SUMMARY"];
        let mut table = Table::new(header).right(0).right(4);
        for NewReport { patch, signed_by } in &self.patches {
            let names: Vec<_> = signed_by.iter().map(KeyName::as_str).collect();
            let names = if names.is_empty() { "revoked".to_owned() } else { names.join(", ") };
            table.row([
                patch.index.to_string(),
                patch.patch(),
                patch.base(),
                patch.severity.to_string(),
                bytes(patch.size),
                names,
                patch.summary.to_string(),
            ]);
        }
        output.print_table(&table);
        for RevokedReport { patch, reason } in &self.revoked {
            output.print_line(format!("revoked: {} ({}): {reason}", patch.patch(), patch.base()));
        }
        if let Some(left) = &self.left {
            output.warning(format!("the authority gave up the log {left}; a new one is fetched"));
            output.note("Repeat what was released: patchrepo distribution release DIR --again");
        }
        for PassedOverReport { index, why } in &self.passed_over {
            output.warning(format!("entry {index} is passed over: {why}"));
        }
        if self.patches.is_empty() && self.revoked.is_empty() {
            let Self { size, worked_with, .. } = self;
            output.note(format!("Nothing new; {size} entries are held, and {worked_with}."));
        }
        // of one that is revoked already there is nothing to decide
        let to_decide = self.patches.iter().filter(|new| !new.signed_by.is_empty()).count();
        if to_decide > 0 {
            let count = patches(to_decide);
            output.note(format!("{count} new. Decide with: patchrepo distribution release DIR"));
        }
    }
}

/// Fetches and shows what is new.
pub fn run(arguments: &SyncArgs, output: &Output) -> Result<ExitStatus, Failure> {
    let (distribution, _lock) = open_locked(&arguments.directory, output)?;
    let place = distribution.collection_place(arguments.from.as_ref())?;
    let now = now()?;
    let known = distribution.learn(&place, now)?;
    say_authority(&known, distribution.directory(), now, output);
    say_directory(distribution.carry_directory(&known, now)?.as_ref(), output);
    let mut bar: Option<(PatchEntry, Task)> = None;
    let mut progress = |entry: &PatchEntry, done: u64| {
        if bar.as_ref().is_none_or(|(shown, _)| shown != entry) {
            let label = format!("{}@{}", entry.name, entry.version);
            let task = output.progress().task(&label, Some(entry.archive.size), Unit::Bytes);
            bar = Some((entry.clone(), task));
        }
        if let Some((_, task)) = &bar {
            task.set_position(done);
        }
    };
    let synced = distribution.sync(&known, &place, now, &mut progress)?;
    drop(bar);
    output.report(&SyncReport::new(place.to_string(), synced, WorkedWith::new(&known)));
    Ok(ExitStatus::Done)
}

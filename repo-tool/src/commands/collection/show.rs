//! `patchrepo collection show`.

use std::path::PathBuf;

use clap::Args;
use countersign_format::entry::PatchEntry;
use countersign_terminal::{ExitStatus, Failure, Output, Report, bytes};
use serde::Serialize;

use crate::collection::{Collection, CollectionError};
use crate::commands::narrow::NarrowArgs;
use crate::commands::now;
use crate::commands::round::StandingReport;
use crate::patch_selector::PatchSelector;

/// What is shown.
#[derive(Args, Debug)]
pub struct ShowArgs {
    /// The collection's directory
    #[arg(value_name = "DIR")]
    directory: PathBuf,
    /// Patches, published or not
    #[arg(value_name = "NAME@VERSION")]
    patch: Option<PatchSelector>,
    #[command(flatten)]
    narrow: NarrowArgs,
}

#[derive(Serialize)]
struct Shown {
    patches: Vec<ShownPatch>,
}

#[derive(Serialize)]
struct ShownPatch {
    /// Leaf index, once it is published.
    index: Option<u64>,
    /// Leaf index of the entry that revokes it.
    revoked: Option<u64>,
    /// Whether the last test failed.
    failed: bool,
    #[serde(flatten)]
    entry: PatchEntry,
    /// Where the archive is.
    file: PathBuf,
}

impl Report for Shown {
    fn print(&self, output: &Output) {
        for (number, patch) in self.patches.iter().enumerate() {
            if number > 0 {
                output.print_line("");
            }
            patch.print(output);
        }
    }
}

impl ShownPatch {
    fn print(&self, output: &Output) {
        let entry = &self.entry;
        output.print_field("patch", entry.identity());
        match (self.index, self.revoked) {
            (None, _) if self.failed => output.print_field("state", "the last test failed"),
            (None, _) => output.print_field("state", "waits to be published"),
            (Some(index), None) => {
                output.print_field("state", format!("published as entry {index}"));
            }
            (Some(index), Some(by)) => {
                output.print_field("state", format!("published as entry {index}, revoked by {by}"));
            }
        }
        let list = |label: &str, lines: Vec<String>| {
            if !lines.is_empty() {
                output.print_field(label, lines.join("\n"));
            }
        };
        if !entry.summary.is_empty() {
            output.print_field("summary", &entry.summary);
        }
        output.print_field("severity", entry.severity);
        list("advisories", entry.advisories.iter().map(ToString::to_string).collect());
        let requirements = |map: &std::collections::BTreeMap<_, _>| {
            map.iter().map(|(name, versions)| requirement(name, versions)).collect()
        };
        list("requires", requirements(&entry.requires));
        list("conflicts", requirements(&entry.conflicts));
        list("restart", entry.restart.iter().map(ToString::to_string).collect());
        if entry.reboot {
            output.print_field("reboot", "yes");
        }
        output.print_field("collected", entry.collected);
        let archive = &entry.archive;
        let (size, unpacked) = (bytes(archive.size), bytes(archive.unpacked));
        let size = format!("{size} ({} files, {unpacked} unpacked)", archive.files);
        output.print_field("size", size);
        output.print_field("sha256", archive.sha256);
        let evidence = |evidence: &countersign_format::entry::Evidence| {
            format!("{} sha256:{}", evidence.kind, evidence.sha256)
        };
        list("evidence", entry.evidence.iter().map(evidence).collect());
        output.print_field("archive", self.file.display());
    }
}

fn requirement(
    name: &countersign_format::name::PatchName,
    versions: &countersign_format::name::Requirement,
) -> String {
    format!("{name} {versions}")
}

/// Shows them.
pub fn run(arguments: &ShowArgs, output: &Output) -> Result<ExitStatus, Failure> {
    let collection = Collection::open(&arguments.directory)?;
    let Some(patch) = &arguments.patch else {
        output.report(&StandingReport::new(None, collection.standings(now()?)?));
        return Ok(ExitStatus::Done);
    };
    let selector = arguments.narrow.narrow(patch);
    let mut patches = Vec::new();
    for patch in collection.select_published(&selector)? {
        let (index, revoked) = (Some(patch.index), patch.revoked_by);
        let (entry, file) = (patch.entry.clone(), collection.published_archive(&patch));
        patches.push(ShownPatch { index, revoked, failed: false, entry, file });
    }
    for draft in collection.drafts()?.into_iter().filter(|draft| draft.is_meant(&selector)) {
        let (failed, file) = (draft.failed().is_some(), draft.archive());
        let entry = draft.entry;
        patches.push(ShownPatch { index: None, revoked: None, failed, entry, file });
    }
    if patches.is_empty() {
        return Err(CollectionError::NotThere(selector).into());
    }
    output.report(&Shown { patches });
    Ok(ExitStatus::Done)
}

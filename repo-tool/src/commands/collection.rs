//! What a collection's person does.

use countersign_format::entry::PatchEntry;
use countersign_format::hash::Hash32;
use countersign_format::name::{PatchName, PatchVersion, Platform, Requirement};
use countersign_terminal::{Output, Report, Table};
use serde::Serialize;

use crate::collection::Publication;
use crate::commands::say::WorkedWith;
use crate::known_authority::KnownAuthority;

pub mod add;
pub mod discard;
pub mod export;
pub mod import;
pub mod list;
pub mod publish;
pub mod refresh;
pub mod revoke;
pub mod show;
pub mod test;

/// A patch in a report.
#[derive(Serialize)]
struct PatchLine {
    /// Leaf index, once it is published.
    #[serde(skip_serializing_if = "Option::is_none")]
    index: Option<u64>,
    name: PatchName,
    version: PatchVersion,
    /// None for a full patch.
    base: Option<Requirement>,
    platform: Platform,
    sha256: Hash32,
}

impl PatchLine {
    fn new(index: Option<u64>, entry: &PatchEntry) -> Self {
        Self {
            index,
            name: entry.name.clone(),
            version: entry.version.clone(),
            base: entry.base.clone(),
            platform: entry.platform.clone(),
            sha256: entry.archive.sha256,
        }
    }
}

/// The report of `publish` and `revoke`.
#[derive(Serialize)]
struct PublishedReport {
    patches: Vec<PatchLine>,
    authority: Vec<u64>,
    revoked: Vec<u64>,
    size: u64,
    #[serde(skip)]
    worked_with: WorkedWith,
}

impl PublishedReport {
    fn new(publication: &Publication, known: &KnownAuthority) -> Self {
        let line = |(index, entry): &(u64, PatchEntry)| PatchLine::new(Some(*index), entry);
        Self {
            patches: publication.patches.iter().map(line).collect(),
            authority: publication.authority.clone(),
            revoked: publication.revoked.clone(),
            size: publication.size,
            worked_with: WorkedWith::new(known),
        }
    }
}

impl Report for PublishedReport {
    fn print(&self, output: &Output) {
        let mut table = Table::new(["INDEX", "PATCH", "BASE", "PLATFORM"]).right(0);
        for patch in &self.patches {
            let index = patch.index.map(|index| index.to_string()).unwrap_or_default();
            let base = patch.base.as_ref().map_or("full", Requirement::as_str);
            let name = format!("{}@{}", patch.name, patch.version);
            table.row([index.as_str(), &name, base, patch.platform.as_str()]);
        }
        output.print_table(&table);
        for index in &self.revoked {
            output.print_line(format!("entry {index} is revoked"));
        }
        for version in &self.authority {
            output.note(format!("The log names version {version} of the authority now."));
        }
        if self.patches.is_empty() && self.revoked.is_empty() && self.authority.is_empty() {
            output.note("Nothing waits to be published.");
        }
        let Self { size, worked_with, .. } = self;
        output.note(format!("The log has {size} entries, and {worked_with}."));
    }
}

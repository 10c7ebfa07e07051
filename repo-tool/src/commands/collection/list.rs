//! `patchrepo collection list`.

use std::path::PathBuf;

use clap::Args;
use countersign_format::name::Requirement;
use countersign_terminal::{ExitStatus, Failure, Output, Report, Table};
use serde::Serialize;

use super::PatchLine;
use crate::catalogue::Patch;
use crate::collection::{Collection, Draft};

/// What is listed.
#[derive(Args, Debug)]
pub struct ListArgs {
    /// The collection's directory
    #[arg(value_name = "DIR")]
    directory: PathBuf,
    /// Published patches too
    #[arg(long)]
    published: bool,
}

#[derive(Serialize)]
struct Listed {
    incoming: Vec<IncomingLine>,
    #[serde(skip_serializing_if = "Option::is_none")]
    published: Option<Vec<PublishedLine>>,
}

#[derive(Serialize)]
struct IncomingLine {
    #[serde(flatten)]
    line: PatchLine,
    /// Tests that passed.
    tests: usize,
    /// Whether the last test failed.
    failed: bool,
}

#[derive(Serialize)]
struct PublishedLine {
    #[serde(flatten)]
    line: PatchLine,
    /// Leaf index of the entry that revokes it.
    revoked: Option<u64>,
}

impl Report for Listed {
    fn print(&self, output: &Output) {
        let mut table = Table::new(["PATCH", "BASE", "PLATFORM", "STATE"]);
        for IncomingLine { line, tests, failed } in &self.incoming {
            let state = match (failed, tests) {
                (true, _) => "test failed".to_owned(),
                (false, 0) => "not tested".to_owned(),
                (false, tests) => format!("{tests} tests passed"),
            };
            row(&mut table, line, &state);
        }
        for PublishedLine { line, revoked } in self.published.iter().flatten() {
            let index = line.index.unwrap_or_default();
            let state = match revoked {
                None => format!("published as entry {index}"),
                Some(by) => format!("published as entry {index}, revoked by {by}"),
            };
            row(&mut table, line, &state);
        }
        if table.is_empty() {
            output.note("Nothing waits to be published.");
        }
        output.print_table(&table);
    }
}

fn row(table: &mut Table, line: &PatchLine, state: &str) {
    let name = format!("{}@{}", line.name, line.version);
    let base = line.base.as_ref().map_or("full", Requirement::as_str);
    table.row([name.as_str(), base, line.platform.as_str(), state]);
}

/// Lists them.
pub fn run(arguments: &ListArgs, output: &Output) -> Result<ExitStatus, Failure> {
    let collection = Collection::open(&arguments.directory)?;
    let incoming = |draft: Draft| IncomingLine {
        line: PatchLine::new(None, &draft.entry),
        tests: draft.entry.evidence.len(),
        failed: draft.failed().is_some(),
    };
    let published = |patch: Patch| PublishedLine {
        line: PatchLine::new(Some(patch.index), &patch.entry),
        revoked: patch.revoked_by,
    };
    let all = if arguments.published { Some(collection.published()?) } else { None };
    output.report(&Listed {
        incoming: collection.drafts()?.into_iter().map(incoming).collect(),
        published: all.map(|all| all.into_iter().map(published).collect()),
    });
    Ok(ExitStatus::Done)
}

//! `patchctl verify`.

use clap::Args;
use countersign_format::name::PatchName;
use countersign_terminal::{ExitStatus, Failure, Output, Report};
use patchctl::root::Root;
use patchctl::verify::{Difference, verify_installed};
use serde::Serialize;

use crate::explain::OrExplain as _;
use crate::session::Session;

/// Compare installed files with what their signed manifests say
///
/// Exit 16 if some differ. Configuration files are yours to change; they are listed and are no
/// difference.
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  patchctl verify\n  patchctl verify acme-agent")]
pub struct VerifyArgs {
    /// Only these
    #[arg(value_name = "NAME")]
    names: Vec<PatchName>,
}

/// What differs from manifests.
#[derive(Serialize)]
pub struct VerifyReport {
    differences: Vec<DifferenceReport>,
}

#[derive(Serialize)]
struct DifferenceReport {
    name: String,
    path: String,
    difference: String,
    config: bool,
}

impl VerifyReport {
    /// What is said of these differences.
    pub fn new(found: &[Difference]) -> Self {
        let report = |difference: &Difference| DifferenceReport {
            name: difference.name.to_string(),
            path: format!("/{}", difference.path),
            difference: difference.deviation.to_string(),
            config: difference.config,
        };
        Self { differences: found.iter().map(report).collect() }
    }
}

impl Report for VerifyReport {
    fn print(&self, output: &Output) {
        for DifferenceReport { name, path, difference, config } in &self.differences {
            let config = if *config { " (configuration)" } else { "" };
            output.print_line(format!("{name}: {path}: {difference}{config}"));
        }
        if self.differences.is_empty() {
            output.note("everything is as it was installed");
        }
    }
}

/// Compares.
pub fn run(session: &Session<'_>, arguments: &VerifyArgs) -> Result<ExitStatus, Failure> {
    let database = session.open_to_read()?;
    let root = Root::open(&session.places.root).or_explain()?;
    let mut bars = session.bars();
    let found = verify_installed(&database, &root, &arguments.names, &mut bars).or_explain()?;
    let differs = found.iter().any(|difference| !difference.config);
    session.output.report(&VerifyReport::new(&found));
    Ok(if differs { ExitStatus::FilesDiffer } else { ExitStatus::Done })
}

//! The arguments that choose among patches.

use clap::Args;
use countersign_format::entry::{PatchEntry, Severity};
use countersign_format::name::{Platform, Requirement};
use countersign_format::text::AdvisoryId;
use patchctl::config::SourceName;
use patchctl::plan::PlanOptions;
use patchctl::resolve::Filter;

use super::config_files::ConfigFilesArgs;

/// Which patches a command is about.
#[derive(Args, Debug, Clone, Default)]
pub struct FilterArgs {
    /// Only what mends something of this severity at least: low, medium, high or critical
    #[arg(long, value_name = "LEVEL", value_parser = parse_severity)]
    severity: Option<Severity>,
    /// Only what closes this advisory; may be given several times
    #[arg(long = "advisory", value_name = "ID")]
    advisories: Vec<AdvisoryId>,
    /// Only what has a severity or an advisory
    #[arg(long)]
    security: bool,
}

/// Which patches a plan may be made of, and what it may do.
#[derive(Args, Debug, Clone, Default)]
pub struct SelectionArgs {
    #[command(flatten)]
    filter: FilterArgs,
    /// Accept older versions than the installed ones
    #[arg(long)]
    allow_downgrade: bool,
    /// Let installed components go that are in the way; without it nothing is ever removed
    #[arg(long)]
    allow_removals: bool,
    /// Take what is asked for from this source, whatever its priority; may be given several times
    #[arg(long = "source", value_name = "NAME")]
    sources: Vec<SourceName>,
    #[command(flatten)]
    pub patch: PatchArgs,
}

/// Which patches of a version a command is about.
#[derive(Args, Debug, Clone, Default)]
pub struct PatchArgs {
    /// Only patches for this platform
    #[arg(long)]
    platform: Option<Platform>,
    /// Only the incremental patch with this base, written as its publisher wrote it
    #[arg(long, value_name = "REQUIREMENT")]
    base: Option<Requirement>,
}

/// What `install` and `upgrade` take.
#[derive(Args, Debug, Clone, Default)]
pub struct ChangeArgs {
    #[command(flatten)]
    pub selection: SelectionArgs,
    /// Fetch and verify, install nothing
    #[arg(long)]
    pub download_only: bool,
    /// Go on although the index is older than it may be; the history records it
    #[arg(long)]
    pub allow_stale: bool,
    #[command(flatten)]
    pub config_files: ConfigFilesArgs,
    /// Whether the plan is carried out as it is or not at all.
    #[arg(skip)]
    pub is_exact: bool,
}

impl PatchArgs {
    /// Whether an entry's patch is one of them.
    pub fn wants(&self, entry: &PatchEntry) -> bool {
        self.platform.as_ref().is_none_or(|platform| entry.platform == *platform)
            && self.base.as_ref().is_none_or(|base| entry.base.as_ref() == Some(base))
    }
}

impl FilterArgs {
    /// The filter.
    pub fn filter(&self) -> Filter {
        Filter {
            severity: self.severity,
            advisories: self.advisories.iter().cloned().collect(),
            security: self.security,
        }
    }
}

impl SelectionArgs {
    /// Which patches a plan may be made of, and what it may do.
    pub fn options(&self) -> PlanOptions {
        PlanOptions {
            filter: self.filter.filter(),
            allow_downgrade: self.allow_downgrade,
            allow_removals: self.allow_removals,
            sources: self.sources.clone(),
            platform: self.patch.platform.clone(),
            base: self.patch.base.clone(),
        }
    }
}

/// The word for a severity.
pub fn severity_word(severity: Severity) -> &'static str {
    match severity {
        Severity::None => "none",
        Severity::Low => "low",
        Severity::Medium => "medium",
        Severity::High => "high",
        Severity::Critical => "critical",
    }
}

fn parse_severity(text: &str) -> Result<Severity, String> {
    let all = [Severity::Low, Severity::Medium, Severity::High, Severity::Critical];
    let found = all.into_iter().find(|severity| severity_word(*severity) == text);
    found.ok_or_else(|| "not low, medium, high or critical".to_owned())
}

//! When a refresh is due: timers run it more often than heads need it.

use std::time::Duration;

use clap::Args;
use countersign_terminal::{Output, Report, parse_duration};
use serde::Serialize;

/// When heads are signed anew.
#[derive(Args, Debug, Clone, Copy)]
pub struct DueArgs {
    /// Only if a head is older; a quarter of the authority's max_age unless said
    #[arg(long, value_name = "SPAN", value_parser = parse_duration)]
    if_older_than: Option<Duration>,
    /// However young the heads are
    #[arg(long, conflicts_with = "if_older_than")]
    pub force: bool,
}

impl DueArgs {
    /// The age, in seconds, that was asked for.
    pub fn older_than(&self) -> Option<u64> {
        self.if_older_than.map(|span| span.as_secs())
    }
}

/// Nothing was written.
#[derive(Serialize)]
pub struct NothingDue {
    /// Always false.
    pub refreshed: bool,
}

impl Report for NothingDue {
    fn print(&self, output: &Output) {
        output.detail("Nothing is due; --force signs anew all the same.");
    }
}

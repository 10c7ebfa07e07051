//! What must be restarted before all that was installed is in use.

use std::collections::BTreeSet;
use std::path::Path;

use crate::catalogue::Catalogue;
use crate::db::history::TransactionState;
use crate::db::{Database, DatabaseError};

/// What must be restarted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Restarts {
    /// Services that patches named since the machine started. Whether somebody restarted them
    /// meanwhile is not known here.
    pub services: BTreeSet<String>,
    /// The machine.
    pub machine: bool,
}

/// What the transactions since the machine started ask to be restarted. Under a root that is not
/// this machine's own nothing runs.
pub fn pending(
    database: &Database,
    catalogue: &Catalogue,
    root: &Path,
) -> Result<Restarts, DatabaseError> {
    let mut restarts = Restarts::default();
    let Some(started) = started().filter(|_| root == Path::new("/")) else { return Ok(restarts) };
    let is_since = |finished: Option<u64>| finished.is_some_and(|finished| finished >= started);
    for record in database.history()? {
        if record.state != TransactionState::Done || !is_since(record.finished) {
            continue;
        }
        for change in record.changes {
            let offers = catalogue.offers_named(database, &change.name)?;
            let is_new = |version| Some(version) == change.new.as_ref();
            for offer in offers.iter().filter(|offer| is_new(offer.version())) {
                let entry = offer.entry();
                restarts.services.extend(entry.restart.iter().map(ToString::to_string));
                restarts.machine |= entry.reboot;
            }
        }
    }
    Ok(restarts)
}

/// When the machine started, in seconds since 1970, where the kernel says it.
fn started() -> Option<u64> {
    let stat = std::fs::read_to_string("/proc/stat").ok()?;
    stat.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()
}

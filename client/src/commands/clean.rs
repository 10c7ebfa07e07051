//! `patchctl clean`.

use clap::Args;
use countersign_terminal::{ExitStatus, Failure, Output, Report, bytes};
use patchctl::download::{cached, clear};
use patchctl::object::Size;
use patchctl::root::Root;
use patchctl::transaction::{Freed, Retention, drop_backups, droppable, surplus};
use serde::Serialize;

use super::change::not_confirmed;
use super::count;
use crate::explain::OrExplain as _;
use crate::session::Session;

/// Free disk space: the cache, and backups that no rollback is to need
///
/// Without options, the cache and the backups beyond what the settings keep (`keep_transactions`,
/// `keep_age`, `keep_size`). Transactions whose backups are dropped stay in the history and can be
/// undone no more. Local changes that were kept aside are never dropped.
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  \
    patchctl clean\n  \
    patchctl clean --archives\n  \
    patchctl clean --transactions\n  \
    patchctl clean --all --yes\n  \
    patchctl clean --dry-run")]
pub struct CleanArgs {
    /// The cache, and the backups of every transaction: nothing can be rolled back afterwards
    #[arg(long)]
    all: bool,
    /// Only the cache
    #[arg(long)]
    archives: bool,
    /// Only backups
    #[arg(long)]
    transactions: bool,
}

#[derive(Serialize)]
struct CleanReport {
    dry_run: bool,
    cache: Option<CacheReport>,
    backups: Option<BackupsReport>,
    bytes: u64,
}

#[derive(Serialize)]
struct CacheReport {
    files: u64,
    bytes: u64,
}

#[derive(Serialize)]
struct BackupsReport {
    transactions: Vec<i64>,
    files: u64,
    bytes: u64,
}

impl Report for CleanReport {
    fn print(&self, output: &Output) {
        let line = |what: &str, files, freed| {
            let verb = if self.dry_run { "would free" } else { "freed" };
            let files = count(files, "file", "files");
            output.print_line(format!("{what}: {verb} {} in {files}", bytes(freed)));
        };
        if let Some(CacheReport { files, bytes }) = self.cache {
            line("cache", files, bytes);
        }
        let Some(BackupsReport { transactions, files, bytes }) = &self.backups else { return };
        line("backups", *files, *bytes);
        let list = match transactions.as_slice() {
            [] => return,
            [one] => format!("transaction {one}"),
            [first, .., last] => format!("transactions {first} to {last}"),
        };
        let can = if self.dry_run { "could" } else { "can" };
        output.note(format!("{list} {can} be rolled back no more"));
    }
}

/// Frees.
pub fn run(session: &Session<'_>, arguments: &CleanArgs) -> Result<ExitStatus, Failure> {
    let state = session.open()?;
    let root = Root::open(&session.places.root).or_explain()?;
    let dry_run = session.arguments.dry_run;
    let both = arguments.archives == arguments.transactions;
    let now = session.now.seconds();
    let retention =
        if arguments.all { Retention::NOTHING } else { session.context(false).retention };
    let transactions = (both || arguments.transactions)
        .then(|| surplus(&state.database, &root, retention, now))
        .transpose()
        .or_explain()?;
    let loses = transactions.as_ref().is_some_and(|dropped| arguments.all && !dropped.is_empty());
    if loses && !dry_run {
        let question = "drop all backups? nothing can be rolled back afterwards";
        if !session.output.confirm(question, session.arguments.yes)? {
            return Err(not_confirmed());
        }
    }
    let backups = transactions.map(|transactions| {
        let mut freed = Freed::default();
        for transaction in transactions {
            let one = if dry_run { droppable } else { drop_backups };
            freed.add(one(&state.database, &root, transaction).or_explain()?);
        }
        Ok::<_, Failure>(freed)
    });
    let backups = backups.transpose()?;
    let cache = (both || arguments.archives).then(|| {
        let cache = &session.places.cache;
        if dry_run { cached(cache) } else { clear(cache) }
    });
    let cache = cache.transpose().or_explain()?;
    let bytes =
        cache.map_or(0, |size| size.bytes) + backups.as_ref().map_or(0, |freed| freed.size.bytes);
    session.output.report(&CleanReport {
        dry_run,
        cache: cache.map(|Size { files, bytes }| CacheReport { files, bytes }),
        backups: backups.map(|Freed { transactions, size: Size { files, bytes } }| BackupsReport {
            transactions,
            files,
            bytes,
        }),
        bytes,
    });
    Ok(ExitStatus::Done)
}

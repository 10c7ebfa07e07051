//! `patchrepo mirror sync`.

use std::path::PathBuf;
use std::time::Duration;
use std::{fs, iter, slice};

use clap::Args;
use countersign_format::layout::{Log, RepoPath};
use countersign_format::policy::Clock;
use countersign_format::text::DistributionName;
use countersign_store::mirrors::Passed;
use countersign_store::{Holder, HttpOptions, Location, Lock, LockError, Mirrors, Source};
use countersign_terminal::{ExitStatus, Failure, OrFail as _, Output, Report, bytes};
use serde::Serialize;

use crate::commands::trust::{AuthorityArgs, open_source, warn_passed_over};
use crate::commands::{block_on, now};
use crate::mirror::{self, MirrorOptions, Synced};
use crate::replica::LOCK;

/// How long another process that syncs the same mirror is waited for.
const PATIENCE: Duration = Duration::from_secs(300);

/// Bring a mirror up to date; every byte is verified before it is served
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  \
    patchrepo mirror sync https://patches.example.org/ /srv/mirror --authority authority.txt\n  \
    patchrepo mirror sync https://m1.example.net/ /srv/mirror --authority authority.txt -q\n\n\
    A mirror holds no key. Its directory is what a web server serves, and may be copied from again.\n\
    Run it from a timer: what is new is fetched, and nothing else. Where URL fails, the servers are\n\
    asked that the directory lists, but for those that --self names as its own.")]
pub struct SyncArgs {
    /// A distribution's repository, or another mirror of it
    #[arg(value_name = "URL")]
    source: Location,
    /// The mirror's directory; it is made if need be
    #[arg(value_name = "DIR")]
    directory: PathBuf,
    #[command(flatten)]
    authority: AuthorityArgs,
    /// A URL at which this mirror itself is read: not to be copied from where the directory lists it
    #[arg(long = "self", value_name = "URL")]
    own: Vec<Location>,
    /// Fetch again what is gone from this mirror; otherwise only what changed is looked at
    #[arg(long)]
    repair: bool,
    /// The distribution, where the authority lists several
    #[arg(long, value_name = "NAME")]
    distribution: Option<DistributionName>,
}

#[derive(Serialize)]
struct Shown {
    source: String,
    failed: Vec<ShownFailure>,
    directory: PathBuf,
    authority: u64,
    logs: Vec<ShownLog>,
    patches: u64,
    left_out: Vec<String>,
    requests: u64,
    received: u64,
}

#[derive(Serialize)]
struct ShownFailure {
    source: String,
    why: String,
}

#[derive(Serialize)]
struct ShownLog {
    log: Log,
    before: u64,
    size: u64,
    unchanged: bool,
}

impl Shown {
    fn new(arguments: &SyncArgs, synced: &Synced) -> Self {
        let log = |log: &mirror::SyncedLog| ShownLog {
            log: log.log,
            before: log.before,
            size: log.size,
            unchanged: log.is_unchanged,
        };
        Self {
            source: synced.source.clone(),
            failed: synced
                .failed
                .iter()
                .map(|Passed { source, why, .. }| ShownFailure {
                    source: source.clone(),
                    why: why.clone(),
                })
                .collect(),
            directory: arguments.directory.clone(),
            authority: synced.authority,
            logs: synced.logs.iter().map(log).collect(),
            patches: synced.patches,
            left_out: synced.bad_packs.iter().map(RepoPath::to_string).collect(),
            requests: synced.statistics.requests,
            received: synced.statistics.received,
        }
    }
}

impl Report for Shown {
    fn print(&self, output: &Output) {
        if self.patches == 0 && self.logs.iter().all(|log| log.unchanged) {
            output.print_line("Nothing new.");
        }
        for log in self.logs.iter().filter(|log| !log.unchanged) {
            let grown = match log.size - log.before {
                0 => "signed anew".to_owned(),
                1 => "1 new entry".to_owned(),
                many => format!("{many} new entries"),
            };
            output.print_field(log.log.as_str(), format!("{} entries, {grown}", log.size));
        }
        if self.patches > 0 {
            output.print_field("patches", format!("{} fetched", self.patches));
        }
        output.detail(format!("{} requests, {} received", self.requests, bytes(self.received)));
    }
}

/// Takes the mirror's lock and syncs.
pub fn run(arguments: &SyncArgs, output: &Output) -> Result<ExitStatus, Failure> {
    let options = MirrorOptions {
        anchor: arguments.authority.read()?,
        distribution: arguments.distribution.clone(),
        clock: Clock::local(now()?),
        repairs: arguments.repair,
    };
    fs::create_dir_all(&arguments.directory).or_fail(ExitStatus::Failed)?;
    let _lock = lock(arguments, output)?;
    let not = [slice::from_ref(&arguments.source), &arguments.own].concat();
    let others = block_on(mirror::other_places(&arguments.directory, &options, &not))??;
    let first = match others.as_slice() {
        [] => open_source(&arguments.source)?,
        _ => Source::open(&arguments.source, &HttpOptions::default()),
    };
    let others = others.iter().map(|place| Source::open(place, &HttpOptions::default()));
    let sources = Mirrors::new(iter::once(first).chain(others).collect());
    let syncing = mirror::sync(&sources, &arguments.directory, &options, output.progress());
    let synced = block_on(syncing)??;
    for Passed { source, why, .. } in &synced.failed {
        output.warning(format!("{source} is passed over: {why}"));
    }
    if !synced.failed.is_empty() {
        output.note(format!("Copied from {}.", synced.source));
    }
    warn_passed_over(&synced.passed_over, output);
    for path in &synced.bad_packs {
        output.warning(format!("{path} is left out: it does not hold what it should"));
    }
    if let Some(why) = &synced.directory_refused {
        output.warning(format!("the directory is not taken: {why}"));
    }
    output.report(&Shown::new(arguments, &synced));
    Ok(ExitStatus::Done)
}

fn lock(arguments: &SyncArgs, output: &Output) -> Result<Lock, Failure> {
    let path = arguments.directory.join(LOCK);
    let words = std::env::args_os().map(|word| word.to_string_lossy().into_owned());
    let this = Holder::this_process(&words.collect::<Vec<_>>().join(" "), now()?.seconds());
    let waiting = |holder: Option<&Holder>| {
        let holder = holder.map_or_else(|| "another process".to_owned(), Holder::to_string);
        output.note(format!("waiting for {holder}, which syncs this mirror"));
    };
    Lock::acquire(&path, &this, Some(PATIENCE), waiting).map_err(|error| {
        let exit = match error {
            LockError::Held { .. } => ExitStatus::Locked,
            LockError::File { .. } => ExitStatus::Failed,
        };
        Failure::new(exit, error)
    })
}

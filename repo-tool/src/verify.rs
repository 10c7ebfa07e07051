//! Checking a whole repository: every signature, hash, proof and file (SPEC §2–§7).
//!
//! In scope: all that a repository's files can contradict, in themselves and among each other. A
//! check does not end at the first problem; it names every file that it finds something about.
//!
//! Out of scope: whether this is the newest state there is. A client knows what it saw before; a
//! check begins with the authority note and nothing else.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use countersign_format::authority::{AuthorityNote, DistributionRole};
use countersign_format::layout::{Log, RepoPath};
use countersign_format::policy::Clock;
use countersign_format::text::DistributionName;
use countersign_format::time::Timestamp;
use countersign_store::Source;
use countersign_store::authority::{Anchor, AuthorityError};
use countersign_terminal::{ExitStatus, Progress, Unit};
use serde::Serialize;

mod chain;
mod entries;
mod finding;
mod heads;
mod jobs;
mod listing;
mod log;
mod reader;
mod tree;
mod waiting;

pub use entries::EntryCounts;
pub use finding::{Finding, FindingKind};

use entries::{Collected, Decided};
use finding::Findings;
use jobs::{Job, PatchJob, Summary};
use reader::Reader;

use crate::tree::Tree;

/// What a check begins with.
#[derive(Clone, Debug)]
pub struct VerifyOptions {
    /// What the chain of authority notes begins with.
    pub anchor: Anchor,
    /// Which distribution's repository it is, where the authority lists several.
    pub distribution: Option<DistributionName>,
    /// The time.
    pub clock: Clock,
}

/// Why nothing could be checked.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// The chain of authority notes has no beginning.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    /// The authority lists no distribution of that name.
    #[error("authority {authority} lists no distribution{}",
        .name.as_ref().map(|name| format!(" {name}")).unwrap_or_default())]
    Distribution {
        /// The authority's name.
        authority: String,
        /// The name that was asked for.
        name: Option<DistributionName>,
    },
}

/// What was checked and what was found.
#[derive(Serialize, Clone, PartialEq, Eq, Debug)]
pub struct Verification {
    /// The directory or URL.
    pub location: String,
    /// Whose repository it was checked as.
    pub checked_as: CheckedAs,
    /// The newest authority note.
    pub authority: AuthoritySummary,
    /// The logs, the collection's first.
    pub logs: Vec<LogSummary>,
    /// The same by the heads that wait for their witnesses (SPEC §4.6). Those that are not signed,
    /// or go on from no published head, are among the findings alone.
    pub waiting: Vec<LogSummary>,
    /// Patches whose note and archive were checked.
    pub patches: u64,
    /// Bytes of their archives.
    pub archive_bytes: u64,
    /// Packs that inflate to entries of the signed tree. Their compressed form carries no meaning.
    pub packs: u64,
    /// All that was found.
    pub findings: Vec<Finding>,
}

/// Whose repository it is.
#[derive(Serialize, Clone, PartialEq, Eq, Debug)]
#[serde(rename_all = "lowercase")]
pub enum CheckedAs {
    /// A collection's, for its distributions: first signatures only.
    Collection,
    /// This distribution's, for clients and mirrors: both signatures on both layers.
    Distribution(DistributionName),
}

/// The newest authority note.
#[derive(Serialize, Clone, PartialEq, Eq, Debug)]
pub struct AuthoritySummary {
    /// The authority's name.
    pub name: String,
    /// The newest version that can be accepted.
    pub version: u64,
    /// When it expires.
    pub expires: Timestamp,
}

/// A log.
#[derive(Serialize, Clone, PartialEq, Eq, Debug)]
pub struct LogSummary {
    /// Which log.
    pub log: Log,
    /// Its name.
    pub origin: String,
    /// Entries, as its head says.
    pub size: u64,
    /// Its root in base64, as its head says.
    pub root: String,
    /// The oldest of the times that count on its head; none where the head is refused.
    pub time: Option<Timestamp>,
    /// Its entries, by kind.
    pub entries: EntryCounts,
}

impl Verification {
    /// What is wrong, as opposed to worth knowing.
    pub fn problems(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(|finding| finding.kind.is_problem())
    }

    /// What the program exits with.
    pub fn exit(&self) -> ExitStatus {
        let exits = self.findings.iter().map(|finding| finding.kind.exit());
        exits.fold(ExitStatus::Done, ExitStatus::and)
    }
}

/// Checks the repository at `source`, which is the directory `root` where there is one.
pub async fn verify(
    source: Source,
    root: Option<&Path>,
    options: &VerifyOptions,
    progress: &Progress,
) -> Result<Verification, VerifyError> {
    let location = source.name().to_owned();
    let reader = Arc::new(Reader::new(source, root));
    let mut check = Check { reader, findings: Findings::default(), seen: BTreeSet::new() };
    let authority = chain::check(&mut check, &options.anchor, options.clock).await?;
    let distribution = heads::distribution(&check, &authority, options).await?;
    let scope = heads::scope(&check, distribution).await;
    let context = Context {
        authority: authority.newest(),
        distribution,
        is_first: scope == CheckedAs::Collection,
        clock: options.clock,
    };
    heads::check_directory(&mut check, &context).await;
    let heads = heads::check_all(&mut check, &context).await;
    let mut logs = check.logs(&authority, &context, &heads, progress).await;
    let published = (heads.as_slice(), &mut logs);
    let waiting = waiting::check(&mut check, (&authority, &context), published, progress).await;
    let summary = check.jobs(&authority, &context, logs.jobs, progress).await;
    if let Some(root) = root {
        listing::check(&mut check, root, &logs.trees).await;
    }
    let newest = authority.newest();
    Ok(Verification {
        location,
        checked_as: scope,
        authority: AuthoritySummary {
            name: newest.name.to_string(),
            version: newest.version,
            expires: newest.expires,
        },
        logs: logs.summaries,
        waiting,
        patches: summary.patches,
        archive_bytes: summary.archive_bytes,
        packs: summary.packs,
        findings: check.findings.into_sorted(),
    })
}

/// A check under way.
struct Check {
    reader: Arc<Reader>,
    findings: Findings,
    /// Files that were checked, or found missing.
    seen: BTreeSet<RepoPath>,
}

/// What signatures are judged by.
#[derive(Clone, Copy)]
struct Context<'a> {
    authority: &'a AuthorityNote,
    distribution: &'a DistributionRole,
    /// Whether it is a collection's repository: first signatures only.
    is_first: bool,
    clock: Clock,
}

/// What the logs came to.
struct Logs {
    summaries: Vec<LogSummary>,
    trees: Vec<Tree>,
    jobs: Vec<Job>,
}

impl Check {
    /// Reads a file that may be missing. An error is a finding.
    async fn read(&mut self, path: &RepoPath, limit: usize) -> Option<Vec<u8>> {
        self.seen.insert(path.clone());
        match self.reader.read(path, limit as u64).await {
            Ok(bytes) => bytes,
            Err(error) => {
                self.findings.get(path, &error);
                None
            }
        }
    }

    /// Reads a file that must be there. Its lack is a finding.
    async fn read_required(&mut self, path: &RepoPath, limit: usize) -> Option<Vec<u8>> {
        let before = self.findings.len();
        let bytes = self.read(path, limit).await;
        if bytes.is_none() && self.findings.len() == before {
            self.findings.add(path, FindingKind::Missing, "the file is not there");
        }
        bytes
    }

    /// Reads both logs: the distribution's first, since it says which patches are to be looked at.
    async fn logs(
        &mut self,
        authority: &chain::Authority,
        context: &Context<'_>,
        heads: &[heads::Head],
        progress: &Progress,
    ) -> Logs {
        let mut logs = Logs { summaries: Vec::new(), trees: Vec::new(), jobs: Vec::new() };
        let total = heads.iter().map(|head| head.checkpoint.size).sum();
        let task = progress.task("reading the logs", Some(total), Unit::Items);
        let size =
            |log| heads.iter().find(|head| head.log == log).map_or(0, |head| head.checkpoint.size);
        let origin = &context.authority.collection.origin;
        let mut decided = Decided::new(origin, size(Log::Collection), size(Log::Distribution));
        let mut collected = Collected::new(context.is_first);
        for head in heads.iter().rev() {
            let mut take = |index: u64, bytes: &[u8]| {
                task.advance(1);
                match head.log {
                    Log::Distribution => decided.take(index, bytes),
                    Log::Collection => {
                        collected
                            .take(index, bytes, |patch| decided.decisions().first_release(patch));
                    }
                }
            };
            let tree = log::check(self, head, &mut take).await;
            let entries = match head.log {
                Log::Distribution => decided.report(authority, &mut self.findings),
                Log::Collection => {
                    collected.report(authority, head.checkpoint.size, &mut self.findings)
                }
            };
            logs.summaries.insert(0, head.summary(entries));
            logs.trees.extend(tree);
        }
        if let Some(tree) = logs.trees.iter().find(|tree| tree.log() == Log::Collection) {
            entries::check_tree_heads(self, &decided, tree).await;
        }
        let patches = collected.into_patches().into_iter().map(|mut patch: PatchJob| {
            patch.is_standing = context.is_first || decided.decisions().is_standing(patch.index);
            Job::Patch(patch)
        });
        logs.jobs.extend(patches);
        for tree in &logs.trees {
            logs.jobs.extend(jobs::packs(&self.reader, tree).into_iter().map(Job::Pack));
        }
        logs
    }

    async fn jobs(
        &mut self,
        authority: &chain::Authority,
        context: &Context<'_>,
        jobs: Vec<Job>,
        progress: &Progress,
    ) -> Summary {
        let judge = jobs::Judge {
            authority: AuthorityNote::clone(authority.newest()),
            distribution: context.distribution.clone(),
            is_first: context.is_first,
        };
        let summary = jobs::run(&self.reader, judge, jobs, progress).await;
        self.findings.extend(summary.findings.iter().cloned());
        self.seen.extend(summary.seen.iter().cloned());
        summary
    }
}

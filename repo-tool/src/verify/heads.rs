//! The three files that change: both checkpoints and the directory.

use countersign_format::authority::{DistributionRole, LogRole};
use countersign_format::checkpoint::Checkpoint;
use countersign_format::key::{KeyId, KeyName, SignatureType, Vkey};
use countersign_format::layout::{self, Log, RepoPath};
use countersign_format::limits::{MAX_AUTHORITY_NOTE, MAX_NOTE};
use countersign_format::note::Note;
use countersign_format::policy::{
    CheckpointContext, Counted, PolicyError, Role, SignedCheckpoint, SignerTimes,
    verify_checkpoint, verify_directory, verify_first_checkpoint, verify_waiting_checkpoint,
};
use countersign_format::time::Timestamp;

use super::finding::FindingKind;
use super::{
    Check, CheckedAs, Context, EntryCounts, LogSummary, VerifyError, VerifyOptions, chain,
};

/// The head of a log, as its file says. Where the policy refuses it, that was reported.
#[derive(Clone)]
pub(super) struct Head {
    pub(super) log: Log,
    /// Where it stands: published, or waiting for its witnesses.
    pub(super) file: RepoPath,
    pub(super) checkpoint: Checkpoint,
    time: Option<Timestamp>,
}

impl Head {
    pub(super) fn summary(&self, entries: EntryCounts) -> LogSummary {
        LogSummary {
            log: self.log,
            origin: self.checkpoint.origin.to_string(),
            size: self.checkpoint.size,
            root: self.checkpoint.root.to_base64(),
            time: self.time,
            entries,
        }
    }
}

/// The distribution whose repository it is: the one that was asked for, the only one, or the one
/// whose log is there.
pub(super) async fn distribution<'a>(
    check: &Check,
    authority: &'a chain::Authority,
    options: &VerifyOptions,
) -> Result<&'a DistributionRole, VerifyError> {
    let newest = authority.newest();
    let found = match &options.distribution {
        Some(name) => newest.distribution(name),
        None if newest.distributions.len() == 1 => newest.distributions.first(),
        None => {
            let checkpoint = peek(check, Log::Distribution).await;
            let origin = checkpoint.and_then(|note| Checkpoint::parse(note.text()).ok());
            let is_there = |role: &&DistributionRole| {
                origin.as_ref().is_none_or(|head| head.origin == role.log.origin)
            };
            newest.distributions.iter().find(is_there)
        }
    };
    found.ok_or_else(|| VerifyError::Distribution {
        authority: newest.name.to_string(),
        name: options.distribution.clone(),
    })
}

/// It is a collection's repository if it has no distribution's log and no distribution's line on
/// the collection's.
pub(super) async fn scope(check: &Check, distribution: &DistributionRole) -> CheckedAs {
    let is_theirs = |name: &KeyName, id| is_line(&distribution.log, &COSIGNED, name, id);
    let has_line = |note: Note| note.signatures().iter().any(|line| is_theirs(&line.name, line.id));
    let has_log = peek(check, Log::Distribution).await.is_some();
    if has_log || peek(check, Log::Collection).await.is_some_and(has_line) {
        CheckedAs::Distribution(distribution.name.clone())
    } else {
        CheckedAs::Collection
    }
}

/// The directory's file, if there is one.
pub(super) async fn check_directory(check: &mut Check, context: &Context<'_>) {
    let path = layout::directory();
    let Some(bytes) = check.read(&path, MAX_AUTHORITY_NOTE).await else { return };
    if let Err(error) = verify_directory(&bytes, path.as_str(), context.authority, context.clock) {
        check.findings.policy(&error);
    }
    if let Ok(note) = Note::parse(&bytes, MAX_AUTHORITY_NOTE) {
        let keys = &context.authority.directory.keys;
        check.findings.strangers(&path, &note, |name, id| {
            keys.iter().any(|key| key.name == *name && key.id(SignatureType::Note) == id)
        });
    }
}

/// The heads of the logs that the repository has, the collection's first.
pub(super) async fn check_all(check: &mut Check, context: &Context<'_>) -> Vec<Head> {
    let mut heads = Vec::new();
    let logs: &[Log] = if context.is_first { &[Log::Collection] } else { &Log::BOTH };
    for log in logs {
        let path = layout::checkpoint(*log);
        if let Some(bytes) = check.read_required(&path, MAX_NOTE).await {
            heads.extend(check_one(check, context, *log, path, &bytes));
        }
    }
    heads
}

/// The head of a log that waits for its witnesses, if one does and its servers have signed it.
pub(super) async fn waiting(check: &mut Check, context: &Context<'_>, log: Log) -> Option<Head> {
    let path = layout::candidate(log);
    let bytes = check.read(&path, MAX_NOTE).await?;
    check_one(check, context, log, path, &bytes).filter(|head| head.time.is_some())
}

fn check_one(
    check: &mut Check,
    context: &Context<'_>,
    log: Log,
    file: RepoPath,
    bytes: &[u8],
) -> Option<Head> {
    match judge(context, log, &file, bytes) {
        Ok(signed) => {
            plain_lines(check, context, log, &file, &signed.counted);
            strangers(check, context, log, &file, &signed.note);
            let time = signed.counted.iter().filter_map(|line| line.time).min();
            Some(Head { log, file, checkpoint: signed.checkpoint, time })
        }
        Err(error) => {
            check.findings.policy(&error);
            // go on with what the text says: what else is wrong is worth knowing too
            let note = Note::parse(bytes, MAX_NOTE).ok()?;
            strangers(check, context, log, &file, &note);
            let checkpoint = Checkpoint::parse(note.text()).ok()?;
            Some(Head { log, file, checkpoint, time: None })
        }
    }
}

fn judge(
    context: &Context<'_>,
    log: Log,
    path: &RepoPath,
    bytes: &[u8],
) -> Result<SignedCheckpoint, PolicyError> {
    let context_of_log = CheckpointContext {
        file: path.as_str(),
        log,
        authority: context.authority,
        distribution: context.distribution,
        clock: context.clock,
        newest: &SignerTimes::new(),
    };
    if context.is_first {
        Ok(SignedCheckpoint::clone(&*verify_first_checkpoint(bytes, &context_of_log)?))
    } else if *path == layout::candidate(log) {
        Ok(SignedCheckpoint::clone(&*verify_waiting_checkpoint(bytes, &context_of_log)?))
    } else {
        Ok(SignedCheckpoint::clone(&*verify_checkpoint(bytes, &context_of_log)?))
    }
}

/// The policy does without the plain signatures; readers of other programs need them (SPEC §4).
fn plain_lines(
    check: &mut Check,
    context: &Context<'_>,
    log: Log,
    path: &RepoPath,
    counted: &[Counted],
) {
    let role = context.authority.log_role(log, context.distribution);
    let is_own = |line: &&Counted| match (&line.role, log) {
        (Role::Collection, Log::Collection) | (Role::Distribution(_), Log::Distribution) => {
            line.form == SignatureType::Note
        }
        _ => false,
    };
    let found = counted.iter().filter(is_own).count();
    if found < role.threshold as usize {
        let message = format!(
            "{found} of {} plain signatures of the {log} are there, which other readers of \
             tlog-tiles need",
            role.threshold
        );
        check.findings.add(path, FindingKind::Signature, message);
    }
}

const COSIGNED: [SignatureType; 1] = [SignatureType::Cosignature];
const OWN: [SignatureType; 2] = [SignatureType::Note, SignatureType::Cosignature];

fn strangers(check: &mut Check, context: &Context<'_>, log: Log, path: &RepoPath, note: &Note) {
    let own = context.authority.log_role(log, context.distribution);
    let witnesses = &context.authority.witnesses.keys;
    check.findings.strangers(path, note, |name, id| {
        is_line(own, &OWN, name, id)
            || (!context.is_first && is_line(&context.distribution.log, &COSIGNED, name, id))
            || witnesses.iter().any(|key| is_of(key, &COSIGNED, name, id))
    });
}

/// Whether a line's name and ID are those of a key of `role`, in one of `forms`.
fn is_line(role: &LogRole, forms: &[SignatureType], name: &KeyName, id: KeyId) -> bool {
    role.keys.iter().any(|key| is_of(&key.vkey, forms, name, id))
}

fn is_of(key: &Vkey, forms: &[SignatureType], name: &KeyName, id: KeyId) -> bool {
    key.name == *name && forms.iter().any(|form| key.id(*form) == id)
}

/// A checkpoint's note, nothing reported.
async fn peek(check: &Check, log: Log) -> Option<Note> {
    let bytes = check.reader.read(&layout::checkpoint(log), MAX_NOTE as u64).await.ok()??;
    Note::parse(&bytes, MAX_NOTE).ok()
}

//! The chain of authority notes.

use std::collections::BTreeMap;

use countersign_format::authority::{AuthorityNote, fingerprint};
use countersign_format::entry::AuthorityReference;
use countersign_format::hash::Hash32;
use countersign_format::key::{SignatureType, Vkey};
use countersign_format::layout::{self, RepoPath};
use countersign_format::limits::MAX_AUTHORITY_NOTE;
use countersign_format::note::Note;
use countersign_format::policy::{Chain, Clock, Verified, check_unexpired};
use countersign_store::authority::{Anchor, Step, Unacceptable, Walk};

use super::finding::{FindingKind, describe};
use super::{Check, VerifyError};

/// What the chain came to.
pub(super) struct Authority {
    chain: Chain,
    /// The text's SHA-256 of every version that is there, accepted or not.
    fingerprints: BTreeMap<u64, Hash32>,
}

impl Authority {
    pub(super) fn newest(&self) -> &Verified<AuthorityNote> {
        self.chain.newest()
    }

    /// Whether the note that a log speaks of is there.
    pub(super) fn has(&self, reference: &AuthorityReference) -> bool {
        self.fingerprints.get(&reference.version) == Some(&reference.sha256)
    }
}

/// Checks all versions: from the enrolled one on as clients do, and those before it among
/// themselves.
pub(super) async fn check(
    check: &mut Check,
    anchor: &Anchor,
    clock: Clock,
) -> Result<Authority, VerifyError> {
    let reader = check.reader.clone();
    let mut walk = Walk::begin(reader.source(), anchor).await?;
    let mut authority = Authority { chain: walk.chain().clone(), fingerprints: BTreeMap::new() };
    up_to_anchor(check, &mut authority).await;
    loop {
        let before = walk.chain().clone();
        let passed_over = walk.passed_over().len();
        match walk.step(reader.source()).await? {
            Step::End => break,
            Step::Accepted { version, bytes } => {
                authority.note(check, version, &bytes, &[&before, walk.chain()]);
            }
            Step::PassedOver { version, bytes } => {
                let path = layout::authority(version);
                match &walk.passed_over()[passed_over].why {
                    Unacceptable::Policy(error) => check.findings.policy(error),
                    error @ Unacceptable::TooLarge(_) => {
                        check.findings.add(&path, FindingKind::Damaged, describe(error));
                    }
                }
                authority.note(check, version, &bytes, &[]);
            }
        }
    }
    authority.chain = walk.chain().clone();
    let newest = authority.newest();
    let file = layout::authority(newest.version);
    if let Err(error) = check_unexpired(newest, file.as_str(), clock) {
        check.findings.policy(&error);
    }
    Ok(authority)
}

/// Checks the versions up to the enrolled one: each follows the one before, and the last is the
/// enrolled note.
async fn up_to_anchor(check: &mut Check, authority: &mut Authority) {
    let anchor = authority.chain.clone();
    let mut chain: Option<Chain> = None;
    for version in 1..=anchor.newest().version {
        let path = layout::authority(version);
        let Some(bytes) = check.read_required(&path, MAX_AUTHORITY_NOTE).await else { continue };
        let followed = match &chain {
            None => Chain::enroll(&bytes, path.as_str()),
            Some(chain) => chain.follow(&bytes, path.as_str(), version),
        };
        match followed {
            Ok(next) => {
                let before = chain.take().unwrap_or_else(|| next.clone());
                authority.note(check, version, &bytes, &[&before, &next]);
                check_version(check, &path, &next, version);
                chain = Some(next);
            }
            Err(error) => {
                check.findings.policy(&error);
                authority.note(check, version, &bytes, &[]);
            }
        }
        let is_anchor = version == anchor.newest().version;
        if is_anchor && authority.fingerprints.get(&version) != Some(&anchor.fingerprint()) {
            let message = "the note is not the one that --authority names";
            check.findings.add(&path, FindingKind::Fork, message);
        }
    }
}

fn check_version(check: &mut Check, path: &RepoPath, chain: &Chain, version: u64) {
    let found = chain.newest().version;
    if found != version {
        let message = format!("the note says version {found}, its file's name says {version}");
        check.findings.add(path, FindingKind::Damaged, message);
    }
}

impl Authority {
    /// Keeps a version's fingerprint, and remarks on lines of keys that neither of `chains` knows.
    fn note(&mut self, check: &mut Check, version: u64, bytes: &[u8], chains: &[&Chain]) {
        let path = layout::authority(version);
        check.seen.insert(path.clone());
        let Ok(note) = Note::parse(bytes, MAX_AUTHORITY_NOTE) else { return };
        self.fingerprints.insert(version, fingerprint(note.text()));
        if chains.is_empty() {
            return;
        }
        let keys: Vec<&Vkey> =
            chains.iter().flat_map(|chain| &chain.newest().authority.keys).collect();
        check.findings.strangers(&path, &note, |name, id| {
            keys.iter().any(|key| key.name == *name && key.id(SignatureType::Note) == id)
        });
    }
}

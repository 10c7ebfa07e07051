//! `patchrepo verify`: what is published passes, and whatever is altered is named.

use std::fs;
use std::path::Path;

use countersign_fixtures::{
    NOW, PatchSpec, Payload, Repository, RepositoryBuilder, Server, pack_entries,
};
use countersign_format::key::SignatureType;
use countersign_format::layout::{self, Log, RepoPath};
use countersign_format::policy::Clock;
use countersign_format::time::Timestamp;
use countersign_store::authority::Anchor;
use countersign_store::memory::Files;
use countersign_store::{Location, Source};
use countersign_terminal::{ExitStatus, Progress};
use patchrepo::verify::{CheckedAs, FindingKind, Verification, VerifyError, VerifyOptions, verify};

#[path = "verify/waiting.rs"]
mod waiting;

fn payload(version: &str) -> Payload {
    Payload::new().program("opt/acme/agent", version).file("opt/acme/data", "the same")
}

/// Two publications, two versions of the authority, a directory, a revoked patch.
fn repository() -> Repository {
    let mut repository = RepositoryBuilder::new().build();
    let first = repository.collect(&PatchSpec::full("acme", "1.0.0", &payload("one")));
    repository.release(&[first]);
    repository.publish();
    let update = PatchSpec::incremental("acme", "1.1.0", "^1", &payload("one"), &payload("two"));
    let second = repository.collect(&update.hook("check", "#!/bin/sh\n"));
    repository.collect(&PatchSpec::full("other", "1.0.0", &payload("not released")));
    repository.revoke(first, "breaks the spooler");
    repository.release(&[second]);
    let keys = repository.authority_keys.clone();
    repository.publish_authority(&keys);
    repository.publish_directory(1, &["https://192.0.2.10/"]);
    repository.publish();
    repository
}

fn options(repository: &Repository) -> VerifyOptions {
    let bytes = repository.enrolment();
    let now = Timestamp::from_seconds(NOW).expect("a time");
    VerifyOptions {
        anchor: Anchor::Note { bytes, file: "enrolled".into() },
        distribution: None,
        clock: Clock::local(now),
    }
}

fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().expect("a runtime").block_on(future)
}

fn check_directory(path: &Path, repository: &Repository) -> Verification {
    let location: Location = path.to_str().expect("UTF-8").parse().expect("a location");
    let source = Source::open(&location, &countersign_store::HttpOptions::default());
    let options = options(repository);
    run(verify(source, Some(path), &options, &Progress::hidden())).expect("a chain")
}

/// Checks what is served, as over HTTP: nothing can be listed.
fn check_served(repository: &Repository) -> Verification {
    check_with(repository, &options(repository)).expect("a chain")
}

fn check_with(
    repository: &Repository,
    options: &VerifyOptions,
) -> Result<Verification, VerifyError> {
    let source = Source::memory("memory", &repository.memory());
    run(verify(source, None, options, &Progress::hidden()))
}

fn written(repository: &Repository) -> tempfile::TempDir {
    let directory = tempfile::tempdir().expect("a directory");
    repository.write_to(directory.path());
    directory
}

/// Asserts that there is a problem of this kind with this file, whose message has these words.
#[track_caller]
fn assert_problem(verification: &Verification, file: &str, kind: FindingKind, words: &str) {
    let found = verification.findings.iter().any(|finding| {
        finding.file == file && finding.kind == kind && finding.message.contains(words)
    });
    assert!(found, "no {kind} of {file} with {words:?} in {:#?}", verification.findings);
}

#[test]
fn what_is_published_passes() {
    let repository = repository();
    let directory = written(&repository);
    let served = check_served(&repository);
    for verification in [check_directory(directory.path(), &repository), served] {
        assert_eq!(verification.findings, []);
        assert_eq!(verification.exit(), ExitStatus::Done);
        assert_eq!(verification.authority.version, 2);
        assert_eq!(verification.patches, 2);
        let main = "main".parse().expect("a name");
        assert_eq!(verification.checked_as, CheckedAs::Distribution(main));
        let [collection, distribution] = verification.logs.as_slice() else { panic!("two logs") };
        assert_eq!((collection.size, distribution.size), (5, 3));
        assert_eq!(collection.entries.patches, 3);
        assert_eq!(collection.entries.revocations, 1);
        assert_eq!(distribution.entries.releases, 2);
    }
}

#[test]
fn a_collections_repository_passes_by_its_first_signatures() {
    let repository = repository();
    let directory = tempfile::tempdir().expect("a directory");
    repository.write_collection_to(directory.path());
    let verification = check_directory(directory.path(), &repository);
    assert_eq!(verification.findings, []);
    assert_eq!(verification.checked_as, CheckedAs::Collection);
    assert_eq!(verification.patches, 3);
}

#[test]
fn a_large_log_passes_with_all_its_packs_and_upper_tiles() {
    let mut repository = RepositoryBuilder::new().build();
    repository.collect_history(4_400);
    repository.publish();
    let directory = written(&repository);
    let verification = check_directory(directory.path(), &repository);
    assert_eq!(verification.findings, []);
    // 17 of 256 entries, one of 4,096, one of the tail
    assert_eq!(verification.packs, 19);
    for path in [
        layout::tile(Log::Collection, 1, 0, 17),
        layout::tile(Log::Collection, 0, 3, 256),
        layout::bundle(Log::Collection, 9, 256),
        layout::pack(Log::Collection, 1, 0),
        layout::tail_pack(Log::Collection, 4400),
    ] {
        let mut spoiled = repository.clone();
        spoiled.edit(&path, |bytes| {
            let middle = bytes.len() / 2;
            bytes[middle] ^= 0x20;
        });
        let verification = check_served(&spoiled);
        assert_problem(&verification, path.as_str(), FindingKind::Damaged, "");
        let others = verification.problems().filter(|finding| finding.file != path.as_str());
        assert_eq!(others.count(), 0, "{path}: {:#?}", verification.findings);
    }
}

/// The positions that are altered: all of a small file, else some everywhere.
fn positions(length: usize) -> Vec<usize> {
    let step = if length <= 160 { 1 } else { length / 24 };
    let mut positions: Vec<usize> = (0..length).step_by(step).collect();
    positions.extend([length / 2, length - 1]);
    positions
}

/// Issue: after any one byte of any file is changed, the file is named. Of a pack only what
/// has other entries then can be.
fn every_change_is_named(files: &Files, repository: &Repository, directory: &Path) {
    for (path, bytes) in files {
        let file = directory.join(path);
        for position in positions(bytes.len()) {
            let mut altered = bytes.clone();
            altered[position] ^= 1;
            fs::write(&file, &altered).expect("written");
            let verification = check_directory(directory, repository);
            let is_named =
                verification.findings.iter().any(|finding| finding.file == path.as_str());
            let reads_alike = path.as_str().contains("/pack/") && {
                pack_entries(&altered) == pack_entries(bytes)
            };
            assert!(
                is_named || reads_alike,
                "byte {position} of {path}: {:#?}",
                verification.findings
            );
        }
        fs::write(&file, bytes).expect("written");
    }
    assert_eq!(check_directory(directory, repository).findings, []);
}

#[test]
fn every_altered_byte_of_a_distributions_repository_is_named() {
    let repository = repository();
    let directory = written(&repository);
    every_change_is_named(repository.files(), &repository, directory.path());
}

#[test]
fn every_altered_byte_of_a_collections_repository_is_named() {
    let repository = repository();
    let directory = tempfile::tempdir().expect("a directory");
    repository.write_collection_to(directory.path());
    every_change_is_named(repository.collection_files(), &repository, directory.path());
}

#[test]
fn every_missing_file_is_named_unless_a_reader_can_do_without() {
    let repository = repository();
    for path in repository.files().keys() {
        let mut spoiled = repository.clone();
        spoiled.files_mut().remove(path);
        let directory = written(&spoiled);
        let verification = check_directory(directory.path(), &repository);
        let is_named = verification
            .problems()
            .any(|finding| finding.file == path.as_str() && finding.kind == FindingKind::Missing);
        let is_last_authority = *path == layout::authority(2);
        let is_earlier_or_optional = path.as_str().contains("/pack/")
            || path.as_str().contains(".p/1")
            || *path == layout::directory();
        if is_last_authority {
            // both logs name the version
            assert_eq!(verification.exit(), ExitStatus::Expired);
        } else if !is_earlier_or_optional || path.as_str().ends_with("checkpoint") {
            assert!(is_named, "{path}: {:#?}", verification.findings);
        }
    }
}

#[test]
fn what_does_not_belong_is_named() {
    let repository = repository();
    let directory = written(&repository);
    let write = |path: &str| {
        let file = directory.path().join(path);
        fs::create_dir_all(file.parent().expect("a parent")).expect("made");
        fs::write(file, "secret").expect("written");
    };
    let paths = ["keys/server.pem", "collection/.tmp-1-0", "authority/9", "collection/tile/0/007"];
    for path in paths {
        write(path);
    }
    let verification = check_directory(directory.path(), &repository);
    assert_eq!(verification.exit(), ExitStatus::Done);
    for path in paths {
        assert_problem(&verification, path, FindingKind::Unexpected, "");
    }
    assert_eq!(verification.findings.len(), paths.len());
}

#[test]
fn a_missing_signature_is_told_by_layer_role_and_file() {
    let repository = repository();
    let collection = repository.collections[0].clone();
    let distribution = repository.distributions[0].clone();
    let head = layout::checkpoint(Log::Collection);
    let spoil = |path: &RepoPath, server: &Server, kind, words: &str| {
        let mut spoiled = repository.clone();
        spoiled.drop_lines(path, server, kind);
        let verification = check_served(&spoiled);
        assert_problem(&verification, path.as_str(), FindingKind::Signature, words);
        assert_eq!(verification.exit(), ExitStatus::Signature);
    };
    let missing = "layer 1 (index): the collection's timestamped signature is missing";
    spoil(&head, &collection, SignatureType::Cosignature, missing);
    let missing = "layer 1 (index): the distribution main's timestamped signature is missing";
    spoil(&head, &distribution, SignatureType::Cosignature, missing);
    spoil(&head, &collection, SignatureType::Note, "0 of 1 plain signatures of the collection");
    let is_note = |path: &&RepoPath| path.as_str().starts_with("patches/");
    let note =
        repository.files().keys().filter(is_note).find(|path| !path.as_str().contains(".patch"));
    let note = note.expect("a note").clone();
    let missing = "layer 2 (archive): the distribution main's countersignature is missing";
    spoil(&note, &distribution, SignatureType::Countersignature, missing);
    let missing = "the collection's signature is missing";
    spoil(&note, &collection, SignatureType::Note, missing);
}

#[test]
fn a_line_of_an_unknown_key_is_remarked_on() {
    let mut repository = repository();
    let stranger = Server::new("elsewhere.example.org/log", 1);
    let head = layout::checkpoint(Log::Distribution);
    repository.edit_note(&head, |note| {
        let line = stranger.sign(note.text()).signatures()[0].clone();
        note.with([line])
    });
    let verification = check_served(&repository);
    assert_eq!(verification.exit(), ExitStatus::Done);
    assert_problem(&verification, head.as_str(), FindingKind::Remark, "elsewhere.example.org/log");
}

#[test]
fn old_heads_and_expired_authorities_are_told() {
    let repository = repository();
    let mut later = options(&repository);
    later.clock = Clock::local(repository.now.plus(4 * 86_400));
    let verification = check_with(&repository, &later).expect("a chain");
    assert_eq!(verification.exit(), ExitStatus::Expired);
    let head = layout::checkpoint(Log::Distribution);
    assert_problem(&verification, head.as_str(), FindingKind::Expired, "old");
    later.clock = Clock::local(repository.now.plus(366 * 86_400));
    let verification = check_with(&repository, &later).expect("a chain");
    assert_problem(&verification, "authority/2", FindingKind::Expired, "expired");
    assert_problem(&verification, "directory", FindingKind::Expired, "expired");
}

#[test]
fn a_decision_about_another_tree_is_a_fork() {
    let mut repository = repository();
    repository.release_with(&[0], |release| release.of.root.0[0] ^= 1);
    repository.release_with(&[0], |release| {
        release.of.origin = "elsewhere.example.org/collection".parse().expect("a name");
    });
    repository.release_with(&[0], |release| release.of.size += 100);
    repository.publish();
    let verification = check_served(&repository);
    assert_eq!(verification.exit(), ExitStatus::RollbackOrFork);
    let file = layout::bundle(Log::Distribution, 0, 6);
    assert_problem(&verification, file.as_str(), FindingKind::Fork, "entry 3");
    assert_problem(&verification, file.as_str(), FindingKind::Remark, "entry 4");
    assert_problem(&verification, file.as_str(), FindingKind::Remark, "entry 5");
}

#[test]
fn bad_entries_are_counted_and_stop_nothing() {
    let mut repository = repository();
    repository.collection.push(b"{\"type\":\"patch/v1\"}\n".to_vec());
    repository.collection.push(b"{\"type\":\"future/v9\"}\n".to_vec());
    let twice = repository.collection.entries()[0].clone();
    repository.collection.push(twice);
    repository.publish();
    let verification = check_served(&repository);
    assert_eq!(verification.exit(), ExitStatus::Done);
    assert_eq!(verification.logs[0].entries.passed_over, 3);
    assert_eq!(verification.findings.len(), 3);
}

#[test]
fn a_head_that_its_entries_do_not_lead_to_is_a_fork() {
    let mut repository = repository();
    let mut other = repository.clone();
    repository.collect_history(1);
    repository.publish();
    other.collect(&PatchSpec::full("evil", "1.0.0", &payload("evil")));
    other.publish();
    let head = layout::checkpoint(Log::Collection);
    let forked = other.files()[&head].clone();
    repository.edit(&head, |bytes| *bytes = forked);
    let verification = check_served(&repository);
    assert_problem(&verification, head.as_str(), FindingKind::Fork, "lead to");
    assert_eq!(verification.exit(), ExitStatus::RollbackOrFork);
}

#[test]
fn another_authority_than_the_one_named_is_no_beginning() {
    let repository = repository();
    let mut options = options(&repository);
    options.anchor =
        Anchor::Fingerprint(countersign_format::hash::Hash32::of(b"another authority"));
    let error = check_with(&repository, &options).expect_err("no beginning");
    assert!(matches!(error, VerifyError::Authority(_)));
    let other = RepositoryBuilder::new().valid_for(5).build();
    let mut options = self::options(&repository);
    options.anchor = Anchor::Note { bytes: other.enrolment(), file: "other".into() };
    let verification = check_with(&repository, &options).expect("a chain of one");
    assert_problem(&verification, "authority/1", FindingKind::Fork, "--authority");
}

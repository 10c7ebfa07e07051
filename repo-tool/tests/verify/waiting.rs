//! Heads that wait for their witnesses: checked like those that are published, and nothing hides
//! behind them.

use super::*;

/// The repository of [`repository`], on which one more release waits for its witnesses.
fn waiting_with(change: impl FnOnce(&mut Repository)) -> Repository {
    let mut repository = repository();
    let published = Log::BOTH.map(|log| repository.files()[&layout::checkpoint(log)].clone());
    repository.wait(60);
    let third = repository.collect(&PatchSpec::full("acme", "2.0.0", &payload("three")));
    repository.release(&[third]);
    change(&mut repository);
    repository.publish();
    for (log, before) in Log::BOTH.into_iter().zip(published) {
        let files = repository.files_mut();
        let next = files.insert(layout::checkpoint(log), before).expect("a head");
        files.insert(layout::candidate(log), next);
    }
    repository
}

fn waiting() -> Repository {
    waiting_with(|_| ())
}

fn checked(repository: &Repository) -> Verification {
    let directory = written(repository);
    check_directory(directory.path(), repository)
}

#[test]
fn a_head_that_waits_passes_with_all_that_belongs_to_it() {
    let repository = waiting();
    for verification in [checked(&repository), check_served(&repository)] {
        assert_eq!(verification.findings, []);
        let sizes = |logs: &[patchrepo::verify::LogSummary]| {
            logs.iter().map(|log| log.size).collect::<Vec<_>>()
        };
        assert_eq!(
            (sizes(&verification.logs), sizes(&verification.waiting)),
            (vec![5, 3], vec![6, 4])
        );
        assert_eq!(verification.patches, 3, "the one that waits too");
    }
}

#[test]
fn nothing_hides_behind_a_head_that_waits() {
    let repository = waiting();
    let directory = written(&repository);
    let stranger = format!("patches/ab/{}.patch", "ab".repeat(32));
    let paths =
        ["collection/tile/0/000.p/9", "distribution/pack/0/003.zst", &stranger, "notes.txt"];
    for path in paths {
        let file = directory.path().join(path);
        fs::create_dir_all(file.parent().expect("a parent")).expect("made");
        fs::write(file, "secret").expect("written");
    }
    let verification = check_directory(directory.path(), &repository);
    for path in paths {
        assert_problem(&verification, path, FindingKind::Unexpected, "");
    }
    assert_eq!(verification.findings.len(), paths.len(), "{:#?}", verification.findings);
}

#[test]
fn every_altered_byte_of_what_waits_is_named() {
    let repository = waiting();
    let directory = written(&repository);
    every_change_is_named(repository.files(), &repository, directory.path());
}

#[test]
fn a_head_that_waits_without_its_servers_signatures_vouches_for_nothing() {
    let mut repository = waiting();
    let path = layout::candidate(Log::Collection);
    let distribution = repository.distributions[0].clone();
    repository.drop_lines(&path, &distribution, SignatureType::Cosignature);
    let verification = checked(&repository);
    let missing = "layer 1 (index): the distribution main's timestamped signature is missing";
    assert_problem(&verification, path.as_str(), FindingKind::Signature, missing);
    assert_eq!(verification.exit(), ExitStatus::Signature);
    let tile = layout::tile(Log::Collection, 0, 0, 6);
    assert_problem(&verification, tile.as_str(), FindingKind::Unexpected, "no head");
}

#[test]
fn what_was_left_of_a_head_that_no_longer_waits_is_named() {
    let mut repository = waiting();
    for log in Log::BOTH {
        repository.files_mut().remove(&layout::candidate(log));
    }
    let verification = checked(&repository);
    for log in Log::BOTH {
        let size = if log == Log::Collection { 6 } else { 4 };
        for path in [layout::tile(log, 0, 0, size), layout::bundle(log, 0, size)] {
            assert_problem(&verification, path.as_str(), FindingKind::Unexpected, "no head");
        }
    }
    // and a head of before the published one, which was left itself
    let old = repository.files()[&layout::checkpoint(Log::Distribution)].clone();
    let mut repository = super::repository();
    repository.release(&[1]);
    repository.publish();
    let candidate = layout::candidate(Log::Distribution);
    repository.files_mut().insert(candidate.clone(), old);
    let verification = checked(&repository);
    assert_problem(&verification, candidate.as_str(), FindingKind::Unexpected, "3 entries");
}

#[test]
fn a_head_that_waits_and_goes_on_from_another_history_is_a_fork() {
    let honest = waiting();
    // another history of the same length, and one that is longer
    for more in [0, 3] {
        let mut other = RepositoryBuilder::new().build();
        other.collect_history(5 + more);
        other.publish();
        let mut forked = honest.clone();
        let path = layout::candidate(Log::Collection);
        for (file, bytes) in other.files() {
            if file.as_str().starts_with("collection/") && !file.as_str().ends_with("/checkpoint") {
                forked.files_mut().entry(file.clone()).or_insert_with(|| bytes.clone());
            }
        }
        let head = other.files()[&layout::checkpoint(Log::Collection)].clone();
        forked.edit(&path, |bytes| *bytes = head);
        let verification = checked(&forked);
        assert_problem(&verification, path.as_str(), FindingKind::Fork, "does not go on from");
        assert_eq!(verification.exit(), ExitStatus::RollbackOrFork);
    }
}

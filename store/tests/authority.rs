//! Reading the chain of authority notes from a repository.

use countersign_fixtures::{AuthorityKeys, Repository, RepositoryBuilder};
use countersign_format::hash::Hash32;
use countersign_format::layout;
use countersign_format::limits::MAX_PASSED_OVER;
use countersign_store::authority::{Anchor, AnchorText, AuthorityError, Step, Unacceptable, Walk};
use countersign_store::{Failover, Source};

/// A repository with `versions` versions of its authority note.
fn repository(versions: u64) -> Repository {
    let mut repository = RepositoryBuilder::new().build();
    for _ in 1..versions {
        let keys = repository.authority_keys.clone();
        repository.publish_authority(&keys);
    }
    repository
}

fn anchor(repository: &Repository) -> Anchor {
    Anchor::Note { bytes: repository.enrolment(), file: "enrolled".into() }
}

fn walk(repository: &Repository, anchor: &Anchor) -> Result<Walk, AuthorityError> {
    let source = Source::memory("memory", &repository.memory());
    run(async { Walk::begin(&source, anchor).await?.finish(&source).await })
}

fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().expect("a runtime").block_on(future)
}

#[test]
fn a_chain_is_followed_to_its_end() {
    let repository = repository(5);
    let walk = walk(&repository, &anchor(&repository)).expect("a chain");
    assert_eq!(walk.chain().newest().version, 5);
    assert!(walk.passed_over().is_empty());
}

#[test]
fn a_note_is_found_by_its_fingerprint_wherever_the_chain_begins() {
    let repository = repository(3);
    for version in 1..=3 {
        let text = repository.note(&layout::authority(version)).text().to_owned();
        let anchor = Anchor::Fingerprint(Hash32::of(text.as_bytes()));
        let walk = walk(&repository, &anchor).expect("a chain");
        assert_eq!(walk.chain().newest().version, 3);
    }
    let error = walk(&repository, &Anchor::Fingerprint(Hash32::of(b"another"))).expect_err("none");
    assert!(matches!(error, AuthorityError::NotFound { .. }));
}

#[test]
fn an_enrolled_note_that_a_server_spoiled_is_looked_for_elsewhere() {
    let repository = repository(2);
    let path = layout::authority(2);
    let note = repository.note(&path);
    let anchor = Anchor::Fingerprint(Hash32::of(note.text().as_bytes()));
    let mut unsigned = repository.clone();
    unsigned
        .edit(&path, |bytes| *bytes = format!("{}\n— x.example AQIDBAU=\n", note.text()).into());
    let error = walk(&unsigned, &anchor).expect_err("nobody signed it");
    assert!(error.is_worth_another_server());
    assert!(matches!(error, AuthorityError::NotFound { refused: Some(_), .. }));
    // nor under another number than its own
    let mut moved = repository.clone();
    moved.edit(&layout::authority(1), |bytes| *bytes = note.to_bytes());
    moved.edit(&path, Vec::clear);
    let error = walk(&moved, &anchor).expect_err("it is not in its place");
    assert!(matches!(error, AuthorityError::NotFound { refused: None, .. }));
}

#[test]
fn a_bad_version_is_passed_over_and_a_later_good_one_heals() {
    let mut repository = repository(1);
    let keys = repository.authority_keys.clone();
    repository.publish_authority(&keys);
    repository.edit(&layout::authority(2), |bytes| bytes[20] ^= 1);
    let stopped = walk(&repository, &anchor(&repository)).expect("a chain");
    assert_eq!(stopped.chain().newest().version, 1);
    repository.publish_authority(&keys);
    let healed = walk(&repository, &anchor(&repository)).expect("a chain");
    assert_eq!(healed.chain().newest().version, 3);
    let versions: Vec<u64> = healed.passed_over().iter().map(|passed| passed.version).collect();
    assert_eq!(versions, [2]);
}

#[test]
fn a_note_of_other_keys_is_passed_over() {
    let mut repository = repository(1);
    let thief = AuthorityKeys::numbered(90, 3);
    repository.authority_keys = thief.clone();
    repository.authority.authority.keys = thief.vkeys();
    repository.publish_authority(&thief);
    let walk = walk(&repository, &anchor(&repository)).expect("a chain");
    assert_eq!(walk.chain().newest().version, 1);
    assert!(matches!(walk.passed_over()[0].why, Unacceptable::Policy(_)));
}

#[test]
fn only_so_many_versions_on_end_are_passed_over() {
    for (bad, is_good) in [(MAX_PASSED_OVER, true), (MAX_PASSED_OVER + 1, false)] {
        let mut repository = repository(bad + 2);
        for version in 2..bad + 2 {
            repository.edit(&layout::authority(version), |bytes| bytes.truncate(9));
        }
        let walked = walk(&repository, &anchor(&repository));
        match walked {
            Ok(walk) if is_good => assert_eq!(walk.chain().newest().version, bad + 2),
            Err(AuthorityError::TooManyPassedOver { .. }) if !is_good => {}
            other => panic!("{bad}: {other:?}"),
        }
    }
}

#[test]
fn a_version_that_is_too_long_is_passed_over_too() {
    let mut repository = repository(3);
    repository.edit(&layout::authority(2), |bytes| bytes.resize(2 << 20, b' '));
    let walk = walk(&repository, &anchor(&repository)).expect("a chain");
    assert_eq!(walk.chain().newest().version, 3);
    let file = "authority/2".to_owned();
    assert_eq!(walk.passed_over()[0].why, Unacceptable::TooLarge(file));
}

#[test]
fn each_step_gives_the_file_as_it_came() {
    let repository = repository(2);
    let source = Source::memory("memory", &repository.memory());
    let step = run(async {
        let mut walk = Walk::begin(&source, &anchor(&repository)).await?;
        walk.step(&source).await
    });
    let bytes = repository.files()[&layout::authority(2)].clone();
    assert_eq!(step.expect("a step"), Step::Accepted { version: 2, bytes });
    assert_eq!(source.statistics().requests, 1);
}

#[test]
fn what_people_write_is_a_file_or_a_fingerprint() {
    let hash = Hash32::of(b"");
    let text: AnchorText = format!("sha256:{hash}").parse().expect("a fingerprint");
    assert_eq!(text, AnchorText::Fingerprint(hash));
    assert_eq!("a/b".parse(), Ok(AnchorText::File("a/b".into())));
    assert!("".parse::<AnchorText>().is_err());
    assert!("sha256:12".parse::<AnchorText>().is_err());
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), "note").expect("written");
    let read = AnchorText::File(file.path().into()).read().expect("read");
    let file = file.path().display().to_string();
    assert_eq!(read, Anchor::Note { bytes: b"note".to_vec(), file });
}

//! What a run that was killed or failed leaves, and where the next goes on.

use std::fs;

use countersign_format::layout::{self, Log};
use countersign_format::note::Note;
use countersign_format::policy::Clock;
use countersign_store::crash::{Failure, with_failure};
use countersign_store::{Location, MemoryRepository, Source};
use patchrepo::mirror::other_places;
use patchrepo::replica::ReplicaError;

use super::{Mirror, add, repository, run};

/// The index saves work and nothing else: without it, or with another repository's, the same comes.
#[test]
fn an_index_that_is_lost_torn_or_wrong_changes_nothing() {
    let other = {
        let mut other = repository();
        for version in ["7.0.0", "8.0.0"] {
            add(&mut other, version);
        }
        Mirror::of(&other)
    };
    let index = |mirror: &Mirror| mirror.path().join(".state/index.db");
    let harms: [&dyn Fn(&Mirror); 4] = [
        &|mirror| fs::remove_dir_all(mirror.path().join(".state")).expect("removed"),
        &|mirror| fs::write(index(mirror), b"no database").expect("written"),
        &|mirror| fs::write(index(mirror), b"").expect("written"),
        &|mirror| {
            for name in ["index.db", "index.db-wal"] {
                let [from, to] = [&other, mirror].map(|it| it.path().join(".state").join(name));
                fs::copy(from, to).expect("copied");
            }
        },
    ];
    for (number, harm) in harms.iter().enumerate() {
        let mut repository = repository();
        let mirror = Mirror::of(&repository);
        harm(&mirror);
        add(&mut repository, "2.0.0");
        repository.release(&[1]);
        repository.wait(60);
        repository.publish();
        let synced = mirror.sync(&repository).unwrap_or_else(|error| panic!("{number}: {error:?}"));
        assert_eq!(synced.patches, 2, "{number}");
        mirror.assert_faithful(&repository);
    }
}

/// Only a run that ended well is trusted to have left nothing half written.
#[test]
fn what_a_killed_run_left_is_removed_by_the_next() {
    let mut repository = repository();
    let mirror = Mirror::of(&repository);
    let left = mirror.path().join("patches/.tmp-1-1");
    fs::write(&left, b"half").expect("written");
    mirror.sync(&repository).expect("synced");
    assert!(left.exists(), "nobody looked");
    let mut spoiled = repository.clone();
    add(&mut spoiled, "2.0.0");
    spoiled.files_mut().retain(|path, _| !path.as_str().contains(".patch"));
    mirror.sync(&spoiled).expect_err("an archive is missing");
    add(&mut repository, "2.0.0");
    mirror.sync(&repository).expect("synced");
    assert!(!left.exists());
    mirror.assert_faithful(&repository);
}

#[test]
fn an_interrupted_download_is_gone_on_with() {
    let repository = repository();
    let (path, bytes) = repository
        .files()
        .iter()
        .find(|(path, _)| path.as_str().contains(".patch"))
        .expect("an archive");
    let incoming = |mirror: &Mirror, bytes: &[u8]| {
        let hash = path.as_str().rsplit('/').next().expect("a name").replace(".patch", "");
        fs::create_dir(mirror.path().join(".incoming")).expect("made");
        fs::write(mirror.path().join(".incoming").join(hash), bytes).expect("written");
    };
    let whole = Mirror::new(&repository).sync(&repository).expect("synced");
    let mirror = Mirror::new(&repository);
    incoming(&mirror, &bytes[..100]);
    let synced = mirror.sync(&repository).expect("synced");
    assert_eq!(synced.statistics.received, whole.statistics.received - 100);
    mirror.assert_faithful(&repository);
    // a beginning that is not the archive's is found out, and the next try begins anew
    let mirror = Mirror::new(&repository);
    incoming(&mirror, &[0; 100]);
    let error = mirror.sync(&repository).expect_err("not the archive");
    assert!(matches!(error, ReplicaError::Archive { .. }));
    mirror.sync(&repository).expect("synced");
    mirror.assert_faithful(&repository);
}

#[test]
fn where_its_source_fails_a_mirror_goes_on_with_another() {
    let mut repository = repository();
    let stale = Source::memory("stale", &repository.memory());
    add(&mut repository, "2.0.0");
    let mirror = Mirror::of(&repository);
    add(&mut repository, "3.0.0");
    let mut liar = repository.clone();
    liar.edit_note(&layout::checkpoint(Log::Collection), |note| {
        Note::new(note.text().to_owned(), Vec::new())
    });
    let sources = vec![
        Source::memory("empty", &MemoryRepository::new()),
        stale,
        Source::memory("liar", &liar.memory()),
        Source::memory("good", &repository.memory()),
    ];
    let synced = mirror.sync_from_any(sources).expect("the last is good");
    assert_eq!(synced.source, "good");
    let passed: Vec<_> = synced.failed.iter().map(|one| (one.source.as_str(), &one.why)).collect();
    let [("empty", missing), ("stale", older), ("liar", unsigned)] = passed.as_slice() else {
        panic!("{passed:?}");
    };
    assert!(missing.contains("has no distribution/checkpoint"), "{missing}");
    assert!(older.contains("60 s older than"), "{older}");
    assert!(unsigned.contains("collection/checkpoint"), "{unsigned}");
    mirror.assert_faithful(&repository);
}

#[test]
fn a_mirror_finds_other_places_in_the_directory_that_it_holds() {
    let mut repository = repository();
    let urls = ["https://m1.example.net/", "https://m2.example.net/", "http://127.0.0.1:1/"];
    repository.publish_directory(2, &urls);
    let mut mirror = Mirror::new(&repository);
    let own: Location = "https://m2.example.net".parse().expect("a place");
    let places = |mirror: &Mirror| -> Vec<String> {
        let found = other_places(mirror.path(), &mirror.options, std::slice::from_ref(&own));
        run(found).expect("found").iter().map(ToString::to_string).collect()
    };
    assert_eq!(places(&mirror), [""; 0], "nothing is held yet");
    mirror.sync(&repository).expect("synced");
    assert_eq!(places(&mirror), [urls[0], urls[2]]);

    let held = mirror.path().join("directory");
    let signed = fs::read(&held).expect("read");
    let forged = String::from_utf8(signed.clone()).expect("text").replace("m1.", "evil.");
    fs::write(&held, forged).expect("written");
    assert_eq!(places(&mirror), [""; 0], "nobody signed it");
    fs::write(&held, signed).expect("written");
    mirror.options.clock = Clock::local(repository.now.plus(90 * 86_400));
    assert_eq!(places(&mirror), [""; 0], "it has expired");
}

#[test]
fn a_failure_of_any_system_call_is_healed_by_the_next_run() {
    let mut repository = repository();
    let base = Mirror::of(&repository);
    add(&mut repository, "2.0.0");
    let mut failures = 0;
    for done in [false, true] {
        for after in 0.. {
            let mirror = Mirror::new(&repository);
            let source = MemoryRepository::new();
            source.replace_all(base.files());
            mirror.sync_from(Source::memory("base", &source)).expect("the state before");
            let failure = Failure { after, errno: 28, done };
            let (result, failed) = with_failure(failure, || mirror.sync(&repository));
            let Some(name) = failed else { break };
            failures += 1;
            assert!(result.is_err(), "{name}");
            mirror.sync(&repository).unwrap_or_else(|error| panic!("{name}: {error:?}"));
            mirror.assert_faithful(&repository);
        }
    }
    assert!(failures > 40, "{failures}");
}

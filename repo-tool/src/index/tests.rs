use std::collections::BTreeMap;
use std::fs;

use countersign_fixtures::{PatchSpec, Payload, Repository, RepositoryBuilder};
use countersign_format::text::RingName;
use tempfile::TempDir;

use super::*;
use crate::catalogue::Catalogue;

struct Place(TempDir);

impl Place {
    fn new() -> Self {
        let place = Self(tempfile::tempdir().expect("a directory"));
        fs::create_dir(place.public()).expect("made");
        place
    }

    fn public(&self) -> PathBuf {
        self.0.path().join("public")
    }

    fn write(&self, repository: &mut Repository) {
        repository.publish();
        repository.write_to(&self.public());
    }

    fn patches(&self) -> PatchIndex {
        let files = DirectoryWriter::new(&self.public());
        PatchIndex::open(self.0.path(), files).expect("an index")
    }

    /// What the index finds, compared with reading the whole log.
    fn check(&self) -> usize {
        let files = DirectoryWriter::new(&self.public());
        let size = read_head(&files, Log::Collection).expect("read").expect("a head").size;
        let read = Catalogue::read(&files, size).expect("read");
        let index = self.patches();
        for patch in read.patches() {
            let (name, version) = (&patch.entry.name, &patch.entry.version);
            assert!(index.named(name, version).expect("found").contains(patch));
            assert!(index.of_name(name).expect("found").contains(patch));
            assert_eq!(index.patch(patch.index).expect("found").as_ref(), Some(patch));
            let known = index.known();
            let found = known.archive(&patch.entry.archive.sha256).expect("found");
            assert_eq!(found.as_ref(), Some(patch));
            let found = known.identity(&patch.entry.identity()).expect("found");
            assert_eq!(found.as_ref(), Some(patch));
        }
        for passed_over in read.passed_over() {
            assert_eq!(index.patch(passed_over.index).expect("looked for"), None);
        }
        assert_eq!(index.patch(size).expect("looked for"), None);
        read.patches().count()
    }
}

/// Patches, one that repeats another, revocations.
fn history(repository: &mut Repository) {
    repository.collect_history(40);
    let one = Payload::new().file("opt/acme/data", "one");
    let two = Payload::new().file("opt/acme/data", "two");
    let first = repository.collect(&PatchSpec::full("acme", "2.0.0", &one));
    repository.collect(&PatchSpec::full("acme", "2.0.0", &two));
    repository.collect(&PatchSpec::full("acme", "2.0.1", &one));
    repository.collect(&PatchSpec::incremental("acme", "2.0.0", "^1", &two, &one));
    repository.revoke(first, "breaks the spooler");
    repository.revoke(first, "once more");
    repository.revoke(7, "too old");
}

#[test]
fn what_is_found_is_what_the_log_says() {
    let (place, mut repository) = (Place::new(), RepositoryBuilder::new().build());
    repository.collect_history(3);
    place.write(&mut repository);
    assert_eq!(place.check(), 3);
    history(&mut repository);
    place.write(&mut repository);
    // goes on from what is indexed
    assert_eq!(place.check(), 46);
    let revoked = place.patches().patch(7).expect("found").expect("a patch");
    assert_eq!(revoked.revoked.expect("a reason").to_string(), "too old");
}

/// Each start reads the write-ahead log whole: one that stays long costs each of them.
#[test]
fn what_is_read_at_each_start_stays_short() {
    let (place, mut repository) = (Place::new(), RepositoryBuilder::new().build());
    repository.collect_history(12_000);
    place.write(&mut repository);
    let ahead = || fs::metadata(place.0.path().join("index.db-wal")).expect("there").len();
    drop(place.patches());
    assert_eq!(ahead(), 0, "after it was made");
    for _ in 0..20 {
        repository.collect_history(20);
        place.write(&mut repository);
        drop(place.patches());
        assert!(ahead() <= MAX_AHEAD, "{}", ahead());
    }
}

#[test]
fn an_index_that_is_torn_lost_or_of_another_tree_is_made_anew() {
    let (place, mut repository) = (Place::new(), RepositoryBuilder::new().build());
    history(&mut repository);
    place.write(&mut repository);
    let all = place.check();
    let file = place.0.path().join(FILE);
    let ahead = place.0.path().join("index.db-wal");
    let whole = fs::read(&file).expect("the index");
    let write = |bytes: &[u8]| fs::write(&file, bytes).expect("written");
    let harm: [&dyn Fn(); 5] = [
        &|| write(b"no database at all, and longer than its header would be"),
        &|| write(&whole[..whole.len() / 2]),
        &|| write(b""),
        &|| fs::remove_file(&ahead).expect("removed"),
        &|| {
            let connection = connect(&file).unwrap_or_else(|error| panic!("{error}"));
            connection.pragma_update(None, "user_version", 99).expect("written");
        },
    ];
    for (number, harm) in harm.iter().enumerate() {
        harm();
        assert_eq!(place.check(), all, "harm {number}");
    }
    // another tree of the same size, as after a restart under a new origin
    let mut other = RepositoryBuilder::new().build();
    other.collect_history(repository.collection.size());
    fs::remove_dir_all(place.public()).expect("removed");
    fs::create_dir(place.public()).expect("made");
    place.write(&mut other);
    place.check();
    let found = place.patches().of_name(&"acme".parse().expect("a name")).expect("looked for");
    assert_eq!(found, []);
}

#[test]
fn who_may_not_write_finds_the_same() {
    let (place, mut repository) = (Place::new(), RepositoryBuilder::new().build());
    history(&mut repository);
    place.write(&mut repository);
    let files = DirectoryWriter::new(&place.public());
    // a state that is not there is as good as one that cannot be written
    let nowhere = place.0.path().join("nowhere");
    let index = PatchIndex::open(&nowhere, files).expect("in memory");
    assert_eq!(index.of_name(&"acme".parse().expect("a name")).expect("found").len(), 3);
}

/// Random decisions, judged by the plainest model there is.
#[test]
fn decisions_stand_as_they_would_patch_by_patch() {
    const PATCHES: u64 = 60;
    let (place, mut repository) = (Place::new(), RepositoryBuilder::new().build());
    repository.collect_history(PATCHES);
    let mut random = 7_u64;
    let mut below = |bound: u64| {
        random =
            random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) % bound
    };
    let rings: Vec<RingName> = ["canary", "stable"].map(|it| it.parse().expect("a ring")).into();
    let (mut standing, mut first) = (BTreeMap::new(), BTreeMap::new());
    for entry in 0..400_u64 {
        let start = below(PATCHES);
        let patches: Vec<u64> = (start..(start + 1 + below(9)).min(PATCHES)).collect();
        let ring = rings[usize::try_from(below(2)).expect("small")].clone();
        let is_release = below(3) > 0;
        let ring = if is_release { ring } else { rings[1].clone() };
        if is_release {
            repository.release_with(&patches, |release| release.ring = ring.clone());
        } else {
            repository.withdraw(&patches, "random");
        }
        for patch in patches {
            standing.insert((patch, ring.clone()), Said { entry, is_release });
            if is_release {
                first.entry(patch).or_insert(entry);
            }
        }
        if entry % 40 == 39 {
            place.write(&mut repository);
            let files = DirectoryWriter::new(&place.public());
            let origin = repository.authority.collection.origin.clone();
            let index = DecisionIndex::open(place.0.path(), &files, &origin).expect("an index");
            assert_eq!(index.rings().expect("rings"), rings);
            for ring in &rings {
                let gaps = index.undecided(ring, PATCHES).expect("gaps");
                for patch in 0..PATCHES {
                    let said = standing.get(&(patch, ring.clone())).copied();
                    assert_eq!(index.standing(patch, ring).expect("found"), said, "{patch}");
                    let is_gap = gaps.iter().any(|gap| gap.indexes().contains(&patch));
                    assert_eq!(is_gap, said.is_none(), "{patch}");
                    let released = first.get(&patch).copied();
                    let (around, found) = index.first_release(patch).expect("found");
                    assert_eq!(found, released);
                    let around = around.start..around.end.min(PATCHES);
                    assert!(around.contains(&patch));
                    assert!(around.into_iter().all(|it| first.get(&it).copied() == released));
                }
            }
        }
    }
}

use countersign_fixtures::{PatchSpec, Payload, Repository, RepositoryBuilder};
use countersign_format::layout::{self, Log, RepoPath};

use super::*;

fn repository() -> Repository {
    let mut repository = RepositoryBuilder::new().build();
    let payload = Payload::new().program("opt/acme/agent", "one");
    let index = repository.collect(&PatchSpec::full("acme", "1.0.0", &payload));
    repository.release(&[index]);
    repository.publish_directory(1, &["https://192.0.2.10/"]);
    let keys = repository.authority_keys.clone();
    repository.publish_authority(&keys);
    repository.publish();
    repository
}

fn show(repository: &Repository, path: &RepoPath, keys: &KnownKeys) -> Inspected {
    let place = Place::parse(path.as_str());
    inspect(&repository.files()[path], place, keys).expect("something")
}

fn verdicts(inspected: &Inspected) -> Vec<(&'static str, Verdict)> {
    inspected.signatures.iter().map(|line| (line.form, line.verdict)).collect()
}

fn patch_file(repository: &Repository, ending: &str) -> RepoPath {
    let is_it = |path: &&RepoPath| path.as_str().ends_with(ending);
    repository.files().keys().find(is_it).expect("a patch").clone()
}

#[test]
fn every_file_is_told_for_what_it_is() {
    let repository = repository();
    for (path, bytes) in repository.files() {
        let place = Place::parse(path.as_str()).expect("a place");
        let expected = match place {
            Place::Authority { .. } => "authority note",
            Place::Directory => "directory note",
            Place::Checkpoint(_) | Place::Candidate(_) => "checkpoint",
            Place::Tile { .. } => "hash tile",
            Place::Bundle { .. } => "entry bundle",
            Place::Pack { .. } | Place::TailPack { .. } => "pack of entries",
            Place::Archive(_) => "archive",
            Place::PatchNote(_) => "patch note",
        };
        let keys = KnownKeys::none();
        for place in [Some(place), None] {
            let inspected = inspect(bytes, place, &keys).expect("something");
            assert_eq!(inspected.kind, expected, "{path}");
        }
        let mut file = tempfile::tempfile().expect("a file");
        io::Write::write_all(&mut file, bytes).expect("written");
        file.rewind().expect("rewound");
        let inspected = inspect_file(&mut file, None, &keys).expect("something");
        assert_eq!(inspected.kind, expected, "{path}");
    }
    let entry = &repository.collection.entries()[0];
    let inspected = inspect(entry, None, &KnownKeys::none()).expect("an entry");
    assert_eq!(inspected.kind, "log entry");
    let nothing = inspect(b"hello", None, &KnownKeys::none());
    assert!(matches!(nothing, Err(InspectError::Unknown)));
    let broken = inspect(&ZSTD, None, &KnownKeys::none());
    assert!(matches!(broken, Err(InspectError::Archive(_))));
}

#[test]
fn lines_are_named_by_type_and_verified_with_the_authoritys_keys() {
    let repository = repository();
    let keys = KnownKeys::of(&repository.authority);
    let good = Verdict::Verified;
    let note = show(&repository, &patch_file(&repository, ".note"), &keys);
    assert_eq!(verdicts(&note), [("signature", good), ("countersignature", good)]);
    let head = show(&repository, &layout::checkpoint(Log::Collection), &keys);
    let timestamped = ("timestamped signature", good);
    assert_eq!(verdicts(&head), [("signature", good), timestamped, timestamped]);
    assert_eq!(head.signatures[2].role.as_deref(), Some("distribution main"));
    assert_eq!(head.signatures[2].time, Some(repository.now));
    let directory = show(&repository, &layout::directory(), &keys);
    assert_eq!(verdicts(&directory), [("signature", good)]);
}

#[test]
fn without_keys_nothing_is_verified_but_what_vouches_for_itself() {
    let repository = repository();
    let head = show(&repository, &layout::checkpoint(Log::Collection), &KnownKeys::none());
    assert_eq!(verdicts(&head)[1], ("timestamped signature", Verdict::NotVerified));
    assert_eq!(head.signatures[1].time, Some(repository.now));
    let authority = show(&repository, &layout::authority(2), &KnownKeys::none());
    assert!(verdicts(&authority).iter().all(|(_, verdict)| *verdict == Verdict::Verified));
}

#[test]
fn a_wrong_line_is_told() {
    let mut repository = repository();
    let keys = KnownKeys::of(&repository.authority);
    let path = patch_file(&repository, ".note");
    let collection = repository.collections[0].clone();
    repository.drop_lines(&path, &collection, countersign_format::key::SignatureType::Note);
    let note = show(&repository, &path, &keys);
    // it covered the line that is gone
    assert_eq!(verdicts(&note), [("countersignature", Verdict::Wrong)]);
    assert!(note.signatures[0].to_string().starts_with("WRONG: countersignature by "));
}

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::time::Duration;

use countersign_fixtures::{PatchSpec as Given, Payload};
use countersign_format::authority::AuthorityNote;
use countersign_format::checkpoint::Checkpoint;
use countersign_format::entry::{CollectionEntry, PatchEntry, Severity};
use countersign_format::hash::Hash32;
use countersign_format::layout;
use countersign_format::limits::{MAX_BUNDLE, MAX_NOTE};
use countersign_format::note::Note;
use countersign_format::policy::{PatchContext, verify_first_patch};
use countersign_format::tile;
use countersign_format::time::Timestamp;
use countersign_store::crash::{Failure, with_failure};
use tempfile::TempDir;

use super::publish::Publication;
use super::*;
use crate::authority::{Authority, NoteChange};
use crate::config::Span;
use crate::key_store::{NewPassphraseArgs, Passphrases};
use crate::known_authority::KnownAuthorityError;
use crate::lab;
use crate::publish::{Assurances, PublishError};

mod deltas;
mod restart;

struct Lab {
    base: TempDir,
}

fn now() -> Timestamp {
    "2026-11-23T10:00:00Z".parse().expect("a time")
}

fn unencrypted() -> Passphrases {
    let arguments = NewPassphraseArgs { no_passphrase: true, ..NewPassphraseArgs::default() };
    Passphrases::for_new_keys(&arguments)
}

fn selector(text: &str) -> PatchSelector {
    text.parse().expect("a selector")
}

fn spec(text: &str) -> PatchSpec {
    toml::from_str(text).expect("a patch.toml")
}

fn addition(text: &str, against: Option<Against>) -> Addition {
    Addition { spec: spec(text), against, ..Addition::default() }
}

const ACME_1: &str = "name = \"acme\"\nversion = \"1.0.0\"\nsummary = \"First\"\n";
const ACME_2: &str = "name = \"acme\"\nversion = \"1.1.0\"\nseverity = \"high\"\n\
                      advisories = [\"CVE-2026-0001\"]\n";

impl Lab {
    fn new() -> Self {
        let base = tempfile::tempdir().expect("a directory");
        let name = "example.org".parse().expect("a name");
        lab::init(&base.path().join("repo"), &name, &unencrypted(), now()).expect("made");
        Self { base }
    }

    fn path(&self, path: &str) -> PathBuf {
        self.base.path().join(path)
    }

    fn collection(&self) -> Collection {
        Collection::open(&self.path("repo/collection")).expect("opened")
    }

    fn copy(&self, from: &str, to: &str) {
        let both = [self.path(from), self.path(to)];
        let status = std::process::Command::new("cp").arg("-a").args(both).status();
        assert!(status.expect("cp runs").success());
    }

    /// A tree of these files.
    fn tree(&self, name: &str, files: &[(&str, &str)]) -> PathBuf {
        let root = self.path(name);
        for (path, content) in files {
            let path = root.join(path);
            fs::create_dir_all(path.parent().expect("below the root")).expect("made");
            fs::write(&path, content).expect("written");
            let mode = fs::Permissions::from_mode(0o644);
            fs::set_permissions(&path, mode).expect("chmod");
        }
        root
    }

    fn trees(&self) -> (PathBuf, PathBuf) {
        let one = [("opt/acme/a", "alpha"), ("opt/acme/b", "beta"), ("etc/acme.conf", "x=1\n")];
        let two = [("opt/acme/a", "alpha"), ("opt/acme/c", "gamma"), ("etc/acme.conf", "x=2\n")];
        (self.tree("one", &one), self.tree("two", &two))
    }

    fn add(&self, source: &Path, addition: &Addition) -> Result<Draft, CollectionError> {
        let progress = PackProgress { hashed: &|_| (), packed: &|_| () };
        let collection = self.collection();
        let packed = collection.pack(source, addition, now(), progress)?;
        Ok(collection.add(&[packed])?.remove(0))
    }

    fn publish(&self) -> Result<Publication, CollectionError> {
        let collection = self.collection();
        collection.session(&unencrypted())?.publish(&collection.drafts()?, now())
    }

    fn note(&self) -> AuthorityNote {
        let bytes = fs::read(self.path("repo/collection/public/authority/1")).expect("the note");
        let note = Note::parse(&bytes, usize::MAX).expect("a note");
        AuthorityNote::parse(note.text()).expect("an authority note")
    }

    fn public(&self, path: &layout::RepoPath) -> Vec<u8> {
        let path = self.path("repo/collection/public").join(path);
        fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    /// The log's entries; every patch's note and archive are checked.
    fn entries(&self) -> Vec<CollectionEntry> {
        let note = self.public(&layout::checkpoint(Log::Collection));
        let note = Note::parse(&note, MAX_NOTE).expect("a note");
        let head = Checkpoint::parse(note.text()).expect("a checkpoint");
        let width = u16::try_from(head.size).expect("a small log");
        let bundle = self.public(&layout::bundle(Log::Collection, 0, width));
        assert!(bundle.len() <= MAX_BUNDLE);
        let entries = tile::parse_entries(&bundle, width.into()).expect("entries");
        let parse = |(index, entry): (u64, &&[u8])| {
            let parsed = CollectionEntry::parse(entry).expect("an entry");
            if let CollectionEntry::Patch(patch) = &parsed {
                self.check_patch(index, entry, patch);
            }
            parsed
        };
        (0..).zip(&entries).map(parse).collect()
    }

    fn check_patch(&self, index: u64, entry: &[u8], patch: &PatchEntry) {
        let authority = self.note();
        let context = PatchContext { file: "note", authority: &authority, entry, index };
        let note = self.public(&layout::patch_note(&patch.archive.sha256));
        verify_first_patch(&note, &context).expect("the first signature");
        let archive = self.public(&layout::archive(&patch.archive.sha256));
        let checked = countersign_format::archive::check_unannounced(&archive).expect("an archive");
        assert_eq!(checked.announced().sha256, patch.archive.sha256);
    }
}

fn names(entries: &[CollectionEntry]) -> Vec<String> {
    let name = |entry: &CollectionEntry| match entry {
        CollectionEntry::Patch(patch) => patch.identity().to_string(),
        CollectionEntry::Revoke(revoke) => format!("revoke {}", revoke.patch),
        CollectionEntry::Authority(reference) => format!("authority {}", reference.version),
    };
    entries.iter().map(name).collect()
}

#[test]
fn a_tree_becomes_a_published_patch() {
    let lab = Lab::new();
    let (one, _) = lab.trees();
    let draft = lab.add(&one, &addition(ACME_1, None)).expect("taken in");
    assert_eq!(lab.collection().drafts().expect("listed"), std::slice::from_ref(&draft));
    let publication = lab.publish().expect("published");
    assert_eq!(publication.patches, [(1, draft.entry.clone())]);
    assert_eq!((publication.authority, publication.size), (vec![1], 2));
    let entries = lab.entries();
    assert_eq!(names(&entries), ["authority 1", "acme@1.0.0"]);
    assert_eq!(lab.collection().drafts().expect("listed"), []);
    let found = lab.collection().select_published(&selector("acme@1.0.0")).expect("found");
    assert_eq!((found.len(), found[0].index, &found[0].entry), (1, 1, &draft.entry));
    assert_eq!(lab.collection().published().expect("listed"), found);
    assert_eq!(names(&lab.entries()), names(&entries));
    assert_eq!(lab.publish().expect("nothing to do").size, 2);
}

#[test]
fn what_is_there_already_is_refused() {
    let lab = Lab::new();
    let (one, two) = lab.trees();
    lab.add(&one, &addition(ACME_1, None)).expect("taken in");
    let again = lab.add(&two, &addition(ACME_1, None));
    assert!(matches!(again, Err(CollectionError::Incoming(_))), "{again:?}");
    lab.publish().expect("published");
    let again = lab.add(&two, &addition(ACME_1, None));
    assert!(matches!(again, Err(CollectionError::Published { index: 1, .. })), "{again:?}");
    let incoming = lab.path("repo/collection/incoming");
    assert_eq!(fs::read_dir(&incoming).expect("listed").count(), 0, "nothing is left over");
}

#[test]
fn an_incremental_patch_is_the_same_made_against_tree_or_patch() {
    let lab = Lab::new();
    let (one, two) = lab.trees();
    lab.add(&one, &addition(ACME_1, None)).expect("taken in");
    let patch = Against::Patch(selector("acme@1.0.0"));
    let draft = lab.add(&two, &addition(ACME_2, Some(patch))).expect("taken in");
    assert_eq!(draft.entry.base.as_ref().map(ToString::to_string).as_deref(), Some("=1.0.0"));
    assert_eq!((draft.entry.archive.files, draft.entry.severity), (2, Severity::High));
    lab.collection().discard(std::slice::from_ref(&draft)).expect("given up");
    lab.publish().expect("published");

    let text = format!("{ACME_2}base = \"=1.0.0\"\n");
    let other =
        lab.add(&two, &addition(&text, Some(Against::Tree(one.clone())))).expect("taken in");
    assert_eq!(other.entry.archive, draft.entry.archive);
    // the same as what is laid over the tree before
    lab.collection().discard(std::slice::from_ref(&other)).expect("given up");
    let over = lab.tree("over", &[("opt/acme/c", "gamma"), ("etc/acme.conf", "x=2\n")]);
    let text = format!("{ACME_2}remove = [\"opt/acme/b\"]\n");
    let patch = Against::Patch(selector("acme@1.0.0"));
    let third = lab.add(&over, &addition(&text, Some(patch.clone()))).expect("taken in");
    assert_eq!(third.entry.archive, draft.entry.archive);

    // a full patch to that version must end at the same tree
    let wrong = lab.add(&one, &addition(ACME_2, None));
    assert!(matches!(wrong, Err(CollectionError::OtherTree { .. })), "{wrong:?}");
    lab.add(&two, &addition(ACME_2, None)).expect("taken in");
    let publication = lab.publish().expect("published");
    assert_eq!(publication.patches.len(), 2);

    let missing =
        lab.add(&over, &addition("version = \"3.0.0\"\nremove = [\"nowhere\"]", Some(patch)));
    assert!(matches!(missing, Err(CollectionError::RemoveNotThere(_))), "{missing:?}");
    let alone = lab.add(&over, &addition(&format!("{ACME_2}base = \"1\"\n"), None));
    assert!(matches!(alone, Err(CollectionError::BaseWithoutAgainst)), "{alone:?}");
    let unknown = Against::Patch(selector("acme@9.0.0"));
    let unknown = lab.add(&over, &addition(ACME_2, Some(unknown)));
    assert!(matches!(unknown, Err(CollectionError::NoFullPatch(_))), "{unknown:?}");
}

/// Who may write to an archive that comes from elsewhere may not write to what is published.
#[test]
fn an_archive_that_others_may_write_to_is_copied_whatever_its_size() {
    let lab = Lab::new();
    for (name, bytes) in [("small", 1), ("large", 2 * 1024 * 1024)] {
        // nothing that compresses
        let noise: Vec<u8> =
            (0_u64..).flat_map(|number| Hash32::of(&number.to_be_bytes()).0).take(bytes).collect();
        let payload = Payload::new().file("opt/noise", &noise[..]);
        let (archive, _) = Given::full(name, "1.0.0", &payload).archive();
        let path = lab.path(name);
        fs::write(&path, &archive).expect("written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).expect("set");
        let draft = lab.add(&path, &Addition::default()).expect("taken in");
        assert_eq!(fs::read(draft.archive()).expect("read"), archive);
        let mode = draft.archive().metadata().expect("there").permissions().mode();
        assert_eq!(mode & 0o022, 0, "{name}");
    }
}

#[test]
fn an_archive_from_elsewhere_is_checked_and_taken_in() {
    let (lab, other) = (Lab::new(), Lab::new());
    let (one, _) = other.trees();
    let packed = other.add(&one, &addition(ACME_1, None)).expect("packed");
    let summary = Addition { spec: spec("summary = \"From elsewhere\""), ..Addition::default() };
    let draft = lab.add(&packed.archive(), &summary).expect("taken in");
    assert_eq!(draft.entry.archive, packed.entry.archive);
    assert_eq!(draft.entry.summary.as_str(), "From elsewhere");
    lab.collection().discard(std::slice::from_ref(&draft)).expect("given up");

    let disagrees = lab.add(&packed.archive(), &addition("version = \"2.0.0\"", None));
    assert!(matches!(disagrees, Err(CollectionError::Disagrees { field: "version", .. })));
    let mut bytes = fs::read(packed.archive()).expect("read");
    *bytes.last_mut().expect("a byte") ^= 1;
    let spoilt = lab.path("spoilt.patch");
    fs::write(&spoilt, bytes).expect("written");
    let refused = lab.add(&spoilt, &Addition::default());
    assert!(matches!(refused, Err(CollectionError::Archive { .. })), "{refused:?}");
}

#[test]
fn a_test_becomes_evidence_or_stops_the_patch() {
    let lab = Lab::new();
    let (one, two) = lab.trees();
    let collection = lab.collection();
    let draft = lab.add(&one, &addition(ACME_1, None)).expect("taken in");
    let run = |draft: &Draft, script: &str, limits: TestLimits| {
        let command = ["sh", "-c", script].map(str::to_owned);
        let run = collection.test(draft, &command, limits, now).expect("run");
        let evidence = collection.keep_test(draft, &run).expect("kept");
        (run, evidence)
    };
    let limits = TestLimits::default();
    let (failed, _) = run(&draft, "echo no; exit 3", limits);
    assert_eq!((failed.record.outcome, failed.record.exit), (Outcome::Failed, Some(3)));
    assert_eq!(failed.output, b"no\n");
    let refused = lab.publish();
    assert!(matches!(refused, Err(CollectionError::TestFailed(_))), "{refused:?}");

    let look = "test $PATCH_NAME@$PATCH_VERSION = acme@1.0.0 && cat opt/acme/a && \
                cmp $PATCH_ROOT/etc/acme.conf etc/acme.conf && test -f $PATCH_ARCHIVE";
    let (passed, evidence) = run(&draft, look, limits);
    assert_eq!((passed.record.outcome, passed.output.as_slice()), (Outcome::Passed, &b"alpha"[..]));
    let publication = lab.publish().expect("published");
    let entry = &publication.patches[0].1;
    assert_eq!(entry.evidence.len(), 1);
    assert_eq!(entry.evidence[0].sha256, evidence);
    let folder = lab.path("repo/collection/evidence");
    let document = fs::read_to_string(folder.join(format!("{evidence}.json"))).expect("kept");
    assert!(document.starts_with("{\n  \"type\": \"test/v1\",\n"));
    assert!(document.contains(&entry.archive.sha256.to_string()));
    assert!(folder.join(format!("{}.log", passed.record.output.sha256)).exists());

    // an incremental patch is tested on the full one that it goes on from
    let against = Against::Patch(selector("acme@1.0.0"));
    let draft = lab.add(&two, &addition(ACME_2, Some(against))).expect("taken in");
    let (run_on, _) = run(&draft, "cat opt/acme/[abc]; echo $PATCH_COMPLETE", limits);
    assert_eq!(run_on.output, b"alphagamma1\n");
    assert_eq!(run_on.record.on, Some(entry.archive.sha256));

    let short = TestLimits { time: Duration::ZERO, output: 10_000 };
    assert_eq!(run(&draft, "sleep 100", short).0.record.outcome, Outcome::TooSlow);
    let little = TestLimits { output: 10, ..limits };
    let (loud, _) = run(&draft, "echo 01234567890; sleep 100", little);
    assert_eq!(loud.record.outcome, Outcome::TooMuchOutput);
}

#[test]
fn a_revoked_patch_is_named_by_its_index() {
    let lab = Lab::new();
    let (one, two) = lab.trees();
    lab.add(&one, &addition(ACME_1, None)).expect("taken in");
    lab.add(&two, &addition(ACME_2, None)).expect("taken in");
    lab.publish().expect("published");
    let revoke = |patches: &str| {
        let reason = "breaks the spooler".parse().expect("a line");
        let revocation = Revocation { patches: selector(patches), reason };
        let collection = lab.collection();
        let mut session = collection.session(&unencrypted()).expect("a session");
        session.revoke(&revocation, now())
    };
    assert_eq!(revoke("acme@1.1.0").expect("revoked").revoked, [2]);
    assert_eq!(names(&lab.entries())[3..], ["revoke 2"]);
    let found = lab.collection().select_published(&selector("acme@1.1.0")).expect("found");
    assert_eq!(found[0].revoked_by, Some(3));
    assert!(matches!(revoke("acme@1.1.0"), Err(CollectionError::Revoked(_))));
    assert!(matches!(revoke("acme@7.0.0"), Err(CollectionError::NotPublished(_))));
}

#[test]
fn new_authority_notes_are_copied_and_named_in_the_log() {
    let lab = Lab::new();
    let refresh = |at: Timestamp| {
        let collection = lab.collection();
        let mut session = collection.session(&unencrypted()).expect("a session");
        session.refresh(at, Assurances::default()).expect("refreshed")
    };
    let (first, refreshed) = refresh(now());
    assert_eq!((first.authority, first.size, refreshed.time), (vec![1], 1, now()));
    let mut authority = Authority::open(&lab.path("repo/authority")).expect("opened");
    let change = NoteChange { valid_for: Some(Span(99_999)), ..NoteChange::default() };
    authority.change(&change, now()).expect("prepared");
    let files = authority.own_keys();
    authority.sign(&files[0], &unencrypted(), now()).expect("signed");
    authority.publish(now()).expect("published");
    let (second, refreshed) = refresh(now().plus(60));
    assert_eq!((second.authority, refreshed.time), (vec![2], now().plus(60)));
    assert_eq!(names(&lab.entries()), ["authority 1", "authority 2"]);
    let (third, _) = refresh(now().plus(120));
    assert_eq!(third.size, 2, "nothing new");
    // what the log names is known although what says so is lost
    let announced = lab.path("repo/collection/state/announced");
    fs::remove_file(&announced).expect("removed");
    assert_eq!(refresh(now().plus(150)).0.size, 2);
    let copy = fs::read(lab.path("repo/collection/public/authority/2")).expect("copied");
    assert_eq!(copy, fs::read(lab.path("repo/authority/public/authority/2")).expect("read"));
    // the authority out of reach: what is held is enough
    fs::remove_dir_all(lab.path("repo/authority")).expect("removed");
    assert_eq!(refresh(now().plus(180)).0.size, 2);
    // an older one is not: a key that was retired since would count again
    fs::remove_file(lab.path("repo/collection/public/authority/2")).expect("removed");
    fs::remove_file(&announced).expect("removed");
    let collection = lab.collection();
    let error = collection.session(&unencrypted()).expect_err("an older version");
    assert!(matches!(
        error,
        CollectionError::Authority(KnownAuthorityError::Older { held: 1, .. })
    ));
}

#[test]
fn a_publication_that_fails_anywhere_is_completed_by_the_next() {
    let mut failed_steps = BTreeSet::new();
    let mut count = 0;
    let lab = Lab::new();
    let (one, two) = lab.trees();
    lab.add(&one, &addition(ACME_1, None)).expect("taken in");
    lab.publish().expect("published");
    lab.add(&two, &addition(ACME_2, None)).expect("taken in");
    lab.copy("repo/collection", "before");
    for done in [false, true] {
        for after in 0.. {
            fs::remove_dir_all(lab.path("repo/collection")).expect("removed");
            lab.copy("before", "repo/collection");
            let failure = Failure { after, errno: 5, done };
            let (result, step) = with_failure(failure, || lab.publish());
            let Some(step) = step else { break };
            failed_steps.insert(step);
            count += 1;
            assert!(result.is_err() || done, "{step}");
            let before = names(&lab.entries());
            assert!(before.len() == 2 || before.len() == 3, "{step} {before:?}");
            lab.publish().expect("the rerun");
            assert_eq!(names(&lab.entries())[1..], ["acme@1.0.0", "acme@1.1.0"], "{step}");
            let collection = lab.collection();
            assert_eq!(collection.published().expect("listed").len(), 2);
            assert_eq!(collection.drafts().expect("listed"), []);
            let state = collection.directory().state();
            assert!(!state.join("collection-pending").exists());
        }
    }
    assert!(count > 60, "{count} {failed_steps:?}");
}

#[test]
fn a_collection_restored_whole_from_a_backup_notices_elsewhere() {
    let lab = Lab::new();
    let (one, two) = lab.trees();
    let collection = lab.collection();
    let place = "../distribution/public".parse().expect("a place");
    assert_eq!(collection.config().published_at, [place]);
    lab.add(&one, &addition(ACME_1, None)).expect("taken in");
    lab.publish().expect("published");
    lab.copy("repo/collection", "backup");
    lab.add(&two, &addition(ACME_2, None)).expect("taken in");
    lab.publish().expect("published");
    // the distribution serves the newer head
    lab.copy("repo/collection/public/collection", "repo/distribution/public/collection");
    fs::remove_dir_all(lab.path("repo/collection")).expect("removed");
    lab.copy("backup", "repo/collection");
    lab.add(&two, &addition("name = \"acme\"\nversion = \"1.2.0\"", None)).expect("taken in");
    let refused = lab.publish().expect_err("refused");
    assert!(
        matches!(&refused, CollectionError::OtherHead(found) if (found.theirs, found.ours) == (3, 2)),
        "{refused:?}"
    );
    assert_eq!(names(&lab.entries()).len(), 2);
    // what somebody else signed is no reason not to publish
    let path = lab.path("repo/distribution/public/collection/checkpoint");
    let note = fs::read_to_string(&path).expect("read");
    fs::write(&path, note.replace("\n3\n", "\n4\n")).expect("written");
    lab.publish().expect("published");
}

#[test]
fn a_public_directory_from_a_backup_is_not_gone_on_from() {
    let lab = Lab::new();
    let (one, _) = lab.trees();
    lab.add(&one, &addition(ACME_1, None)).expect("taken in");
    lab.publish().expect("published");
    fs::remove_file(lab.path("repo/collection/state/collection-head")).expect("removed");
    let refused = lab.publish().expect_err("refused");
    assert!(
        matches!(refused, CollectionError::Publish(PublishError::RecordMissing { size: 2, .. })),
        "{refused:?}"
    );
    let collection = lab.collection();
    let session = collection.session(&unencrypted()).expect("a session");
    session.adopt_public_head().expect("adopted");
    assert_eq!(lab.publish().expect("nothing to do").size, 2);
}

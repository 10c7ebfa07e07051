//! A collection, or somebody on the way to it, that is not what it should be: refused, and nothing
//! that counts has changed.

use countersign_format::key::SignatureType;
use countersign_terminal::ExitStatus;

use super::*;
use crate::publish::PublishError;

/// A lab whose distribution holds 1.0.0 and is to fetch 1.1.0.
fn lab() -> Lab {
    let lab = Lab::new();
    lab.collect(&["1.0.0"], at(1));
    lab.sync(at(2)).expect("fetched");
    lab.collect(&["1.1.0"], at(3));
    lab
}

/// What counts as held, and what is public.
fn state(lab: &Lab) -> Vec<Option<Vec<u8>>> {
    let read = |path: &str| fs::read(lab.path("repo/distribution").join(path)).ok();
    ["collection/collection/checkpoint", "state/collection-times", "state/decisions"]
        .into_iter()
        .map(read)
        .chain([Some(format!("{:?}", lab.files("repo/distribution/public")).into_bytes())])
        .collect()
}

fn refused(lab: &Lab, exit: ExitStatus) -> DistributionError {
    let before = state(lab);
    let error = lab.sync(at(4)).expect_err("refused");
    assert_eq!(error.exit(), exit, "{error:?}");
    assert_eq!(state(lab), before, "{error:?}");
    error
}

/// The newest patch that the collection published.
fn newest(lab: &Lab) -> PatchEntry {
    published(lab, "1.1.0")
}

fn published(lab: &Lab, version: &str) -> PatchEntry {
    let collection = Collection::open(&lab.path("repo/collection")).expect("opened");
    let selector = selector(&format!("acme@{version}"));
    let found = collection.select_published(&selector).expect("found");
    let note =
        lab.path("repo/collection/public").join(layout::patch_note(&found[0].entry.archive.sha256));
    let note = Note::parse(&fs::read(note).expect("read"), usize::MAX).expect("a note");
    PatchEntry::parse(note.text().as_bytes()).expect("an entry")
}

fn drop_lines(kind: SignatureType, lab: &Lab) -> impl FnOnce(Note) -> Note {
    let key = lab.authority().collection.keys[0].vkey.clone();
    move |note| {
        let lines = note.signatures().iter().filter(|line| line.id != key.id(kind));
        Note::new(note.text().to_owned(), lines.cloned().collect())
    }
}

#[test]
fn a_head_without_the_collections_signature() {
    let lab = lab();
    lab.edit_note(
        &layout::checkpoint(Log::Collection),
        drop_lines(SignatureType::Cosignature, &lab),
    );
    let error = refused(&lab, ExitStatus::Signature);
    let text = format!("{error}: {}", std::error::Error::source(&error).expect("a cause"));
    assert!(text.contains("layer 1") && text.contains("collection/checkpoint"), "{text}");
    assert!(text.contains("timestamped signature is missing"), "{text}");
}

#[test]
fn a_patch_without_the_collections_signature() {
    let lab = lab();
    let path = layout::patch_note(&newest(&lab).archive.sha256);
    let other = Note::parse("x\n\n— example.org/x AQIDBAUGBw==\n".as_bytes(), 99).expect("a note");
    lab.edit_note(&path, |note| Note::new(note.text().to_owned(), other.signatures().to_vec()));
    let error = refused(&lab, ExitStatus::Signature);
    let text = format!("{error}: {}", std::error::Error::source(&error).expect("a cause"));
    assert!(text.contains("layer 2") && text.contains(path.as_str()), "{text}");
    assert!(text.contains("the collection's signature is missing"), "{text}");
}

#[test]
fn a_note_of_another_entry() {
    let lab = lab();
    let public = lab.path("repo/collection/public");
    let first = Collection::open(&lab.path("repo/collection")).expect("opened");
    let first =
        first.select_published(&selector("acme@1.0.0")).expect("found")[0].entry.archive.sha256;
    let second = layout::patch_note(&newest(&lab).archive.sha256);
    fs::copy(public.join(layout::patch_note(&first)), public.join(second)).expect("copied");
    refused(&lab, ExitStatus::Signature);
}

#[test]
fn an_altered_archive_whatever_was_altered() {
    let lab = lab();
    let entry = newest(&lab);
    let path = lab.path("repo/collection/public").join(layout::archive(&entry.archive.sha256));
    let good = fs::read(&path).expect("read");
    for at in [0, good.len() / 2, good.len() - 1] {
        let mut bytes = good.clone();
        bytes[at] ^= 1;
        fs::write(&path, bytes).expect("written");
        let error = refused(&lab, ExitStatus::Signature);
        assert!(matches!(error, DistributionError::Archive { .. }), "{error:?}");
        assert_eq!(lab.files("repo/distribution/incoming").len(), 0, "nothing to go on from");
    }
    fs::write(&path, good).expect("written");
    assert_eq!(lab.sync(at(5)).expect("fetched").patches.len(), 1);
}

/// They are looked at side by side: a bad one is enough, whichever it is, and it is named.
#[test]
fn one_bad_patch_among_several() {
    let lab = lab();
    let versions = ["1.1.0", "1.2.0", "1.3.0", "1.4.0"];
    lab.collect(&versions[1..], at(3));
    for version in versions {
        let hash = published(&lab, version).archive.sha256;
        for path in [layout::patch_note(&hash), layout::archive(&hash)] {
            let file = lab.path("repo/collection/public").join(&path);
            let good = fs::read(&file).expect("read");
            let mut bytes = good.clone();
            bytes[good.len() - 9] ^= 1;
            fs::write(&file, bytes).expect("written");
            let error = refused(&lab, ExitStatus::Signature);
            let mut text = error.to_string();
            std::error::Error::source(&error).inspect(|cause| text.push_str(&cause.to_string()));
            assert!(text.contains(&hash.to_string()), "{path}: {text}");
            fs::write(&file, good).expect("written");
            // the good ones that came need not come again
            let incoming = lab.path("repo/distribution/incoming");
            fs::remove_dir_all(&incoming).expect("removed");
            fs::create_dir(&incoming).expect("made");
        }
    }
    assert_eq!(lab.sync(at(5)).expect("fetched").patches.len(), versions.len());
}

#[test]
fn an_altered_entry() {
    let lab = lab();
    let public = lab.path("repo/collection/public");
    for path in [layout::bundle(Log::Collection, 0, 3), layout::tail_pack(Log::Collection, 3)] {
        let mut bytes = fs::read(public.join(&path)).expect("read");
        *bytes.last_mut().expect("a byte") ^= 1;
        fs::write(public.join(&path), bytes).expect("written");
    }
    let error = refused(&lab, ExitStatus::RollbackOrFork);
    assert!(matches!(error, DistributionError::Follow(_)), "{error:?}");
    assert!(lab.path("repo/distribution/evidence").is_dir());
}

#[test]
fn a_log_that_was_rewritten_with_the_collections_own_key() {
    let lab = Lab::new();
    lab.copy("repo/collection", "before");
    lab.collect(&["1.0.0"], at(1));
    lab.sync(at(2)).expect("fetched");
    lab.release(&["acme@1.0.0"]);
    lab.publish(at(2)).expect("published");
    // the same size, and a larger one
    for versions in [&["6.6.6"][..], &["6.6.7", "6.6.8"]] {
        lab.restore("before", "repo/collection");
        // a stolen key signs whatever it is told, restored backups or not
        let config = lab.path("repo/collection/config.toml");
        let text = fs::read_to_string(&config).expect("read");
        fs::write(&config, text.replace("published_at", "#published_at")).expect("written");
        lab.collect(versions, at(3));
        refused(&lab, ExitStatus::RollbackOrFork);
    }
    // nor if all that was fetched is lost: what was cosigned is remembered
    fs::remove_dir_all(lab.path("repo/distribution/collection")).expect("removed");
    lab.sync(at(5)).expect("nothing to compare with");
    let public = lab.files("repo/distribution/public");
    let error = lab.publish(at(6)).expect_err("refused");
    assert_eq!(error.exit(), ExitStatus::RollbackOrFork, "{error:?}");
    assert_eq!(lab.files("repo/distribution/public"), public);
}

#[test]
fn an_older_head() {
    let lab = Lab::new();
    lab.collect(&["1.0.0"], at(1));
    lab.copy("repo/collection/public", "old");
    lab.collect(&["1.1.0"], at(2));
    lab.sync(at(3)).expect("fetched");
    lab.restore("old", "repo/collection/public");
    refused(&lab, ExitStatus::RollbackOrFork);
    // also with the private copy lost
    fs::remove_dir_all(lab.path("repo/distribution/collection")).expect("removed");
    refused(&lab, ExitStatus::RollbackOrFork);
}

#[test]
fn a_head_past_its_age_and_one_from_the_future() {
    let lab = lab();
    let late = lab.sync(at(31 * 24 * 60)).expect_err("refused");
    assert_eq!(late.exit(), ExitStatus::Expired);
    let early = lab.sync(at(0)).expect("three minutes ahead are tolerated");
    assert_eq!(early.patches.len(), 1);
}

#[test]
fn a_hidden_authority_note() {
    use crate::authority::{Authority, NoteChange};
    use crate::config::Span;
    let lab = lab();
    let mut authority = Authority::open(&lab.path("repo/authority")).expect("opened");
    let change = NoteChange { valid_for: Some(Span(99_999)), ..NoteChange::default() };
    authority.change(&change, at(3)).expect("prepared");
    let files = authority.own_keys();
    authority.sign(&files[0], &unencrypted(), at(3)).expect("signed");
    authority.publish(at(3)).expect("published");
    lab.collect(&["1.2.0"], at(3));
    for role in ["authority", "collection"] {
        fs::remove_file(lab.path("repo").join(role).join("public/authority/2")).expect("removed");
    }
    let error = refused(&lab, ExitStatus::Expired);
    assert!(matches!(error, DistributionError::OtherAuthority { version: 2, .. }), "{error:?}");
}

#[test]
fn a_made_up_authority_note_takes_no_number() {
    let lab = lab();
    for role in ["authority", "collection"] {
        let path = lab.path("repo").join(role).join("public/authority/2");
        fs::write(path, "rubbish\n\n— x AQIDBAUGBw==\n").expect("written");
    }
    lab.sync(at(4)).expect("the rest is good");
    assert_eq!(lab.read(&layout::authority(2)), None);
}

#[test]
fn a_distribution_restored_from_a_backup_signs_no_second_tree() {
    let lab = Lab::new();
    lab.collect(&["1.0.0", "1.1.0"], at(1));
    lab.sync(at(2)).expect("fetched");
    lab.copy("repo/distribution/state", "state");
    lab.copy("repo/distribution", "whole");
    lab.release(&["acme@1.0.0"]);
    lab.publish(at(3)).expect("published");
    lab.restore("state", "repo/distribution/state");
    let error = lab.publish(at(4)).expect_err("the record is older than what is public");
    assert!(
        matches!(&error, DistributionError::Publish(PublishError::RecordMissing { .. })),
        "{error:?}"
    );
    // a person knows that public/ is the newest
    let distribution = lab.distribution();
    let mut session = distribution.session(&unencrypted(), at(5)).expect("a session");
    session.adopt_public_heads().expect("adopted");
    session.refresh(crate::publish::Assurances::default()).expect("refreshed");
    assert_eq!(lab.view(at(5)).released, set(["acme@1.0.0"]));

    // restored as a whole: only what others serve can tell
    lab.copy("repo/distribution/public", "mirror");
    lab.restore("whole", "repo/distribution");
    let config = lab.path("repo/distribution/config.toml");
    let text = fs::read_to_string(&config).expect("read");
    fs::write(&config, format!("{text}published_at = [\"../../mirror\"]\n")).expect("written");
    lab.release(&["acme@1.1.0"]);
    let error = lab.publish(at(6)).expect_err("the mirror has more");
    assert!(matches!(error, DistributionError::OtherHead(_)), "{error:?}");
}

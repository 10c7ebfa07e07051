mod issue;
mod rotation;
mod signing;

use std::fs;

use countersign_format::issue::{Acceptance, Grant, IssueError, Request};
use countersign_format::layout::Log;
use countersign_format::policy::{ChainError, Refusal};
use countersign_store::crash::{Failure, with_failure};

use super::*;
use crate::config::ServerConfig;
use crate::key_store::KeyLocation;
use crate::key_store::NewPassphraseArgs;
use crate::server::{self, Asked};

const YEAR: Span = Span(365 * 86_400);

fn now() -> Timestamp {
    "2026-11-22T10:00:00Z".parse().expect("a time")
}

fn unencrypted() -> Passphrases {
    let arguments = NewPassphraseArgs { no_passphrase: true, ..NewPassphraseArgs::default() };
    Passphrases::for_new_keys(&arguments)
}

fn name(text: &str) -> KeyName {
    text.parse().expect("a name")
}

/// An authority and the servers it deals with, in one temporary directory.
struct Lab {
    authority: Authority,
    base: tempfile::TempDir,
}

struct Member {
    directory: RoleDir,
    id: KeyName,
    role: Log,
    request: Request,
}

impl Member {
    fn accept(&self, grant: &Grant) -> Vec<u8> {
        let (bytes, told) = (grant.to_bytes(), grant.kgc);
        let note =
            server::accept(&self.directory, &self.id, self.role, &bytes, told, &unencrypted());
        note.expect("accepted").to_bytes()
    }
}

impl Lab {
    fn new(keys: u32, threshold: u32) -> Self {
        let base = tempfile::tempdir().expect("a directory");
        let new = NewAuthority {
            name: name("example.org/authority"),
            keys,
            foreign: Vec::new(),
            threshold,
            valid_for: YEAR,
        };
        let path = base.path().join("authority");
        let authority = Authority::init(&path, &new, &unencrypted(), now()).expect("made");
        Self { authority, base }
    }

    /// With a collection and a distribution, and version 1 published.
    fn published(keys: u32, threshold: u32) -> Self {
        let mut lab = Self::new(keys, threshold);
        for role in Log::BOTH {
            lab.admit(role, role.as_str());
        }
        lab.sign(&(1..=threshold).collect::<Vec<_>>());
        lab.authority.publish(now()).expect("published");
        lab
    }

    fn reopen(&mut self) {
        self.authority = Authority::open(self.authority.directory().path()).expect("opened");
    }

    fn member(&self, role: Log, folder: &str) -> Member {
        let path = self.base.path().join(folder);
        let id = name(&format!("example.org/{folder}"));
        let config = ServerConfig::new(role, id.clone());
        let (directory, asked) =
            server::init(&path, role, &config, None, &unencrypted()).expect("made");
        let Asked::PartialKey(request) = asked else { panic!("asked for a partial key") };
        Member { directory, id, role, request }
    }

    fn issue(&self, request: &Request) -> Grant {
        let issued = self.authority.issue(&request.to_bytes(), &unencrypted(), now());
        issued.expect("issued").grant
    }

    fn admit(&mut self, role: Log, folder: &str) -> Member {
        let member = self.member(role, folder);
        let acceptance = member.accept(&self.issue(&member.request));
        let admission = Admission::default();
        self.authority.admit(&acceptance, "acceptance", &admission, now()).expect("admitted");
        member
    }

    fn sign(&self, numbers: &[u32]) {
        for number in numbers {
            self.try_sign(*number).expect("signed");
        }
    }

    fn try_sign(&self, number: u32) -> Result<KeyName, AuthorityError> {
        let file = KeyLocation::File(key_path(self.authority.directory(), number));
        self.authority.sign(&file, &unencrypted(), now()).map(|(signer, _)| signer)
    }

    fn public_bytes(&self, version: u64) -> Vec<u8> {
        let path = self.authority.directory().public().join(layout::authority(version));
        fs::read(path).expect("a published note")
    }
}

fn is_refused(error: &AuthorityError, refusal: fn(&Refusal) -> bool) -> bool {
    matches!(error, AuthorityError::Policy(error) if refusal(&error.refusal))
}

#[test]
fn from_nothing_to_a_note_that_readers_accept() {
    let mut lab = Lab::new(3, 2);
    assert!(matches!(lab.try_sign(1), Err(AuthorityError::Incomplete(_))));
    lab.admit(Log::Collection, "collection");
    lab.admit(Log::Distribution, "distribution");
    assert!(matches!(
        lab.authority.publish(now()),
        Err(AuthorityError::Unsigned { version: 1, .. })
    ));

    lab.sign(&[1]);
    let error = lab.authority.publish(now()).expect_err("one of two signatures");
    assert!(is_refused(&error, |refusal| matches!(refusal, Refusal::TooFew(_))), "{error:?}");
    lab.sign(&[1, 3]);
    let compared = lab.authority.export().expect("exported").draft().fingerprint();
    let chain = lab.authority.publish(now()).expect("published");
    assert_eq!(compared, chain.fingerprint(), "what holders compare is what machines begin with");
    assert!(lab.authority.prepared().expect("read").is_none());

    let read = Chain::enroll(&lab.public_bytes(1), "authority/1").expect("accepted");
    assert_eq!(read.fingerprint(), chain.fingerprint());
    let note = read.newest();
    assert_eq!(note.expires, now().plus(YEAR.0));
    assert_eq!(note.collection.origin, name("example.org/collection"));
    assert_eq!(note.distributions[0].name.as_str(), "main");
    assert_eq!(note.collection.keys[0].kgc, Some(lab.authority.config().kgc));
    lab.reopen();
    assert_eq!(lab.authority.newest(), Some(&**note));
}

#[test]
fn a_publish_that_fails_anywhere_leaves_the_old_state_or_the_new() {
    let mut failed = Vec::new();
    for done in [false, true] {
        for after in 0.. {
            let mut lab = Lab::published(1, 1);
            let change = NoteChange {
                threshold: Some(1),
                valid_for: Some(Span(5)),
                ..NoteChange::default()
            };
            lab.authority.change(&change, now()).expect("prepared");
            lab.sign(&[1]);
            let failure = Failure { after, errno: 28, done };
            let (outcome, step) = with_failure(failure, || lab.authority.publish(now()));
            let Some(step) = step else { break };
            assert!(outcome.is_err(), "{step}");
            failed.push(step);
            lab.reopen();
            let published = lab.authority.newest().expect("a version").version;
            let prepared = lab.authority.prepared().expect("read");
            match published {
                1 => assert_eq!(prepared.expect("still prepared").signatures().len(), 1, "{step}"),
                2 => assert_eq!(prepared, None, "{step}"),
                other => panic!("{step}: version {other}"),
            }
            if published == 1 {
                lab.authority.publish(now()).expect("the rerun");
            }
            assert_eq!(lab.authority.newest().expect("a version").version, 2);
        }
    }
    assert!(failed.len() > 10, "{failed:?}");
}

#[test]
fn thresholds_are_checked_before_anything_is_made() {
    let base = tempfile::tempdir().expect("a directory");
    for (keys, threshold) in [(1, 0), (1, 2), (0, 1), (MAX_NEW_KEYS + 1, 1)] {
        let new = NewAuthority {
            name: name("example.org/authority"),
            keys,
            foreign: Vec::new(),
            threshold,
            valid_for: YEAR,
        };
        let path = base.path().join("authority");
        let made = Authority::init(&path, &new, &unencrypted(), now());
        assert!(matches!(made, Err(AuthorityError::Keys { .. })), "{keys} {threshold}");
        assert!(!path.exists());
    }
}

#[test]
fn the_summary_says_what_changes() {
    let lab = Lab::published(2, 1);
    let change = NoteChange {
        threshold: Some(2),
        drop_keys: vec![name("example.org/authority/1").into()],
        collection: LogChange { max_age: Some(86_400), ..LogChange::default() },
        ..NoteChange::default()
    };
    let draft = lab.authority.change(&change, now()).expect("prepared");
    let lines = summary(lab.authority.newest(), draft.note());
    assert_eq!(lines[0], "version 2 of example.org/authority");
    assert!(lines[1].starts_with("authority key no longer listed: example.org/authority/1+"));
    assert_eq!(lines[2], "authority threshold: 1 becomes 2");
    assert_eq!(lines[3], "collection maximum age: 30 d becomes 1 d");
    assert_eq!(lines.len(), 4);
    let first = summary(None, draft.note());
    assert!(first.iter().any(|line| line.starts_with("collection key added: example.org/")));
}

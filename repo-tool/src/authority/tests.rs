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
fn a_commitment_gets_one_grant_and_epochs_never_repeat() {
    let lab = Lab::new(1, 1);
    let member = lab.member(Log::Collection, "collection");
    let first = lab.issue(&member.request);
    let again = lab.authority.issue(&member.request.to_bytes(), &unencrypted(), now());
    assert_eq!(again.expect("answered"), Issued { grant: first.clone(), new: false });

    let other = lab.member(Log::Collection, "other");
    let second = Request { id: first.id.clone(), ..other.request.clone() };
    let preview = || lab.authority.preview(&second.to_bytes(), now()).expect("looked at");
    let expected = Preview {
        id: first.id.clone(),
        role: Log::Collection,
        epoch: 2,
        new: true,
        unlisted: vec![1],
    };
    assert_eq!(preview(), expected, "somebody asked under that name before");
    assert_eq!(preview(), expected, "looking grants nothing");
    let acceptance = member.accept(&first);
    lab.authority.admit(&acceptance, "file", &Admission::default(), now()).expect("admitted");
    assert!(preview().unlisted.is_empty(), "the next version lists it");
    let second = lab.issue(&second);
    assert_eq!((first.epoch, second.epoch), (1, 2));
    assert_ne!(first.reconstruction, second.reconstruction);

    let stolen = Request { commitment: member.request.commitment, ..other.request.clone() };
    let error = lab.authority.issue(&stolen.to_bytes(), &unencrypted(), now());
    assert!(matches!(error, Err(AuthorityError::CommitmentReused { .. })));
    let both = Request { id: first.id, role: Log::Distribution, ..other.request };
    let both = Request { commitment: lab.member(Log::Collection, "x").request.commitment, ..both };
    let error = lab.authority.issue(&both.to_bytes(), &unencrypted(), now());
    assert!(matches!(error, Err(AuthorityError::OtherRole { role: Log::Collection, .. })));
}

#[test]
fn only_keys_of_its_own_grants_are_admitted() {
    let lab = Lab::new(1, 1);
    let member = lab.member(Log::Collection, "collection");
    // the grant of another authority, which the server was deceived about
    let other = Lab::new(1, 1);
    let acceptance = member.accept(&other.issue(&member.request));
    let admit = |bytes: &[u8], admission: &Admission| {
        lab.authority.admit(bytes, "acceptance", admission, now()).map(|(key, _)| key)
    };
    let request = admit(&member.request.to_bytes(), &Admission::default());
    assert!(matches!(request, Err(AuthorityError::NoAcceptance("request"))));
    let grant = admit(&other.issue(&member.request).to_bytes(), &Admission::default());
    assert!(matches!(grant, Err(AuthorityError::NoAcceptance("grant"))));
    let error = admit(&acceptance, &Admission::default());
    assert!(matches!(error, Err(AuthorityError::NotGranted { epoch: 1, .. })));

    let good = lab.member(Log::Collection, "good");
    let acceptance = good.accept(&lab.issue(&good.request));
    let mut forged = acceptance.clone();
    let at = forged.iter().position(|byte| *byte == b'g').expect("a letter of the id");
    forged[at] = b'h';
    let error = admit(&forged, &Admission::default());
    assert!(
        matches!(
            error,
            Err(AuthorityError::Message(
                IssueError::Json { .. } | IssueError::Vkey { .. } | IssueError::Policy(_)
            ))
        ),
        "{error:?}"
    );
    let main = Admission { distribution: Some("main".parse().expect("a word")), origin: None };
    assert!(matches!(admit(&acceptance, &main), Err(AuthorityError::NoDistributionsKey)));
    assert!(admit(&acceptance, &Admission::default()).is_ok());
    let twice = admit(&acceptance, &Admission::default());
    assert!(matches!(twice, Err(AuthorityError::ListedAlready { .. })));
}

#[test]
fn an_acceptance_counts_once_and_in_its_order() {
    let mut lab = Lab::published(1, 1);
    let id = name("example.org/collection");
    let accept = |lab: &Lab, folder: &str| {
        let member = lab.member(Log::Collection, folder);
        let request = Request { id: id.clone(), ..member.request.clone() };
        let grant = lab.issue(&request);
        Member { id: id.clone(), request, ..member }.accept(&grant)
    };
    let (second, third) = (accept(&lab, "second"), accept(&lab, "third"));
    let admission = Admission::default();
    let admit = |lab: &Lab, acceptance: &[u8]| {
        lab.authority.admit(acceptance, "acceptance", &admission, now()).map(|(key, _)| key.epoch)
    };
    assert_eq!(admit(&lab, &third).expect("admitted"), 3);
    let older = admit(&lab, &second);
    assert!(matches!(older, Err(AuthorityError::OlderEpoch { epoch: 2, newest: 3, .. })));
    let retirement = Retirement { id, epoch: Some(3), until: 1, reason: "stolen".into() };
    lab.authority.retire(&retirement, now()).expect("retired");
    let again = admit(&lab, &third);
    assert!(matches!(again, Err(AuthorityError::ListedAlready { .. })), "{again:?}");
    lab.sign(&[1]);
    lab.authority.publish(now()).expect("published");
}

#[test]
fn an_ordinary_key_is_listed_by_the_authoritys_word_alone() {
    let mut lab = Lab::published(1, 1);
    let ask = |role: Log, folder: &str, id: &str| {
        let path = lab.base.path().join(folder);
        let location = KeyLocation::File(lab.base.path().join(format!("{folder}.pem")));
        key_store::generate(&location, &unencrypted()).expect("made");
        let config = ServerConfig::new(role, name(id));
        let asked = server::init(&path, role, &config, Some(&location), &unencrypted());
        asked.expect("asked").1.to_bytes()
    };
    let request = ask(Log::Collection, "alice", "example.org/collection/alice");
    let other_role = ask(Log::Distribution, "bob", "example.org/collection");
    let newer = ask(Log::Collection, "hardware", "example.org/collection");
    let issued = lab.authority.issue(&request, &unencrypted(), now());
    assert!(matches!(issued, Err(AuthorityError::OrdinaryKey)));
    let admit = |bytes: &[u8]| {
        let admission = Admission::default();
        lab.authority.admit_ordinary(bytes, "request", &admission, now()).map(|(key, _)| key)
    };
    let plain = lab.authority.admit(&request, "request", &Admission::default(), now());
    assert!(matches!(plain, Err(AuthorityError::Message(IssueError::Json { .. }))));
    let key = admit(&request).expect("listed");
    assert_eq!((key.epoch, key.kgc, key.reconstruction), (1, None, None));
    assert!(matches!(admit(&request), Err(AuthorityError::ListedAlready { .. })));
    assert!(matches!(admit(&other_role), Err(AuthorityError::OtherRole { .. })));
    assert_eq!(admit(&newer).expect("listed").epoch, 2, "after the granted one of epoch 1");
    let draft = lab.authority.draft(now()).expect("prepared");
    let marked = |folder: &str| {
        let lines = summary(None, draft.note());
        let key = format!("collection key added: example.org/{folder}+");
        let lines: Vec<_> = lines.into_iter().filter(|line| line.starts_with(&key)).collect();
        lines.iter().map(|line| line.ends_with(", ordinary: no grant made it")).collect::<Vec<_>>()
    };
    assert_eq!(marked("collection/alice"), [true]);
    assert_eq!(marked("collection"), [false, true], "the granted one, and the one beside it");
    let mut forged = request.clone();
    let at = forged.len() - 20;
    forged[at] = if forged[at] == b'A' { b'B' } else { b'A' };
    assert!(matches!(admit(&forged), Err(AuthorityError::Message(IssueError::Policy(_)))));
    lab.sign(&[1]);
    let chain = lab.authority.publish(now()).expect("readers accept it");
    assert_eq!(chain.newest().collection.keys.len(), 3);
}

#[test]
fn a_key_is_replaced_and_retired_in_one_version() {
    let mut lab = Lab::published(1, 1);
    let retirement = |epoch| Retirement {
        id: name("example.org/collection"),
        epoch,
        until: 51,
        reason: "stolen".into(),
    };
    let error = lab.authority.retire(&retirement(None), now());
    assert!(matches!(error, Err(AuthorityError::TooFewLeft { left: 0, .. })));

    let second = lab.member(Log::Collection, "second");
    let request = Request { id: name("example.org/collection"), ..second.request.clone() };
    let grant = lab.issue(&request);
    assert_eq!(grant.epoch, 2);
    let acceptance = Member { id: request.id.clone(), request, ..second }.accept(&grant);
    lab.authority.admit(&acceptance, "acceptance", &Admission::default(), now()).expect("admitted");
    assert!(matches!(
        lab.authority.retire(&retirement(None), now()),
        Err(AuthorityError::SeveralKeys(_))
    ));
    lab.authority.retire(&retirement(Some(1)), now()).expect("retired");
    lab.sign(&[1]);
    let chain = lab.authority.publish(now()).expect("published");
    let keys = &chain.newest().collection.keys;
    assert_eq!(keys.iter().map(|key| key.until).collect::<Vec<_>>(), [Some(51), None]);
    let history = fs::read_to_string(lab.authority.directory().state().join("history"));
    assert!(history.expect("a history").contains(r#""until":51,"reason":"stolen""#));
    let same = lab.authority.retire(&retirement(Some(1)), now());
    assert!(matches!(same, Err(AuthorityError::RetiredAlready { until: 51, .. })));

    // the theft turns out to be older, never younger
    let later = Retirement { until: 52, ..retirement(Some(1)) };
    assert!(matches!(lab.authority.retire(&later, now()), Err(AuthorityError::Successor(_))));
    let earlier = Retirement { until: 50, ..retirement(Some(1)) };
    lab.authority.retire(&earlier, now()).expect("lowered");
    lab.sign(&[1]);
    let chain = lab.authority.publish(now()).expect("published");
    assert_eq!(chain.newest().collection.keys[0].until, Some(50));
}

/// A draft that is changed on its way to the next holder is signed by nobody, not even again by
/// those who signed what it was.
#[test]
fn a_text_that_was_changed_after_a_signature_is_signed_no_more() {
    let lab = Lab::published(3, 2);
    let renewed = NoteChange { valid_for: Some(Span(86_400)), ..NoteChange::default() };
    lab.authority.change(&renewed, now()).expect("prepared");
    lab.sign(&[1]);
    let path = lab.authority.directory().path().join("next");
    let text = fs::read_to_string(&path).expect("a draft");
    let changed = text.replacen("\"threshold\": 2", "\"threshold\": 1", 1);
    assert_ne!(changed, text);
    fs::write(&path, changed).expect("written");
    let draft = lab.authority.prepared().expect("read").expect("prepared");
    for standing in lab.authority.standing(&draft) {
        assert_eq!(standing.invalid, [KeySelector::from(name("example.org/authority/1"))]);
        assert!(standing.signed.is_empty() && !standing.is_met());
    }
    for number in [1, 2] {
        let refused = lab.try_sign(number);
        assert!(matches!(refused, Err(AuthorityError::ChangedSince(_))), "{refused:?}");
    }
}

#[test]
fn no_version_is_left_out() {
    let mut lab = Lab::published(2, 2);
    lab.authority.change(&NoteChange::default(), now()).expect("prepared");
    let path = lab.authority.directory().path().join("next");
    let text = fs::read_to_string(&path).expect("read");
    fs::write(&path, text.replace("\"version\": 2", "\"version\": 3")).expect("written");
    let is_refused =
        |error: &AuthorityError| matches!(error, AuthorityError::Number { found: 3, expected: 2 });
    for number in [1, 2] {
        let refused = lab.try_sign(number);
        assert!(refused.as_ref().is_err_and(is_refused), "{refused:?}");
    }
    assert!(lab.authority.export().is_err_and(|error| is_refused(&error)));
    assert!(lab.authority.publish(now()).is_err_and(|error| is_refused(&error)));
    // a file that was changed on its way
    lab.authority.discard().expect("given up");
    lab.authority.change(&NoteChange::default(), now()).expect("prepared");
    let file = lab.authority.export().expect("exported").to_bytes();
    let file = String::from_utf8(file).expect("JSON is UTF-8");
    let changed = file.replace("version\\\": 2", "version\\\": 3");
    assert_ne!(file, changed);
    let mut request = DraftRequest::parse(changed.as_bytes(), "file").expect("a file");
    let location = lab.authority.own_keys().remove(0);
    let signed = request.sign(&location, &unencrypted());
    assert!(signed.is_err_and(|error| is_refused(&error)));
}

#[test]
fn authority_keys_rotate_by_both_thresholds() {
    let mut lab = Lab::published(2, 2);
    let change = NoteChange {
        drop_keys: vec![name("example.org/authority/1").into()],
        ..NoteChange::default()
    };
    let wrong = NoteChange {
        drop_keys: vec![name("example.org/authority/carol").into()],
        ..change.clone()
    };
    let refused = lab.authority.change_with_new_key(&wrong, &unencrypted(), now());
    assert!(matches!(refused, Err(AuthorityError::NoSuchKey(_))), "{refused:?}");
    let keys = lab.authority.directory().keys();
    assert!(!keys.join("authority-3.pem").exists(), "no file of a key that is not listed");
    let draft = lab.authority.change_with_new_key(&change, &unencrypted(), now());
    let draft = draft.expect("prepared");
    assert!(keys.join("authority-3.pem").exists());
    let is_fresh = |key: &&Vkey| key.name == name("example.org/authority/3");
    let fresh = draft.note().authority.keys.iter().find(is_fresh).expect("listed").clone();
    assert_eq!(draft.note().version, 2);
    // new side only, then old side only: 2 of the new set, then 2 of the old one, are not enough
    lab.sign(&[2, 3]);
    let error = lab.authority.publish(now()).expect_err("one of two old keys");
    assert!(is_refused(&error, |refusal| matches!(refusal, Refusal::TooFew(_))));
    let draft = lab.authority.prepared().expect("read").expect("prepared");
    let met: Vec<bool> = lab.authority.standing(&draft).iter().map(Standing::is_met).collect();
    assert_eq!(met, [false, true]);
    lab.sign(&[1]);
    let chain = lab.authority.publish(now()).expect("published");
    assert_eq!(chain.newest().authority.keys.last(), Some(&fresh));
    // the dropped key signs nothing any more
    lab.authority.change(&NoteChange::default(), now()).expect("prepared");
    assert!(matches!(lab.try_sign(1), Err(AuthorityError::ForeignKey(_))));
}

#[test]
fn keys_of_one_name_are_told_apart_by_their_ids() {
    let lab = Lab::published(2, 2);
    let old = lab.authority.newest().expect("published").authority.keys[0].clone();
    let secret = SeedSigner::new(old.name.clone(), &[9; 32]);
    let new = Vkey::server(old.name.clone(), secret.public_key().clone());
    let change = NoteChange {
        drop_keys: vec![KeySelector::of(&old)],
        add_keys: vec![new.clone()],
        ..NoteChange::default()
    };
    let draft = lab.authority.change(&change, now()).expect("prepared");
    let shown = |keys: &[KeySelector]| keys.iter().map(ToString::to_string).collect::<Vec<_>>();
    let id = |key: &Vkey| format!("{}+{}", key.name, key.id(key.kind));
    let second = "example.org/authority/2".to_owned();
    let standing = lab.authority.standing(&draft);
    assert_eq!(shown(&standing[0].unsigned), [id(&old), second.clone()]);
    assert_eq!(shown(&standing[1].unsigned), [second, id(&new)]);
}

#[test]
fn a_change_voids_signatures_and_can_be_given_up() {
    let lab = Lab::published(2, 1);
    let threshold = |threshold| NoteChange { threshold: Some(threshold), ..NoteChange::default() };
    lab.authority.change(&threshold(2), now()).expect("prepared");
    lab.sign(&[1, 2]);
    let same = lab.authority.change(&threshold(2), now()).expect("no change");
    assert_eq!(same.signatures().len(), 2);
    let changed = lab.authority.change(&threshold(1), now()).expect("a change");
    assert_eq!(changed.signatures(), []);
    assert!(lab.authority.discard().expect("given up"));
    assert!(!lab.authority.discard().expect("nothing there"));
    assert!(matches!(Lab::new(1, 1).authority.discard(), Err(AuthorityError::FirstVersion)));
}

#[test]
fn what_may_not_follow_is_neither_prepared_nor_signed() {
    let mut lab = Lab::published(1, 1);
    let origin = |text: &str| NoteChange {
        collection: LogChange { origin: Some(name(text)), ..LogChange::default() },
        ..NoteChange::default()
    };
    lab.authority.change(&origin("example.org/collection/2"), now()).expect("prepared");
    lab.sign(&[1]);
    lab.authority.publish(now()).expect("published");
    let back = lab.authority.change(&origin("example.org/collection"), now());
    assert!(matches!(back, Err(AuthorityError::Successor(ChainError::OriginReturned(_)))));
    let threshold = NoteChange { threshold: Some(2), ..NoteChange::default() };
    lab.authority.change(&threshold, now()).expect("prepared");
    assert!(matches!(lab.try_sign(1), Err(AuthorityError::Incomplete(_))));
}

#[test]
fn a_changed_note_is_not_opened() {
    let lab = Lab::published(1, 1);
    let path = lab.authority.directory().public().join("authority/1");
    let text = fs::read_to_string(&path).expect("the note");
    fs::write(&path, text.replace("\"max_age\": 259200", "\"max_age\": 259201")).expect("written");
    let error = Authority::open(lab.authority.directory().path()).expect_err("tampered");
    assert!(is_refused(&error, |refusal| matches!(refusal, Refusal::BadSignature { .. })));
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

#[test]
fn an_acceptance_shows_who_holds_the_key() {
    let lab = Lab::new(1, 1);
    let member = lab.member(Log::Distribution, "distribution");
    let acceptance = member.accept(&lab.issue(&member.request));
    let verified = Acceptance::verify(&acceptance, "acceptance").expect("verified");
    let north = Admission { distribution: Some("north".parse().expect("a word")), origin: None };
    let (key, draft) =
        lab.authority.admit(&acceptance, "acceptance", &north, now()).expect("admitted");
    assert_eq!(key, verified.server_key());
    assert_eq!(draft.note().distributions[0].name.as_str(), "north");
    assert_eq!(draft.note().distributions[0].log.max_age, DISTRIBUTION_MAX_AGE);
}

#[test]
fn holders_sign_side_by_side_and_nothing_foreign_is_taken() {
    let mut lab = Lab::published(3, 2);
    let renewed = NoteChange { valid_for: Some(Span(86_400)), ..NoteChange::default() };
    lab.authority.change(&renewed, now()).expect("prepared");
    let request = lab.authority.export().expect("written").to_bytes();
    let signed_by = |number: u32| {
        let mut copy = DraftRequest::parse(&request, "file").expect("read");
        let key = KeyLocation::File(key_path(lab.authority.directory(), number));
        copy.sign(&key, &unencrypted()).expect("signed");
        copy.to_bytes()
    };
    let take = |bytes: &[u8]| lab.authority.import(bytes, "file", now());
    let (first, second) = (signed_by(1), signed_by(2));
    assert_eq!(take(&first).expect("taken").0.new, [name("example.org/authority/1")]);
    let again = take(&first).expect("taken").0;
    assert_eq!((again.new.len(), again.known.len()), (0, 1));
    let (_, draft) = take(&second).expect("taken");
    assert!(lab.authority.standing(&draft).iter().all(Standing::is_met));

    // nothing that is wrong gets in, nor takes the place of what is good
    let mut wrong = String::from_utf8(second).expect("JSON");
    let place = wrong.rfind("\\n\"").expect("the end of the line") - 20;
    let other = if wrong.as_bytes()[place] == b'A' { "B" } else { "A" };
    wrong.replace_range(place..=place, other);
    assert!(matches!(take(wrong.as_bytes()), Err(AuthorityError::BadSignature { .. })));
    assert!(matches!(take(b"{}"), Err(AuthorityError::NothingSigned(..))));
    let stranger = Lab::published(1, 1);
    stranger.authority.change(&renewed, now()).expect("prepared");
    let theirs = stranger.authority.export().expect("written").to_bytes();
    assert!(matches!(take(&theirs), Err(AuthorityError::OtherDraft { .. })));
    let key = KeyLocation::File(key_path(stranger.authority.directory(), 1));
    let mut copy = DraftRequest::parse(&request, "file").expect("read");
    let foreign = copy.sign(&key, &unencrypted());
    assert!(matches!(foreign, Err(AuthorityError::ForeignKey(_))));
    let kept = lab.authority.prepared().expect("read").expect("a draft");
    assert_eq!(kept.signatures(), draft.signatures());

    // what was signed before the version changed is worth nothing
    let longer = NoteChange { valid_for: Some(Span(2 * 86_400)), ..NoteChange::default() };
    lab.authority.change(&longer, now()).expect("changed");
    assert!(matches!(take(&first), Err(AuthorityError::OtherDraft { .. })));

    // nor what was signed for the version before
    lab.sign(&[1, 2]);
    lab.authority.publish(now()).expect("published");
    lab.authority.change(&renewed, now()).expect("prepared");
    let older = lab.authority.import(&first, "file", now());
    let is_told = matches!(older, Err(AuthorityError::OtherVersion { found: 2, expected: 3 }));
    assert!(is_told, "{older:?}");
}

#[test]
fn a_new_key_of_the_authority_that_has_not_signed_is_unproven() {
    let lab = Lab::published(2, 2);
    let standing = |draft: &Draft| {
        let standings = lab.authority.standing(draft);
        unproven(lab.authority.newest(), draft.note(), &standings)
    };
    let draft = lab.authority.change_with_new_key(&NoteChange::default(), &unencrypted(), now());
    let draft = draft.expect("prepared");
    let new = KeySelector::of(&draft.note().authority.keys[2]);
    assert_eq!(standing(&draft), [new]);
    lab.sign(&[1, 2]);
    let prepared = || lab.authority.prepared().expect("read").expect("a draft");
    assert_eq!(standing(&prepared()).len(), 1, "the thresholds are met all the same");
    lab.sign(&[3]);
    assert!(standing(&prepared()).is_empty());
}

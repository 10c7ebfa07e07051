//! Drafts that several holders sign, and what none of them signs.

use super::*;

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

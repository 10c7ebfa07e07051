//! Keys that are replaced, retired and told apart.

use super::*;

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

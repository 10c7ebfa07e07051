//! New versions of the authority's note, and those that are hidden or made up.

use countersign_fixtures::AuthorityKeys;
use countersign_format::layout;
use patchctl::update::AttemptError;

use super::{DAY, Spoil, add, repository};
use crate::endpoint::Endpoint;

#[test]
fn a_hidden_authority_note_is_noticed() {
    let honest = repository();
    let mut repository = honest.clone();
    repository.publish_authority(&AuthorityKeys::numbered(1, 3));
    repository.publish();
    let mut hiding = repository.clone();
    hiding.files_mut().remove(&layout::authority(2));
    let mut endpoint = Endpoint::updated(&honest);
    match endpoint.refuses(&hiding) {
        AttemptError::AuthorityHidden { version: 2, .. } => {}
        other => panic!("{other:?}"),
    }
    let updated = endpoint.update_at(repository.now, &[("hiding", &hiding), ("good", &repository)]);
    assert_eq!(updated.expect("the second is good").authority, (1, 2));
}

#[test]
fn another_authority_note_than_the_logs_name_is_noticed() {
    let honest = repository();
    let keys = AuthorityKeys::numbered(1, 3);
    let mut named = honest.clone();
    named.publish_authority(&keys);
    named.publish();
    let mut shown = honest.clone();
    shown.authority.expires = shown.authority.expires.plus(DAY);
    shown.publish_authority(&keys);
    let other = shown.files()[&layout::authority(2)].clone();
    named.edit(&layout::authority(2), |bytes| *bytes = other);
    match Endpoint::updated(&honest).refuses(&named) {
        AttemptError::OtherAuthority { version: 2, .. } => {}
        other => panic!("{other:?}"),
    }
}

#[test]
fn forty_versions_and_six_rotations_are_caught_up_in_one_update() {
    let mut repository = repository();
    let mut endpoint = Endpoint::updated(&repository);
    let mut keys = AuthorityKeys::numbered(1, 3);
    for version in 2..=41u32 {
        repository.wait(60);
        if version % 7 == 0 {
            let new = AuthorityKeys::numbered(version as usize * 3, 3);
            repository.authority.authority.keys = new.vkeys();
            repository.authority_keys = new.clone();
            repository.publish_authority(&keys);
            keys = new;
        } else {
            repository.publish_authority(&keys);
        }
    }
    add(&mut repository, "acme", "1.1.0");
    let updated = endpoint.update(&repository).expect("honest");
    assert_eq!(updated.authority, (1, 41));
    assert!(updated.passed_over.is_empty());
    // 41 looks for a version, two heads, one bundle of each log
    assert!(updated.statistics.requests <= 45, "{:?}", updated.statistics);
}

#[test]
fn a_version_that_cannot_be_accepted_is_named_and_a_later_good_one_heals() {
    let honest = repository();
    let mut endpoint = Endpoint::updated(&honest);
    let mut repository = honest.clone();
    let keys = AuthorityKeys::numbered(1, 3);
    repository.publish_authority(&keys);
    repository.edit(&layout::authority(2), |bytes| bytes.truncate(40));
    repository.collection = honest.collection.clone();
    repository.distribution = honest.distribution.clone();
    repository.publish();
    let updated = endpoint.update(&repository).expect("the log names no new version");
    assert_eq!(updated.authority, (1, 1));
    assert_eq!(updated.passed_over[0].version, 2);
    repository.publish_authority(&keys);
    repository.publish();
    let updated = endpoint.update(&repository).expect("version 3 is good");
    assert_eq!(updated.authority, (1, 3));
}

#[test]
fn an_authority_note_of_another_name_or_number_or_half_signed_is_passed_over() {
    let honest = repository();
    let keys = AuthorityKeys::numbered(1, 3);
    let stranger = AuthorityKeys::numbered(90, 3);
    let spoil: [(&str, Spoil<'_>); 4] = [
        ("another name", &|it| {
            it.authority.name = "elsewhere.example/authority".parse().expect("a name");
        }),
        ("another number", &|it| it.authority.version += 1),
        ("the old keys have not signed", &|it| {
            it.authority.authority.keys = stranger.vkeys();
            it.authority_keys = stranger.clone();
        }),
        ("the new keys have not signed", &|it| {
            it.authority.authority.keys = stranger.vkeys();
        }),
    ];
    for (what, spoil) in spoil {
        let mut repository = honest.clone();
        spoil(&mut repository);
        let previous = if what.starts_with("the old") { &stranger } else { &keys };
        repository.publish_authority(previous);
        let version = repository.authority.version;
        let note = repository.files()[&layout::authority(version)].clone();
        let mut shown = honest.clone();
        shown.files_mut().insert(layout::authority(2), note);
        let mut endpoint = Endpoint::updated(&honest);
        let updated = endpoint.update(&shown).expect("the heads are good");
        assert_eq!(updated.passed_over.len(), 1, "{what}");
        assert_eq!(endpoint.trust().authority().version, 1, "{what}");
    }
}

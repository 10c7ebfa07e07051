//! Threats B8 and B9: machines that were away for long, and a chain with a note that is not good.

use countersign_fixtures::{AuthorityKeys, Repository};
use countersign_format::layout;
use countersign_format::note::Note;

use crate::kit::{Scene, authority_keys, released};

/// Forty versions on, of which six (6, 12, … 36) have other authority keys.
fn forty_versions(mut repository: Repository) -> Repository {
    let mut keys = authority_keys();
    for version in 2..=41_usize {
        repository.wait(1);
        if version % 6 == 0 {
            repository.authority_keys = AuthorityKeys::numbered(version * 3, 3);
            repository.authority.authority.keys = repository.authority_keys.vkeys();
        }
        repository.publish_authority(&keys);
        keys = repository.authority_keys.clone();
    }
    released(repository, "1.1.0")
}

/// B8: one update catches up, with a request for each note and few more.
#[test]
fn a_machine_forty_versions_behind_catches_up_in_one_update() {
    let scene = Scene::new();
    scene.serve(&forty_versions(scene.honest.clone()));
    scene.proxy.take();
    scene.lab.endpoint("update").done().says("authority version 41");
    let requests = scene.proxy.take().requests;
    // 40 notes and the one that is not there, two heads, the new entries of each log
    assert!(requests.len() <= 45, "{requests:#?}");
    scene.lab.endpoint("update").done();
    let requests = scene.proxy.take().requests;
    assert!(requests.len() <= 4, "{requests:#?}");
    scene.lab.endpoint("upgrade").done().says("1.1.0");
}

/// B8: a note in the middle is lost: the machine says which, and stays where it came to.
#[test]
fn a_gap_in_the_chain_is_said() {
    let scene = Scene::new();
    let mut next = forty_versions(scene.honest.clone());
    for version in 20..=41 {
        next.files_mut().remove(&layout::authority(version));
    }
    let words = ["names version 20 of the authority note", "not to be had"];
    scene.refuses(&next, "update", 11, &words);
    assert_eq!(scene.authority_version(), 19, "what verifies is kept");
}

/// B9: one malformed version is named; a later good one, once published, heals the machine.
#[test]
fn a_malformed_note_is_named_and_a_later_good_one_heals() {
    let scene = Scene::new();
    let keys = authority_keys();
    let text = "{\"type\":\"authority/v1\", what?\n";
    let signed = Note::new(text.to_owned(), keys.sign(text, 3)).to_bytes();
    let cases = [
        (b"<html>".to_vec(), "authority/2"),
        (signed, "authority note is malformed"),
        (vec![b'x'; 2 << 20], "authority/2 is longer than"),
    ];
    for (bad, says) in cases {
        let before = scene.standing();
        let mut shown = scene.honest.clone();
        shown.files_mut().insert(layout::authority(2), bad);
        scene.serve(&shown);
        let outcome = scene.lab.endpoint("update").done();
        let outcome = outcome.says("authority/2 is passed over").says(says);
        scene.learned_nothing(&before, &outcome);
    }
    let mut healed = scene.honest.clone();
    healed.authority.version = 2;
    healed.publish_authority(&keys);
    healed.files_mut().insert(layout::authority(2), b"<html>".to_vec());
    scene.serve(&released(healed, "1.1.0"));
    scene
        .lab
        .endpoint("update")
        .done()
        .says("authority/2 is passed over")
        .says("authority version 3");
    scene.lab.endpoint("upgrade").done();
}

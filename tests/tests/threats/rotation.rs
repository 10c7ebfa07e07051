//! Threats D5: every rotation, one at a time and all at once, and those that only one side signed.

use std::fs;

use countersign_fixtures::{AuthorityKeys, Repository, Server};
use countersign_format::authority::{AuthorityNote, LogRole};
use countersign_format::layout;
use countersign_format::note::Note;
use countersign_tests::Lab;
use countersign_tests::tree::snapshot;

use crate::kit::{COLLECTION, DISTRIBUTION, Scene, agent, authority_keys, released};

/// Whose keys a new version changes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Rotation {
    collection: bool,
    distribution: bool,
    authority: bool,
}

const ROTATIONS: [Rotation; 4] = [
    Rotation { collection: true, distribution: false, authority: false },
    Rotation { collection: false, distribution: true, authority: false },
    Rotation { collection: false, distribution: false, authority: true },
    Rotation { collection: true, distribution: true, authority: true },
];

/// A server's key of the next epoch takes over from the first at the present end of its log.
fn renew(role: &mut LogRole, id: &str, until: u64) -> Vec<Server> {
    let server = Server::new(id, 2);
    role.keys[0].until = Some(until);
    role.keys.push(server.listed());
    vec![server]
}

/// What the repository publishes once the authority has rotated these keys.
fn rotated(honest: &Repository, rotation: Rotation) -> Repository {
    let mut next = honest.clone();
    let (collected, released_so_far) = (next.collection.size(), next.distribution.size());
    if rotation.collection {
        next.collections = renew(&mut next.authority.collection, COLLECTION, collected);
    }
    if rotation.distribution {
        let role = &mut next.authority.distributions[0].log;
        next.distributions = renew(role, DISTRIBUTION, released_so_far);
    }
    if rotation.authority {
        next.authority_keys = AuthorityKeys::numbered(40, 3);
        next.authority.authority.keys = next.authority_keys.vkeys();
    }
    next.publish_authority(&authority_keys());
    released(next, "1.1.0")
}

/// D5: whatever rotates, a machine follows with one update, and what the old keys signed before still
/// installs.
#[test]
fn every_rotation_is_followed() {
    for rotation in ROTATIONS {
        let scene = Scene::new();
        let next = rotated(&scene.honest, rotation);
        scene.serve(&next);
        let update = scene.lab.endpoint("update").done();
        update.says("authority version 2").says("1 waits");
        scene.lab.endpoint("remove acme-agent").done();
        scene.lab.endpoint("install acme-agent@1.0.0").done();
        scene.lab.endpoint("upgrade").done().says("1.1.0");
        // and on, with the new keys alone
        let mut more = next.clone();
        let keys = more.authority_keys.clone();
        more.publish_authority(&keys);
        scene.serve(&released(more, "1.2.0"));
        scene.lab.endpoint("update").done().says("authority version 3");
        scene.lab.endpoint("upgrade").done().says("1.2.0");
    }
}

/// A way to sign a rotation by halves, and what a machine says of it.
struct Half {
    what: &'static str,
    old: usize,
    new: usize,
    says: [&'static str; 2],
}

/// D5: a rotation of the authority's keys that only the old side or only the new side signed, or either
/// with too few, is passed over by name; heads that need it are refused, and the reason is said.
#[test]
fn a_rotation_that_one_side_signed_is_refused() {
    let new = AuthorityKeys::numbered(40, 3);
    let halves = [
        Half {
            what: "the old side alone",
            old: 3,
            new: 0,
            says: ["signatures of the authority of version 2 count", "authority-40"],
        },
        Half {
            what: "the new side alone",
            old: 0,
            new: 3,
            says: ["signatures of the authority of version 1 count", "authority-1"],
        },
        Half {
            what: "one of the old side",
            old: 1,
            new: 3,
            says: ["1 of 2 signatures of the authority of version 1 count", "authority-2"],
        },
        Half {
            what: "one of the new side",
            old: 3,
            new: 1,
            says: ["1 of 2 signatures of the authority of version 2 count", "authority-41"],
        },
    ];
    let scene = Scene::new();
    let all = Rotation { collection: true, distribution: true, authority: true };
    let whole = rotated(&scene.honest, all);
    for half in halves {
        let text = whole.note(&layout::authority(2)).text().to_owned();
        let mut lines = authority_keys().sign(&text, half.old);
        lines.extend(new.sign(&text, half.new));
        let note = Note::new(text, lines).to_bytes();
        // no head needs it
        let mut early = scene.honest.clone();
        early.files_mut().insert(layout::authority(2), note.clone());
        scene.serve(&early);
        let before = scene.standing();
        let outcome = scene.lab.endpoint("update").done().says("authority/2 is passed over");
        let outcome = half.says.iter().fold(outcome, |outcome, word| outcome.says(word));
        scene.learned_nothing(&before, &outcome);
        // all heads need it
        let mut late = whole.clone();
        late.edit(&layout::authority(2), |bytes| *bytes = note);
        let words =
            ["collection/checkpoint is refused", "authority/2 is passed over", half.says[0]];
        scene.refuses(&late, "update", 10, &words).says(half.says[1]);
        assert_eq!(scene.authority_version(), 1, "{}", half.what);
    }
    scene.serve(&whole);
    scene.lab.endpoint("update").done().says("authority version 2");
    scene.lab.endpoint("upgrade").done().says("1.1.0");
}

/// D5: a server's new key that the authority has not listed yet signs for nobody, and neither does
/// the old one past its end.
#[test]
fn a_server_cannot_rotate_by_itself() {
    for (rotation, role, file) in [
        (ROTATIONS[0], "the collection's", "collection/checkpoint is refused"),
        (ROTATIONS[1], "the distribution main's", "/checkpoint is refused"),
    ] {
        let scene = Scene::new();
        let mut early = scene.honest.clone();
        if rotation.collection {
            early.collections = vec![Server::new(COLLECTION, 2)];
        } else {
            early.distributions = vec![Server::new(DISTRIBUTION, 2)];
        }
        early.wait(10);
        early.collect(&agent("1.1.0"));
        early.publish();
        let missing = format!("{role} timestamped signature is missing");
        scene.refuses(&early, "update", 10, &[file, &missing, "none is by"]);
        let mut late = rotated(&scene.honest, rotation);
        (late.collections, late.distributions) =
            (scene.honest.collections.clone(), scene.honest.distributions.clone());
        let late = released(late, "1.2.0");
        let retired = format!("{role} timestamped signature does not count");
        scene.refuses(&late, "update", 10, &[file, &retired, "is retired from index 1 on"]);
        assert_eq!(scene.authority_version(), 2, "what retires a key is kept");
        scene.serve(&released(rotated(&scene.honest, rotation), "1.2.0"));
        scene.lab.endpoint("update").done();
        scene.lab.endpoint("upgrade").done().says("1.2.0");
    }
}

/// D5: the authority's own program publishes no rotation that one side has not signed.
#[test]
fn the_authority_publishes_no_half_signed_rotation() {
    let lab = Lab::with_repository();
    let change = "authority change repo/authority --new-key --no-passphrase --drop-key";
    lab.patchrepo(change).arg("patches.example.org/authority/1").done();
    let public = || snapshot(&lab.path("repo/authority/public"), &[]);
    let before = public();
    let refused = |code: i32, says: &str| {
        lab.patchrepo("authority publish repo/authority").exits(code).says(says);
        assert!(public() == before, "something was published");
    };
    let keys = lab.path("repo/authority/keys");
    let mut files: Vec<_> = fs::read_dir(&keys)
        .expect("listed")
        .map(|file| file.expect("an entry").path())
        .filter(|path| path.file_name().is_some_and(|name| name != "master.pem"))
        .filter(|path| path.extension().is_some_and(|ending| ending == "pem"))
        .collect();
    files.sort();
    assert_eq!(files.len(), 2, "{files:?}");
    let old_side = "the authority of version 1's signature is missing: none is by \
                    patches.example.org/authority/1 (ID";
    let waits = [(10, "is not signed yet"), (10, old_side)];
    for (file, (code, says)) in files.iter().rev().zip(waits) {
        refused(code, says);
        let sign = lab.patchrepo("authority sign repo/authority --key");
        sign.arg(file).done();
    }
    lab.patchrepo("authority publish repo/authority").done();
    let text = fs::read_to_string(lab.path("repo/authority/public/authority/2")).expect("a note");
    let note = Note::parse(text.as_bytes(), text.len()).expect("a note");
    assert_eq!(AuthorityNote::parse(note.text()).expect("a note").version, 2);
    assert_eq!(note.signatures().len(), 2, "one of each side");
}

//! Threats B7: clocks that are wrong, here and there. Each is told by a message of its own, and
//! nothing is stored that blocks once the clock is right.

use countersign_format::time::Timestamp;
use countersign_tests::tree::snapshot;
use countersign_tests::{Lab, Run};

use crate::kit::{COLLECTION_HEAD, DAY, Scene};

fn at(run: Run, clock: Timestamp) -> Run {
    run.env("COUNTERSIGN_CLOCK", clock.seconds().to_string())
}

/// The machine's clock at 1970, a day behind, and ten years ahead.
#[test]
fn a_wrong_clock_of_the_machine_is_said_and_leaves_nothing_behind() {
    let scene = Scene::new();
    let next = scene.next();
    scene.serve(&next);
    let before = scene.standing();
    let yesterday = Timestamp::from_seconds(next.now.seconds() - DAY).expect("after 1970");
    for (clock, shown) in [(Timestamp::EPOCH, "1970-01-01T00:00:00Z"), (yesterday, "T")] {
        let refused = at(scene.lab.endpoint("update"), clock).exits(11).says(COLLECTION_HEAD);
        let refused = refused.says("s ahead of the local clock, which says").says(shown);
        let refused = refused.says("patches.example.org/collection (ID");
        scene.is_as(&before, &refused.says("set this machine's clock"));
    }
    let far = next.now.plus(3650 * DAY);
    let refused = at(scene.lab.endpoint("update"), far).exits(11);
    let refused = refused.says("authority/1 is refused").says("it expired on").says("and it is 20");
    scene.is_as(&before, &refused);
    // ahead by less than the heads may be old, which none can tell
    at(scene.lab.endpoint("update"), next.now.plus(2 * DAY)).done();
    let mut newer = next.clone();
    newer.wait(10);
    newer.publish();
    scene.serve(&newer);
    scene.lab.endpoint("update").done();
    scene.lab.endpoint("upgrade").done().says("1.1.0");
}

/// A clock that is set back brings nothing old to life: the newest verified times are a floor.
#[test]
fn a_clock_set_back_brings_no_old_head_to_life() {
    let scene = Scene::new();
    let mut late = scene.honest.clone();
    late.wait(5 * DAY);
    late.publish();
    scene.serve(&late);
    at(scene.lab.endpoint("update"), late.now).done();
    let before = scene.standing();
    // the heads of before, at a clock of before
    scene.serve(&scene.next());
    let refused = at(scene.lab.endpoint("update"), scene.honest.now.plus(10));
    let refused = refused
        .exits(12)
        .says(COLLECTION_HEAD)
        .says("patches.example.org/collection (ID")
        .says("which was seen before")
        .says("patches.example.org/distribution (ID")
        .says("s old, the limit is 259200 s");
    scene.is_as(&before, &refused);
    // clocks are let go wrong by five minutes
    late.wait(200);
    late.publish();
    scene.serve(&late);
    at(
        scene.lab.endpoint("update"),
        Timestamp::from_seconds(late.now.seconds() - 250).expect("it"),
    )
    .done();
}

/// Heads of the future, and heads of 1970.
#[test]
fn wrong_clocks_of_the_servers_are_said() {
    let scene = Scene::new();
    let mut future = scene.next();
    future.wait(3600);
    future.publish();
    let ahead = "s ahead of the local clock, which says";
    scene.refuses(&future, "update", 11, &[COLLECTION_HEAD, ahead, "set this machine's clock"]);
    let mut ancient = scene.next();
    ancient.now = Timestamp::EPOCH;
    ancient.publish();
    let old = ["patches.example.org/collection (ID", "s old, the limit is 2592000 s"];
    scene.refuses(&ancient, "update", 11, &[COLLECTION_HEAD, old[0], old[1]]);
    scene.heals();
}

/// The servers' own programs: a clock that went back signs nothing, and one that was ahead is mended by
/// a person's word.
#[test]
fn a_server_signs_nothing_while_its_clock_is_behind_its_own_signatures() {
    let lab = Lab::with_repository();
    lab.tree("tree").program("opt/acme/agent", "one");
    lab.collect("tree --version 1.0.0");
    lab.release("acme-agent@1.0.0");
    let now = countersign_tests::lab::now();
    let refresh = |role: &str| lab.patchrepo(&format!("{role} refresh repo/{role} --force"));
    for role in ["collection", "distribution"] {
        at(refresh(role), now.plus(DAY)).done();
        let before = snapshot(&lab.path("repo"), &[]);
        let refused = refresh(role).exits(1).says("clock").says("--clock-was-wrong");
        let after = snapshot(&lab.path("repo"), &[]);
        assert!(before == after, "{refused}");
        let (code, says) = match role {
            "collection" => (1, "clock"),
            _ => (11, "collection/checkpoint is refused"),
        };
        at(refresh(role), Timestamp::EPOCH).exits(code).says(says);
        refresh(role).arg("--clock-was-wrong").done();
        refresh(role).done();
    }
    lab.patchrepo("distribution sync repo/distribution").done();
    refresh("distribution").done();
    lab.patchrepo("verify repo/distribution/public --authority authority.note").done();
}

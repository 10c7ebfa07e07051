//! Gates, each open and closed, and the date on which that changes.

use countersign_format::entry::{TreeHead, Withdraw};

use super::*;

const NOW: u64 = 1_795_341_600;

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_seconds(seconds).expect("a time")
}

fn head() -> TreeHead {
    let origin = "patches.example.org/collection".parse().expect("a name");
    TreeHead { origin, size: 9, root: Hash32([0; 32]) }
}

fn ring() -> RingName {
    "stable".parse().expect("a ring")
}

fn released(change: impl FnOnce(&mut Release)) -> Decision {
    let mut release = Release {
        of: head(),
        patches: vec![(0, 9).into()],
        ring: ring(),
        start: None,
        ramp: 0,
        percent: 100,
        deadline: None,
    };
    change(&mut release);
    Decision::Release(release)
}

/// A gate's name, its answer and when that changes.
type Judged = (&'static str, Answer, Option<Timestamp>);

/// The answers of all gates and the first obstacle.
fn judge(
    decision: Option<&Decision>,
    revoked: Option<&str>,
    platform: &str,
) -> (Vec<Judged>, Gate) {
    let [patch, machine] =
        [platform, "linux-x86_64"].map(|platform| platform.parse().expect("a platform"));
    let approach = Approach {
        leaf: 3,
        archive: &Hash32([7; 32]),
        platform: &patch,
        machine: &machine,
        machine_id: "00112233445566778899aabbccddeeff",
        ring: &ring(),
        revoked,
        standing: decision.map(|decision| Standing { leaf: 5, decision }),
        now: at(NOW),
    };
    let gates = approach.gates();
    let answers = gates.iter().map(|gate| (gate.name(), gate.answer(), gate.changes()));
    (answers.collect(), approach.first_obstacle())
}

#[test]
fn an_open_patch_passes_every_gate() {
    let (gates, obstacle) = judge(Some(&released(|_| {})), None, "any");
    let names: Vec<_> = gates.iter().map(|(name, ..)| *name).collect();
    let expected = ["known", "revocation", "platform", "release", "start", "rollout", "deadline"];
    assert_eq!(names, expected);
    assert!(gates.iter().all(|(_, answer, _)| *answer == Answer::Yes));
    assert_eq!(obstacle, Gate::Open);
}

#[test]
fn all_obstacles_are_seen_and_the_first_one_counts() {
    let late = released(|release| {
        release.start = Some(at(NOW + 60));
        release.percent = 0;
    });
    let (gates, obstacle) = judge(Some(&late), Some("breaks the spooler"), "plan9-pdp11");
    let closed: Vec<_> = gates.iter().filter(|gate| gate.1 != Answer::Yes).collect();
    assert_eq!(
        closed,
        [
            &("revocation", Answer::No, None),
            &("platform", Answer::No, None),
            &("start", Answer::Waits, Some(at(NOW + 60))),
            &("rollout", Answer::No, None),
        ]
    );
    assert_eq!(obstacle, Gate::Revoked("breaks the spooler".into()));
    assert_eq!(judge(None, None, "any").1, Gate::NotReleased("stable".into()));
    let withdraw = Withdraw {
        of: head(),
        patches: vec![(0, 9).into()],
        ring: ring(),
        reason: "field reports".parse().expect("a line"),
    };
    let (gates, obstacle) = judge(Some(&Decision::Withdraw(withdraw)), None, "any");
    assert_eq!(obstacle, Gate::Withdrawn("field reports".into()));
    assert_eq!(gates.len(), 4, "a withdrawn patch has no rollout");
}

#[test]
fn a_rollout_says_when_it_reaches_this_machine() {
    let day = 86_400;
    let ramp = released(|release| {
        release.start = Some(at(NOW));
        release.ramp = day;
        release.percent = 100;
        release.deadline = Some(at(NOW + 9 * day));
    });
    let (gates, obstacle) = judge(Some(&ramp), None, "any");
    assert_eq!(obstacle, Gate::Rollout);
    let Some((_, Answer::Waits, Some(opens))) = gates.iter().find(|gate| gate.0 == "rollout")
    else {
        panic!("{gates:?}")
    };
    let bucket = u64::from(bucket("00112233445566778899aabbccddeeff", &Hash32([7; 32])));
    assert_eq!(opens.seconds(), NOW + ((bucket + 1) * day).div_ceil(10_000));
    assert_eq!(gates.last(), Some(&("deadline", Answer::Yes, Some(at(NOW + 9 * day)))));
}

//! Every system call that can fail made to fail: readers accept what is there, and the next run
//! completes it.

use countersign_store::crash::{Failure, with_failure};

use super::*;

/// Kept directories of a lab in which 1.0.0 is published, 1.1.0 is fetched and released, and
/// 1.0.0 is to be withdrawn.
fn lab() -> Lab {
    let lab = Lab::new();
    lab.collect(&["1.0.0"], at(1));
    lab.sync(at(2)).expect("fetched");
    lab.release(&["acme@1.0.0"]);
    lab.publish(at(3)).expect("published");
    lab.collect(&["1.1.0"], at(4));
    lab
}

#[test]
fn a_publication_that_fails_anywhere_is_completed_by_the_next() {
    let lab = lab();
    lab.sync(at(5)).expect("fetched");
    lab.release(&["acme@1.1.0"]);
    lab.decide(&["acme@1.0.0"], &stable(), &withdraw("old")).expect("decided");
    lab.copy("repo/distribution", "before");
    let old = lab.view(at(5));
    lab.publish(at(6)).expect("published");
    let new = lab.view(at(6));
    assert_eq!(new.released, set(["acme@1.1.0"]));
    let (mut steps, mut count) = (BTreeSet::new(), 0);
    for done in [false, true] {
        for after in 0.. {
            lab.restore("before", "repo/distribution");
            let failure = Failure { after, errno: 28, done };
            let (result, step) = with_failure(failure, || lab.publish(at(6)));
            let Some(step) = step else { break };
            steps.insert(step);
            count += 1;
            assert!(result.is_err() || done, "{step}");
            let between = lab.view(at(6));
            // the collection's head comes first
            let expected = [&old, &View { collection: 3, ..old.clone() }, &new];
            assert!(expected.contains(&&between), "{step} {after}: {between:?}");
            lab.publish(at(7)).expect("the rerun");
            assert_eq!(lab.view(at(7)), new, "{step} {after}");
            let waiting = Decisions::read(lab.distribution().directory()).expect("read");
            assert_eq!(waiting, Decisions::default());
        }
    }
    for step in ["durable.rename", "durable.syncfs-bytes", "durable.write", "durable.unlink"] {
        assert!(steps.contains(step), "{step} of {steps:?}");
    }
    assert!(count > 60, "{count}");
}

#[test]
fn a_fetch_that_fails_anywhere_goes_on_with_the_next() {
    let lab = lab();
    lab.revoke("acme@1.0.0", at(4));
    lab.collect(&["1.2.0"], at(4));
    lab.decide(&["acme@1.0.0"], &"canary".parse().expect("a ring"), &release()).expect("decided");
    lab.copy("repo/distribution", "before");
    let mut count = 0;
    for done in [false, true] {
        for after in 0.. {
            lab.restore("before", "repo/distribution");
            let failure = Failure { after, errno: 5, done };
            let (result, step) = with_failure(failure, || lab.sync(at(5)));
            let Some(step) = step else { break };
            count += 1;
            assert!(result.is_err() || done, "{step}");
            let held = lab.distribution().catalogue().expect("readable").patches().count();
            assert!([1, 3].contains(&held), "{step}");
            lab.sync(at(6)).expect("the rerun");
            let catalogue = lab.distribution().catalogue().expect("read");
            assert_eq!(catalogue.patches().count(), 3);
            assert!(catalogue.patch(1).expect("held").revoked.is_some());
            let waiting = Decisions::read(lab.distribution().directory()).expect("read");
            assert_eq!(waiting, Decisions::default(), "a revoked patch is not released");
            lab.release(&["acme@1.1.0", "acme@1.2.0"]);
            lab.publish(at(7)).expect("all that it needs is there");
            assert_eq!(lab.view(at(7)).collection, 5);
        }
    }
    assert!(count > 40, "{count}");
}

#[test]
fn an_interrupted_download_goes_on_where_it_ended() {
    let lab = lab();
    let collection = Collection::open(&lab.path("repo/collection")).expect("opened");
    let hash = collection.select_published(&selector("acme@1.1.0")).expect("found")[0]
        .entry
        .archive
        .sha256;
    let archive = fs::read(lab.path("repo/collection/public").join(layout::archive(&hash)));
    let archive = archive.expect("read");
    let part = lab.path("repo/distribution/incoming").join(format!("{hash}.part"));
    fs::write(&part, &archive[..archive.len() / 2]).expect("written");
    let distribution = lab.distribution();
    let place = distribution.collection_place(None).expect("configured");
    let known = distribution.learn(&place, at(5)).expect("known");
    let mut seen = Vec::new();
    distribution.sync(&known, &place, at(5), &mut |_, bytes| seen.push(bytes)).expect("fetched");
    assert!(seen.iter().all(|bytes| *bytes > archive.len() as u64 / 2), "{seen:?}");
    assert!(!part.exists());
}

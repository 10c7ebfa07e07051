//! What happens once in a while is killed at every named point too: enrolment, hooks, witnesses,
//! publications that are given up, logs that begin anew. The rerun ends well.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use countersign_fixtures::{PatchSpec, Payload};
use countersign_tests::crash::{Point, at_every_point, at_every_point_of, covers, kill};
use countersign_tests::lab::present;
use countersign_tests::tree::{copy, replace, snapshot};
use countersign_tests::{Lab, Run};

const PUBLIC: &str = "repo/distribution/public";

/// A repository with version 1.0.0, published by the real programs.
fn laboratory() -> Lab {
    let lab = Lab::with_repository();
    lab.tree("tree").program("opt/acme/agent", "1.0.0");
    lab.collect("tree --version 1.0.0");
    lab.release("acme-agent@1.0.0");
    lab
}

/// Takes one more version in.
fn collect_next(lab: &Lab, version: &str) {
    fs::write(lab.path("tree/opt/acme/agent"), version).expect("written");
    lab.collect(&format!("tree --version {version}"));
}

fn verifies(lab: &Lab, what: &str) {
    let verified = lab.patchrepo(&format!("verify {PUBLIC} --authority authority.note")).outcome();
    assert_eq!(verified.code, Some(0), "{what}\n{verified}");
}

#[track_caller]
fn ends(run: Run, code: i32, what: &str) {
    let outcome = run.outcome();
    assert_eq!(outcome.code, Some(code), "{what}\n{outcome}");
}

/// A machine that is enrolled is enrolled whole, by hand or at its first boot.
#[test]
fn a_machine_is_enrolled_whole_or_not_at_all() {
    let lab = laboratory();
    let server = lab.serve(PUBLIC);
    let enroll = |root: &str| {
        let words = format!("--root {root} --yes enroll --authority authority.note");
        lab.patchctl(&words).arg(server.url())
    };
    fs::create_dir(lab.path("machine")).expect("made");
    let run = |command: &str| lab.patchctl(&format!("--root machine --yes {command}"));
    let mut killed = at_every_point(
        &lab,
        "machine",
        || enroll("machine"),
        |point| {
            let what = format!("enrolment killed at {point}");
            let again = enroll("machine").outcome();
            // it was done, all but saying so
            let is_done = again.code == Some(1) && again.stderr.contains("already");
            assert!(again.code == Some(0) || is_done, "{what}\n{again}");
            ends(run("update"), 0, &what);
            ends(run("install acme-agent"), 0, &what);
        },
    );
    fs::create_dir(lab.path("image")).expect("made");
    let image = "--yes enroll --image image --authority authority.note";
    lab.patchctl(image).arg(server.url()).done();
    let boot = || lab.patchctl("--root image --yes update");
    killed += at_every_point(&lab, "image", boot, |point| {
        let what = format!("first boot killed at {point}");
        ends(boot(), 0, &what);
        assert!(!lab.path("image/var/lib/patchctl/first-boot").exists(), "{what}");
        ends(lab.patchctl("--root image --yes install acme-agent"), 0, &what);
    });
    covers("crash_operations::enrolment");
    println!("enrolment: killed at {killed} points");
}

/// A hook under way when the client is killed leaves nothing of its transaction.
#[test]
fn a_transaction_that_is_killed_while_a_hook_runs_is_undone() {
    let lab = Lab::new();
    let mut repository = present().build();
    let payload = Payload::new().file("opt/acme/agent", "one");
    let spec = PatchSpec::full("acme-agent", "1.0.0", &payload).hook("check", "#!/bin/sh\n");
    let index = repository.collect(&spec);
    repository.release(&[index]);
    repository.publish();
    lab.publish(&repository);
    let server = lab.serve("public");
    lab.enroll(server.url());
    kill(lab.endpoint("install acme-agent"), &Point { name: "transaction.hook".into(), count: 1 });
    let update = lab.endpoint("update").done();
    update.says("was interrupted; everything is as before it");
    assert!(!lab.path("endpoint/opt").exists());
    // below this root there is no shell, so the hook itself says no
    lab.endpoint("install acme-agent").exits(15).says("was rolled back");
    assert!(!lab.path("endpoint/opt").exists());
    lab.endpoint("verify").done();
    covers("crash_operations::hooks");
}

fn change_authority(lab: &Lab, change: &str) {
    lab.patchrepo(&format!("authority change repo/authority {change}")).done();
    lab.patchrepo("authority sign repo/authority").done();
    lab.patchrepo("authority publish repo/authority").done();
}

/// Heads that wait for witnesses, what these sign, and what is taken of it.
#[test]
fn what_waits_for_witnesses_is_completed() {
    let lab = laboratory();
    let witness = || {
        let run = format!("witness run witness {PUBLIC} --authority authority.note -o lines");
        lab.patchrepo(&run)
    };
    let import = || lab.patchrepo("distribution import repo/distribution lines");
    let refresh = || lab.patchrepo("distribution refresh repo/distribution --force");
    lab.patchrepo("witness init witness --name witness.example.net --no-passphrase").done();
    change_authority(&lab, "--witness witness/witness.pub");
    refresh().done();
    witness().done();
    import().done();
    refresh().done();
    change_authority(&lab, "--quorum 1");
    refresh().done();
    collect_next(&lab, "2.0.0");
    lab.patchrepo("collection publish repo/collection").done();
    lab.patchrepo("distribution sync repo/distribution").done();
    lab.patchrepo("distribution release repo/distribution --all --ring stable").done();

    let heads = || {
        ["collection", "distribution"]
            .map(|log| fs::read(lab.path(PUBLIC).join(log).join("checkpoint")).expect("a head"))
    };
    let before = heads();
    copy(&lab.path("witness"), &lab.path("witness-before")).expect("copied");
    let publish = || lab.patchrepo("distribution publish repo/distribution");
    let mut killed = at_every_point_of(&lab, "repo/distribution", 10, publish, |point| {
        let what = format!("publish killed at {point} while it waits");
        verifies(&lab, &what);
        assert!(heads() == before, "{what}: readers see something else");
        ends(publish(), 10, &what);
        assert!(heads() == before, "{what}: readers see something else");
        ends(witness(), 0, &what);
        ends(import(), 0, &what);
        ends(publish(), 0, &what);
        verifies(&lab, &what);
        // the next try begins with heads that this witness has not seen
        replace(&lab.path("witness-before"), &lab.path("witness")).expect("replaced");
    });
    assert!(heads() == before, "the undisturbed run waits");
    let lines = || fs::read_to_string(lab.path("lines")).expect("lines");
    killed += at_every_point(&lab, "witness", witness, |point| {
        let what = format!("witness killed at {point}");
        ends(witness(), 0, &what);
        assert!(lines().contains("witness.example.net"), "{what}");
    });
    killed += at_every_point(&lab, "repo/distribution", import, |point| {
        let what = format!("import killed at {point}");
        ends(import(), 0, &what);
        ends(publish(), 0, &what);
        verifies(&lab, &what);
    });
    publish().done();
    verifies(&lab, "at the end");
    covers("crash_operations::witnesses");
    println!("witnesses: killed at {killed} points");
}

/// A publication that is given up is given up whole; what is taken in next goes on from there.
#[test]
fn a_publication_is_given_up_whole() {
    let lab = laboratory();
    collect_next(&lab, "2.0.0");
    let publish = || lab.patchrepo("collection publish repo/collection");
    kill(publish(), &Point { name: "publish.staged".into(), count: 1 });
    let public = lab.path("repo/collection/public");
    let discard = || lab.patchrepo("collection discard repo/collection --round");
    let killed = at_every_point(&lab, "repo/collection", discard, |point| {
        let what = format!("discard killed at {point}");
        ends(discard(), 0, &what);
        verified_collection(&lab, &what);
    });
    let left = |path: &Path| path.starts_with("collection/tile") && is_of(path, "3");
    let files: BTreeSet<_> = snapshot(&public, &[]).into_keys().filter(|path| left(path)).collect();
    assert!(files.is_empty(), "{files:?}");
    publish().done();
    verified_collection(&lab, "published after all");
    println!("discard: killed at {killed} points");
}

fn is_of(path: &Path, size: &str) -> bool {
    path.file_name().is_some_and(|name| name == size)
}

fn verified_collection(lab: &Lab, what: &str) {
    let verify = lab.patchrepo("verify repo/collection/public --authority authority.note");
    ends(verify, 0, what);
}

/// A log that begins anew under another origin, the collection's and the distribution's.
#[test]
fn a_log_that_begins_anew_is_completed() {
    let lab = laboratory();
    change_authority(&lab, "--collection-origin patches.example.org/collection/2");
    let restart = |role: &str| lab.patchrepo(&format!("{role} restart repo/{role} --keep 2"));
    let mut killed = at_every_point(
        &lab,
        "repo/collection",
        || restart("collection"),
        |point| {
            let what = format!("collection restart killed at {point}");
            let again = restart("collection").outcome();
            let is_done = again.code == Some(1) && again.stderr.contains("origin");
            assert!(again.code == Some(0) || is_done, "{what}\n{again}");
            verified_collection(&lab, &what);
            ends(lab.patchrepo("collection refresh repo/collection --force"), 0, &what);
        },
    );
    let sync = || lab.patchrepo("distribution sync repo/distribution");
    killed += at_every_point(&lab, "repo/distribution", sync, |point| {
        ends(sync(), 0, &format!("sync of a new log killed at {point}"));
    });
    lab.patchrepo("distribution release repo/distribution --again").done();
    lab.patchrepo("distribution publish repo/distribution").done();
    verifies(&lab, "after the collection's");

    change_authority(&lab, "--distribution-origin patches.example.org/distribution/2");
    sync().done();
    killed += at_every_point(
        &lab,
        "repo/distribution",
        || restart("distribution"),
        |point| {
            let what = format!("distribution restart killed at {point}");
            let again = restart("distribution").outcome();
            let is_done = again.code == Some(1) && again.stderr.contains("origin");
            assert!(again.code == Some(0) || is_done, "{what}\n{again}");
            verifies(&lab, &what);
        },
    );
    verifies(&lab, "after the distribution's");
    covers("crash_operations::restart");
    println!("restart: killed at {killed} points");
}

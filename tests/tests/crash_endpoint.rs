//! The endpoint is killed at every named point of what it does; the next command ends at exactly
//! the old or exactly the new state.

use countersign_fixtures::{PatchSpec, Payload, Repository};
use countersign_tests::crash::at_every_point;
use countersign_tests::lab::present;
use countersign_tests::tree::Snapshot;
use countersign_tests::{Background, Lab};

/// What the endpoint has: its files, and what its client says is installed.
#[derive(PartialEq, Eq, Debug)]
struct State {
    files: Snapshot,
    installed: String,
}

fn state(lab: &Lab) -> State {
    let installed = lab.endpoint("list --installed").outcome().stdout;
    State { files: lab.installed(), installed }
}

fn old() -> Payload {
    Payload::new()
        .program("opt/acme/bin/agent", "#!/bin/sh\necho one\n")
        .file("opt/acme/share/data", "some data")
        .file("opt/acme/share/becomes-a-link", "a file")
        .file("opt/acme/old/goes-away", "for now")
        .config("opt/acme/etc/agent.conf", "level = 1\n")
        .link("opt/acme/current", "bin")
}

fn new() -> Payload {
    Payload::new()
        .program("opt/acme/bin/agent", "#!/bin/sh\necho two\n")
        .file("opt/acme/share/data", "some data")
        .link("opt/acme/share/becomes-a-link", "data")
        .file("opt/acme/new/comes", "from now on")
        .config("opt/acme/etc/agent.conf", "level = 2\n")
        .link("opt/acme/current", "share")
}

/// An enrolled endpoint, and a server with version 1.0.0 and, if so said, 2.0.0 in two ways.
fn laboratory(versions: u32) -> (Lab, Repository, Background) {
    let lab = Lab::new();
    let mut repository = present().build();
    let index = repository.collect(&PatchSpec::full("acme-agent", "1.0.0", &old()));
    repository.release(&[index]);
    repository.publish();
    if versions == 2 {
        publish_next(&mut repository);
    }
    lab.publish(&repository);
    let server = lab.serve("public");
    lab.enroll(server.url());
    (lab, repository, server)
}

fn publish_next(repository: &mut Repository) {
    repository.wait(10);
    let incremental = PatchSpec::incremental("acme-agent", "2.0.0", "=1.0.0", &old(), &new());
    let full = PatchSpec::full("acme-agent", "2.0.0", &new());
    let indexes = [repository.collect(&full), repository.collect(&incremental)];
    repository.release(&indexes);
    repository.publish();
}

/// Kills `command` everywhere. Each time the next command must find the old state or the new one,
/// and from the old one `command` must come to the new one.
fn killed_anywhere(lab: &Lab, command: &str) {
    let before = state(lab);
    let mut found = Vec::new();
    let run = || lab.endpoint(command);
    let points = at_every_point(lab, "endpoint", run, |point| {
        lab.endpoint("update").done();
        lab.endpoint("verify").done();
        let recovered = state(lab);
        let is_old = recovered == before;
        if is_old {
            run().done();
            lab.endpoint("verify").done();
        }
        found.push((point.clone(), is_old, recovered, state(lab)));
    });
    let after = state(lab);
    assert_ne!(before, after, "{command} changes something");
    let mut olds = 0;
    for (point, is_old, recovered, rerun) in found {
        assert!(is_old || recovered == after, "{command} killed at {point}: {recovered:#?}");
        assert_eq!(rerun, after, "{command} killed at {point} and run again");
        olds += usize::from(is_old);
    }
    println!("{command}: killed at {points} points; {olds} times old, {} times new", points - olds);
}

#[test]
fn install_upgrade_rollback_and_remove_are_all_or_nothing() {
    let (lab, mut repository, _server) = laboratory(1);
    lab.endpoint("update").done();
    killed_anywhere(&lab, "install acme-agent");
    publish_next(&mut repository);
    lab.publish(&repository);
    lab.endpoint("update").done();
    killed_anywhere(&lab, "upgrade");
    killed_anywhere(&lab, "rollback");
    killed_anywhere(&lab, "remove acme-agent");
}

#[test]
fn an_update_holds_the_old_index_or_the_new_one() {
    let (lab, mut repository, _server) = laboratory(1);
    let index = |lab: &Lab| lab.endpoint("list --available").outcome().stdout;
    lab.endpoint("update").done();
    let before = index(&lab);
    let keys = repository.authority_keys.clone();
    repository.publish_authority(&keys);
    publish_next(&mut repository);
    lab.publish(&repository);
    let mut found = Vec::new();
    let points = at_every_point(
        &lab,
        "endpoint",
        || lab.endpoint("update"),
        |point| {
            let reading = index(&lab);
            lab.endpoint("update").done();
            found.push((point.clone(), reading, index(&lab)));
        },
    );
    let after = index(&lab);
    assert_ne!(before, after);
    for (point, reading, rerun) in found {
        assert!(reading == before || reading == after, "update killed at {point}:\n{reading}");
        assert_eq!(rerun, after, "update killed at {point} and run again");
    }
    println!("update: killed at {points} points");
}

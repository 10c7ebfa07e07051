//! Files that come as changes to others, by the real programs: they arrive, and where a machine's own
//! files do not fit, another way is taken or the reason is named.

use std::fs;

use countersign_tests::Lab;
use countersign_tests::background::Background;
use countersign_tests::lab::RECORDS;
use countersign_tests::tree::snapshot;

const AGENT: &str = "endpoint/opt/acme/bin/agent";

/// A program that does not compress to nothing.
fn agent(version: u32) -> String {
    let line = |at: u32| {
        let number = (at + 77).wrapping_mul(2_654_435_761).rotate_left(11).wrapping_mul(40_503);
        format!("# {number:08x}{:08x}\n", number.wrapping_mul(2_246_822_519))
    };
    let lines: String = (0..4_000).map(line).collect();
    format!("#!/bin/sh\n{lines}echo {version}\n")
}

/// A laboratory with an endpoint that has 1.0.0, and with an incremental patch to 1.1.0 that has
/// changes to one file; `more` patches to 1.1.0 are released as well.
fn with_changes(more: &[&str]) -> (Lab, Background) {
    let lab = Lab::with_repository();
    lab.tree("one").program("opt/acme/bin/agent", agent(1)).file("opt/acme/old", "goes away");
    lab.collect("one --version 1.0.0");
    lab.release("acme-agent@1.0.0");
    let server = lab.serve("repo/distribution/public");
    lab.enroll(server.url());
    lab.endpoint("update").done();
    lab.endpoint("install acme-agent").done();
    lab.tree("two").program("opt/acme/bin/agent", agent(2)).file("opt/acme/new", "comes");
    for more in more {
        lab.collect(&format!("two --version 1.1.0 {more}"));
    }
    lab.collect("two --version 1.1.0 --against acme-agent@1.0.0").says("1 as changes");
    lab.release("acme-agent@1.1.0");
    lab.endpoint("update").done();
    (lab, server)
}

#[track_caller]
fn is_second(lab: &Lab) {
    let installed = snapshot(&lab.path("endpoint/opt"), RECORDS);
    assert_eq!(installed, snapshot(&lab.path("two/opt"), &[]));
    lab.endpoint("verify").done();
}

#[test]
fn an_upgrade_fetches_what_changed_of_a_file() {
    let (lab, _server) = with_changes(&[""]);
    let plan = lab.endpoint("upgrade --dry-run --json").done().json();
    let size = plan["steps"][0]["patches"][0]["size"].as_u64().or(plan["download"].as_u64());
    assert!(size.is_none_or(|size| size < 4_000), "{plan}");
    lab.endpoint("upgrade").done();
    is_second(&lab);
}

#[test]
fn where_a_file_was_changed_the_full_patch_is_taken() {
    let (lab, _server) = with_changes(&[""]);
    let mut mine = fs::read(lab.path(AGENT)).expect("installed");
    mine[100] ^= 1;
    fs::write(lab.path(AGENT), &mine).expect("written");
    let outcome = lab.endpoint("upgrade").done();
    // and the local change is not lost
    outcome
        .says("/opt/acme/bin/agent, to which it has changes, is not as it was installed")
        .says("another way is taken")
        .says("/opt/acme/bin/agent had local changes, which are kept in");
    is_second(&lab);
}

#[test]
fn where_there_is_no_other_way_the_file_is_named() {
    let (lab, _server) = with_changes(&[]);
    let before = snapshot(&lab.path("endpoint/opt"), RECORDS);
    fs::write(lab.path(AGENT), "mine").expect("written");
    let outcome = lab.endpoint("upgrade").exits(1);
    outcome.says("/opt/acme/bin/agent").says("patchctl repair");
    assert_eq!(fs::read_to_string(lab.path(AGENT)).expect("there"), "mine");
    lab.endpoint("repair").done();
    assert_eq!(snapshot(&lab.path("endpoint/opt"), RECORDS), before);
    lab.endpoint("upgrade").done();
    is_second(&lab);
}

#[test]
fn a_plan_that_was_kept_is_not_carried_out_by_another_way() {
    let (lab, _server) = with_changes(&[""]);
    lab.endpoint("plan -o kept.plan").done();
    fs::write(lab.path(AGENT), "mine").expect("written");
    lab.endpoint("install --plan kept.plan").exits(1).says("/opt/acme/bin/agent");
    assert_eq!(fs::read_to_string(lab.path(AGENT)).expect("there"), "mine");
    lab.endpoint("upgrade").done();
    is_second(&lab);
}

//! A damaged state is refused with what to do and never taken for a first use; `doctor` finds what
//! is wrong.

mod common;

use std::os::unix::fs::PermissionsExt as _;

use common::{Machine, ago, two_versions};
use countersign_fixtures::Repository;
use serde_json::Value;

const DAY: u64 = 86_400;

fn machine() -> (Machine, Repository) {
    let repository = two_versions();
    let machine = Machine::enrolled(&repository);
    machine.run(&["install", "acme-agent@1.0.0", "--yes"]).success();
    (machine, repository)
}

/// Commands that read the state, that change it, and that would make it.
fn all_refuse(machine: &Machine, repository: &Repository, case: &str, says: &str) {
    let state = machine.root("var/lib/patchctl/state.db");
    let before = std::fs::read(&state).ok();
    let fingerprint = format!("sha256:{}", repository.enrolment_fingerprint());
    let enroll = ["enroll", "public", "--authority", &fingerprint, "--name", "second"];
    let commands: [&[&str]; 6] = [
        &["status"],
        &["check"],
        &["update"],
        &["install", "acme-agent", "--yes"],
        &["rollback", "--yes"],
        &enroll,
    ];
    for command in commands {
        let ended = machine.run(command);
        assert_eq!(ended.code, 1, "{case}: {command:?}: {ended:?}");
        assert!(ended.stderr.contains(says), "{case}: {command:?}: {ended:?}");
        assert!(ended.stderr.contains("hint: "), "{case}: {command:?}: {ended:?}");
        assert_eq!(std::fs::read(&state).ok(), before, "{case}: {command:?} left it as it was");
    }
    machine.run(&["doctor"]).code(1).says(says);
}

#[test]
fn what_is_no_database_is_refused_by_every_command() {
    let (machine, repository) = machine();
    let state = machine.root("var/lib/patchctl/state.db");
    let whole = std::fs::read(&state).expect("a state");
    let noise: Vec<u8> = (1..=250).cycle().step_by(131).take(whole.len()).collect();
    let mut magic = whole.clone();
    magic[3] ^= 0x20;
    let mut foreign = whole.clone();
    foreign[68] ^= 1; // application_id
    let cases: [(&str, &[u8]); 7] = [
        ("empty", b""),
        ("one byte", &whole[..1]),
        ("noise", &noise),
        ("another magic", &magic),
        ("another program's", &foreign),
        ("one page", &whole[..4096]),
        ("half", &whole[..whole.len() / 2]),
    ];
    for (case, bytes) in cases {
        std::fs::write(&state, bytes).expect("written");
        all_refuse(&machine, &repository, case, "restore it from a backup");
    }
    std::fs::write(&state, &whole).expect("restored");
    machine.run(&["status"]).success();
    machine.run(&["upgrade", "--yes"]).success();
}

#[test]
fn a_state_that_is_gone_from_an_enrolled_machine_is_no_first_use() {
    let (machine, repository) = machine();
    let state = machine.root("var/lib/patchctl/state.db");
    std::fs::remove_file(&state).expect("removed");
    all_refuse(&machine, &repository, "gone", "shows that this machine was enrolled");
    // evidence alone shows it, too
    std::fs::remove_dir_all(machine.root("etc/patchctl/sources.d")).expect("removed");
    let case = machine.root("var/lib/patchctl/evidence/case");
    std::fs::create_dir_all(&case).expect("made");
    machine.enroll(&repository).code(1).says("shows that this machine was enrolled");
    std::fs::remove_dir_all(case).expect("removed");
    machine.enroll(&repository).success();
}

#[test]
fn doctor_finds_a_page_that_was_overwritten() {
    let (machine, _) = machine();
    let state = machine.root("var/lib/patchctl/state.db");
    let page = machine
        .state()
        .query_row("SELECT rootpage FROM sqlite_schema WHERE name = 'patch_lines'", [], |row| {
            row.get::<_, u32>(0)
        })
        .expect("a page") as usize;
    let mut bytes = std::fs::read(&state).expect("a state");
    bytes[(page - 1) * 4096..page * 4096].fill(0x5a);
    std::fs::write(&state, &bytes).expect("written");
    machine.run(&["doctor"]).code(1).says("is damaged").says("restore it from a backup");
    machine.run(&["upgrade", "--yes"]).code(1).says("hint: ");
    assert_eq!(std::fs::read(&state).expect("a state"), bytes);
}

/// The findings of `doctor`, without the ones that are as they should be.
fn findings(machine: &Machine) -> Vec<(String, String, String)> {
    let document = machine.json(&["doctor"]);
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    let all = document["findings"].as_array().expect("a list").iter();
    let bad = all.filter(|finding| finding["level"] != "ok");
    bad.map(|finding| {
        assert!(finding["advice"].is_string(), "{finding}");
        (text(&finding["check"]), text(&finding["level"]), text(&finding["found"]))
    })
    .filter(|(check, ..)| check != "disk") // of the machine that the test runs on
    .collect()
}

#[track_caller]
fn finds(machine: &Machine, check: &str, level: &str, found: &str) {
    let findings = findings(machine);
    let is_it =
        |(a, b, c): &(String, String, String)| a == check && b == level && c.contains(found);
    assert!(findings.iter().any(is_it), "{check} {level} {found}: {findings:?}");
}

#[test]
fn doctor_has_nothing_to_say_of_a_healthy_machine() {
    let (machine, _) = machine();
    assert_eq!(findings(&machine), []);
    let ended = machine.run(&["doctor"]);
    for check in
        ["state", "transaction", "staging", "keys", "clock", "index", "network", "evidence"]
    {
        assert!(ended.stdout.contains(&format!("\n{check}")), "{check}: {ended:?}");
    }
}

#[test]
fn doctor_finds_what_is_wrong_and_says_what_to_do() {
    let (machine, repository) = machine();
    let sources = machine.root("etc/patchctl/sources.d");
    let set = |mode| {
        let permissions = std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(&sources, permissions).expect("set");
    };
    set(0o777);
    finds(&machine, "permissions", "problem", "sources.d");
    set(0o755);

    std::fs::write(machine.root("etc/acme.conf.patchctl-new"), "setting = 2\n").expect("written");
    finds(&machine, "configuration", "warning", "/etc/acme.conf.patchctl-new");
    std::fs::create_dir_all(machine.root(".patchctl/staging/99")).expect("made");
    finds(&machine, "staging", "warning", "staging/99");
    std::fs::create_dir_all(machine.root("var/lib/patchctl/evidence/case")).expect("made");
    finds(&machine, "evidence", "problem", "two histories");
    let ended = ago(60).seconds().cast_signed();
    let hold = "INSERT INTO hold (name, until, since) VALUES ('acme-agent', ?1, 0)";
    machine.state().execute(hold, [ended]).expect("held");
    finds(&machine, "holds", "warning", "acme-agent ended on");
    let begun = "INSERT INTO txn (command, started, state, action)
         VALUES ('patchctl upgrade', 0, 'begun', 'upgrade')";
    machine.state().execute(begun, []).expect("begun");
    finds(&machine, "transaction", "problem", "patchctl upgrade");
    machine.run(&["doctor"]).code(1).says("exit 9");

    machine.age(4 * DAY, &repository);
    finds(&machine, "index", "problem", "stale");
    finds(&machine, "keys", "warning", "was signed 4 days ago");
    std::fs::remove_dir_all(machine.path("public")).expect("the server is gone");
    finds(&machine, "network", "problem", "");
    let offline = machine.json(&["doctor", "--offline"]).to_string();
    assert!(!offline.contains("\"network\""), "{offline}");
}

#[test]
fn doctor_finds_a_clock_that_is_behind_and_an_authority_that_expires_soon() {
    let mut repository = countersign_fixtures::RepositoryBuilder::new()
        .now(patchctl::clock::now())
        .valid_for(9 * DAY)
        .build();
    repository.publish();
    let machine = Machine::enrolled(&repository);
    finds(&machine, "keys", "warning", "expires on");
    let update = "UPDATE signer_time SET time = time + 86400";
    machine.state().execute(update, []).expect("changed");
    finds(&machine, "clock", "problem", "later");
}

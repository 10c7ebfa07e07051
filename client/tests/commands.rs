//! The commands of the real program against repositories on disk.

mod common;

use common::{Machine, agent, full, read, release_second, repository, two_versions};
use countersign_fixtures::{PatchSpec, Payload};

#[test]
fn a_patch_is_installed_upgraded_and_rolled_back() {
    let mut repository = repository();
    let one = repository.collect(&full("acme-agent", "1.0.0"));
    repository.release(&[one]);
    repository.publish();
    let machine = Machine::enrolled(&repository);
    machine.run(&["check"]).success();
    machine.run(&["install", "acme-agent", "--yes"]).success().says("acme-agent 1.0.0 installed");
    assert_eq!(read(machine.root("opt/acme/agent")), "1.0.0");

    release_second(&mut repository);
    machine.publish(&repository);
    machine.run(&["update"]).success().says("1 waits: patchctl upgrade");
    machine.run(&["check"]).code(101).says("CVE-2026-0001");
    machine.run(&["upgrade"]).code(2).says("--yes");
    machine.run(&["upgrade", "--dry-run"]).success().says("1.1.0");
    assert_eq!(read(machine.root("opt/acme/agent")), "1.0.0");
    machine.run(&["upgrade", "--yes"]).success().says("acme-agent 1.0.0 → 1.1.0");
    assert_eq!(read(machine.root("opt/acme/agent")), "1.1.0");
    machine.run(&["verify"]).success();
    machine.run(&["check"]).success();

    machine.run(&["rollback", "--yes"]).code(4).says("CVE-2026-0001");
    machine.run(&["rollback", "--yes", "--allow-vulnerable"]).success();
    // the undone version is held back, and skipping it is never called nothing to do
    machine.run(&["upgrade", "--yes"]).code(110).says("nothing was changed");
    assert_eq!(read(machine.root("opt/acme/agent")), "1.0.0");
    machine.run(&["upgrade", "--yes"]).code(110).says("held back");
    machine.run(&["upgrade", "--yes", "--severity", "high"]).code(110);
    machine.run(&["install", "acme-agent@1.1.0", "--yes"]).success();
    assert_eq!(read(machine.root("opt/acme/agent")), "1.1.0");
    machine.run(&["remove", "acme-agent", "--yes"]).success();
    assert!(!machine.root("opt/acme/agent").exists());
}

#[test]
fn every_reading_command_has_one_json_document() {
    let machine = Machine::enrolled(&two_versions());
    machine.run(&["install", "acme-agent@1.0.0", "--yes"]).success();
    let commands: [&[&str]; 11] = [
        &["list"],
        &["list", "--installed"],
        &["list", "--available"],
        &["search", "acme"],
        &["show", "acme-agent"],
        &["files", "acme-agent"],
        &["status"],
        &["check"],
        &["verify"],
        &["history"],
        &["history", "1"],
    ];
    for command in commands {
        assert!(machine.json(command).is_object(), "{command:?}");
    }
    let upgradable = machine.json(&["list", "--upgradable"]);
    assert_eq!(upgradable["patches"][0]["advisories"][0], "CVE-2026-0001");
    assert_eq!(upgradable["patches"][0]["installed"], "1.0.0");
    assert_eq!(upgradable["patches"][0]["available"], "1.1.0");
    let waiting = machine.json(&["check"]);
    // the cheapest way is the incremental patch
    assert_eq!(waiting["waiting"][0]["patches"][0]["base"], "=1.0.0");
    let refused = machine.json(&["show", "nothing"]);
    assert_eq!(refused["exit"], 104);
    let done = machine.json(&["upgrade", "--yes"]);
    assert_eq!(done["changes"][0]["to"], "1.1.0");
    assert_eq!(done["transaction"], 2);
}

#[test]
fn what_the_collection_revoked_or_the_distribution_withdrew_is_not_installed() {
    let mut repository = repository();
    let [bad, back, good] = ["bad", "back", "good"].map(|name| {
        let payload = Payload::new().file(&format!("opt/{name}"), name);
        repository.collect(&PatchSpec::full(name, "1.0.0", &payload))
    });
    repository.release(&[bad, back, good]);
    repository.publish();
    let machine = Machine::enrolled(&repository);
    machine.run(&["install", "bad", "back", "good", "--yes"]).success();
    repository.revoke(bad, "breaks the spooler");
    repository.withdraw(&[back], "field reports");
    repository.publish();
    machine.publish(&repository);
    machine.run(&["update"]).success();
    let status = machine.json(&["status"]);
    assert_eq!(status["revoked"][0]["name"], "bad");
    assert_eq!(status["revoked"][0]["reason"], "breaks the spooler");
    assert_eq!(status["withdrawn"][0]["name"], "back");
    machine.run(&["remove", "bad", "back", "--yes"]).success();
    machine.run(&["install", "bad", "--yes"]).code(4).says("breaks the spooler");
    machine.run(&["install", "back", "--yes"]).code(4).says("field reports");
    machine.run(&["rollback", "--yes"]).code(4).says("--allow-revoked");
    assert!(!machine.root("opt/bad").exists());
}

#[test]
fn releases_for_others_have_no_effect_here() {
    let mut repository = repository();
    let payload = Payload::new().file("opt/x", "x");
    let spec = |name| PatchSpec::full(name, "1.0.0", &payload);
    let elsewhere = spec("elsewhere").with(|entry| {
        entry.platform = "plan9-pdp11".parse().expect("a platform");
    });
    let patches = [elsewhere, spec("canary"), spec("later"), spec("nobody"), spec("unreleased")];
    let [other, canary, later, nobody, _] = patches.map(|patch| repository.collect(&patch));
    repository.release(&[other]);
    repository.release_with(&[canary], |release| release.ring = "canary".parse().expect("a ring"));
    let start = repository.now.plus(3600);
    repository.release_with(&[later], |release| release.start = Some(start));
    repository.release_with(&[nobody], |release| release.percent = 0);
    repository.publish();
    let machine = Machine::enrolled(&repository);
    assert_eq!(machine.json(&["list"])["patches"], serde_json::json!([]));
    for (name, why) in [
        ("elsewhere", "for plan9-pdp11"),
        ("canary", "not released to ring stable"),
        ("later", "released from"),
        ("nobody", "rollout"),
        ("unreleased", "not released"),
    ] {
        machine.run(&["install", name, "--yes"]).code(4).says(why);
    }
}

#[test]
fn a_stale_index_stops_installing_by_name_unless_asked() {
    let mut repository =
        countersign_fixtures::RepositoryBuilder::new().now(common::ago(10 * 86_400)).build();
    let one = repository.collect(&full("acme-agent", "1.0.0"));
    repository.release(&[one]);
    repository.publish();
    let machine = Machine::new();
    machine.publish(&repository);
    machine.enroll(&repository).code(11).says("distribution main");
    assert!(!machine.root("etc/patchctl/sources.d").exists(), "not enrolled");
    let mut fresh = repository.clone();
    fresh.now = patchctl::clock::now();
    fresh.publish();
    machine.publish(&fresh);
    machine.enroll(&fresh).success();
    machine.age(4 * 86_400, &fresh);
    for command in ["upgrade", "check"] {
        machine.run(&[command]).code(11).says("patchctl update");
    }
    machine.run(&["list", "--available"]).success().says("acme-agent");
    machine.run(&["install", "acme-agent", "--yes"]).code(11);
    machine.run(&["install", "acme-agent", "--yes", "--allow-stale"]).success();
    assert_eq!(machine.json(&["history", "1"])["allow_stale"], true);
}

#[test]
fn nothing_asks_without_a_terminal_and_dry_runs_do_nothing() {
    let machine = Machine::enrolled(&two_versions());
    machine.run(&["install", "acme-agent"]).code(2).says("--yes");
    machine.run(&["install", "acme-agent", "--dry-run"]).success().says("1.1.0");
    assert!(!machine.root("opt").exists());
    assert!(!machine.root("var/cache/patchctl").exists(), "nothing was fetched");
    machine.run(&["install", "acme-agent", "--yes", "--download-only"]).success();
    assert!(!machine.root("opt").exists());
    std::fs::remove_dir_all(machine.path("public")).expect("the server is gone");
    machine.run(&["install", "acme-agent", "--yes", "--offline"]).success();
    machine.run(&["remove", "acme-agent"]).code(2);
    machine.run(&["remove", "acme-agent", "--dry-run"]).success();
    assert_eq!(read(machine.root("opt/acme/agent")), "1.1.0");
    machine.run(&["remove", "nothing", "--yes"]).code(104);
    machine.run(&["update"]).code(6);
}

#[test]
fn settings_are_strict_and_a_machine_must_be_enrolled() {
    let machine = Machine::new();
    machine.run(&["status"]).code(1).says("patchctl enroll");
    machine.run(&["upgrade"]).code(1).says("patchctl enroll");
    let repository = two_versions();
    machine.publish(&repository);
    machine.enroll(&repository).success();
    machine.enroll(&repository).code(1).says("--name");
    let config = machine.root("etc/patchctl/config.toml");
    std::fs::write(&config, "lock-timeout = \"5s\"\n").expect("written");
    machine.run(&["status"]).code(3).says("did you mean lock_timeout?");
    std::fs::write(&config, "lock_timeout = \"5s\"\n").expect("written");
    machine.run(&["status"]).success();
    let elsewhere = machine.path("no.toml");
    machine.run(&["--config", elsewhere.to_str().expect("UTF-8"), "status"]).code(3);
}

#[test]
fn a_state_that_is_lost_or_torn_is_never_a_first_use() {
    let machine = Machine::enrolled(&two_versions());
    let state = machine.root("var/lib/patchctl/state.db");
    let whole = std::fs::read(&state).expect("a state");
    for bytes in [&whole[..0], &whole[..5000], b"not a database"] {
        std::fs::write(&state, bytes).expect("written");
        for command in [&["status"][..], &["update"], &["upgrade"]] {
            machine.run(command).code(1).says("backup");
        }
        assert_eq!(std::fs::read(&state).expect("a state"), bytes, "left as it was found");
    }
    std::fs::remove_file(&state).expect("removed");
    machine.run(&["update"]).code(1).says("patchctl enroll");
    assert!(!state.exists());
}

#[test]
fn only_one_changes_the_state_and_readers_do_not_wait() {
    let machine = Machine::enrolled(&two_versions());
    let lock = machine.root("var/lib/patchctl/lock");
    let holder = countersign_store::Holder::this_process("patchctl upgrade", 1_795_341_600);
    let held = countersign_store::Lock::acquire(&lock, &holder, None, |_| {}).expect("free");
    machine.run(&["list"]).success();
    machine.run(&["check"]).success();
    let waited = machine.run(&["update", "--lock-timeout", "0s"]).code(7);
    waited.says("patchctl upgrade").says("2026-11-22T10:00:00Z");
    drop(held);
    machine.run(&["update"]).success();
}

#[test]
fn changed_files_are_found_and_configuration_is_ones_own() {
    let machine = Machine::enrolled(&two_versions());
    machine.run(&["install", "acme-agent@1.0.0", "--yes"]).success();
    std::fs::write(machine.root("etc/acme.conf"), "setting = 2\n").expect("written");
    machine.run(&["verify"]).success().says("etc/acme.conf");
    std::fs::write(machine.root("opt/acme/data"), "changed").expect("written");
    machine.run(&["verify"]).code(16).says("opt/acme/data");
    machine.run(&["verify", "nothing"]).code(104);
    let files = machine.json(&["files", "acme-agent"]);
    assert_eq!(files["files"].as_array().map(Vec::len), Some(3));
    assert_eq!(agent("1.0.0").tree().len(), 3);
}

#[test]
fn an_enrolment_that_was_killed_is_done_again() {
    let repository = two_versions();
    for point in ["enroll.state", "enroll.updated"] {
        let machine = Machine::new();
        machine.publish(&repository);
        let fingerprint = format!("sha256:{}", repository.enrolment_fingerprint());
        let killed = machine
            .command(&["enroll", "public", "--authority", &fingerprint])
            .env("COUNTERSIGN_CRASH_AT", point)
            .status()
            .expect("the program starts");
        assert_eq!(killed.code(), None, "{point}");
        machine.run(&["update"]).code(3).says("patchctl enroll");
        machine.enroll(&repository).success();
        machine.run(&["install", "acme-agent", "--yes"]).success();
    }
}

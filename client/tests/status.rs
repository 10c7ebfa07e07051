//! What a person is told: how fresh the index is, what needs attention, and why a patch is taken or
//! not.

mod common;

use common::{Machine, full, repository, two_versions};
use countersign_fixtures::{PatchSpec, Payload, Repository};
use countersign_format::entry::{Severity, bucket};
use serde_json::Value;

const DAY: u64 = 86_400;

fn patch(name: &str, version: &str) -> PatchSpec {
    PatchSpec::full(name, version, &Payload::new().file(&format!("opt/{name}"), version))
}

/// A machine with these patches installed, all in version 1.0.0.
fn installed(names: &[&str]) -> (Machine, Repository) {
    let mut repository = repository();
    let patches: Vec<_> =
        names.iter().map(|name| repository.collect(&patch(name, "1.0.0"))).collect();
    repository.release(&patches);
    repository.publish();
    let machine = Machine::enrolled(&repository);
    machine.run(&[&["install", "--yes"], names].concat()).success();
    (machine, repository)
}

fn update(machine: &Machine, repository: &mut Repository) {
    repository.publish();
    machine.publish(repository);
    machine.run(&["update"]).success();
}

/// The commands whose answer is worth no more than the index is, and the ones that say what is here.
const OF_INDEX: [&[&str]; 5] =
    [&["status"], &["check"], &["list", "--upgradable"], &["check", "--security"], &["audit"]];
const LOCAL: [&[&str]; 5] = [
    &["list", "--installed"],
    &["show", "acme-agent"],
    &["files", "acme-agent"],
    &["history"],
    &["verify"],
];

/// The state of the only source, by `status` and by `check`, which must agree.
fn state_of(machine: &Machine) -> String {
    let status = machine.json(&["status"]);
    let check = machine.json(&["check"]);
    let state = &status["sources"][0]["freshness"]["state"];
    assert_eq!(check["freshness"][0]["state"], *state);
    assert_eq!(status["sources"][0]["fresh"], *state == "fresh");
    state.as_str().expect("a word").to_owned()
}

/// A machine that has the newest version, so that nothing waits.
fn up_to_date() -> (Machine, Repository) {
    let repository = two_versions();
    let machine = Machine::enrolled(&repository);
    machine.run(&["install", "acme-agent", "--yes"]).success();
    (machine, repository)
}

fn exits(machine: &Machine, commands: &[&[&str]], code: i32) {
    for command in commands {
        machine.run(command).code(code);
    }
}

#[test]
fn a_fresh_index_with_nothing_to_do_is_0() {
    let (machine, _) = up_to_date();
    assert_eq!(state_of(&machine), "fresh");
    exits(&machine, &OF_INDEX, 0);
    exits(&machine, &LOCAL, 0);
}

#[test]
fn a_stale_index_is_11_and_what_is_known_is_shown() {
    let (machine, repository) = up_to_date();
    machine.age(4 * DAY, &repository);
    assert_eq!(state_of(&machine), "stale");
    exits(&machine, &OF_INDEX, 11);
    exits(&machine, &LOCAL, 0);
    let ended = machine.run(&["status"]).says("stale since").says("hint: run patchctl update");
    assert!(ended.stdout.contains("installed:      1"), "{ended:?}");
    let freshness = &machine.json(&["check"])["freshness"][0];
    assert_eq!(freshness["log"], "collection");
    assert_eq!(freshness["limit"], 3 * DAY);
    assert!(freshness["age"].as_u64().is_some_and(|age| age >= 4 * DAY));
    machine.run(&["list"]).success().says("warning: source patches.example.org: stale");
    machine.publish(&repository);
    machine.run(&["update"]).success();
    assert_eq!(state_of(&machine), "fresh", "it heals with no hand");
}

#[test]
fn a_search_in_a_stale_index_says_so() {
    let (machine, repository) = up_to_date();
    machine.age(4 * DAY, &repository);
    machine.run(&["search", "agent"]).success().says("warning: source patches.example.org: stale");
    machine.run(&["search", "no-such"]).code(104).says("warning: source patches.example.org");
    assert_eq!(machine.json(&["search", "agent"])["freshness"][0]["state"], "stale");
}

#[test]
fn a_source_that_cannot_be_believed_hides_no_other() {
    let (machine, _) = up_to_date();
    let sources = machine.root("etc/patchctl/sources.d");
    let first = common::read(sources.join("patches.example.org.toml"));
    std::fs::write(sources.join("another.toml"), first).expect("written");
    let ended = machine.run(&["status"]).code(3).says("fresh until");
    for text in ["another", "the state does not know it", "what to do:", "installed:      1"] {
        assert!(ended.stdout.contains(text), "{text:?} is not in:\n{}", ended.stdout);
    }
    let status = machine.json(&["status"]);
    assert_eq!(status["sources"][0]["name"], "patches.example.org");
    assert_eq!(status["unreadable"][0]["name"], "another");
    // nothing is decided from a part of what is configured
    machine.run(&["check"]).code(3);
    machine.run(&["upgrade", "--yes"]).code(3);
    // the gravest counts
    let spoil = "UPDATE authority_note SET note = CAST(replace(note, 'a', 'b') AS BLOB)";
    machine.state().execute(spoil, []).expect("set");
    machine.run(&["status"]).code(10).says("patches.example.org").says("installed:      1");
}

#[test]
fn an_index_that_was_never_fetched_is_11() {
    let repository = two_versions();
    let machine = Machine::new();
    let note = machine.path("authority.note");
    std::fs::write(&note, repository.enrolment()).expect("written");
    let note = note.to_str().expect("UTF-8");
    machine.publish(&repository);
    machine.run(&["enroll", "public", "--authority", note, "--offline"]).success();
    assert_eq!(state_of(&machine), "never-updated");
    exits(&machine, &OF_INDEX, 11);
    exits(&machine, &[&["list", "--installed"], &["history"], &["verify"]], 0);
    machine.run(&["status"]).says("never updated");
}

#[test]
fn an_authority_that_has_expired_is_11() {
    let mut repository = countersign_fixtures::RepositoryBuilder::new()
        .now(common::ago(10 * DAY))
        .valid_for(9 * DAY)
        .build();
    repository.publish();
    let machine = Machine::new();
    let note = machine.path("authority.note");
    std::fs::write(&note, repository.enrolment()).expect("written");
    machine.publish(&repository);
    let note = note.to_str().expect("UTF-8");
    machine.run(&["enroll", "public", "--authority", note, "--offline"]).success();
    assert_eq!(state_of(&machine), "authority-expired");
    exits(&machine, &OF_INDEX, 11);
    machine.run(&["check"]).says("the authority's note expired on");
}

#[test]
fn a_clock_that_is_behind_is_11_and_says_so() {
    let (machine, repository) = up_to_date();
    machine.hold_future(DAY, &repository);
    assert_eq!(state_of(&machine), "clock-wrong");
    exits(&machine, &OF_INDEX, 11);
    exits(&machine, &LOCAL, 0);
    machine.run(&["status"]).says("clock is behind").says("set this machine's clock");
}

#[test]
fn an_index_that_somebody_changed_is_10() {
    let (machine, _) = up_to_date();
    let checkpoint: Vec<u8> = machine
        .state()
        .query_row("SELECT checkpoint FROM log WHERE log = 'collection'", [], |row| row.get(0))
        .expect("a checkpoint");
    let text = String::from_utf8(checkpoint).expect("UTF-8");
    let unsigned = text.lines().take_while(|line| !line.starts_with('—')).collect::<Vec<_>>();
    let other = text.lines().rev().find(|line| line.starts_with('—')).expect("a signature");
    let one_signature = format!("{}\n{other}\n", unsigned.join("\n"));
    let update = "UPDATE log SET checkpoint = ?1 WHERE log = 'collection'";
    machine.state().execute(update, [one_signature.as_bytes()]).expect("changed");
    assert_eq!(state_of(&machine), "refused");
    exits(&machine, &OF_INDEX, 10);
    exits(&machine, &LOCAL, 0);
    machine.run(&["status"]).says("signature is missing");
}

#[test]
fn what_waits_is_100_and_101_with_advisories() {
    let (machine, mut repository) = installed(&["tool"]);
    let newer = repository.collect(&patch("tool", "1.1.0"));
    repository.release(&[newer]);
    update(&machine, &mut repository);
    machine.run(&["check"]).code(100);
    machine.run(&["status"]).success().says("waiting:        1: patchctl upgrade");
    let closing = repository.collect(&patch("tool", "1.2.0").with(|entry| {
        entry.severity = Severity::High;
        entry.advisories = vec!["CVE-2026-0007".parse().expect("an advisory")];
    }));
    repository.release(&[closing]);
    update(&machine, &mut repository);
    machine.run(&["check"]).code(101);
    assert_eq!(machine.json(&["status"])["closing_advisories"], 1);
    // an index that is too old outranks what is known to wait
    machine.age(4 * DAY, &repository);
    machine.run(&["check"]).code(11).says("CVE-2026-0007");
}

#[test]
fn what_is_revoked_withdrawn_held_or_held_back_is_always_listed() {
    let (machine, mut repository) = installed(&["bad", "back", "kept", "tool"]);
    let newer = repository.collect(&patch("tool", "1.1.0"));
    repository.release(&[newer]);
    update(&machine, &mut repository);
    machine.run(&["upgrade", "--yes"]).success();
    machine.run(&["rollback", "--yes"]).success();
    let until = ["--until", "2099-01-31", "--reason", "year-end freeze"];
    machine.run(&[&["hold", "kept"], &until[..]].concat()).success();
    let skipped = machine.run(&["check"]).code(110);
    skipped.says("tool 1.1.0: held back").says("kept, as it is, until 2099-02-01").says("freeze");
    machine.run(&["install", "tool@1.1.0", "--yes"]).success();
    machine.run(&["check"]).success().says("year-end freeze");

    repository.withdraw(&[1], "field reports");
    update(&machine, &mut repository);
    machine.run(&["check"]).success().says("back 1.0.0 is installed and was withdrawn");
    repository.revoke(0, "breaks the spooler");
    update(&machine, &mut repository);
    machine.run(&["check"]).code(110).says("bad 1.0.0 is installed and was revoked");
    for command in ["status", "check"] {
        let document = machine.json(&[command]);
        assert_eq!(document["revoked"][0]["reason"], "breaks the spooler", "{command}");
        assert_eq!(document["withdrawn"][0]["name"], "back", "{command}");
        assert_eq!(document["holds"][0]["reason"], "year-end freeze", "{command}");
        assert_eq!(document["holds"][0]["until"], "2099-02-01T00:00:00Z", "{command}");
    }
}

/// The gates of the only patch of a version, and this machine's, by name.
fn gates<'a>(version: &'a Value, name: &str) -> &'a Value {
    let lists = [&version["patches"][0]["gates"], &version["gates"]];
    let mut gates = lists.iter().flat_map(|list| list.as_array().expect("gates"));
    gates.find(|gate| gate["gate"] == name).unwrap_or_else(|| panic!("no {name}: {version}"))
}

#[test]
fn why_names_the_day_on_which_a_rollout_reaches_this_machine() {
    let (machine, mut repository) = installed(&["tool"]);
    let newer = patch("tool", "1.1.0");
    let leaf = repository.collect(&newer);
    let start = repository.now;
    let mut released = None;
    repository.release_with(&[leaf], |release| {
        (release.start, release.ramp) = (Some(start), 700 * DAY);
        released = Some(release.clone());
    });
    update(&machine, &mut repository);
    let id: String =
        machine.state().query_row("SELECT id FROM machine", [], |row| row.get(0)).expect("an id");
    let (_, announced) = newer.archive();
    let place = bucket(&id, &announced.sha256);
    let opens = released.expect("released").opens(place).expect("it opens").to_string();

    let why = machine.json(&["why", "tool"]);
    let [waiting, chosen] = why["versions"].as_array().expect("versions").as_slice() else {
        panic!("{why}")
    };
    assert_eq!((&waiting["version"], &waiting["verdict"]), (&"1.1.0".into(), &"waits".into()));
    assert_eq!(waiting["changes"], opens);
    let rollout = gates(waiting, "rollout");
    assert_eq!((&rollout["answer"], &rollout["changes"]), (&"waits".into(), &opens.into()));
    assert!(
        rollout["known"].as_str().is_some_and(|known| {
            known.contains(&format!("{}.{:02} %", place / 100, place % 100))
        })
    );
    assert_eq!(gates(waiting, "requirements")["answer"], "unknown");
    assert_eq!(chosen["verdict"], "installed");
    assert_eq!(why["installed"]["transaction"], 1);
}

#[test]
fn why_names_each_obstacle() {
    let (machine, mut repository) = installed(&["bad", "kept", "tool"]);
    let newer = ["bad", "kept", "tool"].map(|name| {
        repository.collect(&patch(name, "1.1.0").with(|entry| {
            if name == "bad" {
                let requirement = "^2".parse().expect("a requirement");
                entry.requires.insert("libacme".parse().expect("a name"), requirement);
            }
        }))
    });
    repository.release(&newer);
    update(&machine, &mut repository);
    let newest = |name: &str| machine.json(&["why", name])["versions"][0].clone();
    assert_eq!(newest("tool")["verdict"], "offered");
    assert_eq!(gates(&newest("tool"), "requirements")["known"], "1 patch from 1.0.0");
    let needs = newest("bad");
    assert_eq!(needs["verdict"], "stopped");
    let requirement = gates(&needs, "requirements");
    assert!(requirement["known"].as_str().is_some_and(|known| known.contains("libacme ^2")));

    machine.run(&["hold", "kept", "--until", "2099-01-31"]).success();
    let held = newest("kept");
    assert_eq!(
        (&held["verdict"], &held["changes"]),
        (&"waits".into(), &"2099-02-01T00:00:00Z".into())
    );
    machine.run(&["upgrade", "tool", "--yes"]).success();
    machine.run(&["rollback", "--yes"]).success();
    let back = newest("tool");
    assert_eq!(gates(&back, "rollback")["answer"], "no");
    machine.run(&["why", "tool"]).says("held back since rollback 3 undid it");

    repository.revoke(newer[2], "breaks the spooler");
    repository.withdraw(&[newer[1]], "field reports");
    repository.collect(&patch("tool", "1.2.0"));
    update(&machine, &mut repository);
    assert_eq!(newest("tool")["why"], "not released to ring stable");
    let revoked = &machine.json(&["why", "tool@1.1.0"])["versions"][0];
    assert_eq!(gates(revoked, "revocation")["answer"], "no");
    assert_eq!(gates(revoked, "release")["answer"], "yes", "all gates are told");
    machine.run(&["why", "kept@1.1.0"]).success().says("withdrawn from ring stable by entry");
    machine.run(&["why", "tool@9.9.9"]).code(104).says("patchctl update");
    machine.run(&["why", "nothing"]).code(104);
}

#[test]
fn why_tells_who_signed_what_is_installed() {
    let mut repository = repository();
    let one = repository.collect(&full("acme-agent", "1.0.0"));
    repository.release(&[one]);
    repository.publish();
    let machine = Machine::enrolled(&repository);
    machine.run(&["install", "acme-agent", "--yes"]).success();
    // the note may have gone from the cache along with the archive
    machine.run(&["install", "acme-agent", "--yes", "--download-only"]);
    let why = machine.json(&["why", "acme-agent@1.0.0"]);
    assert_eq!(why["installed"]["source"], "patches.example.org");
    let keys = |of: &Value| (of["collection_keys"].clone(), of["distribution_keys"].clone());
    let (collection, distribution) = keys(&why["installed"]);
    for keys in [&collection, &distribution] {
        assert!(keys[0].as_str().is_some_and(|key| key.contains('/')), "{why}");
    }
    // nor is the source needed for it, nor the cache
    let _ = std::fs::remove_dir_all(machine.root("var/cache/patchctl"));
    let signed = (collection, distribution);
    assert_eq!(keys(&machine.json(&["why", "acme-agent"])["installed"]), signed);
    assert_eq!(keys(&machine.json(&["show", "acme-agent"])), signed);
    assert_eq!(keys(&machine.json(&["history", "1"])["signed"][0]), signed);
    machine.run(&["remove", "acme-agent", "--yes"]).success();
    machine.run(&["rollback", "--yes"]).success();
    assert_eq!(keys(&machine.json(&["why", "acme-agent"])["installed"]), signed);
    let view = "SELECT collection_keys || ' ' || distribution_keys FROM v_installed";
    let in_view: String = machine.state().query_row(view, [], |row| row.get(0)).expect("a row");
    let all = [&signed.0, &signed.1].map(|keys| keys.as_array().expect("a list").clone()).concat();
    let all: Vec<&str> = all.iter().map(|key| key.as_str().expect("text")).collect();
    assert_eq!(in_view, all.join(" "));
    machine.run(&["why", "acme-agent"]).success().says("installed by:   transaction 3 on");
}

#[test]
fn audit_lists_what_is_open_and_whether_it_can_be_closed_now() {
    let (machine, mut repository) = installed(&["app", "late", "never", "tool"]);
    machine.run(&["audit"]).success().says("no advisory is open");
    let closing = |name: &str, version: &str, advisory: &str, severity| {
        patch(name, version).with(|entry| {
            entry.severity = severity;
            entry.advisories = vec![advisory.parse().expect("an advisory")];
        })
    };
    let tool = repository.collect(&closing("tool", "1.1.0", "CVE-2026-0001", Severity::Medium));
    let late = repository.collect(&closing("late", "1.1.0", "CVE-2026-0002", Severity::Critical));
    repository.collect(&closing("never", "1.1.0", "CVE-2026-0003", Severity::Low));
    let other = closing("app", "1.1.0", "CVE-2026-0004", Severity::High);
    repository.collect(&other.with(|entry| {
        entry.platform = "plan9-pdp11".parse().expect("a platform");
    }));
    let start = repository.now.plus(90 * DAY);
    repository.release(&[tool]);
    repository.release_with(&[late], |release| release.start = Some(start));
    update(&machine, &mut repository);
    machine.run(&["audit"]).code(101).says("3 advisories are open, 1 can be closed now");
    let open = machine.json(&["audit"])["open"].clone();
    let advisories: Vec<_> =
        open.as_array().expect("a list").iter().map(|open| &open["advisory"]).collect();
    assert_eq!(advisories, ["CVE-2026-0002", "CVE-2026-0001", "CVE-2026-0003"], "by severity");
    assert_eq!((&open[0]["now"], &open[0]["changes"]), (&false.into(), &start.to_string().into()));
    assert_eq!((&open[1]["now"], &open[1]["to"]), (&true.into(), &"1.1.0".into()));
    assert_eq!(open[2]["why_not"], "not released to ring stable");
    machine.run(&["audit", "--severity", "medium"]).code(101).says("2 advisories");
    machine.run(&["audit", "--advisory", "CVE-2026-0004"]).success();

    machine.run(&["upgrade", "--yes"]).code(0);
    machine.run(&["audit", "--advisory", "CVE-2026-0001"]).success();
    machine.run(&["rollback", "--yes", "--allow-vulnerable"]).success();
    let reopened = machine.json(&["audit", "--advisory", "CVE-2026-0001"])["open"][0].clone();
    assert_eq!((&reopened["reopened_by"], &reopened["now"]), (&3.into(), &false.into()));
    assert!(reopened["why_not"].as_str().is_some_and(|why| why.contains("held back")));
    repository.revoke(0, "breaks the spooler");
    update(&machine, &mut repository);
    machine.run(&["audit"]).code(110).says("app 1.0.0 is installed and was revoked");
    machine.age(4 * DAY, &repository);
    machine.run(&["audit"]).code(11).says("CVE-2026-0001");
}

#[test]
fn what_an_installed_version_closes_is_not_open() {
    let mut repository = repository();
    let closing = |version: &str, advisories: &[&str]| {
        patch("tool", version).with(|entry| {
            let parse = |advisory: &&str| advisory.parse().expect("an advisory");
            entry.advisories = advisories.iter().map(parse).collect();
        })
    };
    let one = repository.collect(&closing("1.0.0", &["CVE-2026-0001"]));
    let two = repository.collect(&closing("1.1.0", &["CVE-2026-0001", "CVE-2026-0002"]));
    repository.release(&[one, two]);
    repository.publish();
    let machine = Machine::enrolled(&repository);
    machine.run(&["audit"]).success();
    machine.run(&["install", "tool@1.0.0", "--yes"]).success();
    let open = machine.json(&["audit"])["open"].clone();
    assert_eq!(open.as_array().map(Vec::len), Some(1), "{open}");
    assert_eq!(open[0]["advisory"], "CVE-2026-0002");
}

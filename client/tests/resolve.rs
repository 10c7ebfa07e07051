//! What is chosen and why, by the real program.

mod common;

use common::{Machine, full, read, release_second, repository, two_versions};
use countersign_fixtures::{PatchSpec, Payload, Repository};

/// A full patch with one file, that needs or refuses other components.
fn patch(name: &str, version: &str, needs: &[(&str, &str)], refuses: &[(&str, &str)]) -> PatchSpec {
    let payload = Payload::new().file(&format!("opt/{name}"), version);
    PatchSpec::full(name, version, &payload).with(|entry| {
        for (other, requirement) in needs {
            let requirement = requirement.parse().expect("a requirement");
            entry.requires.insert(other.parse().expect("a name"), requirement);
        }
        for (other, requirement) in refuses {
            let requirement = requirement.parse().expect("a requirement");
            entry.conflicts.insert(other.parse().expect("a name"), requirement);
        }
    })
}

/// A repository that has released these.
fn released(patches: &[PatchSpec]) -> Repository {
    let mut repository = repository();
    let indexes: Vec<u64> = patches.iter().map(|patch| repository.collect(patch)).collect();
    repository.release(&indexes);
    repository.publish();
    repository
}

#[test]
fn what_is_needed_comes_along_and_leaves_only_with_what_needs_it() {
    let app = patch("app", "1.0.0", &[("libacme", "^1.4")], &[]);
    let mut repository = released(&[app, patch("libacme", "1.4.0", &[], &[])]);
    let machine = Machine::enrolled(&repository);
    let planned = machine.json(&["install", "app", "--dry-run"]);
    let names = [&planned["steps"][0]["name"], &planned["steps"][1]["name"]];
    assert_eq!(names, ["libacme", "app"]);
    assert_eq!(planned["steps"][0]["dependency"], true);
    let needed = "needed by what was asked for: libacme";
    machine.run(&["install", "app", "--yes"]).success().says(needed);

    let new = repository.collect(&patch("libacme", "2.0.0", &[], &[]));
    repository.release(&[new]);
    repository.publish();
    machine.publish(&repository);
    machine.run(&["update"]).success();
    machine.run(&["upgrade", "--yes"]).code(110).says("app 1.0.0 needs libacme ^1.4");
    machine.run(&["check"]).code(110);
    let refused = machine.run(&["install", "libacme@2.0.0", "--yes"]).code(4);
    refused.says("libacme 2.0.0 cannot be installed").says("cause: app 1.0.0 needs libacme ^1.4");

    let refused = machine.run(&["remove", "libacme", "--yes"]).code(4);
    refused.says("app needs libacme ^1.4").says("--with-dependents");
    machine.run(&["remove", "libacme", "--with-dependents", "--yes"]).success();
    assert!(!machine.root("opt/app").exists() && !machine.root("opt/libacme").exists());
}

#[test]
fn what_is_in_the_way_goes_only_where_that_is_allowed() {
    let old = patch("old", "1.0.0", &[], &[]);
    let new = patch("new", "1.0.0", &[], &[("old", "*")]);
    let machine = Machine::enrolled(&released(&[old, new]));
    machine.run(&["install", "old", "--yes"]).success();
    let refused = machine.run(&["install", "new", "--yes"]).code(4);
    refused.says("new 1.0.0 conflicts with old 1.0.0").says("--allow-removals");
    let done = machine.run(&["install", "new", "--allow-removals", "--yes"]).success();
    done.says("old 1.0.0 will be removed").says("old 1.0.0 removed").says("new 1.0.0 installed");
    assert!(!machine.root("opt/old").exists());
    // one transaction: it goes back whole
    machine.run(&["rollback", "--yes"]).success();
    assert!(machine.root("opt/old").exists() && !machine.root("opt/new").exists());
}

#[test]
fn what_is_held_stays_until_it_is_let_go() {
    let machine = Machine::enrolled(&two_versions());
    machine.run(&["install", "acme-agent@1.0.0", "--yes"]).success();
    let hold = ["hold", "acme-agent", "--until", "2999-01-31", "--reason", "year-end freeze"];
    machine.run(&hold).success().says("2999-02-01T00:00:00Z");
    let listed = machine.json(&["hold"]);
    assert_eq!(listed["holds"][0]["reason"], "year-end freeze");
    assert_eq!(listed["holds"][0]["ended"], false);
    let skipped = machine.run(&["upgrade", "--yes"]).code(110);
    skipped
        .says("held until 2999-02-01T00:00:00Z (year-end freeze)")
        .says("leaves open CVE-2026-0001");
    let refused = machine.run(&["install", "acme-agent@1.1.0", "--yes"]).code(4);
    refused.says("patchctl unhold acme-agent");
    machine.run(&["remove", "acme-agent", "--yes"]).code(4).says("held");
    assert_eq!(read(machine.root("opt/acme/agent")), "1.0.0");
    machine.run(&["hold", "acme-agent", "--until", "2020-01-01"]).code(2);

    // a pin is reached and not passed
    machine.run(&["hold", "acme-agent@1.1.0"]).success();
    machine.run(&["upgrade", "--yes"]).success();
    assert_eq!(read(machine.root("opt/acme/agent")), "1.1.0");
    machine.run(&["unhold", "acme-agent"]).success().says("may change again");
    machine.run(&["unhold", "acme-agent"]).success().says("was not held");
    assert_eq!(machine.json(&["hold"])["holds"], serde_json::json!([]));

    // and what a rollback undid is offered again
    machine.run(&["rollback", "--allow-vulnerable", "--yes"]).success();
    machine.run(&["upgrade", "--yes"]).code(110).says("held back");
    machine.run(&["unhold", "acme-agent"]).success();
    machine.run(&["upgrade", "--yes"]).success().says("1.0.0 → 1.1.0");
}

#[test]
fn the_stronger_source_is_asked_alone_unless_another_is_named() {
    let mut strong = repository();
    let one = strong.collect(&full("acme-agent", "1.0.0"));
    strong.release(&[one]);
    strong.publish();
    let mut weak = strong.clone();
    release_second(&mut weak);
    let machine = Machine::new();
    strong.write_to(&machine.path("strong"));
    weak.write_to(&machine.path("weak"));
    let fingerprint = format!("sha256:{}", strong.enrolment_fingerprint());
    for (name, priority) in [("strong", "10"), ("weak", "99")] {
        let at = machine.path(name);
        let enroll = ["enroll", at.to_str().expect("UTF-8"), "--authority", &fingerprint];
        let more = ["--name", name, "--priority", priority];
        machine.run(&[&enroll[..], &more].concat()).success();
    }

    machine.run(&["install", "acme-agent", "--yes"]).success().says("acme-agent 1.0.0 installed");
    machine.run(&["upgrade", "--yes"]).success().says("nothing to do");
    let refused = machine.run(&["install", "acme-agent@1.1.0", "--yes"]).code(104);
    refused.says("no source has acme-agent 1.1.0");
    machine.run(&["upgrade", "--source", "nobody"]).code(2).says("no source is named nobody");
    machine
        .run(&["plan", "upgrade", "--source", "weak", "-o", "a"])
        .success()
        .says("--source weak");
    let unsaid = machine.run(&["install", "--plan", "a", "--yes"]).code(4);
    unsaid.says("acme-agent 1.1.0 is of weak").says("--source weak");
    let said = ["install", "--plan", "a", "--source", "weak", "--yes"];
    machine.run(&said).success().says("1.0.0 → 1.1.0");
    machine.run(&["plan", "install", "acme-agent@1.0.0", "--allow-downgrade", "-o", "a"]).success();
    let unsaid = machine.run(&["install", "--plan", "a", "--yes"]).code(4);
    unsaid.says("goes down from 1.1.0 to 1.0.0").says("--allow-downgrade");
    let down =
        ["install", "acme-agent@1.0.0", "--allow-downgrade", "--source", "weak", "--dry-run"];
    assert_eq!(machine.json(&down)["steps"][0]["opens"], serde_json::json!(["CVE-2026-0001"]));
    let said = ["install", "--plan", "a", "--allow-downgrade", "--yes"];
    machine.run(&said).success().says("1.1.0 → 1.0.0");
}

#[test]
fn what_is_put_right_comes_from_where_it_came_from() {
    let strong = two_versions();
    let mut weak = repository();
    // the same files, and something to run with them
    let alien = full("acme-agent", "1.1.0").hook("post-install", "#!/nonexistent\n");
    let alien = weak.collect(&alien);
    weak.release(&[alien]);
    weak.publish();
    let machine = Machine::new();
    for (name, repository, priority) in [("strong", &strong, "10"), ("alien", &weak, "99")] {
        repository.write_to(&machine.path(name));
        let fingerprint = format!("sha256:{}", repository.enrolment_fingerprint());
        let at = machine.path(name);
        let enroll = ["enroll", at.to_str().expect("UTF-8"), "--authority", &fingerprint];
        machine.run(&[&enroll[..], &["--name", name, "--priority", priority]].concat()).success();
    }
    machine.run(&["install", "acme-agent@1.0.0", "--yes"]).success();
    machine.run(&["upgrade", "--yes"]).success();
    machine.run(&["reinstall", "acme-agent", "--yes"]).success();
    std::fs::remove_dir_all(machine.root("opt/acme")).expect("removed");
    machine.run(&["repair", "--yes"]).success();
}

#[test]
fn one_of_several_patches_of_a_version_can_be_named_by_its_base() {
    let machine = Machine::enrolled(&two_versions());
    machine.run(&["install", "acme-agent@1.0.0", "--yes"]).success();
    let planned = |more: &[&str]| {
        let install = ["install", "acme-agent@1.1.0", "--dry-run"];
        machine.json(&[&install, more].concat())["steps"][0]["patches"][0]["base"].clone()
    };
    assert_eq!(planned(&[]), "=1.0.0");
    assert_eq!(planned(&["--base", "=1.0.0"]), "=1.0.0");
    let none = ["install", "acme-agent@1.1.0", "--platform", "plan9-pdp11", "--dry-run"];
    machine.run(&none).code(104);
}

#[test]
fn a_plan_is_carried_out_exactly_or_refused_with_all_that_changed() {
    let mut repository = two_versions();
    let tool = repository.collect(&patch("tool", "1.0.0", &[], &[]));
    repository.release(&[tool]);
    repository.publish();
    let machine = Machine::enrolled(&repository);
    machine.run(&["install", "acme-agent@1.0.0", "--yes"]).success();
    machine.run(&["plan", "upgrade", "-o", "tonight.plan"]).success().says("--plan tonight.plan");
    let kept: serde_json::Value =
        serde_json::from_str(&read(machine.path("tonight.plan"))).expect("JSON");
    let mut shown = machine.json(&["upgrade", "--dry-run"]);
    shown["made_at"] = kept["made_at"].clone();
    assert_eq!(shown, kept, "a dry run prints the same document");
    assert_eq!(kept["steps"][0]["patches"][0]["base"], "=1.0.0");

    // what was installed since is told, and nothing is done
    machine.run(&["install", "tool", "--yes"]).success();
    machine.run(&["hold", "acme-agent"]).success();
    let refused = machine.run(&["install", "--plan", "tonight.plan", "--yes"]).code(4);
    refused.says("tool was not installed, it is 1.0.0").says("acme-agent is held since");
    assert_eq!(read(machine.root("opt/acme/agent")), "1.0.0");
    machine.run(&["unhold", "acme-agent"]).success();

    machine.run(&["plan", "-o", "tonight.plan"]).success();
    machine.run(&["install", "--plan", "tonight.plan", "--yes"]).success().says("1.0.0 → 1.1.0");
    let again = machine.run(&["install", "--plan", "tonight.plan", "--yes"]).code(4);
    again.says("acme-agent was 1.0.0, it is 1.1.0");
}

#[test]
fn a_plan_gives_no_trust() {
    let mut repository = repository();
    let index = repository.collect(&full("acme-agent", "1.0.0"));
    repository.release(&[index]);
    repository.publish();
    let machine = Machine::enrolled(&repository);
    machine.run(&["plan", "install", "acme-agent", "-o", "good"]).success();
    let text = read(machine.path("good"));
    let edited = |from: &str, to: &str| {
        assert!(text.contains(from), "{from} is not in {text}");
        std::fs::write(machine.path("edited"), text.replace(from, to)).expect("written");
        machine.run(&["install", "--plan", "edited", "--yes"])
    };
    let archive = {
        let document: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        document["steps"][0]["patches"][0]["archive"].as_str().expect("text").to_owned()
    };
    edited(&archive, &"0".repeat(64)).code(4).says("has no such patch any more");
    edited("\"to\": \"1.0.0\"", "\"to\": \"1.0.1\"").code(4).says("no longer holds");
    edited("\"unpacked\": ", "\"unpacked\": 1").code(4).says("not what it says");
    edited("\"size\": ", "\"size\": 1").code(4).says("is not the one it was made from");
    edited("\"format\": 1", "\"format\": 2").code(1).says("plan format 2");
    edited("\"format\": 1", "\"format\": 1, \"trust\": true").code(1).says("unknown field");
    edited("\"machine\": \"", "\"machine\": \"0").code(4).says("it is for machine 0");

    repository.revoke(index, "breaks the spooler");
    repository.publish();
    machine.publish(&repository);
    machine.run(&["update"]).success();
    let refused = machine.run(&["install", "--plan", "good", "--yes"]).code(4);
    refused.says("revoked: breaks the spooler");
    assert!(!machine.root("opt/acme/agent").exists());
}

#[test]
fn plans_of_removals_and_of_both_are_carried_out() {
    let old = patch("old", "1.0.0", &[], &[]);
    let new = patch("new", "1.0.0", &[("base", "*")], &[("old", "*")]);
    let machine = Machine::enrolled(&released(&[old, new, patch("base", "1.0.0", &[], &[])]));
    machine.run(&["install", "old", "--yes"]).success();
    machine.run(&["plan", "remove", "old", "-o", "gone"]).success();
    machine.run(&["plan", "install", "new", "--allow-removals", "-o", "both"]).success();
    // a file can be written by anybody: what goes is for whoever carries it out to say
    let refused = machine.run(&["install", "--plan", "both", "--yes"]).code(4);
    refused.says("old 1.0.0 goes").says("--allow-removals");
    let both = ["install", "--plan", "both", "--allow-removals", "--yes"];
    let done = machine.run(&both).success();
    done.says("needed by what was asked for: base").says("old 1.0.0 removed");
    machine.run(&["rollback", "--yes"]).success();
    machine.run(&["install", "--plan", "gone", "--yes"]).code(4).says("old 1.0.0 goes");
    let gone = ["install", "--plan", "gone", "--allow-removals", "--yes"];
    machine.run(&gone).success().says("old 1.0.0 removed");
    assert!(!machine.root("opt/old").exists() && !machine.root("opt/new").exists());
}

#[test]
fn a_plan_that_passed_something_over_says_so_when_it_is_done() {
    let mut repository =
        released(&[patch("app", "1.0.0", &[], &[]), patch("tool", "1.0.0", &[], &[])]);
    let machine = Machine::enrolled(&repository);
    machine.run(&["install", "app", "tool", "--yes"]).success();
    let newer = ["app", "tool"].map(|name| repository.collect(&patch(name, "1.1.0", &[], &[])));
    repository.release(&newer);
    repository.publish();
    machine.publish(&repository);
    machine.run(&["update"]).success();
    machine.run(&["hold", "app", "--reason", "the auditors"]).success();
    machine.run(&["plan", "-o", "tonight.plan"]).code(110);
    let done = machine.run(&["install", "--plan", "tonight.plan", "--yes", "--json"]).code(110);
    let done: serde_json::Value = serde_json::from_str(&done.stdout).expect("JSON");
    assert_eq!(done["changes"][0]["name"], "tool");
    assert_eq!((&done["skipped"][0]["name"], &done["skipped"][1]), (&"app".into(), &().into()));
    assert!(done["skipped"][0]["why"].as_str().is_some_and(|why| why.contains("the auditors")));
}

#[test]
fn what_would_be_removed_is_a_plan_too() {
    let needs = patch("app", "1.0.0", &[("libacme", "*")], &[]);
    let machine = Machine::enrolled(&released(&[needs, patch("libacme", "1.0.0", &[], &[])]));
    machine.run(&["install", "app", "--yes"]).success();
    let all = ["remove", "libacme", "--with-dependents"];
    let shown = machine.json(&[&all[..], &["--dry-run"]].concat());
    let mut kept = machine.json(&[&["plan"], &all[..]].concat());
    kept["made_at"] = shown["made_at"].clone();
    assert_eq!(shown, kept);
    assert_eq!(shown["removals"][1]["name"], "libacme");
    assert!(machine.root("opt/app").exists());
    // whatever becomes of its source, what is here can be seen and go
    machine.run(&["sources", "remove", "patches.example.org", "--yes"]).success();
    let shown = machine.json(&["remove", "app", "--dry-run"]);
    assert_eq!((&shown["removals"][0]["name"], &shown["sources"][0]), (&"app".into(), &().into()));
    machine.run(&["remove", "app", "--yes"]).success();
    assert!(!machine.root("opt/app").exists());
}

#[test]
fn a_list_can_be_of_one_platform() {
    let machine_has = patchctl::machine::platform().expect("a platform").to_string();
    let native = patch("native", "1.0.0", &[], &[])
        .with(|entry| entry.platform = machine_has.parse().expect("a platform"));
    let machine = Machine::enrolled(&released(&[native, patch("script", "1.0.0", &[], &[])]));
    let names = |platform: &str| {
        let listed = machine.json(&["list", "--platform", platform]);
        let patches = listed["patches"].as_array().expect("a list").clone();
        patches.iter().map(|line| line["name"].as_str().expect("text").to_owned()).collect()
    };
    let is: [Vec<String>; 2] = [names(&machine_has), names("any")];
    assert_eq!(is, [["native"], ["script"]]);
    machine.run(&["install", "native", "--yes"]).success();
    assert_eq!(names(&machine_has) as Vec<String>, ["native"]);
    machine.run(&["files", "script"]).code(104).says("patchctl install script");
}

#[test]
fn what_is_fetched_installs_offline_and_what_is_installed_installs_again() {
    let repository = two_versions();
    let machine = Machine::enrolled(&repository);
    machine.run(&["download", "acme-agent", "--yes"]).success();
    assert!(!machine.root("opt/acme/agent").exists());
    machine.run(&["install", "acme-agent", "--offline", "--yes"]).success();
    std::fs::write(machine.root("opt/acme/agent"), "mine").expect("written");
    machine.run(&["reinstall", "acme-agent", "--yes"]).success();
    assert_eq!(read(machine.root("opt/acme/agent")), "1.1.0");
    machine.run(&["reinstall", "nobody", "--yes"]).code(104);
    machine.age(4 * 86_400, &repository);
    machine.run(&["reinstall", "acme-agent", "--yes"]).code(11);
    machine.run(&["reinstall", "acme-agent", "--yes", "--allow-stale"]).success();
    assert_eq!(machine.json(&["history", "3"])["allow_stale"], true);
}

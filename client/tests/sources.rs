//! Sources: listed, changed, removed, and no step back by adding one again.

mod common;

use common::{Machine, full, read, release_second, repository};

const NAME: &str = "patches.example.org";

#[test]
fn sources_are_listed_and_their_lines_changed() {
    let machine = Machine::new();
    machine.run(&["sources"]).success().says("patchctl enroll");
    let repository = repository();
    machine.publish(&repository);
    machine.enroll(&repository).success();
    let file = machine.root(&format!("etc/patchctl/sources.d/{NAME}.toml"));
    let text = format!("{}# ours\n", read(&file));
    std::fs::write(&file, text).expect("written");
    machine.run(&["sources", "ring", NAME, "canary"]).success().says("ring canary, was stable");
    machine.run(&["sources", "priority", NAME, "5"]).success().says("was 99");
    machine.run(&["sources", "priority", NAME, "0"]).code(2);
    machine.run(&["sources", "priority", NAME, "7", "--dry-run"]).success().says("would be 7");
    assert!(read(&file).contains("# ours"));
    let source = &machine.json(&["sources"])["sources"][0];
    assert_eq!(source["name"], NAME);
    assert_eq!((&source["ring"], &source["priority"]), (&"canary".into(), &5.into()));
    assert_eq!((&source["fresh"], &source["state"]), (&true.into(), &"fresh".into()));
    let anchor = format!("sha256:{}", repository.enrolment_fingerprint());
    assert_eq!(source["anchor"], anchor.as_str());
    machine.run(&["sources", "ring", "patches.example.com", "x"]).code(3).says(NAME);
}

#[test]
fn a_source_that_is_added_again_cannot_go_back() {
    let mut repository = repository();
    let one = repository.collect(&full("acme-agent", "1.0.0"));
    repository.release(&[one]);
    repository.publish();
    let old = repository.clone();
    release_second(&mut repository);
    let machine = Machine::enrolled(&repository);
    machine.run(&["install", "acme-agent", "--yes"]).success();

    machine.run(&["sources", "remove", NAME]).code(2).says("acme-agent").says("--yes");
    machine.run(&["sources", "remove", NAME, "--dry-run"]).success();
    assert_eq!(machine.json(&["sources"])["sources"][0]["name"], NAME);
    machine.run(&["sources", "remove", NAME, "--yes"]).success().says("1 component");
    assert_eq!(machine.json(&["sources"])["sources"], serde_json::json!([]));
    machine.run(&["update"]).code(3);

    machine.publish(&old);
    machine.enroll(&old).code(12);
    // nor by another name, nor by a second try
    let fingerprint = format!("sha256:{}", old.enrolment_fingerprint());
    let public = machine.path("public");
    let public = public.to_str().expect("UTF-8");
    let add = ["sources", "add", public, "--authority", &fingerprint];
    machine.run(&[&add[..], &["--name", "other"]].concat()).code(12);
    machine.run(&add).code(12);
    assert_eq!(machine.json(&["sources"])["sources"], serde_json::json!([]));

    machine.publish(&repository);
    machine.run(&add).success().says("nothing new");
    machine.run(&["update"]).success();
    machine.run(&["list"]).success().says("1.1.0");
}

//! Rotations as people do them: what `authority rotate` says is typed, word for word, and after every
//! single command clients go on, those that saw every version and those that saw none since.

use std::fs;
use std::process::Command;

use countersign_tests::{Background, Lab};
use serde_json::Value;

const ROTATE: &str = "authority rotate repo/authority";

/// A repository with a released patch, and two endpoints: `endpoint` follows every step, `away` is as
/// it was in the beginning.
struct Year {
    lab: Lab,
    _server: Background,
    commands: usize,
    copies: usize,
}

impl Year {
    fn begin(prepare: impl FnOnce(&Lab)) -> Self {
        let lab = Lab::with_repository();
        lab.tree("tree").program("opt/acme/agent", "one");
        lab.collect("tree --version 1.0.0");
        lab.release("acme-agent@1.0.0");
        prepare(&lab);
        let server = lab.serve("repo/distribution/public");
        lab.enroll(server.url());
        lab.endpoint("update").done();
        lab.endpoint("install acme-agent").done();
        copy(&lab, "endpoint", "away");
        Self { lab, _server: server, commands: 0, copies: 0 }
    }

    /// Every client updates: the one that follows, and one that comes back after all this time.
    fn clients_go_on(&mut self, after: &str) {
        let lab = &self.lab;
        let current = lab.endpoint("update").outcome();
        assert_eq!(current.code, Some(0), "after {after}\n{current}");
        self.copies += 1;
        let back = format!("back-{}", self.copies);
        copy(lab, "away", &back);
        let returned = lab.patchctl(&format!("--root {back} --yes update")).outcome();
        assert_eq!(returned.code, Some(0), "away until after {after}\n{returned}");
        fs::remove_dir_all(lab.path(&back)).expect("removed");
    }

    /// Types what is shown until nothing is left to type.
    fn rotate(&mut self, begin: &str, type_other: impl Fn(&Lab, &str) -> bool) {
        self.lab.patchrepo(ROTATE).words(begin).done();
        let mut last = String::new();
        loop {
            let shown = self.lab.patchrepo(ROTATE).json();
            assert!(shown["error"].is_null(), "{shown:#}");
            if shown["done"] == true {
                break;
            }
            let steps = shown["steps"].as_array().expect("steps");
            let next = steps.iter().find(|step| step["progress"] == "next").expect("a next step");
            assert_ne!(next["title"].as_str(), Some(last.as_str()), "it did not help: {shown:#}");
            last = String::from(text(&next["title"]));
            for instruction in next["commands"].as_array().expect("commands") {
                let command = text(&instruction["command"]);
                self.carry_out(command, &type_other);
            }
        }
        self.lab.patchrepo(ROTATE).exits(1).says("no key is to go");
    }

    fn carry_out(&mut self, command: &str, type_other: &impl Fn(&Lab, &str) -> bool) {
        if !type_other(&self.lab, command) {
            let words = command.strip_prefix("patchrepo ").expect("a command of ours");
            let makes_keys = [" renew ", " --new-key"].iter().any(|word| words.contains(word));
            let run = self.lab.patchrepo(words);
            let run = if makes_keys { run.arg("--no-passphrase") } else { run };
            let run = if words.starts_with("authority issue") { run.arg("--yes") } else { run };
            run.done();
        }
        self.commands += 1;
        self.clients_go_on(command);
    }

    /// The rotated repository works, and old secrets are of no use to it.
    fn ends_well(&mut self) {
        let lab = &self.lab;
        for (role, file) in [("collection", "server-1"), ("distribution", "server-1")] {
            let new = lab.path(&format!("repo/{role}/keys/server-2.pem"));
            if new.exists() {
                fs::remove_file(lab.path(&format!("repo/{role}/keys/{file}.pem"))).expect("gone");
            }
        }
        fs::write(lab.path("tree/opt/acme/agent"), "two").expect("written");
        lab.collect("tree --version 2.0.0");
        lab.release("acme-agent@2.0.0");
        lab.patchrepo("verify repo/distribution/public --authority authority.note").done();
        self.clients_go_on("the next release");
        let lab = &self.lab;
        lab.endpoint("upgrade").done();
        assert_eq!(fs::read_to_string(lab.path("endpoint/opt/acme/agent")).expect("there"), "two");
        // what the old keys signed installs as before
        copy(lab, "away", "late");
        lab.patchctl("--root late --yes update").done();
        lab.patchctl("--root late --yes reinstall acme-agent").done();
        println!("clients went on after each of {} commands", self.commands);
    }
}

fn text(value: &Value) -> &str {
    value.as_str().expect("a text")
}

fn copy(lab: &Lab, from: &str, to: &str) {
    let copied = Command::new("cp").arg("-a").args([lab.path(from), lab.path(to)]).status();
    assert!(copied.expect("cp is there").success());
}

fn nothing(_: &Lab, _: &str) -> bool {
    false
}

/// The authority gets two more keys, and two of three must sign; a directory is listed and carried.
fn grown(lab: &Lab) {
    let init = "directory init repo/directory --no-passphrase --name";
    lab.patchrepo(init).arg(format!("{}/directory", Lab::NAME)).done();
    let url = "https://m1.example.net/";
    lab.patchrepo("directory add repo/directory").arg(url).done();
    lab.patchrepo("directory publish repo/directory").done();
    let config = lab.path("repo/distribution/config.toml");
    let text = fs::read_to_string(&config).expect("a configuration");
    fs::write(&config, format!("{text}directory = \"../directory/public\"\n")).expect("written");
    let change = "authority change repo/authority --no-passphrase --new-key";
    let key = "--directory-key repo/directory/directory.pub";
    lab.patchrepo(change).words(key).done();
    lab.patchrepo(change).words("--threshold 2").done();
    publish(lab);
}

fn publish(lab: &Lab) {
    lab.patchrepo("authority sign repo/authority").done();
    lab.patchrepo("authority publish repo/authority").done();
    lab.patchrepo("collection refresh repo/collection --force").done();
    lab.patchrepo("distribution sync repo/distribution").done();
    lab.patchrepo("distribution publish repo/distribution").done();
}

#[test]
fn the_collections_key() {
    let mut year = Year::begin(|_| ());
    year.rotate("--role collection", nothing);
    year.ends_well();
}

#[test]
fn the_distributions_key() {
    let mut year = Year::begin(|_| ());
    year.rotate("--role distribution", nothing);
    year.ends_well();
}

#[test]
fn the_authoritys_keys() {
    let mut year = Year::begin(grown);
    year.rotate("--role authority", nothing);
    let status = year.lab.patchrepo("authority status repo/authority").json();
    let keys = status["keys"].as_array().expect("keys");
    let in_use = keys.iter().filter(|key| key["role"] == "authority" && key["dropped"] == false);
    assert_eq!(in_use.count(), 3);
    year.ends_well();
}

#[test]
fn the_directorys_key() {
    let mut year = Year::begin(grown);
    year.rotate("--role directory", nothing);
    fs::remove_file(year.lab.path("repo/directory/keys/directory.pem")).expect("removed");
    year.lab.patchrepo("directory publish repo/directory").done();
    year.lab.patchrepo("distribution refresh repo/distribution --force").done();
    let directory = year.lab.path("repo/distribution/public/directory");
    let version = fs::read_to_string(directory).expect("carried");
    // the first, one by both keys, one without the old one listed, one by the new key alone
    assert!(version.contains("\"version\": 4"), "{version}");
    year.ends_well();
}

#[test]
fn all_at_once() {
    let mut year = Year::begin(grown);
    year.rotate("--role all", nothing);
    year.ends_well();
    let newest = year.lab.patchrepo("authority show repo/authority").json();
    assert_eq!(newest["note"]["version"], 4, "two versions for all of them");
}

#[test]
fn a_witness() {
    let witnessed = |lab: &Lab, witness: &str| {
        let run = format!("witness run {witness} repo/distribution/public -o lines");
        lab.patchrepo(&run).words("--authority authority.note").done();
        // refused from a witness that is no longer listed
        lab.patchrepo("distribution import repo/distribution lines").outcome();
    };
    let mut year = Year::begin(|lab| {
        let init = "witness init watcher --no-passphrase --name witness.example.net";
        lab.patchrepo(init).done();
        let list = "authority change repo/authority --witness watcher/witness.pub";
        lab.patchrepo(list).done();
        publish(lab);
        witnessed(lab, "watcher");
        lab.patchrepo("authority change repo/authority --quorum 1").done();
        lab.patchrepo("distribution refresh repo/distribution --force").done();
        lab.patchrepo("authority sign repo/authority").done();
        lab.patchrepo("authority publish repo/authority").done();
        lab.patchrepo("distribution refresh repo/distribution --force").done();
    });
    // both witnesses do their work wherever a witness is asked to
    year.rotate("--role witness --at witness=watcher", |lab, command| {
        if command.starts_with("patchrepo witness init") {
            let words = command.strip_prefix("patchrepo ").expect("ours");
            lab.patchrepo(words).arg("--no-passphrase").done();
        } else if command.starts_with("patchrepo distribution publish") {
            // waits the first time, and is typed again after the import
            let code = lab.patchrepo(&command["patchrepo ".len()..]).outcome().code;
            assert!([Some(0), Some(10)].contains(&code), "{command}: {code:?}");
        } else if command.starts_with("patchrepo witness run") {
            for witness in ["watcher", "watcher-new"] {
                witnessed(lab, witness);
            }
        } else if !command.contains("import") {
            return false;
        }
        true
    });
    let note = year.lab.patchrepo("authority show repo/authority").json();
    let keys = note["note"]["witnesses"]["keys"].as_array().expect("witnesses");
    assert_eq!(keys.len(), 1);
    assert!(text(&keys[0]).starts_with("witness.example.net/2+"), "{keys:?}");
}

#[test]
fn one_of_two_people_leaves() {
    let mut year = Year::begin(|lab| {
        let key = "key generate --no-passphrase --signer file:alice/key.pem --name";
        lab.patchrepo(key).arg(format!("{}/collection/alice", Lab::NAME)).done();
        let init =
            "collection init alice/server --no-passphrase --signer file:alice/key.pem --name";
        lab.patchrepo(init).arg(format!("{}/collection/alice", Lab::NAME)).done();
        let admit = "authority admit repo/authority alice/server/request.json --ordinary-key";
        lab.patchrepo(admit).done();
        publish(lab);
    });
    let few = "authority rotate repo/authority --retire patches.example.org/collection";
    let both = format!("{few} --retire patches.example.org/collection/alice");
    year.lab.patchrepo(&both).exits(1).says("would have 0 keys in use");
    year.rotate("--retire patches.example.org/collection/alice", nothing);
    year.ends_well();
}

#[test]
fn a_rehearsal_says_what_clients_then_do() {
    let mut year = Year::begin(|_| ());
    let lab = &year.lab;
    lab.patchrepo("collection renew repo/collection -o request --no-passphrase").done();
    lab.patchrepo("authority issue repo/authority request -o grant --yes").done();
    lab.patchrepo("collection accept repo/collection grant -o acceptance").done();
    lab.patchrepo("authority admit repo/authority acceptance").done();
    let retire = "authority retire repo/authority patches.example.org/collection --epoch 1";
    lab.patchrepo(retire).words("--until 1 --reason hasty").done();
    let rehearse = "authority publish repo/authority --dry-run --repository";
    let rehearse = || lab.patchrepo(rehearse).arg("repo/distribution/public");
    rehearse().exits(10).says("is not signed yet");
    lab.patchrepo("authority sign repo/authority").done();
    let shown = rehearse().json();
    assert_eq!(shown["complete"], true);
    let repository = &shown["repositories"][0];
    let count = &repository["files"][0]["counts"][0];
    assert_eq!((&count["now"]["found"], &count["after"]["found"]), (&1.into(), &0.into()));
    assert_eq!(repository["patches"]["lost"][0]["patch"], "acme-agent@1.0.0");
    rehearse().exits(10).says("clients would refuse the collection's head");
    assert!(!lab.path("repo/authority/public/authority/2").exists(), "it was a rehearsal");
    year.clients_go_on("the rehearsal");
    // where it is done all the same, the distribution does not lead clients there
    let lab = &year.lab;
    lab.patchrepo("authority publish repo/authority").done();
    let refused = lab.patchrepo("distribution sync repo/distribution").exits(10);
    refused.says("the collection does not satisfy version 2 of the authority yet");
    lab.endpoint("update").done();
    // those who have the note from elsewhere see what was said
    let note = |role: &str| lab.path(&format!("repo/{role}/public/authority/2"));
    fs::copy(note("authority"), note("distribution")).expect("copied");
    lab.endpoint("update").exits(10).says("is retired from index 1 on");
}

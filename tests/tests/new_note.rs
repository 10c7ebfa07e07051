//! A new authority note on its way: who is shown it when, and what its people are told.

use std::fs;

use countersign_tests::{Lab, Outcome};

const COLLECTION: &str = "patches.example.org/collection";

/// One released patch, and an endpoint that has it.
fn lab() -> Lab {
    let lab = Lab::with_repository();
    lab.tree("tree").program("opt/acme/agent", "one");
    lab.collect("tree --version 1.0.0");
    lab.release("acme-agent@1.0.0");
    lab
}

/// The line that two people read to each other.
fn fingerprint(outcome: &Outcome) -> String {
    let line = outcome.stderr.lines().find(|line| line.starts_with("Its fingerprint: sha256:"));
    let words = outcome.stderr.lines().find(|line| line.starts_with("In words: "));
    format!("{} {}", line.expect("it is said"), words.expect("in words, too"))
}

/// The collection asks for a new key, which is admitted; the old one counts below entry 2 only.
fn replace_the_collections_key(lab: &Lab) {
    let run = |line: &str| lab.patchrepo(line).done();
    let asked = run("collection renew repo/collection -o request.json --no-passphrase");
    // nothing is granted before somebody compared the fingerprint
    let unasked = lab.patchrepo("authority issue repo/authority request.json -o grant.json");
    let unasked = unasked.exits(2).says("cannot ask without a terminal").says("--yes");
    assert_eq!(fingerprint(&asked), fingerprint(&unasked));
    assert!(!lab.path("grant.json").exists());
    let issued = run("authority issue repo/authority request.json -o grant.json --yes");
    assert_eq!(fingerprint(&asked), fingerprint(&issued));
    let issued =
        issued.says("warning: patches.example.org/collection has a key already: epoch 1, key ");
    issued.says(", since version 1 of ").says("call its people");
    let again = run("authority issue repo/authority request.json -o grant.json --yes");
    assert_eq!(fingerprint(&asked), fingerprint(&again));
    let accepted = run("collection accept repo/collection grant.json -o acceptance.txt");
    let admitted = run("authority admit repo/authority acceptance.txt");
    assert_eq!(fingerprint(&accepted), fingerprint(&admitted));
    admitted.says("has a key already: epoch 1, key ");
    run(&format!(
        "authority retire repo/authority {COLLECTION} --epoch 1 --until 2 --reason stolen"
    ));
    run("authority sign repo/authority");
    run("authority publish repo/authority");
}

#[test]
fn clients_are_shown_a_new_note_when_the_collection_has_signed_by_it() {
    let lab = lab();
    let server = lab.serve("repo/distribution/public");
    lab.enroll(server.url());
    replace_the_collections_key(&lab);
    let waits = "warning: version 2 of the authority waits, and clients go by version 1";
    for command in ["sync", "publish", "refresh"] {
        let refused = lab.patchrepo(&format!("distribution {command} repo/distribution")).exits(10);
        let refused = refused.says("does not satisfy version 2 of the authority yet").says(waits);
        refused.says("clients go on by version 1").says("the collection must sign first");
        assert!(!lab.path("repo/distribution/public/authority/2").exists(), "{command}");
        lab.endpoint("update").done();
    }
    // by what the clients go by, all is well
    for trusted in ["repo/authority", "authority.note"] {
        let line = format!("authority check {trusted} --within 1h --repository {}", server.url());
        lab.patchrepo(&line).done();
    }

    lab.patchrepo("collection refresh repo/collection").done();
    lab.patchrepo("distribution sync repo/distribution").done();
    assert!(!lab.path("repo/distribution/public/authority/2").exists());
    let refreshed = lab.patchrepo("distribution refresh repo/distribution").done();
    refreshed.says("Clients go by version 2 of the authority from now on.");
    lab.endpoint("update").done().says("authority version 2");
    lab.endpoint("install acme-agent").done();
}

#[test]
fn the_first_note_leads_to_the_newest() {
    let lab = lab();
    replace_the_collections_key(&lab);
    lab.patchrepo("collection refresh repo/collection").done();
    lab.patchrepo("distribution sync repo/distribution").done();
    lab.patchrepo("distribution publish repo/distribution").done();
    let server = lab.serve("repo/distribution/public");
    let line = |command: &str| {
        lab.patchrepo(&format!("{command} authority.note --repository {}", server.url()))
    };
    line("authority check --within 1h").done();
    let status = line("authority status").json();
    assert_eq!(status["version"], 2);
    let of_collection = |key: &&serde_json::Value| key["role"] == "collection";
    let keys = status["keys"].as_array().expect("a list");
    let epochs: Vec<_> = keys.iter().filter(of_collection).map(|key| &key["epoch"]).collect();
    assert_eq!(epochs, [1, 2]);
    // a note of somebody else leads nowhere
    lab.patchrepo("init other --no-passphrase --name 192.0.2.1").done();
    let other = "authority check other/authority/public/authority/1 --within 1h --repository";
    lab.patchrepo(other).arg(server.url()).exits(10);
}

#[test]
fn a_run_that_finds_nothing_new_says_by_which_note() {
    let lab = lab();
    let nothing = lab.patchrepo("distribution sync repo/distribution").done();
    nothing
        .says("and version 1 of the authority is the newest known here (looked in ")
        .says("authority/public");
    let published = lab.patchrepo("distribution publish repo/distribution").done();
    published.says("version 1 of the authority is the newest known here (looked in ");
    // one that was not carried over is not seen, and that is said
    let config = lab.path("repo/distribution/config.toml");
    let text = fs::read_to_string(&config).expect("read");
    let text: String = text
        .lines()
        .filter(|line| !line.starts_with("authority"))
        .fold(String::new(), |text, line| text + line + "\n");
    fs::write(&config, text).expect("written");
    lab.patchrepo("authority change repo/authority").done();
    lab.patchrepo("authority sign repo/authority").done();
    lab.patchrepo("authority publish repo/authority").done();
    let published = lab.patchrepo("distribution publish repo/distribution").done();
    published.says("is the newest known here (config.toml names no place");
}

/// The note that lists the newer key and retires a stolen one was not carried over: whoever goes on
/// is told.
#[test]
fn a_server_whose_newer_key_no_note_here_lists_says_so_before_it_signs() {
    let lab = lab();
    lab.tree("next").program("opt/acme/agent", "two");
    let run = |line: &str| lab.patchrepo(line).done();
    run("collection renew repo/collection -o request.json --no-passphrase");
    run("authority issue repo/authority request.json -o grant.json --yes");
    run("collection accept repo/collection grant.json -o acceptance.txt");
    fs::rename(lab.path("repo/authority"), lab.path("away")).expect("moved");
    let lines = [
        "collection add repo/collection next --name acme-agent --version 1.0.1",
        "collection publish repo/collection",
        "collection refresh repo/collection --force",
        "collection revoke repo/collection acme-agent@1.0.1 --reason test",
    ];
    for line in lines {
        let said = run(line).says("warning: this server accepted a key of epoch 2 (");
        said.says("version 1 of the authority is the newest known here").says("does not list it");
    }
    fs::rename(lab.path("away"), lab.path("repo/authority")).expect("moved");
    run("authority admit repo/authority acceptance.txt");
    run("authority sign repo/authority");
    run("authority publish repo/authority");
    let refreshed = run("collection refresh repo/collection --force");
    assert!(!refreshed.stderr.contains("accepted a key"), "{refreshed}");
}

#[test]
fn each_of_several_keys_has_a_passphrase_of_its_own() {
    let lab = lab();
    for holder in ["alice", "bob"] {
        fs::write(lab.path(&format!("{holder}.pass")), format!("{holder}'s")).expect("written");
        let line = format!(
            "key generate --signer file:{holder}.pem --name 192.0.2.10/authority/{holder} \
             -o {holder}.pub --passphrase-file {holder}.pass"
        );
        lab.patchrepo(&line).done();
    }
    let change = "authority change repo/authority --add-key alice.pub --add-key bob.pub";
    lab.patchrepo(change).done();
    let sign = "authority sign repo/authority --signer file:alice.pem --signer file:bob.pem";
    let sign = |files: &str| lab.patchrepo(&format!("{sign} {files}"));
    sign("--passphrase-file bob.pass --passphrase-file alice.pass").exits(1);
    let three =
        "--passphrase-file bob.pass --passphrase-file alice.pass --passphrase-file bob.pass";
    sign(three).exits(2).says("given 3 times for 2 keys");
    let signed = sign("--passphrase-file alice.pass --passphrase-file bob.pass").done();
    signed.says("Signed by 192.0.2.10/authority/alice.").says("authority/bob.");
}

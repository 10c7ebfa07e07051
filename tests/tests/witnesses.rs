//! Witnesses: one of two must have cosigned a head before clients take it.

use std::fs;
use std::path::Path;
use std::process::Command;

use countersign_tests::Lab;
use countersign_tests::tree::snapshot;

const PUBLIC: &str = "repo/distribution/public";

/// Lets the authority say something new, and the distribution pass it on.
fn change_authority(lab: &Lab, change: &str) {
    lab.patchrepo(&format!("authority change repo/authority {change}")).done();
    lab.patchrepo("authority sign repo/authority").done();
    lab.patchrepo("authority publish repo/authority").done();
    lab.patchrepo("distribution refresh repo/distribution --force").done();
}

fn witness(lab: &Lab, name: &str, place: &str) -> countersign_tests::run::Run {
    lab.patchrepo(&format!("witness run {name} {place} --authority authority.note -o {name}.lines"))
}

/// A repository with version 1.0.0, an endpoint, and two witnesses of whom one must cosign.
fn lab_with_witnesses() -> Lab {
    let lab = Lab::with_repository();
    lab.tree("tree").program("opt/acme/agent", "one");
    lab.collect("tree --version 1.0.0");
    lab.release("acme-agent@1.0.0");
    for name in ["w1", "w2"] {
        let init = format!("witness init {name} --name {name}.example.net --no-passphrase");
        lab.patchrepo(&init).done().says(&format!("{name}.example.net+"));
    }
    change_authority(&lab, "--witness w1/witness.pub --witness w2/witness.pub");
    witness(&lab, "w1", PUBLIC).done().says("Cosigned patches.example.org/collection");
    lab.patchrepo("distribution import repo/distribution w1.lines").done().says("2 new");
    lab.patchrepo("distribution import repo/distribution w1.lines").done().says("0 new");
    lab.patchrepo("distribution refresh repo/distribution --force").done();
    change_authority(&lab, "--quorum 1");
    lab
}

fn collect_next(lab: &Lab) {
    fs::write(lab.path("tree/opt/acme/agent"), "two").expect("written");
    lab.collect("tree --version 2.0.0");
    lab.patchrepo("collection publish repo/collection").done();
    lab.patchrepo("distribution sync repo/distribution").done();
}

fn release_next(lab: &Lab, directory: &str, ring: &str) {
    lab.patchrepo(&format!("distribution release {directory} acme-agent@2.0.0 --ring {ring}"))
        .done();
    lab.patchrepo(&format!("distribution publish {directory}"))
        .exits(10)
        .says("witnesses are missing, so readers see what they saw before")
        .says("w1.example.net, w2.example.net");
}

fn copy(lab: &Lab, from: &str, to: &str) {
    let copied = Command::new("cp").arg("-a").args([lab.path(from), lab.path(to)]).status();
    assert!(copied.expect("cp runs").success());
}

#[test]
fn readers_see_a_head_once_its_quorum_has_cosigned_it() {
    let lab = lab_with_witnesses();
    let server = lab.serve(PUBLIC);
    lab.enroll(server.url());
    lab.endpoint("install acme-agent").done();
    collect_next(&lab);
    let heads = || {
        ["collection", "distribution"]
            .map(|log| fs::read(lab.path(PUBLIC).join(log).join("checkpoint")))
            .map(|read| read.expect("a head"))
    };
    let before = heads();
    release_next(&lab, "repo/distribution", "stable");
    assert_eq!(heads(), before, "what clients read is as it was");
    lab.endpoint("update").done();
    lab.endpoint("check").done();
    lab.patchrepo(&format!("verify {PUBLIC} --authority authority.note")).done();
    lab.patchrepo("mirror sync repo/distribution/public mirror --authority authority.note").done();
    assert!(!lab.path("mirror/collection/checkpoint.pending").exists());
    let standings = lab.patchrepo("distribution show repo/distribution").json();
    assert_eq!(standings["complete"], false);

    witness(&lab, "w2", server.url()).done().says("Cosigned");
    lab.patchrepo("distribution import repo/distribution w2.lines").done();
    lab.patchrepo("distribution publish repo/distribution").done();
    assert!(!lab.path(PUBLIC).join("collection/checkpoint.pending").exists());
    assert!(!lab.path(PUBLIC).join("distribution/checkpoint.pending").exists());
    lab.endpoint("update").done();
    lab.endpoint("upgrade").done();
    assert_eq!(fs::read(lab.path("endpoint/opt/acme/agent")).ok(), installed(&lab));
    lab.patchrepo(&format!("verify {PUBLIC} --authority authority.note")).done();
    // the same heads again, and a refresh that takes the newer lines
    witness(&lab, "w2", server.url()).done();
    lab.patchrepo("distribution import repo/distribution w2.lines").done();
    lab.patchrepo("distribution refresh repo/distribution --force").done();
    lab.endpoint("update").done();
}

fn installed(lab: &Lab) -> Option<Vec<u8>> {
    fs::read(lab.path("tree/opt/acme/agent")).ok()
}

#[test]
fn a_fork_is_refused_and_what_one_is_shown_is_not_what_another_accepts() {
    let lab = lab_with_witnesses();
    collect_next(&lab);
    copy(&lab, "repo/distribution", "forked");
    release_next(&lab, "repo/distribution", "stable");
    witness(&lab, "w2", PUBLIC).done();
    release_next(&lab, "forked", "canary");

    // a witness that has cosigned one history does not cosign the other
    let before = snapshot(&lab.path("w2"), &["state/repository", "lock"]);
    fs::remove_file(lab.path("w2.lines")).expect("removed");
    let refused = witness(&lab, "w2", "forked/public").exits(12);
    refused.says("nothing is cosigned: a log was forked").says("w2/state/repository/.evidence");
    let evidence = lab.path("w2/state/repository/.evidence");
    let kept = fs::read_dir(&evidence).expect("evidence").count();
    assert_eq!(kept, 2, "both statements");
    assert!(!lab.path("w2.lines").exists());
    assert!(snapshot(&lab.path("w2"), &["state/repository", "lock"]) == before);
    // nor does a good place beside it hide the fork
    lab.patchrepo("witness run w2 forked/public repo/distribution/public")
        .words("--authority authority.note -o w2.lines")
        .exits(12);

    // a witness that was only shown the other history helps this one with nothing
    witness(&lab, "w1", "forked/public").done();
    lab.patchrepo("distribution import repo/distribution w1.lines")
        .exits(1)
        .says("is not one that waits here");
    witness(&lab, "w2", PUBLIC).done();
    lab.patchrepo("distribution import repo/distribution w2.lines").done();
    lab.patchrepo("distribution publish repo/distribution").done();
    let server = lab.serve(PUBLIC);
    lab.enroll(server.url());
    lab.endpoint("update").done();

    // a head that no witness was shown, with the line that one gave to another head
    let path = lab.path(PUBLIC).join("distribution/checkpoint");
    let head = fs::read_to_string(&path).expect("the head");
    let without: String =
        head.split_inclusive('\n').filter(|line| !line.contains(".example.net ")).collect();
    fs::write(&path, &without).expect("written");
    lab.endpoint("update").exits(10).says("signature is missing").says("witness");
    let lines = fs::read(lab.path("w1.lines")).expect("lines");
    let lines: serde_json::Value = serde_json::from_slice(&lines).expect("lines");
    let line = lines["heads"][1]["line"].as_str().expect("a line");
    fs::write(&path, format!("{without}{line}\n")).expect("written");
    lab.endpoint("update").exits(10).says("w1.example.net");
    fs::write(&path, head).expect("written");
    lab.endpoint("update").done();
}

#[test]
fn a_key_file_is_found_from_wherever_the_witness_is_run() {
    let lab = Lab::new();
    let key = "--name witness.example.net --signer file:key.pem";
    lab.patchrepo("key generate --no-passphrase").words(key).done();
    lab.patchrepo("witness init witness --no-passphrase").words(key).done();
    let settings = fs::read_to_string(lab.path("witness/config.toml")).expect("its settings");
    let place = format!("file:{}", lab.path("key.pem").display());
    assert!(settings.contains(&place), "{settings}");
}

/// Alters the last of the `size` entries of the collection's log below `public`.
fn alter_last_entry(public: &Path, size: u64) {
    let log = public.join("collection");
    fs::remove_dir_all(log.join("pack")).expect("readers do without");
    let bundle = log.join(format!("tile/entries/000.p/{size}"));
    let mut bytes = fs::read(&bundle).expect("the entries");
    *bytes.last_mut().expect("some") ^= 1;
    fs::write(&bundle, bytes).expect("written");
}

#[test]
fn a_server_that_alters_entries_accuses_nobody_of_a_fork() {
    let lab = lab_with_witnesses();
    copy(&lab, PUBLIC, "altered");
    alter_last_entry(&lab.path("altered"), 2);
    let before = snapshot(&lab.path("w2"), &["state/repository", "lock"]);
    witness(&lab, "w2", "altered")
        .exits(12)
        .says("altered: the collection log's head of 2 entries, which patches.example.org/collection signed,")
        .says("is not what its entries there lead to")
        .says("not that a key signed two histories");
    assert!(snapshot(&lab.path("w2"), &["state/repository", "lock"]) == before);
    assert!(!lab.path("w2.lines").exists());
    let kept = lab.path("w2/state/repository/.evidence/collection-2-unproven");
    let head = fs::read(lab.path(PUBLIC).join("collection/checkpoint")).expect("the head");
    assert_eq!(fs::read(kept).expect("the head is kept"), head);
    // another server shows that it was the first that altered
    lab.patchrepo(&format!(
        "witness run w2 altered {PUBLIC} --authority authority.note -o w2.lines"
    ))
    .done()
    .says("altered is passed over")
    .says("Cosigned patches.example.org/collection");
}

#[test]
fn a_head_whose_entries_another_server_shows_to_be_others_is_a_fork() {
    let lab = lab_with_witnesses();
    witness(&lab, "w2", PUBLIC).done();
    copy(&lab, "repo", "thief");
    // the thief has the collection's key, and shows its head above entries that are not its own
    for (repo, versions) in [("thief", &["6.6.6"][..]), ("repo", &["2.0.0", "3.0.0"])] {
        for version in versions {
            fs::write(lab.path("tree/opt/acme/agent"), version).expect("written");
            let add = format!("collection add {repo}/collection tree --name acme-agent");
            lab.patchrepo(&add).words("--version").arg(version).done();
            lab.patchrepo(&format!("collection publish {repo}/collection")).done();
        }
        lab.patchrepo(&format!("distribution sync {repo}/distribution")).done();
        lab.patchrepo(&format!("distribution refresh {repo}/distribution --force")).exits(10);
    }
    copy(&lab, "thief/distribution/public", "shown");
    let pending = "collection/checkpoint.pending";
    assert!(lab.path("shown").join(pending).exists());
    alter_last_entry(&lab.path("shown"), 5);
    witness(&lab, "w2", "shown").exits(12).says("not that a key signed two histories");
    lab.patchrepo(&format!("witness run w2 shown {PUBLIC} --authority authority.note -o w2.lines"))
        .exits(12)
        .says("nothing is cosigned: a log was forked")
        .says("shown: the collection log was forked: at 5 entries");
    for (which, place) in [("held", PUBLIC), ("found", "shown")] {
        let kept = lab.path(&format!("w2/state/repository/.evidence/collection-5-{which}"));
        let head = fs::read(lab.path(place).join(pending)).expect("a head that waits");
        assert_eq!(fs::read(kept).expect("both heads are kept"), head, "{which}");
    }
}

#[test]
fn a_witness_that_was_restored_from_a_backup_notices() {
    let lab = lab_with_witnesses();
    witness(&lab, "w2", PUBLIC).done();
    copy(&lab, "w2", "backup");
    collect_next(&lab);
    release_next(&lab, "repo/distribution", "stable");
    witness(&lab, "w2", PUBLIC).done();
    lab.patchrepo("distribution import repo/distribution w2.lines").done();
    lab.patchrepo("distribution publish repo/distribution").done();
    fs::remove_dir_all(lab.path("w2")).expect("lost");
    copy(&lab, "backup", "w2");
    fs::remove_file(lab.path("w2.lines")).expect("removed");
    let before = snapshot(&lab.path("w2"), &["state/repository", "lock"]);
    witness(&lab, "w2", PUBLIC)
        .exits(12)
        .says("this witness's own signature of")
        .says("stands on the head of 5 entries of patches.example.org/collection")
        .says("its record ends at 2 entries");
    assert!(snapshot(&lab.path("w2"), &["state/repository", "lock"]) == before);
    assert!(!lab.path("w2.lines").exists());
    // told by a person, it goes on from there
    witness(&lab, "w2", PUBLIC).arg("--adopt-public-heads").done().says("with 5 entries");
    witness(&lab, "w2", PUBLIC).done();
}

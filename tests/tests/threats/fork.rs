//! Threats D4: both logs were forked with stolen keys; new origins heal every machine, those on the
//! thief's branch too. All by the real programs.

use std::fs;
use std::process::Command;

use countersign_tests::tree::{copy, replace};
use countersign_tests::{Lab, Outcome};

const PUBLIC: &str = "repo/distribution/public";

/// What two machines read, each from a server of its own.
fn show(lab: &Lab, machine: &str, public: &str) {
    let served = lab.path(&format!("served-{machine}"));
    if served.exists() {
        replace(&lab.path(public), &served).expect("a test's directory can be replaced");
    } else {
        copy(&lab.path(public), &served).expect("a test's directory can be copied");
    }
}

fn machine(lab: &Lab, name: &str, command: &str) -> Outcome {
    lab.patchctl(&format!("--root {name} --yes {command}")).outcome()
}

fn run(lab: &Lab, commands: &[&str]) {
    for command in commands {
        lab.patchrepo(command).done();
    }
}

/// The entries that a log has.
fn size(lab: &Lab, log: &str) -> String {
    let head = fs::read_to_string(lab.path(PUBLIC).join(log).join("checkpoint")).expect("a head");
    head.lines().nth(1).expect("a size").to_owned()
}

/// One more version in a copy of everything.
fn branch(lab: &Lab, repo: &str, version: &str) {
    fs::write(lab.path("tree/opt/acme/agent"), version).expect("written");
    run(
        lab,
        &[
            &format!("collection add {repo}/collection tree --name acme-agent --version {version}"),
            &format!("collection publish {repo}/collection"),
            &format!("distribution sync {repo}/distribution"),
            &format!("distribution release {repo}/distribution acme-agent@{version} --ring stable"),
            &format!("distribution publish {repo}/distribution"),
        ],
    );
}

/// Renews a server's key, retires the one before at `until` and takes the new one in.
fn renew(lab: &Lab, role: &str, until: &str) {
    run(
        lab,
        &[
            &format!("{role} renew repo/{role} -o request.json --no-passphrase"),
            "authority issue repo/authority request.json -o grant.json --yes",
            &format!("{role} accept repo/{role} grant.json -o acceptance.txt"),
            "authority admit repo/authority acceptance.txt",
            &format!(
                "authority retire repo/authority patches.example.org/{role} --epoch 1 \
                 --until {until} --reason stolen"
            ),
        ],
    );
}

/// D4: a thief with both keys shows some machines a history of its own. From the new origins on, they
/// and all others see one again, and what was signed before the fork still installs.
#[test]
fn new_origins_heal_the_machines_on_either_branch() {
    let lab = Lab::with_repository();
    lab.tree("tree").program("opt/acme/agent", "1.0.0");
    lab.collect("tree --version 1.0.0");
    lab.release("acme-agent@1.0.0");
    let (collected, decided) = (size(&lab, "collection"), size(&lab, "distribution"));
    let servers = ["honest", "victim"].map(|name| {
        show(&lab, name, PUBLIC);
        let server = lab.serve(&format!("served-{name}"));
        fs::create_dir(lab.path(name)).expect("made");
        let enroll = format!("enroll {} --authority authority.note", server.url());
        assert_eq!(machine(&lab, name, &enroll).code, Some(0));
        assert_eq!(machine(&lab, name, "install acme-agent").code, Some(0));
        server
    });
    let copied = Command::new("cp").arg("-a").args([lab.path("repo"), lab.path("thief")]).status();
    assert!(copied.expect("cp runs").success());
    branch(&lab, "thief", "6.6.6");
    branch(&lab, "repo", "1.0.1");
    // the same moment for both, so that neither is merely older
    let moment = countersign_tests::lab::now().plus(10).seconds().to_string();
    for repo in ["thief", "repo"] {
        for command in [
            format!("collection refresh {repo}/collection --force"),
            format!("distribution sync {repo}/distribution"),
            format!("distribution refresh {repo}/distribution --force"),
        ] {
            lab.patchrepo(&command).env("COUNTERSIGN_CLOCK", &moment).done();
        }
    }
    show(&lab, "honest", PUBLIC);
    show(&lab, "victim", "thief/distribution/public");
    for name in ["honest", "victim"] {
        assert_eq!(machine(&lab, name, "update").code, Some(0), "{name} sees one branch");
    }
    // each refuses the other's branch, and keeps both statements
    show(&lab, "honest", "thief/distribution/public");
    show(&lab, "victim", PUBLIC);
    for name in ["honest", "victim"] {
        let refused = machine(&lab, name, "update").exits(12).says("fork: two signed heads");
        refused.says("is kept in").says("key is in wrong hands");
        let evidence = lab.path(name).join("var/lib/patchctl/evidence");
        assert_eq!(fs::read_dir(evidence).expect("evidence").count(), 1);
    }
    renew(&lab, "collection", &collected);
    renew(&lab, "distribution", &decided);
    run(
        &lab,
        &[
            "authority change repo/authority --collection-origin patches.example.org/collection/2 \
             --distribution-origin patches.example.org/distribution/2",
            "authority sign repo/authority",
            "authority publish repo/authority",
            &format!("collection restart repo/collection --keep {collected}"),
            "collection add repo/collection tree --name acme-agent --version 1.0.1",
            "collection publish repo/collection",
            "distribution sync repo/distribution",
            &format!("distribution restart repo/distribution --keep {decided}"),
            "distribution release repo/distribution --again",
            "distribution release repo/distribution acme-agent@1.0.1 --ring stable",
            "distribution publish repo/distribution",
            "verify repo/distribution/public --authority authority.note",
        ],
    );
    for name in ["honest", "victim"] {
        show(&lab, name, PUBLIC);
        machine(&lab, name, "update").exits(0).says("authority version 2");
        machine(&lab, name, "upgrade").exits(0).says("1.0.1");
        machine(&lab, name, "show acme-agent@6.6.6").exits(104);
        machine(&lab, name, "install acme-agent@1.0.0 --allow-downgrade").exits(0);
        // what was left never comes back
        show(&lab, name, "thief/distribution/public");
        machine(&lab, name, "update").exits(10).says("is retired from index");
    }
    drop(servers);
}

//! A directory that is refused stops nothing: it is said, the one that is held stays, and machines go
//! on where they went.

use std::fs;

use countersign_tests::{Lab, Outcome};

const HELD: &str = "repo/distribution/public/directory";

fn authority(lab: &Lab, change: &str) {
    lab.patchrepo(&format!("authority change repo/authority {change}")).done();
    lab.patchrepo("authority sign repo/authority").done();
    lab.patchrepo("authority publish repo/authority").done();
}

/// The directory's next version, which names one more mirror.
fn publish(lab: &Lab, directory: &str, mirror: u32) -> Vec<u8> {
    let add = format!("directory add {directory} https://m{mirror}.example.net/");
    lab.patchrepo(&add).done();
    lab.patchrepo(&format!("directory publish {directory}")).done();
    fs::read(lab.path(directory).join("public/directory")).expect("a note")
}

fn sync(lab: &Lab) -> Outcome {
    lab.patchrepo("distribution sync repo/distribution").done()
}

#[test]
fn a_refused_directory_is_said_and_the_held_one_stays() {
    let lab = Lab::with_repository();
    lab.tree("tree").program("opt/acme/agent", "one");
    lab.collect("tree --version 1.0.0");
    lab.release("acme-agent@1.0.0");
    for name in ["directory", "stranger"] {
        let init = format!("directory init {name} --name patches.example.org/directory");
        lab.patchrepo(&init).arg("--no-passphrase").done();
    }
    let settings = lab.path("repo/distribution/config.toml");
    let text = fs::read_to_string(&settings).expect("settings");
    let with = format!("{text}directory = \"{}\"\n", lab.path("directory/public").display());
    fs::write(&settings, with).expect("written");
    let first = publish(&lab, "directory", 1);
    // the authority lists no key of a directory yet
    sync(&lab).says("the authority's version 1 lists no key of a directory");
    assert!(!lab.path(HELD).exists());
    authority(&lab, "--directory-key directory/directory.pub");
    sync(&lab).says("Version 1 of the directory is carried");
    assert_eq!(fs::read(lab.path(HELD)).expect("carried"), first);
    let second = publish(&lab, "directory", 2);
    sync(&lab).says("Version 2 of the directory is carried");

    let place = lab.path("directory/public/directory");
    let text = String::from_utf8(second.clone()).expect("a note");
    let unsigned = text.split_once("\n\n").expect("a note").0.to_owned() + "\n\n";
    let cases: [(&str, Vec<u8>, &str); 6] = [
        ("an older version", first, "its version 1 is before version 2, held here"),
        ("another key's", publish(&lab, "stranger", 9), "the directory's signature"),
        ("altered", text.replacen("m2.", "m3.", 1).into_bytes(), "is wrong"),
        ("without a signature", unsigned.into_bytes(), "empty signature block"),
        ("no note", b"<html>".to_vec(), "directory is refused"),
        ("far too large", vec![b'x'; 2 << 20], "cannot be read"),
    ];
    for (what, bytes, says) in cases {
        fs::write(&place, bytes).expect("written");
        for command in ["sync", "refresh --force"] {
            let (verb, flag) = command.split_once(' ').unwrap_or((command, ""));
            let run = lab.patchrepo(&format!("distribution {verb} repo/distribution {flag}"));
            let outcome = run.outcome();
            assert_eq!(outcome.code, Some(0), "{what}\n{outcome}");
            outcome.says(says);
            assert_eq!(fs::read(lab.path(HELD)).expect("held"), second, "{what}");
        }
    }
    fs::remove_file(&place).expect("removed");
    sync(&lab);
    assert_eq!(fs::read(lab.path(HELD)).expect("held"), second, "it is not there any more");
    lab.patchrepo("distribution publish repo/distribution").done();
    lab.patchrepo("verify repo/distribution/public --authority authority.note").done();
}

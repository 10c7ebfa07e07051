//! The repository's programs are killed at every named point; readers accept what is published at
//! any moment, and the next run completes it.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use countersign_tests::Lab;
use countersign_tests::crash::{at_every_point, covers};
use countersign_tests::tree::snapshot;

/// What a public directory holds, but for what follows from the moment of signing.
#[derive(PartialEq, Eq, Debug)]
struct Published {
    sizes: Vec<Option<String>>,
    archives: BTreeSet<PathBuf>,
}

fn published(directory: &Path) -> Published {
    let size = |log: &str| {
        let text = fs::read_to_string(directory.join(log).join("checkpoint")).ok()?;
        text.lines().nth(1).map(str::to_owned)
    };
    let files = snapshot(directory, &[]).into_keys();
    let is_archive = |path: &PathBuf| path.extension().is_some_and(|ending| ending == "patch");
    Published {
        sizes: ["collection", "distribution"].into_iter().map(size).collect(),
        archives: files.filter(is_archive).collect(),
    }
}

/// Kills `command` everywhere. Whatever `public` holds then must be good for readers, if anything
/// was published before, and the rerun must end where an undisturbed run ends.
fn killed_anywhere(lab: &Lab, state: &str, public: &str, command: &str) {
    let directory = lab.path(public);
    let verify = || lab.patchrepo("verify --authority authority.note").arg(public);
    let readable = directory.join("distribution/checkpoint").exists();
    let mut found = Vec::new();
    let run = || lab.patchrepo(command);
    let points = at_every_point(lab, state, run, |point| {
        if readable {
            let outcome = verify().outcome();
            assert_eq!(outcome.code, Some(0), "{command} killed at {point}\n{outcome}");
        }
        let rerun = run().outcome();
        assert_eq!(rerun.code, Some(0), "{command} killed at {point}, run again\n{rerun}");
        found.push((point.clone(), published(&directory)));
    });
    let after = published(&directory);
    for (point, rerun) in found {
        assert_eq!(rerun, after, "{command} killed at {point} and run again");
    }
    println!("{command}: killed at {points} points");
}

#[test]
fn publishing_is_completed_by_the_next_run() {
    let lab = Lab::with_repository();
    lab.tree("one").program("opt/acme/agent", "one").file("opt/acme/data", "data");
    lab.tree("two").program("opt/acme/agent", "two").file("opt/acme/data", "data");
    for (tree, version) in [("one", "1.0.0"), ("two", "2.0.0")] {
        lab.collect(&format!("{tree} --version {version}"));
        let public = "repo/distribution/public";
        let collected = "repo/collection/public";
        killed_anywhere(&lab, "repo/collection", collected, "collection publish repo/collection");
        killed_anywhere(&lab, "repo/distribution", public, "distribution sync repo/distribution");
        let release =
            format!("distribution release repo/distribution acme-agent@{version} --ring stable");
        killed_anywhere(&lab, "repo/distribution", public, &release);
        killed_anywhere(
            &lab,
            "repo/distribution",
            public,
            "distribution publish repo/distribution",
        );
        lab.patchrepo("verify --authority authority.note").arg(public).done();
        let server = lab.serve(public);
        fs::create_dir_all(lab.path("mirror")).expect("made");
        let sync = format!("mirror sync {} mirror --authority authority.note", server.url());
        killed_anywhere(&lab, "mirror", "mirror", &sync);
    }
    // a new authority note, which the served heads satisfy
    lab.patchrepo("authority change repo/authority --valid-for 99d").done();
    lab.patchrepo("authority sign repo/authority").done();
    lab.patchrepo("authority publish repo/authority").done();
    for role in ["collection", "distribution"] {
        let (state, public) = (format!("repo/{role}"), format!("repo/{role}/public"));
        killed_anywhere(&lab, &state, &public, &format!("{role} publish repo/{role}"));
    }
    covers("crash_publisher");
}

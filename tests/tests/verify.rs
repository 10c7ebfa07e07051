//! `patchrepo verify` notices any changed byte of a repository that the real programs made.

use std::fs;
use std::path::{Path, PathBuf};

use countersign_fixtures::pack_entries;
use countersign_tests::Lab;
use countersign_tests::tree::snapshot;

const PUBLIC: &str = "repo/distribution/public";

/// A repository with two versions and both kinds of patch.
fn repository() -> Lab {
    let lab = Lab::with_repository();
    lab.tree("one").program("opt/acme/agent", "one").file("opt/acme/data", "data");
    lab.tree("two").program("opt/acme/agent", "two").file("opt/acme/data", "data");
    lab.collect("one --version 1.0.0");
    lab.release("acme-agent@1.0.0");
    lab.collect("two --version 2.0.0");
    lab.collect("two --version 2.0.0 --against one --base =1.0.0");
    lab.release("acme-agent@2.0.0");
    lab
}

#[test]
fn any_changed_byte_is_found_on_disk_and_over_http() {
    let lab = repository();
    let server = lab.serve(PUBLIC);
    let places = [PUBLIC, server.url()];
    let verify = |place: &str| lab.patchrepo("verify --authority authority.note").arg(place);
    for place in places {
        verify(place).done();
    }
    let files = snapshot(&lab.path(PUBLIC), &[]);
    let files: Vec<PathBuf> = files
        .into_iter()
        .filter(|(_, what)| what.starts_with("file"))
        .map(|(path, _)| path)
        .collect();
    let mut changes = 0;
    for path in &files {
        let file = lab.path(PUBLIC).join(path);
        let good = fs::read(&file).expect("a published file");
        let places_in_file = [0, good.len() / 3, good.len() - 1];
        for (number, at) in places_in_file.into_iter().enumerate() {
            let mut bad = good.clone();
            bad[at] ^= 1;
            fs::write(&file, &bad).expect("written");
            // over HTTP once a file, since the checks are the same, and only what a reader comes to:
            // nobody can list what else a web server has
            let over_http = number == 1 && !lab.is_of_earlier_head(PUBLIC, path);
            if is_pack_of_the_same(path, &good, &bad) {
                verify(PUBLIC).done();
                continue;
            }
            for place in &places[..if over_http { 2 } else { 1 }] {
                let outcome = verify(place).outcome();
                let shown = path.display().to_string();
                assert_ne!(outcome.code, Some(0), "byte {at} of {shown}\n{outcome}");
                let outcome = outcome.says(&shown);
                assert!(outcome.code.is_some_and(|code| code < 100), "{outcome}");
                changes += 1;
            }
        }
        fs::write(&file, &good).expect("written");
    }
    verify(PUBLIC).done();
    println!("{changes} changes in {} files, all found", files.len());
}

/// Whether a pack has the same entries as before: a byte of its compressed form may mean nothing.
fn is_pack_of_the_same(path: &Path, good: &[u8], bad: &[u8]) -> bool {
    let is_pack = path.components().any(|part| part.as_os_str() == "pack");
    is_pack && pack_entries(good) == pack_entries(bad)
}

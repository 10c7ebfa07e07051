//! A reader written in another language from the public documents alone agrees with the project.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use countersign_fixtures::{PatchSpec, Payload, Repository, RepositoryBuilder};
use countersign_format::key::Vkey;
use countersign_format::layout::{self, Log, RepoPath};
use countersign_format::signature::Signer as _;
use countersign_tests::programs::workspace;
use countersign_tests::tree::snapshot;
use countersign_tests::{Lab, Outcome, Run};

/// Whether there is a Python to run the reader with. A build machine must have one.
fn has_python() -> bool {
    let has = Command::new("python3").arg("--version").output().is_ok_and(|o| o.status.success());
    assert!(has || std::env::var_os("CI").is_none(), "python3 is not installed");
    if !has {
        eprintln!("skipped: python3 is not installed");
    }
    has
}

/// The independent reader with these words.
fn reader(lab: &Lab, line: &str) -> Run {
    let script = workspace().join("tests/independent/read_log.py");
    Run::new(Path::new("python3"), "", lab.directory()).arg(script).words(line)
}

/// A repository of 600 entries and one released patch, written below the laboratory.
fn repository(lab: &Lab) -> (Repository, u64) {
    let mut repository = RepositoryBuilder::new().build();
    repository.collect_history(599);
    let payload = Payload::new().file("opt/acme/agent", "version one");
    let index = repository.collect(&PatchSpec::full("acme-agent", "1.0.0", &payload));
    repository.release(&[index]);
    repository.publish();
    repository.write_to(&lab.path("public"));
    (repository, index)
}

/// The two servers' keys.
fn keys(repository: &Repository) -> (Vkey, Vkey) {
    let key = |server: &countersign_fixtures::Server| {
        let signer = server.signer();
        Vkey::server(signer.name().clone(), signer.public_key().clone())
    };
    (key(&repository.collections[0]), key(&repository.distributions[0]))
}

fn read_collection(lab: &Lab, repository: &Repository) -> Outcome {
    let (collection, distribution) = keys(repository);
    let line = format!("log public collection --key {collection} --cosigner {collection}");
    reader(lab, &line).arg("--cosigner").arg(distribution.to_string()).outcome()
}

#[test]
fn its_own_arithmetic_is_that_of_the_rfc() {
    if !has_python() {
        return;
    }
    reader(&Lab::new(), "self-test").done();
}

#[test]
fn reads_both_logs_and_every_entry() {
    if !has_python() {
        return;
    }
    let lab = Lab::new();
    let (repository, _) = repository(&lab);
    let (collection, distribution) = keys(&repository);
    let read = read_collection(&lab, &repository).exits(0).json();
    assert_eq!(read["size"], 600);
    assert_eq!(read["entries"]["patch/v1"], 600);
    for key in [&collection, &distribution] {
        assert_eq!(read["cosigned"][key.name.as_str()], repository.now.seconds());
    }
    let line = format!("log public distribution --key {distribution} --cosigner {distribution}");
    let read = reader(&lab, &line).done().json();
    assert_eq!((&read["size"], &read["entries"]["release/v1"]), (&1.into(), &1.into()));
}

#[test]
fn reads_a_patch_note_with_both_signatures() {
    if !has_python() {
        return;
    }
    let lab = Lab::new();
    let (repository, _) = repository(&lab);
    let (collection, distribution) = keys(&repository);
    let note = find(&lab.path("public/patches"), "note");
    let line = format!("--collection {collection} --distribution {distribution}");
    let read = |path: &Path| reader(&lab, "patch-note").arg(path).words(&line).outcome();
    assert_eq!(read(&note).exits(0).json()["name"], "acme-agent");
    let swapped = format!("--collection {distribution} --distribution {collection}");
    reader(&lab, "patch-note").arg(&note).words(&swapped).exits(1);
    // the countersignature covers the first signature too: neither stands alone
    let text = fs::read_to_string(&note).expect("a note");
    let doubled = text.replacen("\n\n", "\n\n— somebody else AAAAAAAA\n", 1);
    fs::write(&note, doubled.replacen(" else ", "-else ", 1)).expect("written");
    read(&note).exits(0);
    let lines: Vec<&str> = text.lines().collect();
    fs::write(&note, format!("{}\n\n{}\n", lines[0], lines[2])).expect("written");
    read(&note).exits(1).says("no signature of patches.example.org/distribution");
    fs::write(&note, format!("{}\n\n{}\n", lines[0], lines[3])).expect("written");
    read(&note).exits(1).says("no signature of patches.example.org/collection");
}

#[test]
fn notices_a_changed_bit_in_any_file_of_a_log() {
    if !has_python() {
        return;
    }
    let lab = Lab::new();
    let (repository, _) = repository(&lab);
    let read_by_it = |path: &&RepoPath| {
        let path = path.as_str();
        path == "collection/checkpoint" || path.starts_with("collection/tile/")
    };
    let width = u16::try_from(600 % 256).expect("below 256");
    let current: Vec<RepoPath> = [0, 1, 2]
        .iter()
        .flat_map(|&index| {
            let width = if index < 2 { 256 } else { width };
            [
                layout::tile(Log::Collection, 0, index, width),
                layout::bundle(Log::Collection, index, width),
            ]
        })
        .chain([layout::tile(Log::Collection, 1, 0, 2), layout::checkpoint(Log::Collection)])
        .collect();
    assert!(
        current.iter().all(|path| repository.files().keys().filter(read_by_it).any(|p| p == path))
    );
    for path in current {
        let file = lab.path("public").join(&path);
        let good = fs::read(&file).expect("a published file");
        for at in [0, good.len() / 2, good.len() - 1] {
            let mut bad = good.clone();
            bad[at] ^= 1;
            fs::write(&file, bad).expect("written");
            let read = read_collection(&lab, &repository);
            assert_eq!(read.code, Some(1), "byte {at} of {path}\n{read}");
        }
        fs::write(&file, good).expect("written");
    }
    read_collection(&lab, &repository).exits(0);
}

#[test]
fn reads_what_the_real_programs_publish() {
    if !has_python() {
        return;
    }
    let lab = Lab::with_repository();
    lab.tree("one").program("opt/acme/agent", "one").file("opt/acme/data", "data");
    lab.tree("two").program("opt/acme/agent", "two").file("opt/acme/data", "data");
    lab.collect("one --version 1.0.0");
    lab.release("acme-agent@1.0.0");
    lab.collect("two --version 2.0.0");
    lab.release("acme-agent@2.0.0");
    let (collection, distribution) = listed_keys(&lab);
    let public = "repo/distribution/public";
    let server = lab.serve(public);
    for place in [public, server.url()] {
        let cosigners = format!("--cosigner {collection} --cosigner {distribution}");
        let line = format!("log {place} collection --key {collection} {cosigners}");
        let read = reader(&lab, &line).done().json();
        assert_eq!(read["entries"]["patch/v1"], 2);
        let line = format!("log {place} distribution --key {distribution}");
        let read = reader(&lab, &line).arg("--cosigner").arg(&distribution).done().json();
        assert_eq!(read["entries"]["release/v1"], 2);
    }
    let notes = find_all(&lab.path(public), "note");
    assert_eq!(notes.len(), 2);
    for note in &notes {
        let line = format!("--collection {collection} --distribution {distribution}");
        let read = reader(&lab, "patch-note").arg(note).words(&line).done().json();
        // an offline proof of the same entry
        let version = read["version"].as_str().expect("a version");
        let prove = format!("prove {public} acme-agent@{version} -o {version}.tlog-proof");
        lab.patchrepo(&prove).done();
        let proof = |note: &Path| {
            let line = format!("proof {version}.tlog-proof --key {collection} --patch-note");
            reader(&lab, &line).arg(note).words(&format!("--cosigner {distribution}"))
        };
        proof(note).done();
        let other = notes.iter().find(|other| *other != note).expect("there are two");
        proof(other).exits(1).says("does not lead from the entry to the signed root");
    }
}

/// The two servers' keys, as the authority's first note lists them.
fn listed_keys(lab: &Lab) -> (String, String) {
    let note = fs::read_to_string(lab.path("authority.note")).expect("the authority's note");
    let (text, _) = note.rsplit_once("\n\n").expect("a note has signatures");
    let text: serde_json::Value = serde_json::from_str(text).expect("its text is JSON");
    let key = |role: &serde_json::Value| {
        role["keys"][0]["vkey"].as_str().expect("a role has a key").to_owned()
    };
    (key(&text["collection"]), key(&text["distributions"][0]))
}

/// The only file with this ending below a directory.
fn find(directory: &Path, ending: &str) -> PathBuf {
    let mut found = find_all(directory, ending);
    assert_eq!(found.len(), 1, "{found:?}");
    found.remove(0)
}

/// All files with this ending below a directory.
fn find_all(directory: &Path, ending: &str) -> Vec<PathBuf> {
    let is_wanted = |path: &PathBuf| path.extension().is_some_and(|found| found == ending);
    let below = snapshot(directory, &[]).into_keys().filter(is_wanted);
    below.map(|path| directory.join(path)).collect()
}

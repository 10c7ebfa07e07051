//! What an attacker who owns the web server, the distribution or a file makes of a patch: the real
//! program refuses it, says which signature of whom is wrong, and touches nothing.

mod common;

use std::path::PathBuf;

use common::{Machine, full, read, repository, two_versions};
use countersign_fixtures::{PatchSpec, Payload, Repository, Server};
use countersign_format::entry::PatchEntry;
use countersign_format::hash::Hash32;
use countersign_format::key::SignatureType;
use countersign_format::layout::{self, Log, RepoPath};
use countersign_format::merkle::{leaf_hash, node_hash};
use countersign_format::note::Note;
use countersign_format::proof::Proof;
use countersign_format::signature::{countersign, sign_note};

const COLLECTION: &str = "patches.example.org/collection";
const DISTRIBUTION: &str = "patches.example.org/distribution";

fn collection() -> Server {
    Server::new(COLLECTION, 1)
}

fn distribution() -> Server {
    Server::new(DISTRIBUTION, 1)
}

fn entry(repository: &Repository, index: usize) -> PatchEntry {
    PatchEntry::parse(&repository.collection.entries()[index]).expect("a patch")
}

fn hash(repository: &Repository, index: usize) -> Hash32 {
    entry(repository, index).archive.sha256
}

/// The note of 1.0.0.
fn note_path(repository: &Repository) -> RepoPath {
    layout::patch_note(&hash(repository, 0))
}

/// A machine that is enrolled with the honest repository, served by an attacker from then on.
fn attacked(honest: &Repository, spoil: impl FnOnce(&mut Repository)) -> Machine {
    let machine = Machine::enrolled(honest);
    let mut spoilt = honest.clone();
    spoil(&mut spoilt);
    machine.publish(&spoilt);
    machine
}

#[track_caller]
fn refuses(machine: &Machine, says: &[&str]) {
    let ended = machine.run(&["install", "acme-agent@1.0.0", "--yes"]).code(10);
    says.iter().fold(ended, |ended, text| ended.says(text)).says("hint:");
    assert!(!machine.root("opt").exists() && !machine.root("etc/acme.conf").exists());
    assert_eq!(machine.json(&["list", "--installed"])["patches"], serde_json::json!([]));
    assert_eq!(machine.json(&["history"])["transactions"], serde_json::json!([]));
}

#[test]
fn a_note_that_one_party_did_not_sign_is_refused_by_name() {
    let honest = two_versions();
    let path = note_path(&honest);
    let layer = format!("layer 2 (archive): {path}");
    let first = attacked(&honest, |it| it.drop_lines(&path, &collection(), SignatureType::Note));
    refuses(&first, &[&layer, "the collection's signature is missing"]);
    let second = attacked(&honest, |it| {
        it.drop_lines(&path, &distribution(), SignatureType::Countersignature);
    });
    refuses(&second, &[&layer, "the distribution main's countersignature is missing"]);
    let neither = attacked(&honest, |it| {
        it.edit_note(&path, |note| {
            let stranger = Server::new("elsewhere.example/collection", 1);
            let line = sign_note(&stranger.signer(), note.text()).expect("signs");
            Note::new(note.text().to_owned(), vec![line])
        });
    });
    refuses(
        &neither,
        &[
            "the collection's signature is missing: none is by patches.example.org/collection (ID ",
            "the distribution main's countersignature is missing: none is by",
        ],
    );
    let empty = attacked(&honest, |it| {
        it.edit(&path, |bytes| {
            let end = bytes.windows(2).rposition(|pair| pair == b"\n\n").expect("a note");
            bytes.truncate(end + 2);
        });
    });
    refuses(&empty, &[&layer, "empty signature block"]);
}

#[test]
fn a_line_that_does_not_verify_is_refused_with_its_key() {
    let honest = two_versions();
    let path = note_path(&honest);
    let spoilt = attacked(&honest, |it| it.spoil_lines(&path, &collection(), SignatureType::Note));
    refuses(
        &spoilt,
        &["the collection's signature by key patches.example.org/collection", "wrong"],
    );
    let spoilt = attacked(&honest, |it| {
        it.spoil_lines(&path, &distribution(), SignatureType::Countersignature);
    });
    refuses(&spoilt, &["countersignature by key patches.example.org/distribution", "wrong"]);
}

#[test]
fn a_note_of_another_patch_is_refused() {
    let honest = two_versions();
    let path = note_path(&honest);
    let other = honest.files()[&layout::patch_note(&hash(&honest, 1))].clone();
    let swapped = attacked(&honest, |it| it.edit(&path, |bytes| *bytes = other));
    refuses(&swapped, &["is not entry 0 of the collection's log"]);
}

#[test]
fn a_taken_over_distribution_cannot_install_what_the_collection_did_not_sign() {
    // the case of 20 March 2013: its host and its key are the attacker's
    let honest = two_versions();
    let machine = Machine::enrolled(&honest);
    machine.run(&["install", "acme-agent@1.0.0", "--yes"]).success();
    let evil = PatchSpec::full("acme-agent", "9.9.9", &Payload::new().file("opt/evil", "evil"));

    // it puts an entry into the log and signs what it can
    let mut pushed = honest.clone();
    pushed.collections = vec![Server::new(COLLECTION, 9)];
    pushed.collect(&evil);
    pushed.publish();
    machine.publish(&pushed);
    machine
        .run(&["update"])
        .code(10)
        .says("layer 1 (index): collection/checkpoint")
        .says("the collection's timestamped signature is missing");
    machine.run(&["upgrade", "--yes"]).success().says("1.1.0");

    // it replaces an archive, and signs the note again
    let honest = two_versions();
    let mut replaced = honest.clone();
    let (bytes, announced) = evil.archive();
    replaced.edit(&layout::archive(&hash(&honest, 0)), |archive| *archive = bytes.clone());
    let machine = attacked(&honest, |it| *it = replaced);
    refuses(&machine, &["layer 2 (archive)", "SHA-256"]);

    // it hands the patch out as a file with its own signatures on the note
    let text = {
        let mut entry = entry(&honest, 0);
        entry.version = "9.9.9".parse().expect("a version");
        (entry.archive.sha256, entry.archive.size) = (announced.sha256, announced.size);
        (entry.archive.unpacked, entry.archive.files) = (announced.unpacked, announced.files);
        let entry = countersign_format::entry::CollectionEntry::Patch(Box::new(entry));
        String::from_utf8(entry.to_bytes().expect("a short entry")).expect("JSON")
    };
    let own = sign_note(&Server::new(COLLECTION, 9).signer(), &text).expect("signs");
    let note = Note::new(text, vec![own.clone()]);
    let second = countersign(&distribution().signer(), &note, &[own]).expect("signs");
    let files = files(&machine, "evil", &bytes, &note.with([second]), None);
    machine
        .run(&["install", &files, "--yes"])
        .code(10)
        .says("layer 2 (archive)")
        .says("the collection's signature is missing")
        .says("taken over");
    assert!(!machine.root("opt").exists());
}

/// Writes `NAME.patch` and `NAME.note`, and a proof, and returns the path of the first.
fn files(
    machine: &Machine,
    name: &str,
    archive: &[u8],
    note: &Note,
    proof: Option<&Proof>,
) -> String {
    let path: PathBuf = machine.path(&format!("{name}.patch"));
    std::fs::write(&path, archive).expect("written");
    std::fs::write(path.with_extension("note"), note.to_bytes()).expect("written");
    if let Some(proof) = proof {
        std::fs::write(path.with_extension("tlog-proof"), proof.to_bytes()).expect("written");
    }
    path.to_str().expect("UTF-8").to_owned()
}

fn local(machine: &Machine, from: &Repository, index: usize, proof: Option<&Proof>) -> String {
    let hash = hash(from, index);
    let patch = &from.files()[&layout::archive(&hash)];
    let note = from.note(&layout::patch_note(&hash));
    files(machine, &format!("local-{index}"), patch, &note, proof)
}

#[test]
fn files_pass_the_same_gates_as_names() {
    let mut honest = two_versions();
    let machine = Machine::enrolled(&honest);
    std::fs::remove_dir_all(machine.path("public")).expect("no server any more");
    let file = local(&machine, &honest, 0, None);
    machine.run(&["--offline", "install", &file, "--yes"]).success();
    assert_eq!(read(machine.root("opt/acme/agent")), "1.0.0");
    // the incremental one goes on from there, and a stale index stops no file
    machine.age(4 * 86_400, &honest);
    let file = local(&machine, &honest, 2, None);
    machine.run(&["--offline", "install", &file, "--yes"]).success();
    assert_eq!(read(machine.root("opt/acme/agent")), "1.1.0");
    // once it is revoked, a file does not bring it back
    machine.run(&["remove", "acme-agent", "--yes"]).success();
    honest.revoke(1, "breaks the spooler");
    honest.publish();
    machine.publish(&honest);
    machine.run(&["update"]).success();
    let file = local(&machine, &honest, 1, None);
    machine.run(&["install", &file, "--yes"]).code(4).says("breaks the spooler");
    // a changed archive
    let file = local(&machine, &honest, 0, None);
    let mut bytes = std::fs::read(&file).expect("a file");
    *bytes.last_mut().expect("not empty") ^= 1;
    std::fs::write(&file, bytes).expect("written");
    machine.run(&["install", &file, "--yes"]).code(10).says("acme-agent 1.0.0");
    std::fs::remove_file(machine.path("local-0.note")).expect("removed");
    machine.run(&["install", &file, "--yes"]).code(1).says("local-0.note");
    assert!(!machine.root("opt/acme").exists());
}

#[test]
fn a_file_that_was_not_released_is_refused() {
    let mut repository = repository();
    let index = repository.collect(&full("acme-agent", "1.0.0"));
    repository.publish();
    let machine = Machine::enrolled(&repository);
    let hash = hash(&repository, usize::try_from(index).expect("small"));
    let note = Note::parse(&repository.collection_files()[&layout::patch_note(&hash)], usize::MAX);
    let patch = &repository.collection_files()[&layout::archive(&hash)];
    let file = files(&machine, "early", patch, &note.expect("a note"), None);
    machine.run(&["install", &file, "--yes"]).code(10).says("countersignature is missing");
}

#[test]
fn a_proof_stands_for_the_log_that_is_not_held_yet() {
    let mut repository = repository();
    let one = repository.collect(&full("acme-agent", "1.0.0"));
    repository.release(&[one]);
    repository.publish();
    let machine = Machine::enrolled(&repository);
    let two = repository.collect(&full("acme-agent", "1.1.0"));
    repository.release(&[two]);
    repository.publish();
    let leaves: Vec<Hash32> =
        repository.collection.entries().iter().map(|entry| leaf_hash(entry)).collect();
    let checkpoint = repository.note(&layout::checkpoint(Log::Collection));
    assert_eq!(
        node_hash(&leaves[0], &leaves[1]),
        repository.collection.head(&COLLECTION.parse().expect("a name"), 2).root
    );
    let proof = Proof { index: 1, hashes: vec![leaves[0]], checkpoint };

    let bare = local(&machine, &repository, 1, None);
    machine.run(&["install", &bare, "--yes"]).code(10).says("tlog-proof is not there");
    let mut other = proof.clone();
    other.hashes = vec![leaves[1]];
    let wrong = local(&machine, &repository, 1, Some(&other));
    machine.run(&["install", &wrong, "--yes"]).code(10).says("does not prove");
    let mut unsigned = proof.clone();
    unsigned.checkpoint =
        Note::new(proof.checkpoint.text().to_owned(), proof.checkpoint.signatures()[..1].to_vec());
    let wrong = local(&machine, &repository, 1, Some(&unsigned));
    machine.run(&["install", &wrong, "--yes"]).code(10).says("timestamped signature is missing");
    let good = local(&machine, &repository, 1, Some(&proof));
    machine.run(&["install", &good, "--yes"]).success();
    assert_eq!(read(machine.root("opt/acme/agent")), "1.1.0");
}

#[test]
fn a_fork_is_kept_as_evidence_and_shown() {
    let honest = two_versions();
    let machine = Machine::enrolled(&honest);
    let mut fork = countersign_fixtures::RepositoryBuilder::new().now(honest.now.plus(1)).build();
    let others = ["a", "b", "c"].map(|name| {
        fork.collect(&PatchSpec::full(name, "1.0.0", &Payload::new().file("opt/x", name)))
    });
    fork.release(&others);
    fork.release(&others[..1]);
    fork.publish();
    let mut fork_of_the_same_authority = fork.clone();
    let first = honest.files()[&layout::authority(1)].clone();
    fork_of_the_same_authority.edit(&layout::authority(1), |bytes| *bytes = first);
    machine.publish(&fork_of_the_same_authority);
    machine.run(&["update"]).code(12).says("fork").says("evidence").says("operators");
    let evidence = machine.json(&["status"])["evidence"].clone();
    assert_eq!(evidence.as_array().map(Vec::len), Some(1));
    let case = PathBuf::from(evidence[0].as_str().expect("a path"));
    assert!(["held", "found", "about"].iter().all(|file| case.join(file).is_file()));
    machine.run(&["upgrade", "--yes"]).success();
}

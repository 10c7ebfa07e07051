//! Threats D1 to D3, D6 and D7: what the owner of a host gets.

use std::fs;
use std::path::PathBuf;

use countersign_fixtures::{PatchSpec, Payload, Server};
use countersign_format::entry::{CollectionEntry, PatchEntry};
use countersign_format::key::SignatureType;
use countersign_format::layout;
use countersign_format::note::Note;
use countersign_format::signature::countersign;
use countersign_tests::Lab;
use countersign_tests::tree::snapshot;

use crate::kit::{
    COLLECTION, COLLECTION_HEAD, DAY, Scene, authority_keys, distribution, patch_note, released,
    signed,
};

fn malware() -> PatchSpec {
    PatchSpec::full("acme-agent", "9.9.9", &Payload::new().file("opt/acme/agent", "malware"))
}

/// D1: 20 March 2013. The distribution's host and key are the attacker's, and nothing that the
/// collection did not sign installs.
#[test]
fn a_taken_over_distribution_installs_nothing_of_its_own() {
    let scene = Scene::with_offer();
    // a patch in the log, under the distribution's signatures and a key that the thief made
    let mut pushed = scene.honest.clone();
    pushed.wait(10);
    pushed.collections = vec![Server::new(COLLECTION, 9)];
    pushed.collect(&malware());
    pushed.publish();
    let missing = "the collection's timestamped signature is missing: none is by";
    scene.refuses(&pushed, "update", 10, &[COLLECTION_HEAD, missing, COLLECTION]);
    let path = patch_note(&scene.honest, 1);
    let entry = PatchEntry::parse(&scene.honest.collection.entries()[1]).expect("a patch");
    let (bytes, announced) = malware().archive();
    // another note for it, under the distribution's own countersignature
    let mut own = entry.clone();
    own.version = "9.9.9".parse().expect("a version");
    (own.archive.sha256, own.archive.size) = (announced.sha256, announced.size);
    let text = CollectionEntry::Patch(Box::new(own)).to_bytes().expect("a short entry");
    let text = String::from_utf8(text).expect("JSON is UTF-8");
    let first = signed(&distribution(), &text);
    let note = Note::new(text, vec![first.clone()]);
    let second = countersign(&distribution().signer(), &note, &[first]).expect("signs");
    let mut replaced = scene.honest.clone();
    let note = note.with([second]).to_bytes();
    replaced.edit(&path, |bytes| *bytes = note);
    let layer = format!("layer 2 (archive): {path} is refused");
    let missing = "the collection's signature is missing";
    scene.refuses(&replaced, "upgrade", 10, &[&layer, missing, "may have been taken over"]);
    // another archive under the signed note
    let mut swapped = scene.honest.clone();
    swapped.edit(&layout::archive(&entry.archive.sha256), |archive| *archive = bytes.clone());
    let archive = format!("layer 2 (archive): {}", layout::archive(&entry.archive.sha256));
    let other = "is not the archive whose SHA-256 both parties signed";
    scene.refuses(&swapped, "upgrade", 10, &[&archive, other]);
    // it can hold machines where they are, up to `max_age`
    scene.serve(&scene.honest);
    scene.lab.endpoint("update").done();
    let too_late = scene.honest.now.plus(3 * DAY + 60).seconds().to_string();
    scene.lab.endpoint("update").env("COUNTERSIGN_CLOCK", &too_late).exits(11);
    scene.lab.endpoint("upgrade").done().says("1.1.0");
}

/// D2: the collection's host and key are the attacker's. The distribution shows what is new and by
/// which key, and nothing of it reaches a machine before a person releases it.
#[test]
fn a_taken_over_collection_installs_nothing_without_the_distribution() {
    let lab = Lab::with_repository();
    lab.tree("tree").program("opt/acme/agent", "one");
    lab.collect("tree --version 1.0.0");
    lab.release("acme-agent@1.0.0");
    let server = lab.serve("repo/distribution/public");
    lab.enroll(server.url());
    lab.endpoint("install acme-agent").done();
    fs::write(lab.path("tree/opt/acme/agent"), "malware").expect("written");
    lab.collect("tree --version 9.9.9");
    lab.patchrepo("collection publish repo/collection").done();
    let sync = lab.patchrepo("distribution sync repo/distribution").done();
    sync.says("acme-agent@9.9.9").says("patches.example.org/collection");
    lab.patchrepo("distribution refresh repo/distribution --force").done();
    lab.patchrepo("distribution publish repo/distribution").done();
    let before = lab.installed();
    lab.endpoint("update").done().says("nothing waits");
    lab.endpoint("upgrade").done();
    lab.endpoint("install acme-agent@9.9.9").exits(4).says("acme-agent");
    // carried there by hand, with the first signature
    let patches = snapshot(&lab.path("repo/collection/public/patches"), &[]).into_keys();
    let patches = patches.filter(|path| path.extension().is_some());
    let public = lab.path("repo/distribution/public/patches");
    let held: Vec<PathBuf> = patches.filter(|path| !public.join(path).exists()).collect();
    assert_eq!(held.len(), 2, "archive and note: {held:?}");
    for path in held {
        let ending = path.extension().expect("it has one");
        let from = lab.path("repo/collection/public/patches").join(&path);
        fs::copy(from, lab.path("carried").with_extension(ending)).expect("copied");
    }
    lab.endpoint("install ./carried.patch")
        .exits(10)
        .says("layer 2 (archive)")
        .says("the distribution main's countersignature is missing");
    assert!(lab.installed() == before);
}

/// D3: a mirror is the attacker's. It can refuse service, and the next server has the truth.
#[test]
fn a_taken_over_mirror_refuses_service_and_no_more() {
    let scene = Scene::new();
    let (mirror, server) = scene.mirror();
    let next = released(scene.honest.clone(), "1.2.0");
    let mut spoilt = next.clone();
    let path = patch_note(&next, 1);
    spoilt.drop_lines(&path, &distribution(), SignatureType::Countersignature);
    spoilt.write_to(&mirror);
    scene.serve(&next);
    scene.lab.endpoint("update").done();
    let missing = "the distribution main's countersignature is missing";
    scene.lab.endpoint("upgrade").done().says("1.2.0").says(server.url()).says(missing);
    // nothing at all
    fs::remove_dir_all(&mirror).expect("removed");
    fs::create_dir(&mirror).expect("made");
    scene.serve(&released(next, "1.3.0"));
    scene.lab.endpoint("update").done().says(server.url());
    scene.lab.endpoint("upgrade").done().says("1.3.0");
}

/// D6: a revoked patch is never installed; where it is installed, it is said.
#[test]
fn a_recalled_patch_is_not_installed_and_is_said_where_it_is() {
    let scene = Scene::with_offer();
    let mut recalled = scene.honest.clone();
    recalled.wait(10);
    recalled.revoke(0, "breaks the spooler");
    recalled.revoke(1, "opens a door");
    recalled.publish();
    scene.serve(&recalled);
    scene.lab.endpoint("update").done();
    for command in ["status", "check", "audit"] {
        scene.lab.endpoint(command).outcome().says("breaks the spooler");
    }
    let before = scene.standing();
    scene.lab.endpoint("upgrade").outcome();
    let refused = scene.lab.endpoint("install acme-agent@1.1.0").exits(4).says("opens a door");
    scene.is_as(&before, &refused);
    scene.lab.endpoint("remove acme-agent").done();
    scene.lab.endpoint("install acme-agent@1.0.0").exits(4).says("breaks the spooler");
    assert!(!scene.lab.path("endpoint/opt/acme/agent").exists());
}

/// D7: who can write the state cannot make the machine trust other keys; who can write the cache
/// cannot make it install other bytes.
#[test]
fn a_changed_state_or_cache_is_caught() {
    let scene = Scene::with_offer();
    let connection = || {
        let database = scene.lab.path("endpoint/var/lib/patchctl/state.db");
        rusqlite::Connection::open(database).expect("a state")
    };
    let note = || -> Vec<u8> {
        let all = "SELECT note FROM authority_note WHERE version = 1";
        connection().query_row(all, [], |row| row.get(0)).expect("a note")
    };
    let genuine = note();
    // a note of the thief's own keys, and one with another key in it
    let mut foreign = scene.honest.clone();
    foreign.authority.version = 0;
    foreign.authority.authority.keys = countersign_fixtures::AuthorityKeys::numbered(90, 3).vkeys();
    foreign.authority_keys = countersign_fixtures::AuthorityKeys::numbered(90, 3);
    foreign.publish_authority(&authority_keys());
    let thiefs = foreign.files()[&layout::authority(1)].clone();
    let text = String::from_utf8(genuine.clone()).expect("text");
    let altered = text.replacen("\"version\": 1", "\"version\": 2", 1).into_bytes();
    assert_ne!(altered, genuine);
    for other in [thiefs, altered] {
        let change = "UPDATE authority_note SET note = ?1 WHERE version = 1";
        connection().execute(change, [&other]).expect("changed");
        for command in ["update", "upgrade", "install acme-agent@1.1.0"] {
            let outcome = scene.lab.endpoint(command).exits(10);
            outcome.says("authority").says("hint:");
        }
        connection().execute(change, [&genuine]).expect("changed back");
    }
    // an archive that was fetched and is swapped in the cache
    scene.lab.endpoint("download acme-agent@1.1.0").done();
    let cache = scene.lab.path("endpoint/var/cache/patchctl");
    let files = snapshot(&cache, &[]).into_keys().map(|path| cache.join(path));
    let archives: Vec<PathBuf> =
        files.filter(|path| path.extension().is_some_and(|ending| ending == "patch")).collect();
    assert!(!archives.is_empty(), "the archive is kept in the cache");
    for archive in &archives {
        fs::write(archive, malware().archive().0).expect("written");
    }
    let offline = scene.lab.endpoint("--offline upgrade").outcome();
    assert_ne!(offline.code, Some(0), "{offline}");
    let agent = || fs::read_to_string(scene.lab.path("endpoint/opt/acme/agent")).expect("a file");
    assert_eq!(agent(), "1.0.0");
    scene.lab.endpoint("upgrade").outcome();
    assert_ne!(agent(), "malware");
    scene.lab.endpoint("clean").outcome();
    scene.lab.endpoint("upgrade").outcome();
    assert_eq!(agent(), "1.1.0");
}

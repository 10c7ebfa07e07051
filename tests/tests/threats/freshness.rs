//! Threats B1 to B6: what is old, what is held back, and in what order things come.

use countersign_fixtures::{Repository, Server};
use countersign_format::key::SignatureType;
use countersign_format::layout::{self, Log};
use countersign_tests::lab::present;

use crate::kit::{
    COLLECTION, COLLECTION_HEAD, DAY, DISTRIBUTION_HEAD, Scene, authority_keys, collection, head,
    released, repository,
};

/// B1: an older head of either log, of both, or fewer entries under a new time.
#[test]
fn an_older_state_is_refused() {
    let old = repository();
    let scene = Scene::with(released(old.clone(), "1.1.0"));
    let behind = "10 s older than";
    let key = "patches.example.org/collection (ID";
    scene.refuses(&old, "update", 12, &[COLLECTION_HEAD, key, behind, "seen before"]);
    for (log, file) in [(Log::Collection, COLLECTION_HEAD), (Log::Distribution, DISTRIBUTION_HEAD)]
    {
        let mut mixed = released(scene.honest.clone(), "1.2.0");
        let stale = old.files()[&head(log)].clone();
        mixed.edit(&head(log), |bytes| *bytes = stale);
        scene.refuses(&mixed, "update", 12, &[file, "s older than", "seen before"]);
    }
    let mut smaller = old.clone();
    smaller.now = scene.honest.now.plus(10);
    smaller.publish();
    let fewer = "the collection log has 1 entries here, 2 were seen before: 1 fewer";
    scene.refuses(&smaller, "update", 12, &[fewer]);
    assert_eq!(scene.evidence(), Vec::<std::path::PathBuf>::new(), "a stale server proves nothing");
    scene.serve(&released(scene.honest.clone(), "1.2.0"));
    scene.lab.endpoint("update").done();
}

/// B1: where another server has the newer state, it is taken from there, and the stale one is named.
#[test]
fn the_next_server_is_asked() {
    let scene = Scene::with(released(repository(), "1.0.1"));
    let (mirror, server) = scene.mirror();
    repository().write_to(&mirror);
    scene.serve(&released(scene.honest.clone(), "1.2.0"));
    scene
        .lab
        .endpoint("update")
        .done()
        .says(server.url())
        .says("seen before")
        .says("1 new in the collection's log");
}

/// B1: two heads of one size with two roots; both are kept.
#[test]
fn two_heads_of_one_size_are_a_fork() {
    let before = repository();
    let scene = Scene::with(released(before.clone(), "1.1.0"));
    for log in Log::BOTH {
        let mut fork = before.clone();
        fork.wait(10);
        let fork = released(fork, "6.6.6");
        let mut shown = if log == Log::Collection { fork.clone() } else { scene.honest.clone() };
        shown.edit(&head(log), |bytes| *bytes = fork.files()[&head(log)].clone());
        let words = [format!("fork: two signed heads of the {log} log with 2 entries")];
        scene.refuses(&shown, "update", 12, &[&words[0], "is kept in", "key is in wrong hands"]);
        if log == Log::Collection {
            let held = &scene.honest.files()[&head(log)];
            scene.keeps_evidence(held, &fork.files()[&head(log)]);
        }
    }
    assert_eq!(scene.evidence().len(), 2, "one for each log");
    scene.serve(&released(scene.honest.clone(), "1.2.0"));
    scene.lab.endpoint("update").done();
}

/// B2: history below the held size rewritten by who has all keys, and entries that a server altered.
#[test]
fn entries_that_do_not_lead_to_the_signed_head_are_refused() {
    let scene = Scene::new();
    let mut other = present().build();
    for version in ["6.6.6", "6.6.7", "6.6.8"] {
        other = released(other, version);
    }
    let words = ["fork: the entries of the", "do not lead to the signed root", "is kept in"];
    scene.refuses(&other, "update", 12, &words);
    let mut altered = scene.next();
    altered.edit(&layout::bundle(Log::Collection, 0, 2), |bytes| {
        *bytes.last_mut().expect("entries") ^= 1;
    });
    altered.files_mut().remove(&layout::tail_pack(Log::Collection, 2));
    scene.refuses(&altered, "update", 12, &words);
    let cases = scene.evidence();
    let is_unproven = |case: &std::path::PathBuf| case.to_string_lossy().ends_with("-unproven");
    assert!(cases.len() == 2 && cases.iter().all(is_unproven), "{cases:?}");
    scene.heals();
}

/// B3: heads past their age. What is local goes on, and the next fresh head heals it.
#[test]
fn a_freeze_is_noticed_and_stops_nothing_local() {
    let scene = Scene::with_offer();
    let later = scene.honest.now.plus(4 * DAY).seconds().to_string();
    let run = |command: &str| scene.lab.endpoint(command).env("COUNTERSIGN_CLOCK", &later);
    let before = scene.standing();
    let age = "s old, the limit is 259200 s";
    let update = run("update").exits(11).says(COLLECTION_HEAD).says("the distribution main's");
    let update = update.says("patches.example.org/distribution (ID").says(age).says("hint:");
    scene.is_as(&before, &update);
    for command in ["upgrade", "install acme-agent@1.1.0"] {
        let refused = run(command).exits(11).says(age).says("hint:");
        scene.is_as(&before, &refused);
    }
    for command in ["list --installed", "verify", "history", "files acme-agent"] {
        run(command).done();
    }
    run("status").exits(11).says("4 d old");
    run("remove acme-agent").done();
    let mut fresh = scene.honest.clone();
    fresh.wait(4 * DAY);
    fresh.publish();
    scene.serve(&fresh);
    run("update").done();
    run("install acme-agent").done().says("1.1.0");
}

/// The collection's key of the first epoch is retired at `until`, and one of the second takes over.
fn rotated(mut repository: Repository, until: u64) -> Repository {
    let renewed = Server::new(COLLECTION, 2);
    repository.authority.collection.keys[0].until = Some(until);
    repository.authority.collection.keys.push(renewed.listed());
    repository.collections = vec![renewed];
    repository.publish_authority(&authority_keys());
    repository.wait(10);
    repository.publish();
    repository
}

/// B4: the note that retires a key is let through and the heads are held back, or the reverse.
#[test]
fn a_retirement_cannot_be_hidden_or_forgotten() {
    let scene = Scene::new();
    let rotated = rotated(scene.honest.clone(), 1);
    // the heads come, and name a note that is withheld
    let mut hidden = rotated.clone();
    hidden.files_mut().remove(&layout::authority(2));
    let missing = "the collection's timestamped signature is missing";
    scene.refuses(&hidden, "update", 10, &[COLLECTION_HEAD, missing]);
    assert_eq!(scene.authority_version(), 1);
    // the note comes, the heads are those of the retired key
    let mut held_back = scene.next();
    let note = rotated.files()[&layout::authority(2)].clone();
    held_back.files_mut().insert(layout::authority(2), note);
    let retired = "patches.example.org/collection (ID";
    let words = [COLLECTION_HEAD, retired, "is retired from index 1 on"];
    scene.refuses(&held_back, "update", 10, &words);
    assert_eq!(scene.authority_version(), 2, "the note is kept: it is a floor");
    // without the note too, from then on, and for what is held
    scene.refuses(&scene.next(), "update", 10, &words);
    scene.refuses_now("install acme-agent@1.0.0 --allow-stale", 10, &["is retired from index 1"]);
    scene.serve(&released(rotated, "1.1.0"));
    scene.lab.endpoint("update").done();
    scene.lab.endpoint("upgrade").done().says("1.1.0");
}

/// B4: a note that is withheld by a server that shows the heads of before is noticed at `max_age`, and
/// one that the heads name at once.
#[test]
fn a_withheld_note_is_noticed() {
    let scene = Scene::new();
    let mut named = scene.honest.clone();
    named.publish_authority(&authority_keys());
    named.wait(10);
    named.publish();
    named.files_mut().remove(&layout::authority(2));
    let words = ["of the distribution log names version 2 of the authority note", "not to be had"];
    scene.refuses(&named, "update", 11, &words);
    // another note than the one that was named, signed all the same
    let mut other = scene.honest.clone();
    other.authority.expires = other.authority.expires.plus(DAY);
    other.publish_authority(&authority_keys());
    let note = other.files()[&layout::authority(2)].clone();
    let mut swapped = named.clone();
    swapped.files_mut().insert(layout::authority(2), note);
    let words = ["names another version 2 of the authority note than the accepted one"];
    scene.refuses(&swapped, "update", 11, &words);
    // the old heads alone: noticed once they are too old
    let later = scene.honest.now.plus(3 * DAY + 3600).seconds().to_string();
    scene.serve(&scene.honest);
    let refused = scene.lab.endpoint("update").env("COUNTERSIGN_CLOCK", &later);
    refused.exits(11).says("s old, the limit is 259200 s");
}

/// B5: a stolen key signs a little ahead at every update; honest heads stay good.
#[test]
fn a_signer_that_runs_ahead_locks_nobody_out() {
    let scene = Scene::new();
    let mut now = scene.honest.now;
    for _ in 0..5 {
        now = now.plus(60);
        let mut ahead = scene.honest.clone();
        let collections = ahead.files()[&head(Log::Collection)].clone();
        ahead.now = now.plus(299);
        ahead.publish();
        ahead.edit(&head(Log::Collection), |bytes| *bytes = collections);
        scene.serve(&ahead);
        let clock = now.seconds().to_string();
        scene.lab.endpoint("update").env("COUNTERSIGN_CLOCK", &clock).done();
    }
    let mut honest = scene.honest.clone();
    honest.now = now.plus(300);
    honest.publish();
    scene.serve(&honest);
    let clock = honest.now.seconds().to_string();
    scene.lab.endpoint("update").env("COUNTERSIGN_CLOCK", &clock).done();
}

/// B6: a distribution that goes on cosigning an old head of the collection.
#[test]
fn an_old_collection_is_not_kept_alive_by_its_distribution() {
    let scene = Scene::new();
    let mut frozen = scene.honest.clone();
    frozen.wait(31 * DAY);
    let (path, old) = (head(Log::Collection), scene.honest.note(&head(Log::Collection)));
    frozen.publish();
    frozen.drop_lines(&path, &collection(), SignatureType::Cosignature);
    let own = old.signatures().iter().filter(|line| line.name == collection().id);
    let own: Vec<_> = own.filter(|line| line.body.len() == 72).cloned().collect();
    assert_eq!(own.len(), 1);
    frozen.edit_note(&path, |note| note.with(own));
    scene.serve(&frozen);
    let before = scene.standing();
    let clock = frozen.now.seconds().to_string();
    let refused = scene.lab.endpoint("update").env("COUNTERSIGN_CLOCK", &clock).exits(11);
    let refused = refused
        .says(COLLECTION_HEAD)
        .says("the collection's timestamped signature does not count")
        .says("patches.example.org/collection (ID")
        .says("s old, the limit is 2592000 s");
    scene.is_as(&before, &refused);
}

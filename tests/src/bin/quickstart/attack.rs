//! 20 March 2013: the distribution's host and key are taken, and malicious patches are pushed.

use std::fs;

use countersign_format::layout::{self, Log};
use countersign_tests::Background;
use countersign_tests::lab::RECORDS;
use countersign_tests::tree::{Snapshot, copy, replace, snapshot};

use crate::release;
use crate::stage::{NotAsTold, Stage, say};
use crate::thief::{self, Thief};

const HOST: &str = "repo/distribution";

type Attack = fn(&mut Stage, &Thief, &Background) -> Result<(), NotAsTold>;

/// Tells it.
pub fn chapter(stage: &mut Stage, server: &Background) -> Result<(), NotAsTold> {
    stage.chapter("20 March 2013: the distribution server is taken");
    say(
        "On that day malicious code went to some 26,000 machines through distribution servers that \
         they trusted. Here somebody takes the host of the distribution and its key: all of \
         repo/distribution is theirs, and the machines fetch from nowhere else.",
    );
    let before = machine(stage);
    let good = stage.path("good");
    copy(&stage.path(HOST), &good)?;
    let attacks: [Attack; 5] =
        [swapped_archive, forged_index, grafted_index, release_of_nothing, patch_by_hand];
    for attack in attacks {
        let thief = Thief::take(&stage.path(HOST))?;
        attack(stage, &thief, server)?;
        if machine(stage) != before {
            return Err("the attack changed the endpoint".into());
        }
        // the next attempt begins from what was there
        replace(&good, &stage.path(HOST))?;
    }
    say("Not a byte of the machine changed:");
    stage.run("patchctl --root endpoint verify")?;
    let printed = stage.run("endpoint/usr/bin/patchctl --version")?;
    if !printed.contains(release::OLD) {
        return Err("the endpoint has another version now".into());
    }
    Ok(())
}

fn swapped_archive(stage: &mut Stage, thief: &Thief, _: &Background) -> Result<(), NotAsTold> {
    say("First try: the archives are replaced, behind notes that are good.");
    thief.swap_archives(&thief::malware("countersign", "0.9.0")?)?;
    let new = release::next_version();
    stage.refuses(
        10,
        &["SHA-256"],
        &format!("patchctl --root endpoint --yes install countersign@{new}"),
    )
}

fn forged_index(stage: &mut Stage, thief: &Thief, server: &Background) -> Result<(), NotAsTold> {
    say("Second try: a patch of the thief's own. Its note has the stolen key's signature in both \
         places; it is appended to the index, whose head is signed with the same key; and it is \
         released.");
    let malware = thief::malware("countersign", "0.9.0")?;
    let note = thief.publish_patch(&malware)?;
    thief.release_last(thief.forge_index(&malware)?)?;
    stage.run(&format!("cat {HOST}/public/{note}"))?;
    stage.refuses(10, &["collection"], "patchctl --root endpoint update")?;
    say("A mirror does not take it either:");
    let trust = stage.fingerprint()?;
    let url = server.url();
    stage.refuses(
        10,
        &["collection"],
        &format!("patchrepo mirror sync {url} mirror \\\n    --authority {trust}"),
    )
}

fn grafted_index(stage: &mut Stage, thief: &Thief, _: &Background) -> Result<(), NotAsTold> {
    say("Third try: the same, with the collection's genuine signatures from the head before.");
    let genuine =
        fs::read(stage.path(HOST).join("public").join(layout::checkpoint(Log::Collection)))?;
    let malware = thief::malware("countersign", "0.9.0")?;
    thief.publish_patch(&malware)?;
    thief.release_last(thief.forge_index(&malware)?)?;
    thief.graft_head(&genuine)?;
    stage.run(&format!("cat {HOST}/public/collection/checkpoint"))?;
    stage.refuses(10, &["collection"], "patchctl --root endpoint update")
}

fn release_of_nothing(stage: &mut Stage, thief: &Thief, _: &Background) -> Result<(), NotAsTold> {
    say(
        "Fourth try: the index stays as it is, but the distribution releases the next entry of it, \
         in its own log and with its own key. The release is genuine; what it releases does not \
         exist for anybody who asks for the collection's signature.",
    );
    let genuine = stage.path("genuine");
    copy(&stage.path(HOST).join("public/collection"), &genuine)?;
    let malware = thief::malware("countersign", "0.9.0")?;
    thief.publish_patch(&malware)?;
    thief.release_last(thief.forge_index(&malware)?)?;
    replace(&genuine, &stage.path(HOST).join("public/collection"))?;
    stage.run("patchctl --root endpoint update")?;
    stage.refuses(104, &["countersign"], "patchctl --root endpoint --yes install countersign@0.9.0")
}

fn patch_by_hand(stage: &mut Stage, thief: &Thief, _: &Background) -> Result<(), NotAsTold> {
    say(
        "Fifth try: the archive and its note are mailed to somebody, to be installed by hand. The \
         note carries the collection's genuine signature, of another patch.",
    );
    let malware = thief::malware("countersign", "0.9.0")?;
    let note = thief.publish_patch(&malware)?;
    thief.graft_signatures(&malware, &genuine_note(stage)?)?;
    let note = stage.path(HOST).join("public").join(note);
    fs::copy(&note, stage.path("invoice.note"))?;
    fs::copy(note.with_extension("patch"), stage.path("invoice.patch"))?;
    stage.refuses(10, &["collection"], "patchctl --root endpoint --yes install ./invoice.patch")
}

/// A note of the collection's own, before the distribution came to it.
fn genuine_note(stage: &Stage) -> Result<std::path::PathBuf, NotAsTold> {
    let listed = stage.quietly("ls repo/collection/public/patches/*/*.note")?;
    let first = listed.lines().next().ok_or("the collection published no note")?;
    Ok(stage.path(first))
}

/// All of the machine's files but the client's own records, which may say that an attempt was made.
fn machine(stage: &Stage) -> Snapshot {
    snapshot(&stage.path("endpoint"), RECORDS)
}

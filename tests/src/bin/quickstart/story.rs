//! The story, chapter by chapter.

use std::fs;

use countersign_tests::Background;

use crate::stage::{NotAsTold, Stage, say};
use crate::{attack, holdings, release};

/// Tells all of it in a temporary directory, which stays if it is to be kept.
pub fn tell(keep: bool) -> Result<(), NotAsTold> {
    println!("Building the programs …");
    let directory = tempfile::Builder::new().prefix("countersign-").tempdir()?;
    let mut stage = Stage::new(directory.path())?;
    say("This is the whole life of a patch, with the real programs and over real HTTP. The patch \
         is this project's own release: the programs that were just built.");
    let told = chapters(&mut stage);
    if keep {
        println!("\nkept: {}", directory.keep().display());
    }
    told
}

fn chapters(stage: &mut Stage) -> Result<(), NotAsTold> {
    keys(stage)?;
    first_signature(stage)?;
    second_signature(stage)?;
    let servers = hosting(stage)?;
    endpoint(stage, servers.distribution.url())?;
    next_version(stage)?;
    upgrade(stage)?;
    attack::chapter(stage, &servers.distribution)?;
    drop(servers.mirror);
    end(stage);
    Ok(())
}

fn keys(stage: &mut Stage) -> Result<(), NotAsTold> {
    stage.chapter("Three parties, three keys");
    say(
        "The authority says whose keys count. The collection signs first, the distribution second. \
         In a real shop they are three machines; here they are three directories.",
    );
    stage.run("patchrepo init repo --name patches.example.org --no-passphrase")?;
    say("What each party holds:");
    for role in ["repo/authority", "repo/collection", "repo/distribution"] {
        holdings::show(stage, role, "")?;
    }
    say(
        "A server's key is made of two halves. The authority never learns the server's own, so it \
         cannot sign in the server's name; without the authority's, the server's is no key.",
    );
    Ok(())
}

fn first_signature(stage: &mut Stage) -> Result<(), NotAsTold> {
    stage.chapter("The collection: collect, test, sign");
    release::first_tree(stage)?;
    let version = release::OLD;
    say("The release is an ordinary tree of files:");
    stage.run(&format!("du -sh release-{version}/usr/*"))?;
    stage.run(&format!(
        "patchrepo collection add repo/collection release-{version} \\\n    \
         --name countersign --version {version} --summary 'The first release'"
    ))?;
    say("It is tried before it is signed. The result becomes part of what is signed.");
    stage.run(&format!(
        "patchrepo collection test repo/collection countersign@{version} \\\n    \
         -- usr/bin/patchctl --version"
    ))?;
    stage.run("patchrepo collection publish repo/collection")?;
    say("The first signature: one line under a text that a person can read.");
    stage.run("cat repo/collection/public/patches/*/*.note")?;
    Ok(())
}

fn second_signature(stage: &mut Stage) -> Result<(), NotAsTold> {
    stage.chapter("The distribution: verify, decide, countersign");
    let version = release::OLD;
    stage.run("patchrepo distribution sync repo/distribution")?;
    stage.run(&format!(
        "patchrepo distribution release repo/distribution countersign@{version} --ring stable"
    ))?;
    stage.run("patchrepo distribution publish repo/distribution")?;
    say("Now the same note has both signatures. The second covers the first: neither can be used \
         without the other.");
    stage.run("cat repo/distribution/public/patches/*/*.note")?;
    say("The index is an append-only log, and its head has both signatures too:");
    stage.run("cat repo/distribution/public/collection/checkpoint")?;
    say("What the distribution serves, which is all that endpoints ever see:");
    holdings::show(stage, "repo/distribution", "public/")
}

/// The web servers: the distribution's own and a mirror's.
struct Servers {
    distribution: Background,
    mirror: Background,
}

fn hosting(stage: &mut Stage) -> Result<Servers, NotAsTold> {
    stage.chapter("Any web server, any mirror");
    say("Static files, so any web server will do. This one is for trials:");
    let distribution = serve(stage, "repo/distribution/public")?;
    say("A mirror copies and verifies. It holds no key and needs no trust.");
    let trust = stage.fingerprint()?;
    let url = distribution.url();
    stage.run(&format!("patchrepo mirror sync {url} mirror \\\n    --authority {trust}"))?;
    let mirror = serve(stage, "mirror")?;
    stage.run(&format!("patchrepo verify {} \\\n    --authority {trust}", mirror.url()))?;
    Ok(Servers { distribution, mirror })
}

fn serve(stage: &mut Stage, directory: &str) -> Result<Background, NotAsTold> {
    let command = stage.background(&format!("patchrepo serve {directory} --listen 127.0.0.1:0"));
    let server = Background::start(command).map_err(|said| format!("no server: {said}"))?;
    println!("{}", server.said());
    Ok(server)
}

fn endpoint(stage: &mut Stage, url: &str) -> Result<(), NotAsTold> {
    stage.chapter("An endpoint: enrol, update, install");
    say("An endpoint is told one thing by another way than the network: the SHA-256 of the \
         authority's first note. (--root keeps this one out of your system.)");
    let trust = stage.fingerprint()?;
    fs::create_dir(stage.path("endpoint"))?;
    stage.run(&format!("patchctl --root endpoint enroll {url} \\\n    --authority {trust}"))?;
    stage.run("patchctl --root endpoint update")?;
    stage.run("patchctl --root endpoint list")?;
    stage.run("patchctl --root endpoint --yes install countersign")?;
    stage.run("patchctl --root endpoint verify")?;
    say("The installed program is the released one:");
    let printed = stage.run("endpoint/usr/bin/patchctl --version")?;
    says(&printed, release::OLD)
}

fn next_version(stage: &mut Stage) -> Result<(), NotAsTold> {
    stage.chapter("The next version, full and incremental");
    let (old, new) = (release::OLD, release::next_version());
    println!("\nBuilding version {new} of the client …");
    release::next_tree(stage)?;
    let common = format!(
        "--name countersign --version {new} \\\n    --severity high --advisory CVE-2026-0001 \
         --summary 'Closes a hole'"
    );
    stage
        .run(&format!("patchrepo collection add repo/collection release-{new} \\\n    {common}"))?;
    say("The same once more as a difference, for machines that have the version before:");
    stage.run(&format!(
        "patchrepo collection add repo/collection release-{new} \\\n    \
         --against release-{old} --base '={old}' \\\n    {common}"
    ))?;
    stage.run("patchrepo collection publish repo/collection")?;
    stage.run("patchrepo distribution sync repo/distribution")?;
    stage.run(&format!(
        "patchrepo distribution release repo/distribution countersign@{new} --ring stable"
    ))?;
    stage.run("patchrepo distribution publish repo/distribution")?;
    Ok(())
}

fn upgrade(stage: &mut Stage) -> Result<(), NotAsTold> {
    stage.chapter("The endpoint upgrades, and goes back");
    let new = release::next_version();
    stage.run("patchctl --root endpoint update")?;
    say("A timer would ask this. 101 means that a patch waits which closes an advisory.");
    stage.run_to(101, "patchctl --root endpoint check")?;
    stage.run("patchctl --root endpoint --yes upgrade")?;
    says(&stage.run("endpoint/usr/bin/patchctl --version")?, &new)?;
    stage.run("patchctl --root endpoint verify")?;
    stage.run("patchctl --root endpoint status")?;
    say("Each change is a transaction that can be undone whole.");
    stage.run("patchctl --root endpoint --yes rollback --allow-vulnerable")?;
    says(&stage.run("endpoint/usr/bin/patchctl --version")?, release::OLD)?;
    stage.run("patchctl --root endpoint history")?;
    Ok(())
}

fn says(printed: &str, expected: &str) -> Result<(), NotAsTold> {
    if printed.contains(expected) {
        Ok(())
    } else {
        Err(format!("expected it to say {expected:?}: {printed}").into())
    }
}

fn end(stage: &Stage) {
    let (commands, refusals) = stage.tally();
    say(&format!(
        "{commands} commands, every exit code as told; {refusals} attacks, all refused. The README \
         says how to host a repository of your own; docs/ has the rest."
    ));
}

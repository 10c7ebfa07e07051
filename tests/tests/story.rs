//! A patch's whole life, by the real programs and over real HTTP.

use std::fs;
use std::path::Path;

use countersign_tests::Lab;
use countersign_tests::lab::RECORDS;
use countersign_tests::tree::snapshot;

/// A laboratory in which version 1.0.0 of `acme-agent` is released.
fn released() -> Lab {
    let lab = Lab::with_repository();
    let tree = lab.tree("one");
    tree.program("opt/acme/bin/agent", "#!/bin/sh\necho one\n");
    tree.file("opt/acme/share/data", vec![b'a'; 20_000]).file("opt/acme/old", "goes away");
    tree.link("opt/acme/current", "bin/agent");
    lab.collect("one --version 1.0.0 --severity none");
    lab.release("acme-agent@1.0.0");
    lab
}

/// Releases version 1.1.0 as full and incremental patch; it closes an advisory.
fn release_next(lab: &Lab) {
    let tree = lab.tree("two");
    tree.program("opt/acme/bin/agent", "#!/bin/sh\necho two\n");
    tree.file("opt/acme/share/data", vec![b'a'; 20_000]).file("opt/acme/new", "comes");
    tree.link("opt/acme/current", "bin/agent");
    let common = "two --version 1.1.0 --severity high --advisory CVE-2026-0001";
    lab.collect(common);
    lab.collect(&format!("{common} --against acme-agent@1.0.0 --base =1.0.0"));
    lab.release("acme-agent@1.1.0");
}

/// Requires that exactly the tree `name` is installed at an endpoint.
#[track_caller]
fn installed_is(lab: &Lab, endpoint: &str, name: &str) {
    let expected = snapshot(&lab.path(name).join("opt"), &[]);
    let found = snapshot(&lab.path(endpoint), RECORDS);
    let below = |path: &Path| path.strip_prefix("opt").ok().map(Path::to_owned);
    let found = found.into_iter().filter_map(|(path, what)| Some((below(&path)?, what)));
    let found = found.filter(|(path, _)| !path.as_os_str().is_empty()).collect();
    assert_eq!(expected, found, "{endpoint} is not {name}");
}

#[test]
fn a_patch_is_published_installed_upgraded_rolled_back_and_removed() {
    let lab = released();
    let server = lab.serve("repo/distribution/public");
    lab.enroll(server.url());
    lab.endpoint("update").done();
    lab.endpoint("install acme-agent").done();
    installed_is(&lab, "endpoint", "one");
    lab.endpoint("check").done();

    release_next(&lab);
    // the client needs nothing of the collection, and nothing of the authority's host
    for gone in ["repo/collection", "repo/authority"] {
        fs::remove_dir_all(lab.path(gone)).expect("it is there");
    }
    lab.endpoint("update").done();
    lab.endpoint("check").exits(101);
    lab.endpoint("upgrade").done();
    installed_is(&lab, "endpoint", "two");
    lab.endpoint("verify").done();
    lab.endpoint("check").done();
    // nothing to do, and the index is fresh
    lab.endpoint("upgrade").done();

    // going back opens the advisory again, so a person has to say that it may
    lab.endpoint("rollback").outcome().says("CVE-2026-0001");
    installed_is(&lab, "endpoint", "two");
    lab.endpoint("rollback --allow-vulnerable").done();
    installed_is(&lab, "endpoint", "one");
    lab.endpoint("verify").done();
    lab.endpoint("remove acme-agent").done();
    assert!(!lab.path("endpoint/opt/acme/bin/agent").exists(), "it was removed");
}

#[test]
fn a_changed_file_is_found() {
    let lab = released();
    let server = lab.serve("repo/distribution/public");
    lab.enroll(server.url());
    lab.endpoint("update").done();
    lab.endpoint("install acme-agent").done();
    fs::write(lab.path("endpoint/opt/acme/share/data"), "mine").expect("written");
    lab.endpoint("verify").exits(16).says("opt/acme/share/data");
}

#[test]
fn a_mirror_is_as_good_as_the_distribution() {
    let lab = released();
    release_next(&lab);
    let server = lab.serve("repo/distribution/public");
    let sync = |lab: &Lab| {
        lab.patchrepo("mirror sync --authority authority.note")
            .arg(server.url())
            .arg("mirror")
            .done()
    };
    sync(&lab);
    let copied = snapshot(&lab.path("mirror"), &[]);
    let public = snapshot(&lab.path("repo/distribution/public"), &[]);
    for (path, what) in &public {
        // tails of logs at earlier heads are not copied: nobody who reads a mirror is at one
        let is_tail = lab.is_of_earlier_head("repo/distribution/public", path);
        if what.starts_with("file") && !is_tail {
            assert_eq!(copied.get(path), Some(what), "{}", path.display());
        }
    }
    // the mirror's own records have names that begin with a dot
    let is_hidden = |path: &Path| path.to_string_lossy().starts_with('.');
    for (path, what) in copied.iter().filter(|(path, _)| !is_hidden(path)) {
        assert_eq!(public.get(path), Some(what), "{}", path.display());
    }
    // once more, with nothing new
    sync(&lab);
    assert_eq!(snapshot(&lab.path("mirror"), &[]), copied);
    let mirror = lab.serve("mirror");
    lab.patchrepo("verify --authority authority.note").arg(mirror.url()).done();
    lab.enroll(mirror.url());
    lab.endpoint("update").done();
    lab.endpoint("install acme-agent").done();
    installed_is(&lab, "endpoint", "two");
}

#[test]
fn a_patch_from_a_file_passes_the_same_gates() {
    let lab = released();
    let server = lab.serve("repo/distribution/public");
    lab.enroll(server.url());
    lab.endpoint("update").done();
    let found = snapshot(&lab.path("repo/distribution/public/patches"), &[]);
    for path in found.keys().filter(|path| path.extension().is_some()) {
        let to = lab.path("carried").with_extension(path.extension().expect("it has one"));
        fs::copy(lab.path("repo/distribution/public/patches").join(path), to).expect("copied");
    }
    drop(server);
    lab.endpoint("install --offline ./carried.patch").done();
    installed_is(&lab, "endpoint", "one");
}

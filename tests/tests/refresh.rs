//! Timers that sign heads anew: what they need, and when.

use std::fs;

use countersign_tests::Lab;

#[test]
fn a_run_that_finds_nothing_due_needs_no_key() {
    let lab = Lab::new();
    fs::write(lab.path("passphrase"), "correct horse\n").expect("written");
    let with_key = |line: &str| lab.patchrepo(line).words("--passphrase-file passphrase");
    with_key(&format!("init repo --name {}", Lab::NAME)).done();
    lab.tree("tree").program("opt/acme/agent", "one");
    lab.collect("tree --version 1.0.0");
    with_key("collection publish repo/collection").done();
    lab.patchrepo("distribution sync repo/distribution").done();
    lab.patchrepo("distribution release repo/distribution --all").done();
    with_key("distribution publish repo/distribution").done();
    for refresh in ["collection refresh repo/collection", "distribution refresh repo/distribution"]
    {
        let quiet = lab.patchrepo(refresh).json();
        assert_eq!(quiet["refreshed"], false, "{refresh}");
        // there is no terminal to ask at
        lab.patchrepo(&format!("{refresh} --force")).exits(2).says("passphrase");
        with_key(&format!("{refresh} --force")).done();
    }
    // an authority that says something new is something to sign, and the key is asked for
    lab.patchrepo("authority change repo/authority").done();
    with_key("authority sign repo/authority").done();
    lab.patchrepo("authority publish repo/authority").done();
    lab.patchrepo("collection refresh repo/collection").exits(2).says("passphrase");
    with_key("collection refresh repo/collection").done();
    // a collection that has more than is published, too
    lab.patchrepo("distribution sync repo/distribution").done();
    lab.patchrepo("distribution refresh repo/distribution").exits(2).says("passphrase");
    with_key("distribution refresh repo/distribution").done();
}

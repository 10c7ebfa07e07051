//! Keys that live elsewhere: in tokens (PKCS #11, by SoftHSM) and behind commands.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use countersign_tests::softhsm::PIN;
use countersign_tests::{Lab, Outcome, SoftHsm};

const ROLES: [&str; 2] = ["collection", "distribution"];

/// Nothing secret is said.
fn quiet(outcome: &Outcome) {
    assert!(!outcome.stdout.contains(PIN) && !outcome.stderr.contains(PIN), "{outcome}");
}

/// Authority, collection and distribution sign with these keys; the first is the authority's.
fn set_up(lab: &Lab, keys: [&str; 3], hsm: &SoftHsm) {
    let run = |line: &str| hsm.with(lab.patchrepo(line));
    let name = |role: &str| format!("{}/{role}", Lab::NAME);
    run("key show -o authority.pub --signer")
        .arg(keys[0])
        .arg("--name")
        .arg(name("authority/1"))
        .done();
    run("authority init authority --keys 0 --with-key authority.pub --name")
        .arg(name("authority"))
        .done();
    for (role, key) in ROLES.iter().zip(&keys[1..]) {
        let init =
            run(&format!("{role} init {role} --authority authority/public --signer")).arg(key);
        let said = init.arg("--name").arg(name(role)).done().says("--ordinary-key");
        quiet(&said);
        let request = format!("{role}/request.json");
        run(&format!("authority issue authority {request}")).exits(1).says("--ordinary-key");
        let admit = run(&format!("authority admit authority {request} --ordinary-key"));
        quiet(&admit.done().says("epoch 1"));
        run(&format!("authority admit authority {request} --ordinary-key"))
            .exits(1)
            .says("already");
    }
    quiet(&run("authority sign authority --signer").arg(keys[0]).done());
    run("authority publish authority").done();
    fs::copy(lab.path("authority/public/authority/1"), lab.path("authority.note")).expect("copied");
}

/// A patch goes all the way to an endpoint.
fn deliver(lab: &Lab, hsm: &SoftHsm) {
    let run = |line: &str| hsm.with(lab.patchrepo(line));
    lab.tree("tree").program("opt/acme/agent", "one");
    run("collection add collection tree --name acme-agent --version 1.0.0").done();
    quiet(&run("collection publish collection").done());
    run("distribution sync distribution --from collection/public").done();
    run("distribution release distribution acme-agent@1.0.0 --ring stable").done();
    quiet(&run("distribution publish distribution").done());
    run("verify distribution/public --authority authority.note").done();
    let server = lab.serve("distribution/public");
    lab.enroll(server.url());
    lab.endpoint("install acme-agent").done();
    assert!(lab.path("endpoint/opt/acme/agent").exists());
}

#[test]
fn keys_born_in_tokens_sign_for_every_role() {
    let lab = Lab::new();
    let hsm = SoftHsm::new(&lab);
    let objects = ["authority", "collection", "distribution"];
    let uris = objects.map(|object| {
        hsm.token(object);
        let uri = hsm.uri(object, "key");
        let generate =
            || hsm.with(lab.patchrepo("key generate --name example.org/x --signer")).arg(&uri);
        quiet(&generate().done());
        generate().exits(1).says("already");
        uri
    });
    set_up(&lab, [&uris[0], &uris[1], &uris[2]], &hsm);
    let note = fs::read_to_string(lab.path("authority.note")).expect("the note");
    assert_eq!(note.matches("\"kgc\": null").count(), 2, "{note}");
    deliver(&lab, &hsm);

    // nothing secret is kept beside the location
    let record = fs::read_to_string(lab.path("collection/keys/server-1.toml")).expect("the record");
    assert!(record.contains("signer = \"pkcs11:token=collection;object=key"), "{record}");
    assert!(!record.contains(PIN));
    for role in ROLES {
        assert_eq!(fs::read_dir(lab.path(&format!("{role}/keys"))).expect("listed").count(), 1);
    }

    // another key under that label is not taken for the one that is listed
    fs::rename(lab.path("tokens"), lab.path("gone")).expect("moved");
    fs::create_dir(lab.path("tokens")).expect("made");
    let refresh = || hsm.with(lab.patchrepo("collection refresh collection --force"));
    refresh().exits(1).says("0 tokens fit");
    hsm.token("collection");
    refresh().exits(1).says("0 keys in the token fit");
    let generate = "key generate --name example.org/x --signer";
    hsm.with(lab.patchrepo(generate)).arg(&uris[1]).done();
    refresh().exits(1).says("holds another key than patches.example.org/collection+");
    fs::write(lab.path("pin"), "wrong\n").expect("written");
    refresh().exits(1).says("cannot be logged in to").says("nothing was tried twice");
    hsm.with(lab.patchrepo("key show --name example.org/x --signer"))
        .arg("pkcs11:object=key?pin-value=1234")
        .exits(2)
        .says("pin-value would show the PIN");
}

#[test]
fn keys_behind_commands_sign_for_every_role() {
    let lab = Lab::new();
    let hsm = SoftHsm::new(&lab);
    hsm.token("commands");
    // the command's own business: here OpenSSL with a key file that patchrepo never sees
    let script = "#!/bin/sh\nset -e\nkey=$1\nif [ \"$COUNTERSIGN_PURPOSE\" = public-key ]; then\n\
        openssl pkey -in \"$key\" -pubout -outform DER | tail -c 32\nelse\n\
        cat >\"$key.in\"; echo \"$COUNTERSIGN_PURPOSE $COUNTERSIGN_KEY\" >>\"$key.log\"\n\
        openssl pkeyutl -sign -rawin -in \"$key.in\" -inkey \"$key\" | base64 -w 0\nfi\n";
    let path = lab.path("sign");
    fs::write(&path, script).expect("written");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("chmod");
    let locations = ["a", "c", "d"].map(|key| {
        let file = lab.path(&format!("{key}.pem"));
        let location = format!("file:{}", file.display());
        let generate = "key generate --no-passphrase --name example.org/x --signer";
        lab.patchrepo(generate).arg(&location).done();
        format!("exec:{} {}", path.display(), file.display())
    });
    set_up(&lab, [&locations[0], &locations[1], &locations[2]], &hsm);
    deliver(&lab, &hsm);
    let log = fs::read_to_string(lab.path("c.pem.log")).expect("a log");
    for purpose in ["ordinary-key/v1", "patch/v1", "checkpoint", "cosignature/v1"] {
        let line = format!("{purpose} {}/collection\n", Lab::NAME);
        assert!(log.contains(&line), "{line}{log}");
    }
    let log = fs::read_to_string(lab.path("d.pem.log")).expect("a log");
    assert!(log.contains("countersign/v1 "), "{log}");

    // a command that signs something else, or with another key, is not believed
    let public = lab.path("collection/public/collection/checkpoint");
    let before = fs::read(&public).expect("a head");
    fs::write(&path, script.replace("-in \"$key.in\"", "-in /etc/hostname")).expect("written");
    lab.patchrepo("collection refresh collection --force").exits(1).says("does not verify");
    fs::write(&path, "#!/bin/sh\nexit 7\n").expect("written");
    lab.patchrepo("collection refresh collection --force").exits(1).says("exit status: 7");
    assert_eq!(fs::read(&public).expect("a head"), before);
}

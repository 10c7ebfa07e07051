//! Thresholds above one: two of two for the collection, two of three for the distribution, with
//! signers whose machines share nothing with the servers but files.

use std::fs;

use countersign_tests::Lab;
use countersign_tests::crash::{Point, at_every_point, covers, kill};
use countersign_tests::tree::snapshot;

/// Lists ordinary keys of holders beside the servers' own, and asks for two of each.
fn raise_thresholds(lab: &Lab) {
    for (role, holder) in
        [("collection", "alice"), ("distribution", "bob"), ("distribution", "carol")]
    {
        let name = format!("{}/{role}/{holder}", Lab::NAME);
        let signer = format!("file:{holder}/key.pem");
        let key = lab.patchrepo("key generate --no-passphrase --signer").arg(&signer);
        key.arg("--name").arg(&name).done();
        let init = lab.patchrepo(&format!("{role} init {holder}/server --no-passphrase --signer"));
        init.arg(&signer).arg("--name").arg(&name).done();
        let request = format!("{holder}/server/request.json");
        lab.patchrepo(&format!("authority admit repo/authority {request} --ordinary-key")).done();
    }
    let change = "authority change repo/authority --collection-threshold 2";
    lab.patchrepo(change).words("--distribution-threshold 2").done();
    lab.patchrepo("authority sign repo/authority").done();
    lab.patchrepo("authority publish repo/authority").done();
    fs::copy(lab.path("repo/authority/public/authority/2"), lab.path("newest.note"))
        .expect("copied");
}

/// The server writes what is missing, the holder signs it, the server takes it.
fn gather(lab: &Lab, role: &str, holder: &str) {
    lab.patchrepo(&format!("{role} export repo/{role} -o to-sign.json")).done();
    let sign = format!("sign to-sign.json --signer file:{holder}/key.pem --yes -o signed.json");
    let sign = lab.patchrepo(&sign);
    match role {
        "distribution" => sign.words("--authority newest.note").done(),
        _ => sign.done(),
    };
    lab.patchrepo(&format!("{role} import repo/{role} signed.json")).done();
}

/// Publishing is refused, names who is missing, and changes nothing that others see.
fn waits(lab: &Lab, role: &str, missing: &str) {
    let public = lab.path(&format!("repo/{role}/public"));
    let before = snapshot(&public, &["authority"]);
    let refused = lab.patchrepo(&format!("{role} publish repo/{role}")).exits(10);
    refused.says(&format!("{}/{role}/{missing}", Lab::NAME)).says("nothing was published");
    assert!(snapshot(&public, &["authority"]) == before, "{role} changed what others see");
}

#[test]
fn two_people_sign_for_each_server() {
    let lab = Lab::with_repository();
    raise_thresholds(&lab);
    lab.tree("tree").program("opt/acme/agent", "one");
    lab.collect("tree --version 1.0.0");

    waits(&lab, "collection", "alice");
    let standing = lab.patchrepo("collection show repo/collection").json();
    assert_eq!(standing["complete"], false);
    assert_eq!(standing["signatures"][0]["signed"][0], "patches.example.org/collection");
    assert_eq!(standing["signatures"][0]["missing"][0], "patches.example.org/collection/alice");
    gather(&lab, "collection", "alice");
    // the same signatures again are known, and those of nobody that is listed are refused
    lab.patchrepo("collection import repo/collection signed.json").done().says("0 new signatures");
    lab.patchrepo("distribution import repo/distribution signed.json").exits(1);
    lab.patchrepo("collection publish repo/collection").done().says("acme-agent@1.0.0");

    lab.patchrepo("distribution sync repo/distribution").done();
    let release = "distribution release repo/distribution acme-agent@1.0.0 --ring stable";
    lab.patchrepo(release).done();
    waits(&lab, "distribution", "carol");
    lab.patchrepo("distribution export repo/distribution -o to-sign.json").done();
    let blind = "sign to-sign.json --signer file:carol/key.pem --yes -o signed.json";
    lab.patchrepo(blind).exits(1).says("first signatures that were verified");
    gather(&lab, "distribution", "carol");
    lab.patchrepo("distribution publish repo/distribution").done();

    lab.patchrepo("verify repo/distribution/public --authority authority.note").done();
    let server = lab.serve("repo/distribution/public");
    lab.enroll(server.url());
    lab.endpoint("install acme-agent").done();

    // a refresh keeps the others' signatures while they are young enough
    lab.patchrepo("collection refresh repo/collection --force").done();
    lab.patchrepo("distribution sync repo/distribution").done();
    lab.patchrepo("distribution refresh repo/distribution --force").done();
    lab.endpoint("update").done();

    // the next patch, with another holder of the distribution
    fs::write(lab.path("tree/opt/acme/agent"), "two").expect("written");
    lab.collect("tree --version 2.0.0");
    waits(&lab, "collection", "alice");
    gather(&lab, "collection", "alice");
    lab.patchrepo("collection publish repo/collection").done();
    lab.patchrepo("distribution sync repo/distribution").done();
    lab.patchrepo("distribution release repo/distribution acme-agent@2.0.0 --ring stable").done();
    waits(&lab, "distribution", "bob");
    gather(&lab, "distribution", "bob");
    lab.patchrepo("distribution publish repo/distribution").done();
    lab.endpoint("update").done();
    lab.endpoint("upgrade").done();
    lab.patchrepo("verify repo/distribution/public --authority authority.note").done();

    // one of two under the head or the patch is not enough for anybody
    let head = lab.path("repo/distribution/public/collection/checkpoint");
    let text = fs::read_to_string(&head).expect("the head");
    let without: String =
        text.split_inclusive('\n').filter(|line| !line.contains("/alice ")).collect();
    fs::write(&head, without).expect("written");
    let verify = "verify repo/distribution/public --authority authority.note";
    lab.patchrepo(verify).exits(10).says("1 of 2 timestamped signatures of the collection count");
    lab.endpoint("update").exits(10).says("1 of 2 timestamped signatures of the collection count");
}

#[test]
fn killed_anywhere_a_round_is_completed() {
    let lab = Lab::with_repository();
    raise_thresholds(&lab);
    lab.tree("tree").program("opt/acme/agent", "one");
    lab.collect("tree --version 1.0.0");
    let publish = || lab.patchrepo("collection publish repo/collection");
    for name in ["publish.journal", "round.signed"] {
        kill(publish(), &Point { name: name.into(), count: 1 });
        publish().exits(10).says("nothing was published");
    }
    let discard = || lab.patchrepo("collection discard repo/collection --round");
    let mut points = at_every_point(&lab, "repo/collection", discard, |point| {
        assert_eq!(discard().outcome().code, Some(0), "discard killed at {point}");
    });
    publish().exits(10).says("nothing was published");
    lab.patchrepo("collection export repo/collection -o to-sign.json").done();
    let sign =
        || lab.patchrepo("sign to-sign.json --signer file:alice/key.pem --yes -o signed.json");
    points += at_every_point(&lab, "alice", sign, |point| {
        assert_eq!(sign().outcome().code, Some(0), "sign killed at {point}");
    });
    let import = || lab.patchrepo("collection import repo/collection signed.json");
    points += at_every_point(&lab, "repo/collection", import, |point| {
        assert_eq!(import().outcome().code, Some(0), "import killed at {point}");
    });
    points += at_every_point(&lab, "repo/collection", publish, |point| {
        let rerun = publish().outcome();
        assert_eq!(rerun.code, Some(0), "publish killed at {point}\n{rerun}");
        lab.patchrepo("collection show repo/collection").done().says("All that is needed");
        assert!(!lab.path("repo/collection/state/signatures").exists(), "{point}");
    });
    println!("killed at {points} points");
    covers("thresholds");
    lab.patchrepo("distribution sync repo/distribution").done().says("acme-agent@1.0.0");
}

use super::*;
use crate::implicit_key::{ImplicitSigner, MasterSecret, ServerSecret};
use crate::signature::{SeedSigner, Signer as _};

/// A master secret, and server keys issued by it, for tests of this crate.
pub(crate) fn issue(id: &str, epoch: u32, seed: u8) -> (ServerKey, ImplicitSigner) {
    let master = MasterSecret::from_seed([99; 32]);
    let server = ServerSecret::from_seed([seed; 32]);
    let id: KeyName = id.parse().expect("a name");
    let grant = master
        .grant(&id, epoch, &server.commitment(), b"request", &[seed; 32])
        .expect("a partial key");
    let signer = server.accept(&grant).expect("a key pair");
    let key = ServerKey {
        vkey: Vkey::server(id.clone(), signer.public_key().clone()),
        id,
        epoch,
        kgc: Some(PointText(grant.binding.kgc)),
        reconstruction: Some(PointText(grant.binding.reconstruction)),
        until: None,
    };
    (key, signer)
}

pub(crate) fn authority_key(seed: u8) -> SeedSigner {
    SeedSigner::new(format!("example.org/authority-{seed}").parse().expect("a name"), &[seed; 32])
}

pub(crate) fn vkey(signer: &SeedSigner) -> Vkey {
    Vkey::server(signer.name().clone(), signer.public_key().clone())
}

pub(crate) fn role(origin: &str, keys: Vec<ServerKey>) -> LogRole {
    LogRole { origin: origin.parse().expect("a name"), threshold: 1, max_age: 259_200, keys }
}

pub(crate) fn note() -> AuthorityNote {
    AuthorityNote {
        name: "example.org/authority".parse().expect("a name"),
        version: 1,
        expires: "2027-11-22T00:00:00Z".parse().expect("a time"),
        authority: AuthorityRole { threshold: 1, keys: vec![vkey(&authority_key(50))] },
        collection: role("example.org/collection", vec![issue("example.org/collection", 1, 1).0]),
        distributions: vec![DistributionRole {
            name: "main".parse().expect("a name"),
            log: role("example.org/distribution", vec![issue("example.org/distribution", 1, 2).0]),
        }],
        witnesses: WitnessRole::default(),
        directory: DirectoryRole { keys: vec![vkey(&authority_key(60))] },
    }
}

#[test]
fn prints_what_it_reads() {
    let note = note();
    assert_eq!(AuthorityNote::parse(&note.to_text()), Ok(note));
}

fn refused(change: impl FnOnce(&mut AuthorityNote)) -> AuthorityError {
    let mut note = note();
    change(&mut note);
    AuthorityNote::parse(&note.to_text()).expect_err("a note that must be refused")
}

#[test]
fn thresholds_lie_within_reach() {
    for threshold in [0, 2] {
        let error = refused(|note| note.authority.threshold = threshold);
        assert!(matches!(error, AuthorityError::Threshold { keys: 1, .. }), "{error}");
        let error = refused(|note| note.collection.threshold = threshold);
        assert!(matches!(error, AuthorityError::Threshold { .. }), "{error}");
        let error = refused(|note| note.distributions[0].log.threshold = threshold);
        assert!(matches!(error, AuthorityError::Threshold { .. }), "{error}");
    }
    let error = refused(|note| note.collection.keys[0].until = Some(7));
    assert!(matches!(error, AuthorityError::Threshold { keys: 0, .. }), "{error}");
    let error = refused(|note| note.witnesses.quorum = 1);
    assert_eq!(error, AuthorityError::Quorum { quorum: 1, keys: 0 });
}

#[test]
fn one_key_has_one_role_and_one_name() {
    let error = refused(|note| note.authority.keys.push(note.authority.keys[0].clone()));
    assert!(matches!(error, AuthorityError::KeyTwice(_)));
    let error = refused(|note| {
        let mut again = note.authority.keys[0].clone();
        again.name = "example.org/another".parse().expect("a name");
        note.authority.keys.push(again);
    });
    assert!(matches!(error, AuthorityError::KeyTwice(_)));
    let error = refused(|note| note.directory.keys = note.authority.keys.clone());
    assert!(matches!(error, AuthorityError::KeyTwice(_)));
    let error = refused(|note| note.distributions[0].log.keys = note.collection.keys.clone());
    assert!(matches!(error, AuthorityError::KeyTwice(_)));
    let error = refused(|note| {
        note.witnesses.keys =
            vec![Vkey { kind: SignatureType::Cosignature, ..note.authority.keys[0].clone() }];
    });
    assert!(matches!(error, AuthorityError::KeyTwice(_)));
    let error = refused(|note| {
        note.collection.keys.push(issue("example.org/collection", 1, 3).0);
    });
    assert!(matches!(error, AuthorityError::EpochTwice { epoch: 1, .. }));
    let error = refused(|note| note.authority.keys[0].kind = SignatureType::Cosignature);
    assert!(matches!(error, AuthorityError::KeyType(_)));
}

#[test]
fn a_key_is_the_one_its_points_make() {
    let error = refused(|note| note.collection.keys[0].epoch = 2);
    assert!(matches!(error, AuthorityError::Implicit { source: None, .. }), "{error:?}");
    let error = refused(|note| note.collection.keys[0].kgc = None);
    assert!(matches!(error, AuthorityError::HalfImplicit(_)));
    let error = refused(|note| note.collection.keys[0].kgc = Some(PointText([0; 32])));
    assert!(matches!(error, AuthorityError::Implicit { source: Some(_), .. }), "{error:?}");
    let error = refused(|note| {
        note.collection.keys[0].id = "example.org/other".parse().expect("a name");
    });
    assert!(matches!(error, AuthorityError::Name { .. }));
    let mut hardware = note();
    hardware.collection.keys[0].kgc = None;
    hardware.collection.keys[0].reconstruction = None;
    assert!(AuthorityNote::parse(&hardware.to_text()).is_ok());
}

#[test]
fn logs_and_distributions_are_told_apart() {
    let error = refused(|note| {
        note.distributions[0].log.origin = note.collection.origin.clone();
    });
    assert!(matches!(error, AuthorityError::OriginTwice(_)));
    let error = refused(|note| {
        let mut second = note.distributions[0].clone();
        second.log = role("example.org/second", vec![issue("example.org/second", 1, 4).0]);
        note.distributions.push(second);
    });
    assert!(matches!(error, AuthorityError::DistributionTwice(_)));
    assert_eq!(refused(|note| note.version = 0), AuthorityError::Version);
    let error = refused(|note| note.collection.max_age = 0);
    assert_eq!(error, AuthorityError::MaxAge("collection".into()));
}

#[test]
fn a_member_has_one_shape_and_stands_once() {
    let text = String::from_utf8(json::print_line(TYPE, &note())).expect("UTF-8");
    assert!(AuthorityNote::parse(&text).is_ok());
    let key = |log: &str| {
        let from = text.find(&format!("\"origin\":\"example.org/{log}\"")).expect("the log");
        let start = from + text[from..].find("\"keys\":[").expect("keys") + "\"keys\":[".len();
        start..start + text[start..].find(']').expect("the end")
    };
    for log in ["collection", "distribution"] {
        let good = &text[key(log)];
        let values: Vec<_> = good
            .trim_matches(['{', '}'])
            .split(",\"")
            .map(|member| member.split_once("\":").expect("a member").1)
            .collect();
        let as_array = format!("[{}]", values.join(","));
        let twice = good.replacen("\"until\":null", "\"until\":7,\"until\":null", 1);
        let nested_twice = good.replacen("\"epoch\":1", "\"epoch\":1,\"x\":{\"y\":1,\"y\":1}", 1);
        for bad in [&as_array, &twice, &nested_twice] {
            let mut changed = text.clone();
            changed.replace_range(key(log), bad);
            let read = AuthorityNote::parse(&changed);
            assert!(matches!(read, Err(AuthorityError::Json(_))), "{bad}: {read:?}");
        }
    }
    for (from, to) in [
        ("\"name\":\"main\"", "\"name\":\"main\",\"name\":\"main\""),
        ("\"name\":\"main\"", "\"name\":\"main\",\"threshold\":1"),
        ("\"witnesses\":{\"quorum\":0,\"keys\":[]}", "\"witnesses\":[0,[]]"),
        ("\"witnesses\":{\"quorum\":0,\"keys\":[]}", "\"witnesses\":null"),
        ("\"threshold\":1", "\"threshold\":null"),
        ("\"threshold\":1", "\"threshold\":4294967296"),
        ("\"max_age\":259200", "\"max_age\":null"),
    ] {
        assert!(text.contains(from), "{from}");
        let read = AuthorityNote::parse(&text.replacen(from, to, 1));
        assert!(matches!(read, Err(AuthorityError::Json(_))), "{to}: {read:?}");
    }
}

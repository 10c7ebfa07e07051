use countersign_format::authority::ServerKey;
use countersign_format::checkpoint::Checkpoint;
use countersign_format::merkle::{Frontier, leaf_hash};
use countersign_format::policy::Refusal;
use countersign_format::signature::cosign;
use countersign_store::{Lock, MemoryRepository};

use super::sign::record_name;
use super::*;
use crate::key_store::{
    FoundKey, KeyLocation, NewPassphraseArgs, Passphrases, SigningKey, generate,
};
use crate::publish::{HeadRecord, PublishError, SignedHead};
use crate::role_dir::{RoleDir, RoleDirError};

mod places;

const ENTRY: &str = concat!(
    r#"{"type":"patch/v1","name":"acme","version":"1.0.0","platform":"any","summary":"New","#,
    r#""severity":"high","archive":{"sha256":"#,
    r#""5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03","#,
    r#""size":6,"unpacked":6,"files":1},"collected":"2026-11-23T10:00:00Z"}"#,
    "\n"
);

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_seconds(1_800_000_000 + seconds).expect("a time")
}

struct Lab {
    base: tempfile::TempDir,
    directory: RoleDir,
    keys: Vec<SigningKey>,
}

impl Lab {
    fn new() -> Self {
        let base = tempfile::tempdir().expect("a directory");
        let directory = RoleDir::create(&base.path().join("role"), |_| Ok::<_, RoleDirError>(()))
            .expect("made");
        let lab = Self { base, directory, keys: Vec::new() };
        let keys = (1..=3).map(|number| lab.key(number)).collect();
        Self { keys, ..lab }
    }

    fn key(&self, number: u32) -> SigningKey {
        let arguments = NewPassphraseArgs { no_passphrase: true, ..NewPassphraseArgs::default() };
        let passphrases = Passphrases::for_new_keys(&arguments);
        let location = KeyLocation::File(self.base.path().join(format!("{number}.pem")));
        if location.file().is_some_and(|path| !path.exists()) {
            generate(&location, &passphrases).expect("made");
        }
        let found = FoundKey::open(&location, &passphrases).expect("opened");
        found.named(&format!("example.org/{number}").parse().expect("a name"))
    }

    /// Two of the first two keys must sign; the third is not listed.
    fn round(&self, entries: u64, begun: u64) -> Round {
        let listed = |key: &SigningKey| ServerKey {
            id: key.name().clone(),
            epoch: 1,
            kgc: None,
            reconstruction: None,
            vkey: key.vkey(),
            until: None,
        };
        let keys = self.keys[..2].iter().map(listed).collect();
        let origin = "example.org/log".parse().expect("a name");
        let items =
            vec![Item::patch(ENTRY.into(), entries - 1), Item::head(&head(entries, 0), true)];
        Round {
            role: Role::Collection,
            log: Log::Collection,
            keys: LogRole { origin, threshold: 2, max_age: 1000, keys },
            begun: Some(at(begun)),
            items,
            quorums: Vec::new(),
        }
    }

    fn gathered(&self) -> Gathered<'_> {
        Gathered::load(&self.directory, Log::Collection).expect("read")
    }

    fn holder(&self, number: u32) -> Holder<'_> {
        Holder { key: self.key(number), record: self.base.path(), authority: None }
    }

    fn own(&self) -> Vec<Vkey> {
        vec![self.keys[0].vkey()]
    }
}

fn entry(number: u64, kind: u64) -> Vec<u8> {
    format!(
        "{{\"type\":\"test/v1\",\"number\":{number},\"kind\":{}}}\n",
        kind * u64::from(number == 1)
    )
    .into_bytes()
}

/// A log of so many entries; of another kind, the second one differs.
fn head(size: u64, kind: u64) -> Checkpoint {
    let mut frontier = Frontier::empty();
    (0..size).for_each(|number| frontier.push(leaf_hash(&entry(number, kind))));
    let origin = "example.org/log".parse().expect("a name");
    Checkpoint { origin, size, root: frontier.root() }
}

fn growth(since: u64, size: u64, kind: u64) -> Growth {
    let entries: Vec<_> = (0..size).map(|number| entry(number, kind)).collect();
    grow(&MemoryRepository::default(), Log::Collection, &entries, since).expect("proven")
}

#[test]
fn a_round_waits_for_others_and_goes_on_with_them() {
    let lab = Lab::new();
    let round = lab.round(3, 0);
    let mut gathered = lab.gathered();
    gathered.sign(&round, &lab.keys[..1]).expect("signed");
    let waiting = round.check(&gathered, &lab.own(), at(10)).expect_err("one of two");
    assert!(matches!(waiting, RoundError::Waiting { .. }));
    let standings = round.standings(&lab.gathered(), &lab.own(), at(10)).expect("kept");
    let counts: Vec<_> = standings.iter().map(|it| (it.signed.len(), it.at_hand.len())).collect();
    assert_eq!(counts, [(1, 0), (0, 1)], "the head is signed last of all");
    let request = round.request(&gathered, &lab.own(), at(10)).expect("read").expect("missing");
    assert_eq!(request.keys, [lab.keys[1].vkey()]);
    assert_eq!(SigningRequest::parse(&request.to_bytes()).expect("read"), request);

    let signatures = sign(&request, &lab.holder(2), at(20)).expect("signed");
    let read = Signatures::parse(&signatures.to_bytes()).expect("read");
    let mut gathered = lab.gathered();
    let imported = round.import(&read, &mut gathered, at(30)).expect("taken");
    assert_eq!(imported, Imported { new: 3, known: 0 });
    let again = round.import(&read, &mut gathered, at(30)).expect("known");
    assert_eq!(again, Imported { new: 0, known: 3 });
    round.check(&lab.gathered(), &lab.own(), at(30)).expect("met");
    assert_eq!(round.request(&gathered, &lab.own(), at(30)).expect("read"), None);
    assert_eq!(gathered.others(&round.items[1], &lab.keys[..1], &round.keys).len(), 2);
    // and not for ever: a head's signatures grow old
    assert!(round.check(&lab.gathered(), &lab.own(), at(1021)).is_err());
    Gathered::clear(&lab.directory).expect("cleared");
    assert!(round.check(&lab.gathered(), &lab.own(), at(30)).is_err());
}

#[test]
fn what_does_not_belong_is_refused_and_nothing_of_it_kept() {
    let lab = Lab::new();
    let round = lab.round(3, 100);
    let request = |round: &Round| {
        round.request(&lab.gathered(), &lab.own(), at(100)).expect("read").expect("missing")
    };
    let good = sign(&request(&round), &lab.holder(2), at(110)).expect("signed");
    let import = |brought: &Signatures, now: u64| {
        let refused = round.import(brought, &mut lab.gathered(), at(now));
        assert!(lab.gathered().kept.is_empty());
        refused.expect_err("refused")
    };
    let earlier = lab.round(2, 0);
    let other =
        sign(&request(&earlier), &Holder { record: lab.directory.path(), ..lab.holder(2) }, at(50));
    assert!(matches!(import(&other.expect("signed"), 120), RoundError::NotAsked { place: 1, .. }));
    let role = Signatures { role: Log::Distribution, ..good.clone() };
    assert!(matches!(import(&role, 120), RoundError::OtherRole { .. }));
    let cosigned = |key: &SigningKey, time: u64| {
        let item = &round.items[1];
        let line = print(&cosign(key, &item.text, at(time)).expect("signed"));
        Signatures { role: Log::Collection, signatures: vec![Signature { of: item.id(), line }] }
    };
    assert!(matches!(import(&cosigned(&lab.keys[2], 110), 120), RoundError::NotListed { .. }));
    assert!(matches!(import(&cosigned(&lab.keys[1], 99), 120), RoundError::Early { .. }));
    assert!(matches!(import(&cosigned(&lab.keys[1], 1000), 120), RoundError::Policy(_)), "future");
    assert!(matches!(import(&cosigned(&lab.keys[1], 110), 1200), RoundError::Policy(_)), "too old");
    let bytes = good.to_bytes();
    for place in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[place] ^= 1;
        if let Ok(changed) = Signatures::parse(&changed) {
            let refused = import(&changed, 120);
            if let RoundError::Policy(error) = &refused {
                assert!(matches!(error.refusal, Refusal::BadSignature { .. }), "{refused}");
            }
        }
    }
    assert!(round.import(&good, &mut lab.gathered(), at(120)).is_ok());
}

#[test]
fn a_key_never_signs_two_trees_of_one_log() {
    let lab = Lab::new();
    let request = |size, kind, since: Option<u64>| {
        let mut item = Item::head(&head(size, kind), true);
        item.growth = since.map(|since| growth(since, size, kind));
        let vkey = lab.keys[1].vkey();
        let (role, begun) = (Log::Collection, None);
        SigningRequest {
            role,
            threshold: 2,
            begun,
            keys: vec![vkey],
            collection: None,
            items: vec![item],
        }
    };
    let sign = |size, kind, since| sign(&request(size, kind, since), &lab.holder(2), at(size));
    sign(3, 0, None).expect("the first of this log");
    sign(3, 0, None).expect("the same again");
    let other = sign(3, 1, None).expect_err("another tree of that size");
    assert!(matches!(other, RoundError::Publish(PublishError::Fork { .. })), "{other}");
    let unproven = sign(5, 0, None).expect_err("no proof");
    assert!(matches!(unproven, RoundError::OtherSince { signed: 3, since: 0, .. }), "{unproven}");
    let elsewhere = sign(5, 0, Some(4)).expect_err("another proof");
    assert!(matches!(elsewhere, RoundError::OtherSince { signed: 3, since: 4, .. }));
    let forked = sign(5, 1, Some(3)).expect_err("history rewritten");
    assert!(matches!(forked, RoundError::Fork { signed: 3, .. }), "{forked}");
    sign(5, 0, Some(3)).expect("it extends what was signed");
    let smaller = sign(4, 0, Some(3)).expect_err("smaller");
    assert!(matches!(smaller, RoundError::Publish(PublishError::Fork { .. })));
}

#[test]
fn nothing_is_signed_that_is_not_the_roles() {
    let lab = Lab::new();
    let round = lab.round(3, 0);
    let asked = round.request(&lab.gathered(), &lab.own(), at(0)).expect("read").expect("missing");
    let refused =
        |request: &SigningRequest| sign(request, &lab.holder(2), at(10)).expect_err("refused");
    let role = SigningRequest { role: Log::Distribution, ..asked.clone() };
    assert!(matches!(refused(&role), RoundError::OtherKind { place: 0, .. }));
    let with = |item: Item| SigningRequest { items: vec![item], ..asked.clone() };
    let text = with(Item::patch("{\"type\":\"authority/v1\"}\n".into(), 0));
    assert!(matches!(refused(&text), RoundError::OtherKind { .. }));
    let countersignature = Item::countersignature(ENTRY.into(), 0, &[]);
    let second = SigningRequest { role: Log::Distribution, ..with(countersignature) };
    assert!(matches!(refused(&second), RoundError::NoAuthority));
    let found =
        FoundKey::open(&KeyLocation::File(lab.base.path().join("3.pem")), &Passphrases::default());
    let stranger = asked.name(found.expect("opened"));
    assert!(matches!(stranger, Err(RoundError::NotMine(_))));
}

#[test]
fn what_a_head_adds_is_said_in_words() {
    let growth = |entries: &[&str]| Growth {
        size: 7,
        root: head(7, 0).root,
        proof: Vec::new(),
        frontier: Vec::new(),
        entries: entries.iter().map(|entry| format!("{entry}\n")).collect(),
    };
    let revoke = r#"{"type":"revoke/v1","patch":3,"reason":"breaks the spooler"}"#;
    let collection: Vec<_> = growth(&[revoke, "{}"]).describe(Log::Collection).collect();
    let expected = ["revokes entry 3: breaks the spooler", "nothing that readers understand"];
    assert_eq!(collection, [(7, expected[0].to_owned()), (8, expected[1].to_owned())]);
    let of = r#""of":{"origin":"example.org/c","size":9,"root":"CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I="}"#;
    let release =
        format!(r#"{{"type":"release/v1",{of},"patches":[[1,2],[4,9]],"ring":"all","percent":5}}"#);
    let distribution: Vec<_> = growth(&[&release]).describe(Log::Distribution).collect();
    assert_eq!(distribution, [(7, "releases 1, 4–8 of example.org/c to all, 5 %".to_owned())]);
}

#[test]
fn no_request_brings_a_key_to_sign_two_trees() {
    let lab = Lab::new();
    let ask = |name: &str, kinds: &[u64]| {
        let keys = vec![Vkey::server(name.parse().expect("a name"), lab.keys[1].vkey().key)];
        let items = kinds.iter().map(|kind| Item::head(&head(3, *kind), true)).collect();
        let request = SigningRequest { keys, items, ..asked(&lab, 0) };
        let location = KeyLocation::File(lab.base.path().join("2.pem"));
        let found = FoundKey::open(&location, &Passphrases::default()).expect("opened");
        let holder = Holder { key: request.name(found)?, ..lab.holder(2) };
        sign(&request, &holder, at(10))
    };
    let at_once = ask("example.org/2", &[0, 1]).expect_err("two trees at once");
    assert!(matches!(at_once, RoundError::TwoHeads(_)), "{at_once}");
    ask("example.org/2", &[0]).expect("one tree");
    let renamed = ask("example.org/another", &[1]).expect_err("under another name");
    assert!(matches!(renamed, RoundError::Publish(PublishError::Fork { .. })), "{renamed}");

    // a head whose entries are others than those that are shown
    for change in [
        |growth: &mut Growth| growth.entries[1] = growth.entries[0].clone(),
        |growth: &mut Growth| _ = growth.entries.pop(),
        |growth: &mut Growth| growth.root.0[0] ^= 1,
    ] {
        let mut request = asked(&lab, 0);
        let mut shown = growth(1, 3, 0);
        change(&mut shown);
        request.items[0].growth = Some(shown);
        let error = sign(&request, &lab.holder(2), at(10)).expect_err("not what is shown");
        assert!(matches!(error, RoundError::NotShown(_)), "{error}");
    }

    // somebody else signs with the same record at this moment
    let record = lab.directory.path();
    let this = countersign_store::Holder::this_process("test", 0);
    let lock = Lock::acquire(&record.join("heads.lock"), &this, None, |_| ()).expect("locked");
    let name = record_name(&head(3, 0).origin, &lab.keys[1].vkey().key);
    let late = std::thread::scope(|scope| {
        scope.spawn(move || {
            std::thread::sleep(std::time::Duration::from_millis(200));
            let mut other = HeadRecord::open(record, &name).expect("opened");
            other.advance(&SignedHead::new(&head(3, 0), at(10))).expect("recorded");
            drop(lock);
        });
        sign(&asked(&lab, 1), &Holder { record, ..lab.holder(2) }, at(10))
    });
    assert!(matches!(late, Err(RoundError::Publish(PublishError::Fork { .. }))), "{late:?}");
}

/// A request to sign one head of three entries.
fn asked(lab: &Lab, kind: u64) -> SigningRequest {
    let (role, keys) = (Log::Collection, vec![lab.keys[1].vkey()]);
    let items = vec![Item::head(&head(3, kind), true)];
    SigningRequest { role, threshold: 2, begun: None, keys, collection: None, items }
}

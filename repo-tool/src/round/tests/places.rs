//! Where a patch that is countersigned is in the collection's log.

use countersign_fixtures::{PatchSpec, Payload, Repository, RepositoryBuilder, Server};
use countersign_format::layout;
use countersign_format::merkle::prove_inclusion;

use super::*;
use crate::publish::TreeNodes;

/// A distribution whose authority retired the collection's key at entry 1; a patch that it signed
/// before and one that it signed after, both in the log.
struct Countersigning {
    lab: Lab,
    repository: Repository,
    old: Server,
}

impl Countersigning {
    fn new() -> Self {
        let (lab, mut repository) = (Lab::new(), RepositoryBuilder::new().now(at(0)).build());
        for content in ["one", "two"] {
            let payload = Payload::new().file("opt/acme/data", content);
            repository.collect(&PatchSpec::full("acme", "1.0.0", &payload));
        }
        let old = repository.collections[0].clone();
        let new = Server::new("patches.example.org/collection", 2);
        repository.authority.collection.keys[0].until = Some(1);
        repository.authority.collection.keys.push(new.listed());
        repository.collections = vec![new];
        let holder = ServerKey {
            kgc: None,
            reconstruction: None,
            vkey: lab.keys[1].vkey(),
            id: lab.keys[1].name().clone(),
            ..repository.distributions[0].listed()
        };
        repository.authority.distributions[0].log.keys.push(holder);
        repository.publish();
        Self { lab, repository, old }
    }

    /// The request to countersign the patch at `index`, which says that it is at `place`.
    fn request(&self, index: u64, place: u64) -> SigningRequest {
        let entries = self.repository.collection.entries();
        let entry = &entries[usize::try_from(index).expect("small")];
        let text = String::from_utf8(entry.clone()).expect("JSON is UTF-8");
        let first = self.old.sign(&text);
        let mut item = Item::countersignature(text, place, first.signatures());
        let size = self.repository.collection.size();
        let memory = self.repository.memory();
        let mut nodes = TreeNodes::of(&memory, Log::Collection, size);
        item.inclusion = prove_inclusion(index, size, &mut nodes).expect("proven");
        let head = self.repository.collection_files()[&layout::checkpoint(Log::Collection)].clone();
        SigningRequest {
            role: Log::Distribution,
            threshold: 2,
            begun: None,
            keys: vec![self.lab.keys[1].vkey()],
            collection: Some(String::from_utf8(head).expect("notes are text")),
            items: vec![item],
        }
    }

    fn sign(&self, request: &SigningRequest) -> Result<Signatures, RoundError> {
        let authority = Some(&self.repository.authority);
        sign(request, &Holder { authority, ..self.lab.holder(2) }, at(10))
    }
}

#[test]
fn where_a_patch_is_in_the_log_is_proven_and_not_believed() {
    let it = Countersigning::new();
    let signed = it.sign(&it.request(0, 0)).expect("signed before the key was retired");
    assert_eq!(signed.signatures.len(), 1);
    let late = it.sign(&it.request(1, 1)).expect_err("signed by a retired key");
    assert!(matches!(late, RoundError::Policy(_)), "{late}");

    // the request says that the late one is an early one
    let refused = it.sign(&it.request(1, 0)).expect_err("not there");
    assert!(matches!(refused, RoundError::NoPlace { source: Some(_), .. }), "{refused}");
    let mut elsewhere = it.request(1, 0);
    elsewhere.items[0].inclusion = it.request(0, 0).items[0].inclusion.clone();
    assert!(matches!(it.sign(&elsewhere), Err(RoundError::NoPlace { .. })));
    let mut nowhere = it.request(0, 0);
    nowhere.items[0].index = None;
    assert!(matches!(it.sign(&nowhere), Err(RoundError::NoPlace { source: None, .. })));
    let headless = SigningRequest { collection: None, ..it.request(0, 0) };
    assert!(matches!(it.sign(&headless), Err(RoundError::NoCollection)));

    // the thief's own log, in which the late one is the first
    let mut forged = it.request(1, 0);
    let tree = leaf_hash(forged.items[0].text.as_bytes());
    let origin = it.repository.authority.collection.origin.clone();
    let head = Checkpoint { origin, size: 1, root: tree }.to_string();
    let time = cosign(&it.old.signer(), &head, at(5)).expect("signed");
    forged.items[0].inclusion = Vec::new();
    let note = it.old.sign(&head).with([time]).to_bytes();
    forged.collection = Some(String::from_utf8(note).expect("notes are text"));
    let refused = it.sign(&forged).expect_err("a head by a retired key");
    assert!(matches!(refused, RoundError::Policy(_)), "{refused}");
}

#[test]
fn who_is_not_listed_countersigns_nothing() {
    let mut it = Countersigning::new();
    it.repository.authority.distributions[0].log.keys.pop();
    assert!(matches!(it.sign(&it.request(0, 0)), Err(RoundError::NotListed { .. })));
}

//! Every truncation and every flipped bit of each small signed file (threats C3).

use super::*;
use crate::issue::Acceptance;
use crate::layout::Log;
use crate::merkle::{leaf_hash, node_hash, verify_inclusion};
use crate::proof::Proof;

/// Asserts that `accepts` takes `good` and nothing that a bit or the end is missing of.
fn only_the_whole_is_accepted(good: &[u8], accepts: impl Fn(&[u8]) -> bool) {
    assert!(accepts(good));
    for length in 0..good.len() {
        assert!(!accepts(&good[..length]), "cut at {length}");
    }
    let mut bytes = good.to_vec();
    for bit in 0..good.len() * 8 {
        bytes[bit / 8] ^= 1 << (bit % 8);
        assert!(!accepts(&bytes), "bit {} of byte {}", bit % 8, bit / 8);
        bytes[bit / 8] ^= 1 << (bit % 8);
    }
}

/// `text`, signed or cosigned by whom it must be.
fn note_of(text: &str, lines: impl IntoIterator<Item = SignatureLine>) -> Vec<u8> {
    Note::new(text.into(), lines.into_iter().collect()).to_bytes()
}

#[test]
fn authority_notes() {
    let mut authority = note();
    let keys = [authority_key(50), authority_key(51)];
    authority.authority.keys = keys.iter().map(vkey).collect();
    authority.authority.threshold = 2;
    // without the spread for people, which is as many bits again
    let text =
        String::from_utf8(crate::json::print_line("authority/v1", &authority)).expect("text");
    let good = note_of(&text, keys.iter().map(|key| sign_note(key, &text).expect("signed")));
    only_the_whole_is_accepted(&good, |bytes| Chain::enroll(bytes, "authority/1").is_ok());
    let chain = Chain::enroll(&good, "authority/1").expect("enrolled");
    authority.version = 2;
    let text =
        String::from_utf8(crate::json::print_line("authority/v1", &authority)).expect("text");
    let next = note_of(&text, keys.iter().map(|key| sign_note(key, &text).expect("signed")));
    only_the_whole_is_accepted(&next, |bytes| chain.follow(bytes, "authority/2", 2).is_ok());
}

/// A head of three entries with all lines that count and none besides.
fn head(world: &World, root: &crate::hash::Hash32) -> Vec<u8> {
    let text = format!("example.org/collection\n3\n{}\n", root.to_base64());
    let cosigned = |signer: &dyn Signer| cosign(signer, &text, now()).expect("cosigned");
    note_of(&text, [cosigned(&world.collection), cosigned(&world.distribution)])
}

#[test]
fn checkpoints() {
    let world = World::new();
    let newest = SignerTimes::new();
    let context = index::context(&world, &newest);
    let good = head(&world, &leaf_hash(b"root"));
    only_the_whole_is_accepted(&good, |bytes| verify_checkpoint(bytes, &context).is_ok());
    let text = format!("example.org/distribution\n3\n{}\n", leaf_hash(b"root").to_base64());
    let context = CheckpointContext { log: Log::Distribution, ..context };
    let good = note_of(&text, [cosign(&world.distribution, &text, now()).expect("cosigned")]);
    only_the_whole_is_accepted(&good, |bytes| verify_checkpoint(bytes, &context).is_ok());
}

#[test]
fn proofs() {
    let world = World::new();
    let newest = SignerTimes::new();
    let context = index::context(&world, &newest);
    let leaves = [b"0\n", b"1\n", b"2\n"].map(|entry| leaf_hash(entry));
    let root = node_hash(&node_hash(&leaves[0], &leaves[1]), &leaves[2]);
    let checkpoint = Note::parse(&head(&world, &root), MAX_NOTE).expect("a note");
    let proof = Proof { index: 1, hashes: vec![leaves[0], leaves[2]], checkpoint };
    only_the_whole_is_accepted(&proof.to_bytes(), |bytes| {
        let Ok(proof) = Proof::parse(bytes) else { return false };
        let head = verify_checkpoint(&proof.checkpoint.to_bytes(), &context);
        head.is_ok_and(|head| {
            let (size, root) = (head.checkpoint.size, &head.checkpoint.root);
            verify_inclusion(leaves[1], proof.index, size, &proof.hashes, root).is_ok()
        })
    });
}

#[test]
fn directories() {
    let world = World::new();
    let text = "{\"type\":\"directory/v1\",\"name\":\"example.org/directory\",\"version\":1,\"expires\":\"2027-01-01T00:00:00Z\",\"servers\":[{\"distribution\":\"main\",\"urls\":[{\"url\":\"https://192.0.2.1/\"}]}]}\n";
    let good = note_of(text, [sign_note(&authority_key(60), text).expect("signed")]);
    only_the_whole_is_accepted(&good, |bytes| {
        verify_directory(bytes, "directory", &world.authority, Clock::local(now())).is_ok()
    });
}

#[test]
fn acceptances() {
    use crate::authority::PointText;
    use crate::implicit_key::{MasterSecret, ServerSecret};
    use crate::issue::{Grant, Request};

    let server = ServerSecret::from_seed([5; 32]);
    let id = "example.org/collection".parse().expect("a name");
    let commitment = PointText(server.commitment());
    let request = Request { id, role: Log::Collection, commitment };
    let partial = MasterSecret::from_seed([6; 32])
        .grant(&request.id, 1, &commitment.0, &request.to_bytes(), &[7; 32])
        .expect("a partial key");
    let grant = Grant::new(request.role, &partial);
    let signer = server.accept(&grant.partial_key()).expect("a key pair");
    let good = Acceptance::sign(&grant, &signer).expect("signed").to_bytes();
    only_the_whole_is_accepted(&good, |bytes| Acceptance::verify(bytes, "acceptance").is_ok());
}

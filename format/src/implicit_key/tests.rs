use data_encoding::HEXLOWER;
use serde::Deserialize;

use super::*;

#[derive(Deserialize)]
#[allow(non_snake_case, reason = "the members of the vectors are named like the specification's")]
struct Vector {
    id: KeyName,
    epoch: u32,
    master_seed: String,
    kgc_public: String,
    server_seed: String,
    commitment_X: String,
    blind_seed: String,
    reconstruction_R: String,
    binding_e: String,
    partial_z: String,
    private_a: String,
    hash_prefix: String,
    public_A: String,
    message: String,
    signature: String,
}

fn vectors() -> Vec<Vector> {
    serde_json::from_str(include_str!("vectors.json")).expect("vectors")
}

fn bytes(hex: &str) -> [u8; 32] {
    HEXLOWER.decode(hex.as_bytes()).expect("hex").try_into().expect("32 bytes")
}

#[test]
fn the_vectors_of_the_independent_program_hold() {
    let vectors = vectors();
    assert!(vectors.len() >= 3);
    for vector in vectors {
        let master = MasterSecret::from_seed(bytes(&vector.master_seed));
        assert_eq!(master.public(), bytes(&vector.kgc_public));
        let server = ServerSecret::from_seed(bytes(&vector.server_seed));
        let commitment = server.commitment();
        assert_eq!(commitment, bytes(&vector.commitment_X));
        let blind = bytes(&vector.blind_seed);
        let grant = master
            .grant_with_blind(&vector.id, vector.epoch, &commitment, &blind)
            .expect("a partial key");
        assert_eq!(grant.binding.reconstruction, bytes(&vector.reconstruction_R));
        assert_eq!(grant.binding.scalar().to_bytes(), bytes(&vector.binding_e));
        assert_eq!(grant.scalar, bytes(&vector.partial_z));
        let signer = server.accept(&grant).expect("a key pair");
        assert_eq!(signer.secret.scalar.to_bytes(), bytes(&vector.private_a));
        assert_eq!(signer.secret.hash_prefix, bytes(&vector.hash_prefix));
        assert_eq!(*signer.public_key().as_bytes(), bytes(&vector.public_A));
        let signature = signer.sign(vector.message.as_bytes()).expect("signed");
        assert_eq!(HEXLOWER.encode(&signature), vector.signature);
        assert!(signer.public_key().verifies(vector.message.as_bytes(), &signature));
    }
}

fn issued() -> (MasterSecret, ServerSecret, PartialKey) {
    let master = MasterSecret::from_seed([1; 32]);
    let server = ServerSecret::from_seed([2; 32]);
    let id = "example.org/collection".parse().expect("a name");
    let grant = master.grant(&id, 1, &server.commitment(), b"request", &[3; 32]).expect("a grant");
    (master, server, grant)
}

#[test]
fn an_altered_grant_is_not_accepted() {
    let (_, server, grant) = issued();
    assert!(server.accept(&grant).is_ok());
    let mut other_id = grant.clone();
    other_id.binding.id = "example.org/distribution".parse().expect("a name");
    assert_eq!(server.accept(&other_id).err(), Some(ImplicitKeyError::Mismatch));
    let mut other_epoch = grant.clone();
    other_epoch.binding.epoch = 2;
    assert_eq!(server.accept(&other_epoch).err(), Some(ImplicitKeyError::Mismatch));
    let mut other_scalar = grant.clone();
    other_scalar.scalar[0] ^= 1;
    assert_eq!(server.accept(&other_scalar).err(), Some(ImplicitKeyError::Mismatch));
    let mut too_large = grant.clone();
    too_large.scalar = [0xff; 32];
    assert_eq!(server.accept(&too_large).err(), Some(ImplicitKeyError::Scalar));
    let mut identity = [0; 32];
    identity[0] = 1;
    let mut weak = grant;
    weak.binding.reconstruction = identity;
    assert!(matches!(server.accept(&weak), Err(ImplicitKeyError::Point { which: "R", .. })));
}

#[test]
fn another_servers_grant_is_not_accepted() {
    let (_, _, grant) = issued();
    let other = ServerSecret::from_seed([9; 32]);
    assert_eq!(other.accept(&grant).err(), Some(ImplicitKeyError::Mismatch));
}

#[test]
fn every_draw_is_another_blind() {
    let (master, server, grant) = issued();
    let id = &grant.binding.id;
    let commitment = server.commitment();
    let again = |request: &[u8], epoch, random: [u8; 32]| {
        let grant = master.grant(id, epoch, &commitment, request, &random).expect("a grant");
        grant.binding.reconstruction
    };
    let first = grant.binding.reconstruction;
    assert_eq!(first, again(b"request", 1, [3; 32]));
    assert_ne!(first, again(b"request", 1, [4; 32]));
    assert_ne!(first, again(b"request", 2, [3; 32]));
    assert_ne!(first, again(b"Request", 1, [3; 32]));
}

#[test]
fn a_commitment_without_a_secret_is_refused() {
    let master = MasterSecret::from_seed([1; 32]);
    let id = "example.org/collection".parse().expect("a name");
    let refused = master.grant(&id, 1, &[0xff; 32], b"request", &[3; 32]);
    assert!(matches!(refused, Err(ImplicitKeyError::Point { which: "X", .. })));
}

#[test]
fn nothing_secret_is_printed() {
    let (master, server, grant) = issued();
    let signer = server.accept(&grant).expect("a key pair");
    assert_eq!(format!("{master:?}"), "MasterSecret(secret)");
    assert_eq!(format!("{server:?}"), "ServerSecret(secret)");
    assert_eq!(format!("{signer:?}"), "ImplicitSigner(secret)");
}

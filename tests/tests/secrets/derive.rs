//! What follows from a key file: the seed, and all that a signer makes of it (SPEC §5.1, RFC 8032).

use std::fs;
use std::path::Path;

use curve25519_dalek::edwards::{CompressedEdwardsY, EdwardsPoint};
use curve25519_dalek::scalar::{Scalar, clamp_integer};
use data_encoding::BASE64;
use patchrepo::key_store::{Passphrase, Secret, SecretKind};
use serde_json::Value;
use sha2::{Digest as _, Sha512};

/// A secret and what to call it.
pub type Named = (String, Vec<u8>);

/// The secrets in and behind a key file. `grant` is what made a server's secret a key.
pub fn of_file(path: &Path, passphrase: Option<&str>, grant: Option<&Path>) -> Vec<Named> {
    let text = fs::read_to_string(path).expect("a key file");
    let passphrase = || Passphrase::new(passphrase.expect("encrypted").to_owned().into());
    let secret = Secret::from_pem(&text, passphrase).expect("the passphrase is right");
    let file = path.file_name().expect("a file").to_string_lossy();
    let seed = secret.seed();
    let mut found = vec![(format!("seed of {file}"), seed.to_vec())];
    match secret.kind() {
        SecretKind::Ed25519 => {
            let expanded = Sha512::digest(seed);
            let (scalar, prefix) = expanded.split_at(32);
            let clamped = clamp_integer(scalar.try_into().expect("32 bytes"));
            let reduced = Scalar::from_bytes_mod_order(clamped);
            found.push((format!("scalar of {file}"), clamped.to_vec()));
            found.push((format!("reduced scalar of {file}"), reduced.to_bytes().to_vec()));
            found.push((format!("prefix of {file}"), prefix.to_vec()));
        }
        SecretKind::AuthorityMaster => {
            let scalar = red(&[b"countersign/kgc/v1/master\n", seed]);
            found.push((format!("scalar of {file}"), scalar.to_bytes().to_vec()));
        }
        SecretKind::Server => {
            let own = red(&[b"countersign/kgc/v1/secret\n", seed]);
            found.push((format!("secret scalar of {file}"), own.to_bytes().to_vec()));
            if let Some(grant) = grant {
                let scalar = server_key(&own, grant);
                found.push((format!("key's scalar of {file}"), scalar.to_bytes().to_vec()));
            }
        }
    }
    found
}

/// a = e·x + z
fn server_key(own: &Scalar, grant: &Path) -> Scalar {
    let grant: Value = serde_json::from_slice(&fs::read(grant).expect("a grant")).expect("JSON");
    let bytes = |member: &str| {
        let text = grant[member].as_str().expect("a string");
        BASE64.decode(text.as_bytes()).expect("base64")
    };
    let id = grant["id"].as_str().expect("a name").as_bytes();
    let epoch = u32::try_from(grant["epoch"].as_u64().expect("a number")).expect("small");
    let length = u16::try_from(id.len()).expect("short").to_be_bytes();
    let (kgc, point) = (bytes("kgc"), bytes("reconstruction"));
    let label = b"countersign/kgc/v1/bind\n";
    let bound = red(&[label, &length, id, &epoch.to_be_bytes(), &kgc, &point]);
    let partial: [u8; 32] = bytes("partial_key").try_into().expect("32 bytes");
    let scalar = bound * own + Scalar::from_canonical_bytes(partial).expect("a scalar");
    // A = eR + P: it is the key's, and not bytes that nobody would ever find
    let public = |bytes: &[u8]| {
        let point = CompressedEdwardsY::from_slice(bytes).expect("32 bytes");
        point.decompress().expect("a point")
    };
    let listed = bound * public(&point) + public(&kgc);
    assert_eq!(EdwardsPoint::mul_base(&scalar), listed);
    scalar
}

fn red(parts: &[&[u8]]) -> Scalar {
    let mut hash = Sha512::new();
    for part in parts {
        hash.update(part);
    }
    Scalar::from_bytes_mod_order_wide(&hash.finalize().into())
}

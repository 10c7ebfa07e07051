//! Every truncation and every flipped bit of a small archive.

use super::*;

/// Small, so that all its bits can be flipped, and without hooks: only the archive's own hash
/// covers those, so a flip in one is another good archive once that hash is announced.
fn small() -> (Vec<u8>, Announced) {
    Payload::default().file("etc/a", 0o644, b"content").link("b", "c").directory("d").pack()
}

/// Announces `bytes` as what they are, as only an owner of both keys could.
fn announced_anew(bytes: &[u8], announced: &Announced) -> Announced {
    let (size, sha256) = (bytes.len() as u64, Hash32::of(bytes));
    Announced { size, sha256, ..announced.clone() }
}

#[test]
fn no_truncation_is_accepted() {
    let (bytes, announced) = small();
    for length in 0..bytes.len() {
        let cut = &bytes[..length];
        let found = length as u64;
        let expected = ArchiveError::TooShort { announced: announced.size, found };
        assert_eq!(check(cut, &announced), Err(expected));
        assert!(check(cut, &announced_anew(cut, &announced)).is_err(), "{length}");
        assert!(check_unannounced(cut).is_err(), "{length}");
    }
}

#[test]
fn no_flipped_bit_is_accepted() {
    let (mut bytes, announced) = small();
    let good = contents(&bytes, &announced).expect("a good archive");
    for bit in 0..bytes.len() * 8 {
        bytes[bit / 8] ^= 1 << (bit % 8);
        assert!(check(&bytes, &announced).is_err(), "bit {bit}");
        // with the hash out of the way all other checks still hold
        if let Ok(read) = contents(&bytes, &announced_anew(&bytes, &announced)) {
            assert_eq!(read, good, "bit {bit}");
        }
        bytes[bit / 8] ^= 1 << (bit % 8);
    }
}

#[test]
fn no_flipped_bit_of_the_tar_is_accepted_but_in_the_manifests_words() {
    let (bytes, announced) = small();
    let good = contents(&bytes, &announced).expect("a good archive");
    let mut tar = zstd::decode_all(&*bytes).expect("a frame");
    let manifest_end = 512 + check(&bytes, &announced).expect("good").manifest().to_json().len();
    let mut encoder = zstd::bulk::Compressor::new(1).expect("an encoder");
    for bit in 0..tar.len() * 8 {
        tar[bit / 8] ^= 1 << (bit % 8);
        let frame = encoder.compress(&tar).expect("a frame");
        match contents(&frame, &announced_anew(&frame, &announced)) {
            Ok(read) => {
                assert!((512..manifest_end).contains(&(bit / 8)), "bit {bit}");
                assert_eq!(read, good, "bit {bit}");
            }
            Err(error) => {
                assert!(!matches!(error, ArchiveError::Hash { .. }), "bit {bit}: {error}");
            }
        }
        tar[bit / 8] ^= 1 << (bit % 8);
    }
}

use super::*;
use crate::time::Timestamp;

const PATCH_LINE: &str = r#"{"type":"patch/v1","name":"acme-agent","version":"2.1.1","base":">=2.1.0, <2.1.1","platform":"linux-x86_64","summary":"Closes a heap overflow in the parser","severity":"critical","advisories":["CVE-2026-0001"],"requires":{"libacme":"^1.4"},"archive":{"sha256":"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad","size":1048576,"unpacked":4194304,"files":37},"restart":["acme-agent.service"],"collected":"2026-11-22T10:00:00Z"}"#;
const RELEASE_LINE: &str = r#"{"type":"release/v1","of":{"origin":"patches.example.org/collection","size":51,"root":"ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0="},"patches":[[17,43],[50,51]],"ring":"stable","start":"2026-11-23T02:00:00Z","ramp":86400,"percent":50,"deadline":"2026-11-30T00:00:00Z"}"#;

fn collection(line: &str) -> Result<CollectionEntry, EntryError> {
    CollectionEntry::parse(format!("{line}\n").as_bytes())
}

fn distribution(line: &str) -> Result<DistributionEntry, EntryError> {
    DistributionEntry::parse(format!("{line}\n").as_bytes())
}

#[test]
fn a_patch_prints_as_it_was_read() {
    let entry = collection(PATCH_LINE).expect("a patch");
    assert_eq!(entry.to_bytes().expect("short"), format!("{PATCH_LINE}\n").as_bytes());
    let CollectionEntry::Patch(patch) = entry else { panic!("a patch") };
    let identity = patch.identity();
    assert_eq!(identity.to_string(), "acme-agent@2.1.1 for >=2.1.0, <2.1.1 (linux-x86_64)");
    assert_eq!((patch.severity, patch.reboot), (Severity::Critical, false));
}

#[test]
fn what_is_malformed_is_told_from_what_is_unknown() {
    let unknown = collection(r#"{"type":"patch/v2"}"#);
    assert_eq!(unknown, Err(EntryError::UnknownType("patch/v2".into())));
    // a distribution's entry means nothing in the collection's log
    assert!(matches!(collection(RELEASE_LINE), Err(EntryError::UnknownType(_))));
    assert!(matches!(distribution(PATCH_LINE), Err(EntryError::UnknownType(_))));
    for (from, to) in [
        ("acme-agent\"", "Acme\""),
        ("2.1.1\"", "2.1\""),
        ("2.1.1\"", "2.1.1+build\""),
        (">=2.1.0", "newest"),
        ("critical", "grave"),
        ("CVE-2026-0001", "CVE 2026"),
        ("libacme", "lib acme"),
        ("1048576", "-1"),
        ("1048576", "1e6"),
        ("1048576", "9007199254740992"),
        ("10:00:00Z", "10:00:00+00:00"),
        ("\"files\":37", "\"files\":37,\"files\":38"),
        ("overflow", "\\u001b[31m"),
    ] {
        let line = PATCH_LINE.replacen(from, to, 1);
        assert!(matches!(collection(&line), Err(EntryError::Malformed(_))), "{from} → {to}");
    }
    let later = PATCH_LINE.replacen("\"name\"", "\"later\":{\"a\":1},\"name\"", 1);
    assert_eq!(collection(&later), collection(PATCH_LINE));
    let long = PATCH_LINE.replacen("CVE", &"C".repeat(MAX_ENTRY), 1);
    assert_eq!(collection(&long), Err(EntryError::TooLong));
}

#[test]
fn an_entry_is_one_line_with_its_newline() {
    assert!(CollectionEntry::parse(PATCH_LINE.as_bytes()).is_err());
    // nothing that the text of a note may not have
    for space in ["\n", "\r", "\t"] {
        let broken = PATCH_LINE.replacen(',', &format!(",{space}"), 1);
        let read = collection(&broken);
        assert_eq!(read, Err(EntryError::Malformed(JsonError::LineBreak)), "{space:?}");
    }
}

#[test]
fn sizes_that_no_archive_has_are_refused() {
    let (bytes, files) = (crate::limits::MAX_ARCHIVE, crate::limits::MAX_FILES);
    for (member, most) in
        [("\"size\":1048576", bytes), ("\"unpacked\":4194304", bytes), ("\"files\":37", files)]
    {
        let name = member.split(':').next().expect("a name");
        let with = |value: u64| PATCH_LINE.replacen(member, &format!("{name}:{value}"), 1);
        assert!(collection(&with(most)).is_ok(), "{member}");
        assert!(matches!(collection(&with(most + 1)), Err(EntryError::Invalid(_))), "{member}");
    }
}

#[test]
fn decisions_print_as_they_were_read_and_are_exact() {
    let entry = distribution(RELEASE_LINE).expect("a release");
    assert_eq!(entry.to_bytes().expect("short"), format!("{RELEASE_LINE}\n").as_bytes());
    for (ranges, what) in [
        ("[]", "patches is empty"),
        ("[[5,5]]", "a range of patches is empty or turned round"),
        ("[[6,5]]", "a range of patches is empty or turned round"),
        ("[[5,6],[6,7]]", "the ranges of patches do not ascend, or touch"),
        ("[[5,7],[6,8]]", "the ranges of patches do not ascend, or touch"),
        ("[[5,52]]", "a range of patches ends beyond the tree"),
    ] {
        let line = RELEASE_LINE.replace("[[17,43],[50,51]]", ranges);
        assert_eq!(distribution(&line), Err(EntryError::Invalid(what)), "{ranges}");
    }
    let percent = RELEASE_LINE.replace(":50,", ":101,");
    assert_eq!(distribution(&percent), Err(EntryError::Invalid("percent is above 100")));
    let no_start = RELEASE_LINE.replace("\"start\":\"2026-11-23T02:00:00Z\",", "");
    assert_eq!(distribution(&no_start), Err(EntryError::Invalid("a ramp needs a start")));
}

#[test]
fn a_rollout_opens_bucket_by_bucket() {
    let Ok(DistributionEntry::Release(release)) = distribution(RELEASE_LINE) else {
        panic!("a release")
    };
    let start: Timestamp = "2026-11-23T02:00:00Z".parse().expect("a time");
    let open_at = |seconds| (0..10_000).filter(|b| release.admits(*b, start.plus(seconds))).count();
    assert!(!release.admits(0, Timestamp::from_seconds(start.seconds() - 1).expect("a time")));
    assert_eq!(open_at(0), 0);
    assert_eq!(open_at(43_200), 2500);
    assert_eq!(open_at(86_400), 5000);
    assert_eq!(open_at(864_000), 5000);
    let at_once = Release { start: None, ramp: 0, percent: 100, ..release };
    assert!(at_once.admits(9_999, Timestamp::EPOCH));
}

#[test]
fn the_moment_at_which_a_bucket_opens_is_exact() {
    let Ok(DistributionEntry::Release(half)) = distribution(RELEASE_LINE) else {
        panic!("a release")
    };
    let odd = Release { ramp: 86_399, percent: 37, ..half.clone() };
    let at_once = Release { ramp: 0, ..half.clone() };
    for release in [half, odd, at_once] {
        for bucket in [0, 1, 17, 3_333, 3_699, 3_700, 4_999, 5_000, 9_999] {
            let Some(opens) = release.opens(bucket) else {
                assert!(!release.admits(bucket, Timestamp::MAX), "{bucket}");
                continue;
            };
            let before = Timestamp::from_seconds(opens.seconds() - 1).expect("a time");
            assert!(release.admits(bucket, opens), "{bucket} at {opens}");
            assert!(!release.admits(bucket, before), "{bucket} before {opens}");
        }
    }
}

#[test]
fn buckets_are_spread_and_fixed() {
    let archive = Hash32::of(b"abc");
    let machine = "0123456789abcdef0123456789abcdef";
    let expected = {
        let hash = Hash32::of(&[machine.as_bytes(), archive.as_bytes()].concat());
        let first = hash.0.iter().take(8).fold(0_u64, |sum, byte| (sum << 8) | u64::from(*byte));
        u16::try_from(first % 10_000).expect("small")
    };
    assert_eq!(bucket(machine, &archive), expected);
}

#[test]
fn no_truncation_is_an_entry_and_no_flipped_bit_leaves_it_the_same() {
    let release = distribution(RELEASE_LINE).expect("a release");
    let patch = collection(PATCH_LINE).expect("a patch");
    for line in [PATCH_LINE, RELEASE_LINE] {
        let mut bytes = format!("{line}\n").into_bytes();
        for length in 0..bytes.len() {
            assert!(CollectionEntry::parse(&bytes[..length]).is_err(), "{length}");
            assert!(DistributionEntry::parse(&bytes[..length]).is_err(), "{length}");
        }
        for bit in 0..bytes.len() * 8 {
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_ne!(CollectionEntry::parse(&bytes).as_ref(), Ok(&patch), "bit {bit}");
            assert_ne!(DistributionEntry::parse(&bytes).as_ref(), Ok(&release), "bit {bit}");
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
    }
}

//! Deltas of files on disk.

use std::fs;
use std::path::PathBuf;

use countersign_format::hash::Hash32;
use countersign_format::manifest::{Mode, Owner, Xattrs};

use super::*;

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn bytes(&mut self, length: usize) -> Vec<u8> {
        (0..length).map(|_| self.next().to_le_bytes()[0]).collect()
    }
}

/// The delta from one content to another, which `make` has applied already.
fn delta(old: &[u8], new: &[u8]) -> Option<Vec<u8>> {
    let directory = tempfile::tempdir().expect("a directory");
    let place = |name: &str, content: &[u8]| -> PathBuf {
        let path = directory.path().join(name);
        fs::write(&path, content).expect("written");
        path
    };
    let meta = FileMeta {
        mode: Mode::from_bits(0o644).expect("a mode"),
        size: new.len() as u64,
        sha256: Hash32::of(new),
        config: false,
        owner: Owner::ROOT,
        xattrs: Xattrs::default(),
    };
    let path = "a".parse().expect("a path");
    make(&place("old", old), &place("new", new), (&path, &meta)).expect("made")
}

#[test]
fn small_changes_make_small_deltas() {
    let mut random = Random(1);
    let old = random.bytes(300_000);
    let mut new = old.clone();
    // addresses that moved, something more, something gone, something elsewhere
    for at in (5_000..200_000).step_by(5_000) {
        new[at] = new[at].wrapping_add(64);
    }
    new.splice(70_000..70_000, random.bytes(300));
    new.drain(150_000..151_000);
    new.extend_from_slice(&old[20_000..40_000]);
    let made = delta(&old, &new).expect("worth it");
    assert!(made.len() < 300 + 40 * 4 + 100, "{}", made.len());
    assert_eq!(delta(&old, &new), Some(made), "the same every time");
    assert!(delta(&old, &old).expect("worth it").len() < 16);
}

#[test]
fn what_is_like_nothing_comes_whole() {
    let mut random = Random(2);
    let (old, new) = (random.bytes(10_000), random.bytes(10_000));
    assert_eq!(delta(&old, &new), None);
    assert_eq!(delta(&old, b""), None);
    assert_eq!(delta(b"", &new), None);
    assert_eq!(delta(b"abc", b"abd"), None, "saying so would take more");
}

#[test]
fn any_two_files_make_one_another() {
    let mut random = Random(3);
    for round in 0..300 {
        let words = usize::try_from(random.next() % 60).expect("small") + 1;
        // few different bytes: many equal places
        let alphabet = random.next() % 4 + 1;
        let mut text = |words: usize| -> Vec<u8> {
            let word = |random: &mut Random| {
                let byte = u8::try_from(random.next() % alphabet).expect("small");
                vec![byte; usize::try_from(random.next() % 90).expect("small")]
            };
            (0..words).flat_map(|_| word(&mut random)).collect()
        };
        let (old, new) = (text(words), text(words * 2));
        let matches = Matcher::new(old.clone()).matches(&new);
        let mut done = 0;
        for found in &matches {
            assert!(found.from + found.length <= old.len(), "round {round}: {found:?}");
            done += found.length + found.literal;
        }
        assert_eq!(done, new.len(), "round {round}: {matches:?}");
        drop(delta(&old, &new));
    }
}

#[test]
fn what_repeats_itself_takes_no_time() {
    let zeros = vec![0; 400_000];
    let mut new = zeros.clone();
    for at in (0..new.len()).step_by(997) {
        new[at] = 1;
    }
    assert!(delta(&zeros, &new).expect("worth it").len() < 2_000);
    let pattern: Vec<u8> = (0..200_000_u32).map(|at| (at % 251).to_le_bytes()[0]).collect();
    assert!(delta(&pattern, &pattern[77..]).expect("worth it").len() < 100);
}

#[test]
fn windows_follow_the_file() {
    assert_eq!(base_range(0, 10, 20), 0..10);
    assert_eq!(base_range(WINDOW, BASE_WINDOW, MAX_FILE), 0..BASE_WINDOW);
    let large = 10 * WINDOW;
    assert_eq!(base_range(0, large, large), 0..BASE_WINDOW);
    let start = 4 * WINDOW - WINDOW / 2;
    assert_eq!(base_range(4 * WINDOW, large, large), start..start + BASE_WINDOW);
    assert_eq!(base_range(9 * WINDOW, large, large), large - BASE_WINDOW..large);
    assert_eq!(base_range(MAX_FILE - 1, MAX_FILE, MAX_FILE).end, MAX_FILE);
}

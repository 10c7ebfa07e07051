use super::text::WORDS;
use super::*;
use crate::limits::MAX_ENTRY;

const HASH: &str = "a1880664282a807b61fb5a70c8b2857796c6642a22ff4578a47a14557e110c3b";

fn packed(order: Order, entries: &[Vec<u8>]) -> Vec<u8> {
    let pack = compress(order, entries.iter().map(Vec::as_slice), 3).expect("compressed");
    pack.expect("within the bound")
}

fn read(pack: &[u8], count: u64) -> Result<Vec<Vec<u8>>, PackError> {
    let mut reader = PackReader::new(pack, count)?;
    let mut entries = Vec::new();
    while let Some(entry) = reader.read()? {
        entries.push(entry.to_vec());
    }
    Ok(entries)
}

/// Entries as logs have them, and such as only somebody hostile writes.
fn entries() -> Vec<Vec<u8>> {
    let mut entries: Vec<Vec<u8>> = (0..40)
        .map(|number| {
            format!("{{\"number\":{number},\"sha256\":\"{HASH}\",\"size\":635}}\n").into_bytes()
        })
        .collect();
    let texts = [
        String::new(),
        "\n".into(),
        "\n\n".into(),
        "no newline".into(),
        "two\nlines\n".into(),
        "\u{1}\u{2}\u{3}\n".into(),
        "\u{2}".into(),
        "\u{2}\u{3}\n\u{3}".into(),
        "\u{3}".into(),
        format!("\"{HASH}"),
        format!("\"{HASH}\""),
        format!("{HASH}\""),
        format!("\"{HASH}\"{HASH}\"{HASH}\"\n"),
        format!("\"{HASH}0\""),
        format!("\"{}\"", HASH.to_uppercase()),
        format!("\"{}g\"", &HASH[1..]),
        "\"".repeat(100),
        "\u{1}".repeat(MAX_ENTRY),
        format!("\"{HASH}").repeat(MAX_ENTRY / 65),
    ];
    entries.extend(texts.map(String::into_bytes));
    entries
        .extend(WORDS.iter().map(|(before, after)| format!("{before}{HASH}{after}").into_bytes()));
    entries.extend(WORDS.iter().map(|(before, after)| format!("{before}{after}").into_bytes()));
    entries.push((0..=255).collect());
    entries.push(vec![b'"'; MAX_ENTRY]);
    entries
}

#[test]
fn spans_and_tails() {
    assert_eq!([0, 1, 2].map(pack_span), [256, 4096, 65_536]);
    let starts = [0, 1, 256, 257, 512, 513, 768, 769].map(tail_start);
    assert_eq!(starts, [0, 0, 0, 0, 0, 256, 256, 512]);
}

#[test]
fn every_entry_comes_back_as_it_was() {
    let all = [entries(), entries().into_iter().rev().collect(), vec![b"x\n".to_vec(); 700]];
    for entries in [all.concat(), Vec::new(), vec![Vec::new()]] {
        for order in [Order::Bundles, Order::Tail] {
            let pack = packed(order, &entries);
            assert_eq!(read(&pack, entries.len() as u64).expect("read"), entries);
            let mut reader = PackReader::of_any_count(&pack[..]).expect("opened");
            let mut count = 0;
            while reader.read().expect("read").is_some() {
                count += 1;
            }
            assert_eq!(count, entries.len());
        }
    }
}

#[test]
fn every_word_is_written_as_one_byte() {
    for (before, after) in WORDS {
        let hash = if after.is_empty() { "" } else { HASH };
        let (mut head, mut text) = (GroupHead::default(), Vec::new());
        head.push(&mut text, format!("{before}{hash}{after}\n").as_bytes());
        assert_eq!(text.len(), 2, "{before}{after}");
    }
}

#[test]
fn the_words_are_those_of_the_specification() {
    let specification = include_str!("../../SPEC.md");
    for (code, (before, after)) in (0x0b_u8..).zip(WORDS) {
        let hash = if after.is_empty() { String::new() } else { format!(" hash `{after}`") };
        let row = format!("| 0x{code:02x} | `{before}`{hash} |\n");
        assert!(specification.contains(&row), "{row}");
    }
}

#[test]
fn a_hash_takes_32_bytes() {
    let hashes = |count: u32| -> Vec<Vec<u8>> {
        let hash = |number: u32| crate::hash::Hash32::of(&number.to_be_bytes());
        (0..count)
            .map(|number| format!("{{\"sha256\":\"{}\"}}\n", hash(number)).into_bytes())
            .collect()
    };
    let length = packed(Order::Bundles, &hashes(256)).len();
    assert!((256 * 32..256 * 32 + 100).contains(&length), "{length}");
}

#[test]
fn the_beginning_of_a_tail_pack_suffices_for_its_first_entries() {
    let text =
        |number: usize| format!("{{\"number\":{number},\"sha256\":\"{HASH}\"}}\n").into_bytes();
    let entries: Vec<Vec<u8>> = (0..500).map(text).collect();
    let pack = packed(Order::Tail, &entries);
    let mut most = 0;
    for length in 0..pack.len() {
        let mut reader = PackReader::new(&pack[..length], 500).expect("opened");
        let mut found = 0;
        let error = loop {
            match reader.read() {
                Ok(Some(entry)) => assert_eq!(entry, entries[found]),
                Ok(None) => panic!("it is not whole"),
                Err(error) => break error,
            }
            found += 1;
        };
        assert!(error.is_end(), "{length}: {error:?}");
        assert!(found >= most, "{length}");
        // in steps of a group
        assert!(found == 500 || found.is_multiple_of(TAIL_GROUP), "{length}: {found}");
        most = found;
    }
}

#[test]
fn other_counts_and_leftovers_are_refused() {
    let entries = vec![b"one\n".to_vec(), b"two\n".to_vec(), b"three\n".to_vec()];
    let pack = packed(Order::Bundles, &entries);
    assert!(matches!(read(&pack, 2), Err(PackError::Count { expected: 2 })));
    assert!(matches!(read(&pack, 4), Err(PackError::Malformed(_))));
    let full = packed(Order::Bundles, &vec![b"x\n".to_vec(); 512]);
    assert!(matches!(read(&full, 256), Err(PackError::Count { expected: 256 })));
    assert!(read(&[&pack[..], &[0]].concat(), 3).is_err());
    assert!(read(&[&pack[..], &pack[..]].concat(), 3).is_err());
    assert!(read(b"", 0).is_err());
}

/// A frame around content that no writer makes.
fn frame(content: &[&[u8]]) -> Vec<u8> {
    zstd::encode_all(&content.concat()[..], 1).expect("compressed")
}

#[test]
fn hostile_content_is_refused() {
    let number = |number: u32| number.to_be_bytes();
    let (one, none, hash) = (number(1), number(0), [7; 32]);
    let malformed = |content: &[&[u8]], count: u64| {
        let error = read(&frame(content), count).expect_err("refused");
        assert!(matches!(error, PackError::Malformed(_)), "{error:?}");
    };
    assert_eq!(read(&frame(&[&one, &none, b"x\n"]), 1).expect("good"), [b"x\n"]);
    // a group of no entry, of too many, with more hashes than there can be
    malformed(&[&none, &none], 1);
    malformed(&[&number(257), &none, &b"x\n".repeat(257)], 257);
    malformed(&[&one, &number(u32::MAX), b"x\n"], 1);
    malformed(&[&one, &number(505), &[0; 32 * 505], b"x\n"], 1);
    // hashes that are missing or too many
    malformed(&[&one, &none, b"\x01\n"], 1);
    malformed(&[&one, &one, &hash, b"x\n"], 1);
    malformed(&[&one, &one, &hash[1..]], 1);
    // escapes of nothing, ends within an entry, entries that are too long
    for special in [b"\x02x\n", b"x\x00\n", b"x\x04\n", b"x\x09\n"] {
        malformed(&[&one, &none, special], 1);
    }
    malformed(&[&one, &none, b"\x02"], 1);
    malformed(&[&one, &none, b"x"], 1);
    malformed(&[&one, &none, &vec![b'x'; MAX_ENTRY], b"\n"], 1);
    malformed(&[&one, &none, &b"\x02\x01".repeat(MAX_ENTRY + 1), b"\x03"], 1);
    let hashes = MAX_ENTRY / 64 + 1;
    let count = u32::try_from(hashes).expect("small");
    malformed(&[&number(2), &number(count), &hash.repeat(hashes), &vec![1; hashes], b"\n\n"], 2);
}

#[test]
fn a_changed_bit_is_an_error_or_another_entry_and_never_a_panic() {
    let entries = entries();
    let short: Vec<Vec<u8>> = entries.into_iter().filter(|entry| entry.len() < 300).collect();
    for order in [Order::Bundles, Order::Tail] {
        let pack = packed(order, &short);
        for bit in 0..pack.len() * 8 {
            let mut changed = pack.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            if let Ok(read) = read(&changed, short.len() as u64) {
                assert_eq!(read.len(), short.len());
            }
        }
    }
}

#[test]
fn stops_at_bombs() {
    let over = usize::try_from(MAX_PACK_INFLATED).expect("64 bits") + 1;
    let bomb = frame(&[&1_u32.to_be_bytes(), &[0; 4], &vec![b'x'; over]]);
    assert!(bomb.len() < 100_000);
    assert!(matches!(read(&bomb, 1), Err(PackError::Malformed(_))));
    // many entries, each of which may be there
    let line = vec![b'x'; MAX_ENTRY];
    let many = MAX_PACK_INFLATED / MAX_ENTRY as u64 + 1;
    let lines = (0..many).map(|_| &line[..]);
    assert!(compress(Order::Bundles, lines, 1).expect("compressed").is_none());
    let group = [&1_u32.to_be_bytes()[..], &[0; 4], &vec![b'x'; MAX_ENTRY - 1], b"\n"].concat();
    let bomb = frame(&[&group.repeat(usize::try_from(many).expect("64 bits"))]);
    assert!(read(&bomb, many).expect_err("too large").is_end());
}

/// A byte of a pack may stand for a word, and a few bytes of the frame for many of those.
#[test]
fn stops_at_entries_that_are_short_in_the_pack_and_long_outside() {
    let word = WORDS.iter().position(|(before, _)| before.starts_with("{\"type\":\"release"));
    let code = 0x0b + u8::try_from(word.expect("a word")).expect("small");
    let (before, _) = WORDS[usize::from(code - 0x0b)];
    let text = [vec![code; MAX_ENTRY / before.len()], b"\x03".to_vec()].concat();
    let group = [&256_u32.to_be_bytes()[..], &[0; 4], &text.repeat(256)].concat();
    let entry = MAX_ENTRY / before.len() * before.len();
    let within = MAX_PACK_INFLATED / entry as u64;
    let groups = usize::try_from(within / 256 + 1).expect("small");
    let bomb = frame(&[&group.repeat(groups)]);
    assert!(bomb.len() < 100_000 && group.len() * groups < 8 << 20);
    let mut reader = PackReader::of_any_count(&bomb[..]).expect("opened");
    for _ in 0..within {
        assert!(reader.read().expect("within the bound").is_some());
    }
    let error = reader.read().expect_err("too much");
    assert!(matches!(&error, PackError::Malformed(_)) && !error.is_end(), "{error:?}");
    // nobody writes one
    let entry = before.repeat(MAX_ENTRY / before.len()).into_bytes();
    let entries = (0..=within).map(|_| &entry[..]);
    assert!(compress(Order::Bundles, entries, 1).expect("compressed").is_none());
}

#[test]
fn a_pack_that_compression_does_not_make_small_is_not_written() {
    let noise = |seed: u32| -> Vec<u8> {
        let bytes = |at: u32| crate::hash::Hash32::of(&[seed, at].map(u32::to_be_bytes).concat()).0;
        (0..1024).flat_map(bytes).collect()
    };
    let noise: Vec<Vec<u8>> = (0..4).map(noise).collect();
    let made = |count| {
        let entries = noise[..count].iter().map(Vec::as_slice);
        compress(Order::Tail, entries, 1).expect("compressed").is_some()
    };
    assert_eq!([made(1), made(4)], [true, false]);
    assert_eq!(max_pack_length(256), 192 * 1024);
    assert_eq!(max_pack_length(pack_span(MAX_PACK_LEVEL)), MAX_PACK);
}

//! The same metadata for all programs: names, versions, summaries, sizes and hashes, always the same.

use std::fmt::Write as _;

use countersign_format::hash::Hash32;

/// What every program is told of one package or patch.
#[derive(Clone, Debug)]
pub struct Item {
    pub name: String,
    pub version: String,
    pub summary: String,
    pub size: u64,
    pub unpacked: u64,
    pub sha256: Hash32,
}

/// How many words a full description has more than a summary.
const DESCRIPTION: u64 = 60;

/// The first `count` items; with full descriptions in place of summaries where asked for.
pub fn items(count: u64, is_described: bool) -> Vec<Item> {
    let words = words();
    let mut items: Vec<Item> = (0..count).map(|number| item(number, &words)).collect();
    if is_described {
        items.iter_mut().enumerate().for_each(|(number, item)| describe(item, number, &words));
    }
    items
}

fn describe(item: &mut Item, number: usize, words: &[String]) {
    let mut random = Random(!(number as u64));
    for _ in 0..DESCRIPTION {
        write!(item.summary, " {}", random.word(words)).expect("a String takes all");
    }
}

fn item(number: u64, words: &[String]) -> Item {
    let mut random = Random(number);
    let name = format!("{}-{}{number}", random.word(words), random.word(words));
    let version =
        format!("{}.{}.{}", random.below(4), random.below(20), random.below(60) + number % 2);
    let mut summary = random.word(words).to_owned();
    for _ in 0..6 + random.below(5) {
        write!(summary, " {}", random.word(words)).expect("a String takes all");
    }
    let size = 2_000 + random.below(4_000_000);
    let sha256 = Hash32::of(format!("{name}@{version}").as_bytes());
    Item { name, version, summary, size, unpacked: size * 3, sha256 }
}

/// A few thousand words of one to four syllables.
fn words() -> Vec<String> {
    const SYLLABLES: [&str; 32] = [
        "ba", "cor", "de", "fi", "gra", "ho", "in", "ju", "ka", "lo", "men", "net", "or", "pa",
        "qui", "re", "sta", "ti", "un", "ver", "wa", "xe", "ya", "zo", "al", "ben", "con", "dis",
        "ex", "fer", "gen", "hal",
    ];
    let mut random = Random(u64::MAX);
    let syllable = |random: &mut Random| SYLLABLES[usize::try_from(random.below(32)).unwrap_or(0)];
    (0..4096)
        .map(|_| (0..=random.below(3)).map(|_| syllable(&mut random)).collect::<String>())
        .collect()
}

/// SplitMix64 (Steele, Lea and Flood, 2014).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    /// Words that come first come often, as in any text.
    fn word<'w>(&mut self, words: &'w [String]) -> &'w str {
        let bound = words.len() as u64;
        let limit = self.below(bound) + 1;
        let at = usize::try_from(self.below(limit)).expect("below a few thousand");
        &words[at]
    }
}

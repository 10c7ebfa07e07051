//! A SHA-256 value as words that two people can read to each other, as BIP-39 has them: 24 words of
//! a list of 2048 that differ in their first four letters. The last carries a checksum, so that a
//! word that was misheard is noticed.
//!
//! Source: <https://github.com/bitcoin/bips/blob/master/bip-0039.mediawiki>. The list is
//! `words/english.txt`; `words/LICENSE` is its licence (MIT).

use crate::hash::Hash32;

/// Words of a value: 256 bits and 8 bits of checksum, 11 bits a word.
pub const WORDS: usize = 24;
/// Bits of a word.
const BITS: usize = 11;

static ENGLISH: &str = include_str!("words/english.txt");

/// Why a text is no value in words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WordsError {
    /// Not [`WORDS`] words.
    #[error("a fingerprint has {WORDS} words, these are {0}")]
    Count(usize),
    /// A word that is not in the list; counted from 1.
    #[error("word {place}, {word:?}, is none of the list")]
    Unknown {
        /// Which one.
        place: usize,
        /// The word, cut to 20 characters.
        word: String,
    },
    /// The words do not belong together.
    #[error("the words do not fit together: one of them is wrong, or their order")]
    Checksum,
}

/// The value as words with blanks between them.
pub fn to_words(value: &Hash32) -> String {
    let list: Vec<&str> = ENGLISH.lines().collect();
    let mut bits = [0_u8; 33];
    bits[..32].copy_from_slice(value.as_bytes());
    bits[32] = checksum(value);
    let word = |place: usize| {
        let bit = |place: usize| usize::from(bits[place / 8] >> (7 - place % 8) & 1);
        let index = (place * BITS..(place + 1) * BITS).fold(0, |index, at| index << 1 | bit(at));
        list[index]
    };
    (0..WORDS).map(word).collect::<Vec<_>>().join(" ")
}

/// The value of words with any blanks between them, in any case. The first four letters of a word
/// are enough.
pub fn from_words(text: &str) -> Result<Hash32, WordsError> {
    let words: Vec<String> = text.split_whitespace().map(str::to_ascii_lowercase).collect();
    if words.len() != WORDS {
        return Err(WordsError::Count(words.len()));
    }
    let mut bits = [0_u8; 33];
    for (place, word) in words.iter().enumerate() {
        let is_it =
            |listed: &str| listed == word || (word.len() == 4 && listed.starts_with(word.as_str()));
        // a whole word wins over the beginning of another
        let index = ENGLISH.lines().position(|listed| listed == word);
        let index = index.or_else(|| ENGLISH.lines().position(is_it)).ok_or_else(|| {
            WordsError::Unknown { place: place + 1, word: word.chars().take(20).collect() }
        })?;
        for bit in 0..BITS {
            let at = place * BITS + bit;
            let set = u8::from(index >> (BITS - 1 - bit) & 1 == 1);
            bits[at / 8] |= set << (7 - at % 8);
        }
    }
    let mut value = [0; 32];
    value.copy_from_slice(&bits[..32]);
    let value = Hash32(value);
    if bits[32] == checksum(&value) { Ok(value) } else { Err(WordsError::Checksum) }
}

/// The first byte of the value's own SHA-256.
fn checksum(value: &Hash32) -> u8 {
    Hash32::of(value.as_bytes()).as_bytes()[0]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_those_of_the_standard() {
        // vectors of BIP-39
        let zeros = format!("{}art", "abandon ".repeat(23));
        assert_eq!(to_words(&Hash32([0; 32])), zeros);
        let ones = format!("{}vote", "zoo ".repeat(23));
        assert_eq!(to_words(&Hash32([0xff; 32])), ones);
        let letters = "letter advice cage absurd amount doctor acoustic avoid letter advice cage \
                       absurd amount doctor acoustic avoid letter advice cage absurd amount doctor \
                       acoustic bless";
        assert_eq!(to_words(&Hash32([0x80; 32])), letters);
    }

    #[test]
    fn what_is_said_is_heard_or_refused() {
        let value = Hash32::of(b"an authority note");
        let said = to_words(&value);
        assert_eq!(from_words(&said), Ok(value));
        let short: Vec<String> =
            said.split(' ').map(|word| word.chars().take(4).collect::<String>()).collect();
        assert_eq!(from_words(&short.join("\n ").to_uppercase()), Ok(value));
        let words: Vec<&str> = said.split(' ').collect();
        assert_eq!(from_words(&words[1..].join(" ")), Err(WordsError::Count(23)));
        let unknown = said.replacen(words[3], "quux", 1);
        assert!(matches!(from_words(&unknown), Err(WordsError::Unknown { .. })));
        // of 24 · 2047 words that are wrong one in 256 fits by chance; these do not
        let mut swapped = words.clone();
        swapped.swap(0, 1);
        assert_eq!(from_words(&swapped.join(" ")), Err(WordsError::Checksum));
    }

    #[test]
    fn the_list_is_whole() {
        assert_eq!(ENGLISH.lines().count(), 2048);
        let digest = "2f5eed53a4727b4bf8880d8f3f199efc90e58503646d9ff8eff3a2ed3b24dbda";
        assert_eq!(Hash32::of(ENGLISH.as_bytes()).to_string(), digest);
    }
}

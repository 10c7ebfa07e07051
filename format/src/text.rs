//! Short texts that people read, and the small words of entries, made safe to print (SPEC §4.1).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Longest [`Line`], in bytes: a sentence, not a page.
pub const MAX_LINE: usize = 1024;
/// Longest [`AdvisoryId`], [`RingName`], [`DistributionName`] and [`RegionName`], in bytes.
pub const MAX_WORD: usize = 64;

/// One line that a person may be shown: at most [`MAX_LINE`] bytes, without control characters and
/// without the characters that turn the direction of text, so that it cannot garble a terminal.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Line(Box<str>);

/// The name of an advisory, such as `CVE-2026-0001`: letters, digits and `._:-`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AdvisoryId(Box<str>);

/// A ring: a group of machines that patches are released to. `[a-z0-9][a-z0-9._-]{0,63}`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RingName(Box<str>);

/// A distribution's short name in the authority note. `[a-z0-9][a-z0-9._-]{0,63}`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DistributionName(Box<str>);

/// Where servers and machines are, in the operator's own words, such as `eu-west`.
/// `[a-z0-9][a-z0-9._-]{0,63}`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RegionName(Box<str>);

/// Why a text is none of these.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TextError {
    /// Longer than its kind may be.
    #[error("{what} is longer than {limit} bytes")]
    TooLong {
        /// What the text was to be.
        what: &'static str,
        /// The bound, in bytes.
        limit: usize,
    },
    /// A character that its kind does not have, or nothing at all.
    #[error("{what} {text:?} is empty or has a character that is not allowed there")]
    Character {
        /// What the text was to be.
        what: &'static str,
        /// The text, cut to 80 characters.
        text: String,
    },
}

/// Whether `c` is a control character or turns the direction of the text around it.
fn garbles(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2028}'
            | '\u{2029}' | '\u{2066}'..='\u{206f}' | '\u{feff}')
}

/// A text of the other side that goes into a message: cut to `limit` characters, and what garbles a
/// terminal escaped.
pub(crate) fn shown(text: &str, limit: usize) -> String {
    let mut shown = String::new();
    for c in text.chars().take(limit) {
        if garbles(c) { shown.extend(c.escape_unicode()) } else { shown.push(c) }
    }
    shown
}

fn is_lower_word(text: &str) -> bool {
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-".contains(c);
    text.chars().all(inner) && !text.starts_with(['.', '_', '-'])
}

fn is_advisory(text: &str) -> bool {
    let inner = |c: char| c.is_ascii_alphanumeric() || "._:-".contains(c);
    text.chars().all(inner) && text.starts_with(|c: char| c.is_ascii_alphanumeric())
}

fn check(
    what: &'static str,
    limit: usize,
    text: &str,
    good: impl Fn(&str) -> bool,
) -> Result<Box<str>, TextError> {
    if text.len() > limit {
        return Err(TextError::TooLong { what, limit });
    }
    if !good(text) {
        return Err(TextError::Character { what, text: text.chars().take(80).collect() });
    }
    Ok(text.into())
}

macro_rules! text_type {
    ($type:ident, $what:literal, $limit:expr, $good:expr) => {
        impl FromStr for $type {
            type Err = TextError;

            fn from_str(text: &str) -> Result<Self, TextError> {
                check($what, $limit, text, $good).map(Self)
            }
        }

        impl $type {
            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(&self.0)
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, formatter)
            }
        }

        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

text_type!(Line, "text", MAX_LINE, |text| {
    // most lines are of these alone, and bytes are quicker to look at than characters
    text.bytes().all(|byte| matches!(byte, b' '..=b'~')) || !text.chars().any(garbles)
});
text_type!(AdvisoryId, "advisory", MAX_WORD, |text| !text.is_empty() && is_advisory(text));
text_type!(RingName, "ring", MAX_WORD, |text| !text.is_empty() && is_lower_word(text));
text_type!(RegionName, "region", MAX_WORD, |text| !text.is_empty() && is_lower_word(text));
text_type!(DistributionName, "distribution name", MAX_WORD, |text| {
    !text.is_empty() && is_lower_word(text)
});

impl Line {
    /// Whether there is no text.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_garbles_a_terminal_is_refused() {
        assert!("Closes a heap overflow — 보안".parse::<Line>().is_ok());
        assert!("".parse::<Line>().is_ok());
        for bad in ["\u{1b}[31m", "a\nb", "a\u{9b}b", "a\u{202e}b", "a\u{2066}b", "a\u{61c}b"] {
            assert!(bad.parse::<Line>().is_err(), "{bad:?}");
        }
        assert!("a".repeat(1024).parse::<Line>().is_ok());
        assert!("a".repeat(1025).parse::<Line>().is_err());
    }

    #[test]
    fn what_is_shown_is_short_and_harmless() {
        assert_eq!(shown("보안 \u{1b}[31m\u{202e}x", 9), "보안 \\u{1b}[31m\\u{202e}");
    }

    #[test]
    fn words() {
        assert!("CVE-2026-0001".parse::<AdvisoryId>().is_ok());
        assert!("RHSA-2026:0001".parse::<AdvisoryId>().is_ok());
        for bad in ["", "-x", "a b", "a/b"] {
            assert!(bad.parse::<AdvisoryId>().is_err(), "{bad:?}");
        }
        assert!("stable".parse::<RingName>().is_ok());
        for bad in ["", "Stable", ".x", "a b", "../x"] {
            assert!(bad.parse::<RingName>().is_err(), "{bad:?}");
        }
    }
}

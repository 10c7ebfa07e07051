//! Points in time: whole seconds since 1970, written as RFC 3339 UTC.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A point in time in whole seconds since 1970-01-01T00:00:00Z, up to the year 9999.
///
/// Its text is RFC 3339 with `Z` and without fractions, such as `2026-11-22T10:00:00Z`; no other
/// spelling of the same moment is read.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Timestamp(u64);

/// Why a value is no point in time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TimeError {
    /// Not of the form `YYYY-MM-DDTHH:MM:SSZ`, or no such moment.
    #[error("not a time like 2026-11-22T10:00:00Z: {0:?}")]
    Form(String),
    /// After the year 9999.
    #[error("{0} seconds since 1970 is after the year 9999")]
    TooLate(u64),
}

impl Timestamp {
    /// 1970-01-01T00:00:00Z.
    pub const EPOCH: Self = Self(0);
    /// 9999-12-30T22:00:00Z: the last that RFC 3339 can write in every time zone.
    pub const MAX: Self = Self(253_402_207_200);

    /// The moment `seconds` after 1970-01-01T00:00:00Z.
    pub fn from_seconds(seconds: u64) -> Result<Self, TimeError> {
        if seconds > Self::MAX.0 { Err(TimeError::TooLate(seconds)) } else { Ok(Self(seconds)) }
    }

    /// Seconds since 1970-01-01T00:00:00Z.
    pub fn seconds(self) -> u64 {
        self.0
    }

    /// The moment `seconds` later, at most [`Timestamp::MAX`].
    #[must_use]
    pub fn plus(self, seconds: u64) -> Self {
        Self(self.0.saturating_add(seconds).min(Self::MAX.0))
    }

    /// Seconds from `earlier` to this moment, zero when `earlier` is later.
    pub fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl FromStr for Timestamp {
    type Err = TimeError;

    fn from_str(text: &str) -> Result<Self, TimeError> {
        let form = || TimeError::Form(text.chars().take(40).collect());
        Self::from_seconds(seconds(text).ok_or_else(form)?)
    }
}

/// Seconds since 1970 of a moment in its one spelling.
fn seconds(text: &str) -> Option<u64> {
    let text: &[u8; 20] = text.as_bytes().try_into().ok()?;
    let marks = [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':'), (19, b'Z')];
    if marks.iter().any(|(at, mark)| text[*at] != *mark) {
        return None;
    }
    let number = |digits: &[u8]| {
        digits.iter().try_fold(0, |number: i16, digit| {
            digit.is_ascii_digit().then(|| number * 10 + i16::from(digit - b'0'))
        })
    };
    let small = |at: usize| number(&text[at..at + 2]).and_then(|number| i8::try_from(number).ok());
    let date = jiff::civil::Date::new(number(&text[..4])?, small(5)?, small(8)?).ok()?;
    let time = jiff::civil::Time::new(small(11)?, small(14)?, small(17)?, 0).ok()?;
    let zone = jiff::tz::Offset::UTC;
    u64::try_from(zone.to_timestamp(date.to_datetime(time)).ok()?.as_second()).ok()
}

impl fmt::Display for Timestamp {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = i64::try_from(self.0).expect("at most the year 9999");
        let moment = jiff::Timestamp::from_second(seconds).expect("at most Timestamp::MAX");
        write!(formatter, "{moment}")
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_spelling_a_moment() {
        let time: Timestamp = "2026-11-22T10:00:00Z".parse().expect("a time");
        assert_eq!(time.seconds(), 1_795_341_600);
        assert_eq!(time.to_string(), "2026-11-22T10:00:00Z");
        for loose in [
            "2026-11-22t10:00:00z",
            "2026-11-22 10:00:00Z",
            "2026-11-22T10:00:00+00:00",
            "2026-11-22T10:00:00.0Z",
            "2026-02-30T10:00:00Z",
            "1969-12-31T23:59:59Z",
            "2026-11-22T10:00:60Z",
            "",
        ] {
            assert!(loose.parse::<Timestamp>().is_err(), "{loose}");
        }
        assert!(Timestamp::from_seconds(u64::MAX).is_err());
        assert_eq!(Timestamp::MAX.to_string(), "9999-12-30T22:00:00Z");
        assert_eq!(Timestamp::EPOCH.to_string(), "1970-01-01T00:00:00Z");
    }
}

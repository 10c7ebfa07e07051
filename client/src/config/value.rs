//! Values of settings, read strictly.

use std::time::Duration;

/// A value as a file or an environment variable has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Raw {
    /// A string; all that is not in a file is one.
    Text(String),
    /// A whole number.
    Number(String),
    /// `true` or `false`.
    Flag(bool),
    /// Anything else.
    Other,
}

const SPAN_UNITS: [(&str, u64); 4] = [("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1)];
const SIZE_UNITS: [(&str, u64); 7] = [
    ("B", 1),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("kB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
];

impl Raw {
    /// The text of a value that must be one.
    pub(super) fn text(&self) -> Result<&str, String> {
        match self {
            Self::Text(text) => Ok(text),
            Self::Number(text) => Err(format!("{text} is a number, not a text in quotes")),
            Self::Flag(flag) => Err(format!("{flag} is not a text in quotes")),
            Self::Other => Err("it is no text in quotes".into()),
        }
    }

    /// A whole number.
    pub(super) fn number(&self) -> Result<u64, String> {
        let (Self::Text(text) | Self::Number(text)) = self else {
            return Err("it is no whole number".into());
        };
        digits(text).ok_or_else(|| format!("{text:?} is no whole number"))
    }

    /// `true` or `false`.
    pub(super) fn flag(&self) -> Result<bool, String> {
        match self {
            Self::Flag(flag) => Ok(*flag),
            Self::Text(text) if text == "true" => Ok(true),
            Self::Text(text) if text == "false" => Ok(false),
            _ => Err("it is neither true nor false".into()),
        }
    }

    /// A span of time such as `90s`, `5min`, `1h30min`, `30d`.
    pub(super) fn span(&self) -> Result<Duration, String> {
        let text = self.text()?;
        let wrong = || format!("{text:?} is no span of time such as 90s, 5min, 2h or 30d");
        sum(text, &SPAN_UNITS).map(Duration::from_secs).ok_or_else(wrong)
    }

    /// A number of bytes: a whole number, or a text such as `500KiB`, `2GiB`.
    pub(super) fn size(&self) -> Result<u64, String> {
        let (Self::Text(text) | Self::Number(text)) = self else {
            return Err("it is no size such as \"500KiB\"".into());
        };
        let wrong = || format!("{text:?} is no size such as 500KiB, 2MiB or 1GiB");
        digits(text).or_else(|| sum(text, &SIZE_UNITS)).ok_or_else(wrong)
    }
}

fn digits(text: &str) -> Option<u64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

/// The sum of numbers with units, such as `1h30min`; at least one.
fn sum(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let mut rest = text;
    let mut sum = 0_u64;
    while !rest.is_empty() || text.is_empty() {
        let letters = rest.find(|c: char| !c.is_ascii_digit())?;
        let (number, after) = rest.split_at(letters);
        let end = after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len());
        let unit = units.iter().find(|(name, _)| *name == after[..end].trim())?.1;
        sum = sum.checked_add(digits(number)?.checked_mul(unit)?)?;
        rest = &after[end..];
    }
    Some(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Raw {
        Raw::Text(text.into())
    }

    #[test]
    fn spans_and_sizes_have_units() {
        for (span, seconds) in [("90s", 90), ("5min", 300), ("1h30min", 5_400), ("30d", 2_592_000)]
        {
            assert_eq!(text(span).span(), Ok(Duration::from_secs(seconds)));
        }
        for bad in ["", "5", "-1s", "5 weeks", "s", "99999999999999999999h", "5min3"] {
            assert!(text(bad).span().is_err(), "{bad:?}");
        }
        for (size, bytes) in [("500", 500), ("500KiB", 512_000), ("2 MB", 2_000_000)] {
            assert_eq!(text(size).size(), Ok(bytes));
        }
        assert_eq!(Raw::Number("12".into()).size(), Ok(12));
        for bad in ["", "5K", "-5", "1.5MiB", "99999999999GiB"] {
            assert!(text(bad).size().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn nothing_is_taken_for_something_else() {
        assert_eq!(Raw::Flag(true).flag(), Ok(true));
        assert!(text("yes").flag().is_err());
        assert!(Raw::Number("5".into()).text().is_err());
        assert!(Raw::Number("-5".into()).number().is_err());
        assert!(text("0x10").number().is_err());
        assert!(Raw::Other.size().is_err());
    }
}

//! Values as people read and type them.

use std::borrow::Cow;
use std::time::Duration;

/// A size with a binary unit: `512 B`, `1.5 MiB`. JSON carries the number of bytes instead.
pub fn bytes(count: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if count < 1024 {
        return format!("{count} B");
    }
    // in tenths of the unit, rounded, so that no float is needed and 1023.95 KiB becomes 1.0 MiB
    let mut tenths = (u128::from(count) * 10 + 512) / 1024;
    let mut unit = 0;
    while tenths >= 10_240 && unit + 1 < UNITS.len() {
        tenths = (tenths + 512) / 1024;
        unit += 1;
    }
    format!("{}.{} {}", tenths / 10, tenths % 10, UNITS[unit])
}

/// A span of time in its two largest units: `3 d 4 h`, `2 min 5 s`, `0 s`.
pub fn duration(span: Duration) -> String {
    const UNITS: [(u64, &str); 4] = [(86_400, "d"), (3_600, "h"), (60, "min"), (1, "s")];
    let seconds = span.as_secs();
    let largest = UNITS.iter().position(|(size, _)| seconds >= *size).unwrap_or(UNITS.len() - 1);
    let (size, name) = UNITS[largest];
    let mut text = format!("{} {name}", seconds / size);
    if let Some((next_size, next_name)) = UNITS.get(largest + 1) {
        let rest = seconds % size / next_size;
        if rest > 0 {
            text = format!("{text} {rest} {next_name}");
        }
    }
    text
}

/// Seconds since 1970 as RFC 3339 in UTC: `2026-11-22T10:00:00Z`. A number beyond the year 9999
/// is shown as `@seconds`.
pub fn time(seconds: i64) -> String {
    jiff::Timestamp::from_second(seconds)
        .map_or_else(|_| format!("@{seconds}"), |timestamp| timestamp.to_string())
}

/// Reads a span such as `365d`, `24h`, `90min`, `1d12h`: whole numbers, each with one of the units
/// w, d, h, min (or m), s. For use as a clap value parser.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is no span of time such as 365d, 24h or 30min");
    let mut seconds: u64 = 0;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
        let number: u64 = rest[..digits].parse().map_err(|_| wrong())?;
        rest = &rest[digits..];
        let end = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        let unit = match &rest[..end] {
            "w" => 604_800,
            "d" => 86_400,
            "h" => 3_600,
            "m" | "min" => 60,
            "s" => 1,
            _ => return Err(wrong()),
        };
        rest = &rest[end..];
        seconds =
            number.checked_mul(unit).and_then(|n| n.checked_add(seconds)).ok_or_else(wrong)?;
    }
    if text.is_empty() { Err(wrong()) } else { Ok(Duration::from_secs(seconds)) }
}

/// `text` with every character escaped that could steer a terminal or reorder what it shows.
///
/// Summaries, reasons and names come from others; an escape sequence in one must not reach the
/// terminal. Line breaks are escaped too.
pub fn printable(text: &str) -> Cow<'_, str> {
    escape(text, "")
}

/// As [`printable`], except that line breaks and tabs stay.
pub(crate) fn printable_lines(text: &str) -> Cow<'_, str> {
    escape(text, "\n\t")
}

fn escape<'a>(text: &'a str, kept: &str) -> Cow<'a, str> {
    let escaped = |c: char| steers_terminal(c) && !kept.contains(c);
    if is_plain(text) || !text.contains(escaped) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if escaped(c) { safe.extend(c.escape_default()) } else { safe.push(c) }
    }
    Cow::Owned(safe)
}

/// Whether a text is of printable ASCII alone, as most are: as wide as it has bytes, and harmless.
/// Looks at all of it without stopping, which is many bytes at once.
pub(crate) fn is_plain(text: &str) -> bool {
    text.bytes().fold(true, |plain, byte| plain & matches!(byte, b' '..=b'~'))
}

/// Control characters, and those that change the direction of the text around them.
fn steers_terminal(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_rounded_to_a_tenth() {
        let shown = [0, 1023, 1024, 1536, 1_048_525, 1_048_576, u64::MAX].map(bytes);
        assert_eq!(
            shown,
            ["0 B", "1023 B", "1.0 KiB", "1.5 KiB", "1.0 MiB", "1.0 MiB", "16.0 EiB"]
        );
    }

    #[test]
    fn spans_show_two_units() {
        let show = |seconds| duration(Duration::from_secs(seconds));
        assert_eq!(show(0), "0 s");
        assert_eq!(show(125), "2 min 5 s");
        assert_eq!(show(3_600), "1 h");
        assert_eq!(show(86_400 * 3 + 3_600 * 4 + 59), "3 d 4 h");
    }

    #[test]
    fn spans_are_read_with_units_only() {
        assert_eq!(parse_duration("365d"), Ok(Duration::from_secs(365 * 86_400)));
        assert_eq!(parse_duration("1d12h"), Ok(Duration::from_secs(129_600)));
        assert_eq!(parse_duration("30min"), parse_duration("30m"));
        for wrong in ["", "5", "d", "5y", "-1d", "1.5h", "1d 2h", "99999999999999999999d"] {
            assert!(parse_duration(wrong).is_err(), "{wrong:?}");
        }
        assert!(parse_duration("9223372036854775807w").is_err());
    }

    #[test]
    fn times_are_utc() {
        assert_eq!(time(1_795_341_600), "2026-11-22T10:00:00Z");
        assert_eq!(time(i64::MAX), "@9223372036854775807");
    }

    #[test]
    fn nothing_steers_the_terminal() {
        assert_eq!(printable("a\u{1b}[31mb\n"), "a\\u{1b}[31mb\\n");
        assert_eq!(printable("exe\u{202e}txt\u{9b}"), "exe\\u{202e}txt\\u{9b}");
        assert!(matches!(printable("Größe 漢字"), Cow::Borrowed(_)));
        assert_eq!(printable_lines("a\n\tb\r"), "a\n\tb\\r");
    }
}

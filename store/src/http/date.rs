//! Dates of HTTP header fields (RFC 9110 §5.6.7), only to tell how far apart two of them lie.

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// Seconds since 1970 of a date in the one form that is still sent: `Sun, 06 Nov 1994 08:49:37 GMT`.
pub(super) fn parse(text: &str) -> Option<u64> {
    let (_, rest) = text.split_once(", ")?;
    let mut fields = rest.split(' ');
    let day = number(fields.next()?)?;
    let month = fields.next()?;
    let month = MONTHS.iter().position(|name| *name == month)? as u64 + 1;
    let year = number(fields.next()?)?;
    let mut clock = fields.next()?.split(':');
    let (hour, minute, second) =
        (number(clock.next()?)?, number(clock.next()?)?, number(clock.next()?)?);
    let ends = fields.next() == Some("GMT") && fields.next().is_none() && clock.next().is_none();
    let plausible = (1970..=9999).contains(&year) && (1..=31).contains(&day);
    let on_clock = hour < 24 && minute < 60 && second <= 60;
    if !(ends && plausible && on_clock) {
        return None;
    }
    Some(((days(year, month, day) * 24 + hour) * 60 + minute) * 60 + second)
}

/// Days since 1970-01-01 in the Gregorian calendar, for years from 1970 on. Years are counted from
/// March, so that a leap day is the last of its year.
fn days(year: u64, month: u64, day: u64) -> u64 {
    let (year, month) = if month < 3 { (year - 1, month + 9) } else { (year, month - 3) };
    let days = year * 365 + year / 4 - year / 100 + year / 400 + (month * 153 + 2) / 5 + day;
    // the days up to 1970-01-01 counted in the same way
    days - 719_469
}

fn number(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.len() <= 4 && text.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn counts_as_the_calendar_does() {
        let cases = [
            ("Thu, 01 Jan 1970 00:00:00 GMT", 0),
            ("Sun, 06 Nov 1994 08:49:37 GMT", 784_111_777),
            ("Tue, 29 Feb 2000 23:59:59 GMT", 951_868_799),
            ("Wed, 01 Mar 2000 00:00:00 GMT", 951_868_800),
            ("Sun, 22 Nov 2026 10:00:00 GMT", 1_795_341_600),
        ];
        for (text, seconds) in cases {
            assert_eq!(parse(text), Some(seconds), "{text}");
        }
        for text in ["", "Sun, 06 Nov 1994", "Sunday, 06-Nov-94 08:49:37 GMT", "06 Nov 1994"] {
            assert_eq!(parse(text), None, "{text}");
        }
        assert_eq!(parse("Sun, 06 Nov 1994 25:49:37 GMT"), None);
        assert_eq!(parse("Sun, 06 Nov 1994 08:49:37 CET"), None);
    }
}

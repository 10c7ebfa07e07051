//! What the head of an answer says, taken strictly (RFC 9110).

use std::time::Duration;

use reqwest::Response;
use reqwest::header::{
    CONTENT_ENCODING, CONTENT_RANGE, DATE, ETAG, HeaderMap, HeaderName, LAST_MODIFIED, RETRY_AFTER,
};

use crate::error::Cause;
use crate::http::date;
use crate::source::{ByteRange, Validator};

/// How much older than its answer an object must be for a validator made from its time to tell
/// all later versions from it. Times of web servers have whole seconds.
const SETTLED: u64 = 2;

/// The inclusive positions of a `Content-Range: bytes a-b/total`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct ContentRange {
    pub(super) first: u64,
    pub(super) last: u64,
    pub(super) total: Option<u64>,
}

/// Approximate size of a head in HTTP/1.1: its first line and its fields.
pub(super) fn head_size(headers: &HeaderMap) -> u64 {
    let fields: usize =
        headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
    // "HTTP/1.1 200 OK", and the empty line
    fields as u64 + 19
}

pub(super) fn text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// The only encoding that is ever asked for is none, and that of a range cannot be undone.
pub(super) fn check_encoding(response: &Response) -> Result<(), Cause> {
    let Some(value) = response.headers().get(CONTENT_ENCODING) else { return Ok(()) };
    match value.to_str() {
        Ok(name) if name.is_empty() || name.eq_ignore_ascii_case("identity") => Ok(()),
        name => Err(Cause::Encoding(cut(name.unwrap_or("not ASCII"), 80))),
    }
}

/// What to ask with the next time. An object that changed a moment ago may change again within
/// the same second, and where validators are made of times and sizes, as nginx makes them, the
/// new version would have that of the old one (RFC 9110 §8.8.2.2). Such a validator is not taken.
pub(super) fn validator(headers: &HeaderMap) -> Option<Validator> {
    let modified = text(headers, LAST_MODIFIED);
    if let Some(modified) = modified {
        let modified = date::parse(modified)?;
        let sent = date::parse(text(headers, DATE)?)?;
        if modified.saturating_add(SETTLED) > sent {
            return None;
        }
    }
    text(headers, ETAG).or(modified)?.parse().ok()
}

/// The part that a 206 holds, if it is the part that was asked for.
pub(super) fn content_range(headers: &HeaderMap, asked: ByteRange) -> Result<ContentRange, Cause> {
    let sent = text(headers, CONTENT_RANGE).unwrap_or_default();
    let wrong = || Cause::WrongRange { asked: asked.to_string(), sent: cut(sent, 80) };
    let range = parse_content_range(sent).ok_or_else(wrong)?;
    let as_asked = match (range.total, asked.length) {
        (Some(total), _) => asked.end_within(total) == Some(range.last + 1),
        // a server that does not know the size does not know that the object ends early
        (None, Some(length)) => range.last < asked.start.saturating_add(length),
        (None, None) => true,
    };
    if range.first == asked.start && as_asked { Ok(range) } else { Err(wrong()) }
}

/// The size that a 416 tells: `Content-Range: bytes */total`.
pub(super) fn unsatisfied_total(headers: &HeaderMap) -> Option<u64> {
    number(text(headers, CONTENT_RANGE)?.strip_prefix("bytes */")?)
}

pub(super) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    number(text(headers, RETRY_AFTER)?).map(Duration::from_secs)
}

fn parse_content_range(text: &str) -> Option<ContentRange> {
    let (range, total) = text.strip_prefix("bytes ")?.split_once('/')?;
    let (first, last) = range.split_once('-')?;
    let (first, last) = (number(first)?, number(last)?);
    let total = if total == "*" { None } else { Some(number(total)?) };
    let in_order = first <= last && last < total.unwrap_or(u64::MAX);
    in_order.then_some(ContentRange { first, last, total })
}

/// Digits only: `parse` alone would take a sign.
fn number(text: &str) -> Option<u64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

pub(super) fn cut(text: &str, length: usize) -> String {
    text.chars().take(length).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(fields: &[(HeaderName, &str)]) -> HeaderMap {
        let parse = |value: &str| value.parse().expect("a header value");
        fields.iter().map(|(name, value)| (name.clone(), parse(value))).collect()
    }

    #[test]
    fn content_ranges_are_those_asked_for() {
        let part = |start, length| ByteRange { start, length };
        let good = [
            ("bytes 5-9/10", part(5, None)),
            ("bytes 5-9/*", part(5, None)),
            ("bytes 5-6/10", part(5, Some(2))),
            ("bytes 5-9/10", part(5, Some(100))),
            ("bytes 5-6/*", part(5, Some(100))),
            ("bytes 5-9/10", part(5, Some(u64::MAX))),
        ];
        for (text, asked) in good {
            let headers = headers(&[(CONTENT_RANGE, text)]);
            assert_eq!(content_range(&headers, asked).expect(text).first, 5);
        }
        let bad = [
            ("bytes 4-9/10", part(5, None)),
            ("bytes 5-8/10", part(5, None)),
            ("bytes 5-7/10", part(5, Some(2))),
            ("bytes 5-7/*", part(5, Some(2))),
            ("bytes 5-10/10", part(5, None)),
            ("bytes 9-5/10", part(9, None)),
            ("bytes +5-9/10", part(5, None)),
            ("bytes 5-18446744073709551616/*", part(5, None)),
            ("bytes 5-18446744073709551615/*", part(5, None)),
            ("bytes */10", part(5, None)),
            ("items 5-9/10", part(5, None)),
            ("", part(5, None)),
        ];
        for (text, asked) in bad {
            let headers = headers(&[(CONTENT_RANGE, text)]);
            assert!(content_range(&headers, asked).is_err(), "{text}");
        }
        assert_eq!(unsatisfied_total(&headers(&[(CONTENT_RANGE, "bytes */10")])), Some(10));
    }

    #[test]
    fn validators_of_what_just_changed_are_not_taken() {
        let (earlier, date) = ("Sun, 22 Nov 2026 10:00:00 GMT", "Sun, 22 Nov 2026 10:00:01 GMT");
        let later = "Sun, 22 Nov 2026 10:00:02 GMT";
        let tag = "\"6560-1f4\"";
        let taken = |fields: &[_]| validator(&headers(fields)).map(|taken| taken.to_string());
        let both = [(ETAG, tag), (LAST_MODIFIED, earlier)];
        assert_eq!(taken(&[both[0].clone(), both[1].clone(), (DATE, later)]), Some(tag.into()));
        assert_eq!(taken(&[both[0].clone(), both[1].clone(), (DATE, date)]), None);
        assert_eq!(taken(&[both[0].clone(), both[1].clone(), (DATE, earlier)]), None);
        assert_eq!(taken(&both), None);
        assert_eq!(taken(&[(LAST_MODIFIED, earlier), (DATE, later)]), Some(earlier.into()));
        assert_eq!(taken(&[(ETAG, tag)]), Some(tag.into()));
        assert_eq!(taken(&[]), None);
    }
}

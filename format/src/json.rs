//! Strict JSON texts: signed notes, log entries, manifests (SPEC §3.1; RFC 8259).
//!
//! In scope: one object whose first member is `"type"`, ended by one newline; no member twice at
//! any depth, also among members nobody knows; bounded depth and members; numbers are integers in
//! `0..=2^53-1`; a struct is an object and an enum a string. Out of scope: a canonical form. The exact bytes are signed, so none is needed.

use std::borrow::Cow;
use std::cell::Cell;
use std::collections::BTreeSet;
use std::fmt;

use serde::de::{DeserializeOwned, DeserializeSeed, MapAccess, SeqAccess, Visitor};
use serde::{Deserializer, Serialize};

use crate::limits::{MAX_INTEGER, MAX_JSON_DEPTH};
use crate::text::shown;

mod plain;
mod strict;
use strict::Strict;

/// Most members of one object: bounds the memory that looking for duplicates takes.
pub const MAX_MEMBERS: usize = 4096;
/// Longest value of the first member, `type`.
pub const MAX_TYPE: usize = 64;

/// Longest message about a shape, in characters.
const MAX_SHAPE: usize = 400;

/// Why a text is refused. Names are cut to 80 characters.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JsonError {
    /// The text is not an object whose first member is `"type"` with a plain word.
    #[error("JSON does not begin with an object whose first member is \"type\"")]
    FirstMember,
    /// The text is of another type.
    #[error("JSON is of type {found:?}, expected {expected:?}")]
    Type {
        /// The type that was asked for.
        expected: String,
        /// The type that the text says.
        found: String,
    },
    /// The object is not followed by exactly one newline, which ends the text.
    #[error("JSON does not end with `}}` and one newline")]
    End,
    /// A text that must be one line has several, or a tab between its members, which no note's text
    /// may have.
    #[error("JSON has a line break or a tab inside")]
    LineBreak,
    /// An object has one member twice.
    #[error("JSON has member {0:?} twice in one object")]
    Duplicate(String),
    /// Arrays and objects nest deeper than [`MAX_JSON_DEPTH`].
    #[error("JSON nests deeper than {MAX_JSON_DEPTH}")]
    Depth,
    /// An object has more than [`MAX_MEMBERS`] members.
    #[error("JSON has an object of more than {MAX_MEMBERS} members")]
    Members,
    /// A number is not an integer in `0..=2^53-1`.
    #[error("JSON has a number that is no integer from 0 to {MAX_INTEGER}: {0}")]
    Number(String),
    /// Not JSON at all, not UTF-8, or not of the shape that the type asks for.
    #[error("{0}")]
    Shape(String),
}

/// Reads a text of type `expected`: one object and one final newline.
pub fn parse<T: DeserializeOwned>(bytes: &[u8], expected: &str) -> Result<T, JsonError> {
    let object = bytes.strip_suffix(b"\n").ok_or(JsonError::End)?;
    if object.last() != Some(&b'}') {
        return Err(JsonError::End);
    }
    let found = first_type(object)?;
    if found != expected {
        return Err(JsonError::Type { expected: expected.into(), found: found.into() });
    }
    let text = std::str::from_utf8(object);
    let Some(plain) = text.ok().filter(|text| plain::is_plain(text)) else {
        check(object)?;
        return typed(serde_json::Deserializer::from_slice(object));
    };
    typed(serde_json::Deserializer::from_str(plain))
}

fn typed<'de, T: DeserializeOwned>(
    mut deserializer: serde_json::Deserializer<impl serde_json::de::Read<'de>>,
) -> Result<T, JsonError> {
    let value = T::deserialize(Strict(&mut deserializer)).map_err(shape)?;
    deserializer.end().map_err(shape)?;
    Ok(value)
}

/// Like [`parse`], for texts that must be one line, as log entries are.
pub fn parse_line<T: DeserializeOwned>(bytes: &[u8], expected: &str) -> Result<T, JsonError> {
    let is_break = |byte: &u8| matches!(byte, b'\n' | b'\r' | b'\t');
    if bytes.strip_suffix(b"\n").is_some_and(|line| line.iter().any(is_break)) {
        return Err(JsonError::LineBreak);
    }
    parse(bytes, expected)
}

/// The value of the first member, which must be `"type"`; of letters, digits and `/._-`, at most
/// [`MAX_TYPE`]. Looks at nothing behind it.
pub fn first_type(bytes: &[u8]) -> Result<&str, JsonError> {
    fn after<'a>(bytes: &'a [u8], token: &[u8]) -> Result<&'a [u8], JsonError> {
        bytes.trim_ascii_start().strip_prefix(token).ok_or(JsonError::FirstMember)
    }
    // the very first byte is `{`: this is what tells JSON from checkpoints (SPEC §3.1)
    let rest = bytes.strip_prefix(b"{").ok_or(JsonError::FirstMember)?;
    let rest = after(after(after(rest, b"\"type\"")?, b":")?, b"\"")?;
    let window = &rest[..rest.len().min(MAX_TYPE + 1)];
    let end = window.iter().position(|byte| *byte == b'"').ok_or(JsonError::FirstMember)?;
    let word = |byte: &u8| byte.is_ascii_alphanumeric() || b"/._-".contains(byte);
    match std::str::from_utf8(&window[..end]) {
        Ok(text) if window[..end].iter().all(word) => Ok(text),
        _ => Err(JsonError::FirstMember),
    }
}

/// Writes `value`, which must serialize as an object without a member `type`, as one line of type
/// `kind` with its final newline.
pub fn print_line<T: Serialize>(kind: &str, value: &T) -> Vec<u8> {
    let mut bytes = serde_json::to_vec(&Typed { kind, value }).expect("plain data serializes");
    bytes.push(b'\n');
    bytes
}

/// Like [`print_line`], spread over several lines for people.
pub fn print_pretty<T: Serialize>(kind: &str, value: &T) -> Vec<u8> {
    let mut bytes =
        serde_json::to_vec_pretty(&Typed { kind, value }).expect("plain data serializes");
    bytes.push(b'\n');
    bytes
}

#[derive(Serialize)]
struct Typed<'a, T> {
    #[serde(rename = "type")]
    kind: &'a str,
    #[serde(flatten)]
    value: &'a T,
}

/// Checks what serde's typed parse does not: everything inside members that it ignores.
fn check(bytes: &[u8]) -> Result<(), JsonError> {
    let fault = Cell::new(None);
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let walked = Walk { fault: &fault, depth: 0 }.deserialize(&mut deserializer);
    walked
        .and_then(|()| deserializer.end())
        .map_err(|error| fault.take().unwrap_or_else(|| shape(error)))
}

/// serde's errors may hold a text of the other side as it stands, of any length.
#[allow(clippy::needless_pass_by_value, reason = "the form that `map_err` takes")]
fn shape(error: serde_json::Error) -> JsonError {
    JsonError::Shape(shown(&error.to_string(), MAX_SHAPE))
}

/// Visits one value and all below it. Says by `fault` what is wrong, since serde's errors carry
/// text only.
#[derive(Clone, Copy)]
struct Walk<'a> {
    fault: &'a Cell<Option<JsonError>>,
    depth: usize,
}

impl Walk<'_> {
    fn refuse<T, E: serde::de::Error>(self, fault: JsonError) -> Result<T, E> {
        self.fault.set(Some(fault));
        Err(E::custom("refused"))
    }

    fn deeper<E: serde::de::Error>(self) -> Result<Self, E> {
        if self.depth == MAX_JSON_DEPTH {
            return self.refuse(JsonError::Depth);
        }
        Ok(Self { depth: self.depth + 1, ..self })
    }
}

impl<'de> DeserializeSeed<'de> for Walk<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Walk<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<(), E> {
        if number > MAX_INTEGER {
            return self.refuse(JsonError::Number(number.to_string()));
        }
        Ok(())
    }

    fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<(), E> {
        self.refuse(JsonError::Number(number.to_string()))
    }

    fn visit_f64<E: serde::de::Error>(self, number: f64) -> Result<(), E> {
        self.refuse(JsonError::Number(number.to_string()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut values: A) -> Result<(), A::Error> {
        let inside = self.deeper()?;
        while values.next_element_seed(inside)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        let inside = self.deeper()?;
        let mut seen = BTreeSet::new();
        while let Some(name) = members.next_key_seed(MemberName)? {
            if seen.len() == MAX_MEMBERS {
                return self.refuse(JsonError::Members);
            }
            if seen.contains(&name) {
                return self.refuse(JsonError::Duplicate(name.chars().take(80).collect()));
            }
            seen.insert(name);
            members.next_value_seed(inside)?;
        }
        Ok(())
    }
}

/// Reads a member's name without copying it where it has no escapes.
struct MemberName;

impl<'de> DeserializeSeed<'de> for MemberName {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for MemberName {
    type Value = Cow<'de, str>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a member's name")
    }

    fn visit_borrowed_str<E>(self, name: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(name))
    }

    fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(name.into()))
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, PartialEq, Deserialize, Serialize)]
    struct Sample {
        size: u64,
    }

    fn read(text: &str) -> Result<Sample, JsonError> {
        parse(text.as_bytes(), "sample/v1")
    }

    #[test]
    fn reads_what_it_prints() {
        let line = print_line("sample/v1", &Sample { size: 7 });
        assert_eq!(line, b"{\"type\":\"sample/v1\",\"size\":7}\n");
        assert_eq!(parse_line(&line, "sample/v1"), Ok(Sample { size: 7 }));
        let pretty = print_pretty("sample/v1", &Sample { size: 7 });
        assert_eq!(parse(&pretty, "sample/v1"), Ok(Sample { size: 7 }));
        assert_eq!(parse_line::<Sample>(&pretty, "sample/v1"), Err(JsonError::LineBreak));
    }

    #[test]
    fn unknown_members_are_ignored_and_still_checked() {
        let with = |member: &str| {
            read(&format!("{{\"type\":\"sample/v1\",\"size\":7,\"later\":{member}}}\n"))
        };
        assert_eq!(with("[{\"a\":null},true,\"\"]"), Ok(Sample { size: 7 }));
        assert_eq!(with("{\"a\":1,\"\\u0061\":2}"), Err(JsonError::Duplicate("a".into())));
        assert_eq!(with("1,\"later\":1"), Err(JsonError::Duplicate("later".into())));
        for number in ["-1", "1.0", "1e3", "9007199254740992", "99999999999999999999", "-0"] {
            assert!(matches!(with(number), Err(JsonError::Number(_))), "{number}");
        }
        assert_eq!(with("9007199254740991"), Ok(Sample { size: 7 }));
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert_eq!(with(&nested(MAX_JSON_DEPTH - 1)), Ok(Sample { size: 7 }));
        assert_eq!(with(&nested(MAX_JSON_DEPTH)), Err(JsonError::Depth));
        assert_eq!(with(&nested(1_000_000)), Err(JsonError::Depth));
        assert!(matches!(with("\"\\ud800\""), Err(JsonError::Shape(_))));
        assert!(matches!(with("\"\0\""), Err(JsonError::Shape(_))));
        let many: Vec<_> = (0..=MAX_MEMBERS).map(|number| format!("\"{number}\":0")).collect();
        assert_eq!(with(&format!("{{{}}}", many.join(","))), Err(JsonError::Members));
    }

    #[test]
    fn objects_and_strings_have_one_spelling() {
        #[derive(Debug, PartialEq, Deserialize)]
        struct Outer {
            inner: Vec<Sample>,
            kind: Option<Kind>,
        }
        #[derive(Debug, PartialEq, Deserialize)]
        #[serde(rename_all = "lowercase")]
        enum Kind {
            High,
        }
        let read = |inner: &str, kind: &str| {
            let text = format!("{{\"type\":\"outer/v1\",\"inner\":[{inner}],\"kind\":{kind}}}\n");
            parse::<Outer>(text.as_bytes(), "outer/v1")
        };
        let outer = |kind| Ok(Outer { inner: vec![Sample { size: 7 }], kind });
        assert_eq!(read("{\"size\":7}", "\"high\""), outer(Some(Kind::High)));
        assert_eq!(read("{\"size\":7}", "null"), outer(None));
        // what serde_json takes of itself: an array for an object, an object for a word
        for (inner, kind) in [("[7]", "\"high\""), ("{\"size\":7}", "{\"high\":null}")] {
            assert!(matches!(read(inner, kind), Err(JsonError::Shape(_))), "{inner} {kind}");
        }
    }

    #[test]
    fn messages_are_short_and_garble_nothing() {
        #[derive(Debug, PartialEq, Deserialize)]
        enum Kind {}
        #[derive(Debug, PartialEq, Deserialize)]
        struct Outer {
            kind: Kind,
        }
        for word in ["\\u001b[2J\\u009b\\u202e".to_owned(), "x".repeat(1_000_000)] {
            let text = format!("{{\"type\":\"outer/v1\",\"kind\":\"{word}\"}}\n");
            let error = parse::<Outer>(text.as_bytes(), "outer/v1").expect_err("no such word");
            let message = error.to_string();
            assert!(message.starts_with("unknown variant `"), "{message}");
            assert!(message.chars().count() < 500);
            assert!(!message.contains(['\u{1b}', '\u{9b}', '\u{202e}']), "{message}");
        }
    }

    #[test]
    fn the_first_member_is_the_type() {
        let cases = [
            ("{}\n", JsonError::FirstMember),
            ("[]\n", JsonError::End),
            ("\n", JsonError::End),
            ("", JsonError::End),
            (" {\"type\":\"sample/v1\",\"size\":7}\n", JsonError::FirstMember),
            ("{\"size\":7,\"type\":\"sample/v1\"}\n", JsonError::FirstMember),
            ("{\"type\":7}\n", JsonError::FirstMember),
            ("{\"type\":\"a b\"}\n", JsonError::FirstMember),
            (
                "{\"type\":\"sample/v2\",\"size\":7}\n",
                JsonError::Type { expected: "sample/v1".into(), found: "sample/v2".into() },
            ),
        ];
        for (text, error) in cases {
            assert_eq!(read(text), Err(error), "{text:?}");
        }
        assert_eq!(first_type(b"{\n  \"type\": \"authority/v1\", junk"), Ok("authority/v1"));
        let long = format!("{{\"type\":\"{}\"}}\n", "a".repeat(MAX_TYPE + 1));
        assert_eq!(first_type(long.as_bytes()), Err(JsonError::FirstMember));
    }

    #[test]
    fn nothing_follows_the_object_but_one_newline() {
        let good = "{\"type\":\"sample/v1\",\"size\":7}";
        for tail in ["", "\n\n", " \n", "\r\n", "\n ", "{}\n", "\0\n"] {
            let read = read(&format!("{good}{tail}"));
            assert!(matches!(read, Err(JsonError::End | JsonError::Shape(_))), "{tail:?}");
        }
        let utf8 = b"{\"type\":\"sample/v1\",\"size\":7,\"x\":\"\xff\"}\n";
        assert!(matches!(parse::<Sample>(utf8, "sample/v1"), Err(JsonError::Shape(_))));
    }

    #[test]
    fn every_truncation_is_refused() {
        let good = b"{\"type\":\"sample/v1\",\"size\":7,\"later\":[\"x\",{\"y\":null}]}\n";
        assert!(parse::<Sample>(good, "sample/v1").is_ok());
        for length in 0..good.len() {
            assert!(parse::<Sample>(&good[..length], "sample/v1").is_err(), "{length}");
        }
    }
}

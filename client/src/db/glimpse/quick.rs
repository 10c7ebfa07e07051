//! Reads a glimpse of an entry as entries are written: on one line without blanks, escapes or members
//! twice. It borrows all that it finds, and checks the grammar of what it passes over.
//!
//! Whatever is written otherwise is not refused here; it goes the long way, which is also the one
//! that says what is wrong.

use std::borrow::Cow;

use countersign_format::entry::Severity;
use countersign_format::limits::MAX_JSON_DEPTH;

use super::Glimpse;

/// A glimpse of a line, if it is written as lines are.
pub(super) fn read(line: &str) -> Option<Glimpse<'_>> {
    let text = line.strip_suffix('\n')?;
    if !is_unescaped(text.as_bytes()) {
        return None;
    }
    let mut found = Found::default();
    let mut reader = Reader { text, at: 0 };
    reader.members(|reader, name| found.take(reader, name))?;
    if reader.at != text.len() {
        return None;
    }
    Some(Glimpse {
        name: Cow::Borrowed(found.name?),
        version: Cow::Borrowed(found.version?),
        platform: Cow::Borrowed(found.platform.unwrap_or("any")),
        severity: found.severity.unwrap_or_default(),
        advisories: found.advisories.unwrap_or_default(),
        summary: Cow::Borrowed(found.summary.unwrap_or_default()),
        archive: found.archive,
        line: line.as_bytes(),
    })
}

/// Whether there is nothing that strings could not have as it stands. Looks at all of it without
/// stopping, which is many bytes at once.
fn is_unescaped(text: &[u8]) -> bool {
    text.iter().fold(true, |is, byte| is & !matches!(byte, 0..b' ' | b'\\'))
}

#[derive(Default)]
struct Found<'e> {
    name: Option<&'e str>,
    version: Option<&'e str>,
    platform: Option<&'e str>,
    severity: Option<Severity>,
    advisories: Option<Vec<Cow<'e, str>>>,
    summary: Option<&'e str>,
    archive: Option<&'e str>,
}

impl<'e> Found<'e> {
    /// Takes the value of one of the entry's members, or passes over it.
    fn take(&mut self, reader: &mut Reader<'e>, name: &str) -> Option<()> {
        match name {
            "name" => once(&mut self.name, reader.string()?),
            "version" => once(&mut self.version, reader.string()?),
            "platform" => once(&mut self.platform, reader.string()?),
            "summary" => once(&mut self.summary, reader.string()?),
            "severity" => once(&mut self.severity, reader.string()?.parse().ok()?),
            "advisories" => {
                let mut all = Vec::new();
                reader.elements(|reader| {
                    all.push(Cow::Borrowed(reader.string()?));
                    Some(())
                })?;
                once(&mut self.advisories, all)
            }
            "archive" => {
                let hash = &mut self.archive;
                reader.members(|reader, name| match name {
                    "sha256" => once(hash, reader.string()?),
                    _ => reader.pass(1),
                })
            }
            _ => reader.pass(1),
        }
    }
}

/// Sets what is not yet set.
fn once<T>(member: &mut Option<T>, value: T) -> Option<()> {
    member.replace(value).is_none().then_some(())
}

struct Reader<'e> {
    text: &'e str,
    at: usize,
}

impl<'e> Reader<'e> {
    fn next(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn token(&mut self, token: u8) -> Option<()> {
        (self.next()? == token).then(|| self.at += 1)
    }

    /// A string without its quotes.
    fn string(&mut self) -> Option<&'e str> {
        self.token(b'"')?;
        let rest = &self.text[self.at..];
        let string = &rest[..memchr::memchr(b'"', rest.as_bytes())?];
        self.at += string.len() + 1;
        Some(string)
    }

    /// An object, of which `take` takes the values.
    fn members(&mut self, mut take: impl FnMut(&mut Self, &'e str) -> Option<()>) -> Option<()> {
        self.token(b'{')?;
        if self.token(b'}').is_some() {
            return Some(());
        }
        loop {
            let name = self.string()?;
            self.token(b':')?;
            take(self, name)?;
            if self.token(b',').is_none() {
                return self.token(b'}');
            }
        }
    }

    /// An array, of which `take` takes the elements.
    fn elements(&mut self, mut take: impl FnMut(&mut Self) -> Option<()>) -> Option<()> {
        self.token(b'[')?;
        if self.token(b']').is_some() {
            return Some(());
        }
        loop {
            take(self)?;
            if self.token(b',').is_none() {
                return self.token(b']');
            }
        }
    }

    /// Any value, `depth` arrays and objects deep.
    fn pass(&mut self, depth: usize) -> Option<()> {
        match self.next()? {
            b'"' => self.string().map(drop),
            b'0'..=b'9' => self.number(),
            b'{' if depth < MAX_JSON_DEPTH => self.members(|reader, _| reader.pass(depth + 1)),
            b'[' if depth < MAX_JSON_DEPTH => self.elements(|reader| reader.pass(depth + 1)),
            _ => ["true", "false", "null"].into_iter().find_map(|word| self.word(word)),
        }
    }

    fn number(&mut self) -> Option<()> {
        let start = self.at;
        while self.next().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        // what would make a fraction of it is no token that may follow
        (self.text.as_bytes()[start] != b'0' || self.at == start + 1).then_some(())
    }

    fn word(&mut self, word: &str) -> Option<()> {
        self.text[self.at..].starts_with(word).then(|| self.at += word.len())
    }
}

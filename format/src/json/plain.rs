//! A quick look that finds most texts strict, and leaves the others to the thorough one.
//!
//! Log entries are read by the hundred thousand, and nearly all are plain: no escapes, few members,
//! small numbers. Whatever is not plain is not refused here; it goes the long way, which is also the
//! one that says what is wrong.

use crate::limits::MAX_JSON_DEPTH;

/// Most members of an object that is called plain: each name is compared with all before it.
const MAX_PLAIN_MEMBERS: usize = 24;
/// Digits of numbers that cannot be above `MAX_INTEGER`.
const SAFE_DIGITS: usize = 15;

/// Whether a text is one strict JSON value and nothing else. `false` says nothing.
pub(super) fn is_plain(text: &str) -> bool {
    let mut reader = Reader { rest: text.as_bytes() };
    reader.value(0).is_some() && reader.rest.is_empty()
}

struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn value(&mut self, depth: usize) -> Option<()> {
        self.space();
        match self.rest.first()? {
            b'"' => self.string().map(drop),
            b'{' if depth < MAX_JSON_DEPTH => self.object(depth + 1),
            b'[' if depth < MAX_JSON_DEPTH => self.array(depth + 1),
            b'0'..=b'9' => self.number(),
            b't' => self.token(b"true"),
            b'f' => self.token(b"false"),
            b'n' => self.token(b"null"),
            _ => None,
        }
    }

    fn object(&mut self, depth: usize) -> Option<()> {
        self.token(b"{")?;
        let mut names: [&[u8]; MAX_PLAIN_MEMBERS] = [b""; MAX_PLAIN_MEMBERS];
        let mut count = 0;
        self.space();
        if self.token(b"}").is_some() {
            return Some(());
        }
        loop {
            self.space();
            let name = self.string()?;
            if names[..count].contains(&name) {
                return None;
            }
            *names.get_mut(count)? = name;
            count += 1;
            self.space();
            self.token(b":")?;
            self.value(depth)?;
            self.space();
            if self.token(b"}").is_some() {
                return Some(());
            }
            self.token(b",")?;
        }
    }

    fn array(&mut self, depth: usize) -> Option<()> {
        self.token(b"[")?;
        self.space();
        if self.token(b"]").is_some() {
            return Some(());
        }
        loop {
            self.value(depth)?;
            self.space();
            if self.token(b"]").is_some() {
                return Some(());
            }
            self.token(b",")?;
        }
    }

    /// A string without escapes, without its quotes.
    fn string(&mut self) -> Option<&'a [u8]> {
        self.token(b"\"")?;
        let end = self.rest.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..0x20))?;
        let (string, rest) = self.rest.split_at(end);
        self.rest = rest;
        self.token(b"\"")?;
        Some(string)
    }

    fn number(&mut self) -> Option<()> {
        let digits = self.rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let (number, rest) = self.rest.split_at(digits);
        self.rest = rest;
        // what would make a fraction of it is no token that may follow
        (digits <= SAFE_DIGITS && (number[0] != b'0' || digits == 1)).then_some(())
    }

    fn token(&mut self, token: &[u8]) -> Option<()> {
        self.rest = self.rest.strip_prefix(token)?;
        Some(())
    }

    fn space(&mut self) {
        while let [b' ' | b'\n' | b'\r' | b'\t', rest @ ..] = self.rest {
            self.rest = rest;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::check;

    const ENTRY: &str = "{\"type\":\"patch/v1\",\"name\":\"acme\",\"requires\":{\"a\":\"^1\",\"b\":\"*\"},\
        \"archive\":{\"size\":104857,\"files\":0},\"reboot\":false,\"list\":[1,[],{},null,true]}";

    #[test]
    fn texts_as_they_are_written_are_plain() {
        assert!(is_plain(ENTRY));
        assert!(is_plain(" { \"a\" : [ 1 , 2 ] }"));
        assert!(is_plain("{\"요약\":\"보안\"}"));
    }

    /// What is plain is strict: every text that is one change away from a plain one.
    #[test]
    fn nothing_that_is_refused_is_plain() {
        let spoilers = b"\"\\{}[]:,019-.eE+tfn \n\t\x00\x1fa";
        let (mut tried, mut plain) = (0, 0);
        let mut judge = |text: Vec<u8>| {
            let Ok(text) = String::from_utf8(text) else { return };
            tried += 1;
            if is_plain(&text) {
                plain += 1;
                assert_eq!(check(text.as_bytes()), Ok(()), "{text}");
            }
        };
        for at in 0..ENTRY.len() {
            let mut shorter = ENTRY.as_bytes().to_vec();
            shorter.remove(at);
            judge(shorter);
            judge(ENTRY.as_bytes()[..at].to_vec());
            for byte in spoilers {
                let mut changed = ENTRY.as_bytes().to_vec();
                changed[at] = *byte;
                judge(changed);
                let mut longer = ENTRY.as_bytes().to_vec();
                longer.insert(at, *byte);
                judge(longer);
            }
        }
        let deep = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        for text in [
            deep(MAX_JSON_DEPTH),
            deep(MAX_JSON_DEPTH + 1),
            "{\"a\":1,\"a\":2}".into(),
            "{\"a\":{\"b\":1},\"a\":2}".into(),
            "999999999999999".into(),
            "9007199254740992".into(),
            "01".into(),
            "1.5".into(),
            "{}{}".into(),
            "{\"a\":1,}".into(),
            "[1,]".into(),
        ] {
            judge(text.into_bytes());
        }
        assert!(tried > 7_000 && plain > 1_000, "{tried} {plain}");
    }
}

//! Looking for secrets where they must not be, in all the forms that a slip would give them.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::Path;

use data_encoding::{BASE64_NOPAD, BASE64URL_NOPAD, HEXLOWER, HEXUPPER};

use crate::tree::files_below;

/// How many bytes a form must have at least: fewer turn up by chance.
const SHORTEST: usize = 8;

/// Secrets, and the forms in which they are looked for: as they are, back to front, in hex, and in
/// base64 at each of the three places in which they may stand in a longer text.
#[derive(Default, Debug)]
pub struct Secrets {
    /// The forms that begin with these bytes: what each is, and all of it.
    forms: HashMap<[u8; SHORTEST], Vec<(String, Vec<u8>)>>,
    count: usize,
}

impl Secrets {
    /// Adds a secret; `what` is what a test says when it turns up.
    pub fn add(&mut self, what: &str, secret: &[u8]) {
        self.count += 1;
        let reversed: Vec<u8> = secret.iter().rev().copied().collect();
        for (bytes, order) in [(secret, ""), (&reversed, " back to front")] {
            self.form(&format!("{what}{order}"), bytes.to_vec());
            self.form(&format!("{what}{order} in hex"), HEXLOWER.encode(bytes).into_bytes());
            self.form(&format!("{what}{order} in hex"), HEXUPPER.encode(bytes).into_bytes());
            for shift in 0..3 {
                for encoding in [BASE64_NOPAD, BASE64URL_NOPAD] {
                    let text = encoding.encode(&[&[0; 2][..shift], bytes].concat());
                    // what depends on the neighbours is left out on either side
                    let own = (shift * 8).div_ceil(6)..(shift + bytes.len()) * 8 / 6;
                    self.form(&format!("{what}{order} in base64"), text.as_bytes()[own].to_vec());
                }
            }
        }
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.count
    }

    /// What of them is in `bytes`, lines joined or not.
    pub fn find(&self, bytes: &[u8]) -> Vec<&str> {
        let joined: Vec<u8> =
            bytes.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
        let mut found = self.find_in(bytes);
        found.extend(self.find_in(&joined));
        found.sort_unstable();
        found.dedup();
        found
    }

    /// The files below `root` in which any of them is, each with what; those in `without` and what is
    /// below them are passed over. Returns how many files were looked at, too.
    pub fn find_below(&self, root: &Path, without: &[&str]) -> (usize, BTreeMap<String, String>) {
        let files = files_below(root, without);
        let mut found = BTreeMap::new();
        for path in &files {
            let bytes = fs::read(root.join(path)).expect("a test may read its files");
            let what = self.find(&bytes);
            if !what.is_empty() {
                found.insert(path.display().to_string(), what.join(", "));
            }
        }
        (files.len(), found)
    }

    fn form(&mut self, what: &str, bytes: Vec<u8>) {
        let beginning = *bytes.first_chunk().expect("secrets have more than a few bytes");
        self.forms.entry(beginning).or_default().push((what.to_owned(), bytes));
    }

    fn find_in(&self, bytes: &[u8]) -> Vec<&str> {
        let mut found = Vec::new();
        for (at, window) in bytes.windows(SHORTEST).enumerate() {
            let Some(forms) = self.forms.get(window) else { continue };
            let here = forms.iter().filter(|(_, form)| bytes[at..].starts_with(form));
            found.extend(here.map(|(what, _)| what.as_str()));
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_is_found_wherever_it_stands() {
        let mut secrets = Secrets::default();
        let secret: Vec<u8> = (100..132).collect();
        secrets.add("seed", &secret);
        for before in 0..4 {
            let within = [&vec![7; before][..], &secret, &[9; 5]].concat();
            for text in [
                within.clone(),
                within.iter().rev().copied().collect(),
                HEXLOWER.encode(&within).into_bytes(),
                HEXUPPER.encode(&within).into_bytes(),
                BASE64_NOPAD.encode(&within).into_bytes(),
                BASE64URL_NOPAD.encode(&within).into_bytes(),
            ] {
                assert!(!secrets.find(&text).is_empty(), "{}", text.escape_ascii());
                let lines: Vec<_> = text.chunks(16).collect();
                assert!(!secrets.find(&lines.join(&b'\n')).is_empty());
            }
        }
        assert!(secrets.find(&[0; 500]).is_empty());
        assert!(secrets.find(&secret[..31]).is_empty());
    }
}

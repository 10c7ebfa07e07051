//! What lists and searches show of patches, read from their entries without the rest.

use std::borrow::Cow;
use std::collections::BTreeSet;

use countersign_format::entry::{PatchEntry, Severity};
use countersign_format::hash::Hash32;
use countersign_format::name::PatchName;
use serde::Deserialize;

use super::lines::each_value;
use super::source::SourceId;
use super::{Database, DatabaseError, bad_value, parse};

/// A part of a patch's entry. Entries in the state were read in full when they came.
#[derive(Debug, Deserialize)]
pub struct Glimpse<'e> {
    /// The component.
    #[serde(borrow)]
    pub name: Cow<'e, str>,
    /// The version that it leads to.
    #[serde(borrow)]
    pub version: Cow<'e, str>,
    /// What it is for.
    #[serde(borrow, default = "any")]
    pub platform: Cow<'e, str>,
    /// How grave what it mends is.
    #[serde(default)]
    pub severity: Severity,
    /// The advisories that it closes.
    #[serde(default)]
    pub advisories: Vec<String>,
    /// One line for people.
    #[serde(borrow, default)]
    pub summary: Cow<'e, str>,
    #[serde(skip)]
    line: &'e [u8],
}

fn any() -> Cow<'static, str> {
    Cow::Borrowed("any")
}

impl<'e> Glimpse<'e> {
    fn of(line: &'e [u8]) -> Result<Self, DatabaseError> {
        let glimpse: Self = serde_json::from_slice(line).map_err(|error| bad(&error))?;
        Ok(Self { line, ..glimpse })
    }

    /// The archive, for which the whole entry is read.
    pub fn archive(&self) -> Result<Hash32, DatabaseError> {
        let entry = PatchEntry::parse(self.line).map_err(|error| bad(&error))?;
        Ok(entry.archive.sha256)
    }

    /// Whether the name, the summary or an advisory has this lowercase text.
    fn has(&self, lowercase: &str) -> bool {
        let contains = |field: &str| field.to_lowercase().contains(lowercase);
        contains(&self.name)
            || contains(&self.summary)
            || self.advisories.iter().any(|advisory| contains(advisory))
    }
}

impl Database {
    /// Hands out every patch of a source, in the log's order.
    pub fn each_glimpse(
        &self,
        source: SourceId,
        mut take: impl FnMut(u64, &Glimpse<'_>) -> Result<(), DatabaseError>,
    ) -> Result<(), DatabaseError> {
        self.each_line(source, |leaf, line| take(leaf, &Glimpse::of(line)?))
    }

    /// The names of the patches of a source whose name, summary or advisories have this text;
    /// capitals and small letters are the same.
    pub fn names_with(
        &self,
        source: SourceId,
        text: &str,
    ) -> Result<BTreeSet<PatchName>, DatabaseError> {
        let lowercase = text.to_lowercase();
        let mut names = BTreeSet::new();
        each_value(self.connection(), source, |_, lines| {
            let text = std::str::from_utf8(lines).map_err(|error| bad(&error))?;
            let lowered = text.to_ascii_lowercase();
            for (line, lowered) in text.split_inclusive('\n').zip(lowered.split_inclusive('\n')) {
                if may_have(lowered, &lowercase) && line != "null\n" {
                    let glimpse = Glimpse::of(line.as_bytes())?;
                    if glimpse.has(&lowercase) {
                        names.insert(parse("patch_lines.lines", &glimpse.name)?);
                    }
                }
            }
            Ok(())
        })?;
        Ok(names)
    }
}

/// Whether a text may be in one of the members of a line. Only where a line has escapes or letters
/// beyond ASCII can there be one that is not there as it is written.
fn may_have(line: &str, lowercase: &str) -> bool {
    line.contains(lowercase) || !line.is_ascii() || line.contains('\\')
}

fn bad(reason: &dyn std::fmt::Display) -> DatabaseError {
    bad_value("patch_lines.lines", reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(summary: &str) -> String {
        let hash = Hash32([0xab; 32]);
        format!(
            "{{\"type\":\"patch/v1\",\"name\":\"acme\",\"version\":\"1.0.0\",\
             \"summary\":\"{summary}\",\"advisories\":[\"CVE-2026-0001\"],\"archive\":{{\
             \"sha256\":\"{hash}\",\"size\":1,\"unpacked\":1,\"files\":1}},\
             \"collected\":\"2026-11-22T10:00:00Z\"}}\n"
        )
    }

    #[test]
    fn a_glimpse_is_a_part_of_the_entry() {
        let line = line("Closes \\u0061 \\\"hole\\\"");
        let glimpse = Glimpse::of(line.as_bytes()).expect("an entry");
        let entry = PatchEntry::parse(line.as_bytes()).expect("an entry");
        assert_eq!(glimpse.name, entry.name.as_str());
        assert_eq!(glimpse.version, entry.version.to_string());
        assert_eq!((&*glimpse.platform, glimpse.severity), ("any", entry.severity));
        assert_eq!(glimpse.summary, entry.summary.as_str());
        assert_eq!(glimpse.archive().expect("an archive"), entry.archive.sha256);
    }

    #[test]
    fn what_has_a_text_may_have_it() {
        let cases = [
            ("Closes a Hole", "hole", true),
            ("Closes a Hole", "hol3", false),
            ("\\u0043loses", "closes", true),
            ("a \\\"b\\\" c", "\"b\"", true),
            ("ÄRGER", "ärger", true),
            // the sign for a Kelvin is a k in small letters
            ("10 \u{212a}", "10 k", true),
            ("x", "cve-2026", true),
            ("x", "acm", true),
            // in the entry, and not in what is searched
            ("x", "abab", false),
            ("x", "patch/v1", false),
        ];
        for (summary, text, has) in cases {
            let line = line(summary);
            let glimpse = Glimpse::of(line.as_bytes()).expect("an entry");
            assert_eq!(glimpse.has(text), has, "{summary} {text}");
            assert!(!has || may_have(&line.to_ascii_lowercase(), text), "{summary} {text}");
        }
    }
}

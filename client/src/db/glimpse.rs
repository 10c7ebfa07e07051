//! What lists and searches show of patches, read from their entries without the rest.

use std::borrow::Cow;
use std::collections::BTreeSet;

use countersign_format::entry::{PatchEntry, Severity};
use countersign_format::hash::Hash32;
use countersign_format::name::PatchName;
use serde::Deserialize;

use super::lines::{each_value, numbered};
use super::lookup::{Kind, name_key};
use super::source::SourceId;
use super::{Database, DatabaseError, bad_value, parse};

mod quick;
mod search;

use search::Search;

/// A part of a patch's entry. Entries in the state were read in full when they came.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
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
    #[serde(borrow, default)]
    pub advisories: Vec<Cow<'e, str>>,
    /// One line for people.
    #[serde(borrow, default)]
    pub summary: Cow<'e, str>,
    /// The archive's hash, where it was passed by.
    #[serde(skip)]
    archive: Option<&'e str>,
    #[serde(skip)]
    line: &'e [u8],
}

fn any() -> Cow<'static, str> {
    Cow::Borrowed("any")
}

impl<'e> Glimpse<'e> {
    fn of(line: &'e str) -> Result<Self, DatabaseError> {
        match quick::read(line) {
            Some(glimpse) => Ok(glimpse),
            None => Self::thorough(line),
        }
    }

    fn thorough(line: &'e str) -> Result<Self, DatabaseError> {
        let glimpse: Self = serde_json::from_str(line).map_err(|error| bad(&error))?;
        Ok(Self { line: line.as_bytes(), ..glimpse })
    }

    /// The archive's hash.
    pub fn archive(&self) -> Result<Hash32, DatabaseError> {
        if let Some(hash) = self.archive {
            return parse("patch_lines.lines", hash);
        }
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
        each_value(self.connection(), source, |first, lines| {
            numbered(first, lines).try_for_each(|(leaf, line)| take(leaf, &Glimpse::of(line)?))
        })
    }

    /// Hands out every patch of a source with one of these names, in the log's order, but those of
    /// which `is_known` says that they are known.
    pub fn each_glimpse_named(
        &self,
        source: SourceId,
        names: &BTreeSet<PatchName>,
        is_known: impl Fn(u64) -> bool,
        mut take: impl FnMut(u64, &Glimpse<'_>) -> Result<(), DatabaseError>,
    ) -> Result<(), DatabaseError> {
        let mut leaves = self.leaves_of_any(source, Kind::Name, names.iter().map(name_key))?;
        leaves.retain(|leaf| !is_known(*leaf));
        self.lines_at(source, &leaves, |leaf, line| {
            let glimpse = Glimpse::of(line)?;
            // keys are hashes cut short
            let name = parse("patch_lines.lines", &glimpse.name)?;
            if names.contains(&name) { take(leaf, &glimpse) } else { Ok(()) }
        })
    }

    /// Hands out every patch of a source whose name, summary or advisories have this text, in the
    /// log's order; capitals and small letters are the same.
    pub fn each_glimpse_with(
        &self,
        source: SourceId,
        text: &str,
        mut take: impl FnMut(u64, &Glimpse<'_>) -> Result<(), DatabaseError>,
    ) -> Result<(), DatabaseError> {
        let lowercase = text.to_lowercase();
        let mut search = Search::new(&lowercase);
        each_value(self.connection(), source, |first, lines| {
            search.each_in(first, lines, |leaf, line| {
                let glimpse = Glimpse::of(line)?;
                if glimpse.has(&lowercase) { take(leaf, &glimpse) } else { Ok(()) }
            })
        })
    }
}

fn bad(reason: &dyn std::fmt::Display) -> DatabaseError {
    bad_value("patch_lines.lines", reason)
}

#[cfg(test)]
mod tests;

//! What is known of names, for `list` and `search`: what is installed, and the newest that is
//! offered.
//!
//! A hundred thousand names are shown in a moment only if none of them is a thing of its own: their
//! texts lie one behind the other, are sorted by where they begin, and are printed from there.

use std::collections::{BTreeMap, BTreeSet, HashSet, btree_map};
use std::fmt::Display;
use std::iter::Peekable;
use std::slice;

use countersign_format::entry::Severity;
use countersign_format::name::{PatchName, PatchVersion, Platform};
use countersign_format::text::AdvisoryId;
use countersign_terminal::{Failure, Output, Report};
use patchctl::catalogue::{Catalogue, Seen};
use patchctl::db::{Database, DatabaseError, parse};
use patchctl::resolve::{Filter, Step};
use serde::{Serialize, Serializer};

use super::NOTHING;
use super::attention::FreshnessReport;
use super::filter::severity_word;
use crate::explain::OrExplain as _;

/// A list of names, and how fresh what is known of them is.
#[derive(Serialize)]
pub struct ListReport {
    /// Of each source.
    pub freshness: Vec<FreshnessReport>,
    /// The names.
    pub patches: Listing,
}

/// Which names are listed.
#[derive(Clone, Copy)]
pub enum Names<'n> {
    /// All.
    All,
    /// These.
    These(&'n BTreeSet<PatchName>),
    /// Those of which a patch has this text in its name, its summary or its advisories.
    With(&'n str),
}

/// One name.
#[derive(Serialize, Clone, Copy)]
pub struct ListLine<'l> {
    /// The component.
    pub name: &'l str,
    /// The installed version.
    pub installed: Option<&'l str>,
    /// The newest that is offered.
    pub available: Option<&'l str>,
    /// How grave what it mends is.
    pub severity: &'static str,
    /// The advisories that it closes.
    #[serde(serialize_with = "as_words")]
    pub advisories: &'l str,
    /// One line for people.
    pub summary: &'l str,
}

/// What is installed or offered.
#[derive(Default)]
pub struct Listing {
    /// Versions.
    installed: BTreeMap<String, String>,
    text: String,
    offers: Vec<Offered>,
}

/// What is offered, or is installed and would not be offered.
struct Offered {
    /// The beginning of the name: most names differ there, and texts are far apart.
    prefix: [u8; 16],
    /// Its source, and the leaf index of its entry.
    order: (u32, u32),
    texts: Texts,
    severity: Severity,
    is_open: bool,
}

/// Where texts begin, and how long each of them is: a name, a version, a summary, and advisories with
/// blanks between.
#[derive(Clone, Copy)]
struct Texts {
    start: u32,
    /// Of what many versions close together, more than any entry has.
    lengths: [u32; 4],
}

/// The lines of a listing.
pub struct Lines<'l> {
    text: &'l str,
    installed: Peekable<btree_map::Iter<'l, String, String>>,
    offers: Peekable<slice::Iter<'l, Offered>>,
}

impl Report for ListReport {
    fn print(&self, output: &Output) {
        let header = ["NAME", "INSTALLED", "AVAILABLE", "SEVERITY", "SUMMARY"];
        output.print_rows(header, self.patches.widths(), self.patches.lines().map(ListLine::cells));
    }
}

impl Listing {
    /// Of these names, for all platforms or for one.
    pub fn load(
        database: &Database,
        catalogue: Option<&Catalogue>,
        platform: Option<&Platform>,
        names: Names<'_>,
    ) -> Result<Self, Failure> {
        let mut listing = Self::default();
        for installed in database.installed().or_explain()? {
            if platform.is_none_or(|platform| *platform == installed.platform) {
                let version = installed.version.to_string();
                listing.installed.insert(installed.name.to_string(), version);
            }
        }
        let found = catalogue.map(|catalogue| listing.look(database, catalogue, platform, names));
        let found = found.transpose().or_explain()?.flatten();
        let wanted = match names {
            Names::These(names) => Some(names),
            Names::All | Names::With(_) => found.as_ref(),
        };
        if let Some(wanted) = wanted {
            let wanted: HashSet<&str> = wanted.iter().map(PatchName::as_str).collect();
            listing.installed.retain(|name, _| wanted.contains(&**name));
        }
        listing.sort().or_explain()?;
        Ok(listing)
    }

    /// Takes what is offered. The names that have a text, where one is looked for.
    fn look(
        &mut self,
        database: &Database,
        catalogue: &Catalogue,
        platform: Option<&Platform>,
        names: Names<'_>,
    ) -> Result<Option<BTreeSet<PatchName>>, DatabaseError> {
        let take = |seen: &Seen<'_>| {
            let fits = platform.is_none_or(|platform| platform.as_str() == seen.glimpse.platform);
            if fits { self.take(seen) } else { Ok(()) }
        };
        match names {
            Names::All => catalogue.each_glimpse(database, take).map(|()| None),
            Names::These(names) => {
                catalogue.each_glimpse_named(database, names, take).map(|()| None)
            }
            Names::With(text) => catalogue.each_glimpse_with(database, text, take).map(Some),
        }
    }

    fn take(&mut self, seen: &Seen<'_>) -> Result<(), DatabaseError> {
        let Seen { source, leaf, glimpse, is_open } = *seen;
        let is_installed = || {
            let installed = self.installed.get(&*glimpse.name);
            installed.is_some_and(|installed| *installed == glimpse.version)
        };
        if !is_open && !is_installed() {
            return Ok(());
        }
        let mut prefix = [0; 16];
        prefix.iter_mut().zip(glimpse.name.as_bytes()).for_each(|(to, byte)| *to = *byte);
        let texts = [&*glimpse.name, &glimpse.version, &glimpse.summary];
        let advisories = glimpse.advisories.iter().map(|advisory| &**advisory).collect();
        self.offers.push(Offered {
            prefix,
            order: (bounded(source)?, bounded(leaf)?),
            texts: Texts::append(&mut self.text, texts, &advisories)?,
            severity: glimpse.severity,
            is_open,
        });
        Ok(())
    }

    /// Sorts by name and leaves the newest of each, the first to come of its equals.
    fn sort(&mut self) -> Result<(), DatabaseError> {
        let Self { text, offers, .. } = self;
        let name = |offered: &Offered| offered.texts.name(text);
        offers.sort_unstable_by(|one, other| {
            let prefix = one.prefix.cmp(&other.prefix);
            let name = || name(one).cmp(name(other));
            prefix.then_with(name).then_with(|| one.order.cmp(&other.order))
        });
        let version = |offered: &Offered| {
            parse::<PatchVersion>("patch_lines.lines", offered.texts.version(text))
        };
        let mut failure = None;
        offers.dedup_by(|next, newest| {
            let is_same = next.prefix == newest.prefix && name(next) == name(newest);
            if is_same && failure.is_none() {
                match version(newest).and_then(|newest| Ok(newest < version(next)?)) {
                    Ok(true) => std::mem::swap(next, newest),
                    Ok(false) => {}
                    Err(error) => failure = Some(error),
                }
            }
            is_same
        });
        failure.map_or(Ok(()), Err)
    }

    /// Lets these steps say how grave they are and what they close.
    pub fn take_steps(&mut self, steps: &[Step]) -> Result<(), Failure> {
        let steps: BTreeMap<&str, &Step> =
            steps.iter().map(|step| (step.name.as_str(), step)).collect();
        let Self { text, offers, .. } = self;
        for offered in offers {
            let Some(step) = steps.get(offered.texts.name(text)) else { continue };
            let texts = [offered.texts.version(text), offered.texts.summary(text)];
            let [version, summary] = texts.map(ToOwned::to_owned);
            let advisories = step.advisories.iter().map(AdvisoryId::as_str).collect();
            let texts = [step.name.as_str(), &version, &summary];
            offered.texts = Texts::append(text, texts, &advisories).or_explain()?;
            offered.severity = step.severity;
        }
        Ok(())
    }

    /// Leaves out what is installed.
    pub fn retain_not_installed(&mut self) {
        let Self { installed, text, offers } = self;
        offers.retain(|offered| !installed.contains_key(offered.texts.name(text)));
        installed.clear();
    }

    /// Leaves out what is not installed.
    pub fn retain_installed(&mut self) {
        let Self { installed, text, offers } = self;
        offers.retain(|offered| installed.contains_key(offered.texts.name(text)));
    }

    /// Leaves out what the filter does not want.
    pub fn retain_wanted(&mut self, filter: &Filter) -> Result<(), Failure> {
        if filter.is_everything() {
            return Ok(());
        }
        let mut unwanted = HashSet::new();
        for line in self.lines() {
            let severity = parse("patch_lines.lines", line.severity).or_explain()?;
            let advisories = line.advisories.split_ascii_whitespace();
            let advisories: Result<_, _> =
                advisories.map(|advisory| parse("patch_lines.lines", advisory)).collect();
            if !filter.wants(severity, &advisories.or_explain()?) {
                unwanted.insert(line.name.to_owned());
            }
        }
        let Self { installed, text, offers } = self;
        installed.retain(|name, _| !unwanted.contains(name));
        offers.retain(|offered| !unwanted.contains(offered.texts.name(text)));
        Ok(())
    }

    /// Whether there is no name.
    pub fn is_empty(&self) -> bool {
        self.lines().next().is_none()
    }

    /// How wide the cells of each column are at most, but for summaries: names and versions are ASCII.
    /// Goes through numbers alone, since texts are far apart.
    fn widths(&self) -> [usize; 5] {
        let mut widest = [0; 5];
        let mut widen = |widths: [usize; 4]| {
            widest.iter_mut().zip(widths).for_each(|(widest, width)| *widest = width.max(*widest));
        };
        for Offered { texts, severity, is_open, .. } in &self.offers {
            let [name, version, ..] = texts.lengths.map(|length| length as usize);
            let available = if *is_open { version } else { NOTHING.len() };
            widen([name, 0, available, severity_word(*severity).len()]);
        }
        for (name, version) in &self.installed {
            widen([name.len(), version.len(), 0, 0]);
        }
        widest
    }

    /// The names, sorted.
    pub fn lines(&self) -> Lines<'_> {
        let Self { installed, text, offers } = self;
        Lines { text, installed: installed.iter().peekable(), offers: offers.iter().peekable() }
    }
}

impl<'l> ListLine<'l> {
    fn cells(self) -> [&'l str; 5] {
        let version = |version: Option<&'l str>| version.unwrap_or(NOTHING);
        let Self { name, installed, available, severity, summary, .. } = self;
        [name, version(installed), version(available), severity, summary]
    }
}

impl Serialize for Listing {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.lines())
    }
}

impl<'l> Iterator for Lines<'l> {
    type Item = ListLine<'l>;

    fn next(&mut self) -> Option<ListLine<'l>> {
        let text = self.text;
        let offered = self.offers.peek().map(|offered| offered.texts.name(text));
        // what no source offers comes in its turn
        let is_next =
            |(name, _): &(&String, &String)| offered.is_none_or(|other| ***name <= *other);
        let installed = self.installed.next_if(is_next);
        match installed {
            Some((name, version)) if offered != Some(name) => Some(ListLine {
                name,
                installed: Some(version),
                available: None,
                severity: severity_word(Severity::None),
                advisories: "",
                summary: "",
            }),
            _ => {
                let Offered { texts, severity, is_open, .. } = self.offers.next()?;
                Some(ListLine {
                    name: texts.name(text),
                    installed: installed.map(|(_, version)| version.as_str()),
                    available: is_open.then(|| texts.version(text)),
                    severity: severity_word(*severity),
                    advisories: texts.advisories(text),
                    summary: texts.summary(text),
                })
            }
        }
    }
}

impl Texts {
    fn append(
        text: &mut String,
        texts: [&str; 3],
        advisories: &BTreeSet<&str>,
    ) -> Result<Self, DatabaseError> {
        let start = text.len();
        text.extend(texts);
        let first = text.len();
        for advisory in advisories {
            text.push_str(advisory);
            text.push(' ');
        }
        let [name, version, summary] = texts.map(str::len);
        let lengths = [name, version, summary, text.len() - first];
        let mut bounds = [0; 4];
        for (bound, length) in bounds.iter_mut().zip(lengths) {
            *bound = bounded(length)?;
        }
        Ok(Self { start: bounded(start)?, lengths: bounds })
    }

    fn name<'t>(&self, text: &'t str) -> &'t str {
        self.get(text, 0)
    }

    fn version<'t>(&self, text: &'t str) -> &'t str {
        self.get(text, 1)
    }

    fn summary<'t>(&self, text: &'t str) -> &'t str {
        self.get(text, 2)
    }

    fn advisories<'t>(&self, text: &'t str) -> &'t str {
        self.get(text, 3)
    }

    fn get<'t>(&self, text: &'t str, at: usize) -> &'t str {
        let before: usize = self.lengths[..at].iter().map(|length| *length as usize).sum();
        let start = self.start as usize + before;
        &text[start..start + self.lengths[at] as usize]
    }
}

/// A number that is small in every entry that was read in full.
fn bounded<T, N: TryFrom<T, Error: Display>>(number: T) -> Result<N, DatabaseError> {
    let bad = |error: N::Error| DatabaseError::Value {
        column: "patch_lines.lines",
        reason: error.to_string(),
    };
    N::try_from(number).map_err(bad)
}

fn as_words<S: Serializer>(text: &str, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(text.split_ascii_whitespace())
}

#[cfg(test)]
mod tests;

//! What is known of names, for `list` and `search`: what is installed, and the newest that is
//! offered.
//!
//! A hundred thousand names are shown in a moment only if none of them is a thing of its own: their
//! texts lie one behind the other, and are sorted by where they begin.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use countersign_format::entry::Severity;
use countersign_format::name::{PatchName, PatchVersion, Platform};
use countersign_terminal::Failure;
use patchctl::catalogue::Catalogue;
use patchctl::db::{Database, DatabaseError, parse};
use patchctl::resolve::{Filter, Step};
use serde::Serialize;

use super::filter::severity_word;
use crate::explain::OrExplain as _;

/// Names beyond which the whole index is gone through rather than each of them looked up.
const MAX_LOOKED_UP: usize = 1000;

/// One name.
#[derive(Serialize)]
pub struct ListLine<'l> {
    /// The component.
    pub name: &'l str,
    /// The installed version.
    pub installed: Option<String>,
    /// The newest that is offered.
    pub available: Option<&'l str>,
    /// How grave what it mends is.
    pub severity: &'static str,
    /// The advisories that it closes.
    pub advisories: &'l [String],
    /// One line for people.
    pub summary: &'l str,
}

/// What is installed or offered.
#[derive(Default)]
pub struct Listing {
    installed: BTreeMap<String, PatchVersion>,
    /// Names, versions and summaries.
    text: String,
    offers: Vec<Offered>,
}

/// What is offered, or is installed and would not be offered.
struct Offered {
    /// The beginning of the name: most names differ there.
    prefix: [u8; 8],
    name: Range<usize>,
    version: Range<usize>,
    summary: Range<usize>,
    severity: Severity,
    advisories: Vec<String>,
    is_open: bool,
}

/// One patch as it is taken into a listing.
struct Patch<'p> {
    name: &'p str,
    version: &'p str,
    summary: &'p str,
    severity: Severity,
    advisories: Vec<String>,
    is_open: bool,
}

impl Listing {
    /// Of these names or of all, for all platforms or for one.
    pub fn load(
        database: &Database,
        catalogue: Option<&Catalogue>,
        platform: Option<&Platform>,
        names: Option<&BTreeSet<PatchName>>,
    ) -> Result<Self, Failure> {
        let mut listing = Self::default();
        for installed in database.installed().or_explain()? {
            if platform.is_none_or(|platform| *platform == installed.platform)
                && names.is_none_or(|names| names.contains(&installed.name))
            {
                listing.installed.insert(installed.name.to_string(), installed.version);
            }
        }
        let Some(catalogue) = catalogue else { return Ok(listing) };
        match names {
            Some(names) if names.len() <= MAX_LOOKED_UP => {
                listing.look_up(database, catalogue, platform, names)?;
            }
            _ => listing.go_through(database, catalogue, platform, names)?,
        }
        listing.sort().or_explain()?;
        Ok(listing)
    }

    fn look_up(
        &mut self,
        database: &Database,
        catalogue: &Catalogue,
        platform: Option<&Platform>,
        names: &BTreeSet<PatchName>,
    ) -> Result<(), Failure> {
        for name in names {
            for offer in catalogue.offers_named(database, name).or_explain()? {
                let entry = offer.entry();
                if platform.is_none_or(|platform| *platform == entry.platform) {
                    self.take(Patch {
                        name: name.as_str(),
                        version: &entry.version.to_string(),
                        summary: entry.summary.as_str(),
                        severity: entry.severity,
                        advisories: entry.advisories.iter().map(ToString::to_string).collect(),
                        is_open: offer.is_open(),
                    });
                }
            }
        }
        Ok(())
    }

    fn go_through(
        &mut self,
        database: &Database,
        catalogue: &Catalogue,
        platform: Option<&Platform>,
        names: Option<&BTreeSet<PatchName>>,
    ) -> Result<(), Failure> {
        let is_meant = |name: &str| {
            names.is_none_or(|names| name.parse().is_ok_and(|name| names.contains(&name)))
        };
        let take = |glimpse: &patchctl::db::glimpse::Glimpse<'_>, is_open| {
            if platform.is_none_or(|platform| platform.as_str() == glimpse.platform)
                && is_meant(&glimpse.name)
            {
                self.take(Patch {
                    name: &glimpse.name,
                    version: &glimpse.version,
                    summary: &glimpse.summary,
                    severity: glimpse.severity,
                    advisories: glimpse.advisories.clone(),
                    is_open,
                });
            }
            Ok(())
        };
        catalogue.each_glimpse(database, take).or_explain()
    }

    fn take(&mut self, patch: Patch<'_>) {
        let Patch { name, version, summary, severity, mut advisories, is_open } = patch;
        let is_installed = || {
            let installed = self.installed.get(name);
            installed.is_some_and(|installed| installed.to_string() == version)
        };
        if !is_open && !is_installed() {
            return;
        }
        let mut prefix = [0; 8];
        prefix.iter_mut().zip(name.as_bytes()).for_each(|(to, byte)| *to = *byte);
        advisories.sort_unstable();
        advisories.dedup();
        let [name, version, summary] = [name, version, summary].map(|text| self.append(text));
        self.offers.push(Offered { prefix, name, version, summary, severity, advisories, is_open });
    }

    fn append(&mut self, text: &str) -> Range<usize> {
        let start = self.text.len();
        self.text.push_str(text);
        start..self.text.len()
    }

    /// Sorts by name and leaves the newest of each, the first to come of its equals.
    fn sort(&mut self) -> Result<(), DatabaseError> {
        let Self { text, offers, .. } = self;
        offers.sort_by(|one, other| {
            let name = |offered: &Offered| &text[offered.name.clone()];
            one.prefix.cmp(&other.prefix).then_with(|| name(one).cmp(name(other)))
        });
        let mut newest: Vec<Offered> = Vec::with_capacity(offers.len());
        for offered in std::mem::take(offers) {
            let is_same = |last: &&mut Offered| {
                last.prefix == offered.prefix
                    && text[last.name.clone()] == text[offered.name.clone()]
            };
            match newest.last_mut().filter(is_same) {
                None => newest.push(offered),
                Some(last) => {
                    let version = |offered: &Offered| {
                        parse::<PatchVersion>("patch_lines.lines", &text[offered.version.clone()])
                    };
                    if version(last)? < version(&offered)? {
                        *last = offered;
                    }
                }
            }
        }
        *offers = newest;
        Ok(())
    }

    /// Lets these steps say how grave they are and what they close.
    pub fn take_steps(&mut self, steps: &[Step]) {
        let steps: BTreeMap<&str, &Step> =
            steps.iter().map(|step| (step.name.as_str(), step)).collect();
        for offered in &mut self.offers {
            if let Some(step) = steps.get(&self.text[offered.name.clone()]) {
                offered.severity = step.severity;
                offered.advisories = step.advisories.iter().map(ToString::to_string).collect();
            }
        }
    }

    /// Leaves out what is installed.
    pub fn retain_not_installed(&mut self) {
        let Self { installed, text, offers } = self;
        offers.retain(|offered| !installed.contains_key(&text[offered.name.clone()]));
        installed.clear();
    }

    /// Leaves out what is not installed.
    pub fn retain_installed(&mut self) {
        let Self { installed, text, offers } = self;
        offers.retain(|offered| installed.contains_key(&text[offered.name.clone()]));
    }

    /// The names as lines, as far as the filter wants them.
    pub fn lines(&self, filter: &Filter) -> Result<Vec<ListLine<'_>>, Failure> {
        let mut lines = Vec::with_capacity(self.offers.len());
        let mut installed = self.installed.iter().peekable();
        for offered in &self.offers {
            let name = &self.text[offered.name.clone()];
            while let Some((name, version)) = installed.next_if(|(other, _)| other.as_str() < name)
            {
                lines.push(ListLine::of_installed(name, version));
            }
            let own = installed.next_if(|(other, _)| *other == name);
            lines.push(ListLine {
                name,
                installed: own.map(|(_, version)| version.to_string()),
                available: offered.is_open.then(|| &self.text[offered.version.clone()]),
                severity: severity_word(offered.severity),
                advisories: &offered.advisories,
                summary: &self.text[offered.summary.clone()],
            });
        }
        lines.extend(installed.map(|(name, version)| ListLine::of_installed(name, version)));
        if !filter.is_everything() {
            lines = wanted(lines, filter).or_explain()?;
        }
        Ok(lines)
    }
}

impl<'l> ListLine<'l> {
    /// Of what no source offers.
    fn of_installed(name: &'l str, version: &PatchVersion) -> Self {
        Self {
            name,
            installed: Some(version.to_string()),
            available: None,
            severity: severity_word(Severity::None),
            advisories: &[],
            summary: "",
        }
    }
}

fn wanted<'l>(
    lines: Vec<ListLine<'l>>,
    filter: &Filter,
) -> Result<Vec<ListLine<'l>>, DatabaseError> {
    let mut wanted = Vec::new();
    for line in lines {
        let severity = parse("patch_lines.lines", line.severity)?;
        let advisories = line.advisories.iter();
        let advisories: Result<_, _> =
            advisories.map(|advisory| parse("patch_lines.lines", advisory)).collect();
        if filter.wants(severity, &advisories?) {
            wanted.push(line);
        }
    }
    Ok(wanted)
}

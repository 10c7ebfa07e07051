//! `patchctl show NAME[@VERSION]`.

use std::collections::{BTreeMap, BTreeSet};

use clap::Args;
use countersign_format::entry::PatchEntry;
use countersign_format::name::Requirement;
use countersign_terminal::{ExitStatus, Failure, Output, Report, bytes};
use patchctl::catalogue::Offer;
use patchctl::db::installed::HeldBack;
use patchctl::db::signers::Signers;
use serde::Serialize;

use super::NameAndVersion;
use super::attention::Freshnesses;
use super::filter::{PatchArgs, severity_word};
use crate::explain::OrExplain as _;
use crate::session::Session;

/// Show what is known of a patch: every one of a version, the newest unless one is named
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  \
    patchctl show acme-agent\n  \
    patchctl show acme-agent@2.1.1 --platform linux-x86_64\n  \
    patchctl show acme-agent --all-versions --json")]
pub struct ShowArgs {
    /// Which
    #[arg(value_name = "NAME[@VERSION]")]
    what: NameAndVersion,
    #[command(flatten)]
    patch: PatchArgs,
    /// All versions
    #[arg(long)]
    all_versions: bool,
}

#[derive(Serialize)]
struct ShowReport {
    installed: Option<String>,
    /// Whose signatures counted when it was installed.
    collection_keys: BTreeSet<String>,
    distribution_keys: BTreeSet<String>,
    patches: Vec<PatchReport>,
}

#[derive(Serialize)]
struct PatchReport {
    source: String,
    index: u64,
    name: String,
    version: String,
    base: Option<String>,
    platform: String,
    summary: String,
    severity: &'static str,
    advisories: Vec<String>,
    requires: BTreeMap<String, String>,
    conflicts: BTreeMap<String, String>,
    archive: String,
    size: u64,
    unpacked: u64,
    files: u64,
    restart: Vec<String>,
    reboot: bool,
    collected: String,
    evidence: Vec<EvidenceReport>,
    offered: bool,
    standing: String,
}

#[derive(Serialize)]
struct EvidenceReport {
    #[serde(rename = "type")]
    kind: String,
    sha256: String,
}

impl PatchReport {
    fn new(offer: &Offer, source: &str, undone_by: Option<i64>) -> Self {
        let entry: &PatchEntry = offer.entry();
        let words = |map: &BTreeMap<_, _>| -> BTreeMap<String, String> {
            let word =
                |(name, requirement): (&countersign_format::name::PatchName, &Requirement)| {
                    (name.to_string(), requirement.to_string())
                };
            map.iter().map(word).collect()
        };
        Self {
            source: source.to_owned(),
            index: offer.patch.leaf,
            name: entry.name.to_string(),
            version: entry.version.to_string(),
            base: entry.base.as_ref().map(ToString::to_string),
            platform: entry.platform.to_string(),
            summary: entry.summary.to_string(),
            severity: severity_word(entry.severity),
            advisories: entry.advisories.iter().map(ToString::to_string).collect(),
            requires: words(&entry.requires),
            conflicts: words(&entry.conflicts),
            archive: entry.archive.sha256.to_string(),
            size: entry.archive.size,
            unpacked: entry.archive.unpacked,
            files: entry.archive.files,
            restart: entry.restart.iter().map(ToString::to_string).collect(),
            reboot: entry.reboot,
            collected: entry.collected.to_string(),
            evidence: entry
                .evidence
                .iter()
                .map(|evidence| EvidenceReport {
                    kind: evidence.kind.to_string(),
                    sha256: evidence.sha256.to_string(),
                })
                .collect(),
            offered: offer.is_open(),
            standing: match undone_by {
                Some(rollback) if offer.is_open() => {
                    format!("offered, but held back since rollback {rollback} undid it")
                }
                _ => offer.gate.to_string(),
            },
        }
    }

    fn print(&self, output: &Output) {
        output.print_heading(format!("{} {}", self.name, self.version));
        let list = |words: &[String]| words.join(", ");
        let map = |words: &BTreeMap<String, String>| {
            let words: Vec<_> =
                words.iter().map(|(name, version)| format!("{name} {version}")).collect();
            words.join(", ")
        };
        let kind = match &self.base {
            Some(base) => format!("incremental, for {base}"),
            None => "full".to_owned(),
        };
        let reboot = if self.reboot { "the machine" } else { "" };
        let fields = [
            ("summary", self.summary.clone()),
            ("kind", kind),
            ("platform", self.platform.clone()),
            ("severity", self.severity.to_owned()),
            ("advisories", list(&self.advisories)),
            ("requires", map(&self.requires)),
            ("conflicts", map(&self.conflicts)),
            (
                "size",
                format!(
                    "{} to fetch, {} in {} files on disk",
                    bytes(self.size),
                    bytes(self.unpacked),
                    self.files
                ),
            ),
            ("restart", list(&self.restart)),
            ("reboot", reboot.to_owned()),
            ("collected", self.collected.clone()),
            ("standing", self.standing.clone()),
            ("source", format!("{}, entry {}", self.source, self.index)),
            ("archive", self.archive.clone()),
        ];
        for (label, value) in fields.iter().filter(|(_, value)| !value.is_empty()) {
            output.print_field(label, value);
        }
        for evidence in &self.evidence {
            output.print_field("evidence", format!("{} {}", evidence.kind, evidence.sha256));
        }
    }
}

impl Report for ShowReport {
    fn print(&self, output: &Output) {
        for (number, patch) in self.patches.iter().enumerate() {
            if number > 0 {
                output.print_line("");
            }
            patch.print(output);
        }
        if let Some(version) = &self.installed {
            output.print_field("installed", version);
        }
        if !self.collection_keys.is_empty() {
            let list =
                |keys: &BTreeSet<String>| keys.iter().cloned().collect::<Vec<_>>().join(", ");
            output.print_field("collected by", list(&self.collection_keys));
            output.print_field("released by", list(&self.distribution_keys));
        }
    }
}

/// Shows.
pub fn run(session: &Session<'_>, arguments: &ShowArgs) -> Result<ExitStatus, Failure> {
    let database = session.open_to_read()?;
    let catalogue = session.catalogue(&database)?;
    let NameAndVersion { name, version } = &arguments.what;
    let mut offers = catalogue.offers_named(&database, name).or_explain()?;
    offers.retain(|offer| {
        let entry = offer.entry();
        arguments.patch.wants(entry)
            && version.as_ref().is_none_or(|version| entry.version == *version)
    });
    let newest_open = offers.iter().filter(|offer| offer.is_open()).map(Offer::version).max();
    let newest = newest_open.or_else(|| offers.iter().map(Offer::version).max()).cloned();
    if !arguments.all_versions {
        offers.retain(|offer| Some(offer.version()) == newest.as_ref());
    }
    if offers.is_empty() {
        let version = version.as_ref().map_or(String::new(), |version| format!(" {version}"));
        let text = format!("no source has such a patch: {name}{version}");
        return Err(Failure::new(ExitStatus::NotFound, text)
            .hint(format!("look for it: patchctl search {name}")));
    }
    let installed = database.find_installed(name).or_explain()?;
    let held_back = database.held_back_by().or_explain()?;
    let undone_by = |offer: &Offer| {
        let is_it = |held: &&HeldBack| held.name == *name && held.version == *offer.version();
        held_back.iter().find(is_it).map(|held| held.transaction)
    };
    let freshness = Freshnesses::judge(session, &catalogue);
    freshness.reports.iter().for_each(|report| report.warn(session.output));
    let source = |offer: &Offer| catalogue.sources()[offer.source].config.name.as_str();
    let signers = match &installed {
        Some(installed) => database.signers(&installed.archive).or_explain()?,
        None => Signers::default(),
    };
    session.output.report(&ShowReport {
        collection_keys: signers.collection,
        distribution_keys: signers.distribution,
        installed: installed.map(|installed| installed.version.to_string()),
        patches: offers
            .iter()
            .map(|offer| PatchReport::new(offer, source(offer), undone_by(offer)))
            .collect(),
    });
    Ok(ExitStatus::Done)
}

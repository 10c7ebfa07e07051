//! `patchctl why NAME[@VERSION]`.

use clap::Args;
use countersign_format::name::PatchVersion;
use countersign_format::time::Timestamp;
use countersign_terminal::{ExitStatus, Failure, Output, Report, Tone, time};
use patchctl::catalogue::{Answer, Catalogue, Gate, Offer};
use patchctl::db::Database;
use patchctl::db::installed::Installed;
use patchctl::db::signers::Signers;
use patchctl::download::Downloader;
use patchctl::why::{Circumstances, MachineGate, Obstacle, obstacle};
use serde::Serialize;

use super::NameAndVersion;
use super::attention::{FreshnessReport, Freshnesses};
use super::filter::PatchArgs;
use crate::explain::OrExplain as _;
use crate::session::Session;

/// Say why a patch is offered, installed, or not: gate by gate, with the dates on which that changes
///
/// Without a version: the newest there is, the newest that is released to this machine's ring, and
/// the one that this machine goes to or stays at.
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  \
    patchctl why acme-agent\n  \
    patchctl why acme-agent@2.1.1 --json")]
pub struct WhyArgs {
    /// What
    #[arg(value_name = "NAME[@VERSION]")]
    what: NameAndVersion,
    #[command(flatten)]
    patch: PatchArgs,
}

#[derive(Serialize)]
struct WhyReport {
    name: String,
    installed: Option<Installation>,
    freshness: Vec<FreshnessReport>,
    versions: Vec<VersionReport>,
}

#[derive(Serialize)]
struct Installation {
    version: String,
    transaction: i64,
    command: Option<String>,
    finished: Option<String>,
    archive: String,
    source: Option<String>,
    collection_keys: Vec<String>,
    distribution_keys: Vec<String>,
}

#[derive(Serialize)]
struct VersionReport {
    version: String,
    verdict: &'static str,
    why: String,
    changes: Option<String>,
    patches: Vec<PatchReport>,
    gates: Vec<GateReport>,
}

#[derive(Serialize)]
struct PatchReport {
    source: String,
    index: u64,
    base: Option<String>,
    platform: String,
    offered: bool,
    gates: Vec<GateReport>,
}

#[derive(Serialize)]
struct GateReport {
    gate: &'static str,
    answer: &'static str,
    known: String,
    changes: Option<String>,
}

fn answer_word(answer: Option<Answer>) -> &'static str {
    match answer {
        Some(Answer::Yes) => "yes",
        Some(Answer::No) => "no",
        Some(Answer::Waits) => "waits",
        None => "unknown",
    }
}

fn date(time: Option<Timestamp>) -> Option<String> {
    time.map(|time| time.to_string())
}

impl PatchReport {
    fn new(catalogue: &Catalogue, offer: &Offer) -> Self {
        let gate = |gate: &patchctl::catalogue::GateState<'_>| GateReport {
            gate: gate.name(),
            answer: answer_word(Some(gate.answer())),
            known: gate.to_string(),
            changes: date(gate.changes()),
        };
        Self {
            source: catalogue.sources()[offer.source].config.name.to_string(),
            index: offer.patch.leaf,
            base: offer.entry().base.as_ref().map(ToString::to_string),
            platform: offer.entry().platform.to_string(),
            offered: offer.is_open(),
            gates: catalogue.gates(offer).iter().map(gate).collect(),
        }
    }

    fn heading(&self) -> String {
        let kind = match &self.base {
            Some(base) => format!("incremental patch for {base}"),
            None => "full patch".to_owned(),
        };
        format!("{kind}, from {}", self.source)
    }
}

impl From<&MachineGate> for GateReport {
    fn from(gate: &MachineGate) -> Self {
        Self {
            gate: gate.name,
            answer: answer_word(gate.answer),
            known: gate.known.clone(),
            changes: date(gate.changes),
        }
    }
}

impl GateReport {
    fn print(&self, output: &Output) {
        let tone = match (self.answer, self.gate) {
            ("yes", _) => Tone::Good,
            ("waits", _) => Tone::Attention,
            ("no", "installed") | ("unknown", _) => Tone::Plain,
            _ => Tone::Bad,
        };
        let text = match &self.changes {
            // a deadline stops nothing before it and nothing behind it
            Some(changes) if self.gate != "deadline" => {
                format!("{}\nchanges on {changes}", self.known)
            }
            _ => self.known.clone(),
        };
        output.print_item(&format!("  {}", self.gate), tone, self.answer, text);
    }
}

impl VersionReport {
    fn new(
        catalogue: &Catalogue,
        circumstances: &Circumstances<'_>,
        version: &PatchVersion,
        offers: &[&Offer],
    ) -> Result<Self, Failure> {
        let gates = circumstances.gates(version, offers).or_explain()?;
        let changes = |offer: &&Offer| {
            let gates = catalogue.gates(offer);
            // all that stop it must have changed, and only dates are known
            let stopping = gates.iter().filter(|gate| gate.answer() != Answer::Yes);
            stopping
                .map(patchctl::catalogue::GateState::changes)
                .max()
                .flatten()
                .filter(|_| !gates.iter().any(|gate| gate.answer() == Answer::No))
        };
        let (verdict, why, changes) = match obstacle(offers, &gates) {
            Obstacle::None => ("offered", "every gate lets it through".to_owned(), None),
            Obstacle::Installed => ("installed", taken_back(offers), None),
            Obstacle::Patch(gate) => match offers.iter().filter_map(changes).min() {
                Some(at) => ("waits", waiting_text(&gate), Some(at)),
                None => ("not-offered", gate.to_string(), None),
            },
            Obstacle::Machine(gate) if gate.answer == Some(Answer::Waits) => {
                ("waits", gate.known, gate.changes)
            }
            Obstacle::Machine(gate) => ("stopped", gate.known, None),
        };
        Ok(Self {
            version: version.to_string(),
            verdict,
            why,
            changes: date(changes),
            patches: offers.iter().map(|offer| PatchReport::new(catalogue, offer)).collect(),
            gates: gates.iter().map(GateReport::from).collect(),
        })
    }

    /// `brief` leaves the gates out: that all of them let an installed version through is no news.
    fn print(&self, name: &str, installed: Option<&Installation>, brief: bool, output: &Output) {
        let verdict = match self.verdict {
            "not-offered" => "is not offered",
            "stopped" => "is offered and not taken",
            "waits" => "waits",
            "installed" => "is installed",
            _ => "is offered",
        };
        output.print_heading(format!("{name} {} {verdict}", self.version));
        let tone = match (self.verdict, self.why.as_str()) {
            ("installed", "") | ("offered", _) => Tone::Good,
            ("waits", _) => Tone::Attention,
            _ => Tone::Bad,
        };
        if !self.why.is_empty() {
            output.print_toned_field("why", tone, &self.why);
        }
        if let Some(changes) = &self.changes {
            output.print_field("changes on", changes);
        }
        if let Some(installed) = installed {
            installed.print(output);
        }
        if brief {
            return;
        }
        for patch in &self.patches {
            output.print_line(patch.heading());
            patch.gates.iter().for_each(|gate| gate.print(output));
        }
        output.print_line("this machine");
        self.gates.iter().for_each(|gate| gate.print(output));
    }
}

fn waiting_text(gate: &Gate) -> String {
    match gate {
        Gate::NotStarted(_) => "its release has not started".to_owned(),
        gate => gate.to_string(),
    }
}

/// Why what is installed would not be installed again; empty if it would.
fn taken_back(offers: &[&Offer]) -> String {
    let gates = offers.iter().map(|offer| &offer.gate);
    let back = gates.filter(|gate| matches!(gate, Gate::Revoked(_) | Gate::Withdrawn(_)));
    back.map(|gate| format!("it was {gate}")).next().unwrap_or_default()
}

impl Installation {
    fn print(&self, output: &Output) {
        let by = match (&self.command, &self.finished) {
            (Some(command), Some(finished)) => format!(" on {finished}: {command}"),
            _ => String::new(),
        };
        output.print_field("installed by", format!("transaction {}{by}", self.transaction));
        if let Some(source) = &self.source {
            output.print_field("from", source);
        }
        output.print_field("archive", &self.archive);
        if !self.collection_keys.is_empty() {
            output.print_field("collected by", self.collection_keys.join(", "));
            output.print_field("released by", self.distribution_keys.join(", "));
        }
    }
}

impl Report for WhyReport {
    fn print(&self, output: &Output) {
        for (number, version) in self.versions.iter().enumerate() {
            if number > 0 {
                output.print_line("");
            }
            let is_it = |installed: &&Installation| installed.version == version.version;
            let installed = self.installed.as_ref().filter(is_it);
            let brief = installed.is_some() && number > 0;
            version.print(&self.name, installed, brief, output);
        }
        // one that no source knows any more
        let is_shown = |installed: &Installation| {
            self.versions.iter().any(|version| version.version == installed.version)
        };
        if let Some(installed) = self.installed.as_ref().filter(|installed| !is_shown(installed)) {
            output.print_heading(format!("{} {} is installed", self.name, installed.version));
            installed.print(output);
        }
    }
}

/// Explains.
pub fn run(session: &Session<'_>, arguments: &WhyArgs) -> Result<ExitStatus, Failure> {
    let database = session.open_to_read()?;
    let catalogue = session.catalogue(&database)?;
    let NameAndVersion { name, version } = &arguments.what;
    let mut offers = catalogue.offers_named(&database, name).or_explain()?;
    offers.retain(|offer| arguments.patch.wants(offer.entry()));
    let circumstances = Circumstances::of(&database, &catalogue, name, session.now).or_explain()?;
    let versions = match version {
        Some(version) => vec![version.clone()],
        None => interesting(&circumstances, &offers)?,
    };
    let of = |version: &PatchVersion| {
        let here = offers.iter().filter(|offer| offer.version() == version);
        let is_other = |offer: &&Offer| matches!(offer.gate, Gate::Platform(_));
        let (other, fitting): (Vec<&Offer>, Vec<&Offer>) = here.partition(is_other);
        if fitting.is_empty() { other } else { fitting }
    };
    let known = versions.iter().map(|version| (version, of(version)));
    let known: Vec<_> = known.filter(|(_, offers)| !offers.is_empty()).collect();
    let installed = circumstances.installed.as_ref();
    if known.is_empty() && !installed.is_some_and(|is| versions.contains(&is.version)) {
        let version = version.as_ref().map_or(String::new(), |version| format!(" {version}"));
        let text = format!("known: no. No source has such a patch: {name}{version}");
        return Err(Failure::new(ExitStatus::NotFound, text).hint(format!(
            "fetch what is new: patchctl update; look for it: patchctl search {name}"
        )));
    }
    let freshness = Freshnesses::judge(session, &catalogue);
    freshness.reports.iter().for_each(|report| report.warn(session.output));
    let reports = known
        .into_iter()
        .map(|(version, offers)| VersionReport::new(&catalogue, &circumstances, version, &offers));
    session.output.report(&WhyReport {
        name: name.to_string(),
        installed: installed
            .filter(|installed| versions.contains(&installed.version))
            .map(|installed| installation(session, &database, &catalogue, installed))
            .transpose()?,
        freshness: freshness.reports,
        versions: reports.collect::<Result<_, _>>()?,
    });
    Ok(ExitStatus::Done)
}

/// The newest version there is, the newest that is released to this machine's ring, and the one that
/// this machine goes to or stays at, as far as they are different.
fn interesting(
    circumstances: &Circumstances<'_>,
    offers: &[Offer],
) -> Result<Vec<PatchVersion>, Failure> {
    let fits = |offer: &&Offer| !matches!(offer.gate, Gate::Platform(_));
    let is_released =
        |offer: &&Offer| matches!(offer.gate, Gate::Open | Gate::NotStarted(_) | Gate::Rollout);
    let newest = offers.iter().filter(fits).map(Offer::version).max();
    let newest = newest.or_else(|| offers.iter().map(Offer::version).max());
    let released = offers.iter().filter(is_released).map(Offer::version).max();
    let chosen = circumstances.chosen().or_explain()?;
    let mut versions: Vec<PatchVersion> =
        newest.into_iter().chain(released).chain(&chosen).cloned().collect();
    versions.sort_by(|left, right| right.cmp(left));
    versions.dedup();
    Ok(versions)
}

fn installation(
    session: &Session<'_>,
    database: &Database,
    catalogue: &Catalogue,
    installed: &Installed,
) -> Result<Installation, Failure> {
    let record = database.transaction(installed.transaction).or_explain()?;
    let offers = catalogue.offers_of_archive(database, &installed.archive).or_explain()?;
    let mut signers = database.signers(&installed.archive).or_explain()?;
    // what was installed before they were written down
    if signers.is_empty() {
        for offer in &offers {
            let source = &catalogue.sources()[offer.source];
            let downloader = Downloader { source, mirrors: None, cache: &session.places.cache };
            if let Some(note) = downloader.cached_note(offer) {
                signers.extend(Signers::of(&note));
            }
        }
    }
    let source = offers.first().map(|offer| &catalogue.sources()[offer.source].config.name);
    let seconds = |seconds| time(i64::try_from(seconds).unwrap_or(i64::MAX));
    Ok(Installation {
        version: installed.version.to_string(),
        transaction: installed.transaction,
        command: record.as_ref().map(|record| record.command.clone()),
        finished: record.and_then(|record| record.finished).map(seconds),
        archive: installed.archive.to_string(),
        source: source.map(ToString::to_string),
        collection_keys: signers.collection.into_iter().collect(),
        distribution_keys: signers.distribution.into_iter().collect(),
    })
}

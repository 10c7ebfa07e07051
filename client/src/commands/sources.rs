//! `patchctl sources`.

use clap::{Args, Subcommand};
use countersign_format::text::RingName;
use countersign_terminal::{ExitStatus, Failure, Output, Report, Table};
use patchctl::config::{SourceConfig, SourceName, suggest};
use patchctl::db::Database;
use patchctl::freshness::Freshness;
use patchctl::trust::{Heads, Trust};
use serde::Serialize;

use super::change::not_confirmed;
use super::count;
use super::enroll::{self, EnrollArgs, priority_range};
use crate::explain::{OrExplain as _, one_line};
use crate::session::Session;

/// List, add, change and remove the repositories that this machine trusts
///
/// Without a command it lists them.
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  \
    patchctl sources\n  \
    patchctl sources add https://patches.example.org --authority sha256:2f1c…\n  \
    patchctl sources ring patches.example.org canary\n  \
    patchctl sources priority patches.example.org 10\n  \
    patchctl sources remove patches.example.org")]
pub struct SourcesArgs {
    #[command(subcommand)]
    command: Option<SourcesCommand>,
}

#[derive(Subcommand, Debug)]
enum SourcesCommand {
    List(ListArgs),
    Add(Box<AddArgs>),
    Remove(RemoveArgs),
    Ring(RingArgs),
    Priority(PriorityArgs),
}

/// List the sources, how fresh they are, and who signs for them
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  \
    patchctl sources list\n  \
    patchctl sources list --json")]
struct ListArgs {}

/// Bind this machine to one more repository; the same as patchctl enroll
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  \
    patchctl sources add https://patches.example.org --authority sha256:2f1c…\n  \
    patchctl sources add /mnt/patches --authority authority.note --priority 10")]
struct AddArgs {
    #[command(flatten)]
    enroll: EnrollArgs,
}

/// Trust a repository no longer
///
/// What is installed from it stays, and gets no more patches from it. What this machine knows of how
/// far the repository had come is kept: added again, it cannot show an older state.
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  \
    patchctl sources remove patches.example.org\n  \
    patchctl sources remove patches.example.org --yes")]
struct RemoveArgs {
    /// The source
    #[arg(value_name = "SOURCE")]
    name: SourceName,
}

/// Change the ring that this machine is in
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  patchctl sources ring patches.example.org canary")]
struct RingArgs {
    /// The source
    #[arg(value_name = "SOURCE")]
    name: SourceName,
    /// The ring
    ring: RingName,
}

/// Change which source wins where several offer a component: the one with the lowest number
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  patchctl sources priority patches.example.org 10")]
struct PriorityArgs {
    /// The source
    #[arg(value_name = "SOURCE")]
    name: SourceName,
    /// 1 to 999; 99 unless said
    #[arg(value_name = "N", value_parser = priority_range())]
    priority: u16,
}

#[derive(Serialize)]
struct SourcesReport {
    sources: Vec<SourceLine>,
}

#[derive(Serialize)]
struct SourceLine {
    name: String,
    url: String,
    priority: u16,
    ring: String,
    distribution: String,
    anchor: String,
    /// The authority that vouches for the keys; none where nothing is trusted.
    signed_by: Option<String>,
    authority_version: Option<u64>,
    fresh: bool,
    state: String,
    problem: Option<String>,
}

/// What was changed of a source.
#[derive(Serialize)]
struct ChangedReport {
    dry_run: bool,
    source: String,
    changed: &'static str,
    from: Option<String>,
    to: Option<String>,
    /// What is installed from it.
    installed: Vec<String>,
}

impl SourceLine {
    fn new(session: &Session<'_>, database: &Database, config: &SourceConfig) -> Self {
        let known = Trust::load(database, config)
            .and_then(|trust| Heads::load(database, &trust).map(|heads| (trust, heads)));
        let judged = known.map(|(trust, heads)| {
            let freshness = Freshness::judge(&trust, &heads, session.now);
            (trust.authority().name.to_string(), trust.authority().version, freshness)
        });
        let (signed_by, version, fresh, state, problem) = match judged {
            Ok((name, version, freshness)) => {
                let problem = freshness.refusal().map(|refusal| one_line(refusal));
                let state = freshness.word().to_owned();
                (Some(name), Some(version), freshness.is_fresh(), state, problem)
            }
            Err(error) => (None, None, false, "unusable".into(), Some(one_line(&error))),
        };
        Self {
            name: config.name.to_string(),
            url: config.url.to_string(),
            priority: config.priority,
            ring: config.ring.to_string(),
            distribution: config.distribution.to_string(),
            anchor: format!("sha256:{}", config.authority),
            signed_by,
            authority_version: version,
            fresh,
            state,
            problem,
        }
    }
}

impl Report for SourcesReport {
    fn print(&self, output: &Output) {
        // who signs and which distribution it is stand in `status`, which has room for it
        let mut table = Table::new(["SOURCE", "PRIORITY", "RING", "INDEX", "URL"]).right(1);
        for SourceLine { name, priority, ring, state, url, .. } in &self.sources {
            table.row([name, &priority.to_string(), ring, state, url]);
        }
        output.print_table(&table);
        for source in &self.sources {
            if let Some(problem) = &source.problem {
                output.warning(format!("{}: {problem}", source.name));
            }
        }
        if self.sources.is_empty() {
            output.note("no sources: patchctl enroll URL --authority FILE|sha256:HEX");
        }
    }
}

impl Report for ChangedReport {
    fn print(&self, output: &Output) {
        let Self { source, changed, from, to, dry_run, .. } = self;
        let would = if *dry_run { "would be " } else { "" };
        match (from, to) {
            (Some(from), Some(to)) => {
                output.print_line(format!("{source}: {changed} {would}{to}, was {from}"));
            }
            _ => output.print_line(format!("{source}: {would}{changed}")),
        }
    }
}

/// Lists, adds, changes or removes.
pub fn run(session: &Session<'_>, arguments: SourcesArgs) -> Result<ExitStatus, Failure> {
    match arguments.command {
        None | Some(SourcesCommand::List(_)) => list(session),
        Some(SourcesCommand::Add(arguments)) => enroll::run(session, arguments.enroll),
        Some(SourcesCommand::Remove(arguments)) => remove(session, &arguments.name),
        Some(SourcesCommand::Ring(RingArgs { name, ring })) => {
            let was = find(session, &name)?.ring.to_string();
            let value = toml::Value::String(ring.to_string());
            change(session, &name, "ring", was, ring.to_string(), &value)
        }
        Some(SourcesCommand::Priority(PriorityArgs { name, priority })) => {
            let was = find(session, &name)?.priority.to_string();
            let value = toml::Value::Integer(priority.into());
            change(session, &name, "priority", was, priority.to_string(), &value)
        }
    }
}

fn list(session: &Session<'_>) -> Result<ExitStatus, Failure> {
    let mut sources = Vec::new();
    if !session.sources.is_empty() {
        let database = session.open_to_read()?;
        let line = |config| SourceLine::new(session, &database, config);
        sources = session.sources.iter().map(line).collect();
        // the order in which they win
        sources.sort_by_key(|source| source.priority);
    }
    session.output.report(&SourcesReport { sources });
    Ok(ExitStatus::Done)
}

fn change(
    session: &Session<'_>,
    name: &SourceName,
    key: &'static str,
    from: String,
    to: String,
    value: &toml::Value,
) -> Result<ExitStatus, Failure> {
    let dry_run = session.arguments.dry_run;
    if !dry_run {
        let _state = session.open()?;
        SourceConfig::rewrite(&session.places, name, key, value).or_explain()?;
    }
    let (from, to, source) = (Some(from), Some(to), name.to_string());
    let installed = Vec::new();
    session.output.report(&ChangedReport { dry_run, source, changed: key, from, to, installed });
    Ok(ExitStatus::Done)
}

fn remove(session: &Session<'_>, name: &SourceName) -> Result<ExitStatus, Failure> {
    let config = find(session, name)?;
    let state = session.open()?;
    let installed = installed_from(&state.database, config)?;
    let what = match installed.len() as u64 {
        0 => "nothing is installed from it".to_owned(),
        number => format!(
            "{} installed from it {} and no longer gets patches from it: {}",
            count(number, "component", "components"),
            if number == 1 { "stays" } else { "stay" },
            installed.join(", ")
        ),
    };
    session.output.note(format!("{name} is {}; {what}", config.url));
    let dry_run = session.arguments.dry_run;
    if !dry_run {
        if !session.output.confirm("trust it no longer?", session.arguments.yes)? {
            return Err(not_confirmed());
        }
        SourceConfig::remove(&session.places, name).or_explain()?;
    }
    session.output.report(&ChangedReport {
        dry_run,
        source: name.to_string(),
        changed: "removed",
        from: None,
        to: None,
        installed,
    });
    Ok(ExitStatus::Done)
}

/// What is installed by archives that this source's log has.
fn installed_from(database: &Database, config: &SourceConfig) -> Result<Vec<String>, Failure> {
    // one that cannot be trusted any more can be removed all the same
    let Ok(trust) = Trust::load(database, config) else { return Ok(Vec::new()) };
    let mut names = Vec::new();
    for installed in database.installed().or_explain()? {
        let patch = database.patch_of_archive(trust.id(), &installed.archive).or_explain()?;
        names.extend(patch.map(|_| installed.name.to_string()));
    }
    Ok(names)
}

fn find<'s>(session: &'s Session<'_>, name: &SourceName) -> Result<&'s SourceConfig, Failure> {
    let found = session.sources.iter().find(|source| source.name == *name);
    found.ok_or_else(|| {
        let names = session.sources.iter().map(|source| source.name.as_str());
        let hint = match suggest::nearest(name.as_str(), names) {
            Some(name) => format!("did you mean {name}?"),
            None => "see them: patchctl sources".into(),
        };
        Failure::new(ExitStatus::Configuration, format!("there is no source {name}")).hint(hint)
    })
}

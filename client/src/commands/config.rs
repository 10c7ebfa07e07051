//! `patchctl config`.

use clap::{Args, Subcommand};
use countersign_terminal::{ExitStatus, Failure, Output, Report, Table};
use patchctl::config::definitions::{DEFINITIONS, Definition, definition};
use patchctl::config::{Said, suggest};
use serde::Serialize;

use crate::session::Session;

/// Explain the settings
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  \
    patchctl config explain\n  \
    patchctl config explain proxy")]
pub struct ConfigArgs {
    #[command(subcommand)]
    command: ConfigCommand,
}

#[derive(Subcommand, Debug)]
enum ConfigCommand {
    Explain(ExplainArgs),
}

/// Say what a setting is, who says so, and who else said something
///
/// The nearer wins: the command line, the environment, the files in conf.d from the last to the
/// first, config.toml, the vendor's file below /usr/lib.
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  \
    patchctl config explain                    all settings\n  \
    patchctl config explain downloads\n  \
    PATCHCTL_DOWNLOADS=8 patchctl config explain downloads")]
pub struct ExplainArgs {
    /// The setting; all unless named
    #[arg(value_name = "KEY")]
    key: Option<String>,
}

#[derive(Serialize)]
struct Explained {
    settings: Vec<SettingReport>,
    #[serde(skip)]
    is_one: bool,
}

#[derive(Serialize)]
struct SettingReport {
    name: &'static str,
    value: String,
    origin: Option<String>,
    others: Vec<Other>,
    usual: &'static str,
    variable: Option<String>,
    help: &'static str,
}

/// A value that does not count, since a nearer one does.
#[derive(Serialize)]
struct Other {
    value: String,
    origin: String,
}

impl SettingReport {
    fn new(session: &Session<'_>, definition: &Definition) -> Self {
        let mut said = session.settings.said(definition);
        let winner = said.next();
        Self {
            name: definition.name,
            value: match (definition.name, winner) {
                ("root", _) => session.places.root.display().to_string(),
                ("state", _) => session.places.state.display().to_string(),
                ("cache", _) => session.places.cache.display().to_string(),
                (_, Some(said)) => said.value.clone(),
                (_, None) => definition.usual.to_owned(),
            },
            origin: winner.map(|said| said.origin.to_string()),
            others: said
                .map(|Said { value, origin, .. }| Other {
                    value: value.clone(),
                    origin: origin.to_string(),
                })
                .collect(),
            usual: definition.usual,
            variable: definition.variable(),
            help: definition.help,
        }
    }

    fn origin(&self) -> &str {
        self.origin.as_deref().unwrap_or("as usual")
    }
}

impl Report for Explained {
    fn print(&self, output: &Output) {
        if !self.is_one {
            let mut table = Table::new(["KEY", "VALUE", "SAID BY"]);
            for setting in &self.settings {
                table.row([setting.name, &setting.value, setting.origin()]);
            }
            output.print_table(&table);
            return;
        }
        for setting in &self.settings {
            output.print_field(setting.name, &setting.value);
            output.print_field("said by", setting.origin());
            for Other { value, origin } in &setting.others {
                output.print_field("rather than", format!("{value}, by {origin}"));
            }
            output.print_field("usually", setting.usual);
            if let Some(variable) = &setting.variable {
                output.print_field("environment", variable);
            }
            output.print_field("meaning", setting.help);
        }
    }
}

/// Explains.
pub fn run(session: &Session<'_>, arguments: &ConfigArgs) -> Result<ExitStatus, Failure> {
    let ConfigCommand::Explain(ExplainArgs { key }) = &arguments.command;
    let wanted: Vec<&Definition> = match key {
        None => DEFINITIONS.iter().collect(),
        Some(key) => vec![definition(key).ok_or_else(|| unknown(key))?],
    };
    let settings = wanted.into_iter().map(|definition| SettingReport::new(session, definition));
    session.output.report(&Explained { settings: settings.collect(), is_one: key.is_some() });
    Ok(ExitStatus::Done)
}

fn unknown(key: &str) -> Failure {
    let names = DEFINITIONS.iter().map(|definition| definition.name);
    let hint = match suggest::nearest(key, names) {
        Some(name) => format!("did you mean {name}?"),
        None => "see all: patchctl config explain".into(),
    };
    Failure::usage(format!("there is no setting {key:?}")).hint(hint)
}

//! `patchrepo verify`.

use clap::Args;
use countersign_format::policy::Clock;
use countersign_format::text::DistributionName;
use countersign_store::Location;
use countersign_terminal::{ExitStatus, Failure, Output, Report, Table, bytes};
use serde::Serialize;

use super::trust::{AuthorityArgs, authority_failure, open_source};
use super::{block_on, now};
use crate::verify::{CheckedAs, Finding, LogSummary, Verification, VerifyError, VerifyOptions};

/// Check every signature, hash, proof and file of a repository
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  \
    patchrepo verify /srv/distribution/public --authority authority.txt\n  \
    patchrepo verify https://patches.example.org/ --authority authority.txt --json\n\n\
    A directory is also searched for files that do not belong there. A collection's public directory\n\
    has no distribution's log: its first signatures are checked.\n\n\
    Exits with 0 if all is well, 10 where a signature or hash is wrong, 11 where something is\n\
    expired, 12 where statements contradict each other, 1 where a file is missing.")]
pub struct VerifyArgs {
    /// The repository: what a web server serves
    #[arg(value_name = "DIR|URL")]
    place: Location,
    #[command(flatten)]
    authority: AuthorityArgs,
    /// The distribution, where the authority lists several
    #[arg(long, value_name = "NAME")]
    distribution: Option<DistributionName>,
}

#[derive(Serialize)]
struct Verified {
    #[serde(flatten)]
    verification: Verification,
    problems: usize,
    exit: ExitStatus,
}

impl Report for Verified {
    fn print(&self, output: &Output) {
        let verification = &self.verification;
        let authority = &verification.authority;
        output.print_field("repository", &verification.location);
        output.print_field(
            "checked as",
            match &verification.checked_as {
                CheckedAs::Collection => "a collection's: first signatures only".to_owned(),
                CheckedAs::Distribution(name) => {
                    format!("the distribution {name}'s: both signatures on both layers")
                }
            },
        );
        output.print_field(
            "authority",
            format!(
                "{}, version {}, expires {}",
                authority.name, authority.version, authority.expires
            ),
        );
        for log in &verification.logs {
            output.print_field(log.log.as_str(), log_line(log));
        }
        for log in &verification.waiting {
            let line = format!("of the {}, for its witnesses: {}", log.log, log_line(log));
            output.print_field("waiting", line);
        }
        output.print_field(
            "patches",
            format!(
                "{} notes and archives, {}",
                verification.patches,
                bytes(verification.archive_bytes)
            ),
        );
        output.print_field(
            "packs",
            format!(
                "{} inflate to the signed entries; their compressed form carries no meaning",
                verification.packs
            ),
        );
        self.print_findings(output);
    }
}

impl Verified {
    fn print_findings(&self, output: &Output) {
        let mut table = Table::new(["FILE", "KIND", "WHAT"]);
        for Finding { file, kind, message } in &self.verification.findings {
            table.row([file.as_str(), &kind.to_string(), message]);
        }
        if !self.verification.findings.is_empty() {
            output.print_line("");
        }
        output.print_table(&table);
        output.print_line(match self.problems {
            0 => "All is well.".to_owned(),
            1 => "1 problem.".to_owned(),
            many => format!("{many} problems."),
        });
    }
}

fn log_line(log: &LogSummary) -> String {
    let time =
        log.time.map_or_else(|| "its head is refused".to_owned(), |time| format!("signed {time}"));
    let passed_over = match log.entries.passed_over {
        0 => String::new(),
        many => format!("\n{many} entries are passed over"),
    };
    format!("{} entries, {time}\nroot {}{passed_over}", log.size, log.root)
}

/// Checks, prints what was found.
pub fn run(arguments: &VerifyArgs, output: &Output) -> Result<ExitStatus, Failure> {
    let source = open_source(&arguments.place)?;
    let options = VerifyOptions {
        anchor: arguments.authority.read()?,
        distribution: arguments.distribution.clone(),
        clock: Clock::local(now()?),
    };
    let root = match &arguments.place {
        Location::Directory(path) => Some(path.as_path()),
        Location::Http(_) => None,
    };
    let checked = crate::verify::verify(source, root, &options, output.progress());
    let verification = block_on(checked)?.map_err(failure)?;
    let exit = verification.exit();
    let problems = verification.problems().count();
    output.report(&Verified { verification, problems, exit });
    Ok(exit)
}

fn failure(error: VerifyError) -> Failure {
    match error {
        VerifyError::Authority(error) => authority_failure(error),
        VerifyError::Distribution { .. } => {
            Failure::usage(error).hint("see the names with: patchrepo authority show")
        }
    }
}

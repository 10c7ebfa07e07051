//! `patchrepo witness run`.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use countersign_store::Location;
use countersign_store::mirrors::chain;
use countersign_terminal::{ExitStatus, Failure, Output, Report};
use serde::Serialize;

use crate::commands::trust::{AuthorityArgs, open_source};
use crate::commands::{block_on, lock, now};
use crate::key_store::{PassphraseArgs, Passphrases};
use crate::role_dir;
use crate::round::Cosignature;
use crate::witness::{Witness, WitnessOptions};

/// Cosign the heads of a repository's logs that extend those that were cosigned before
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  \
    patchrepo witness run /srv/witness https://patches.example.org/ --authority a.txt -o lines\n\n\
    Run it from a timer. Give LINES to the distribution: patchrepo distribution import DIR LINES.\n\
    Of several places, the first that serves the repository well is taken; a fork at any that is\n\
    asked is refused with exit 12, and both statements are kept.")]
pub struct RunArgs {
    /// The witness's directory
    #[arg(value_name = "DIR")]
    directory: PathBuf,
    /// The distribution's repository, and other places where it may be read
    #[arg(value_name = "URL|DIR", required = true)]
    sources: Vec<Location>,
    #[command(flatten)]
    authority: AuthorityArgs,
    /// Go on from the published heads, though the record of what was cosigned is behind them
    #[arg(long)]
    adopt_public_heads: bool,
    /// The file to write the lines to, one for each log
    #[arg(short, long, value_name = "LINES")]
    output: PathBuf,
    #[command(flatten)]
    passphrase: PassphraseArgs,
}

#[derive(Serialize)]
struct Cosigned {
    source: String,
    failed: Vec<Failed>,
    heads: Vec<Cosignature>,
    file: PathBuf,
}

#[derive(Serialize)]
struct Failed {
    source: String,
    why: String,
}

impl Report for Cosigned {
    fn print(&self, output: &Output) {
        for Cosignature { origin, size, .. } in &self.heads {
            let entries = if *size == 1 { "entry" } else { "entries" };
            output.print_line(format!("Cosigned {origin} with {size} {entries}."));
        }
        output.note("Next: give the file to the distribution: patchrepo distribution import.");
    }
}

/// Looks at both heads, cosigns them and writes the lines.
pub fn run(arguments: &RunArgs, output: &Output) -> Result<ExitStatus, Failure> {
    let witness = Witness::open(&arguments.directory)?;
    let _lock = lock(witness.directory(), output)?;
    let options = WitnessOptions {
        anchor: arguments.authority.read()?,
        now: now()?,
        adopts_public_heads: arguments.adopt_public_heads,
    };
    let key = witness.key(&Passphrases::new(&arguments.passphrase))?;
    let sources = arguments.sources.iter().map(|place| open_source(place).map(Arc::new));
    let sources = sources.collect::<Result<Vec<_>, _>>()?;
    let run = block_on(witness.run(&sources, &key, &options))??;
    let failed = run
        .failed
        .iter()
        .map(|(source, error)| Failed { source: source.clone(), why: chain(error) });
    let failed: Vec<_> = failed.collect();
    for Failed { source, why } in &failed {
        output.warning(format!("{source} is passed over: {why}"));
    }
    role_dir::write_file(&arguments.output, &run.cosignatures.to_bytes())?;
    let (heads, file) = (run.cosignatures.heads, arguments.output.clone());
    output.report(&Cosigned { source: run.source, failed, heads, file });
    Ok(ExitStatus::Done)
}

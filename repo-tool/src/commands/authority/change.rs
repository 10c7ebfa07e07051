//! `patchrepo authority change`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use countersign_format::key::KeyName;
use countersign_format::text::DistributionName;
use countersign_terminal::{ExitStatus, Failure, Output, parse_duration};

use super::{Prepared, open_locked, read_vkeys};
use crate::authority::{Authority, KeySelector, LogChange, NoteChange};
use crate::commands::now;
use crate::config::Span;
use crate::key_store::{NewPassphraseArgs, Passphrases};

/// Prepare the next version: renew it, rotate the authority's keys, set thresholds and limits
///
/// Without options it prepares a version that differs in its number and expiry only. Signatures on
/// an earlier state of the next version are void.
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  \
    patchrepo authority change /srv/authority --valid-for 365d\n  \
    patchrepo authority change /srv/authority --add-key dave.pub --drop-key example.org/authority/3\n  \
    patchrepo authority change /srv/authority --directory-key directory.pub\n  \
    patchrepo authority change /srv/authority --distribution main --distribution-max-age 1d\n  \
    patchrepo authority change /srv/authority --discard")]
pub struct ChangeArgs {
    /// The authority's directory
    #[arg(value_name = "DIR")]
    directory: PathBuf,
    /// Give up what is prepared
    #[arg(long, conflicts_with_all = ["valid_for", "KeyArgs", "LogArgs"])]
    discard: bool,
    /// For how long the next version is valid, from now on
    #[arg(long, value_name = "SPAN", value_parser = parse_duration)]
    valid_for: Option<Duration>,
    #[command(flatten)]
    keys: KeyArgs,
    #[command(flatten)]
    logs: LogArgs,
    #[command(flatten)]
    passphrase: NewPassphraseArgs,
}

/// Which keys change.
#[derive(Args, Debug)]
#[command(next_help_heading = "Keys")]
struct KeyArgs {
    /// How many of the authority's keys must sign
    #[arg(long, value_name = "M")]
    threshold: Option<u32>,
    /// Make a signing key in the authority's directory and list it
    #[arg(long)]
    new_key: bool,
    /// List a signing key that its holder made elsewhere, as text or as a file
    #[arg(long, value_name = "KEY|FILE")]
    add_key: Vec<String>,
    /// No longer list the authority's key of this name
    #[arg(long, value_name = "NAME[+ID]")]
    drop_key: Vec<KeySelector>,
    /// List a directory's key, as text or as a file
    #[arg(long, value_name = "KEY|FILE")]
    directory_key: Vec<String>,
    /// No longer list the directory's key of this name
    #[arg(long, value_name = "NAME[+ID]")]
    drop_directory_key: Vec<KeySelector>,
    /// List a witness's key, as text or as a file
    #[arg(long, value_name = "KEY|FILE")]
    witness: Vec<String>,
    /// No longer list the witness's key of this name
    #[arg(long, value_name = "NAME[+ID]")]
    drop_witness: Vec<KeySelector>,
    /// How many witnesses must cosign each head
    #[arg(long, value_name = "N")]
    quorum: Option<u32>,
}

/// What changes of the logs.
#[derive(Args, Debug)]
#[command(next_help_heading = "Logs")]
struct LogArgs {
    /// How many of the collection's keys must sign
    #[arg(long, value_name = "M")]
    collection_threshold: Option<u32>,
    /// How old the collection's signatures may be
    #[arg(long, value_name = "SPAN", value_parser = parse_duration)]
    collection_max_age: Option<Duration>,
    /// Begin a new collection log of this name, after a fork
    #[arg(long, value_name = "NAME")]
    collection_origin: Option<KeyName>,
    /// Which distribution the options below are about
    #[arg(long, value_name = "NAME", default_value = "main")]
    distribution: DistributionName,
    /// How many of the distribution's keys must sign
    #[arg(long, value_name = "M")]
    distribution_threshold: Option<u32>,
    /// How old the distribution's signatures may be
    #[arg(long, value_name = "SPAN", value_parser = parse_duration)]
    distribution_max_age: Option<Duration>,
    /// Begin a new log of this name for the distribution, after a fork
    #[arg(long, value_name = "NAME")]
    distribution_origin: Option<KeyName>,
}

/// Changes the next version and shows it.
pub fn run(arguments: ChangeArgs, output: &Output) -> Result<ExitStatus, Failure> {
    let (authority, _lock) = open_locked(&arguments.directory, output)?;
    if arguments.discard {
        let discarded = authority.discard()?;
        output.note(if discarded { "Discarded." } else { "There was nothing prepared." });
        return Ok(ExitStatus::Done);
    }
    let passphrases =
        arguments.keys.new_key.then(|| Passphrases::for_new_keys(&arguments.passphrase));
    let change = note_change(arguments, &authority)?;
    let draft = match passphrases {
        Some(passphrases) => authority.change_with_new_key(&change, &passphrases, now()?)?,
        None => authority.change(&change, now()?)?,
    };
    output.report(&Prepared::new(&authority, &draft));
    Ok(ExitStatus::Done)
}

fn note_change(arguments: ChangeArgs, authority: &Authority) -> Result<NoteChange, Failure> {
    let ChangeArgs { keys, logs, valid_for, .. } = arguments;
    let seconds = |span: Option<Duration>| span.map(|span| span.as_secs());
    let distribution = LogChange {
        origin: logs.distribution_origin,
        threshold: logs.distribution_threshold,
        max_age: seconds(logs.distribution_max_age),
    };
    Ok(NoteChange {
        // renewing is what a version without other changes is for
        valid_for: Some(
            valid_for.map_or(authority.config().valid_for, |span| Span(span.as_secs())),
        ),
        threshold: keys.threshold,
        add_keys: read_vkeys(&keys.add_key)?,
        drop_keys: keys.drop_key,
        collection: LogChange {
            origin: logs.collection_origin,
            threshold: logs.collection_threshold,
            max_age: seconds(logs.collection_max_age),
        },
        distribution: (!distribution.is_empty()).then_some((logs.distribution, distribution)),
        add_directory_keys: read_vkeys(&keys.directory_key)?,
        drop_directory_keys: keys.drop_directory_key,
        add_witnesses: read_vkeys(&keys.witness)?,
        drop_witnesses: keys.drop_witness,
        quorum: keys.quorum,
    })
}

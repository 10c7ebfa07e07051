//! `patchrepo authority show`.

use std::path::Path;

use clap::Args;
use countersign_format::authority::{AuthorityNote, LogRole};
use countersign_format::hash::Hash32;
use countersign_format::layout;
use countersign_format::limits::{MAX_AUTHORITY_NOTE, MAX_PASSED_OVER};
use countersign_format::policy::{Chain, PolicyError};
use countersign_format::words::to_words;
use countersign_store::{Get, Got, HttpOptions, Location, Source};
use countersign_terminal::{ExitStatus, Failure, OrFail as _, Output, Report, Table, duration};
use serde::Serialize;

use super::Prepared;
use crate::authority::Authority;
use crate::commands::block_on;
use crate::role_dir::{self, Role, RoleDir};

/// Show who holds which role, by a directory, a repository's URL or a note's file
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  \
    patchrepo authority show /srv/authority --next\n  \
    patchrepo authority show https://patches.example.org/\n  \
    patchrepo authority show /srv/authority/public/authority/1\n\n\
    A note is verified by its own keys, and a repository's notes from version 1 on by those before\n\
    them. Whether the first one is the authority's is for you to know: compare its sha256.")]
pub struct ShowArgs {
    /// An authority's directory, a repository's directory or URL, or the file of a note
    #[arg(value_name = "DIR|URL|FILE")]
    place: String,
    /// Show the next version as it is prepared, and who has signed it
    #[arg(long)]
    next: bool,
}

#[derive(Serialize)]
struct Shown<'a> {
    sha256: Hash32,
    words: String,
    note: &'a AuthorityNote,
}

impl Report for Shown<'_> {
    fn print(&self, output: &Output) {
        let note = self.note;
        output.print_field("authority", &note.name);
        output.print_field("version", note.version);
        output.print_field("expires", note.expires);
        output.print_field("sha256", self.sha256);
        output.print_field("in words", &self.words);
        let keys = note.authority.keys.len();
        output.print_field("threshold", format!("{} of {keys}", note.authority.threshold));
        print_log(output, "collection", &note.collection);
        for distribution in &note.distributions {
            print_log(output, &format!("distribution {}", distribution.name), &distribution.log);
        }
        let (quorum, witnesses) = (note.witnesses.quorum, note.witnesses.keys.len());
        output.print_field("witnesses", format!("{quorum} of {witnesses}"));
        output.print_line("");
        output.print_table(&key_table(note));
    }
}

fn print_log(output: &Output, role: &str, log: &LogRole) {
    let (threshold, keys) = (log.threshold, log.active().count());
    let age = duration(std::time::Duration::from_secs(log.max_age));
    output.print_field(
        role,
        format!("{}\n{threshold} of {keys} keys, at most {age} old", log.origin),
    );
}

fn key_table(note: &AuthorityNote) -> Table {
    let mut table = Table::new(["ROLE", "EPOCH", "UNTIL", "MADE", "KEY"]).right(1).right(2);
    let mut plain = |role: &str, keys: &[countersign_format::key::Vkey]| {
        for key in keys {
            table.row([role, "", "", "", &key.to_string()]);
        }
    };
    plain("authority", &note.authority.keys);
    plain("directory", &note.directory.keys);
    plain("witness", &note.witnesses.keys);
    let distributions = note.distributions.iter();
    let logs = distributions.map(|role| (format!("distribution {}", role.name), &role.log));
    for (role, log) in std::iter::once(("collection".to_owned(), &note.collection)).chain(logs) {
        for key in &log.keys {
            let until = key.until.map(|until| until.to_string()).unwrap_or_default();
            // of an ordinary key the authority's people alone say whose it is
            let made = if key.kgc.is_some() { "by grant" } else { "ordinary" };
            table.row([&role, &key.epoch.to_string(), &until, made, &key.vkey.to_string()]);
        }
    }
    table
}

/// Finds out what `place` is, verifies it and shows it.
pub fn run(arguments: &ShowArgs, output: &Output) -> Result<ExitStatus, Failure> {
    let path = Path::new(&arguments.place);
    if arguments.next || path.join("config.toml").exists() {
        return show_own(path, arguments.next, output);
    }
    if !path.exists() && !arguments.place.contains("://") {
        let error = format!("there is no {}", arguments.place);
        return Err(Failure::new(ExitStatus::Failed, error));
    }
    let chain = if path.is_file() {
        let bytes = role_dir::read_file(path, MAX_AUTHORITY_NOTE)?;
        Chain::enroll(&bytes, &arguments.place).map_err(|error| refused(&error))?
    } else {
        let location: Location = arguments.place.parse().or_fail(ExitStatus::Usage)?;
        let source = Source::open(&location, &HttpOptions::default());
        block_on(read_chain(&source, output))??
    };
    show_chain(&chain, output);
    Ok(ExitStatus::Done)
}

fn show_own(path: &Path, next: bool, output: &Output) -> Result<ExitStatus, Failure> {
    // another role's directory has a public/authority, but is no authority
    RoleDir::open::<crate::config::AuthorityConfig>(path, Role::Authority)?;
    let authority = Authority::open(path)?;
    match (authority.prepared()?, authority.chain()) {
        (Some(draft), chain) if next || chain.is_none() => {
            output.report(&Prepared::new(&authority, &draft).for_comparison());
        }
        (None, _) if next => {
            return Err(Failure::new(ExitStatus::Failed, "no next version is prepared")
                .hint("prepare one: patchrepo authority admit, retire or change"));
        }
        (_, Some(chain)) => show_chain(chain, output),
        (_, None) => {
            return Err(Failure::new(ExitStatus::Failed, "the authority has published nothing"));
        }
    }
    Ok(ExitStatus::Done)
}

fn show_chain(chain: &Chain, output: &Output) {
    let (sha256, words) = (chain.fingerprint(), to_words(&chain.fingerprint()));
    output.report(&Shown { sha256, words, note: chain.newest() });
}

/// Follows a repository's notes from version 1 to the newest that readers accept; names those
/// that they pass over.
async fn read_chain(source: &Source, output: &Output) -> Result<Chain, Failure> {
    let Some(first) = read_note(source, 1).await? else {
        let error = format!("{} has no {}", source.name(), layout::authority(1));
        return Err(Failure::new(ExitStatus::Failed, error));
    };
    let mut chain =
        Chain::enroll(&first, layout::authority(1).as_str()).map_err(|error| refused(&error))?;
    for version in 2.. {
        if version - chain.newest().version > MAX_PASSED_OVER + 1 {
            break;
        }
        let Some(bytes) = read_note(source, version).await? else { break };
        match chain.follow(&bytes, layout::authority(version).as_str(), version) {
            Ok(next) => chain = next,
            Err(error) => output.warning(format!("{error}: {}", error.refusal)),
        }
    }
    Ok(chain)
}

async fn read_note(source: &Source, version: u64) -> Result<Option<Vec<u8>>, Failure> {
    let request = Get::up_to(MAX_AUTHORITY_NOTE as u64);
    let got = source.get(&layout::authority(version), &request).await;
    Ok(match got.or_fail(ExitStatus::Unreachable)? {
        Got::Whole { bytes, .. } => Some(bytes),
        _ => None,
    })
}

fn refused(error: &PolicyError) -> Failure {
    Failure::new(ExitStatus::Signature, error.clone())
}

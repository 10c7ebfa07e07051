//! `patchrepo sign`.

use std::path::{Path, PathBuf};

use clap::Args;
use countersign_format::authority::AuthorityNote;
use countersign_format::layout::Log;
use countersign_format::limits::MAX_AUTHORITY_NOTE;
use countersign_format::policy::Chain;
use countersign_terminal::{ExitStatus, Failure, Output, Report};
use serde::Serialize;

use super::{Compared, Delivered, DestinationArgs, now};
use crate::authority::{DraftRequest, MAX_REQUEST, summary};
use crate::commands::trust::exit_of;
use crate::key_store::{FoundKey, KeyLocation, PassphraseArgs, Passphrases};
use crate::role_dir;
use crate::round::{self, Holder, Item, MAX_ROUND_FILE, SigningRequest};

/// Sign what a server or the authority asks for, on a machine that needs no network
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  \
    patchrepo sign to-sign.json --signer file:alice.pem -o signatures.json\n  \
    patchrepo sign to-sign.json --signer pkcs11:object=key --record heads --authority authority.note\n  \
    patchrepo sign version.json --signer file:alice.pem -o alice.json\n\n\
    Shows what is signed before it asks. Of each log the heads that a key signed are recorded, and\n\
    it never signs two that contradict each other: keep the record with the key.")]
pub struct SignArgs {
    /// What `export` wrote
    #[arg(value_name = "FILE")]
    request: PathBuf,
    /// Where the key lives: file:PATH, pkcs11:…, exec:COMMAND
    #[arg(long, value_name = "LOCATION")]
    signer: KeyLocation,
    /// The directory of the record of heads that the key signed; beside a key file unless given
    #[arg(long, value_name = "DIR")]
    record: Option<PathBuf>,
    /// The newest authority note, for countersignatures: from a source that you trust
    #[arg(long, value_name = "FILE")]
    authority: Option<PathBuf>,
    /// Sign without being asked
    #[arg(short, long)]
    yes: bool,
    #[command(flatten)]
    destination: DestinationArgs,
    #[command(flatten)]
    passphrase: PassphraseArgs,
}

#[derive(Serialize)]
struct Signed {
    key: String,
    items: Vec<String>,
    /// Of a version of the authority note.
    #[serde(flatten)]
    fingerprint: Option<Compared>,
    #[serde(flatten)]
    delivered: Delivered,
}

impl Report for Signed {
    fn print(&self, output: &Output) {
        output.note(format!("Signed as {}. Next: take the signatures back (import).", self.key));
    }
}

/// Shows what is asked for, asks, and signs.
pub fn run(arguments: &SignArgs, output: &Output) -> Result<ExitStatus, Failure> {
    let bytes = role_dir::read_file(&arguments.request, MAX_ROUND_FILE.max(MAX_REQUEST))?;
    if DraftRequest::is_one(&bytes) {
        return sign_version(arguments, &bytes, output);
    }
    let request = SigningRequest::parse(&bytes)?;
    let record = record(arguments)?;
    let authority = arguments.authority.as_deref().map(read_authority).transpose()?;
    request.check_heads()?;
    show(&request, output);
    if !output.confirm("Sign this?", arguments.yes)? {
        return Err(Failure::new(ExitStatus::Failed, "nothing was signed"));
    }
    let found = FoundKey::open(&arguments.signer, &Passphrases::new(&arguments.passphrase))?;
    let holder =
        Holder { key: request.name(found)?, record: &record, authority: authority.as_ref() };
    let key = holder.key.vkey().name.to_string();
    let signatures = round::sign(&request, &holder, now()?)?;
    let delivered = arguments.destination.deliver(&signatures.to_bytes(), output)?;
    let items = request.items.iter().map(ToString::to_string).collect();
    output.report(&Signed { key, items, fingerprint: None, delivered });
    Ok(ExitStatus::Done)
}

/// Signs a version of the authority note. No record is kept: which version follows is for the others
/// who sign, and for readers, who accept but one after each.
fn sign_version(
    arguments: &SignArgs,
    bytes: &[u8],
    output: &Output,
) -> Result<ExitStatus, Failure> {
    let mut request = DraftRequest::parse(bytes, &arguments.request.display().to_string())?;
    output.note("As a key of the authority:");
    for line in summary(request.newest(), request.draft().note()) {
        output.note(format!("  {line}"));
    }
    if let (Some(newest), Some(sha256)) = (request.newest(), request.fingerprint()) {
        output.note(format!("It follows version {}, sha256:{sha256}", newest.version));
    }
    let fingerprint = Compared::of(request.draft().text().as_bytes());
    fingerprint.say(output);
    output.note("Sign only if the authority's people read you the same.");
    if !output.confirm("Sign this?", arguments.yes)? {
        return Err(Failure::new(ExitStatus::Failed, "nothing was signed"));
    }
    let passphrases = Passphrases::new(&arguments.passphrase);
    let key = request.sign(&arguments.signer, &passphrases)?.to_string();
    let delivered = arguments.destination.deliver(&request.to_bytes(), output)?;
    let items = summary(request.newest(), request.draft().note());
    output.report(&Signed { key, items, fingerprint: Some(fingerprint), delivered });
    Ok(ExitStatus::Done)
}

/// What is being signed, in words: texts of others, so nothing of them reaches the terminal raw.
fn show(request: &SigningRequest, output: &Output) {
    output.note(format!("As a key of a {}, of which {} sign:", request.role, request.threshold));
    for item in &request.items {
        output.note(format!("  {item}"));
        if let Some(entry) = item.entry() {
            output.note(format!("    archive  sha256 {}", entry.archive.sha256));
            if !entry.summary.is_empty() {
                output.note(format!("    summary  {}", entry.summary));
            }
        }
        if let Some(head) = item.checkpoint() {
            output.note(format!("    root     {}", head.root.to_base64()));
            show_growth(item, request.role, output);
        }
    }
}

/// What a head adds to a log of the role's own.
fn show_growth(item: &Item, role: Log, output: &Output) {
    match &item.growth {
        Some(growth) if item.own => {
            for (index, entry) in growth.describe(role) {
                output.note(format!("    adds     entry {index}: {entry}"));
            }
        }
        None if item.own => output.note("    adds     what this file does not show"),
        _ => {}
    }
}

fn record(arguments: &SignArgs) -> Result<PathBuf, Failure> {
    let beside = || {
        let parent = arguments.signer.file()?.parent()?;
        Some(if parent.as_os_str().is_empty() { PathBuf::from(".") } else { parent.to_owned() })
    };
    let record = arguments.record.clone().or_else(beside).ok_or_else(|| {
        Failure::usage("there is no place for the record of what this key signed")
            .hint("name its directory with --record DIR, always the same one for this key")
    })?;
    std::fs::create_dir_all(&record).map_err(|error| {
        Failure::new(ExitStatus::Failed, format!("cannot make {}: {error}", record.display()))
    })?;
    Ok(record)
}

fn read_authority(path: &Path) -> Result<AuthorityNote, Failure> {
    let bytes = role_dir::read_file(path, MAX_AUTHORITY_NOTE)?;
    let chain = Chain::enroll(&bytes, &path.display().to_string())
        .map_err(|error| Failure::new(exit_of(&error), error))?;
    Ok((**chain.newest()).clone())
}

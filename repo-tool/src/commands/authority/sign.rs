//! `patchrepo authority sign`.

use std::path::PathBuf;

use clap::Args;
use countersign_terminal::{ExitStatus, Failure, Output};

use super::{Prepared, open_locked};
use crate::authority::{AuthorityError, summary};
use crate::commands::now;
use crate::key_store::{KeyLocation, PassphraseArgs, Passphrases};

/// Add the signature of one of the authority's keys to the next version
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  \
    patchrepo authority sign /srv/authority --key /media/usb/authority-2.pem\n  \
    patchrepo authority sign /srv/authority --signer pkcs11:object=authority\n  \
    patchrepo authority sign /srv/authority\n\n\
    A holder signs on a machine of their own with a copy of the directory without `keys/`, and\n\
    brings the file `next` back. Read what changes before you sign.")]
pub struct SignArgs {
    /// The authority's directory
    #[arg(value_name = "DIR")]
    directory: PathBuf,
    /// The signing key's file; may be repeated. Unless given, all in the directory's keys/
    #[arg(long, value_name = "FILE")]
    key: Vec<PathBuf>,
    /// Where a signing key lives: file:PATH, pkcs11:…, exec:COMMAND; may be repeated
    #[arg(long, value_name = "LOCATION")]
    signer: Vec<KeyLocation>,
    #[command(flatten)]
    passphrase: PassphraseArgs,
}

/// Shows what changes before it asks for a passphrase, and signs.
pub fn run(arguments: SignArgs, output: &Output) -> Result<ExitStatus, Failure> {
    let (authority, _lock) = open_locked(&arguments.directory, output)?;
    let mut keys: Vec<_> = arguments.key.into_iter().map(KeyLocation::File).collect();
    keys.extend(arguments.signer);
    let are_own = keys.is_empty();
    if are_own {
        keys = authority.own_keys();
    }
    if keys.is_empty() {
        return Err(Failure::usage("there is no signing key in the authority's directory")
            .hint("say where it is with --key FILE or --signer LOCATION"));
    }
    let mut draft = authority.draft(now()?)?;
    for line in summary(authority.newest(), draft.note()) {
        output.note(line);
    }
    let passphrases = Passphrases::new(&arguments.passphrase);
    let mut foreign = None;
    let mut has_signed = false;
    for key in &keys {
        match authority.sign(key, &passphrases, now()?) {
            Ok((name, with_line)) => {
                output.note(format!("Signed by {name}."));
                (draft, has_signed) = (with_line, true);
            }
            // a key that was replaced may still lie beside the others
            Err(error @ AuthorityError::ForeignKey(_)) if are_own => {
                output.note(format!("Passed over: {error}."));
                foreign = Some(error);
            }
            Err(error) => return Err(error.into()),
        }
    }
    if let Some(error) = foreign.filter(|_| !has_signed) {
        return Err(error.into());
    }
    output.report(&Prepared::new(&authority, &draft).without_changes());
    Ok(ExitStatus::Done)
}

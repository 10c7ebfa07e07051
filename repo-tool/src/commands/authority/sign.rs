//! `patchrepo authority sign`.

use std::path::PathBuf;

use clap::Args;
use countersign_terminal::{ExitStatus, Failure, Output};

use super::{Prepared, open_locked};
use crate::authority::{AuthorityError, summary};
use crate::commands::{Compared, now};
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
    /// Read the passphrase from the first line of FILE instead of the terminal; for several keys
    /// repeat it, one FILE a key in their order, --key before --signer
    #[arg(
        long,
        value_name = "FILE",
        conflicts_with = "passphrase_fd",
        help_heading = "Passphrase"
    )]
    passphrase_file: Vec<PathBuf>,
    /// Read the passphrase from the first line of this open file descriptor
    #[arg(long, value_name = "N", help_heading = "Passphrase")]
    passphrase_fd: Option<u32>,
}

impl SignArgs {
    /// Where the passphrase of each of so many keys comes from: one source for all of them, or one
    /// file for each.
    fn passphrases(&self, keys: usize) -> Result<Vec<Passphrases>, Failure> {
        let source = |file: Option<&PathBuf>| {
            let (passphrase_file, passphrase_fd) = (file.cloned(), self.passphrase_fd);
            Passphrases::new(&PassphraseArgs { passphrase_file, passphrase_fd })
        };
        match self.passphrase_file.as_slice() {
            [] | [_] => Ok(vec![source(self.passphrase_file.first())]),
            files if files.len() == keys => {
                Ok(files.iter().map(|file| source(Some(file))).collect())
            }
            files => Err(Failure::usage(format!(
                "--passphrase-file is given {} times for {keys} keys",
                files.len()
            ))
            .hint("give it once for all of them, or once for each, in the order of the keys")),
        }
    }
}

/// Shows what changes before it asks for a passphrase, and signs.
pub fn run(arguments: &SignArgs, output: &Output) -> Result<ExitStatus, Failure> {
    let (authority, _lock) = open_locked(&arguments.directory, output)?;
    let mut keys: Vec<_> = arguments.key.iter().cloned().map(KeyLocation::File).collect();
    keys.extend(arguments.signer.iter().cloned());
    let are_own = keys.is_empty();
    if are_own {
        keys = authority.own_keys();
    }
    if keys.is_empty() {
        return Err(Failure::usage("there is no signing key in the authority's directory")
            .hint("say where it is with --key FILE or --signer LOCATION"));
    }
    let passphrases = arguments.passphrases(keys.len())?;
    let mut draft = authority.draft(now()?)?;
    for line in summary(authority.newest(), draft.note()) {
        output.note(line);
    }
    Compared::of(draft.text().as_bytes()).say(output);
    let mut foreign = None;
    let mut has_signed = false;
    // one that is for all is read once
    for (key, passphrases) in keys.iter().zip(passphrases.iter().cycle()) {
        match authority.sign(key, passphrases, now()?) {
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

//! `patchrepo collection init`, `patchrepo distribution init`.

use std::path::PathBuf;

use clap::Args;
use countersign_format::authority::PointText;
use countersign_format::key::KeyName;
use countersign_format::layout::Log;
use countersign_store::Location;
use countersign_terminal::{ExitStatus, Failure, Output};

use super::{AskedReport, parse_point};
use crate::config::{Fingerprint, Place, ServerConfig};
use crate::key_store::{KeyLocation, NewPassphraseArgs, Passphrases};
use crate::server;

/// What a new server is made of.
#[derive(Args, Debug)]
pub struct InitArgs {
    /// The server's directory, to be made
    #[arg(value_name = "DIR")]
    directory: PathBuf,
    /// The server's identity: a URL without scheme, or an address, and its role; never changes
    #[arg(long, value_name = "NAME")]
    name: KeyName,
    /// The authority's public point, as its people told you (authority init prints it)
    #[arg(long, value_name = "BASE64", value_parser = parse_point)]
    kgc: Option<PointText>,
    /// Where the authority publishes its notes, once it does: a URL or a directory
    #[arg(long, value_name = "URL|DIR", value_parser = Place::of_argument)]
    authority: Option<Place>,
    /// The authority note to begin trust with, by the SHA-256 of its text
    #[arg(long, value_name = "sha256:HEX", requires = "authority")]
    anchor: Option<Fingerprint>,
    /// Write a copy of the request to FILE
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Sign with the ordinary key at this place, such as one born in hardware, and not with one
    /// that is made together with the authority: file:PATH, pkcs11:…, exec:COMMAND
    #[arg(long, value_name = "LOCATION")]
    signer: Option<KeyLocation>,
    #[command(flatten)]
    passphrase: NewPassphraseArgs,
}

/// Makes the directory, the secret and the request.
pub fn run(role: Log, arguments: &InitArgs, output: &Output) -> Result<ExitStatus, Failure> {
    let passphrases = Passphrases::for_new_keys(&arguments.passphrase);
    let config = ServerConfig {
        kgc: arguments.kgc,
        authority: arguments.authority.clone(),
        anchor: arguments.anchor,
        ..ServerConfig::new(role, arguments.name.clone())
    };
    let (path, signer) = (&arguments.directory, arguments.signer.as_ref());
    let (directory, asked) = server::init(path, role, &config, signer, &passphrases)?;
    let copy = arguments.output.as_deref();
    output.report(&AskedReport::new(&directory, &config.name, asked, signer, copy)?);
    if let Some(Location::Directory(path)) =
        config.authority.as_ref().map(|place| place.resolve(directory.path()))
        && !path.is_dir()
    {
        output.warning(format!(
            "there is no {} yet; `authority` in {} says that the authority's notes will be there",
            path.display(),
            directory.config().display()
        ));
    }
    if config.kgc.is_none() && signer.is_none() {
        output.warning(
            "without --kgc nothing says which authority may grant the key: accept asks you whether \
             the public point in the grant is the one that the authority's people told you",
        );
    }
    Ok(ExitStatus::Done)
}

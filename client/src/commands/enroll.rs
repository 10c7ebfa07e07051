//! `patchctl enroll`.

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};

use clap::Args;
use countersign_format::text::{DistributionName, RingName};
use countersign_format::words::to_words;
use countersign_store::authority::AnchorText;
use countersign_store::{ClientCertificate, CredentialsFile, Location};
use countersign_terminal::{ExitStatus, Failure, Output, Report};
use patchctl::clock;
use patchctl::config::{MAX_PRIORITY, SourceName, SourceNetwork, USUAL_PRIORITY, USUAL_RING};
use patchctl::enroll::{CheckedEnrolment, Enrolment};
use patchctl::places::{NamedPlaces, Places};
use serde::Serialize;

use super::update::SourceReport;
use crate::cli::ClientArgs;
use crate::explain::{OrExplain as _, io_exit};
use crate::session::{Session, block_on};

/// Bind this machine to a repository, and fetch its index for the first time
///
/// From then on this machine believes what the given authority note says, and what follows from
/// it. Take it, or its hash, from somewhere else than from the repository's web server.
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  \
    patchctl enroll https://patches.example.org --authority sha256:2f1c…\n  \
    patchctl enroll https://patches.example.org --authority /media/stick/authority --ring canary\n  \
    patchctl enroll /mnt/patches --authority authority.note --root /srv/chroot\n  \
    patchctl enroll --image /srv/image https://patches.example.org --authority authority.note\n\n\
    The hash may also be given as the 24 words that patchrepo authority show prints.")]
pub struct EnrollArgs {
    /// The repository's base URL, or its directory
    #[arg(value_name = "URL")]
    url: Location,
    /// The authority note that trust begins with, or the SHA-256 of its text, in hex or in words
    #[arg(long, value_name = "FILE|sha256:HEX|WORDS")]
    authority: AnchorText,
    /// Enrol the machines that are made from this image, each at its first patchctl update
    #[arg(long, value_name = "ROOT")]
    image: Option<PathBuf>,
    /// The distribution to take patches from; the only one unless named
    #[arg(long, value_name = "NAME")]
    distribution: Option<DistributionName>,
    /// The ring that this machine is in
    #[arg(long, default_value = USUAL_RING)]
    ring: RingName,
    /// What to call this source; after the authority unless named
    #[arg(long, value_name = "NAME")]
    name: Option<SourceName>,
    /// Which source wins where several offer a component: the lowest number, 1 to 999
    #[arg(long, value_name = "N", default_value_t = USUAL_PRIORITY, value_parser = priority_range())]
    priority: u16,
    /// File with `bearer TOKEN` or `basic USER:PASSWORD` for this URL's server
    #[arg(long, value_name = "FILE")]
    credentials_file: Option<PathBuf>,
    /// PEM file of the certificate authorities to trust for this source
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
    /// PEM file of the certificate to show to this source's servers
    #[arg(long, value_name = "FILE", requires = "client_key")]
    client_certificate: Option<PathBuf>,
    /// PEM file of its key
    #[arg(long, value_name = "FILE", requires = "client_certificate")]
    client_key: Option<PathBuf>,
}

/// The priorities that there are.
pub fn priority_range() -> clap::builder::RangedI64ValueParser<u16> {
    clap::value_parser!(u16).range(1..=i64::from(MAX_PRIORITY))
}

#[derive(Serialize)]
struct Enrolled {
    source: String,
    url: String,
    authority: String,
    version: u64,
    sha256: String,
    words: String,
    distribution: String,
    ring: String,
    update: Option<SourceReport>,
    /// The image that carries the enrolment.
    #[serde(skip_serializing_if = "Option::is_none")]
    image: Option<PathBuf>,
}

impl Report for Enrolled {
    fn print(&self, output: &Output) {
        output.print_field("source", &self.source);
        output.print_field("url", &self.url);
        output.print_field("authority", format!("{}, version {}", self.authority, self.version));
        output.print_field("begins with", format!("sha256:{}", self.sha256));
        output.print_field("in words", &self.words);
        output.print_field("distribution", &self.distribution);
        output.print_field("ring", &self.ring);
        if let Some(update) = &self.update {
            update.print(output);
        }
        if let Some(image) = &self.image {
            let image = image.display();
            output.note(format!("Machines made from {image} enrol with: patchctl update."));
        }
    }
}

impl Enrolled {
    fn new(checked: &CheckedEnrolment) -> Self {
        Self {
            source: checked.config.name.to_string(),
            url: checked.config.url.to_string(),
            authority: checked.authority.clone(),
            version: checked.version,
            sha256: checked.config.authority.to_string(),
            words: to_words(&checked.config.authority),
            distribution: checked.config.distribution.to_string(),
            ring: checked.config.ring.to_string(),
            update: None,
            image: None,
        }
    }
}

/// Lets a person at a terminal compare the note of a file with what the authority's people say. Who
/// gives the hash has compared.
fn compare(
    session: &Session<'_>,
    checked: &CheckedEnrolment,
    is_file: bool,
) -> Result<(), Failure> {
    if !is_file || session.arguments.yes || !std::io::stdin().is_terminal() {
        return Ok(());
    }
    let output = session.output;
    let Enrolled { authority, sha256, words, .. } = Enrolled::new(checked);
    output.note(format!("{authority} says of its note sha256:{sha256}, in words:"));
    output.note(words);
    let question = "Is this what the authority's people read to you?";
    if output.confirm(question, false)? {
        return Ok(());
    }
    Err(Failure::new(ExitStatus::Failed, "the fingerprints do not match; nothing was changed"))
}

impl EnrollArgs {
    /// What the source's file will say of the network, with paths that mean the same from
    /// everywhere.
    fn network(&self) -> Result<SourceNetwork, Failure> {
        let whole = |path: &Option<PathBuf>| path.as_ref().map(std::path::absolute).transpose();
        let whole = |path| whole(path).map_err(|error| Failure::new(ExitStatus::Failed, error));
        let pair = whole(&self.client_certificate)?.zip(whole(&self.client_key)?);
        Ok(SourceNetwork {
            proxy: None,
            ca_file: whole(&self.ca_file)?,
            client_certificate: pair
                .map(|(certificate, key)| ClientCertificate { certificate, key }),
            credentials: whole(&self.credentials_file)?
                .map(|path| CredentialsFile { path, allow_plain: false }),
        })
    }
}

/// Binds the machine.
pub fn run(session: &Session<'_>, arguments: EnrollArgs) -> Result<ExitStatus, Failure> {
    session.refuse_dry_run("enroll")?;
    let is_file = matches!(arguments.authority, AnchorText::File(_));
    let network = arguments.network()?;
    let anchor = arguments.authority.read().map_err(|error| {
        let file = match &arguments.authority {
            AnchorText::File(path) => format!(" {}", path.display()),
            AnchorText::Fingerprint(_) => String::new(),
        };
        Failure::new(io_exit(&error), format!("cannot read the authority note{file}: {error}"))
            .hint("give a file, sha256:HEX or its 24 words")
    })?;
    let url = match arguments.url {
        // the file in sources.d must mean the same from everywhere
        Location::Directory(path) => {
            let whole = path.canonicalize().map_err(|error| {
                Failure::new(ExitStatus::Unreachable, format!("{}: {error}", path.display()))
            })?;
            Location::Directory(whole)
        }
        url @ Location::Http(_) => url,
    };
    let enrolment = Enrolment {
        url,
        anchor,
        distribution: arguments.distribution,
        ring: arguments.ring,
        name: arguments.name,
        priority: arguments.priority,
        network,
        offline: session.arguments.offline,
    };
    let http = &session.config.http;
    let places = match &arguments.image {
        Some(root) => {
            refuse_other_places(session)?;
            image_places(root)?
        }
        None => session.places.clone(),
    };
    let checked = block_on(enrolment.check(&places, http)).or_explain()?;
    compare(session, &checked, is_file)?;
    if let Some(image) = arguments.image {
        checked.prepare_image(&places).or_explain()?;
        session.output.report(&Enrolled { image: Some(image), ..Enrolled::new(&checked) });
        return Ok(ExitStatus::Done);
    }
    let mut state = session.open_or_create()?;
    let mut bars = session.bars();
    let enrolled = checked.enroll(&mut state, &session.places, http, clock::now(), &mut bars);
    let updated = block_on(enrolled).or_explain()?;
    let update = updated.map(|updated| SourceReport::new(&checked.config.name, &updated));
    session.output.report(&Enrolled { update, ..Enrolled::new(&checked) });
    Ok(ExitStatus::Done)
}

/// An image has its own directories: other ones beside it would be left out without a word.
fn refuse_other_places(session: &Session<'_>) -> Result<(), Failure> {
    let ClientArgs { root, config, state, cache, .. } = &session.arguments;
    let named = [("--root", root), ("--config", config), ("--state", state), ("--cache", cache)];
    let Some((option, path)) =
        named.iter().find_map(|(option, path)| Some((option, path.as_ref()?)))
    else {
        return Ok(());
    };
    let error = format!("--image and {option} {} name different places", path.display());
    Err(Failure::usage(error)
        .hint("an image's directories are the usual ones below it: give --image alone"))
}

/// The usual directories below the root of an image, which must be there.
fn image_places(root: &Path) -> Result<Places, Failure> {
    let root = root.canonicalize().map_err(|error| {
        Failure::new(ExitStatus::Failed, format!("{}: {error}", root.display()))
            .hint("give the directory where the image's root file system is")
    })?;
    Ok(NamedPlaces { root: Some(root), ..NamedPlaces::default() }.settle(Path::new("/")))
}

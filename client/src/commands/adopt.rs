//! `patchctl adopt`.

use clap::Args;
use countersign_format::name::Platform;
use countersign_terminal::{ExitStatus, Failure};
use patchctl::catalogue::Offer;
use patchctl::download::forget;
use patchctl::root::Root;
use patchctl::space;
use patchctl::transaction::{PlannedPatch, PrepareError, prepare_adopt};
use patchctl::verify::Difference;
use patchctl::whole;

use super::done::finish;
use super::fetch::fetch;
use super::verify::VerifyReport;
use super::{NameAndVersion, count};
use crate::explain::OrExplain as _;
use crate::session::Session;

/// Take over what is installed already by other means
///
/// The files on disk are compared with the signed manifest of NAME@VERSION: content, mode, owner,
/// symlinks and extended attributes. If all is as it says, the machine has that version from now on;
/// no file is touched and no hook is run. Configuration files may differ. Otherwise each difference
/// is listed and nothing is taken over (exit 16).
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  \
    patchctl adopt acme-agent@2.1.0\n  \
    patchctl adopt acme-agent@2.1.0 libacme@1.4.0 --yes\n  \
    patchctl adopt acme-agent@2.1.0 --platform linux-x86_64")]
pub struct AdoptArgs {
    /// What is there, and in which version
    #[arg(value_name = "NAME@VERSION", required = true)]
    what: Vec<NameAndVersion>,
    /// The patch for this platform, where several fit
    #[arg(long)]
    platform: Option<Platform>,
    /// Go on although the index is older than it may be; the history records it
    #[arg(long)]
    allow_stale: bool,
}

/// Takes over.
pub fn run(session: &Session<'_>, arguments: &AdoptArgs) -> Result<ExitStatus, Failure> {
    let mut state = session.open()?;
    let catalogue = session.catalogue(&state.database)?;
    session.check_fresh(&catalogue, arguments.allow_stale)?;
    let mut offers = Vec::with_capacity(arguments.what.len());
    for NameAndVersion { name, version } in &arguments.what {
        let version = version.as_ref().ok_or_else(|| {
            Failure::usage(format!("which version of {name} is there must be said"))
                .hint(format!("give {name}@VERSION; see which there are: patchctl show {name}"))
        })?;
        let platform = arguments.platform.as_ref();
        let offer = whole::to_adopt(&state.database, &catalogue, name, version, platform);
        offers.push(offer.or_explain()?);
    }
    let offers: Vec<&Offer> = offers.iter().collect();
    let (cache, path) = (&session.places.cache, &session.places.root);
    space::require(&session.places, &offers, false).or_explain()?;
    let patches = fetch(session, &state.database, &catalogue, &offers)?;
    let patches = patches.into_iter().map(|got| PlannedPatch::new(&got.note, got.archive));
    let root = Root::open(path).or_explain()?;
    let (context, mut bars) = (session.context(arguments.allow_stale), session.bars());
    let prepared = prepare_adopt(&mut state.database, &root, patches.collect(), context, &mut bars);
    let prepared = match prepared {
        Err(PrepareError::Differs(found)) => return differs(session, &found),
        prepared => prepared.or_explain()?,
    };
    let exit = finish(session, prepared, "take these over?")?;
    if let Err(error) = forget(cache, &offers) {
        session.output.warning(format!("cannot clean the cache: {error}"));
    }
    Ok(exit)
}

/// Lists what differs; nothing was taken over.
fn differs(session: &Session<'_>, found: &[Difference]) -> Result<ExitStatus, Failure> {
    session.output.report(&VerifyReport::new(found));
    if session.output.is_json() {
        return Ok(ExitStatus::FilesDiffer);
    }
    let number = found.iter().filter(|difference| !difference.config).count();
    let text = format!(
        "what is there differs in {} from what was signed; nothing was taken over",
        count(number as u64, "point", "points")
    );
    Err(Failure::new(ExitStatus::FilesDiffer, text)
        .hint("put it right first, or install the patch over it: what differs is kept aside then"))
}

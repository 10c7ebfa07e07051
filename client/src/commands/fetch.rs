//! Fetching patches, with a bar each.

use countersign_store::Mirrors;
use countersign_terminal::Failure;
use patchctl::catalogue::{Catalogue, Offer};
use patchctl::db::Database;
use patchctl::download::{Downloader, Obtained, obtain_all};

use crate::explain::OrExplain as _;
use crate::session::{Session, block_on};

/// Brings patches into the cache: their notes, which must carry both signatures, and their archives. In
/// the order in which they are wanted.
pub fn fetch(
    session: &Session<'_>,
    database: &Database,
    catalogue: &Catalogue,
    wanted: &[&Offer],
) -> Result<Vec<Obtained>, Failure> {
    let mirrors: Vec<Option<Mirrors>> = catalogue
        .sources()
        .iter()
        .map(|source| {
            let is_online = !session.arguments.offline;
            is_online.then(|| session.mirrors(database, &source.config)).transpose()
        })
        .collect::<Result<_, _>>()?;
    let downloaders: Vec<Downloader<'_>> = catalogue
        .sources()
        .iter()
        .zip(&mirrors)
        .map(|(source, mirrors)| Downloader {
            source,
            mirrors: mirrors.as_ref(),
            cache: &session.places.cache,
        })
        .collect();
    let mut bars = session.bars();
    let side_by_side = session.config.downloads;
    let obtained = block_on(obtain_all(&downloaders, wanted, side_by_side, &mut bars));
    for passed in mirrors.iter().flatten().flat_map(Mirrors::failures) {
        session.output.warning(format!("{}: {}", passed.source, passed.why));
    }
    obtained.or_explain()
}

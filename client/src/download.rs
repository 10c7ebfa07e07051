//! Bringing patches to this machine: their notes, which must carry both signatures, and their
//! archives, into the cache.

use std::cell::{Cell, RefCell};
use std::fs::File;
use std::io::{self, Read, Seek as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use countersign_format::hash::Hash32;
use countersign_format::layout::{self, RepoPath};
use countersign_format::limits::MAX_NOTE;
use countersign_format::policy::{PatchContext, PatchNote, PolicyError, Verified, verify_patch};
use countersign_store::{
    AllFailed, Cause, Download, Failover, Get, GetError, Got, Mirrors, Source,
};

use crate::catalogue::{KnownSource, Offer};
use crate::object;
use crate::report::{Event, Reporter};
use crate::trust::TrustError;

mod cache;
mod clear;
mod follow;
mod join;

pub use clear::{cached, clear};
use follow::Follower;
use join::join_all;

/// A patch that is on this machine: its note carries both signatures, its archive is open.
#[derive(Debug)]
pub struct Obtained {
    /// The note.
    pub note: Verified<PatchNote>,
    /// The archive. It is hashed once more while it is unpacked from this very file.
    pub archive: File,
}

/// Why a patch could not be brought here.
#[derive(Debug, thiserror::Error)]
pub enum ObtainError {
    /// A file could not be read from a server.
    #[error(transparent)]
    Get(#[from] GetError),
    /// A server does not have it.
    #[error("{server} has no {path}")]
    Missing {
        /// The server.
        server: String,
        /// The file.
        path: RepoPath,
    },
    /// The note's signatures do not suffice.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// The archive is not the one that the note names.
    #[error(
        "layer 2 (archive): {path} from {server} is not the archive whose SHA-256 both parties signed"
    )]
    Other {
        /// The server.
        server: String,
        /// The file.
        path: RepoPath,
        /// How it showed.
        #[source]
        how: OtherArchive,
    },
    /// The patch is not in the cache, and the network may not be used.
    #[error("{0} is not in the cache, and --offline forbids fetching it")]
    Offline(RepoPath),
    /// The index does not know by which entry the patch was released.
    #[error("{0} was released by no entry of the held distribution log")]
    NotReleased(RepoPath),
    /// The authority does not list the distribution.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// A file of the cache.
    #[error("cannot {doing} {}", path.display())]
    Cache {
        /// What was tried.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// How it showed that an archive is another one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OtherArchive {
    /// By its size.
    #[error("it has {found} bytes, its note says {expected}")]
    Size {
        /// By the note.
        expected: u64,
        /// By the server.
        found: u64,
    },
    /// By its hash.
    #[error("it has another SHA-256 than its note says")]
    Hash,
}

/// A patch that could not be brought here.
#[derive(Debug, thiserror::Error)]
#[error("cannot obtain {name} {version}")]
pub struct DownloadError {
    /// The patch's name.
    pub name: String,
    /// The patch's version.
    pub version: String,
    /// What each server did, or what is wrong here.
    #[source]
    pub why: AllFailed<ObtainError>,
}

/// Brings patches of one source.
#[derive(Debug)]
pub struct Downloader<'a> {
    /// The source.
    pub source: &'a KnownSource,
    /// Its servers; none where the network may not be used.
    pub mirrors: Option<&'a Mirrors>,
    /// The cache.
    pub cache: &'a Path,
}

/// Brings all patches, `side_by_side` at a time, each by the downloader at its source's position.
/// Nothing is returned unless all came.
pub async fn obtain_all(
    downloaders: &[Downloader<'_>],
    offers: &[&Offer],
    side_by_side: usize,
    reporter: &mut dyn Reporter,
) -> Result<Vec<Obtained>, DownloadError> {
    let total = offers.iter().map(|offer| offer.entry().archive.size).sum();
    reporter.report(&Event::Fetching { archives: offers.len(), total });
    let reporter = RefCell::new(reporter);
    let results: Vec<RefCell<Option<Result<Obtained, DownloadError>>>> =
        offers.iter().map(|_| RefCell::new(None)).collect();
    let (next, has_failed) = (Cell::new(0), Cell::new(false));
    let work = async || {
        while let Some(offer) = offers.get(next.get()).filter(|_| !has_failed.get()) {
            let at = next.replace(next.get() + 1);
            let obtained = downloaders[offer.source].obtain(offer, &reporter).await;
            has_failed.set(has_failed.get() || obtained.is_err());
            results[at].replace(Some(obtained));
        }
    };
    join_all((0..side_by_side.min(offers.len())).map(|_| work())).await;
    // what was not begun comes after what failed, so the error is found first
    results.into_iter().filter_map(RefCell::into_inner).collect()
}

impl Downloader<'_> {
    async fn obtain(
        &self,
        offer: &Offer,
        reporter: &RefCell<&mut dyn Reporter>,
    ) -> Result<Obtained, DownloadError> {
        let entry = offer.entry();
        let failed = |why| DownloadError {
            name: entry.name.to_string(),
            version: entry.version.to_string(),
            why,
        };
        let here = |error| AllFailed { failures: vec![("cache".to_owned(), error)] };
        let note = match self.cached_note(offer) {
            Some(note) => note,
            None => self
                .each_mirror(&layout::patch_note(&entry.archive.sha256), async |server| {
                    self.fetch_note(server, offer).await
                })
                .await
                .map_err(failed)?,
        };
        let version = entry.version.to_string();
        let tell = |done| {
            let (name, total) = (entry.name.as_str(), entry.archive.size);
            let event = Event::Downloading { name, version: &version, done, total };
            reporter.borrow_mut().report(&event);
        };
        let archive = match self.cached_archive(offer).map_err(here).map_err(failed)? {
            Some(archive) => archive,
            None => self
                .each_mirror(&layout::archive(&entry.archive.sha256), async |server| {
                    self.fetch_archive(server, offer, &tell).await
                })
                .await
                .map_err(failed)?,
        };
        tell(entry.archive.size);
        Ok(Obtained { note, archive })
    }

    async fn each_mirror<T>(
        &self,
        path: &RepoPath,
        attempt: impl AsyncFn(&Source) -> Result<T, ObtainError>,
    ) -> Result<T, AllFailed<ObtainError>> {
        let Some(mirrors) = self.mirrors else {
            let error = ObtainError::Offline(path.clone());
            return Err(AllFailed { failures: vec![("cache".to_owned(), error)] });
        };
        let ask = async |server: &Arc<Source>| attempt(server).await;
        mirrors.try_each(ask).await.map(|(value, _)| value)
    }

    /// The note of a patch, if the cache has it and it verifies.
    pub fn cached_note(&self, offer: &Offer) -> Option<Verified<PatchNote>> {
        let path = layout::patch_note(&offer.entry().archive.sha256);
        let mut bytes = Vec::new();
        let file = cache::open(self.cache, &path).ok()??;
        file.take(MAX_NOTE as u64 + 1).read_to_end(&mut bytes).ok()?;
        self.verify(offer, &path, &bytes).ok()
    }

    async fn fetch_note(
        &self,
        server: &Source,
        offer: &Offer,
    ) -> Result<Verified<PatchNote>, ObtainError> {
        let path = layout::patch_note(&offer.entry().archive.sha256);
        let Got::Whole { bytes, .. } = server.get(&path, &Get::up_to(MAX_NOTE as u64)).await?
        else {
            return Err(ObtainError::Missing { server: server.name().to_owned(), path });
        };
        let note = self.verify(offer, &path, &bytes)?;
        cache::write(self.cache, &path, &bytes).map_err(self.cache_error("write", &path))?;
        Ok(note)
    }

    fn verify(
        &self,
        offer: &Offer,
        path: &RepoPath,
        bytes: &[u8],
    ) -> Result<Verified<PatchNote>, ObtainError> {
        let leaf = offer.patch.leaf;
        let released = self.source.first_release(leaf);
        let released = released.ok_or_else(|| ObtainError::NotReleased(path.clone()))?;
        let context = PatchContext {
            file: path.as_str(),
            authority: self.source.trust.authority(),
            entry: &offer.patch.bytes,
            index: leaf,
        };
        Ok(verify_patch(bytes, &context, self.source.trust.distribution()?, released)?)
    }

    /// An archive of the cache with the right hash; one with another is dropped.
    fn cached_archive(&self, offer: &Offer) -> Result<Option<File>, ObtainError> {
        let reference = offer.entry().archive;
        let path = layout::archive(&reference.sha256);
        let open = cache::open(self.cache, &path).map_err(self.cache_error("open", &path))?;
        let Some(mut file) = open else { return Ok(None) };
        let sound = is_sound(&mut file, &reference.sha256, reference.size);
        if sound.map_err(self.cache_error("read", &path))? {
            return Ok(Some(file));
        }
        cache::remove(self.cache, &path).map_err(self.cache_error("remove", &path))?;
        Ok(None)
    }

    async fn fetch_archive(
        &self,
        server: &Source,
        offer: &Offer,
        tell: &impl Fn(u64),
    ) -> Result<File, ObtainError> {
        let reference = offer.entry().archive;
        let path = layout::archive(&reference.sha256);
        let failed = |doing| self.cache_error(doing, &path);
        let mut file = cache::open_part(self.cache, &path).map_err(failed("open"))?;
        let held = file.metadata().map_err(failed("look at"))?.len();
        let request = Download { size: reference.size };
        for was_begun in [held > 0, false] {
            let mut follower = Follower::new(&file).map_err(failed("open"))?;
            let progress = |done| {
                follower.go_on(done);
                tell(done);
            };
            match server.download(&path, &request, &mut file, progress).await {
                Ok(true) => {}
                Ok(false) => {
                    return Err(ObtainError::Missing { server: server.name().to_owned(), path });
                }
                Err(GetError { cause: Cause::WrongSize { expected, found }, .. }) => {
                    let how = OtherArchive::Size { expected, found };
                    return Err(ObtainError::Other { server: server.name().to_owned(), path, how });
                }
                Err(error) => return Err(error.into()),
            }
            if follower.matches(&reference.sha256, reference.size).map_err(failed("read"))? {
                cache::complete(self.cache, &path).map_err(failed("name"))?;
                return Ok(file);
            }
            file.set_len(0).map_err(failed("empty"))?;
            if !was_begun {
                break;
            }
            // what another server or another day began may be what is wrong
        }
        let how = OtherArchive::Hash;
        Err(ObtainError::Other { server: server.name().to_owned(), path, how })
    }

    fn cache_error(
        &self,
        doing: &'static str,
        path: &RepoPath,
    ) -> impl FnOnce(io::Error) -> ObtainError + use<> {
        let path = self.cache.join(path);
        move |source| ObtainError::Cache { doing, path, source }
    }
}

/// Removes archives and notes of patches from the cache; what is not there is as good.
pub fn forget(cache: &Path, offers: &[&Offer]) -> io::Result<()> {
    for offer in offers {
        let hash = &offer.entry().archive.sha256;
        for path in [layout::archive(hash), layout::patch_note(hash)] {
            cache::remove(cache, &path)?;
        }
    }
    Ok(())
}

/// Bytes of these patches' archives that are not in the cache yet.
pub fn missing(cache: &Path, offers: &[&Offer]) -> u64 {
    let lacks = |offer: &&&Offer| {
        let reference = offer.entry().archive;
        let path = cache.join(layout::archive(&reference.sha256));
        path.metadata().map_or(true, |there| there.len() != reference.size)
    };
    offers.iter().filter(lacks).map(|offer| offer.entry().archive.size).sum()
}

/// Whether a file has this size and this hash.
fn is_sound(file: &mut File, sha256: &Hash32, size: u64) -> io::Result<bool> {
    if file.metadata()?.len() != size {
        return Ok(false);
    }
    file.rewind()?;
    let (found, hash) = object::hash(file)?;
    file.rewind()?;
    Ok(found == size && hash == *sha256)
}

impl Failover for ObtainError {
    fn is_worth_another_server(&self) -> bool {
        match self {
            Self::Get(error) => error.is_worth_another_server(),
            Self::Missing { .. } | Self::Policy(_) | Self::Other { .. } => true,
            Self::Offline(_) | Self::NotReleased(_) | Self::Trust(_) | Self::Cache { .. } => false,
        }
    }
}

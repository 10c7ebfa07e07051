//! Enrolment that a machine image carries.
//!
//! An image has a source's file, and beside where the state will be a mark with the authority note:
//! no state, since the machine's identity and the floors under versions and times are each
//! machine's own. The first command that opens the state makes it, enrols with every mark and
//! removes them. A state that is lost later is then refused as on any enrolled machine: no mark
//! says that there was none yet.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use countersign_format::authority::fingerprint;
use countersign_format::limits::MAX_AUTHORITY_NOTE;
use countersign_format::note::Note;
use countersign_format::policy::{Chain, PolicyError};
use countersign_store::crash::crash_point;
use countersign_store::durable::{Access, write_atomic};

use crate::config::{ConfigError, SourceConfig, SourceName};
use crate::db::source::NewSource;
use crate::db::{Database, DatabaseError};
use crate::machine;
use crate::places::Places;

/// Why a machine is not enrolled at its first boot, or an image is not made.
#[derive(Debug, thiserror::Error)]
pub enum FirstBootError {
    /// A mark cannot be read, written or removed.
    #[error("cannot {doing} {}", path.display())]
    File {
        /// What was tried.
        doing: &'static str,
        /// The mark, or its directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The image has a state: machines made from it would share an identity.
    #[error("{} is there: this is a machine that was enrolled, or an image that was booted", .0.display())]
    HasState(PathBuf),
    /// A directory of the image leads out of it, as by a symbolic link that is meant for the machine.
    #[error("{} leads to {}, outside of the image", path.display(), real.display())]
    Outside {
        /// The directory.
        path: PathBuf,
        /// Where it is.
        real: PathBuf,
    },
    /// The note in a mark is not the one that the source's file names.
    #[error("{} is not the authority note that source {name} begins with", path.display())]
    OtherNote {
        /// The mark.
        path: PathBuf,
        /// The source.
        name: SourceName,
    },
    /// The note does not verify.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// A source's file.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// No random numbers.
    #[error("no random numbers for this machine's identity")]
    Random(#[source] getrandom::Error),
    /// The state.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

/// Puts an enrolment into an image: the mark, then the source's file. The image's own directories
/// may not lead out of it: what is written there would be this machine's.
pub fn prepare(places: &Places, config: &SourceConfig, note: &[u8]) -> Result<(), FirstBootError> {
    for directory in [places.first_boot(), places.sources()] {
        check_inside(&places.root, directory)?;
    }
    let database = places.database();
    if database.exists() {
        return Err(FirstBootError::HasState(database));
    }
    let directory = places.first_boot();
    let failed = |doing| {
        let path = directory.clone();
        move |source| FirstBootError::File { doing, path, source }
    };
    fs::create_dir_all(&directory).map_err(failed("make"))?;
    let file = PathBuf::from(config.name.as_str());
    write_atomic(&directory, &file, note, Access::Public).map_err(failed("write in"))?;
    Ok(config.write(places)?)
}

fn check_inside(root: &Path, directory: PathBuf) -> Result<(), FirstBootError> {
    let there = directory.ancestors().find(|path| path.symlink_metadata().is_ok());
    let real = there.unwrap_or(root).canonicalize().map_err(|source| FirstBootError::File {
        doing: "find",
        path: directory.clone(),
        source,
    })?;
    if real.starts_with(root) {
        Ok(())
    } else {
        Err(FirstBootError::Outside { path: directory, real })
    }
}

/// Whether this machine was made from an image, and nothing opened its state yet.
pub fn is_waiting(places: &Places) -> bool {
    fs::read_dir(places.first_boot()).is_ok_and(|mut marks| marks.next().is_some())
}

/// Enrols with every mark that there is, and removes it. Killed anywhere, the next run goes on.
/// Whoever does holds the state's lock.
pub fn take(database: &mut Database, places: &Places) -> Result<(), FirstBootError> {
    if !is_waiting(places) {
        return Ok(());
    }
    let sources = SourceConfig::read_all(places)?;
    for config in &sources {
        take_one(database, places, config, &sources)?;
    }
    let directory = places.first_boot();
    crash_point("first-boot.enrolled");
    // marks of sources that the administrator took out of the image enrol nobody
    let removed =
        fs::remove_dir_all(&directory).and_then(|()| fs::File::open(&places.state)?.sync_all());
    removed.map_err(|source| FirstBootError::File { doing: "remove", path: directory, source })
}

fn take_one(
    database: &mut Database,
    places: &Places,
    config: &SourceConfig,
    sources: &[SourceConfig],
) -> Result<(), FirstBootError> {
    let path = places.first_boot().join(config.name.as_str());
    let bytes = match read_bounded(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        read => read.map_err(|source| FirstBootError::File {
            doing: "read",
            path: path.clone(),
            source,
        })?,
    };
    let other = || FirstBootError::OtherNote { path: path.clone(), name: config.name.clone() };
    let note = Note::parse(&bytes, MAX_AUTHORITY_NOTE).map_err(|_| other())?;
    if fingerprint(note.text()) != config.authority {
        return Err(other());
    }
    let chain = Chain::enroll(&bytes, &path.display().to_string())?;
    if database.sources()?.iter().any(|record| record.name == config.name) {
        return Ok(());
    }
    let machine = machine::new_id().map_err(FirstBootError::Random)?;
    let new = NewSource {
        name: &config.name,
        distribution: &config.distribution,
        anchor: config.authority,
        version: chain.newest().version,
        note: &bytes,
        machine: &machine,
    };
    let others: Vec<SourceName> = sources
        .iter()
        .map(|source| source.name.clone())
        .filter(|name| *name != config.name)
        .collect();
    database.enroll(&new, &others)?;
    Ok(())
}

fn read_bounded(path: &Path) -> io::Result<Vec<u8>> {
    use std::io::Read as _;
    let mut bytes = Vec::new();
    fs::File::open(path)?.take(MAX_AUTHORITY_NOTE as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

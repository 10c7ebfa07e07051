//! Whether there is room for a plan, estimated before the first byte is fetched. What is needed
//! exactly, mount by mount, is known once the archives are here.

use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use crate::catalogue::Offer;
use crate::download::missing;
use crate::places::Places;

/// What the state takes for each installed file, in bytes: its manifest entry, the journal's step,
/// the history's record of what was there before, and SQLite's own journal of all that.
pub const STATE_PER_FILE: u64 = 4096;

/// What the state takes for a transaction at least, in bytes.
pub const STATE_PER_TRANSACTION: u64 = 256 * 1024;

/// A file system that is too small, or that cannot be looked at.
#[derive(Debug, thiserror::Error)]
pub enum SpaceError {
    /// It has less room than is needed.
    #[error(
        "the file system of {} has {available} {unit} free, {needed} are needed ({purpose})",
        at.display()
    )]
    TooSmall {
        /// A directory on it.
        at: PathBuf,
        /// What for.
        purpose: String,
        /// `bytes` or `inodes`.
        unit: &'static str,
        /// How many are needed.
        needed: u64,
        /// How many are free.
        available: u64,
    },
    /// It cannot be looked at.
    #[error("cannot look at the file system of {}", at.display())]
    Look {
        /// A directory on it.
        at: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// What is needed in one place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Need {
    /// The place, which need not be there as yet.
    pub at: PathBuf,
    /// What for, in a word.
    pub purpose: &'static str,
    /// Bytes.
    pub bytes: u64,
    /// Inodes.
    pub files: u64,
}

/// What a file system has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// Which it is.
    pub device: u64,
    /// Free bytes, without root's reserve.
    pub bytes: u64,
    /// Free inodes, where the file system counts them.
    pub files: Option<u64>,
}

/// Checks that there is room for patches: for those that are not in the cache as yet there, and if
/// they are to be installed for their files below the root and for what the state says of them.
pub fn require(places: &Places, patches: &[&Offer], installs: bool) -> Result<(), SpaceError> {
    let archives = patches.iter().map(|patch| &patch.entry().archive);
    let (mut unpacked, mut files) = (0_u64, 0_u64);
    for archive in archives {
        unpacked = unpacked.saturating_add(archive.unpacked);
        files = files.saturating_add(archive.files);
    }
    let mut needs = vec![Need {
        at: places.cache.clone(),
        purpose: "cache",
        bytes: missing(&places.cache, patches),
        // each archive has a note
        files: 2 * patches.len() as u64,
    }];
    if installs {
        let state = files.saturating_mul(STATE_PER_FILE).saturating_add(STATE_PER_TRANSACTION);
        needs.push(Need { at: places.root.clone(), purpose: "files", bytes: unpacked, files });
        needs.push(Need { at: places.state.clone(), purpose: "state", bytes: state, files: 1 });
    }
    fits(&needs, look)
}

/// Checks needs against what file systems have, those on one file system together. `look` is asked
/// for the file system of a directory that is there.
pub fn fits(needs: &[Need], look: impl Fn(&Path) -> io::Result<Room>) -> Result<(), SpaceError> {
    let mut systems: Vec<(PathBuf, Room, Vec<&Need>)> = Vec::new();
    for need in needs.iter().filter(|need| need.bytes > 0) {
        let at = nearest_present(&need.at);
        let room = look(&at).map_err(|source| SpaceError::Look { at: at.clone(), source })?;
        match systems.iter_mut().find(|(_, known, _)| known.device == room.device) {
            Some((_, _, on_it)) => on_it.push(need),
            None => systems.push((at, room, vec![need])),
        }
    }
    systems.into_iter().try_for_each(|(at, room, needs)| one_fits(at, room, &needs))
}

fn one_fits(at: PathBuf, room: Room, needs: &[&Need]) -> Result<(), SpaceError> {
    let sum = |of: fn(&Need) -> u64| needs.iter().map(|need| of(need)).fold(0, u64::saturating_add);
    let (bytes, files) = (sum(|need| need.bytes), sum(|need| need.files));
    let short = if bytes > room.bytes {
        ("bytes", bytes, room.bytes)
    } else if let Some(available) = room.files.filter(|available| files > *available) {
        ("inodes", files, available)
    } else {
        return Ok(());
    };
    let (unit, needed, available) = short;
    let purposes: Vec<&str> = needs.iter().map(|need| need.purpose).collect();
    Err(SpaceError::TooSmall { at, purpose: purposes.join(", "), unit, needed, available })
}

/// A directory, or the nearest one above that is there.
fn nearest_present(path: &Path) -> PathBuf {
    path.ancestors().find(|above| above.is_dir()).unwrap_or(Path::new("/")).to_owned()
}

/// What the file system of a directory has.
pub fn look(at: &Path) -> io::Result<Room> {
    let found = rustix::fs::statvfs(at)?;
    Ok(Room {
        device: at.metadata()?.dev(),
        bytes: found.f_bavail.saturating_mul(found.f_frsize),
        // file systems that make inodes as needed say 0 of 0
        files: (found.f_files > 0).then_some(found.f_favail),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn need(at: &Path, purpose: &'static str, bytes: u64, files: u64) -> Need {
        Need { at: at.to_owned(), purpose, bytes, files }
    }

    /// Two file systems: one for whatever has `cache` in its path, one for the rest.
    fn two(
        cache: (u64, Option<u64>),
        rest: (u64, Option<u64>),
    ) -> impl Fn(&Path) -> io::Result<Room> {
        move |at| {
            let is_cache = at.to_string_lossy().contains("cache");
            let (device, (bytes, files)) = if is_cache { (1, cache) } else { (2, rest) };
            Ok(Room { device, bytes, files })
        }
    }

    #[test]
    fn each_file_system_must_have_room_for_all_that_comes_to_it() {
        let top = tempfile::tempdir().expect("a directory");
        let cache = top.path().join("cache");
        std::fs::create_dir(&cache).expect("made");
        let needs = [
            need(&cache.join("made/later"), "cache", 100, 2),
            need(top.path(), "files", 1_000, 10),
            need(&top.path().join("state"), "state", 50, 1),
        ];
        let short = |cache, rest| match fits(&needs, two(cache, rest)) {
            Ok(()) => None,
            Err(SpaceError::TooSmall { purpose, unit, needed, available, .. }) => {
                Some((purpose, unit, needed, available))
            }
            Err(error) => panic!("{error}"),
        };
        assert_eq!(short((100, Some(2)), (1_050, Some(11))), None, "it just fits");
        assert_eq!(short((100, None), (1_050, None)), None, "inodes that are not counted");
        let said = |purpose: &str, unit, needed, available| {
            Some((purpose.to_owned(), unit, needed, available))
        };
        assert_eq!(short((99, None), (2_000, None)), said("cache", "bytes", 100, 99));
        assert_eq!(short((100, None), (1_049, None)), said("files, state", "bytes", 1_050, 1_049));
        assert_eq!(short((100, Some(1)), (2_000, None)), said("cache", "inodes", 2, 1));
        assert_eq!(short((100, None), (2_000, Some(10))), said("files, state", "inodes", 11, 10));
        let lost = |_: &Path| Err(io::ErrorKind::NotFound.into());
        assert!(matches!(fits(&needs, lost), Err(SpaceError::Look { .. })));
    }

    #[test]
    fn what_needs_nothing_is_not_looked_at() {
        let needs = [need(Path::new("/"), "cache", 0, 2)];
        let never = |_: &Path| -> io::Result<Room> { unreachable!("nothing is needed there") };
        assert!(fits(&needs, never).is_ok());
    }

    #[test]
    fn a_real_file_system_has_room_for_one_byte_and_none_for_all_there_are() {
        let directory = tempfile::tempdir().expect("a directory");
        let absent = directory.path().join("that/is/made/later");
        assert!(fits(&[need(&absent, "cache", 1, 1)], look).is_ok());
        let error = fits(&[need(&absent, "cache", u64::MAX, 1)], look).expect_err("too much");
        let SpaceError::TooSmall { at, available, .. } = error else { panic!("{error}") };
        assert_eq!(at, directory.path());
        assert!(available > 0);
    }
}

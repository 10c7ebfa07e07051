//! Every path of a repository, made in this one file (SPEC §2; C2SP `tlog-tiles`).

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::hash::Hash32;
use crate::limits::TILE_WIDTH;

/// A path below a repository's base URL, such as `collection/checkpoint`.
///
/// Made only by the functions of this module, so it never holds `..`, an absolute path or a
/// character that a URL would have to escape.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct RepoPath(String);

/// One of the two logs of a repository.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Log {
    /// The collection's log: one entry a patch.
    Collection,
    /// The distribution's log: one entry a decision.
    Distribution,
}

impl Log {
    /// Both logs, the collection's first, which is also the order of publishing.
    pub const BOTH: [Self; 2] = [Self::Collection, Self::Distribution];

    /// The log's folder, which is also its role's name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Collection => "collection",
            Self::Distribution => "distribution",
        }
    }
}

impl fmt::Display for Log {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl RepoPath {
    /// The path as text, without a leading slash.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl AsRef<std::path::Path> for RepoPath {
    fn as_ref(&self) -> &std::path::Path {
        self.0.as_ref()
    }
}

impl fmt::Display for RepoPath {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// `authority/<version>`.
pub fn authority(version: u64) -> RepoPath {
    RepoPath(format!("authority/{version}"))
}

/// `directory`.
pub fn directory() -> RepoPath {
    RepoPath("directory".into())
}

/// `<log>/checkpoint`.
pub fn checkpoint(log: Log) -> RepoPath {
    RepoPath(format!("{log}/checkpoint"))
}

/// `<log>/checkpoint.pending`: a head that waits for its witnesses, which no client reads.
pub fn candidate(log: Log) -> RepoPath {
    RepoPath(format!("{log}/checkpoint.pending"))
}

/// `<log>/tile/<level>/<index>`, with `.p/<width>` unless the tile is full. `width` is 1 to 256.
pub fn tile(log: Log, level: u8, index: u64, width: u16) -> RepoPath {
    RepoPath(format!("{log}/tile/{level}/{}{}", index_path(index), partial(width)))
}

/// `<log>/tile/entries/<index>`, with `.p/<width>` unless the bundle is full. `width` is 1 to 256.
pub fn bundle(log: Log, index: u64, width: u16) -> RepoPath {
    RepoPath(format!("{log}/tile/entries/{}{}", index_path(index), partial(width)))
}

/// `<log>/pack/<level>/<index>.zst`.
pub fn pack(log: Log, level: u8, index: u64) -> RepoPath {
    RepoPath(format!("{log}/pack/{level}/{}.zst", index_path(index)))
}

/// `<log>/pack/tail/<size>.zst`: the newest entries of the log when it had `size`.
pub fn tail_pack(log: Log, size: u64) -> RepoPath {
    RepoPath(format!("{log}/pack/tail/{}.zst", index_path(size)))
}

/// `patches/<h2>/<sha256>.patch`.
pub fn archive(sha256: &Hash32) -> RepoPath {
    patch_file(sha256, "patch")
}

/// `patches/<h2>/<sha256>.note`.
pub fn patch_note(sha256: &Hash32) -> RepoPath {
    patch_file(sha256, "note")
}

fn patch_file(sha256: &Hash32, ending: &str) -> RepoPath {
    let hex = sha256.to_string();
    RepoPath(format!("patches/{}/{hex}.{ending}", &hex[..2]))
}

/// What a path of a repository stands for: the way back from a path, for those who find files.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Place {
    /// An authority note.
    Authority {
        /// Its version.
        version: u64,
    },
    /// The directory note.
    Directory,
    /// A log's head.
    Checkpoint(Log),
    /// A log's head that waits for its witnesses.
    Candidate(Log),
    /// A hash tile.
    Tile {
        /// The log.
        log: Log,
        /// The tile's level.
        level: u8,
        /// Its index within its level.
        index: u64,
        /// How many hashes it holds, 1 to 256.
        width: u16,
    },
    /// An entry bundle.
    Bundle {
        /// The log.
        log: Log,
        /// Its index.
        index: u64,
        /// How many entries it holds, 1 to 256.
        width: u16,
    },
    /// A pack.
    Pack {
        /// The log.
        log: Log,
        /// The pack's level.
        level: u8,
        /// Its index within its level.
        index: u64,
    },
    /// A tail pack.
    TailPack {
        /// The log.
        log: Log,
        /// The size of the head that it belongs to.
        size: u64,
    },
    /// An archive, by its SHA-256.
    Archive(Hash32),
    /// A patch note, by the SHA-256 of its archive.
    PatchNote(Hash32),
}

impl Place {
    /// Reads a path in its one form; none for a path that no repository has.
    pub fn parse(path: &str) -> Option<Self> {
        let place = Self::read(path)?;
        (place.path().as_str() == path).then_some(place)
    }

    /// The path.
    pub fn path(&self) -> RepoPath {
        match self {
            Self::Authority { version } => authority(*version),
            Self::Directory => directory(),
            Self::Checkpoint(log) => checkpoint(*log),
            Self::Candidate(log) => candidate(*log),
            Self::Tile { log, level, index, width } => tile(*log, *level, *index, *width),
            Self::Bundle { log, index, width } => bundle(*log, *index, *width),
            Self::Pack { log, level, index } => pack(*log, *level, *index),
            Self::TailPack { log, size } => tail_pack(*log, *size),
            Self::Archive(sha256) => archive(sha256),
            Self::PatchNote(sha256) => patch_note(sha256),
        }
    }

    /// Reads a path in forms that are not its one form, too.
    fn read(path: &str) -> Option<Self> {
        let (first, rest) = path.split_once('/').unwrap_or((path, ""));
        match (first, rest) {
            ("directory", "") => Some(Self::Directory),
            ("authority", version) => Some(Self::Authority { version: version.parse().ok()? }),
            ("collection", rest) => Self::read_log(Log::Collection, rest),
            ("distribution", rest) => Self::read_log(Log::Distribution, rest),
            ("patches", rest) => {
                let (sha256, ending) = rest.get(3..)?.split_once('.')?;
                let sha256 = sha256.parse().ok()?;
                match ending {
                    "patch" => Some(Self::Archive(sha256)),
                    "note" => Some(Self::PatchNote(sha256)),
                    _ => None,
                }
            }
            _ => None,
        }
    }

    fn read_log(log: Log, rest: &str) -> Option<Self> {
        match rest {
            "checkpoint" => return Some(Self::Checkpoint(log)),
            "checkpoint.pending" => return Some(Self::Candidate(log)),
            _ => {}
        }
        let (kind, rest) = rest.split_once('/')?;
        let (level, rest) = rest.split_once('/')?;
        match (kind, level) {
            ("tile", "entries") => {
                let (index, width) = read_index(rest)?;
                Some(Self::Bundle { log, index, width })
            }
            ("tile", level) => {
                let (index, width) = read_index(rest)?;
                Some(Self::Tile { log, level: level.parse().ok()?, index, width })
            }
            ("pack", level) => {
                let (index, _) = read_index(rest.strip_suffix(".zst")?)?;
                Some(match level {
                    "tail" => Self::TailPack { log, size: index },
                    level => Self::Pack { log, level: level.parse().ok()?, index },
                })
            }
            _ => None,
        }
    }
}

/// Index and width of a tile, as the end of its path says.
fn read_index(text: &str) -> Option<(u64, u16)> {
    let (index, width) = match text.split_once(".p/") {
        None => (text, 256),
        Some((index, width)) => (index, width.parse().ok().filter(|width| *width < 256)?),
    };
    let mut number: u64 = 0;
    for group in index.split('/') {
        let group = group.strip_prefix('x').unwrap_or(group).parse::<u16>().ok()?;
        number = number.checked_mul(1000)?.checked_add(group.into())?;
    }
    (width > 0).then_some((number, width))
}

/// A tile index as `tlog-tiles` writes it: groups of three digits, all but the last with `x`.
fn index_path(index: u64) -> String {
    let mut text = format!("{:03}", index % 1000);
    let mut rest = index / 1000;
    while rest > 0 {
        text = format!("x{:03}/{text}", rest % 1000);
        rest /= 1000;
    }
    text
}

fn partial(width: u16) -> String {
    if usize::from(width) == TILE_WIDTH { String::new() } else { format!(".p/{width}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tile_paths_are_those_of_the_specification() {
        // the example of C2SP tlog-tiles
        assert_eq!(index_path(1_234_067), "x001/x234/067");
        assert_eq!(index_path(0), "000");
        assert_eq!(index_path(1000), "x001/000");
        let path = tile(Log::Collection, 2, 1000, 5);
        assert_eq!(path.as_str(), "collection/tile/2/x001/000.p/5");
        assert_eq!(bundle(Log::Distribution, 7, 256).as_str(), "distribution/tile/entries/007");
        assert_eq!(pack(Log::Collection, 1, 0).as_str(), "collection/pack/1/000.zst");
        let tail = tail_pack(Log::Collection, 100_100);
        assert_eq!(tail.as_str(), "collection/pack/tail/x100/100.zst");
    }

    #[test]
    fn patches_are_spread_over_256_folders() {
        let hash = Hash32([0xab; 32]);
        assert_eq!(archive(&hash).as_str(), format!("patches/ab/{}.patch", "ab".repeat(32)));
        assert_eq!(patch_note(&hash).as_str(), format!("patches/ab/{}.note", "ab".repeat(32)));
    }

    #[test]
    fn every_path_leads_back_to_its_place() {
        let hash = Hash32([0xab; 32]);
        let mut places = vec![
            Place::Authority { version: 12 },
            Place::Directory,
            Place::Archive(hash),
            Place::PatchNote(hash),
        ];
        for log in Log::BOTH {
            places.extend([Place::Checkpoint(log), Place::Candidate(log)]);
            for (index, width) in [(0, 256), (999, 1), (1000, 255), (1_234_067, 256)] {
                places.push(Place::Tile { log, level: 3, index, width });
                places.push(Place::Bundle { log, index, width });
                places.push(Place::Pack { log, level: 0, index });
                places.push(Place::TailPack { log, size: index });
            }
        }
        for place in places {
            assert_eq!(Place::parse(place.path().as_str()), Some(place));
        }
    }

    #[test]
    fn other_paths_are_no_places() {
        for path in [
            "",
            "directory/",
            "authority/01",
            "authority/",
            "collection/tile/0/0",
            "collection/tile/0/000.p/256",
            "collection/tile/0/000.p/0",
            "collection/tile/0/x000/000",
            "collection/tile/0/x001/x000",
            "collection/pack/0/000",
            "collection/pack/0/000.zst.p/1",
            "collection/pack/0/000.p/1.zst",
            "collection/pack/tail/7.zst",
            "collection/../directory",
            "patches/ab/cd.patch",
            "patches/é/x.note",
            ".tmp-1-0",
        ] {
            assert_eq!(Place::parse(path), None, "{path}");
        }
        let wrong_folder = archive(&Hash32([0xab; 32])).as_str().replacen("ab", "cd", 1);
        assert_eq!(Place::parse(&wrong_folder), None);
    }
}

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

/// `<log>/tile/<level>/<index>`, with `.p/<width>` unless the tile is full. `width` is 1 to 256.
pub fn tile(log: Log, level: u8, index: u64, width: u16) -> RepoPath {
    RepoPath(format!("{log}/tile/{level}/{}{}", index_path(index), partial(width)))
}

/// `<log>/tile/entries/<index>`, with `.p/<width>` unless the bundle is full. `width` is 1 to 256.
pub fn bundle(log: Log, index: u64, width: u16) -> RepoPath {
    RepoPath(format!("{log}/tile/entries/{}{}", index_path(index), partial(width)))
}

/// `<log>/pack/<level>/<index>.zst`; at level 0 with `.p/<width>` before the ending unless full.
pub fn pack(log: Log, level: u8, index: u64, width: u16) -> RepoPath {
    RepoPath(format!("{log}/pack/{level}/{}{}.zst", index_path(index), partial(width)))
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
        assert_eq!(pack(Log::Collection, 0, 1, 17).as_str(), "collection/pack/0/001.p/17.zst");
        assert_eq!(pack(Log::Collection, 1, 0, 256).as_str(), "collection/pack/1/000.zst");
    }

    #[test]
    fn patches_are_spread_over_256_folders() {
        let hash = Hash32([0xab; 32]);
        assert_eq!(archive(&hash).as_str(), format!("patches/ab/{}.patch", "ab".repeat(32)));
        assert_eq!(patch_note(&hash).as_str(), format!("patches/ab/{}.note", "ab".repeat(32)));
    }
}

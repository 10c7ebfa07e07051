//! Partial tiles and bundles whose full ones are there, and tail packs of earlier heads, to be removed
//! once no reader is likely to want them (C2SP `tlog-tiles`; SPEC §4.4).

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use countersign_format::layout::{self, Log, RepoPath};
use countersign_format::tile::{TILE_HEIGHT, tile_levels, tile_width};
use countersign_format::time::Timestamp;
use countersign_store::Sink;
use countersign_store::durable::{self, Access};

use super::{FULL, PublishError};

/// How long such files stay after they were superseded, in seconds: readers that still have the
/// head before want them. A day is far longer than any reader needs to go from one head to another.
const KEEP: u64 = 86_400;

/// What is of no more use.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Past {
    what: What,
    since: Timestamp,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum What {
    /// The partial versions of a tile that became full.
    Partials { level: u8, index: u64 },
    /// The tail pack of a head of so many entries, since there is a later one.
    Tail { size: u64 },
}

/// The list of what may be removed later: a line each, only ever appended to by publishing.
#[derive(Debug)]
pub(super) struct Superseded {
    state: PathBuf,
    name: String,
}

impl Superseded {
    pub(super) fn new(state: &Path, name: String) -> Self {
        Self { state: state.to_owned(), name }
    }

    /// Notes the tail pack of the head of `old` entries, and the tiles that had partial versions
    /// then and are full at `new`: at most one a level. Not durable: what is lost here is a file that
    /// stays for nothing.
    pub(super) fn note(&self, old: u64, new: u64, since: Timestamp) -> Result<(), PublishError> {
        if old == 0 || old == new {
            return Ok(());
        }
        let mut lines = Past { what: What::Tail { size: old }, since }.to_line();
        for level in 0..tile_levels(old) {
            let index = (old >> (TILE_HEIGHT * u32::from(level))) / u64::from(FULL);
            let had_partial = tile_width(old, level, index) > 0;
            if had_partial && tile_width(new, level, index) == FULL {
                let what = What::Partials { level, index };
                lines.push_str(&Past { what, since }.to_line());
            }
        }
        let path = self.path();
        let opened = OpenOptions::new().create(true).append(true).open(&path);
        opened
            .and_then(|mut file| file.write_all(lines.as_bytes()))
            .map_err(|source| PublishError::State { action: "write", path, source })
    }

    /// Removes what was superseded long enough before `now`, and returns how many files.
    pub(super) fn remove(
        &self,
        sink: &mut dyn Sink,
        log: Log,
        now: Timestamp,
    ) -> Result<usize, PublishError> {
        let path = self.path();
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
            Err(source) => return Err(PublishError::State { action: "read", path, source }),
        };
        // a torn line is one whose files stay for nothing
        let all = text.lines().filter_map(Past::parse);
        let (kept, due): (Vec<_>, Vec<_>) = all.partition(|past| now.since(past.since) < KEEP);
        if due.is_empty() {
            return Ok(0);
        }
        let mut removed = 0;
        for past in due {
            for path in past.what.paths(log) {
                if sink.size(&path)?.is_some() {
                    sink.remove(&path)?;
                    removed += 1;
                }
            }
        }
        let lines: String = kept.iter().copied().map(Past::to_line).collect();
        durable::write_atomic(&self.state, self.name.as_ref(), lines.as_bytes(), Access::Private)
            .map_err(|source| PublishError::State { action: "write", path, source })?;
        Ok(removed)
    }

    fn path(&self) -> PathBuf {
        self.state.join(&self.name)
    }
}

impl Past {
    fn to_line(self) -> String {
        let since = self.since.seconds();
        match self.what {
            What::Partials { level, index } => format!("{level} {index} {since}\n"),
            What::Tail { size } => format!("tail {size} {since}\n"),
        }
    }

    fn parse(line: &str) -> Option<Self> {
        let mut words = line.split(' ');
        let (kind, number) = (words.next()?, words.next()?.parse().ok()?);
        let since = Timestamp::from_seconds(words.next()?.parse().ok()?).ok()?;
        let what = match kind {
            "tail" => What::Tail { size: number },
            level => What::Partials { level: level.parse().ok()?, index: number },
        };
        words.next().is_none().then_some(Self { what, since })
    }
}

impl What {
    fn paths(self, log: Log) -> Vec<RepoPath> {
        match self {
            Self::Tail { size } => vec![layout::tail_pack(log, size)],
            Self::Partials { level, index } => {
                let tiles = (1..FULL).map(|width| layout::tile(log, level, index, width));
                let bundles = (1..FULL).map(|width| layout::bundle(log, index, width));
                tiles.chain(bundles.filter(|_| level == 0)).collect()
            }
        }
    }
}

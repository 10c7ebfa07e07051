//! Partial tiles, bundles and packs whose full ones are there, to be removed once no reader is
//! likely to want them (C2SP `tlog-tiles`).

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use countersign_format::layout::{self, Log};
use countersign_format::tile::{TILE_HEIGHT, tile_levels, tile_width};
use countersign_format::time::Timestamp;
use countersign_store::Sink;
use countersign_store::durable::{self, Access};

use super::{FULL, PublishError};

/// How long partial files stay after their full one came, in seconds: readers that still have the
/// head before want them. A day is far longer than any reader needs to go from one head to another.
const KEEP: u64 = 86_400;

/// A tile that became full, so that its partial versions are of no more use.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Completed {
    level: u8,
    index: u64,
    since: Timestamp,
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

    /// Notes the tiles that had partial versions at `old` entries and are full at `new`: at most
    /// one a level. Not durable: what is lost here is a file that stays for nothing.
    pub(super) fn note(&self, old: u64, new: u64, since: Timestamp) -> Result<(), PublishError> {
        let mut lines = String::new();
        for level in 0..tile_levels(old) {
            let index = (old >> (TILE_HEIGHT * u32::from(level))) / u64::from(FULL);
            let had_partial = tile_width(old, level, index) > 0;
            if had_partial && tile_width(new, level, index) == FULL {
                lines.push_str(&Completed { level, index, since }.to_line());
            }
        }
        if lines.is_empty() {
            return Ok(());
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
        let all = text.lines().filter_map(Completed::parse);
        let (kept, due): (Vec<_>, Vec<_>) = all.partition(|tile| now.since(tile.since) < KEEP);
        if due.is_empty() {
            return Ok(0);
        }
        let mut removed = 0;
        for tile in due {
            removed += tile.remove_partials(sink, log)?;
        }
        let lines: String = kept.iter().copied().map(Completed::to_line).collect();
        durable::write_atomic(&self.state, self.name.as_ref(), lines.as_bytes(), Access::Private)
            .map_err(|source| PublishError::State { action: "write", path, source })?;
        Ok(removed)
    }

    fn path(&self) -> PathBuf {
        self.state.join(&self.name)
    }
}

impl Completed {
    fn to_line(self) -> String {
        format!("{} {} {}\n", self.level, self.index, self.since.seconds())
    }

    fn parse(line: &str) -> Option<Self> {
        let mut words = line.split(' ');
        let (level, index) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
        let since = Timestamp::from_seconds(words.next()?.parse().ok()?).ok()?;
        words.next().is_none().then_some(Self { level, index, since })
    }

    fn remove_partials(self, sink: &mut dyn Sink, log: Log) -> Result<usize, PublishError> {
        let mut removed = 0;
        for width in 1..FULL {
            let mut paths = vec![layout::tile(log, self.level, self.index, width)];
            if self.level == 0 {
                paths.push(layout::bundle(log, self.index, width));
                paths.push(layout::pack(log, 0, self.index, width));
            }
            for path in paths {
                if sink.size(&path)?.is_some() {
                    sink.remove(&path)?;
                    removed += 1;
                }
            }
        }
        Ok(removed)
    }
}

//! Partial tiles and bundles whose full ones are there, and tail packs of earlier heads, to be removed
//! once no reader is likely to want them (C2SP `tlog-tiles`; SPEC §4.4).

use std::collections::BTreeMap;
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
    /// When a later head was shown, as far as that is known: none where an interrupted run's work
    /// was completed.
    since: Option<Timestamp>,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
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
    /// then and are full at `new`, which is about to be shown: at most one a level. Without `since`
    /// they are looked at first when something is removed. Not durable: what is lost here is a file
    /// that stays for nothing.
    pub(super) fn note(
        &self,
        old: u64,
        new: u64,
        since: Option<Timestamp>,
    ) -> Result<(), PublishError> {
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

    /// Removes what was superseded long enough before `now`, and returns how many files. What the
    /// head of `shown` entries needs, which readers see, stays, and is not superseded before now.
    pub(super) fn remove(
        &self,
        sink: &mut dyn Sink,
        log: Log,
        shown: u64,
        now: Timestamp,
    ) -> Result<usize, PublishError> {
        let path = self.path();
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
            Err(source) => return Err(PublishError::State { action: "read", path, source }),
        };
        let mut newest = BTreeMap::new();
        // a torn line is one whose files stay for nothing
        for Past { what, since } in text.lines().filter_map(Past::parse) {
            let since = since.filter(|_| !what.is_needed_at(shown)).unwrap_or(now);
            let known = newest.entry(what).or_insert(since);
            *known = since.max(*known);
        }
        let (due, kept): (Vec<_>, Vec<_>) =
            newest.into_iter().partition(|(_, since)| now.since(*since) >= KEEP);
        let mut removed = 0;
        for path in due.into_iter().flat_map(|(what, _)| what.paths(log)) {
            if sink.size(&path)?.is_some() {
                sink.remove(&path)?;
                removed += 1;
            }
        }
        let kept = kept.into_iter().map(|(what, since)| Past { what, since: Some(since) });
        let lines: String = kept.map(Past::to_line).collect();
        if lines == text {
            return Ok(removed);
        }
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
        let since = self.since.unwrap_or(Timestamp::EPOCH).seconds();
        match self.what {
            What::Partials { level, index } => format!("{level} {index} {since}\n"),
            What::Tail { size } => format!("tail {size} {since}\n"),
        }
    }

    fn parse(line: &str) -> Option<Self> {
        let mut words = line.split(' ');
        let (kind, number) = (words.next()?, words.next()?.parse().ok()?);
        let since = Timestamp::from_seconds(words.next()?.parse().ok()?).ok()?;
        let since = Some(since).filter(|since| *since != Timestamp::EPOCH);
        let what = match kind {
            "tail" => What::Tail { size: number },
            level => What::Partials { level: level.parse().ok()?, index: number },
        };
        words.next().is_none().then_some(Self { what, since })
    }
}

impl What {
    /// Whether readers of the head of `size` entries want it.
    fn is_needed_at(self, size: u64) -> bool {
        match self {
            Self::Tail { size: of } => of >= size,
            Self::Partials { level, index } => tile_width(size, level, index) != FULL,
        }
    }

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

#[cfg(test)]
mod tests {
    use countersign_store::MemoryRepository;

    use super::*;

    const LOG: Log = Log::Collection;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_seconds(seconds).expect("a time")
    }

    /// The tail packs of heads of so many entries, and the list that knows of them.
    fn tails(sizes: &[u64]) -> (MemoryRepository, tempfile::TempDir, Superseded) {
        let sink = MemoryRepository::new();
        for size in sizes {
            sink.replace(&layout::tail_pack(LOG, *size), b"tail");
        }
        let state = tempfile::tempdir().expect("a directory");
        let superseded = Superseded::new(state.path(), "superseded".into());
        (sink, state, superseded)
    }

    /// A head that waits for witnesses longer than such files are kept.
    #[test]
    fn what_the_shown_head_needs_stays() {
        let (mut sink, _state, superseded) = tails(&[10, 20]);
        sink.replace(&layout::tile(LOG, 0, 0, 200), b"tile");
        superseded.note(10, 20, Some(at(1_000))).expect("noted");
        superseded.note(200, 300, Some(at(1_000))).expect("noted");
        let mut remove = |shown, now| {
            superseded.remove(&mut sink, LOG, shown, at(now)).expect("removed");
            sink.files().keys().map(ToString::to_string).collect::<Vec<_>>()
        };
        let tails = [10, 20].map(|size| layout::tail_pack(LOG, size).to_string());
        let tile = layout::tile(LOG, 0, 0, 200).to_string();
        let all = vec![tails[0].clone(), tails[1].clone(), tile.clone()];
        assert_eq!(remove(10, 1_000 + 2 * KEEP), all);
        // they are of the head before from then on, and no earlier
        assert_eq!(remove(20, 1_000 + 3 * KEEP - 1), all);
        assert_eq!(remove(20, 1_000 + 3 * KEEP), all[1..]);
        // the tile's head is not there yet
        assert_eq!(remove(300, 1_000 + 4 * KEEP - 1), all[1..]);
        assert_eq!(remove(300, 1_000 + 4 * KEEP), tails[1..]);
    }

    /// An interrupted run noted it a day before another one showed the head.
    #[test]
    fn the_day_begins_when_a_head_is_shown() {
        let (mut sink, _state, superseded) = tails(&[10, 20]);
        superseded.note(10, 20, Some(at(1_000))).expect("noted");
        superseded.note(10, 20, None).expect("noted");
        let mut remove = |now| superseded.remove(&mut sink, LOG, 20, at(now)).expect("removed");
        assert_eq!(remove(1_000 + KEEP), 0);
        assert_eq!(remove(1_000 + 2 * KEEP - 1), 0);
        assert_eq!(remove(1_000 + 2 * KEEP), 1);
        assert_eq!(remove(1_000 + 9 * KEEP), 0);
    }

    #[test]
    fn torn_and_strange_lines_remove_nothing() {
        let (mut sink, state, superseded) = tails(&[10]);
        let text = "tail 10\ntail 10 x\nhead 10 5\ntail 10 5 5\n0 0 99999999999999999999\ntail 1";
        fs::write(state.path().join("superseded"), text).expect("written");
        assert_eq!(superseded.remove(&mut sink, LOG, 20, at(9 * KEEP)).expect("read"), 0);
        assert_eq!(sink.files().len(), 1);
    }
}

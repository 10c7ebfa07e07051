//! Writing patches: their entries, and what they are found by.

use rusqlite::Transaction;

use super::DatabaseError;
use super::index::{IndexWriter, IndexedPatch};
use super::lines::{LineWriter, each_line};
use super::lookup::{Kind, LookupWriter, PatchKeys};
use super::source::{SourceId, number};

/// Writes the patches of one source within a transaction.
#[derive(Debug)]
pub(crate) struct PatchWriter<'t> {
    lines: LineWriter<'t>,
    names: LookupWriter<'t>,
    archives: LookupWriter<'t>,
}

impl<'t> PatchWriter<'t> {
    /// For a collection's log that grows from `before` entries to `after`.
    pub(crate) fn open(
        index: &IndexWriter<'t>,
        before: u64,
        after: u64,
    ) -> Result<Self, DatabaseError> {
        let IndexWriter { transaction, source } = *index;
        let lookup = |kind| LookupWriter::open(transaction, source, kind, before, after);
        Ok(Self {
            lines: LineWriter::open(transaction, source, before)?,
            names: lookup(Kind::Name)?,
            archives: lookup(Kind::Archive)?,
        })
    }

    /// Keeps a patch. False where an earlier one has its identity or its archive.
    pub(crate) fn put(
        &mut self,
        leaf: u64,
        keys: PatchKeys,
        bytes: &[u8],
    ) -> Result<bool, DatabaseError> {
        let mut similar = self.names.find(keys.name)?;
        similar.extend(self.archives.find(keys.archive)?);
        if !similar.is_empty() && self.is_repeated(&similar, leaf, bytes)? {
            return Ok(false);
        }
        self.names.add(keys.name, leaf)?;
        self.archives.add(keys.archive, leaf)?;
        self.lines.skip_to(leaf)?;
        self.lines.push(bytes)?;
        Ok(true)
    }

    /// Whether one of the patches with like keys has the identity or the archive of this one.
    fn is_repeated(&self, similar: &[u64], leaf: u64, bytes: &[u8]) -> Result<bool, DatabaseError> {
        let new = IndexedPatch::parse(leaf, bytes)?.entry;
        for other in similar {
            let Some(line) = self.lines.line(*other)? else { continue };
            let other = IndexedPatch::parse(*other, &line)?.entry;
            if other.identity() == new.identity() || other.archive.sha256 == new.archive.sha256 {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Writes what is not yet written of a log with `size` entries.
    pub(crate) fn finish(mut self, size: u64) -> Result<(), DatabaseError> {
        self.lines.skip_to(size)?;
        self.lines.finish()?;
        self.names.finish()?;
        self.archives.finish()
    }
}

/// Makes what lookups need anew, for every source.
pub(super) fn make_lookups(transaction: &Transaction<'_>) -> Result<(), DatabaseError> {
    transaction.execute("DELETE FROM patch_key", [])?;
    let mut statement =
        transaction.prepare("SELECT source, size FROM log WHERE log = 'collection'")?;
    let rows = statement.query_map([], |row| Ok((SourceId(row.get(0)?), row.get(1)?)))?;
    for row in rows {
        let (source, size): (SourceId, i64) = row?;
        let size = number("log.size", size)?;
        let lookup = |kind| LookupWriter::open(transaction, source, kind, 0, size);
        let (mut names, mut archives) = (lookup(Kind::Name)?, lookup(Kind::Archive)?);
        each_line(transaction, source, |leaf, line| {
            let keys = PatchKeys::of(&IndexedPatch::parse(leaf, line)?.entry);
            names.add(keys.name, leaf)?;
            archives.add(keys.archive, leaf)
        })?;
        names.finish()?;
        archives.finish()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use countersign_format::entry::{CollectionEntry, PatchEntry};
    use countersign_format::hash::Hash32;

    use super::*;
    use crate::db::Database;
    use crate::db::source::NewSource;

    fn entry(name: &str, version: &str, archive: u64) -> PatchEntry {
        let archive = Hash32::of(&archive.to_be_bytes());
        let text = format!(
            "{{\"type\":\"patch/v1\",\"name\":\"{name}\",\"version\":\"{version}\",\"archive\":{{\
             \"sha256\":\"{archive}\",\"size\":1,\"unpacked\":1,\"files\":1}},\
             \"collected\":\"2026-11-22T10:00:00Z\"}}\n"
        );
        PatchEntry::parse(text.as_bytes()).expect("an entry")
    }

    struct Held {
        _directory: tempfile::TempDir,
        database: Database,
        source: SourceId,
        size: u64,
    }

    impl Held {
        fn new() -> Self {
            let directory = tempfile::tempdir().expect("a directory");
            let mut database =
                Database::create(&directory.path().join("state.db")).expect("created");
            let name = "a".parse().expect("a name");
            let distribution = "main".parse().expect("a name");
            let anchor = Hash32([1; 32]);
            let new = NewSource {
                name: &name,
                distribution: &distribution,
                anchor,
                version: 1,
                note: b"note",
                machine: "m",
            };
            let source = database.enroll(&new, &[]).expect("enrolled").id;
            Self { _directory: directory, database, source, size: 0 }
        }

        /// Appends patches, or what is none, and returns which were kept.
        fn grow(&mut self, entries: &[Option<PatchEntry>]) -> Vec<bool> {
            let (source, before) = (self.source, self.size);
            self.size += entries.len() as u64;
            let transaction = self.database.begin().expect("begun");
            let index = IndexWriter { transaction: &transaction, source };
            let mut patches = PatchWriter::open(&index, before, self.size).expect("opened");
            let mut put = |(leaf, entry): (u64, &Option<PatchEntry>)| {
                let Some(entry) = entry else { return false };
                let bytes = CollectionEntry::Patch(Box::new(entry.clone())).to_bytes();
                let bytes = bytes.expect("short");
                patches.put(leaf, PatchKeys::of(entry), &bytes).expect("written")
            };
            let kept = (before..).zip(entries).map(&mut put).collect();
            patches.finish(self.size).expect("written");
            let log = "INSERT OR REPLACE INTO log
                 (source, log, origin, size, frontier, tail, checkpoint)
                 VALUES (?1, 'collection', 'o', ?2, x'', 0, x'')";
            transaction
                .execute(log, [source.0, crate::db::source::signed(self.size)])
                .expect("put");
            transaction.commit().expect("committed");
            kept
        }

        fn named(&self, name: &str) -> Vec<u64> {
            let name = name.parse().expect("a name");
            let patches = self.database.patches_named(self.source, &name).expect("read");
            patches.iter().map(|patch| patch.leaf).collect()
        }
    }

    #[test]
    fn what_came_in_many_steps_is_found_and_nothing_twice() {
        let mut held = Held::new();
        let mut next = 0;
        // around the lines of one value, and around the sizes at which buckets are split
        for step in [1, 62, 1, 1, 1, 63, 382, 1, 1, 700, 3000] {
            let new: Vec<_> = (next..next + step)
                .map(|n| {
                    (n % 7 != 3).then(|| entry(&format!("p{}", n % 900), &format!("1.0.{n}"), n))
                })
                .collect();
            let kept: Vec<_> = new.iter().map(Option::is_some).collect();
            assert_eq!(held.grow(&new), kept);
            next += step;
        }
        let patches = held.database.patches(held.source).expect("read");
        let expected: Vec<u64> = (0..next).filter(|n| n % 7 != 3).collect();
        assert_eq!(patches.iter().map(|patch| patch.leaf).collect::<Vec<_>>(), expected);
        for name in 0..900 {
            let leaves = expected.iter().copied().filter(|n| n % 900 == name);
            assert_eq!(held.named(&format!("p{name}")), leaves.collect::<Vec<_>>(), "{name}");
        }
        for patch in &patches {
            let archive = &patch.entry.archive.sha256;
            let found = held.database.patch_of_archive(held.source, archive).expect("read");
            assert_eq!(found.as_ref(), Some(patch));
        }
        let text = format!("p{}", next - 1);
        let again = [
            Some(entry("p5", "1.0.5", 70_000)),
            Some(entry("other", "1.0.0", 5)),
            Some(entry("other", "1.0.0", 70_001)),
            Some(entry("other", "1.0.0", 70_002)),
            Some(entry(&text, "2.0.0", 70_001)),
        ];
        // the identity of one and the archive of another are taken, also within one step
        assert_eq!(held.grow(&again), [false, false, true, false, false]);
        assert_eq!(held.named("other"), [next + 2]);
    }

    #[test]
    fn what_lookups_need_can_be_made_anew() {
        let mut held = Held::new();
        held.grow(&(0..1500).map(|n| Some(entry("p", &format!("1.0.{n}"), n))).collect::<Vec<_>>());
        let before = held.named("p");
        assert_eq!(before.len(), 1500);
        let transaction = held.database.begin().expect("begun");
        make_lookups(&transaction).expect("made");
        transaction.commit().expect("committed");
        assert_eq!(held.named("p"), before);
    }
}

//! Makes the files of one archive in staging, one after another, and fills them.

use std::io;
use std::os::fd::OwnedFd;

use countersign_format::archive::Announced;
use countersign_format::manifest::{FileEntry, FileMeta, Manifest};
use countersign_format::relpath::RelPath;

use super::PrepareError;
use super::owners::staged_owner;
use super::read_ahead::Piece;
use super::unpack::{StagedFile, Unpacker, note_area};
use crate::object::Found;
use crate::report::Event;
use crate::root::{DirPath, Resolver};
use crate::stage::{Spot, StageError, StagedWriter, StagingDirectory};

/// Makes an archive's files in the order of the manifest.
pub(super) struct Stager<'s, 'u, 'r> {
    unpacker: &'s mut Unpacker<'u, 'r>,
    announced: &'s Announced,
    manifest: &'s Manifest,
    version: String,
    /// Bytes given to be written so far.
    done: u64,
    walker: Resolver<'r>,
    last: Option<Last>,
    /// Whether the last file has bytes to come.
    is_open: bool,
    made: Vec<Made>,
}

/// A file that was made.
struct Made {
    path: RelPath,
    area: usize,
    spot: Spot,
}

/// The directory of a tree that files were last made in.
struct Last {
    /// What it is for, as the manifest has it.
    of: DirPath,
    area: usize,
    /// One of the files in it.
    spot: Spot,
    open: OwnedFd,
}

impl<'s, 'u, 'r> Stager<'s, 'u, 'r> {
    /// Nothing is made as yet.
    pub fn new(
        unpacker: &'s mut Unpacker<'u, 'r>,
        announced: &'s Announced,
        manifest: &'s Manifest,
    ) -> Self {
        Self {
            announced,
            manifest,
            version: announced.version.to_string(),
            done: 0,
            walker: Resolver::new(unpacker.root),
            last: None,
            is_open: false,
            made: Vec::new(),
            unpacker,
        }
    }

    /// Makes the files that begin in a piece, for [`Contents::fill`].
    pub fn begin(&mut self, piece: &Piece) -> Result<Vec<StagedWriter<'s>>, PrepareError> {
        let mut begun = Vec::new();
        for (place, bytes, is_last) in piece.parts() {
            let entry = &self.manifest.files[place];
            if !self.is_open {
                begun.push(self.make(entry)?);
            }
            self.is_open = !is_last;
            if !bytes.is_empty() {
                self.report(bytes.len() as u64);
            }
            if let Some(made) = self.made.last().filter(|_| is_last) {
                self.unpacker.areas.has_grown(made.area, entry.size());
            }
        }
        Ok(begun)
    }

    /// All that was staged, in the order of the manifest, once it is filled.
    pub fn into_staged(self, contents: Contents<'_>) -> Vec<(RelPath, StagedFile)> {
        let staged = self.made.into_iter().zip(contents.found).map(|(made, found)| {
            let Made { path, area, spot } = made;
            (path, StagedFile { area, spot, found })
        });
        staged.collect()
    }

    fn make(&mut self, entry: &'s FileEntry) -> Result<StagedWriter<'s>, PrepareError> {
        let Unpacker { ownership, awaits_owners, .. } = *self.unpacker;
        let owner = staged_owner(ownership, awaits_owners, &self.announced.name, entry)?;
        let (area, mut spot) = self.spot_for(&entry.path)?;
        let meta = entry.as_file().expect("only regular files have content");
        let mut writer = self.create(area, &spot, (&entry.path, meta), owner);
        // an earlier patch of the plan has something there, which may have to go
        if spot.below.is_some() && writer.as_ref().is_err_and(is_taken) {
            spot = self.unpacker.areas.slot().into();
            writer = self.create(area, &spot, (&entry.path, meta), owner);
        }
        let failed = |source| StageError::Object { path: entry.path.to_string(), source };
        let writer = writer.map_err(failed)?;
        self.made.push(Made { path: entry.path.clone(), area, spot });
        Ok(writer)
    }

    /// The area that a file of that path will most likely be placed from, and the spot that it will
    /// most likely have in it; a wrong guess costs one rename.
    fn spot_for(&mut self, path: &RelPath) -> Result<(usize, Spot), StageError> {
        if let Some(last) = self.last.as_ref().filter(|last| last.of.holds(path))
            && let Some(spot) = last.spot.beside(path.file_name())
        {
            return Ok((last.area, spot));
        }
        let Unpacker { database, transaction, areas, .. } = &mut *self.unpacker;
        let note = &mut note_area(database, *transaction);
        if let Ok(resolved) = self.walker.resolve(path) {
            return areas.spot_for(&resolved, note);
        }
        let area = areas.for_directory(&DirPath::ROOT, note)?;
        Ok((area, areas.slot().into()))
    }

    fn create(
        &mut self,
        area: usize,
        spot: &Spot,
        (path, meta): (&RelPath, &'s FileMeta),
        owner: Option<(u32, u32)>,
    ) -> io::Result<StagedWriter<'s>> {
        let staging = self.unpacker.areas.get(area).staging();
        let name = spot.file_name();
        let last = self.last.take();
        if let Some(last) = last.filter(|last| last.area == area && spot.is_beside(&last.spot)) {
            let last = self.last.insert(last);
            return StagedWriter::create(&last.open, &name, meta, owner);
        }
        match spot.make_directory(staging)? {
            StagingDirectory::Slots(staging) => StagedWriter::create(staging, &name, meta, owner),
            StagingDirectory::Tree(open) => {
                let writer = StagedWriter::create(&open, &name, meta, owner);
                self.last = Some(Last { of: DirPath::of(path), area, spot: spot.clone(), open });
                writer
            }
        }
    }

    fn report(&mut self, bytes: u64) {
        self.done += bytes;
        self.unpacker.reporter.report(&Event::Unpacking {
            name: self.announced.name.as_str(),
            version: &self.version,
            done: self.done,
            total: self.announced.unpacked,
        });
    }
}

/// Whether something is at a name, or in the place of a directory above it.
fn is_taken(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::AlreadyExists | io::ErrorKind::NotADirectory)
}

/// Fills the files that a [`Stager`] made.
pub(super) struct Contents<'s> {
    manifest: &'s Manifest,
    /// The file that has bytes to come.
    open: Option<StagedWriter<'s>>,
    /// What each file was when it was complete.
    found: Vec<Found>,
}

impl<'s> Contents<'s> {
    /// Nothing is filled as yet.
    pub fn of(manifest: &'s Manifest) -> Self {
        Self { manifest, open: None, found: Vec::new() }
    }

    /// Writes a piece into the files that begin in it, and first into the one that began before.
    pub fn fill(
        &mut self,
        piece: &Piece,
        begun: Vec<StagedWriter<'s>>,
    ) -> Result<(), PrepareError> {
        let mut begun = begun.into_iter();
        for (place, bytes, is_last) in piece.parts() {
            let path = &self.manifest.files[place].path;
            let failed = |source| StageError::Object { path: path.to_string(), source };
            let file = self.open.take().or_else(|| begun.next());
            let mut file = file.expect("what is not open begins in this piece");
            if !bytes.is_empty() {
                file.write(bytes).map_err(failed)?;
            }
            if is_last {
                self.found.push(file.finish().map_err(failed)?);
            } else {
                self.open = Some(file);
            }
        }
        Ok(())
    }
}

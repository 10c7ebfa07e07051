//! Writes the files of one archive into staging, one after another.

use std::io;
use std::os::fd::OwnedFd;

use countersign_format::archive::Announced;
use countersign_format::manifest::{FileEntry, FileMeta};
use countersign_format::relpath::RelPath;

use super::PrepareError;
use super::owners::staged_owner;
use super::unpack::{StagedFile, Unpacker};
use crate::report::Event;
use crate::root::Resolver;
use crate::stage::{Spot, StageError, StagedWriter, StagingDirectory};

/// Takes the content of an archive's files in the order of the manifest, some bytes at a time.
pub(super) struct Stager<'s, 'u, 'r> {
    unpacker: &'s mut Unpacker<'u, 'r>,
    announced: &'s Announced,
    version: String,
    /// Bytes staged so far.
    done: u64,
    walker: Resolver<'r>,
    /// The directory of a tree that files were last made in, by the spot of one of them.
    directory: Option<(Spot, OwnedFd)>,
    open: Option<OpenFile<'s>>,
    staged: Vec<(RelPath, StagedFile)>,
}

/// The file that is being written.
struct OpenFile<'s> {
    writer: StagedWriter<'s>,
    area: usize,
    spot: Spot,
}

impl<'s, 'u, 'r> Stager<'s, 'u, 'r> {
    /// Nothing is staged as yet.
    pub fn new(unpacker: &'s mut Unpacker<'u, 'r>, announced: &'s Announced) -> Self {
        Self {
            announced,
            version: announced.version.to_string(),
            done: 0,
            walker: Resolver::new(unpacker.root),
            directory: None,
            open: None,
            staged: Vec::new(),
            unpacker,
        }
    }

    /// Writes the next bytes of a file; `is_last` says that they complete it.
    pub fn add(
        &mut self,
        entry: &'s FileEntry,
        bytes: &[u8],
        is_last: bool,
    ) -> Result<(), PrepareError> {
        let failed = |source| StageError::Object { path: entry.path.to_string(), source };
        let mut open = match self.open.take() {
            Some(open) => open,
            None => self.begin(entry)?,
        };
        if !bytes.is_empty() {
            open.writer.write(bytes).map_err(failed)?;
            self.report(bytes.len() as u64);
        }
        if !is_last {
            self.open = Some(open);
            return Ok(());
        }
        let OpenFile { writer, area, spot } = open;
        let found = writer.finish().map_err(failed)?;
        self.staged.push((entry.path.clone(), StagedFile { area, spot, found }));
        self.unpacker.areas.has_grown(area, entry.size());
        Ok(())
    }

    /// All that was staged, in the order of the manifest.
    pub fn into_staged(self) -> Vec<(RelPath, StagedFile)> {
        self.staged
    }

    fn begin(&mut self, entry: &'s FileEntry) -> Result<OpenFile<'s>, PrepareError> {
        let Unpacker { ownership, awaits_owners, .. } = *self.unpacker;
        let owner = staged_owner(ownership, awaits_owners, &self.announced.name, entry)?;
        let (area, mut spot) = self.unpacker.spot_for(&mut self.walker, &entry.path)?;
        let meta = entry.as_file().expect("only regular files have content");
        let mut writer = self.create(area, &spot, meta, owner);
        // an earlier patch of the plan has something there, which may have to go
        if spot.below.is_some() && writer.as_ref().is_err_and(is_taken) {
            spot = self.unpacker.areas.slot().into();
            writer = self.create(area, &spot, meta, owner);
        }
        let failed = |source| StageError::Object { path: entry.path.to_string(), source };
        Ok(OpenFile { writer: writer.map_err(failed)?, area, spot })
    }

    fn create(
        &mut self,
        area: usize,
        spot: &Spot,
        meta: &'s FileMeta,
        owner: Option<(u32, u32)>,
    ) -> io::Result<StagedWriter<'s>> {
        let staging = self.unpacker.areas.get(area).staging();
        if !self.directory.as_ref().is_some_and(|(last, _)| spot.is_beside(last)) {
            self.directory = match spot.make_directory(staging)? {
                StagingDirectory::Slots(_) => None,
                StagingDirectory::Tree(open) => Some((spot.clone(), open)),
            };
        }
        let name = spot.file_name();
        match &self.directory {
            Some((_, directory)) => StagedWriter::create(directory, &name, meta, owner),
            None => StagedWriter::create(staging, &name, meta, owner),
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

//! Reading an archive in one pass (SPEC §7).

use std::io::{self, Read};
use std::sync::Arc;

use super::diagnose::{Expected, diagnose};
use super::frame::Frame;
use super::header::{BLOCK, Block, END, Header, MANIFEST_NAME, field, octal, padding};
use super::{Announced, ArchiveError};
use crate::hash::{Hash32, Hasher};
use crate::limits::{MAX_HOOK, MAX_MANIFEST};
use crate::manifest::{Delta, FileEntry, HookPath, Manifest};
use crate::relpath::RelPath;

/// An archive that is being read. Gives the manifest, then each member once, in order.
///
/// Everything is checked while it is read, and nothing beyond the announced sizes is read. What
/// was given out counts only once [`ArchiveReader::finish`] returned a [`Checked`]: until then the
/// archive's hash is not known. After an error every further call gives the same error.
pub struct ArchiveReader<R: Read> {
    manifest: Arc<Manifest>,
    announced: Option<Announced>,
    hooks: Vec<HookPath>,
    next: usize,
    body: Body<R>,
}

/// One member of an archive. Its content may be read in part or not at all; the rest is then read
/// and checked at the next call.
#[derive(Debug)]
pub enum Member<'a, R: Read> {
    /// A hook.
    Hook {
        /// Its name.
        path: &'a HookPath,
        /// What it is made of.
        content: Content<'a, R>,
    },
    /// A path of the manifest. Directories and symlinks have no content.
    Entry {
        /// What the manifest says of it.
        entry: &'a FileEntry,
        /// What it says of its delta, if the file comes as changes to another.
        delta: Option<&'a Delta>,
        /// What it is made of; where there is a delta that, for a
        /// [`DeltaReader`](crate::delta::DeltaReader): the hash in the manifest is of what that
        /// makes.
        content: Content<'a, R>,
    },
}

/// The content of one member. The read that would give its last bytes fails unless the whole has
/// the hash that the manifest says; it says none of hooks and of deltas.
///
/// Its errors hold an [`ArchiveError`], which [`ArchiveError::from_io`] takes out.
pub struct Content<'a, R: Read>(&'a mut Body<R>);

/// An archive that was read to its end and is what its log entry announces.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Checked {
    manifest: Arc<Manifest>,
    announced: Announced,
}

impl Checked {
    /// The archive's manifest.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The archive's manifest, taken out.
    pub fn into_manifest(self) -> Manifest {
        Arc::unwrap_or_clone(self.manifest)
    }

    /// The archive's manifest, taken out as the reader shared it.
    pub fn into_shared_manifest(self) -> Arc<Manifest> {
        self.manifest
    }

    /// What a log entry has to say of this archive.
    pub fn announced(&self) -> &Announced {
        &self.announced
    }
}

impl<R: Read> ArchiveReader<R> {
    /// Begins to read an archive that a log entry announces: reads up to the end of the manifest,
    /// which must agree with the entry.
    pub fn open(source: R, announced: &Announced) -> Result<Self, ArchiveError> {
        Self::begin(source, Some(announced))
    }

    /// Begins to read an archive that no log entry announces, for those who make or inspect one:
    /// [`Checked::announced`] then says what an entry would have to say.
    pub fn open_unannounced(source: R) -> Result<Self, ArchiveError> {
        Self::begin(source, None)
    }

    /// The archive's manifest. Not to be acted on before [`ArchiveReader::finish`].
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The archive's manifest, for whoever reads the members elsewhere. Not to be acted on before
    /// [`ArchiveReader::finish`].
    pub fn shared_manifest(&self) -> Arc<Manifest> {
        Arc::clone(&self.manifest)
    }

    /// The next member; none after the last.
    pub fn next_member(&mut self) -> Result<Option<Member<'_, R>>, ArchiveError> {
        let Self { manifest, hooks, next, body, .. } = self;
        body.drain()?;
        let place = *next;
        *next += 1;
        if let Some(path) = hooks.get(place) {
            body.begin_hook(path, manifest)?;
            return Ok(Some(Member::Hook { path, content: Content(body) }));
        }
        if let Some(entry) = manifest.files.get(place - hooks.len()) {
            let delta = manifest.delta(&entry.path);
            body.begin_entry(entry, delta, manifest)?;
            return Ok(Some(Member::Entry { entry, delta, content: Content(body) }));
        }
        *next = place;
        Ok(None)
    }

    /// Reads and checks what is left, up to the archive's last byte and its hash.
    pub fn finish(mut self) -> Result<Checked, ArchiveError> {
        while self.next_member()?.is_some() {}
        self.body.read_end(&self.manifest)?;
        let seen = self.body.frame.finish()?;
        if let Some(announced) = &self.announced
            && announced.sha256 != seen.sha256
        {
            let (announced, found) = (announced.sha256, seen.sha256);
            return Err(ArchiveError::Hash { announced, found });
        }
        let announced =
            self.announced.unwrap_or_else(|| Announced::of(&self.manifest, seen.size, seen.sha256));
        Ok(Checked { manifest: self.manifest, announced })
    }

    fn begin(source: R, announced: Option<&Announced>) -> Result<Self, ArchiveError> {
        let frame = Frame::open(source, announced)?;
        let mut body = Body { frame, time: 0, current: None, failure: None };
        let manifest = body.read_manifest(announced)?;
        if let Some(announced) = announced {
            manifest.agrees_with(announced)?;
        }
        let hooks = manifest.hooks.paths().into_iter().cloned().collect();
        Ok(Self {
            manifest: Arc::new(manifest),
            announced: announced.cloned(),
            hooks,
            next: 0,
            body,
        })
    }
}

impl<R: Read> std::fmt::Debug for ArchiveReader<R> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("ArchiveReader").field("next", &self.next).finish_non_exhaustive()
    }
}

impl<R: Read> std::fmt::Debug for Content<'_, R> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_tuple("Content").field(&self.0.current).finish()
    }
}

impl<R: Read> Read for Content<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        Ok(self.0.read(buffer)?)
    }
}

/// The tar inside the frame.
struct Body<R: Read> {
    frame: Frame<R>,
    /// The modification time that all members share.
    time: u64,
    current: Option<Current>,
    failure: Option<ArchiveError>,
}

/// A member whose content is not read to its end.
#[derive(Debug)]
struct Current {
    name: String,
    left: u64,
    padding: usize,
    hasher: Hasher,
    expected: Option<(RelPath, Hash32)>,
}

impl<R: Read> Body<R> {
    /// The manifest's size and time are the only things that are read from a header.
    fn read_manifest(&mut self, announced: Option<&Announced>) -> Result<Manifest, ArchiveError> {
        let found = self.read_block()?;
        let (size, time) = (octal(&found[field::SIZE]), octal(&found[field::TIME]));
        let (Some(size), Some(time)) = (size, time) else { return Err(ArchiveError::NoManifest) };
        if Header::manifest(size).blocks(time) != [found] {
            return Err(ArchiveError::NoManifest);
        }
        if size > MAX_MANIFEST {
            return Err(ArchiveError::ManifestSize(size));
        }
        self.time = time;
        self.begin(MANIFEST_NAME, size, None)?;
        let mut bytes = Vec::new();
        Content(self).read_to_end(&mut bytes).map_err(|error| {
            // what is no archive error is a lack of memory
            ArchiveError::from_io(error).unwrap_or_else(|error| ArchiveError::Io {
                kind: error.kind(),
                message: error.to_string(),
            })
        })?;
        Ok(match announced {
            Some(announced) => Manifest::parse_announced(&bytes, announced.files)?,
            None => Manifest::parse(&bytes)?,
        })
    }

    /// A hook's size stands in no manifest, so it is read from the header.
    fn begin_hook(&mut self, path: &HookPath, manifest: &Manifest) -> Result<(), ArchiveError> {
        self.keep(|body| {
            let found = body.read_block()?;
            let size = octal(&found[field::SIZE]).unwrap_or(0);
            let header = Header::hook(path, size);
            compare(&found, &header.blocks(body.time)[0], Some(&header), manifest)?;
            if size > MAX_HOOK {
                return Err(ArchiveError::HookSize { member: path.to_string(), size });
            }
            body.begin(path.as_str(), size, None)
        })
    }

    fn begin_entry(
        &mut self,
        entry: &FileEntry,
        delta: Option<&Delta>,
        manifest: &Manifest,
    ) -> Result<(), ArchiveError> {
        self.keep(|body| {
            let header = Header::entry(entry, delta);
            let blocks = header.blocks(body.time);
            for (index, block) in blocks.iter().enumerate() {
                let found = body.read_block()?;
                let is_record = (1..blocks.len() - 1).contains(&index);
                if is_record && found != *block {
                    let (member, field) = (header.name.clone(), "extended header");
                    return Err(ArchiveError::Header { member, field });
                }
                compare(&found, block, Some(&header), manifest)?;
            }
            let file = entry.as_file().filter(|_| delta.is_none());
            let hash = file.map(|file| (entry.path.clone(), file.sha256));
            body.begin(&header.name, header.size, hash)
        })
    }

    fn read_end(&mut self, manifest: &Manifest) -> Result<(), ArchiveError> {
        for _ in 0..END / BLOCK {
            let found = self.read_block()?;
            compare(&found, &[0; BLOCK], None, manifest)?;
        }
        Ok(())
    }

    fn begin(
        &mut self,
        name: &str,
        size: u64,
        expected: Option<(RelPath, Hash32)>,
    ) -> Result<(), ArchiveError> {
        let (name, padding) = (name.to_owned(), padding(size));
        self.current = Some(Current { name, left: size, padding, hasher: Hasher::new(), expected });
        self.settle()
    }

    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, ArchiveError> {
        if let Some(failure) = &self.failure {
            return Err(failure.clone());
        }
        self.keep(|body| body.read_current(buffer))
    }

    fn read_current(&mut self, buffer: &mut [u8]) -> Result<usize, ArchiveError> {
        let Some(current) = &mut self.current else { return Ok(0) };
        let wanted = buffer.len().min(usize::try_from(current.left).unwrap_or(usize::MAX));
        if wanted == 0 {
            return Ok(0);
        }
        let read = self.frame.read(&mut buffer[..wanted])?;
        if read == 0 {
            return Err(ArchiveError::Truncated);
        }
        current.hasher.update(&buffer[..read]);
        current.left -= read as u64;
        self.settle()?;
        Ok(read)
    }

    /// Checks hash and padding as soon as the content is read to its end.
    fn settle(&mut self) -> Result<(), ArchiveError> {
        let Some(current) = self.current.take_if(|current| current.left == 0) else {
            return Ok(());
        };
        if let Some((path, expected)) = current.expected {
            let found = current.hasher.finish();
            if found != expected {
                return Err(ArchiveError::Content { path, expected, found });
            }
        }
        let mut fill = [0; BLOCK];
        self.frame.read_exact(&mut fill[..current.padding])?;
        if fill != [0; BLOCK] {
            return Err(ArchiveError::Padding(current.name));
        }
        Ok(())
    }

    /// Reads what is left of the current member.
    fn drain(&mut self) -> Result<(), ArchiveError> {
        if self.current.is_none() && self.failure.is_none() {
            return Ok(());
        }
        let mut buffer = [0; 16 * 1024];
        while self.read(&mut buffer)? > 0 {}
        Ok(())
    }

    fn read_block(&mut self) -> Result<Block, ArchiveError> {
        let mut block = [0; BLOCK];
        self.frame.read_exact(&mut block)?;
        Ok(block)
    }

    /// Keeps the first error, so that no later call passes over it.
    fn keep<T>(
        &mut self,
        step: impl FnOnce(&mut Self) -> Result<T, ArchiveError>,
    ) -> Result<T, ArchiveError> {
        let result = step(self);
        if let Err(error) = &result {
            self.failure = Some(error.clone());
        }
        result
    }
}

fn compare(
    found: &Block,
    block: &Block,
    header: Option<&Header>,
    manifest: &Manifest,
) -> Result<(), ArchiveError> {
    if found == block {
        return Ok(());
    }
    Err(diagnose(found, &Expected { manifest, header, block }))
}

//! Writing an archive: the same manifest and files always give the same bytes (SPEC §7).

use std::collections::BTreeMap;
use std::io::{self, Read, Write};

use zstd::stream::write::Encoder;
use zstd::zstd_safe::CParameter;

use super::Announced;
use super::header::{BLOCK, END, Header, MAX_OCTAL, padding, stored_size};
use crate::hash::{Hash32, Hasher};
use crate::limits::{MAX_ARCHIVE, MAX_HOOK, MAX_MANIFEST, MAX_WINDOW_LOG};
use crate::manifest::{FileEntry, HookPath, Manifest};
use crate::relpath::RelPath;

/// Latest modification time, in seconds since 1970: what a tar header's eleven octal digits hold.
pub const MAX_TIME: u64 = MAX_OCTAL;
/// Highest compression level of zstd.
pub const MAX_LEVEL: i32 = 22;

/// Bytes given to the encoder at a time.
const CHUNK: usize = 128 * 1024;

/// How an archive is written. Both values are part of what makes its bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct WriteOptions {
    /// Compression level, 1 to [`MAX_LEVEL`].
    pub level: i32,
    /// Modification time of every member in seconds since 1970, at most [`MAX_TIME`].
    pub time: u64,
}

impl Default for WriteOptions {
    /// Level 12, which is a tenth of level 19's work for a few per cent of its size; time 0.
    fn default() -> Self {
        Self { level: 12, time: 0 }
    }
}

/// Why an archive could not be written. Sizes are in bytes.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The level is not 1 to [`MAX_LEVEL`].
    #[error("compression level is {0}, it must be 1 to {MAX_LEVEL}")]
    Level(i32),
    /// The time does not go into a tar header.
    #[error("modification time is {0}, the limit is {MAX_TIME}")]
    Time(u64),
    /// The manifest is longer than [`MAX_MANIFEST`].
    #[error("manifest.json has {0} bytes, the limit is {MAX_MANIFEST}")]
    ManifestSize(u64),
    /// The manifest names a hook that was not given.
    #[error("{0} is in the manifest, but was not given")]
    HookMissing(HookPath),
    /// A hook was given that the manifest does not name.
    #[error("{0} is not in the manifest")]
    HookUnlisted(HookPath),
    /// A hook is longer than [`MAX_HOOK`].
    #[error("{path} has {size} bytes, the limit is {MAX_HOOK}")]
    HookSize {
        /// The hook.
        path: HookPath,
        /// Its size.
        size: u64,
    },
    /// A file could not be read.
    #[error("reading {path:?} failed")]
    Read {
        /// The file.
        path: RelPath,
        /// Why.
        source: io::Error,
    },
    /// A file is longer or shorter than the manifest says.
    #[error("{path:?} has {comparison} than the {expected} bytes of the manifest")]
    Size {
        /// The file.
        path: RelPath,
        /// What the manifest says.
        expected: u64,
        /// `more` or `fewer`.
        comparison: &'static str,
    },
    /// A file's content is not that of the manifest.
    #[error("{path:?} has SHA-256 {found}, the manifest says {expected}")]
    Content {
        /// The file.
        path: RelPath,
        /// What the manifest says.
        expected: Hash32,
        /// The hash of the content.
        found: Hash32,
    },
    /// The archive has more than [`MAX_ARCHIVE`] bytes.
    #[error("archive has {0} bytes, the limit is {MAX_ARCHIVE}")]
    TooLarge(u64),
    /// The archive could not be written.
    #[error("writing the archive failed")]
    Write(#[from] io::Error),
}

/// Writes an archive. `open` gives the content of each regular file of the manifest, or its delta
/// where the manifest says that it comes as one, and is asked once for each, in the manifest's
/// order. Memory does not grow with the archive.
///
/// What was written before an error is not an archive.
pub fn write_archive<W: Write, R: Read>(
    manifest: &Manifest,
    hooks: &BTreeMap<HookPath, Vec<u8>>,
    mut open: impl FnMut(&FileEntry) -> io::Result<R>,
    options: WriteOptions,
    out: W,
) -> Result<Announced, WriteError> {
    check_hooks(manifest, hooks)?;
    if options.time > MAX_TIME {
        return Err(WriteError::Time(options.time));
    }
    let json = manifest.to_json();
    if json.len() as u64 > MAX_MANIFEST {
        return Err(WriteError::ManifestSize(json.len() as u64));
    }
    let mut tar = TarWriter::new(tar_size(manifest, &json, hooks), options, out)?;
    tar.member(&Header::manifest(json.len() as u64), &json)?;
    for (path, content) in hooks {
        tar.member(&Header::hook(path, content.len() as u64), content)?;
    }
    for entry in &manifest.files {
        let delta = manifest.delta(&entry.path);
        tar.header(&Header::entry(entry, delta))?;
        if let Some(file) = entry.as_file() {
            let failed = |source| WriteError::Read { path: entry.path.clone(), source };
            let (size, hash) = match delta {
                Some(delta) => (delta.bytes, None),
                None => (file.size, Some(file.sha256)),
            };
            tar.content(&entry.path, size, hash, open(entry).map_err(failed)?)?;
        }
    }
    let (size, sha256) = tar.finish()?;
    if size > MAX_ARCHIVE {
        return Err(WriteError::TooLarge(size));
    }
    Ok(Announced::of(manifest, size, sha256))
}

fn check_hooks(manifest: &Manifest, hooks: &BTreeMap<HookPath, Vec<u8>>) -> Result<(), WriteError> {
    let named = manifest.hooks.paths();
    if let Some(path) = named.iter().find(|path| !hooks.contains_key(**path)) {
        return Err(WriteError::HookMissing((*path).clone()));
    }
    for (path, content) in hooks {
        if !named.contains(path) {
            return Err(WriteError::HookUnlisted(path.clone()));
        }
        let size = content.len() as u64;
        if size > MAX_HOOK {
            return Err(WriteError::HookSize { path: path.clone(), size });
        }
    }
    Ok(())
}

/// Bytes of the tar. Known beforehand, so that the frame says it and small archives get small
/// windows.
fn tar_size(manifest: &Manifest, json: &[u8], hooks: &BTreeMap<HookPath, Vec<u8>>) -> u64 {
    let json = stored_size(&Header::manifest(json.len() as u64));
    let hooks = (hooks.iter())
        .map(|(path, content)| stored_size(&Header::hook(path, content.len() as u64)));
    let files = (manifest.files.iter())
        .map(|entry| stored_size(&Header::entry(entry, manifest.delta(&entry.path))));
    json + hooks.chain(files).sum::<u64>() + END as u64
}

/// A tar inside a zstd frame.
struct TarWriter<W: Write> {
    encoder: Encoder<'static, HashingWriter<W>>,
    /// Collects what goes to the encoder, so that the pieces it sees depend on the tar alone.
    chunk: Vec<u8>,
    time: u64,
}

impl<W: Write> TarWriter<W> {
    fn new(size: u64, options: WriteOptions, out: W) -> Result<Self, WriteError> {
        if !(1..=MAX_LEVEL).contains(&options.level) {
            return Err(WriteError::Level(options.level));
        }
        let out = HashingWriter { out, size: 0, hasher: Hasher::new() };
        let mut encoder = Encoder::new(out, options.level)?;
        // no content checksum: every file and the whole have their SHA-256
        encoder.set_parameter(CParameter::WindowLog(MAX_WINDOW_LOG))?;
        encoder.set_pledged_src_size(Some(size))?;
        Ok(Self { encoder, chunk: Vec::with_capacity(CHUNK), time: options.time })
    }

    fn header(&mut self, header: &Header) -> io::Result<()> {
        header.blocks(self.time).iter().try_for_each(|block| self.put(block))
    }

    fn member(&mut self, header: &Header, content: &[u8]) -> io::Result<()> {
        self.header(header)?;
        self.put(content)?;
        self.put(&[0; BLOCK][..padding(header.size)])
    }

    fn content(
        &mut self,
        path: &RelPath,
        size: u64,
        hash: Option<Hash32>,
        mut content: impl Read,
    ) -> Result<(), WriteError> {
        let mut hasher = Hasher::new();
        let mut left = size;
        // a file that is longer than the manifest says is noticed by one byte
        let length = usize::try_from(size + 1).unwrap_or(usize::MAX).min(64 * 1024);
        let mut buffer = vec![0; length];
        let wrong_size =
            |comparison| WriteError::Size { path: path.clone(), expected: size, comparison };
        loop {
            let read = match content.read(&mut buffer) {
                Ok(0) => break,
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(source) => return Err(WriteError::Read { path: path.clone(), source }),
            };
            left = left.checked_sub(read as u64).ok_or_else(|| wrong_size("more"))?;
            hasher.update(&buffer[..read]);
            self.put(&buffer[..read])?;
        }
        if left > 0 {
            return Err(wrong_size("fewer"));
        }
        let found = hasher.finish();
        if let Some(expected) = hash.filter(|hash| *hash != found) {
            return Err(WriteError::Content { path: path.clone(), expected, found });
        }
        Ok(self.put(&[0; BLOCK][..padding(size)])?)
    }

    fn put(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let taken = bytes.len().min(CHUNK - self.chunk.len());
            self.chunk.extend_from_slice(&bytes[..taken]);
            bytes = &bytes[taken..];
            if self.chunk.len() == CHUNK {
                self.encoder.write_all(&self.chunk)?;
                self.chunk.clear();
            }
        }
        Ok(())
    }

    fn finish(mut self) -> io::Result<(u64, Hash32)> {
        self.put(&[0; END])?;
        self.encoder.write_all(&self.chunk)?;
        let mut out = self.encoder.finish()?;
        out.flush()?;
        Ok((out.size, out.hasher.finish()))
    }
}

/// Counts and hashes what goes by.
struct HashingWriter<W> {
    out: W,
    size: u64,
    hasher: Hasher,
}

impl<W: Write> Write for HashingWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.out.write(bytes)?;
        self.hasher.update(&bytes[..written]);
        self.size += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

//! Takes an archive apart on three threads: what comes next is read, inflated and hashed on one, the
//! files of what came before are made here, and those made are filled on another. A file system makes
//! files of one directory one after the other, whoever asks, but fills them beside that.
//!
//! Memory does not grow with the archive: a few pieces are under way at a time, and each goes round.
//! A piece holds a part of a large file or many small ones, so that threads meet rarely.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read};
use std::ops::Range;
use std::sync::Arc;
use std::sync::mpsc::{channel, sync_channel};
use std::thread;

use countersign_format::archive::{Announced, ArchiveReader, Member};
use countersign_format::limits::MAX_HOOK;
use countersign_format::manifest::{FileEntry, HookPath, Manifest};
use countersign_store::crash::in_part;

use super::PrepareError;
use super::delta::BaseFiles;
use super::unpack::{archive_error, base_error, content_error, hook_error};
use crate::root::{Resolver, Root};

/// Bytes handed over at a time.
const PIECE: usize = 256 * 1024;

/// Most parts of a piece: up to three pieces have all their files open at a time.
const MAX_PARTS: usize = 64;

/// Most pieces under way, besides the one that is being read.
const AHEAD: usize = 4;

/// Content of regular files, in the order of the manifest.
#[derive(Debug)]
pub(super) struct Piece {
    bytes: Vec<u8>,
    filled: usize,
    parts: Vec<Part>,
}

/// Some bytes of one file.
#[derive(Debug)]
struct Part {
    /// The file's place among those of the manifest.
    place: usize,
    range: Range<usize>,
    is_last: bool,
}

/// An archive that was read to its end and is the one that was announced.
#[derive(Debug)]
pub(super) struct WholeArchive {
    pub manifest: Arc<Manifest>,
    pub hooks: HashMap<HookPath, Vec<u8>>,
}

impl Piece {
    fn new(size: usize) -> Self {
        Self { bytes: vec![0; size], filled: 0, parts: Vec::new() }
    }

    /// The files' places in the manifest, the next bytes of each, and whether they are its last.
    pub fn parts(&self) -> impl Iterator<Item = (usize, &[u8], bool)> {
        self.parts.iter().map(|part| (part.place, &self.bytes[part.range.clone()], part.is_last))
    }

    fn clear(&mut self) {
        self.filled = 0;
        self.parts.clear();
    }

    fn is_full(&self) -> bool {
        self.filled == self.bytes.len() || self.parts.len() == MAX_PARTS
    }
}

/// What an archive is said to be, and what it has changes to.
#[derive(Debug)]
pub(super) struct Origin<'a> {
    pub announced: &'a Announced,
    pub bases: BaseFiles<'a>,
    pub root: &'a Root,
}

/// Reads every member and checks it. The content of the files that are wanted is given to `make`,
/// which makes what it is for, and along with that to `fill`. An archive that fits one piece is read
/// at once: for it threads cost more than they save.
pub(super) fn read_whole<B: Send>(
    reader: ArchiveReader<File>,
    origin: Origin<'_>,
    is_wanted: impl Fn(&FileEntry) -> bool + Send,
    mut make: impl FnMut(&Piece) -> Result<B, PrepareError>,
    mut fill: impl FnMut(&Piece, B) -> Result<(), PrepareError> + Send,
) -> Result<WholeArchive, PrepareError> {
    let announced = origin.announced;
    if let Some(size) = usize::try_from(announced.unpacked).ok().filter(|size| *size < PIECE) {
        let mut taken = Ok(());
        // not empty, that it may be filled
        let filler = Filler::new(Piece::new(size + 1), |mut piece: Piece| {
            taken = make(&piece).and_then(|made| fill(&piece, made));
            piece.clear();
            taken.is_ok().then_some(piece)
        });
        let read = Source { reader, origin }.read(is_wanted, filler);
        return taken.and(read).map(all_of);
    }
    thread::scope(|scope| {
        let (sender, arriving) = sync_channel::<Piece>(AHEAD);
        let (to_write, writable) = sync_channel::<(Piece, B)>(1);
        let (emptied, returning) = channel::<Piece>();
        for _ in 0..AHEAD {
            let _ = emptied.send(Piece::new(PIECE));
        }
        let failed = |source| PrepareError::File { name: announced.name.clone(), source };
        let filler = Filler::new(Piece::new(PIECE), move |piece: Piece| {
            sender.send(piece).ok().and_then(|()| returning.recv().ok())
        });
        let read = move || Source { reader, origin }.read(is_wanted, filler);
        let reading = thread::Builder::new().spawn_scoped(scope, read).map_err(failed)?;
        let fill_all = move || {
            for (mut piece, made) in writable {
                fill(&piece, made)?;
                piece.clear();
                // the last pieces are not wanted back
                let _ = emptied.send(piece);
            }
            Ok(())
        };
        let writing =
            thread::Builder::new().spawn_scoped(scope, in_part(fill_all)).map_err(failed)?;
        let mut taken = Ok(());
        for piece in &arriving {
            // a failure to fill ends the reading, too
            match make(&piece).map(|made| to_write.send((piece, made))) {
                Ok(_) => {}
                Err(error) => {
                    taken = Err(error);
                    break;
                }
            }
        }
        drop((arriving, to_write));
        let written = writing.join().expect("writing does not panic");
        let read = reading.join().expect("reading does not panic");
        taken.and(written).and(read).map(all_of)
    })
}

/// What was read, where nothing that was done with it has failed.
fn all_of(read: Option<WholeArchive>) -> WholeArchive {
    read.expect("reading ends early only where taking what is read fails")
}

/// What is read.
struct Source<'a> {
    reader: ArchiveReader<File>,
    origin: Origin<'a>,
}

impl Source<'_> {
    /// Reads to the end; none where no more pieces are taken.
    fn read(
        mut self,
        is_wanted: impl Fn(&FileEntry) -> bool,
        mut filler: Filler<impl FnMut(Piece) -> Option<Piece>>,
    ) -> Result<Option<WholeArchive>, PrepareError> {
        let Origin { announced, bases, root } = self.origin;
        let mut walker = Resolver::new(root);
        let refused = |source| archive_error(source, announced);
        let mut hooks = HashMap::new();
        let mut next = 0;
        while let Some(member) = self.reader.next_member().map_err(refused)? {
            match member {
                Member::Hook { path, content } => {
                    let mut bytes = Vec::new();
                    content
                        .take(MAX_HOOK + 1)
                        .read_to_end(&mut bytes)
                        .map_err(|error| hook_error(error, path, announced))?;
                    hooks.insert(path.clone(), bytes);
                }
                Member::Entry { entry, delta, content } => {
                    let place = next;
                    next += 1;
                    let Some(meta) = entry.as_file().filter(|_| is_wanted(entry)) else { continue };
                    let mut content: Box<dyn Read> = match delta {
                        None => Box::new(content),
                        Some(delta) => {
                            let base = bases.open(delta, entry, (root, &mut walker));
                            let base = base.map_err(|source| base_error(source, announced))?;
                            Box::new(base.apply(content, entry, meta))
                        }
                    };
                    let added = filler.add(place, meta.size, &mut content);
                    if !added.map_err(|error| content_error(error, entry, announced))? {
                        return Ok(None);
                    }
                }
            }
        }
        if !filler.end() {
            return Ok(None);
        }
        let manifest = self.reader.finish().map_err(refused)?.into_shared_manifest();
        Ok(Some(WholeArchive { manifest, hooks }))
    }
}

/// Puts content into pieces. `give` takes a full one and returns an empty one, or none where no more
/// are taken.
struct Filler<G> {
    piece: Option<Piece>,
    give: G,
}

impl<G: FnMut(Piece) -> Option<Piece>> Filler<G> {
    fn new(piece: Piece, give: G) -> Self {
        Self { piece: Some(piece), give }
    }

    /// Reads a file to its last byte; false where no more is taken.
    fn add(&mut self, place: usize, size: u64, content: &mut dyn Read) -> io::Result<bool> {
        let mut left = size;
        loop {
            if let Some(full) = self.piece.take_if(|piece| piece.is_full()) {
                self.piece = (self.give)(full);
            }
            let Some(piece) = &mut self.piece else { return Ok(false) };
            // at least once: whoever makes content of nothing checks that
            let read = content.read(&mut piece.bytes[piece.filled..])?;
            left -= read as u64;
            let range = piece.filled..piece.filled + read;
            piece.filled = range.end;
            piece.parts.push(Part { place, range, is_last: left == 0 });
            if left == 0 {
                return Ok(true);
            }
        }
    }

    /// Gives the last piece, full or not.
    fn end(mut self) -> bool {
        let last = self.piece.take();
        last.and_then(|last| (self.give)(last)).is_some()
    }
}

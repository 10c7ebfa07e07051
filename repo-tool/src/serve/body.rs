//! The body of an answer: a part of a file, or a word.

use std::fs::File;
use std::io::{self, Read as _};
use std::pin::Pin;
use std::task::{Context, Poll};

use hyper::body::{Body, Bytes, Frame, SizeHint};

/// Most bytes read at a time, which is also about what a connection holds in memory.
const PIECE: u64 = 64 * 1024;

/// What is still to be sent. Reads block: they are short, and the disk is local.
#[derive(Debug)]
pub struct FileBody {
    source: Source,
    left: u64,
}

#[derive(Debug)]
enum Source {
    Text(&'static str),
    File(File),
}

impl FileBody {
    pub(super) fn empty() -> Self {
        Self::text("")
    }

    pub(super) fn text(text: &'static str) -> Self {
        Self { source: Source::Text(text), left: text.len() as u64 }
    }

    /// The next `length` bytes of a file.
    pub(super) fn file(file: File, length: u64) -> Self {
        Self { source: Source::File(file), left: length }
    }

    pub(super) fn left(&self) -> u64 {
        self.left
    }

    fn next(&mut self) -> io::Result<Bytes> {
        let bytes = match &mut self.source {
            Source::Text(text) => Bytes::from_static(text.as_bytes()),
            Source::File(file) => {
                let mut bytes = Vec::new();
                file.take(self.left.min(PIECE)).read_to_end(&mut bytes)?;
                bytes.into()
            }
        };
        if bytes.is_empty() {
            // the file became shorter: the length that was promised cannot be kept
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.left -= bytes.len() as u64;
        Ok(bytes)
    }
}

impl Body for FileBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        Poll::Ready(Some(self.next().map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

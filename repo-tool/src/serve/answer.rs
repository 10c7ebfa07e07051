//! What is answered to one request (RFC 9110).

use std::ffi::OsStr;
use std::fs::{File, Metadata};
use std::io::{self, Seek as _, SeekFrom};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use hyper::header::{
    ALLOW, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, HeaderMap, HeaderName, IF_NONE_MATCH,
    IF_RANGE, RANGE,
};
use hyper::http::response::Builder;
use hyper::{Method, Response, StatusCode};
use rustix::fs::{CWD, Mode, OFlags, ResolveFlags};

use crate::serve::body::FileBody;

const TEXT: &str = "text/plain; charset=utf-8";

/// What a `Range` field comes to for a file of a certain size.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Part {
    /// The whole file: there is no range, or one that this server does not know.
    Whole,
    /// So many bytes from here on.
    Of { start: u64, length: u64 },
    /// The file ends before the range begins.
    None,
}

/// Answers a request for `path`, which begins with a slash.
pub(super) fn answer(
    root: &Path,
    method: &Method,
    path: &str,
    headers: &HeaderMap,
) -> Response<FileBody> {
    if !matches!(*method, Method::GET | Method::HEAD) {
        let builder = Response::builder().status(StatusCode::METHOD_NOT_ALLOWED);
        return finish(builder.header(ALLOW, "GET, HEAD"), FileBody::empty());
    }
    let opened = match relative(path) {
        Some(relative) => open(root, relative),
        None => Ok(None),
    };
    match opened {
        Ok(Some((file, metadata))) => {
            found(file, &metadata, method, path, headers).unwrap_or_else(|error| failed(&error))
        }
        Ok(None) => plain(StatusCode::NOT_FOUND, "not found\n", method),
        Err(error) => failed(&error),
    }
}

fn found(
    mut file: File,
    metadata: &Metadata,
    method: &Method,
    path: &str,
    headers: &HeaderMap,
) -> io::Result<Response<FileBody>> {
    let (size, tag) = (metadata.len(), entity_tag(metadata));
    if text(headers, &IF_NONE_MATCH).is_some_and(|known| names(known, &tag)) {
        let builder = Response::builder().status(StatusCode::NOT_MODIFIED).header(ETAG, tag);
        return Ok(finish(builder, FileBody::empty()));
    }
    let unchanged = text(headers, &IF_RANGE).is_none_or(|known| known == tag);
    let range = text(headers, &RANGE).filter(|_| unchanged && *method == Method::GET);
    let builder = Response::builder().header(ETAG, tag);
    let (builder, start, length) = match range.map_or(Part::Whole, |range| part(range, size)) {
        Part::Whole => (builder, 0, size),
        Part::Of { start, length } => {
            let range = format!("bytes {start}-{}/{size}", start + length - 1);
            let builder = builder.status(StatusCode::PARTIAL_CONTENT);
            (builder.header(CONTENT_RANGE, range), start, length)
        }
        Part::None => {
            let builder = builder.status(StatusCode::RANGE_NOT_SATISFIABLE);
            let builder = builder.header(CONTENT_RANGE, format!("bytes */{size}"));
            return Ok(finish(builder, FileBody::empty()));
        }
    };
    file.seek(SeekFrom::Start(start))?;
    let builder = builder.header(CONTENT_TYPE, content_type(path)).header(CONTENT_LENGTH, length);
    let body =
        if *method == Method::HEAD { FileBody::empty() } else { FileBody::file(file, length) };
    Ok(finish(builder, body))
}

/// The file that a request's path names, if it can be one of a repository. Repository paths need
/// no escapes, so a path with one names nothing, and neither does one with a hidden part.
fn relative(path: &str) -> Option<&str> {
    let relative = path.strip_prefix('/')?;
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._+-".contains(&byte);
    let is_name =
        |part: &str| !part.is_empty() && !part.starts_with('.') && part.bytes().all(is_plain);
    relative.split('/').all(is_name).then_some(relative)
}

/// Opens a regular file that lies beneath the root when all symlinks are followed.
fn open(root: &Path, relative: &str) -> io::Result<Option<(File, Metadata)>> {
    let directory = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = rustix::fs::openat(CWD, root, directory, Mode::empty())?;
    // a pipe is not waited for
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let opened = rustix::fs::openat2(root, relative, flags, Mode::empty(), ResolveFlags::BENEATH);
    let file = match opened.map_err(io::Error::from) {
        Ok(file) => File::from(file),
        Err(error) if is_absent(&error) => return Ok(None),
        Err(error) => return Err(error),
    };
    let metadata = file.metadata()?;
    Ok(metadata.is_file().then_some((file, metadata)))
}

fn is_absent(error: &io::Error) -> bool {
    use io::ErrorKind::{CrossesDevices, InvalidFilename, NotADirectory, NotFound};
    // a link that leads outside crosses, in the words of `openat2`
    matches!(error.kind(), NotFound | NotADirectory | InvalidFilename | CrossesDevices)
        || error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error())
}

fn failed(error: &io::Error) -> Response<FileBody> {
    let status = match error.kind() {
        io::ErrorKind::PermissionDenied => StatusCode::FORBIDDEN,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    };
    plain(status, "cannot be read\n", &Method::GET)
}

fn plain(status: StatusCode, word: &'static str, method: &Method) -> Response<FileBody> {
    let builder = Response::builder().status(status).header(CONTENT_LENGTH, word.len());
    let body = if *method == Method::HEAD { FileBody::empty() } else { FileBody::text(word) };
    finish(builder, body)
}

fn finish(builder: Builder, body: FileBody) -> Response<FileBody> {
    builder.body(body).expect("all fields are printable ASCII")
}

/// Publishers replace a file by a new one, so the inode tells what a clock's tick hides.
fn entity_tag(metadata: &Metadata) -> String {
    let (seconds, nanoseconds) = (metadata.mtime(), metadata.mtime_nsec());
    format!("\"{:x}-{seconds:x}.{nanoseconds:x}-{:x}\"", metadata.len(), metadata.ino())
}

/// Whether an `If-None-Match` names the tag.
fn names(known: &str, tag: &str) -> bool {
    let strong = |one: &str| one.trim().trim_start_matches("W/") == tag;
    known.trim() == "*" || known.split(',').any(strong)
}

pub(super) fn part(range: &str, size: u64) -> Part {
    let Some((start, end)) = range.strip_prefix("bytes=").and_then(|range| range.split_once('-'))
    else {
        return Part::Whole;
    };
    let (start, end) = match (number(start), number(end)) {
        (Some(start), Some(last)) if start <= last => (start, last.saturating_add(1).min(size)),
        (Some(start), None) if end.is_empty() => (start, size),
        (None, Some(0)) if start.is_empty() => return Part::None,
        (None, Some(last)) if start.is_empty() => (size.saturating_sub(last), size),
        _ => return Part::Whole,
    };
    if start < end { Part::Of { start, length: end - start } } else { Part::None }
}

fn number(text: &str) -> Option<u64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// Notes and checkpoints are for people too (SPEC §2).
fn content_type(path: &str) -> &'static str {
    let ending = Path::new(path).extension().and_then(OsStr::to_str);
    let is_note = path.starts_with("/authority/")
        || path == "/directory"
        || path.ends_with("/checkpoint")
        || path.ends_with("/checkpoint.pending");
    match ending {
        Some("patch") => "application/vnd.countersign.patch+tar+zstd",
        Some("note") => TEXT,
        _ if is_note => TEXT,
        _ => "application/octet-stream",
    }
}

//! Large objects: resumed where they broke, bounded by the signed size, given up when too slow.

mod support;

use std::fs::File;
use std::io::{Read as _, Seek as _, Write as _};
use std::sync::atomic::Ordering;
use std::time::Duration;

use countersign_store::{Cause, Download, HttpOptions};
use support::{Piece, Request, Server, answer, archive, head_only, quick, run, serve_object};

fn object() -> Vec<u8> {
    (0_u32..100_000).flat_map(u32::to_le_bytes).collect()
}

fn size() -> u64 {
    object().len() as u64
}

struct Outcome {
    result: Result<bool, Cause>,
    held: Vec<u8>,
    progress: Vec<u64>,
}

fn download(server: &Server, options: &HttpOptions, held: &[u8]) -> Outcome {
    let mut file = tempfile::tempfile().expect("a file");
    file.write_all(held).expect("written");
    let mut progress = Vec::new();
    let source = server.source_with(options);
    let request = Download { size: size() };
    let report = |reached| progress.push(reached);
    let result = run(source.download(&archive(), &request, &mut file, report));
    Outcome { result: result.map_err(|error| error.cause), held: read(&mut file), progress }
}

fn read(file: &mut File) -> Vec<u8> {
    let mut bytes = Vec::new();
    file.rewind().and_then(|()| file.read_to_end(&mut bytes)).expect("read");
    bytes
}

/// Answers as it should, but breaks off after `length` bytes of the body.
fn broken_after(length: usize, mut pieces: Vec<Piece>, object: &[u8]) -> Vec<Piece> {
    if let Some(Piece::Bytes(bytes)) = pieces.first_mut() {
        let head = bytes.windows(4).position(|end| end == b"\r\n\r\n").expect("a head") + 4;
        bytes.truncate((head + length).min(head + object.len()));
    }
    pieces.push(Piece::Close);
    pieces
}

fn start_of(request: &Request) -> Option<usize> {
    request.field("range")?.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok()
}

#[test]
fn a_broken_transfer_goes_on_where_it_ended() {
    let object = object();
    let server = Server::start(move |request| {
        let pieces = serve_object(request, Some(&object));
        if request.number < 5 { broken_after(40_000, pieces, &object) } else { pieces }
    });
    // as many breaks as a server likes, as long as it comes farther each time
    let outcome = download(&server, &quick(), b"");
    assert!(outcome.result.expect("complete"));
    assert_eq!(outcome.held, self::object());
    let log = server.log.lock().expect("the log");
    assert_eq!(log.len(), 6);
    let starts: Vec<_> = log.iter().map(start_of).collect();
    assert_eq!(starts[..3], [None, Some(40_000), Some(80_000)]);
    assert!(log[1].field("if-range").is_some_and(|tag| tag.starts_with('"')));
    assert!(outcome.progress.is_sorted());
    assert_eq!(outcome.progress.last(), Some(&size()));
}

#[test]
fn a_file_from_an_earlier_run_is_completed() {
    let server = Server::start(|request| serve_object(request, Some(&object())));
    let held = &object()[..300_000];
    let outcome = download(&server, &quick(), held);
    assert!(outcome.result.expect("complete"));
    assert_eq!(outcome.held, object());
    assert_eq!(start_of(&server.log.lock().expect("the log")[0]), Some(300_000));
    assert!(server.sent.load(Ordering::SeqCst) < size() - 299_000);

    // complete already: nothing is asked
    let outcome = download(&server, &quick(), &object());
    assert!(outcome.result.expect("complete"));
    assert_eq!(server.requests(), 1);

    // longer than the object: no beginning of it
    let outcome = download(&server, &quick(), &vec![0; object().len() + 1]);
    assert!(outcome.result.expect("complete"));
    assert_eq!(outcome.held, object());
}

#[test]
fn a_server_without_ranges_starts_again() {
    let server = Server::start(|_| answer("200 OK", &[], &object()));
    let outcome = download(&server, &quick(), b"something else");
    assert!(outcome.result.expect("complete"));
    assert_eq!(outcome.held, object());

    // and if it breaks off each time, there is an end to it
    let server =
        Server::start(|_| broken_after(100_000, answer("200 OK", &[], &object()), &object()));
    let outcome = download(&server, &quick(), b"");
    assert!(matches!(outcome.result, Err(Cause::Broken { .. })), "{:?}", outcome.result);
    assert_eq!(outcome.held, &object()[..100_000]);
    assert!(server.requests() <= 4, "{}", server.requests());
}

#[test]
fn crumbs_are_no_progress() {
    let server =
        Server::start(|request| broken_after(1, serve_object(request, Some(&object())), &object()));
    let outcome = download(&server, &quick(), b"");
    assert!(matches!(outcome.result, Err(Cause::Broken { .. })), "{:?}", outcome.result);
    assert_eq!(server.requests(), 3);
    // what came is kept for the next server
    assert_eq!(outcome.held, &object()[..3]);
}

#[test]
fn no_byte_beyond_the_signed_size_is_written() {
    let endless =
        Server::start(|_| vec![head_only("200 OK", &[]), Piece::Endless(vec![b'x'; 9999])]);
    let outcome = download(&endless, &quick(), b"");
    assert!(matches!(outcome.result, Err(Cause::TooLarge { .. })), "{:?}", outcome.result);
    assert!(outcome.held.len() as u64 <= size());
    assert_eq!(endless.requests(), 1);

    // one byte too much or too little, said beforehand
    for length in [object().len() - 1, object().len() + 1] {
        let server = Server::start(move |_| answer("200 OK", &[], &vec![b'x'; length]));
        let outcome = download(&server, &quick(), b"held");
        let Err(Cause::WrongSize { expected, found }) = outcome.result else {
            panic!("{:?}", outcome.result)
        };
        assert_eq!((expected, found), (size(), length as u64));
        assert_eq!(outcome.held, b"held");
    }
    // or found at the end
    let server = Server::start(|_| {
        vec![head_only("200 OK", &[]), Piece::Bytes(b"short".to_vec()), Piece::Close]
    });
    let outcome = download(&server, &quick(), b"");
    assert!(matches!(outcome.result, Err(Cause::WrongSize { found: 5, .. })));
    // or by the part that is missing
    for length in [9, 500_000] {
        let object = vec![b'x'; length];
        let server = Server::start(move |request| serve_object(request, Some(&object)));
        let outcome = download(&server, &quick(), &object_start());
        assert!(matches!(outcome.result, Err(Cause::WrongSize { .. })), "{:?}", outcome.result);
    }
}

fn object_start() -> Vec<u8> {
    object()[..100_000].to_vec()
}

#[test]
fn wrong_parts_and_encodings_change_nothing() {
    for (status, field) in [
        ("206 Partial Content", "content-range: bytes 0-9/400000"),
        ("206 Partial Content", "content-range: bytes 5-9/400000"),
        ("206 Partial Content", "x-no: range"),
        ("200 OK", "content-encoding: gzip"),
    ] {
        let server = Server::start(move |_| answer(status, &[field], b"0123456789"));
        let outcome = download(&server, &quick(), b"01234");
        let cause = outcome.result.expect_err(field);
        assert!(matches!(cause, Cause::WrongRange { .. } | Cause::Encoding(_)), "{cause:?}");
        assert_eq!(outcome.held, b"01234");
        assert_eq!(server.requests(), 1);
    }
}

#[test]
fn a_slow_server_is_given_up() {
    let server =
        Server::start(|_| vec![head_only("200 OK", &[]), Piece::Drip(Duration::from_millis(1))]);
    let options =
        HttpOptions { stall_window: Duration::from_millis(20), least_rate: 5000, ..quick() };
    let outcome = download(&server, &options, b"");
    assert!(matches!(outcome.result, Err(Cause::Stalled { .. })), "{:?}", outcome.result);
    assert_eq!(server.requests(), 1);
    assert!(!outcome.held.is_empty());
}

#[test]
fn a_large_object_may_not_take_for_ever() {
    let server =
        Server::start(|_| vec![head_only("200 OK", &[]), Piece::Drip(Duration::from_millis(1))]);
    // any rate would do, were it not for the time that the whole would take
    let options = HttpOptions {
        stall_window: Duration::from_millis(20),
        least_rate: 0,
        longest_download: Duration::from_secs(size() / 5000),
        ..quick()
    };
    let outcome = download(&server, &options, b"");
    assert!(matches!(outcome.result, Err(Cause::Stalled { .. })), "{:?}", outcome.result);
}

#[test]
fn an_absent_archive_is_told_from_a_failed_one() {
    let server = Server::start(|request| serve_object(request, None));
    assert!(!download(&server, &quick(), b"").result.expect("an answer"));
}

#[test]
fn a_full_disk_is_not_the_servers_fault() {
    use countersign_store::Failover as _;
    let server = Server::start(|request| serve_object(request, Some(&object())));
    let mut file = File::options().write(true).open("/dev/full").expect("a full disk");
    let source = server.source();
    let request = Download { size: size() };
    let error = run(source.download(&archive(), &request, &mut file, |_| {})).expect_err("full");
    assert!(matches!(error.cause, Cause::Local(_)), "{error:?}");
    assert!(!error.is_worth_another_server());
    assert_eq!(server.requests(), 1);
}

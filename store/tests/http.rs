//! What servers may do to a reader of small objects, and what comes of it.

mod support;

use std::time::Duration;

use countersign_store::error::RedirectRule;
use countersign_store::{Cause, Get, GetError, Got, HttpOptions, Proxies};
use support::{Piece, Server, answer, checkpoint, head, head_only, quick, run};

fn get(server: &Server, request: &Get) -> Result<Got, Cause> {
    get_with(server, &quick(), request)
}

fn get_with(server: &Server, options: &HttpOptions, request: &Get) -> Result<Got, Cause> {
    let source = server.source_with(options);
    run(source.get(&checkpoint(), request)).map_err(|error: GetError| error.cause)
}

fn whole(bytes: &[u8]) -> Got {
    Got::Whole { bytes: bytes.to_vec(), validator: None }
}

#[test]
fn endless_bodies_stop_at_the_bound() {
    let chunk = || [b"4000\r\n".as_slice(), &[b'x'; 0x4000], b"\r\n"].concat();
    let chunked = Server::start(move |_| {
        vec![head_only("200 OK", &["transfer-encoding: chunked"]), Piece::Endless(chunk())]
    });
    let until_close =
        Server::start(|_| vec![head_only("200 OK", &[]), Piece::Endless(vec![b'x'; 0x4000])]);
    for server in [chunked, until_close] {
        let source = server.source();
        let limit = 100_000;
        let error = run(source.get(&checkpoint(), &Get::up_to(limit))).expect_err("it is endless");
        assert!(matches!(error.cause, Cause::TooLarge { limit: 100_000 }), "{error:?}");
        assert!(!error.is_unreachable());
        assert_eq!(error.location, format!("{}collection/checkpoint", server.url()));
        // one piece beyond the limit at most, and no second try
        assert!(source.statistics().received < limit + 1_000_000);
        assert_eq!(server.requests(), 1);
    }
}

#[test]
fn a_length_beyond_the_bound_is_refused_before_the_body() {
    let server = Server::start(|_| {
        vec![head_only("200 OK", &["content-length: 1000000000000"]), Piece::Silence]
    });
    let cause = get(&server, &Get::up_to(10)).expect_err("too large");
    assert!(matches!(cause, Cause::TooLarge { limit: 10 }), "{cause:?}");
    // exactly the bound is within it
    let server = Server::start(|_| answer("200 OK", &[], b"0123456789"));
    assert_eq!(get(&server, &Get::up_to(10)).expect("within"), whole(b"0123456789"));
    let cause = get(&server, &Get::up_to(9)).expect_err("too large");
    assert!(matches!(cause, Cause::TooLarge { limit: 9 }), "{cause:?}");
}

#[test]
fn lying_lengths_give_no_short_object() {
    let server = Server::start(|_| {
        let head = head_only("200 OK", &["content-length: 10"]);
        vec![head, Piece::Bytes(b"short".to_vec()), Piece::Close]
    });
    let cause = get(&server, &Get::up_to(100)).expect_err("it is short");
    assert!(matches!(cause, Cause::Broken { received: 5, .. }), "{cause:?}");
    assert!(cause.is_unreachable());
    assert_eq!(server.requests(), 3);
    // a length shorter than the body leaves bytes that belong to no answer
    let server = Server::start(|_| {
        let head = head_only("200 OK", &["content-length: 4"]);
        vec![head, Piece::Bytes(b"four and more".to_vec()), Piece::Close]
    });
    assert_eq!(get(&server, &Get::up_to(100)).expect("four bytes"), whole(b"four"));
}

#[test]
fn endless_heads_stop() {
    let fields = Server::start(|_| {
        let field = format!("x-field: {}\r\n", "x".repeat(1000)).into_bytes();
        vec![Piece::Bytes(head("200 OK", &[])), Piece::Endless(field)]
    });
    let one_field = Server::start(|_| {
        vec![
            Piece::Bytes(b"HTTP/1.1 200 OK\r\nx-field: ".to_vec()),
            Piece::Endless(vec![b'x'; 999]),
        ]
    });
    let not_http = Server::start(|_| vec![Piece::Endless(vec![0; 999])]);
    for server in [fields, one_field, not_http] {
        let cause = get(&server, &Get::up_to(10)).expect_err("no head");
        assert!(matches!(cause, Cause::Broken { received: 0, .. }), "{cause:?}");
    }
    let informational = Server::start(|_| {
        let hint = format!("HTTP/1.1 103 Early Hints\r\nlink: {}\r\n\r\n", "x".repeat(8000));
        vec![Piece::Endless(hint.into_bytes())]
    });
    let options = HttpOptions { answer_timeout: Duration::from_millis(100), ..quick() };
    let cause = get_with(&informational, &options, &Get::up_to(10)).expect_err("no head");
    assert!(matches!(cause, Cause::NoAnswer(_)), "{cause:?}");
}

#[test]
fn a_silent_server_is_given_up() {
    let silent = Server::start(|_| vec![Piece::Silence]);
    let options = HttpOptions { answer_timeout: Duration::from_millis(50), ..quick() };
    let cause = get_with(&silent, &options, &Get::up_to(10)).expect_err("silence");
    assert!(matches!(cause, Cause::NoAnswer(_)), "{cause:?}");
    assert!(cause.is_unreachable());
    // whoever waited that long does not wait as long again
    assert_eq!(silent.requests(), 1);

    let head_only_server =
        Server::start(|_| vec![head_only("200 OK", &["content-length: 9"]), Piece::Silence]);
    let options = HttpOptions { stall_window: Duration::from_millis(50), ..quick() };
    let cause = get_with(&head_only_server, &options, &Get::up_to(10)).expect_err("silence");
    assert!(matches!(cause, Cause::Stalled { received: 0, .. }), "{cause:?}");
}

#[test]
fn a_dripping_server_is_given_up() {
    let drip = || {
        Server::start(|_| {
            let head = head_only("200 OK", &["content-length: 100000"]);
            vec![head, Piece::Drip(Duration::from_millis(1))]
        })
    };
    // a byte a millisecond is below 100 bytes in 20 ms
    let options =
        HttpOptions { stall_window: Duration::from_millis(20), least_rate: 5000, ..quick() };
    let server = drip();
    let cause = get_with(&server, &options, &Get::up_to(100_000)).expect_err("too slow");
    assert!(matches!(cause, Cause::Stalled { least: 100, .. }), "{cause:?}");
    assert_eq!(server.requests(), 1);
    // and where the rate would do, the whole time is bounded
    let options = HttpOptions {
        stall_window: Duration::from_secs(5),
        least_rate: 1_000_000,
        grace: Duration::from_millis(50),
        ..quick()
    };
    let cause = get_with(&drip(), &options, &Get::up_to(100_000)).expect_err("too slow");
    assert!(matches!(cause, Cause::TookTooLong(_)), "{cause:?}");
}

#[test]
fn nobody_there_is_unreachable() {
    let address = std::net::TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .expect("a port that was free");
    let source =
        countersign_store::Source::open(&support::location(&format!("http://{address}")), &quick());
    let error = run(source.get(&checkpoint(), &Get::up_to(10))).expect_err("nobody");
    assert!(matches!(error.cause, Cause::Connect(_)), "{error:?}");
    assert!(error.is_unreachable());
    assert_eq!(source.statistics().requests, 3);
}

#[test]
fn ranges_are_the_ones_asked_for() {
    let wrong = [
        "content-range: bytes 4-9/10",
        "content-range: bytes 5-8/10",
        "content-range: bytes 5-9/9",
        "content-range: bytes 0-9/10",
        "content-range: bytes */10",
        "content-range: lines 5-9/10",
        "content-type: multipart/byteranges; boundary=x",
    ];
    for field in wrong {
        let server = Server::start(move |_| answer("206 Partial Content", &[field], b"56789"));
        let cause = get(&server, &Get::up_to(100).range(5, None)).expect_err(field);
        assert!(matches!(cause, Cause::WrongRange { .. }), "{field}: {cause:?}");
        assert_eq!(server.requests(), 1);
    }
    let field = "content-range: bytes 5-9/10";
    for (body, limit) in [(b"5678".as_slice(), 100), (b"56789a", 100), (b"56789", 4)] {
        let server = Server::start(move |_| answer("206 Partial Content", &[field], body));
        let cause = get(&server, &Get::up_to(limit).range(5, None)).expect_err("a wrong size");
        let refused = matches!(cause, Cause::WrongSize { .. } | Cause::TooLarge { .. });
        assert!(refused, "{body:?}: {cause:?}");
    }
    // a part that nobody asked for
    let server = Server::start(move |_| answer("206 Partial Content", &[field], b"56789"));
    let cause = get(&server, &Get::up_to(100)).expect_err("not asked for");
    assert!(matches!(cause, Cause::Status { status: 206, .. }), "{cause:?}");
    // a server that knows no ranges
    let server = Server::start(|_| answer("200 OK", &[], b"0123456789"));
    let got = get(&server, &Get::up_to(100).range(5, None)).expect("the whole");
    assert_eq!(got, whole(b"0123456789"));
}

#[test]
fn encodings_are_refused() {
    for field in ["content-encoding: gzip", "content-encoding: identity, br"] {
        for status in ["200 OK", "206 Partial Content"] {
            let range = "content-range: bytes 0-3/4";
            let server = Server::start(move |_| answer(status, &[field, range], b"\x1f\x8b\x08\0"));
            let cause = get(&server, &Get::up_to(100).range(0, None)).expect_err(field);
            assert!(matches!(cause, Cause::Encoding(_)), "{cause:?}");
        }
    }
    let server = Server::start(|request| {
        assert_eq!(request.field("accept-encoding"), Some("identity"));
        answer("200 OK", &["content-encoding: identity"], b"plain")
    });
    assert_eq!(get(&server, &Get::up_to(100)).expect("plain"), whole(b"plain"));
}

#[test]
fn redirects_stay_and_end() {
    let server = Server::start(|request| match request.target.as_str() {
        "/collection/checkpoint" => answer("302 Found", &["location: /elsewhere"], b"go there"),
        _ => answer("200 OK", &[], b"here"),
    });
    assert_eq!(get(&server, &Get::up_to(100)).expect("followed"), whole(b"here"));
    assert_eq!(server.connections.load(std::sync::atomic::Ordering::SeqCst), 1);

    let round = Server::start(|request| {
        let next = format!("location: /{}", request.number);
        answer("307 Temporary Redirect", &[&next], b"")
    });
    let cause = get(&round, &Get::up_to(100)).expect_err("a loop");
    assert!(matches!(cause, Cause::Redirect { why: RedirectRule::TooMany, .. }), "{cause:?}");
    assert_eq!(round.requests(), 6);

    let other = Server::start(|_| answer("200 OK", &[], b"evil"));
    let to = format!("location: {}collection/checkpoint", other.url());
    let server = Server::start(move |_| answer("301 Moved Permanently", &[&to], b""));
    let cause = get(&server, &Get::up_to(100)).expect_err("another server");
    assert!(matches!(cause, Cause::Redirect { why: RedirectRule::OtherServer, .. }), "{cause:?}");
    assert_eq!((server.requests(), other.requests()), (1, 0));

    let server = Server::start(|_| answer("302 Found", &[], b""));
    let cause = get(&server, &Get::up_to(100)).expect_err("nowhere");
    assert!(matches!(cause, Cause::Redirect { why: RedirectRule::Nowhere, .. }), "{cause:?}");
}

#[test]
fn passing_troubles_are_tried_again() {
    for status in ["500 Internal Server Error", "503 Service Unavailable", "429 Slow Down"] {
        // the pause that the server wants is far beyond the longest that is made
        let server = Server::start(move |request| match request.number {
            0 | 1 => answer(status, &["retry-after: 100000"], b"later"),
            _ => answer("200 OK", &[], b"now"),
        });
        assert_eq!(get(&server, &Get::up_to(10)).expect("now"), whole(b"now"));
    }
    let server = Server::start(|_| answer("502 Bad Gateway", &[], b""));
    let cause = get(&server, &Get::up_to(10)).expect_err("never");
    assert!(matches!(cause, Cause::Status { status: 502, .. }), "{cause:?}");
    assert_eq!(server.requests(), 3);

    let broken = Server::start(|request| match request.number {
        0 => vec![Piece::Close],
        1 => vec![Piece::Bytes(b"HTTP/1.1 20".to_vec()), Piece::Close],
        _ => answer("200 OK", &[], b"now"),
    });
    assert_eq!(get(&broken, &Get::up_to(10)).expect("now"), whole(b"now"));
}

#[test]
fn lasting_troubles_are_not() {
    let server = Server::start(|_| answer("403 Forbidden", &[], b""));
    let cause = get(&server, &Get::up_to(10)).expect_err("forbidden");
    assert!(matches!(cause, Cause::Status { status: 403, .. }), "{cause:?}");
    assert_eq!(server.requests(), 1);
    for status in ["404 Not Found", "410 Gone"] {
        let server = Server::start(move |_| answer(status, &[], b"<html>"));
        assert_eq!(get(&server, &Get::up_to(2)).expect("an answer"), Got::NotFound);
        assert_eq!(server.requests(), 1);
    }
    // the page of a 404 is as hostile as anything
    let server = Server::start(|_| {
        vec![head_only("404 Not Found", &[]), Piece::Endless(vec![b'x'; 0x1000])]
    });
    assert_eq!(get(&server, &Get::up_to(2)).expect("an answer"), Got::NotFound);
}

#[test]
fn what_is_known_is_not_sent_again() {
    let server = Server::start(|request| support::serve_object(request, Some(b"a checkpoint")));
    let source = server.source();
    run(async {
        let path = checkpoint();
        let first = source.get(&path, &Get::up_to(100)).await.expect("the object");
        let Got::Whole { validator: Some(validator), .. } = first else { panic!("{first:?}") };
        // kept as text between two runs
        let kept = validator.to_string().parse().expect("a validator");
        let second = source.get(&path, &Get::up_to(100).unless(Some(kept))).await;
        assert_eq!(second.expect("an answer"), Got::NotModified);
    });
    // what nobody asked for is no answer
    let server = Server::start(|_| vec![head_only("304 Not Modified", &[])]);
    let cause = get(&server, &Get::up_to(100)).expect_err("not asked for");
    assert!(matches!(cause, Cause::Status { status: 304, .. }), "{cause:?}");
}

#[test]
fn bytes_are_counted_as_they_are_on_the_wire_and_are_few() {
    let server = Server::start(|request| match request.target.as_str() {
        "/authority/2" => support::serve_object(request, None),
        _ => support::serve_object(request, Some(b"a checkpoint")),
    });
    let source = server.source();
    run(async {
        let authority = countersign_format::layout::authority(2);
        assert_eq!(source.get(&authority, &Get::up_to(9)).await.expect("none"), Got::NotFound);
        let got = source.get(&checkpoint(), &Get::up_to(99).range(2, Some(5))).await;
        assert_eq!(got.expect("part"), Got::Part { bytes: b"check".to_vec(), total: Some(12) });
    });
    let counted = source.statistics();
    assert_eq!(counted.requests, 2);
    assert_eq!(counted.sent, server.received.load(std::sync::atomic::Ordering::SeqCst));
    let sent = server.sent.load(std::sync::atomic::Ordering::SeqCst);
    // the reason after a status is nothing that the client keeps
    assert!(counted.received.abs_diff(sent) < 40, "{counted:?}, {sent}");
    // a request is the least a polite client can say
    assert!(counted.sent / 2 < 200, "{counted:?}");
}

#[test]
fn requests_run_side_by_side() {
    let meeting = std::sync::Arc::new(std::sync::Barrier::new(3));
    // no answer before all three have asked
    let server = Server::start(move |_| {
        meeting.wait();
        answer("200 OK", &[], b"here")
    });
    let source = server.source();
    let got = run(async {
        let (path, request) = (checkpoint(), Get::up_to(9));
        let get = || source.get(&path, &request);
        tokio::join!(get(), get(), get())
    });
    for got in [got.0, got.1, got.2] {
        assert_eq!(got.expect("an answer"), whole(b"here"));
    }
}

#[test]
fn the_proxy_that_is_given_is_used() {
    let proxy = Server::start(|request| {
        assert_eq!(request.target, "http://repository.invalid/r/collection/checkpoint");
        answer("200 OK", &[], b"by proxy")
    });
    let options =
        HttpOptions { proxies: Proxies::all(proxy.url().parse().expect("an address")), ..quick() };
    let location = support::location("http://repository.invalid/r");
    let source = countersign_store::Source::open(&location, &options);
    let got = run(source.get(&checkpoint(), &Get::up_to(99))).expect("an answer");
    assert_eq!(got, whole(b"by proxy"));
}

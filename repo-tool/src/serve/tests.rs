use std::fs;
use std::os::unix::fs::symlink;
use std::sync::Mutex;

use countersign_format::hash::Hash32;
use countersign_format::layout::{self, Log};
use countersign_store::{Download, Get, Got, HttpOptions, Source};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::oneshot;

use super::answer::{Part, part};
use super::*;

/// Serves a small repository while `test` runs, and returns what the server reported.
fn with_server<F: Future<Output = ()>>(test: impl FnOnce(PathBuf, SocketAddr) -> F) -> Vec<Served> {
    let outside = tempfile::tempdir().expect("a directory");
    let root = outside.path().join("public");
    fs::create_dir_all(root.join("collection")).expect("directories");
    fs::create_dir_all(root.join("authority")).expect("directories");
    fs::write(outside.path().join("secret"), "secret").expect("a file");
    fs::write(root.join("collection/checkpoint"), "0123456789").expect("a file");
    fs::write(root.join("collection/.tmp-1-1"), "hidden").expect("a file");
    symlink("../../secret", root.join("collection/out")).expect("a link");
    symlink("checkpoint", root.join("collection/in")).expect("a link");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let log = Arc::new(Mutex::new(Vec::new()));
    runtime.expect("a runtime").block_on(async {
        let address = "127.0.0.1:0".parse().expect("an address");
        let server = Server::bind(&root, address).await.expect("a server");
        let address = server.local_addr();
        let logged = log.clone();
        let server = server.with_report(move |served| {
            logged.lock().expect("the log").push(served.clone());
        });
        let (stop, stopped) = oneshot::channel::<()>();
        let serving = server.serve(async {
            stopped.await.expect("told to stop");
        });
        let testing = async {
            test(root.clone(), address).await;
            stop.send(()).expect("it serves");
        };
        tokio::join!(serving, testing);
        TcpStream::connect(address).await.expect_err("it has stopped");
    });
    Arc::into_inner(log).expect("no connection is left").into_inner().expect("the log")
}

/// Sends a request as it is, and returns all of the answer.
async fn raw(address: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).await.expect("connected");
    let request = format!("{request}\r\nhost: x\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("text");
    answer
}

#[test]
fn clients_of_this_project_are_served() {
    let served = with_server(async |root, address| {
        let location = format!("http://{address}/").parse().expect("a location");
        let source = Source::open(&location, &HttpOptions::default());
        let path = layout::checkpoint(Log::Collection);
        let got = source.get(&path, &Get::up_to(99)).await.expect("an answer");
        let Got::Whole { bytes, validator } = got else { panic!("{got:?}") };
        assert_eq!(bytes, b"0123456789");
        let known = Get::up_to(99).unless(validator);
        assert_eq!(source.get(&path, &known).await.expect("an answer"), Got::NotModified);
        fs::remove_file(root.join("collection/checkpoint")).expect("removed");
        fs::write(root.join("collection/checkpoint"), "abcdefghij").expect("a file");
        let got = source.get(&path, &known).await.expect("an answer");
        assert!(matches!(got, Got::Whole { .. }), "{got:?}");
        let tail = Get::up_to(99).range(7, None);
        let got = source.get(&path, &tail).await.expect("an answer");
        assert_eq!(got, Got::Part { bytes: b"hij".to_vec(), total: Some(10) });
        let beyond = Get::up_to(99).range(10, None);
        let got = source.get(&path, &beyond).await.expect("an answer");
        assert_eq!(got, Got::Part { bytes: Vec::new(), total: Some(10) });
        let absent = source.get(&layout::authority(2), &Get::up_to(99)).await;
        assert_eq!(absent.expect("an answer"), Got::NotFound);

        let archive = vec![7; 1_000_000];
        let path = layout::archive(&Hash32::of(&archive));
        let file = root.join(&path);
        fs::create_dir_all(file.parent().expect("a directory")).expect("made");
        fs::write(file, &archive).expect("a file");
        let mut into = tempfile::tempfile().expect("a file");
        let request = Download { size: 1_000_000 };
        assert!(source.download(&path, &request, &mut into, |_| {}).await.expect("complete"));
    });
    let seen: Vec<_> = served.iter().map(|served| (served.status, served.length)).collect();
    assert_eq!(
        seen,
        [(200, 10), (304, 0), (200, 10), (206, 3), (416, 0), (404, 10), (200, 1_000_000)]
    );
}

#[test]
fn nothing_else_is_served() {
    with_server(async |_, address| {
        for path in [
            "/",
            "/collection",
            "/collection/",
            "//collection/checkpoint",
            "/collection//checkpoint",
            "/../secret",
            "/collection/../../secret",
            "/collection/%2e%2e/%2e%2e/secret",
            "/collection/..%2f..%2fsecret",
            "/collection/./checkpoint",
            "/collection/.tmp-1-1",
            "/collection/out",
            "/collection/checkpoint/x",
            "/collection/check%70oint",
            "/collection/checkpoint\\x",
        ] {
            let answer = raw(address, &format!("GET {path} HTTP/1.1")).await;
            assert!(answer.starts_with("HTTP/1.1 404 "), "{path}: {answer}");
            assert!(!answer.contains("secret"), "{path}: {answer}");
        }
        let long = "x".repeat(300);
        let answer = raw(address, &format!("GET /{long} HTTP/1.1")).await;
        assert!(answer.starts_with("HTTP/1.1 404 "), "{answer}");
        let answer = raw(address, "GET /collection/in HTTP/1.1").await;
        assert!(answer.ends_with("\r\n\r\n0123456789"), "{answer}");
    });
}

#[test]
fn methods_and_fields_are_as_the_standard_has_them() {
    with_server(async |_, address| {
        let head = raw(address, "HEAD /collection/checkpoint HTTP/1.1").await;
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
        assert!(head.contains("content-length: 10\r\n"), "{head}");
        assert!(head.contains("content-type: text/plain; charset=utf-8\r\n"), "{head}");
        assert!(head.ends_with("\r\n\r\n"), "{head}");
        let post = raw(address, "POST /collection/checkpoint HTTP/1.1").await;
        assert!(post.starts_with("HTTP/1.1 405 "), "{post}");
        assert!(post.contains("allow: GET, HEAD\r\n"), "{post}");

        let tag = head.split("etag: ").nth(1).and_then(|rest| rest.lines().next());
        let tag = tag.expect("an entity tag");
        for (fields, status) in [
            (format!("if-none-match: {tag}"), 304),
            (format!("if-none-match: \"a\", W/{tag}"), 304),
            ("if-none-match: \"a\"".to_owned(), 200),
            (format!("range: bytes=1-2\r\nif-range: {tag}"), 206),
            ("range: bytes=1-2\r\nif-range: \"a\"".to_owned(), 200),
        ] {
            let request = format!("GET /collection/checkpoint HTTP/1.1\r\n{fields}");
            let answer = raw(address, &request).await;
            assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{fields}: {answer}");
        }
        let endless = format!("GET / HTTP/1.1\r\nx: {}", "x".repeat(MAX_HEAD));
        let answer = raw(address, &endless).await;
        assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
    });
}

#[test]
fn ranges() {
    for (range, expected) in [
        ("bytes=0-", Part::Of { start: 0, length: 10 }),
        ("bytes=3-", Part::Of { start: 3, length: 7 }),
        ("bytes=3-3", Part::Of { start: 3, length: 1 }),
        ("bytes=3-99", Part::Of { start: 3, length: 7 }),
        ("bytes=3-18446744073709551615", Part::Of { start: 3, length: 7 }),
        ("bytes=-4", Part::Of { start: 6, length: 4 }),
        ("bytes=-99", Part::Of { start: 0, length: 10 }),
        ("bytes=-0", Part::None),
        ("bytes=10-", Part::None),
        ("bytes=10-12", Part::None),
        ("bytes=4-3", Part::Whole),
        ("bytes=-", Part::Whole),
        ("bytes=+1-2", Part::Whole),
        ("bytes=1-2,4-5", Part::Whole),
        ("bytes=99999999999999999999-", Part::Whole),
        ("lines=1-2", Part::Whole),
    ] {
        assert_eq!(part(range, 10), expected, "{range}");
    }
    assert_eq!(part("bytes=0-", 0), Part::None);
}

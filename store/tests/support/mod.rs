//! A web server that does exactly what a test wants, over real TCP on loopback.

// each test binary uses another part of it
#![allow(dead_code)]

use std::io::{BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use countersign_format::hash::Hash32;
use countersign_format::layout::{self, Log, RepoPath};
use countersign_store::{HttpOptions, Location, Source};

/// The head of a request.
#[derive(Clone, Debug)]
pub struct Request {
    pub target: String,
    pub fields: Vec<(String, String)>,
    /// How many requests came to the server before this one.
    pub number: usize,
}

impl Request {
    pub fn field(&self, name: &str) -> Option<&str> {
        let found = self.fields.iter().find(|(field, _)| field.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }
}

/// What a server does about a request, piece by piece.
#[derive(Clone, Debug)]
pub enum Piece {
    Bytes(Vec<u8>),
    /// Writes this over and over, until the client has had enough.
    Endless(Vec<u8>),
    /// Writes a byte at a time with a pause between, until the client has had enough.
    Drip(Duration),
    /// Says nothing more and keeps the connection open.
    Silence,
    /// Closes the connection.
    Close,
}

/// A running server.
pub struct Server {
    pub address: SocketAddr,
    pub log: Arc<Mutex<Vec<Request>>>,
    pub connections: Arc<AtomicU64>,
    /// Bytes that came in and went out, for comparison with the client's own count.
    pub received: Arc<AtomicU64>,
    pub sent: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
}

type Handler = dyn Fn(&Request) -> Vec<Piece> + Send + Sync;

impl Server {
    pub fn start(handler: impl Fn(&Request) -> Vec<Piece> + Send + Sync + 'static) -> Self {
        Self::start_over(handler, |stream| Some(Box::new(stream)))
    }

    /// A server that wraps each connection, as in TLS.
    pub fn start_over(
        handler: impl Fn(&Request) -> Vec<Piece> + Send + Sync + 'static,
        wrap: impl Fn(TcpStream) -> Option<Box<dyn Duplex>> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let server = Self {
            address: listener.local_addr().expect("an address"),
            log: Arc::default(),
            connections: Arc::default(),
            received: Arc::default(),
            sent: Arc::default(),
            stop: Arc::default(),
        };
        let (log, connections, stop) =
            (server.log.clone(), server.connections.clone(), server.stop.clone());
        let (received, sent) = (server.received.clone(), server.sent.clone());
        let (handler, wrap) = (Arc::new(handler) as Arc<Handler>, Arc::new(wrap));
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if stop.load(Ordering::SeqCst) {
                    break;
                }
                connections.fetch_add(1, Ordering::SeqCst);
                let (log, stop, handler, wrap) =
                    (log.clone(), stop.clone(), handler.clone(), wrap.clone());
                let (received, sent) = (received.clone(), sent.clone());
                thread::spawn(move || {
                    let closing = stream.try_clone();
                    if let Some(stream) = wrap(stream) {
                        let stream = Counted { stream, received, sent };
                        serve(stream, &log, &stop, &*handler);
                    }
                    if let Ok(stream) = closing {
                        let _ = stream.shutdown(Shutdown::Both);
                    }
                });
            }
        });
        server
    }

    pub fn requests(&self) -> usize {
        self.log.lock().expect("the log").len()
    }

    pub fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    pub fn source(&self) -> Source {
        self.source_with(&quick())
    }

    pub fn source_with(&self, options: &HttpOptions) -> Source {
        Source::open(&location(&self.url()), options)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        // wakes the listener
        let _ = TcpStream::connect(self.address);
    }
}

/// A connection, whatever lies below it.
pub trait Duplex: Read + Write + Send {}
impl<T: Read + Write + Send> Duplex for T {}

struct Counted {
    stream: Box<dyn Duplex>,
    received: Arc<AtomicU64>,
    sent: Arc<AtomicU64>,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.stream.read(buffer)?;
        self.received.fetch_add(read as u64, Ordering::SeqCst);
        Ok(read)
    }
}

impl Write for Counted {
    fn write(&mut self, buffer: &[u8]) -> std::io::Result<usize> {
        // counted before the client can have it
        self.sent.fetch_add(buffer.len() as u64, Ordering::SeqCst);
        self.stream.write_all(buffer)?;
        Ok(buffer.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.stream.flush()
    }
}

fn serve(stream: Counted, log: &Mutex<Vec<Request>>, stop: &AtomicBool, handler: &Handler) {
    let mut stream = BufReader::new(stream);
    while let Some(mut request) = read_head(&mut stream) {
        {
            let mut log = log.lock().expect("the log");
            request.number = log.len();
            log.push(request.clone());
        }
        for piece in handler(&request) {
            if play(piece, stream.get_mut(), stop).is_none() {
                return;
            }
        }
    }
}

fn read_head(stream: &mut impl std::io::BufRead) -> Option<Request> {
    let mut line = String::new();
    stream.read_line(&mut line).ok()?;
    let target = line.split(' ').nth(1)?.to_owned();
    let mut fields = Vec::new();
    loop {
        line.clear();
        stream.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        fields.push((name.to_owned(), value.to_owned()));
    }
    Some(Request { target, fields, number: 0 })
}

fn play(piece: Piece, stream: &mut Counted, stop: &AtomicBool) -> Option<()> {
    let is_stopped = || stop.load(Ordering::SeqCst);
    match piece {
        Piece::Bytes(bytes) => stream.write_all(&bytes).and_then(|()| stream.flush()).ok(),
        Piece::Endless(bytes) => {
            while !is_stopped() {
                stream.write_all(&bytes).ok()?;
            }
            None
        }
        Piece::Drip(pause) => {
            while !is_stopped() {
                stream.write_all(b"x").and_then(|()| stream.flush()).ok()?;
                thread::sleep(pause);
            }
            None
        }
        Piece::Silence => {
            while !is_stopped() {
                thread::sleep(Duration::from_millis(5));
            }
            None
        }
        Piece::Close => None,
    }
}

/// An answer with a body of known length.
pub fn answer(status: &str, fields: &[&str], body: &[u8]) -> Vec<Piece> {
    let mut bytes = head(status, fields);
    let length = format!("content-length: {}\r\n\r\n", body.len());
    bytes.extend_from_slice(length.as_bytes());
    bytes.extend_from_slice(body);
    vec![Piece::Bytes(bytes)]
}

/// The head of an answer, without the empty line that ends it.
pub fn head(status: &str, fields: &[&str]) -> Vec<u8> {
    let mut head = format!("HTTP/1.1 {status}\r\n");
    for field in fields {
        head.push_str(field);
        head.push_str("\r\n");
    }
    head.into_bytes()
}

/// A whole head with no length, so that the body ends with the connection.
pub fn head_only(status: &str, fields: &[&str]) -> Piece {
    let mut bytes = head(status, fields);
    bytes.extend_from_slice(b"\r\n");
    Piece::Bytes(bytes)
}

/// What a good static server answers for an object.
pub fn serve_object(request: &Request, object: Option<&[u8]>) -> Vec<Piece> {
    let Some(object) = object else { return answer("404 Not Found", &[], b"<h1>Not Found</h1>") };
    let tag = format!("\"{}\"", &Hash32::of(object).to_string()[..16]);
    if request.field("if-none-match") == Some(&tag) {
        let mut bytes = head("304 Not Modified", &[&format!("etag: {tag}")]);
        bytes.extend_from_slice(b"\r\n");
        return vec![Piece::Bytes(bytes)];
    }
    let range = request.field("range").and_then(|range| range.strip_prefix("bytes="));
    let Some((start, end)) = range.and_then(|range| range.split_once('-')) else {
        return answer("200 OK", &[&format!("etag: {tag}")], object);
    };
    let start: usize = start.parse().expect("a number");
    let last = end.parse().unwrap_or(usize::MAX).min(object.len().saturating_sub(1));
    if start >= object.len() {
        let range = format!("content-range: bytes */{}", object.len());
        return answer("416 Range Not Satisfiable", &[&range], b"");
    }
    let range = format!("content-range: bytes {start}-{last}/{}", object.len());
    answer("206 Partial Content", &[&range, &format!("etag: {tag}")], &object[start..=last])
}

/// Times in which a test may well wait for what is refused.
pub fn quick() -> HttpOptions {
    HttpOptions {
        connect_timeout: Duration::from_secs(5),
        answer_timeout: Duration::from_secs(5),
        stall_window: Duration::from_secs(5),
        grace: Duration::from_secs(20),
        pause: Duration::from_millis(1),
        longest_pause: Duration::from_millis(10),
        ..HttpOptions::default()
    }
}

pub fn location(text: &str) -> Location {
    text.parse().expect("a location")
}

pub fn checkpoint() -> RepoPath {
    layout::checkpoint(Log::Collection)
}

pub fn archive() -> RepoPath {
    layout::archive(&Hash32::of(b"archive"))
}

/// Runs a test's future on the one thread that the programs use too.
pub fn run<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(future)
}

//! A TCP proxy between a client and a web server that counts what passes, so that a test need not
//! believe the client's own statistics.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

/// What passed through a proxy.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Traffic {
    /// Bytes from the client, headers included.
    pub sent: u64,
    /// Bytes to the client, headers included.
    pub received: u64,
    /// Connections that were opened.
    pub connections: u64,
    /// The first line of each request, such as `GET /directory HTTP/1.1`.
    pub requests: Vec<String>,
}

impl Traffic {
    /// All bytes, both ways.
    pub fn bytes(&self) -> u64 {
        self.sent + self.received
    }
}

/// What is called with each request.
type Watch = dyn Fn(&str) + Send + Sync;

/// A proxy in front of one server. Its threads end with the process.
#[derive(Debug)]
pub struct Proxy {
    url: String,
    counters: Arc<Counters>,
}

#[derive(Default, Debug)]
struct Counters {
    sent: AtomicU64,
    received: AtomicU64,
    connections: AtomicU64,
    requests: Mutex<Vec<String>>,
}

impl Proxy {
    /// A proxy on a port of its own to the server at `address`, a `HOST:PORT`.
    pub fn to(address: &str) -> Self {
        Self::watched(address, |_| {})
    }

    /// The same, and calls `watch` with the first line of each request before it is passed on.
    pub fn watched(address: &str, watch: impl Fn(&str) + Send + Sync + 'static) -> Self {
        let watch: Arc<Watch> = Arc::new(watch);
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
        let own = listener.local_addr().expect("it is bound");
        let counters = Arc::new(Counters::default());
        let (address, shared) = (address.to_owned(), Arc::clone(&counters));
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                shared.connections.fetch_add(1, Ordering::SeqCst);
                let server = TcpStream::connect(&address).expect("the server is up");
                join(client, server, &shared, &watch);
            }
        });
        Self { url: format!("http://{own}/"), counters }
    }

    /// The base URL to give to a client.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// What passed since the last call.
    pub fn take(&self) -> Traffic {
        let mut requests = self.counters.requests.lock().unwrap_or_else(PoisonError::into_inner);
        Traffic {
            sent: self.counters.sent.swap(0, Ordering::SeqCst),
            received: self.counters.received.swap(0, Ordering::SeqCst),
            connections: self.counters.connections.swap(0, Ordering::SeqCst),
            requests: std::mem::take(&mut requests),
        }
    }
}

/// Passes bytes on, both ways.
fn join(client: TcpStream, server: TcpStream, counters: &Arc<Counters>, watch: &Arc<Watch>) {
    let from_client = client.try_clone().expect("a socket can be cloned");
    let from_server = server.try_clone().expect("a socket can be cloned");
    let (up, watch) = (Arc::clone(counters), Arc::clone(watch));
    thread::spawn(move || {
        pass(from_client, server, |bytes| {
            up.sent.fetch_add(bytes.len() as u64, Ordering::SeqCst);
            up.note_requests(bytes, &*watch);
        });
    });
    let down = Arc::clone(counters);
    thread::spawn(move || {
        pass(from_server, client, |bytes| {
            down.received.fetch_add(bytes.len() as u64, Ordering::SeqCst);
        });
    });
}

/// Counts before it passes on: when a client has its answer, the answer is counted.
fn pass(mut from: TcpStream, mut to: TcpStream, count: impl Fn(&[u8])) {
    let mut buffer = [0; 16 * 1024];
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        count(&buffer[..length]);
        if to.write_all(&buffer[..length]).is_err() {
            break;
        }
    }
    // either side may be gone already
    let _ = to.shutdown(Shutdown::Write);
}

impl Counters {
    /// Clients send a request's first line in one piece, with which a write begins.
    fn note_requests(&self, bytes: &[u8], watch: &Watch) {
        let text = String::from_utf8_lossy(bytes);
        let lines = text.lines().filter(|line| line.ends_with(" HTTP/1.1"));
        lines.clone().for_each(watch);
        let mut requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        requests.extend(lines.map(str::to_owned));
    }
}

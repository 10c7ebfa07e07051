//! A small web server over a directory, as unfriendly as a test wants it.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

/// A running server. Its threads end with the process.
pub struct Server {
    pub address: SocketAddr,
    state: Arc<State>,
}

struct State {
    directory: PathBuf,
    /// What `Authorization` has to be, if anything.
    authorization: Option<String>,
    /// After how many bytes of an archive the connection breaks.
    cut: AtomicU64,
    connections: AtomicUsize,
    /// The first line of each request and its `Range`.
    log: Mutex<Vec<(String, Option<String>)>>,
}

impl Server {
    pub fn start(directory: &Path, authorization: Option<&str>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let state = Arc::new(State {
            directory: directory.to_owned(),
            authorization: authorization.map(ToOwned::to_owned),
            cut: AtomicU64::new(u64::MAX),
            connections: AtomicUsize::new(0),
            log: Mutex::default(),
        });
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                shared.connections.fetch_add(1, Ordering::SeqCst);
                let shared = Arc::clone(&shared);
                std::thread::spawn(move || shared.serve(&stream));
            }
        });
        Self { address, state }
    }

    pub fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    pub fn connections(&self) -> usize {
        self.state.connections.load(Ordering::SeqCst)
    }

    /// Lets each transfer of an archive break after so many bytes.
    pub fn cut(&self, bytes: u64) {
        self.state.cut.store(bytes, Ordering::SeqCst);
    }

    /// The requests since the last call.
    pub fn take(&self) -> Vec<(String, Option<String>)> {
        std::mem::take(&mut *self.state.log.lock().expect("the log"))
    }
}

impl State {
    /// One answer a connection.
    fn serve(&self, stream: &TcpStream) -> Option<()> {
        let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
        let first = lines.next()?;
        let fields: Vec<(String, String)> = lines
            .take_while(|line| !line.is_empty())
            .filter_map(|line| {
                let (name, value) = line.split_once(": ")?;
                Some((name.to_ascii_lowercase(), value.to_owned()))
            })
            .collect();
        let field = |wanted: &str| {
            let found = fields.iter().find(|(name, _)| name == wanted);
            found.map(|(_, value)| value.clone())
        };
        let range = field("range");
        self.log.lock().expect("the log").push((first.clone(), range.clone()));
        let target = first.split(' ').nth(1)?;
        // as a proxy it is asked for a whole URL
        let path = target
            .strip_prefix("http://")
            .map_or(target, |rest| rest.find('/').map_or("/", |slash| &rest[slash..]));
        let found = std::fs::read(self.directory.join(path.trim_start_matches('/'))).ok();
        let refused = self.authorization.is_some() && field("authorization") != self.authorization;
        let mut stream = stream;
        let mut answer = |head: &str, body: &[u8]| {
            let length = body.len();
            let head =
                format!("HTTP/1.1 {head}connection: close\r\ncontent-length: {length}\r\n\r\n");
            let cut = if path.rsplit('.').next() == Some("patch") {
                self.cut.load(Ordering::SeqCst)
            } else {
                u64::MAX
            };
            let sent = length.min(usize::try_from(cut).unwrap_or(usize::MAX));
            stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&body[..sent])).ok()
        };
        match found {
            _ if refused => answer("401 Unauthorized\r\n", b""),
            None => answer("404 Not Found\r\n", b""),
            Some(body) => match range.and_then(|range| start_of(&range)) {
                Some(start) if start < body.len() => {
                    let (last, all) = (body.len() - 1, body.len());
                    let head = format!(
                        "206 Partial Content\r\ncontent-range: bytes {start}-{last}/{all}\r\n"
                    );
                    answer(&head, &body[start..])
                }
                _ => answer("200 OK\r\n", &body),
            },
        }
    }
}

/// Where `bytes=N-` starts; other ranges are answered with the whole, as a server may.
fn start_of(range: &str) -> Option<usize> {
    range.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok()
}

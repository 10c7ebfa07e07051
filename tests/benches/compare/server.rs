//! nginx on the loopback, and what it was asked.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

/// A running nginx that serves a directory, killed when this is dropped.
pub struct Server {
    child: Child,
    log: PathBuf,
    url: String,
}

impl Server {
    /// Serves `root`; its own files lie below `work`.
    pub fn start(work: &Path, root: &Path) -> Self {
        let port = {
            let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
            listener.local_addr().expect("it is bound").port()
        };
        let log = work.join("access.log");
        let configuration = work.join("nginx.conf");
        let user = if is_root() { "user root;" } else { "" };
        let text = format!(
            "daemon off; {user} worker_processes 1; pid {work}/nginx.pid; error_log {work}/error.log;
events {{ worker_connections 256; }}
http {{
    log_format counted '$bytes_sent $request_length $status $uri';
    access_log {log} counted;
    client_body_temp_path {work}/body; proxy_temp_path {work}/proxy; fastcgi_temp_path {work}/fastcgi;
    uwsgi_temp_path {work}/uwsgi; scgi_temp_path {work}/scgi;
    sendfile on; tcp_nopush on; keepalive_requests 100000;
    server {{ listen 127.0.0.1:{port}; root {root}; }}
}}
",
            work = work.display(),
            log = log.display(),
            root = root.display()
        );
        fs::write(&configuration, text).expect("a configuration for nginx");
        let child = Command::new("/usr/sbin/nginx")
            .arg("-c")
            .arg(&configuration)
            .arg("-e")
            .arg(work.join("error.log"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("nginx is installed");
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            thread::sleep(Duration::from_millis(10));
        }
        Self { child, log, url: format!("http://127.0.0.1:{port}/") }
    }

    /// The URL of its root, with a slash at its end.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Forgets what was asked so far.
    pub fn forget(&self) {
        fs::write(&self.log, "").expect("the log can be emptied");
    }

    /// Requests since, and the bytes of their answers, heads included.
    pub fn counted(&self) -> (u64, u64) {
        // nginx writes its line when it has sent the answer
        thread::sleep(Duration::from_millis(20));
        let text = fs::read_to_string(&self.log).expect("nginx writes a log");
        let bytes = |line: &str| line.split(' ').next().and_then(|bytes| bytes.parse::<u64>().ok());
        let requests: Vec<u64> = text.lines().filter_map(bytes).collect();
        (requests.len() as u64, requests.iter().sum())
    }
}

fn is_root() -> bool {
    Path::new("/proc/self")
        .metadata()
        .is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0)
}

impl Drop for Server {
    fn drop(&mut self) {
        // nginx ends its workers when it is told to; killed, it would leave them behind
        let _ = Command::new("kill").arg(self.child.id().to_string()).status();
        let _ = self.child.wait();
    }
}

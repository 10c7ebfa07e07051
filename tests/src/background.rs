//! A program that runs until the test ends.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use crate::run::Run;

/// How long a server may take until it says where it listens; long, since it fails the test.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running program, killed when this is dropped.
#[derive(Debug)]
pub struct Background {
    child: Child,
    url: String,
    said: String,
}

impl Background {
    /// Starts a web server that prints the URL at which it can be reached, and waits for that.
    pub fn serve(run: Run) -> Self {
        let (command, shown) = run.into_command();
        Self::start(command).unwrap_or_else(|said| panic!("$ {shown}\nis not up:\n{said}"))
    }

    /// The same with a command of another kind. Returns what it said if it does not come up.
    pub fn start(mut command: Command) -> Result<Self, String> {
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|error| error.to_string())?;
        let (sender, receiver) = mpsc::channel();
        let standard_output = child.stdout.take().expect("it is piped");
        let standard_error = child.stderr.take().expect("it is piped");
        forward(BufReader::new(standard_output), sender.clone());
        forward(BufReader::new(standard_error), sender);
        let mut said = String::new();
        while let Ok(line) = receiver.recv_timeout(PATIENCE) {
            said.push_str(&line);
            said.push('\n');
            if let Some(url) = url_in(&line) {
                return Ok(Self { child, url, said });
            }
        }
        // it may have ended by itself
        let _ = child.kill();
        let _ = child.wait();
        Err(said)
    }

    /// What it said until it was up.
    pub fn said(&self) -> &str {
        self.said.trim_end()
    }

    /// The base URL of the server, with a slash at its end.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Its `HOST:PORT`.
    pub fn address(&self) -> &str {
        self.url.trim_start_matches("http://").trim_end_matches('/')
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        // it may have ended by itself
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Sends the lines of a stream on, so that the program never waits for a reader.
fn forward(stream: impl BufRead + Send + 'static, sender: mpsc::Sender<String>) {
    thread::spawn(move || {
        for line in stream.lines().map_while(Result::ok) {
            // nobody listens any more once the server is up; the stream is emptied all the same
            let _ = sender.send(line);
        }
    });
}

/// The first loopback URL with a port in a line.
fn url_in(line: &str) -> Option<String> {
    let start = line.find("http://")?;
    let url = line[start..].split(|c: char| c.is_whitespace() || "\"'`,;".contains(c)).next()?;
    let url = url.trim_end_matches(['/', '.']);
    let port = url.rsplit_once(':')?.1;
    port.parse::<u16>().ok().filter(|port| *port > 0)?;
    Some(format!("{url}/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_url_in_what_a_server_says() {
        let found = url_in("serving public at http://127.0.0.1:8123/ (press Ctrl-C)");
        assert_eq!(found.as_deref(), Some("http://127.0.0.1:8123/"));
        assert_eq!(
            url_in("{\"url\":\"http://127.0.0.1:80\"}").as_deref(),
            Some("http://127.0.0.1:80/")
        );
        assert_eq!(url_in("see http://example.org/"), None);
    }
}

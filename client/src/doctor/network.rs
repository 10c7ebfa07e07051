//! Whether servers answer, and what their clocks say.

use countersign_format::layout::{self, Log};
use countersign_format::limits::MAX_NOTE;
use countersign_format::time::Timestamp;
use countersign_store::{Get, GetError, Got, Source};

use super::trust::span;
use super::{Finding, line};

/// A local clock that is further from a server's than this, in seconds, is wrong, or the server's is:
/// signatures that much ahead do not count.
const MAX_APART: u64 = 300;

/// What a server answered.
#[derive(Debug)]
pub struct Answered {
    /// The server.
    pub server: String,
    /// Whether it has the distribution's checkpoint, or why it cannot be asked.
    pub has_checkpoint: Result<bool, GetError>,
    /// What its clock says, in seconds since 1970.
    pub time: Option<u64>,
}

/// Asks a server for one small file.
pub async fn reach(server: &Source) -> Answered {
    let path = layout::checkpoint(Log::Distribution);
    let got = server.get(&path, &Get::up_to(MAX_NOTE as u64)).await;
    Answered {
        server: server.name().to_owned(),
        has_checkpoint: got.map(|got| matches!(got, Got::Whole { .. })),
        time: server.server_time(),
    }
}

impl Answered {
    /// What that means, at this time.
    pub fn findings(&self, now: Timestamp) -> Vec<Finding> {
        let server = &self.server;
        let mut findings = vec![match &self.has_checkpoint {
            Ok(true) => Finding::ok("network", format!("{server} answers")),
            Ok(false) => Finding::problem(
                "network",
                format!("{server} answers, but has no repository there"),
                "look at the source's url; tell the server's operators",
            ),
            Err(error) => Finding::problem(
                "network",
                line(error),
                "look at the network, at the proxy in the settings and at the server",
            ),
        }];
        let Some(time) = self.time.and_then(|time| Timestamp::from_seconds(time).ok()) else {
            return findings;
        };
        let apart = now.since(time).max(time.since(now));
        findings.push(if apart > MAX_APART {
            Finding::problem(
                "clock",
                format!("it says {now}; the one of {server} says {time}, {} apart", span(apart)),
                "set this machine's clock; if it is right, tell the server's operators",
            )
        } else {
            Finding::ok("clock", format!("it agrees with the one of {server}"))
        });
        findings
    }
}

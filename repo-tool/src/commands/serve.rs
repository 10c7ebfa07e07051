//! `patchrepo serve`.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;
use countersign_terminal::{ExitStatus, Failure, OrFail as _, Output, Report};
use serde::Serialize;
use tokio::sync::mpsc;

use super::block_on;
use crate::serve::{Served, Server};

/// Serve a repository's directory over HTTP, for trials
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  \
    patchrepo serve /srv/distribution/public\n  \
    patchrepo serve /srv/mirror --listen 0.0.0.0:8080 -v\n\n\
    Any web server can serve the directory; this one is for trying things out. Stop it with Ctrl-C.\n\
    With -v each request is shown.")]
pub struct ServeArgs {
    /// The directory
    #[arg(value_name = "DIR")]
    directory: PathBuf,
    /// The address to listen at; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
}

#[derive(Serialize)]
struct Listening {
    url: String,
    directory: PathBuf,
}

impl Report for Listening {
    fn print(&self, output: &Output) {
        output.print_line(&self.url);
    }
}

/// Serves until the process is told to end.
pub fn run(arguments: &ServeArgs, output: &Output) -> Result<ExitStatus, Failure> {
    block_on(async {
        let server = Server::bind(&arguments.directory, arguments.listen).await;
        let server = server.or_fail(ExitStatus::Failed)?;
        let url = format!("http://{}/", server.local_addr());
        output.report(&Listening { url, directory: arguments.directory.clone() });
        let (log, mut answered) = mpsc::unbounded_channel();
        let server = server.with_report(move |served| {
            // nobody listens once the program ends
            let _ = log.send(served.clone());
        });
        let show = async {
            while let Some(Served { client, method, path, status, length }) = answered.recv().await
            {
                output.detail(format!("{client} {method} {path} {status} {length}"));
            }
        };
        tokio::join!(server.serve(std::future::pending()), show);
        Ok(ExitStatus::Done)
    })?
}

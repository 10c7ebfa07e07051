//! `patchrepo serve`.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;
use countersign_terminal::{ExitStatus, Failure, Output, Report};
use serde::Serialize;
use tokio::sync::mpsc;

use super::block_on;
use crate::serve::Server;

/// Serve a directory over HTTP, for trials; production uses any web server
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  \
    patchrepo serve repo/distribution/public\n  \
    patchrepo serve mirror --listen 127.0.0.1:0 -v\n\n\
    Says where it listens as soon as it does; with port 0 that is a free port. With -v it prints\n\
    each request. Ends when it is interrupted.")]
pub struct ServeArgs {
    /// The directory: a distribution's public/ or a mirror
    #[arg(value_name = "DIR")]
    directory: PathBuf,
    /// Where to listen
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
}

/// Why nothing is served.
#[derive(Debug, thiserror::Error)]
#[error("cannot serve {directory} at {address}")]
struct ServeError {
    directory: PathBuf,
    address: SocketAddr,
    source: io::Error,
}

#[derive(Serialize)]
struct Serving {
    directory: PathBuf,
    url: String,
}

impl Report for Serving {
    fn print(&self, output: &Output) {
        output.print_line(format_args!("serving {} at {}", self.directory.display(), self.url));
    }
}

/// Serves until the process ends.
pub fn run(arguments: &ServeArgs, output: &Output) -> Result<ExitStatus, Failure> {
    block_on(serve(arguments, output))?
}

async fn serve(arguments: &ServeArgs, output: &Output) -> Result<ExitStatus, Failure> {
    let failed = |source| {
        let (directory, address) = (arguments.directory.clone(), arguments.listen);
        Failure::new(ExitStatus::Failed, ServeError { directory, address, source })
            .hint("the directory must be there, and the port free: --listen 127.0.0.1:0 takes any")
    };
    let server = Server::bind(&arguments.directory, arguments.listen).await.map_err(failed)?;
    let url = format!("http://{}/", server.local_addr());
    output.report(&Serving { directory: arguments.directory.clone(), url });
    let (sender, mut requests) = mpsc::unbounded_channel();
    let server = server.with_report(move |served| {
        // the receiver lives as long as the server
        let _ = sender.send(served.clone());
    });
    let print = async {
        while let Some(served) = requests.recv().await {
            let (method, path, client) = (served.method, served.path, served.client);
            output.detail(format_args!(
                "{client} {method} {path} {} {} bytes",
                served.status, served.length
            ));
        }
    };
    server.serve(print).await;
    Ok(ExitStatus::Done)
}

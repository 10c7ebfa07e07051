//! A plain static web server for trials and tests.
//!
//! It serves the regular files below one directory, whole or in part, to GET and HEAD, and tells
//! whether they changed. Hidden files, whatever lies outside the directory, also by a symlink, and
//! lists of files are not served. Production uses any web server.

mod answer;
mod body;

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::serve::body::FileBody;

/// Most connections at a time; further ones wait.
pub const MAX_CONNECTIONS: usize = 256;
/// Longest head of a request, in bytes.
pub const MAX_HEAD: usize = 16 * 1024;
/// How long the head of a request may take, and a connection may be idle.
pub const MAX_HEAD_TIME: Duration = Duration::from_secs(30);
/// How long one connection may last, however slowly its client reads.
pub const MAX_CONNECTION_TIME: Duration = Duration::from_secs(3600);
/// How long answers under way may take once the server is to stop.
pub const MAX_STOP_TIME: Duration = Duration::from_secs(5);

/// A request that was answered, for whoever prints a log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Served {
    /// Whose request it was.
    pub client: SocketAddr,
    /// The method.
    pub method: Method,
    /// The path as it was asked for.
    pub path: String,
    /// The status of the answer.
    pub status: u16,
    /// Bytes of the answer's body.
    pub length: u64,
}

type Report = dyn Fn(&Served) + Send + Sync;

/// A server that has its address and does not answer yet.
pub struct Server {
    root: PathBuf,
    listener: TcpListener,
    address: SocketAddr,
    report: Arc<Report>,
}

impl Server {
    /// Takes an address, with port 0 a free port of it, to serve the files below `root` there.
    pub async fn bind(root: &Path, address: SocketAddr) -> io::Result<Self> {
        if !root.is_dir() {
            return Err(io::ErrorKind::NotADirectory.into());
        }
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        Ok(Self { root: root.to_owned(), listener, address, report: Arc::new(|_| {}) })
    }

    /// The address with its real port.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Calls `report` for each answer.
    #[must_use]
    pub fn with_report(mut self, report: impl Fn(&Served) + Send + Sync + 'static) -> Self {
        self.report = Arc::new(report);
        self
    }

    /// Answers until `stop` is done, then lets answers under way end.
    pub async fn serve(self, stop: impl Future<Output = ()>) {
        let mut stop = pin!(stop);
        let (stopping, stopped) = watch::channel(());
        let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        let mut connections = JoinSet::new();
        loop {
            let accepted = tokio::select! {
                () = &mut stop => break,
                accepted = accept(&self.listener, &slots) => accepted,
                Some(_) = connections.join_next() => continue,
            };
            match accepted {
                Ok((stream, client, slot)) => {
                    let (root, report) = (self.root.clone(), self.report.clone());
                    let stopped = stopped.clone();
                    connections.spawn(async move {
                        let connection = connection(root, stream, client, report, stopped);
                        // a client that was too slow has had its time
                        let _ = timeout(MAX_CONNECTION_TIME, connection).await;
                        drop(slot);
                    });
                }
                // a lack of descriptors passes when connections end
                Err(_) => sleep(Duration::from_millis(100)).await,
            }
        }
        drop(self.listener);
        // whoever listens has a reason to stop
        let _ = stopping.send(());
        let ended = async { while connections.join_next().await.is_some() {} };
        // those that did not end are dropped with the set
        let _ = timeout(MAX_STOP_TIME, ended).await;
    }
}

async fn accept(
    listener: &TcpListener,
    slots: &Arc<Semaphore>,
) -> io::Result<(TcpStream, SocketAddr, tokio::sync::OwnedSemaphorePermit)> {
    let slot = slots.clone().acquire_owned().await.expect("the semaphore is never closed");
    let (stream, client) = listener.accept().await?;
    Ok((stream, client, slot))
}

async fn connection(
    root: PathBuf,
    stream: TcpStream,
    client: SocketAddr,
    report: Arc<Report>,
    mut stopped: watch::Receiver<()>,
) {
    let service = service_fn(move |request: Request<Incoming>| {
        let response = respond(&root, client, &request, &*report);
        async { Ok::<_, std::convert::Infallible>(response) }
    });
    let mut connection = pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(MAX_HEAD_TIME)
            .max_buf_size(MAX_HEAD)
            .serve_connection(TokioIo::new(stream), service)
    );
    // that a client breaks off is its own affair
    tokio::select! {
        _ = connection.as_mut() => {}
        _ = stopped.changed() => {
            connection.as_mut().graceful_shutdown();
            let _ = connection.await;
        }
    }
}

fn respond(
    root: &Path,
    client: SocketAddr,
    request: &Request<Incoming>,
    report: &Report,
) -> Response<FileBody> {
    let response = answer::answer(root, request.method(), request.uri().path(), request.headers());
    report(&Served {
        client,
        method: request.method().clone(),
        path: request.uri().path().to_owned(),
        status: response.status().as_u16(),
        length: response.body().left(),
    });
    response
}

#[cfg(test)]
mod tests;

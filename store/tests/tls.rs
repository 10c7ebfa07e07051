//! HTTPS: who is trusted, and that nothing leaves it.
//!
//! `data/` has a certificate authority whose key is gone and a server's certificate and key for
//! `localhost` and 127.0.0.1 made with it, good until 2126; and the same for a client.

mod support;

use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::sync::Arc;

use countersign_store::error::{RedirectRule, SetupError};
use countersign_store::{Cause, ClientCertificate, Get, Got, HttpOptions, SecretError, Source};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection, StreamOwned};
use support::{Duplex, Piece, Request, Server, answer, checkpoint, quick, run, serve_object};

fn data(name: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "tests", "data", name].iter().collect()
}

fn start(handler: impl Fn(&Request) -> Vec<Piece> + Send + Sync + 'static) -> Server {
    start_asking(WebPkiClientVerifier::no_client_auth(), handler)
}

/// A server that asks who its client is.
fn start_asking(
    clients: Arc<dyn ClientCertVerifier>,
    handler: impl Fn(&Request) -> Vec<Piece> + Send + Sync + 'static,
) -> Server {
    let certificate =
        CertificateDer::from_pem_file(data("test-server.pem")).expect("a certificate");
    let key = PrivateKeyDer::from_pem_file(data("test-server.key")).expect("a key");
    let config =
        ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_client_cert_verifier(clients)
            .with_single_cert(vec![certificate], key)
            .expect("a pair");
    let config = Arc::new(config);
    Server::start_over(handler, move |stream: TcpStream| {
        let connection = ServerConnection::new(config.clone()).ok()?;
        Some(Box::new(StreamOwned::new(connection, stream)) as Box<dyn Duplex>)
    })
}

fn get(server: &Server, host: &str, options: &HttpOptions) -> Result<Got, Cause> {
    let url = format!("https://{host}:{}/", server.address.port());
    let source = Source::open(&support::location(&url), options);
    run(source.get(&checkpoint(), &Get::up_to(100))).map_err(|error| error.cause)
}

fn trusting(file: &str) -> HttpOptions {
    HttpOptions { ca_file: Some(data(file)), ..quick() }
}

#[test]
fn the_given_authority_is_trusted_and_no_other() {
    let server = start(|request| serve_object(request, Some(b"a checkpoint")));
    let got = get(&server, "localhost", &trusting("test-ca.pem")).expect("trusted");
    assert!(matches!(got, Got::Whole { bytes, .. } if bytes == b"a checkpoint"));
    for options in [quick(), trusting("test-server.pem")] {
        let cause = get(&server, "localhost", &options).expect_err("not trusted");
        assert!(matches!(cause, Cause::Tls(_) | Cause::Setup(_)), "{cause:?}");
    }
    // a good certificate of another name; it is not tried again
    let before = server.connections.load(std::sync::atomic::Ordering::SeqCst);
    let cause = get(&server, "localhost.localdomain", &trusting("test-ca.pem"));
    let after = server.connections.load(std::sync::atomic::Ordering::SeqCst);
    match cause.expect_err("another name") {
        Cause::Tls(_) => assert_eq!(after, before + 1),
        // where the name leads nowhere
        Cause::Connect(_) => assert_eq!(after, before),
        other => panic!("{other:?}"),
    }
}

#[test]
fn https_is_not_left() {
    let plain = Server::start(|_| answer("200 OK", &[], b"evil"));
    let to = format!("location: http://localhost:{}/collection/checkpoint", plain.address.port());
    let server = start(move |_| answer("302 Found", &[&to], b""));
    let cause = get(&server, "localhost", &trusting("test-ca.pem")).expect_err("it leaves HTTPS");
    assert!(matches!(cause, Cause::Redirect { why: RedirectRule::Plain, .. }), "{cause:?}");
    assert_eq!(plain.requests(), 0);
}

#[test]
fn a_plain_server_is_no_secure_one() {
    let plain = Server::start(|_| answer("200 OK", &[], b"evil"));
    let cause = get(&plain, "localhost", &trusting("test-ca.pem")).expect_err("no TLS");
    assert!(cause.is_unreachable(), "{cause:?}");
}

#[test]
fn ca_files_that_are_none_are_told() {
    let server = start(|_| answer("200 OK", &[], b""));
    let cause = get(&server, "localhost", &trusting("missing.pem")).expect_err("no file");
    assert!(matches!(cause, Cause::Setup(SetupError::CaFile { .. })), "{cause:?}");
    let cause =
        get(&server, "localhost", &trusting("test-server.key")).expect_err("no certificate");
    assert!(matches!(cause, Cause::Setup(SetupError::NoCertificate { .. })), "{cause:?}");
}

#[test]
fn a_server_that_asks_is_shown_the_certificate() {
    let mut known = RootCertStore::empty();
    let authority = CertificateDer::from_pem_file(data("test-client-ca.pem"));
    known.add(authority.expect("a certificate")).expect("usable");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let clients = WebPkiClientVerifier::builder_with_provider(known.into(), provider).build();
    let clients = clients.expect("a verifier");
    let server = start_asking(clients, |_| answer("200 OK", &[], b"for those we know"));
    // what is checked out of a repository has no such modes
    let directory = tempfile::tempdir().expect("a directory");
    let key = directory.path().join("client.key");
    std::fs::copy(data("test-client.key"), &key).expect("copied");
    let mode = |mode| {
        std::fs::set_permissions(&key, std::fs::Permissions::from_mode(mode)).expect("set");
    };
    let showing = |certificate| {
        let certificate = data(certificate);
        let client_certificate = Some(ClientCertificate { certificate, key: key.clone() });
        HttpOptions { client_certificate, tries: 1, ..trusting("test-ca.pem") }
    };
    mode(0o600);
    assert!(get(&server, "localhost", &showing("test-client.pem")).is_ok());
    let unknown = HttpOptions { tries: 1, ..trusting("test-ca.pem") };
    assert!(get(&server, "localhost", &unknown).expect_err("who?").is_unreachable());
    let before = server.connections.load(std::sync::atomic::Ordering::SeqCst);
    let cause = get(&server, "localhost", &showing("test-ca.pem")).expect_err("not its key");
    assert!(matches!(cause, Cause::Setup(_)), "{cause:?}");
    mode(0o640);
    let cause = get(&server, "localhost", &showing("test-client.pem")).expect_err("no secret");
    let Cause::Setup(SetupError::Secret(SecretError::Exposed { .. })) = cause else {
        panic!("{cause:?}");
    };
    assert_eq!(server.connections.load(std::sync::atomic::Ordering::SeqCst), before);
}

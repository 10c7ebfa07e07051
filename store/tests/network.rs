//! What lies between this machine and a server: proxies, credentials, a bound on the rate.

mod support;

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use countersign_store::error::SetupError;
use countersign_store::{
    Cause, CredentialsFile, Get, Got, HttpOptions, Proxies, ProxyAddress, RateLimit, SecretError,
    Source,
};
use support::{Server, answer, checkpoint, location, quick, run};

fn get(url: &str, options: &HttpOptions) -> Result<Got, Cause> {
    let source = Source::open(&location(url), options);
    run(source.get(&checkpoint(), &Get::up_to(100_000))).map_err(|error| error.cause)
}

fn proxy(text: &str) -> ProxyAddress {
    text.parse().expect("an address")
}

/// A file with credentials, in a directory that is kept with it.
fn credentials(text: &str) -> (tempfile::TempDir, HttpOptions) {
    let directory = tempfile::tempdir().expect("a directory");
    let path: PathBuf = directory.path().join("credentials");
    std::fs::write(&path, text).expect("written");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("set");
    let credentials = Some(CredentialsFile { path, allow_plain: false });
    (directory, HttpOptions { credentials, ..quick() })
}

#[test]
fn a_proxy_is_told_its_credentials_and_the_server_is_not() {
    let server = Server::start(|request| {
        assert_eq!(request.target, "http://repository.invalid/collection/checkpoint");
        answer("200 OK", &[], b"by proxy")
    });
    let address = format!("http://me:s%20ecret@{}", server.address);
    let options = HttpOptions { proxies: Proxies::all(proxy(&address)), ..quick() };
    assert!(get("http://repository.invalid/", &options).is_ok());
    let log = server.log.lock().expect("the log");
    // RFC 7617, §2, of `me:s ecret`
    assert_eq!(log[0].field("proxy-authorization"), Some("Basic bWU6cyBlY3JldA=="));
    assert_eq!(log[0].field("authorization"), None);
}

#[test]
fn a_secure_server_is_reached_through_a_tunnel() {
    let server = Server::start(|request| {
        assert_eq!(request.target, "repository.invalid:443");
        answer("403 Forbidden", &[], b"")
    });
    let proxies = Proxies { https: Some(proxy(&server.url())), ..Proxies::default() };
    let options = HttpOptions { proxies, tries: 1, ..quick() };
    let cause = get("https://repository.invalid/", &options).expect_err("no tunnel");
    assert!(cause.is_unreachable(), "{cause:?}");
    assert_eq!(server.requests(), 1);
}

#[test]
fn some_servers_are_asked_without_the_proxy() {
    let server = Server::start(|_| answer("200 OK", &[], b"straight"));
    let proxies = Proxies {
        http: Some(proxy("http://127.0.0.1:1")),
        bypass: Some("example.net, 127.0.0.0/8".into()),
        ..Proxies::default()
    };
    let options = HttpOptions { proxies, tries: 1, ..quick() };
    assert!(get(&server.url(), &options).is_ok());
    let bypass = Some("example.net".into());
    let proxies = Proxies { bypass, ..options.proxies.clone() };
    let error =
        get(&server.url(), &HttpOptions { proxies, ..options }).expect_err("no proxy there");
    assert!(matches!(error, Cause::Connect(_)), "{error:?}");
}

#[test]
fn credentials_go_to_their_server_and_to_no_other() {
    let (_directory, options) = credentials("bearer t0ken");
    let other = Server::start(|_| answer("200 OK", &[], b"evil"));
    let to = format!("location: {}collection/checkpoint", other.url());
    let server = Server::start(move |request| match request.number {
        0 => answer("302 Found", &["location: /moved"], b""),
        1 => answer("200 OK", &[], b"here"),
        _ => answer("302 Found", &[&to], b""),
    });
    assert!(get(&server.url(), &options).is_ok());
    {
        let log = server.log.lock().expect("the log");
        let told: Vec<_> = log.iter().map(|request| request.field("authorization")).collect();
        assert_eq!(told, [Some("Bearer t0ken"); 2]);
    }
    assert!(matches!(get(&server.url(), &options), Err(Cause::Redirect { .. })));
    assert_eq!(other.connections.load(Ordering::SeqCst), 0);
}

#[test]
fn a_secret_that_is_none_stops_before_anything_is_sent() {
    let (directory, options) = credentials("bearer t0ken");
    let server = Server::start(|_| answer("200 OK", &[], b"here"));
    let path = directory.path().join("credentials");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).expect("set");
    let cause = get(&server.url(), &options).expect_err("others can read it");
    let Cause::Setup(SetupError::Secret(SecretError::Exposed { mode: 0o644, .. })) = cause else {
        panic!("{cause:?}");
    };
    // not even to this machine, if by way of another
    let (_directory, options) = credentials("bearer t0ken");
    let proxies = Proxies::all(proxy(&server.url()));
    let cause = get("http://localhost/", &HttpOptions { proxies, ..options }).expect_err("plain");
    assert!(matches!(cause, Cause::Setup(SetupError::Secret(SecretError::Plain { .. }))));
    assert_eq!(server.connections.load(Ordering::SeqCst), 0);
}

#[test]
fn all_transfers_together_keep_to_the_rate() {
    let server = Server::start(|_| answer("200 OK", &[], &vec![7; 20_000]));
    let options = HttpOptions { rate_limit: Some(RateLimit::new(100_000)), ..quick() };
    let begun = Instant::now();
    let one = Source::open(&location(&server.url()), &options);
    let other = Source::open(&location(&server.url()), &options);
    let (path, request) = (checkpoint(), Get::up_to(100_000));
    let (first, second) =
        run(async { tokio::join!(one.get(&path, &request), other.get(&path, &request)) });
    assert!(first.is_ok() && second.is_ok());
    // a least time, which no slow machine makes shorter
    assert!(begun.elapsed() >= Duration::from_millis(390));
}

//! Networks as they are: proxies, credentials, broken transfers, dead mirrors, none at all.

mod common;

use std::fmt::Write as _;
use std::os::unix::fs::PermissionsExt as _;

use common::server::Server;
use common::{Ended, Machine, repository, two_versions};
use countersign_fixtures::{PatchSpec, Payload, Repository};

fn enroll(machine: &Machine, url: &str, repository: &Repository, more: &[&str]) -> Ended {
    let authority = format!("sha256:{}", repository.enrolment_fingerprint());
    machine.run(&[&["enroll", url, "--authority", &authority], more].concat())
}

/// A machine and a server with what the repository publishes.
fn served(repository: &Repository, authorization: Option<&str>) -> (Machine, Server) {
    let machine = Machine::new();
    machine.publish(repository);
    let server = Server::start(&machine.path("public"), authorization);
    (machine, server)
}

/// A repository with a patch of some 200 KB that no compression makes smaller.
fn large() -> Repository {
    let mut seed = 1_u64;
    let mut text = String::new();
    while text.len() < 400_000 {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        write!(text, "{:x}", seed >> 24).expect("a String takes all");
    }
    let mut repository = repository();
    let payload = Payload::new().file("opt/large", text);
    let index = repository.collect(&PatchSpec::full("large", "1.0.0", &payload));
    repository.release(&[index]);
    repository.publish();
    repository
}

#[test]
fn offline_opens_no_connection() {
    let repository = two_versions();
    let (machine, server) = served(&repository, None);
    enroll(&machine, &server.url(), &repository, &[]).success();
    let before = server.connections();
    assert!(before > 0);
    machine.run(&["--offline", "update"]).code(2).says("--offline forbids");
    machine.run(&["--offline", "install", "acme-agent", "--yes"]).code(6).says("not in the cache");
    for command in ["list", "status", "check", "sources", "history"] {
        machine.run(&["--offline", command]);
    }
    let mut quiet = machine.command(&["install", "acme-agent", "--yes"]);
    let ended = quiet.env("PATCHCTL_OFFLINE", "true").output().expect("it runs");
    assert_eq!(ended.status.code(), Some(6));
    assert_eq!(server.connections(), before);
    machine.run(&["install", "acme-agent", "--yes", "--download-only"]).success();
    let before = server.connections();
    machine.run(&["--offline", "install", "acme-agent", "--yes"]).success().says("installed");
    assert_eq!(server.connections(), before);
}

#[test]
fn a_broken_transfer_is_gone_on_with_by_the_next_run() {
    let repository = large();
    let (machine, server) = served(&repository, None);
    enroll(&machine, &server.url(), &repository, &[]).success();
    server.take();
    server.cut(20_000);
    let ranges = |server: &Server| {
        let archives = server.take().into_iter().filter(|(line, _)| line.contains(".patch "));
        archives.map(|(_, range)| range).collect::<Vec<_>>()
    };
    for range in [None, Some("bytes=20000-".to_owned())] {
        let mut once = machine.command(&["install", "large", "--yes"]);
        let ended = once.env("PATCHCTL_TRIES", "1").output().expect("it runs");
        assert_eq!(ended.status.code(), Some(6));
        assert!(String::from_utf8_lossy(&ended.stderr).contains("connection broke"));
        assert_eq!(ranges(&server), [range]);
    }
    server.cut(u64::MAX);
    machine.run(&["install", "large", "--yes"]).success().says("large 1.0.0 installed");
    assert_eq!(ranges(&server), [Some("bytes=40000-".to_owned())]);
}

#[test]
fn a_dead_mirror_is_passed_over_and_named() {
    let mut repository = two_versions();
    repository.publish_directory(1, &["http://127.0.0.1:1/"]);
    let (machine, server) = served(&repository, None);
    enroll(&machine, &server.url(), &repository, &[]).success();
    // from now on the directory's server is asked first
    let ended = machine.run(&["update"]).success();
    assert!(ended.stderr.contains("warning: http://127.0.0.1:1/"), "{}", ended.stderr);
    assert!(ended.stderr.contains("no connection"), "{}", ended.stderr);
    let report = &machine.json(&["update"])["sources"][0];
    assert_eq!(report["server"], server.url());
    assert_eq!(report["servers_failed"][0]["server"], "http://127.0.0.1:1/");
    let why = report["servers_failed"][0]["why"].as_str().expect("a text");
    assert!(why.contains("no connection"), "{why}");
    machine.run(&["install", "acme-agent", "--yes"]).success().says("warning: http://127.0.0.1:1/");
}

#[test]
fn the_proxy_of_the_environment_is_used_unless_the_settings_say_none() {
    let repository = two_versions();
    let (machine, proxy) = served(&repository, None);
    let authority = format!("sha256:{}", repository.enrolment_fingerprint());
    let arguments = ["enroll", "http://repository.invalid/", "--authority", &authority];
    let mut command = machine.command(&arguments);
    let ended = command.env("http_proxy", proxy.url()).output().expect("it runs");
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    let log = proxy.take();
    assert!(log.iter().all(|(line, _)| line.starts_with("GET http://repository.invalid/")));
    let mut command = machine.command(&["update"]);
    command.env("http_proxy", proxy.url()).env("PATCHCTL_PROXY", "none");
    assert_eq!(command.output().expect("it runs").status.code(), Some(6));
    assert_eq!(proxy.take(), []);
}

#[test]
fn credentials_open_a_closed_server_and_are_never_shown() {
    let repository = two_versions();
    let (machine, server) = served(&repository, Some("Bearer s3cret"));
    let refused = enroll(&machine, &server.url(), &repository, &[]).code(6);
    refused.says("401").says("credentials_file");
    let file = machine.path("token");
    std::fs::write(&file, "bearer s3cret\n").expect("written");
    let set = |mode| {
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).expect("set");
    };
    set(0o644);
    let with = ["--credentials-file", "token"];
    let before = server.connections();
    enroll(&machine, &server.url(), &repository, &with).code(3).says("only its owner may read it");
    assert_eq!(server.connections(), before);
    set(0o600);
    enroll(&machine, &server.url(), &repository, &with).success();
    let ended = machine.run(&["-vv", "install", "acme-agent", "--yes"]).success();
    assert!(!format!("{}{}", ended.stdout, ended.stderr).contains("s3cret"));
    let ended = enroll(&machine, "http://repository.invalid/", &repository, &with).code(3);
    ended.says("unencrypted").says("repository.invalid");
}

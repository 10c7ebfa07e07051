//! What an update finds and leaves in the state, and who reads it meanwhile (threats D.7, E.5).

use countersign_fixtures::{AuthorityKeys, RepositoryBuilder};
use countersign_format::layout;
use countersign_store::{Failover as _, Mirrors, Source};
use patchctl::trust::{Heads, Trust, TrustError};
use patchctl::update::{AttemptError, UpdateError, Updater};

use super::{add, grown, repository};
use crate::endpoint::Endpoint;

#[test]
fn entries_that_cannot_be_read_are_kept_and_passed_over() {
    let honest = repository();
    let mut repository = honest.clone();
    repository.wait(60);
    repository.collection.push(b"{\"type\":\"patch/v1\"}\n".to_vec());
    repository.collection.push(b"{\"type\":\"patch/v9\"}\n".to_vec());
    let again = repository.collection.entries()[0].clone();
    repository.collection.push(again);
    repository.distribution.push(b"nonsense".to_vec());
    add(&mut repository, "acme", "1.1.0");
    let mut endpoint = Endpoint::updated(&honest);
    let updated = endpoint.update(&repository).expect("one bad entry stops no log");
    assert_eq!(updated.oddities, 4);
    let id = endpoint.trust().id();
    assert_eq!(endpoint.database.patches(id).expect("patches").len(), 2);
    assert_eq!(endpoint.database.oddities(id, 10).expect("oddities").1, 4);
}

#[test]
fn a_full_disk_is_no_reason_to_ask_another_server() {
    let local = AttemptError::Database(patchctl::db::DatabaseError::Missing("state.db".into()));
    assert!(!local.is_worth_another_server());
}

#[test]
fn a_state_that_somebody_changed_is_not_trusted() {
    let honest = repository();
    let keys = AuthorityKeys::numbered(1, 3);
    let mut repository = honest.clone();
    repository.publish_authority(&keys);
    repository.publish();
    let stranger = AuthorityKeys::numbered(90, 3);
    let mut foreign = RepositoryBuilder::new().build();
    foreign.authority.authority.keys = stranger.vkeys();
    foreign.authority_keys = stranger.clone();
    foreign.publish_authority(&stranger);
    let note = foreign.files()[&layout::authority(2)].clone();

    let tampered = |statement: &str, bytes: &[u8]| {
        let endpoint = Endpoint::updated(&repository);
        let connection = rusqlite::Connection::open(endpoint.places.database()).expect("the state");
        let parameters: &[&dyn rusqlite::ToSql] =
            if statement.contains('?') { &[&bytes] } else { &[] };
        connection.execute(statement, parameters).expect("changed");
        Trust::load(&endpoint.database, &endpoint.config).expect_err("refused")
    };
    let swap = "UPDATE authority_note SET note = ?1 WHERE version = ";
    assert!(matches!(tampered(&format!("{swap} 2"), &note), TrustError::Policy(_)));
    assert!(matches!(tampered(&format!("{swap} 1"), &note), TrustError::AnchorLost(_)));
    let drop = "DELETE FROM authority_note WHERE version = 2";
    assert!(matches!(tampered(drop, &[]), TrustError::BelowFloor { floor: 2, reached: 1 }));
    let drop = "DELETE FROM authority_note";
    assert!(matches!(tampered(drop, &[]), TrustError::AnchorLost(_)));
    let other = format!("UPDATE source SET anchor = '{}'", "0".repeat(64));
    assert!(matches!(tampered(&other, &[]), TrustError::OtherAnchor { .. }));
    let other = "UPDATE source SET distribution = 'other'";
    assert!(matches!(tampered(other, &[]), TrustError::OtherDistribution { .. }));

    // a right edge that does not make the held head would accuse an honest log of a fork
    let endpoint = Endpoint::updated(&repository);
    let connection = rusqlite::Connection::open(endpoint.places.database()).expect("the state");
    let torn = "UPDATE log SET frontier = zeroblob(32) WHERE log = 'collection'";
    connection.execute(torn, []).expect("changed");
    let error = Heads::load(&endpoint.database, &endpoint.trust()).expect_err("refused");
    assert!(error.to_string().contains("log.frontier"), "{error}");
}

#[test]
fn an_update_needs_an_enrolment() {
    let honest = repository();
    let mut endpoint = Endpoint::new(&honest);
    endpoint.config.name = "other".parse().expect("a name");
    let refused = endpoint.update(&honest);
    assert!(matches!(refused, Err(UpdateError::Trust(TrustError::NotEnrolled(_)))));
}

/// Reads the state whenever something is reported.
struct Reader(std::path::PathBuf, u32);

impl patchctl::report::Reporter for Reader {
    fn report(&mut self, event: &patchctl::report::Event<'_>) {
        if matches!(event, patchctl::report::Event::Following { .. }) {
            let database = patchctl::db::Database::open_read_only(&self.0).expect("readable");
            assert_eq!(database.sources().expect("readable").len(), 1);
            self.1 += 1;
        }
    }
}

#[test]
fn nobody_waits_for_the_network_to_read_the_state() {
    let honest = repository();
    let mut endpoint = Endpoint::updated(&honest);
    // more than SQLite keeps in memory before it shuts readers out
    let mut large = grown(&honest);
    for number in 0..300 {
        large.collection.push(format!("{number:030000}").into_bytes());
    }
    add(&mut large, "acme", "2.0.0");
    let mirrors = Mirrors::new(vec![Source::memory("server", &large.memory())]);
    let mut reader = Reader(endpoint.places.database(), 0);
    let Endpoint { database, places, config, .. } = &mut endpoint;
    let updater = Updater { database, places, config, now: large.now };
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let done = runtime.block_on(updater.run(&mirrors, &mut reader)).expect("honest");
    assert_eq!((done.collection.1, reader.1), (303, 2));
}

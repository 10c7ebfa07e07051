//! The directory: it says where servers are, and nothing else.

use countersign_fixtures::{AuthorityKeys, Repository};
use countersign_format::layout;
use countersign_format::note::Note;
use countersign_store::{HttpOptions, Source};

use super::{DAY, repository};
use crate::endpoint::Endpoint;

#[test]
fn a_directory_moves_traffic_and_cannot_stop_it() {
    let mut repository = repository();
    repository.publish_directory(1, &["https://mirror.example.net/"]);
    let mut endpoint = Endpoint::new(&repository);
    let updated = endpoint.update(&repository).expect("honest");
    assert_eq!(updated.directory, None);
    let locations = |endpoint: &Endpoint, now| -> Vec<String> {
        let (trust, heads) = (endpoint.trust(), endpoint.heads());
        let found = trust.locations(&endpoint.database, &heads, &endpoint.config, None, now);
        found.expect("places").iter().map(ToString::to_string).collect()
    };
    let both = ["https://mirror.example.net/", "/nowhere"];
    assert_eq!(locations(&endpoint, repository.now), both);
    // not asked for again before a day is over
    assert_eq!(endpoint.update(&repository).expect("honest").statistics.requests, 3 + 1 + 1 - 2);
    // an older one, and one that is not signed, are told and not followed
    repository.wait(DAY);
    repository.publish_directory(0, &["https://evil.example.net/"]);
    repository.publish();
    let updated = endpoint.update(&repository).expect("it can stop nothing");
    assert!(updated.directory.is_some_and(|why| why.contains("went back")));
    repository.wait(DAY);
    repository
        .edit_note(&layout::directory(), |note| Note::new(note.text().to_owned(), Vec::new()));
    repository.publish();
    assert!(endpoint.update(&repository).expect("it can stop nothing").directory.is_some());
    assert_eq!(locations(&endpoint, repository.now), both);
    assert_eq!(locations(&endpoint, repository.now.plus(90 * DAY)), ["/nowhere"]);
}

#[test]
fn a_directory_is_asked_for_in_the_update_that_learns_of_its_keys() {
    let mut repository = repository();
    let keys = repository.authority_keys.clone();
    let listed = std::mem::take(&mut repository.authority.directory.keys);
    repository.publish_authority(&keys);
    repository.publish_directory(1, &["https://mirror.example.net/"]);
    let mut endpoint = Endpoint::new(&repository);
    endpoint.update(&repository).expect("no directory yet");
    let held = |endpoint: &Endpoint| {
        let held = endpoint.database.held_directory(endpoint.trust().id());
        held.expect("read").and_then(|held| held.note)
    };
    assert_eq!(held(&endpoint), None);
    repository.authority.directory.keys = listed;
    repository.publish_authority(&keys);
    endpoint.update(&repository).expect("listed");
    assert!(held(&endpoint).is_some(), "not a day later");
    // one that was asked for just now is asked for again when its keys change
    repository.authority.directory.keys.extend(AuthorityKeys::numbered(70, 1).vkeys());
    repository.publish_authority(&keys);
    repository.publish_directory(2, &["https://other.example.net/"]);
    endpoint.update(&repository).expect("changed");
    let note = String::from_utf8(held(&endpoint).expect("held")).expect("text");
    assert!(note.contains("other.example.net"), "{note}");
}

#[test]
fn a_hostile_directory_does_no_more_than_delay() {
    let mut repository = repository();
    let mut endpoint = Endpoint::updated(&repository);
    // sixteen dead servers, and this machine itself
    let dead: Vec<_> = (1..=16).map(|n| format!("http://127.0.0.1:{n}/")).collect();
    let dead: Vec<_> = dead.iter().map(String::as_str).collect();
    repository.wait(DAY);
    repository.publish_directory(2, &dead);
    repository.publish();
    assert_eq!(endpoint.update(&repository).expect("honest").directory, None);
    let locations = |endpoint: &Endpoint, now| {
        let (trust, heads) = (endpoint.trust(), endpoint.heads());
        trust.locations(&endpoint.database, &heads, &endpoint.config, None, now).expect("places")
    };
    let found = locations(&endpoint, repository.now);
    let texts: Vec<_> = found.iter().map(ToString::to_string).collect();
    assert_eq!(texts, [dead.as_slice(), &["/nowhere"]].concat());
    let http = HttpOptions { tries: 1, ..HttpOptions::default() };
    let mut servers: Vec<_> =
        found[..16].iter().map(|location| Source::open(location, &http)).collect();
    servers.push(Source::memory("enrolled", &repository.memory()));
    let updated = endpoint.update_from(repository.now, servers).expect("the enrolled one");
    assert_eq!((updated.server.as_str(), updated.failed.len()), ("enrolled", 16));

    // files of this machine, more than are followed, more than is read, an order of its own making
    let urls = |urls: Vec<String>| urls.iter().map(|url| url.as_str().into()).collect::<Vec<_>>();
    let expires = repository.now.plus(90 * DAY);
    let mut refused = |repository: &mut Repository| {
        repository.wait(DAY);
        repository.publish();
        let updated = endpoint.update(repository).expect("it can stop nothing");
        assert_eq!(locations(&endpoint, repository.now), found);
        updated.directory.expect("it is said")
    };
    repository.publish_directory_of(3, urls(vec!["file:///etc/".into()]), expires);
    assert!(refused(&mut repository).contains("not a plain http or https base"));
    let many = (0..17).map(|n| format!("https://m{n}.example.net/")).collect();
    repository.publish_directory_of(3, urls(many), expires);
    assert!(refused(&mut repository).contains("more than 16 URLs"));
    repository.edit(&layout::directory(), |bytes| bytes.resize(2 << 20, b' '));
    assert!(refused(&mut repository).contains("bytes"));
    repository.publish_directory_of(3, urls(vec!["https://x.example.net/".into()]), repository.now);
    assert!(refused(&mut repository).contains("expired"));
}

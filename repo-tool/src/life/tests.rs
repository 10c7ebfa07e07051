use countersign_fixtures::{AuthorityKeys, PatchSpec, Payload, Repository, RepositoryBuilder};

use super::*;
use crate::blocking::block_on;

const DAY: u64 = 86_400;

fn repository() -> Repository {
    let mut repository = RepositoryBuilder::new().build();
    let payload = Payload::new().file("opt/acme", "1");
    let index = repository.collect(&PatchSpec::full("acme", "1.0.0", &payload));
    repository.release(&[index]);
    repository.publish_directory(3, &["https://192.0.2.10/"]);
    repository.publish();
    repository
}

fn seen(repository: &Repository) -> Result<Seen, LifeError> {
    let source = Source::memory("repository", &repository.memory());
    block_on(look(&source, &repository.authority))
}

#[test]
fn heads_and_the_directory_lapse_when_clients_say_so() {
    let repository = repository();
    let authority = repository.authority.clone();
    let seen = seen(&repository).expect("a good repository");
    let mut at: Vec<_> = seen.deadlines.iter().map(|one| one.at.since(repository.now)).collect();
    at.sort_unstable();
    let (collection, own) = (authority.collection.max_age, authority.distributions[0].log.max_age);
    assert_eq!(at, [own, own, collection, 90 * DAY]);
    let lapsed = seen.deadlines.iter().min().expect("several");
    assert!(lapsed.what.contains("distribution's"), "{lapsed:?}");
    // both servers' keys were seen at the time of the heads
    assert_eq!(seen.times.len(), 2);
    assert!(seen.times.values().all(|time| *time == repository.now));
}

#[test]
fn what_is_not_signed_as_the_authority_says_has_no_age() {
    let mut repository = repository();
    let path = layout::checkpoint(Log::Distribution);
    repository.edit_note(&path, |note| {
        countersign_format::note::Note::new(note.text().to_owned(), Vec::new())
    });
    assert!(matches!(seen(&repository), Err(LifeError::Policy { .. })));
    repository.files_mut().remove(&layout::checkpoint(Log::Collection));
    assert!(matches!(seen(&repository), Err(LifeError::Missing { .. })));
}

#[test]
fn keys_are_known_from_the_version_on_that_lists_them() {
    let mut repository = repository();
    let before = repository.authority.clone();
    let keys = AuthorityKeys::numbered(40, 2);
    repository.authority.authority.keys = keys.vkeys();
    repository.authority.authority.threshold = 1;
    repository.authority.collection.keys[0].until = Some(1);
    repository.publish_authority(&keys);
    let version = |note: &AuthorityNote| Version { note: note.clone(), written: None };
    let versions = [version(&before), version(&repository.authority)];
    let lives = super::keys(&versions, &SignerTimes::new());
    let of = |role: &str| lives.iter().filter(|life| life.role == role).collect::<Vec<_>>();
    let authority = of("authority");
    let (new, old) = authority.split_at(2);
    assert!(new.iter().all(|life| life.since_version == 2 && !life.dropped), "{new:?}");
    assert!(old.iter().all(|life| life.since_version == 1 && life.dropped), "{old:?}");
    assert_eq!(old.len(), before.authority.keys.len());
    let collection = of("collection")[0];
    assert_eq!((collection.since_version, collection.retired_from), (1, Some(1)));
    assert_eq!(collection.epoch, Some(1));
}

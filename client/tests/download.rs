//! Fetching patches: the first good server serves, and what lies or is broken is named and costs
//! nothing else.

mod endpoint;

use std::cell::RefCell;

use countersign_fixtures::{PatchSpec, Payload, Repository, RepositoryBuilder, Server};
use countersign_format::hash::Hash32;
use countersign_format::key::SignatureType;
use countersign_format::layout;
use countersign_format::name::Platform;
use countersign_store::{Mirrors, Source};
use patchctl::catalogue::{Catalogue, Offer};
use patchctl::download::{
    DownloadError, Downloader, ObtainError, Obtained, OtherArchive, missing, obtain_all,
};
use patchctl::report::{Event, Reporter, Silent};

use endpoint::Endpoint;

const COUNT: u64 = 6;

fn repository() -> Repository {
    let mut repository = RepositoryBuilder::new().build();
    let patches: Vec<u64> = (0..COUNT)
        .map(|number| {
            let payload = Payload::new().file("opt/x", format!("content {number}").repeat(99));
            repository.collect(&PatchSpec::full(&format!("patch-{number}"), "1.0.0", &payload))
        })
        .collect();
    repository.release(&patches);
    repository.publish();
    repository
}

fn obtain(
    endpoint: &Endpoint,
    repository: &Repository,
    servers: &[(&str, &Repository)],
    reporter: &mut dyn Reporter,
) -> (Result<Vec<Obtained>, DownloadError>, Vec<String>) {
    let configs = [endpoint.config.clone()];
    let catalogue = Catalogue::load(&endpoint.database, &configs, Platform::any(), repository.now);
    let catalogue = catalogue.expect("an untouched state");
    let offers = catalogue.offers(&endpoint.database).expect("patches");
    let source =
        |(name, repository): &(&str, &Repository)| Source::memory(name, &repository.memory());
    let mirrors = Mirrors::new(servers.iter().map(source).collect());
    let downloader = Downloader {
        source: &catalogue.sources()[0],
        mirrors: Some(&mirrors),
        cache: &endpoint.places.cache,
    };
    let offers: Vec<&Offer> = offers.iter().collect();
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let obtained = runtime.block_on(obtain_all(&[downloader], &offers, 4, reporter));
    let failed = mirrors.failures().into_iter().map(|passed| passed.source).collect();
    (obtained, failed)
}

fn hash(repository: &Repository, index: usize) -> Hash32 {
    let entry =
        countersign_format::entry::PatchEntry::parse(&repository.collection.entries()[index]);
    entry.expect("a patch").archive.sha256
}

#[derive(Default)]
struct Seen(RefCell<Vec<(String, u64, u64)>>);

impl Reporter for Seen {
    fn report(&mut self, event: &Event<'_>) {
        if let Event::Downloading { name, done, total, .. } = event {
            self.0.borrow_mut().push(((*name).to_owned(), *done, *total));
        }
    }
}

#[test]
fn all_come_side_by_side_and_in_order() {
    let repository = repository();
    let endpoint = Endpoint::updated(&repository);
    let mut seen = Seen::default();
    let (obtained, _) = obtain(&endpoint, &repository, &[("good", &repository)], &mut seen);
    let indexes: Vec<u64> = obtained.expect("all").iter().map(|one| one.note.index).collect();
    assert_eq!(indexes, (0..COUNT).collect::<Vec<_>>());
    let finished = seen.0.borrow().iter().filter(|(_, done, total)| done == total).count();
    assert!(finished >= usize::try_from(COUNT).expect("few"));
    // the second time nothing is asked for
    let (again, failed) = obtain(&endpoint, &repository, &[], &mut Silent);
    assert!(again.is_ok() && failed.is_empty());
}

#[test]
fn a_server_that_lies_is_named_and_the_next_one_serves() {
    let repository = repository();
    let path = layout::archive(&hash(&repository, 3));
    let note = layout::patch_note(&hash(&repository, 3));
    let mut flipped = repository.clone();
    flipped.edit(&path, |bytes| *bytes.last_mut().expect("some") ^= 1);
    let mut cut = repository.clone();
    cut.edit(&path, |bytes| bytes.truncate(100));
    let mut gone = repository.clone();
    gone.files_mut().remove(&path);
    let mut unsigned = repository.clone();
    let distribution = Server::new("patches.example.org/distribution", 1);
    unsigned.drop_lines(&note, &distribution, SignatureType::Countersignature);
    for bad in [&flipped, &cut, &gone, &unsigned] {
        let endpoint = Endpoint::updated(&repository);
        let servers = [("bad", bad), ("good", &repository)];
        let (obtained, failed) = obtain(&endpoint, &repository, &servers, &mut Silent);
        assert_eq!(obtained.expect("the second is good").len(), 6);
        assert_eq!(failed, ["bad"]);
    }
    let refused = |bad: &Repository| {
        let endpoint = Endpoint::updated(&repository);
        let (obtained, _) = obtain(&endpoint, &repository, &[("bad", bad)], &mut Silent);
        let mut error = obtained.expect_err("nobody has it");
        assert_eq!(error.name, "patch-3");
        error.why.failures.pop().expect("one server").1
    };
    let other = |how: &OtherArchive| match how {
        OtherArchive::Size { found, .. } => *found,
        OtherArchive::Hash => 0,
    };
    assert!(matches!(refused(&flipped), ObtainError::Other { how, .. } if other(&how) == 0));
    assert!(matches!(refused(&cut), ObtainError::Other { how, .. } if other(&how) == 100));
    assert!(matches!(refused(&gone), ObtainError::Missing { .. }));
    assert!(matches!(refused(&unsigned), ObtainError::Policy(_)));
}

#[test]
fn what_lies_in_the_cache_is_not_believed() {
    let repository = repository();
    let endpoint = Endpoint::updated(&repository);
    let cache = &endpoint.places.cache;
    let (obtained, _) = obtain(&endpoint, &repository, &[("good", &repository)], &mut Silent);
    assert!(obtained.is_ok());
    let archive = cache.join(layout::archive(&hash(&repository, 0)));
    let note = cache.join(layout::patch_note(&hash(&repository, 1)));
    let whole = std::fs::read(&archive).expect("cached");
    let mut changed = whole.clone();
    *changed.last_mut().expect("some") ^= 1;
    std::fs::write(&archive, &changed).expect("written");
    std::fs::write(&note, "nonsense").expect("written");
    // the beginning of another archive lies where a broken transfer would go on
    let third = cache.join(layout::archive(&hash(&repository, 2)));
    std::fs::rename(&third, third.with_extension("patch.part")).expect("renamed");
    std::fs::write(third.with_extension("patch.part"), "other bytes").expect("written");
    let (obtained, _) = obtain(&endpoint, &repository, &[("good", &repository)], &mut Silent);
    assert!(obtained.is_ok());
    assert_eq!(std::fs::read(&archive).expect("fetched anew"), whole);
    assert!(!third.with_extension("patch.part").exists());
}

#[test]
fn what_is_there_need_not_be_fetched() {
    let repository = repository();
    let endpoint = Endpoint::updated(&repository);
    let configs = [endpoint.config.clone()];
    let catalogue = Catalogue::load(&endpoint.database, &configs, Platform::any(), repository.now);
    let offers = catalogue.expect("a state").offers(&endpoint.database).expect("patches");
    let offers: Vec<&Offer> = offers.iter().collect();
    let all: u64 = offers.iter().map(|offer| offer.entry().archive.size).sum();
    assert_eq!(missing(&endpoint.places.cache, &offers), all);
    let (obtained, _) = obtain(&endpoint, &repository, &[("good", &repository)], &mut Silent);
    assert!(obtained.is_ok());
    assert_eq!(missing(&endpoint.places.cache, &offers), 0);
    patchctl::download::forget(&endpoint.places.cache, &offers[..1]).expect("removed");
    assert_eq!(missing(&endpoint.places.cache, &offers), offers[0].entry().archive.size);
}

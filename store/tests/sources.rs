//! Every kind of source answers alike, and several of them stand in for one another.

mod support;

use std::fs;
use std::io::Write as _;
use std::sync::Arc;

use countersign_format::layout::{self, Log, RepoPath};
use countersign_store::memory::ReadFault;
use countersign_store::{
    Cause, Download, Failover as _, Get, GetError, Got, HttpOptions, Location, MemoryRepository,
    Mirrors, Source,
};
use support::{Piece, Server, archive, checkpoint, quick, run, serve_object};

const OBJECT: &[u8] = b"0123456789abcdef";

/// One object in a directory, on a web server and in memory.
struct Places {
    directory: tempfile::TempDir,
    server: Server,
    memory: MemoryRepository,
}

impl Places {
    fn new(path: &RepoPath) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join(path);
        fs::create_dir_all(file.parent().expect("a parent")).expect("directories");
        fs::write(file, OBJECT).expect("a file");
        let memory = MemoryRepository::new();
        memory.replace(path, OBJECT);
        let target = format!("/{path}");
        let server = Server::start(move |request| {
            serve_object(request, (request.target == target).then_some(OBJECT))
        });
        Self { directory, server, memory }
    }

    fn sources(&self) -> [Source; 3] {
        let directory = Location::Directory(self.directory.path().to_owned());
        [
            Source::open(&directory, &HttpOptions::default()),
            self.server.source(),
            Source::memory("memory", &self.memory),
        ]
    }
}

/// An answer without the validator, which is each source's own.
fn told(got: Result<Got, GetError>) -> String {
    match got {
        Ok(Got::Whole { bytes, validator }) => {
            format!("whole {:?} {}", String::from_utf8(bytes), validator.is_some())
        }
        Ok(other) => format!("{other:?}"),
        Err(error) => format!("{:?}", error.cause),
    }
}

#[test]
fn all_sources_answer_alike() {
    let places = Places::new(&checkpoint());
    let (present, absent) = (checkpoint(), layout::checkpoint(Log::Distribution));
    let below_a_file = layout::bundle(Log::Collection, 0, 256);
    let requests = [
        (&present, Get::up_to(16)),
        (&present, Get::up_to(15)),
        (&present, Get::up_to(0)),
        (&present, Get::up_to(100).range(0, None)),
        (&present, Get::up_to(100).range(10, None)),
        (&present, Get::up_to(100).range(10, Some(3))),
        (&present, Get::up_to(100).range(10, Some(6))),
        (&present, Get::up_to(100).range(10, Some(100))),
        (&present, Get::up_to(100).range(15, Some(1))),
        (&present, Get::up_to(100).range(16, None)),
        (&present, Get::up_to(100).range(17, Some(4))),
        (&present, Get::up_to(5).range(10, None)),
        (&present, Get::up_to(6).range(10, None)),
        (&present, Get::up_to(100).unless("\"other\"".parse().ok())),
        (&absent, Get::up_to(100)),
        (&absent, Get::up_to(100).range(3, None)),
        (&below_a_file, Get::up_to(100)),
    ];
    run(async {
        for (path, request) in &requests {
            let [directory, http, memory] = places.sources();
            let directory = told(directory.get(path, request).await);
            assert_eq!(told(http.get(path, request).await), directory, "{path}: {request:?}");
            assert_eq!(told(memory.get(path, request).await), directory, "{path}: {request:?}");
        }
        for source in places.sources() {
            let got = source.get(&present, &Get::up_to(100)).await.expect("the object");
            let Got::Whole { validator, .. } = got else { panic!("{got:?}") };
            let again = source.get(&present, &Get::up_to(100).unless(validator)).await;
            assert_eq!(again.expect("an answer"), Got::NotModified, "{}", source.name());
            assert_eq!(source.statistics().requests, 2);
        }
    });
}

#[test]
fn all_sources_download_alike() {
    let places = Places::new(&archive());
    let downloads = [
        (16, &b""[..], "Ok(true)", OBJECT),
        (16, &OBJECT[..7], "Ok(true)", OBJECT),
        (16, b"0123456789abcdefghi", "Ok(true)", OBJECT),
        (16, OBJECT, "Ok(true)", OBJECT),
        (15, b"012", "Err(WrongSize { expected: 15, found: 16 })", b"012"),
        (17, b"012", "Err(WrongSize { expected: 17, found: 16 })", b"012"),
    ];
    run(async {
        for (size, held, outcome, left) in downloads {
            for source in places.sources() {
                let mut file = tempfile::NamedTempFile::new().expect("a file");
                file.write_all(held).expect("written");
                let request = Download { size };
                let mut reached = 0;
                let answer = source
                    .download(&archive(), &request, file.as_file_mut(), |now| reached = now)
                    .await
                    .map_err(|error| error.cause);
                assert_eq!(format!("{answer:?}"), outcome, "{}", source.name());
                assert_eq!(fs::read(file.path()).expect("the file"), left, "{}", source.name());
                if outcome == "Ok(true)" && held.len() != 16 {
                    assert_eq!(reached, size);
                }
            }
        }
        let absent = layout::archive(&countersign_format::hash::Hash32::of(b"other"));
        for source in places.sources() {
            let mut file = tempfile::tempfile().expect("a file");
            let answer = source.download(&absent, &Download { size: 1 }, &mut file, |_| {}).await;
            assert!(!answer.expect("an answer"));
        }
    });
}

#[test]
fn a_changed_file_is_noticed_even_within_a_clock_tick() {
    let places = Places::new(&checkpoint());
    let [directory, ..] = places.sources();
    run(async {
        let mut known = None;
        for round in 0..50 {
            let text = format!("checkpoint {round:02}");
            let (root, path) = (places.directory.path(), checkpoint());
            let access = countersign_store::durable::Access::Public;
            countersign_store::durable::write_atomic(root, path.as_ref(), text.as_bytes(), access)
                .expect("written");
            let got = directory.get(&path, &Get::up_to(100).unless(known)).await;
            let Ok(Got::Whole { bytes, validator }) = got else { panic!("{got:?}") };
            assert_eq!(bytes, text.as_bytes());
            known = validator;
        }
    });
}

#[test]
fn what_is_no_file_is_refused_without_waiting() {
    let places = Places::new(&archive());
    let [directory, ..] = places.sources();
    let pipe = places.directory.path().join("directory");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status().expect("mkfifo");
    assert!(made.success());
    let error = run(directory.get(&layout::directory(), &Get::up_to(9))).expect_err("a pipe");
    assert!(matches!(error.cause, Cause::NotFile), "{error:?}");
    fs::remove_file(&pipe).and_then(|()| fs::create_dir(&pipe)).expect("a directory");
    let error = run(directory.get(&layout::directory(), &Get::up_to(9))).expect_err("a directory");
    assert!(matches!(error.cause, Cause::NotFile), "{error:?}");
}

#[test]
fn a_directory_that_is_gone_is_not_an_empty_repository() {
    let places = Places::new(&archive());
    let [directory, ..] = places.sources();
    places.directory.close().expect("removed");
    let error = run(directory.get(&checkpoint(), &Get::up_to(9))).expect_err("it is gone");
    assert!(error.is_unreachable());
}

/// Reads the checkpoint and takes only the good one.
async fn read_good(source: &Arc<Source>) -> Result<Vec<u8>, GetError> {
    match source.get(&checkpoint(), &Get::up_to(100)).await? {
        Got::Whole { bytes, .. } if bytes == OBJECT => Ok(bytes),
        _ => Err(GetError { location: source.name().into(), cause: Cause::NotFile }),
    }
}

#[test]
fn a_bad_first_mirror_is_named_and_asked_last() {
    let dead = Server::start(|_| vec![Piece::Close]);
    let liar = MemoryRepository::new();
    liar.replace(&checkpoint(), b"something else");
    let good = Places::new(&checkpoint());
    let [_, http, memory] = good.sources();
    let lying = Source::memory("liar", &liar);
    let mirrors = Mirrors::new(vec![dead.source_with(&quick()), lying, http, memory]);
    run(async {
        for _ in 0..2 {
            let (bytes, source) = mirrors.try_each(read_good).await.expect("the third");
            assert_eq!((bytes.as_slice(), source.name()), (OBJECT, good.server.url().as_str()));
        }
    });
    let failures = mirrors.failures();
    let names: Vec<_> = failures.iter().map(|passed| passed.source.as_str()).collect();
    assert_eq!(names, [&dead.url(), "liar"]);
    assert!(failures[0].why.contains("cannot read"), "{}", failures[0].why);
    // asked once, with its tries, and not again
    assert_eq!(dead.requests(), 3);
    assert_eq!(mirrors.statistics().requests, 3 + 1 + 2);
    assert_eq!(mirrors.sources()[3].statistics().requests, 0);
}

#[test]
fn when_all_fail_each_is_named_and_a_local_fault_ends_it() {
    let stalled = Source::memory("first", &MemoryRepository::new());
    let empty = Source::memory("second", &MemoryRepository::new());
    let mirrors = Mirrors::new(vec![stalled, empty]);
    let failed = run(mirrors.try_each(read_good)).expect_err("both are empty");
    let names: Vec<_> = failed.failures.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["first", "second"]);
    assert!(failed.to_string().contains("first: cannot read first: not a regular file"));
    // those that failed before are asked again when there is no other
    assert_eq!(run(mirrors.try_each(read_good)).expect_err("still").failures.len(), 2);

    let full = async |source: &Arc<Source>| -> Result<(), GetError> {
        let cause = Cause::Local(std::io::ErrorKind::StorageFull.into());
        Err(GetError { location: source.name().into(), cause })
    };
    let failed = run(mirrors.try_each(full)).expect_err("full");
    assert_eq!(failed.failures.len(), 1);
    assert!(!failed.into_last().expect("an error").is_worth_another_server());
    let none = run(Mirrors::new(Vec::new()).try_each(read_good)).expect_err("none");
    assert_eq!(none.to_string(), "no server to ask");
}

#[test]
fn memory_reads_lie_on_cue() {
    let memory = MemoryRepository::new();
    let path = checkpoint();
    memory.replace(&path, b"old");
    memory.replace(&path, b"new");
    let source = Source::memory("memory", &memory);
    let read = |fault| {
        memory.fail_read(0, fault);
        told(run(source.get(&path, &Get::up_to(100))))
    };
    assert_eq!(read(ReadFault::Stale), "whole Ok(\"old\") true");
    assert_eq!(read(ReadFault::Truncated(2)), "whole Ok(\"ne\") true");
    assert_eq!(read(ReadFault::Flipped(0)), "whole Ok(\"oew\") true");
    assert_eq!(read(ReadFault::Missing), "NotFound");
    assert!(read(ReadFault::Stalled).starts_with("Stalled"));
    assert!(read(ReadFault::Error(std::io::ErrorKind::TimedOut)).starts_with("Read"));
    assert!(!memory.has_fault_to_come());
    assert_eq!(told(run(source.get(&path, &Get::up_to(100)))), "whole Ok(\"new\") true");
}

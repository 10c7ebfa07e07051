//! What the programs do most often, by itself: `cargo bench --bench library`, or with a word of a
//! name behind `--`. Whole commands beside other programs are what `compare` is for.

#![forbid(unsafe_code)]

use std::hint::black_box;

use countersign_fixtures::{NOW, PatchSpec, Payload, Repository, RepositoryBuilder};
use countersign_format::authority::AuthorityNote;
use countersign_format::entry::CollectionEntry;
use countersign_format::layout::{self, Log};
use countersign_format::limits::MAX_NOTE;
use countersign_format::merkle::{
    Frontier, NodeReader, leaf_hash, node_hash, prove_consistency, prove_inclusion,
    verify_consistency, verify_inclusion,
};
use countersign_format::note::Note;
use countersign_format::pack::{self, Order, PackReader};
use countersign_format::policy::{
    Chain, CheckpointContext, Clock, PatchContext, SignerTimes, verify_checkpoint, verify_patch,
};
use countersign_format::signature::{SeedSigner, Signer as _, sign_note};
use countersign_format::time::Timestamp;
use countersign_format::{archive, hash::Hash32, tile};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

/// Entries of a pack of level 1.
const ENTRIES: u64 = 4096;

/// A published repository with a history and one patch that can be installed.
struct Published {
    repository: Repository,
    authority: AuthorityNote,
    patch: u64,
    /// SHA-256 of the patch's archive.
    archive: Hash32,
}

fn published() -> Published {
    let mut repository = RepositoryBuilder::new().build();
    repository.collect_history(ENTRIES - 1);
    let payload = Payload::new().file("opt/acme/agent", "version one");
    let spec = PatchSpec::full("acme-agent", "1.0.0", &payload);
    let patch = repository.collect(&spec);
    repository.release(&[patch]);
    repository.publish();
    let chain = Chain::enroll(&repository.enrolment(), "authority/1").expect("its own signature");
    let authority = AuthorityNote::clone(chain.newest());
    Published { repository, authority, patch, archive: spec.archive().1.sha256 }
}

impl Published {
    fn entries(&self) -> Vec<Vec<u8>> {
        let files = self.repository.files();
        let bundle = |index| &files[&layout::bundle(Log::Collection, index, 256)];
        let parse = |index| tile::parse_entries(bundle(index), 256).expect("a bundle");
        (0..ENTRIES / 256).flat_map(parse).map(<[u8]>::to_vec).collect()
    }
}

/// Both signatures on both layers: what each update and each patch costs besides its bytes.
fn signatures(criterion: &mut Criterion) {
    let published = published();
    let Published { repository, authority, patch, archive } = &published;
    let distribution = &authority.distributions[0];
    let mut group = criterion.benchmark_group("signatures");
    let newest = SignerTimes::new();
    let path = layout::checkpoint(Log::Collection);
    let context = CheckpointContext {
        file: path.as_str(),
        log: Log::Collection,
        authority,
        distribution,
        clock: Clock::local(Timestamp::from_seconds(NOW).expect("a time")),
        newest: &newest,
    };
    let bytes = &repository.files()[&path];
    group.bench_function("checkpoint of the collection's log, verdicts known", |bencher| {
        bencher.iter(|| verify_checkpoint(black_box(bytes), &context).expect("both signed it"));
    });

    let entries = published.entries();
    let path = layout::patch_note(archive);
    let entry = &entries[usize::try_from(*patch).expect("a small log")];
    let context = PatchContext { file: path.as_str(), authority, entry, index: *patch };
    let bytes = &repository.files()[&path];
    group.bench_function("patch note, verdicts known", |bencher| {
        bencher.iter(|| {
            verify_patch(black_box(bytes), &context, distribution, 0).expect("both signed it")
        });
    });
    // more than a process keeps verdicts of
    let signer = SeedSigner::new("example.org/log".parse().expect("a name"), &[7; 32]);
    let sign = |number: u64| sign_note(&signer, &format!("{number}\n")).expect("it signs");
    let lines: Vec<[u8; 64]> =
        (0..8192).map(|number| sign(number).body.try_into().expect("64 bytes")).collect();
    let mut number = 0;
    group.bench_function("one signature", |bencher| {
        bencher.iter(|| {
            number = (number + 1) % lines.len();
            assert!(signer.public_key().verifies(format!("{number}\n").as_bytes(), &lines[number]));
        });
    });
    group.bench_function("note, parsed only", |bencher| {
        bencher.iter(|| Note::parse(black_box(bytes), MAX_NOTE).expect("a note"));
    });
}

/// Entries on their way from a pack to the tree's root, which is what a first update does.
fn entries(criterion: &mut Criterion) {
    let entries = published().entries();
    let bytes: usize = entries.iter().map(Vec::len).sum();
    let packed = pack::compress(Order::Bundles, entries.iter().map(Vec::as_slice), 19)
        .expect("zstd takes it")
        .expect("few enough bytes");
    let mut group = criterion.benchmark_group(format!("{ENTRIES} entries"));
    group.throughput(Throughput::Bytes(bytes as u64)).sample_size(20);
    group.bench_function("read from a pack", |bencher| {
        bencher.iter(|| {
            let mut reader = PackReader::new(black_box(&packed[..]), ENTRIES).expect("a pack");
            let mut total = 0;
            while let Some(entry) = reader.read().expect("an entry") {
                total += entry.len();
            }
            assert_eq!(total, bytes);
        });
    });
    group.bench_function("hashed to the tree's root", |bencher| {
        bencher.iter(|| {
            let mut frontier = Frontier::empty();
            for entry in black_box(&entries) {
                frontier.push(leaf_hash(entry));
            }
            frontier.root()
        });
    });
    group.bench_function("parsed", |bencher| {
        bencher.iter(|| {
            for entry in black_box(&entries) {
                black_box(CollectionEntry::parse(entry).expect("an entry"));
            }
        });
    });
}

/// A full binary tree of hashes, level by level.
struct Nodes(Vec<Vec<Hash32>>);

impl Nodes {
    fn of(leaves: Vec<Hash32>) -> Self {
        let mut levels = vec![leaves];
        while let Some(level) = levels.last().filter(|level| level.len() > 1) {
            let pairs = level.chunks_exact(2);
            levels.push(pairs.map(|pair| node_hash(&pair[0], &pair[1])).collect());
        }
        Self(levels)
    }
}

impl NodeReader for Nodes {
    type Error = std::convert::Infallible;

    fn node(&mut self, level: u8, index: u64) -> Result<Hash32, Self::Error> {
        Ok(self.0[usize::from(level)][usize::try_from(index).expect("a small tree")])
    }
}

/// Proofs of a place in the tree, and that a tree goes on from an earlier one.
fn proofs(criterion: &mut Criterion) {
    let size = 1 << 17;
    let leaves: Vec<Hash32> = (0..size as u64).map(|n| leaf_hash(&n.to_be_bytes())).collect();
    let root_of = |count: usize| {
        let mut frontier = Frontier::empty();
        leaves[..count].iter().for_each(|leaf| frontier.push(*leaf));
        frontier.root()
    };
    let (old, new) = (100_000, size as u64);
    let (old_root, root) = (root_of(100_000), root_of(size));
    let leaf = leaves[4711];
    let mut nodes = Nodes::of(leaves);
    let mut group = criterion.benchmark_group("proofs, 131072 entries");
    let Ok(inclusion) = prove_inclusion(4711, new, &mut nodes);
    group.bench_function("inclusion verified", |bencher| {
        bencher.iter(|| {
            verify_inclusion(black_box(leaf), 4711, new, &inclusion, &root).expect("it is in");
        });
    });
    let Ok(consistency) = prove_consistency(old, new, &mut nodes);
    group.bench_function("consistency verified", |bencher| {
        bencher.iter(|| {
            verify_consistency(old, black_box(&old_root), new, &root, &consistency)
                .expect("it goes on");
        });
    });
}

/// An archive of 16 MiB: inflated, its members checked and hashed, and the whole hashed.
fn archives(criterion: &mut Criterion) {
    let mut number = 0x9e37_79b9_u32;
    let mut content = || -> Vec<u8> {
        let mut byte = || {
            number ^= number << 13;
            number ^= number >> 17;
            number ^= number << 5;
            (number % 61) as u8
        };
        (0..1 << 20).map(|_| byte()).collect()
    };
    let payload = (0..16).fold(Payload::new(), |payload, file| {
        payload.file(&format!("opt/acme/{file:02}"), content())
    });
    let (bytes, announced) = PatchSpec::full("acme-agent", "1.0.0", &payload).archive();
    let mut group = criterion.benchmark_group("archive of 16 MiB");
    group.throughput(Throughput::Bytes(16 << 20)).sample_size(10);
    group.bench_function("checked against its entry", |bencher| {
        bencher.iter(|| archive::check(black_box(&bytes), &announced).expect("as announced"));
    });
    group.bench_function("SHA-256 of as many bytes", |bencher| {
        let whole = vec![7; 16 << 20];
        bencher.iter(|| Hash32::of(black_box(&whole)));
    });
}

criterion_group!(library, signatures, entries, proofs, archives);
criterion_main!(library);

//! Installing streams: memory does not grow with the archive.

use std::fs;
use std::thread;
use std::time::Duration;

use countersign_fixtures::{PatchSpec, Payload};
use countersign_tests::lab::present;
use countersign_tests::tree::noise;
use countersign_tests::{Lab, Run};

const MIB: usize = 1024 * 1024;
/// What the larger of the two installations may need more, far below what it installs more.
const TOLERANCE_KIB: u64 = 8 * 1024;

/// Installs a patch of so many bytes and returns the most memory that the client had, in KiB.
fn peak_of_installing(bytes: usize) -> u64 {
    let lab = Lab::new();
    let mut repository = present().build();
    let payload = Payload::new().file("opt/acme/large", noise(bytes, 7));
    let index = repository.collect(&PatchSpec::full("acme-agent", "1.0.0", &payload));
    repository.release(&[index]);
    repository.publish();
    lab.publish(&repository);
    drop(repository);
    let server = lab.serve("public");
    lab.enroll(server.url());
    lab.endpoint("update").done();
    let peak = peak_of(lab.endpoint("install acme-agent"));
    let installed = fs::metadata(lab.path("endpoint/opt/acme/large")).expect("it is installed");
    assert_eq!(installed.len(), bytes as u64);
    peak
}

/// Runs a command and returns the high-water mark of its memory in KiB, as the kernel counts it.
fn peak_of(run: Run) -> u64 {
    let (mut command, shown) = run.into_command();
    let mut child = command.spawn().unwrap_or_else(|error| panic!("{shown}: {error}"));
    let status = format!("/proc/{}/status", child.id());
    let mut peak = 0;
    loop {
        // the mark only rises, so the last look before the end is as good as one at the end
        if let Some(mark) = high_water_mark(&status) {
            peak = mark;
        }
        if let Some(ended) = child.try_wait().expect("it is a child") {
            assert!(ended.success(), "{shown}: {ended}");
            return peak;
        }
        thread::sleep(Duration::from_millis(2));
    }
}

fn high_water_mark(status: &str) -> Option<u64> {
    let text = fs::read_to_string(status).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}

#[test]
fn memory_stays_flat_with_the_size_of_the_archive() {
    let small = peak_of_installing(16 * MIB);
    let large = peak_of_installing(160 * MIB);
    println!("peak memory: {small} KiB for 16 MiB, {large} KiB for 160 MiB");
    assert!(large < small + TOLERANCE_KIB, "{large} KiB for 160 MiB, {small} KiB for 16 MiB");
}

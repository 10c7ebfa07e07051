//! What an update costs: requests and bytes, headers included, counted by a proxy in between.

use countersign_fixtures::{PatchSpec, Payload};
use countersign_tests::lab::present;
use countersign_tests::{Lab, Proxy};

/// Entries that the client holds before it is measured.
const HELD: u64 = 10_000;

#[test]
fn an_update_costs_what_changed() {
    let lab = Lab::new();
    let mut repository = present().build();
    repository.collect_history(HELD - 2);
    let payload = Payload::new().file("opt/acme/agent", "version one");
    let first = repository.collect(&PatchSpec::full("acme-agent", "1.0.0", &payload));
    repository.release(&[first]);
    repository.publish();
    lab.publish(&repository);
    let server = lab.serve("public");
    let proxy = Proxy::to(server.address());
    lab.enroll(proxy.url());
    lab.endpoint("update").done();
    println!("first update by {HELD} entries: {:?}", proxy.take());

    lab.endpoint("update").done();
    let nothing = proxy.take();
    println!("nothing new: {nothing:?}");
    assert!(nothing.bytes() < 2 * 1024, "{} bytes for nothing", nothing.bytes());

    let payload = Payload::new().file("opt/acme/agent", "version two");
    let second = repository.collect(&PatchSpec::full("acme-agent", "2.0.0", &payload));
    repository.wait(10);
    repository.release(&[second]);
    repository.publish();
    lab.publish(&repository);
    lab.endpoint("update").done();
    let one = proxy.take();
    println!("one new: {one:?}");
    assert!(one.bytes() < 4 * 1024, "{} bytes for one entry", one.bytes());
    let shown = lab.endpoint("show acme-agent").done();
    assert!(shown.stdout.contains("2.0.0"), "{shown}");
}

//! The commands of the real program against repositories on disk.

mod common;

use common::{Machine, full, read, release_second, repository};

#[test]
fn a_patch_is_installed_upgraded_and_rolled_back() {
    let mut repository = repository();
    let one = repository.collect(&full("acme-agent", "1.0.0"));
    repository.release(&[one]);
    repository.publish();
    let machine = Machine::enrolled(&repository);
    machine.run(&["check"]).success();
    machine.run(&["install", "acme-agent", "--yes"]).success().says("acme-agent 1.0.0 installed");
    assert_eq!(read(machine.root("opt/acme/agent")), "1.0.0");

    release_second(&mut repository);
    machine.publish(&repository);
    machine.run(&["update"]).success().says("1 waits: patchctl upgrade");
    machine.run(&["check"]).code(101).says("CVE-2026-0001");
    machine.run(&["upgrade"]).code(2).says("--yes");
    machine.run(&["upgrade", "--dry-run"]).success().says("1.1.0");
    assert_eq!(read(machine.root("opt/acme/agent")), "1.0.0");
    machine.run(&["upgrade", "--yes"]).success().says("acme-agent 1.0.0 → 1.1.0");
    assert_eq!(read(machine.root("opt/acme/agent")), "1.1.0");
    machine.run(&["verify"]).success();
    machine.run(&["check"]).success();

    machine.run(&["rollback", "--yes"]).code(4).says("CVE-2026-0001");
    machine.run(&["rollback", "--yes", "--allow-vulnerable"]).success();
    assert_eq!(read(machine.root("opt/acme/agent")), "1.0.0");
    machine.run(&["upgrade", "--yes"]).code(110).says("held back");
    machine.run(&["upgrade", "--yes", "--severity", "high"]).code(110);
    machine.run(&["install", "acme-agent@1.1.0", "--yes"]).success();
    assert_eq!(read(machine.root("opt/acme/agent")), "1.1.0");
    machine.run(&["remove", "acme-agent", "--yes"]).success();
    assert!(!machine.root("opt/acme/agent").exists());
}

//! File capabilities, `user.*` attributes and set-id bits through the life of a file.

use super::kit::{Machine, Patch, without_privilege};
use crate::object;
use crate::transaction::ConfigPolicy;

/// `security.capability` of version 2, effective, with one permitted capability of the second eight:
/// 10 is `CAP_NET_BIND_SERVICE`, 13 `CAP_NET_RAW`.
fn capability(number: u8) -> Vec<u8> {
    let mut value = vec![1, 0, 0, 2, 0, 1 << (number - 8)];
    value.resize(20, 0);
    value
}

const AGENT: &str = "opt/acme/agent";

fn version(version: &str, number: u8) -> Patch {
    Patch::new("acme", version)
        .entry(AGENT, version, 0o755, false)
        .attributes(
            AGENT,
            &[("security.capability", &capability(number)), ("user.v", version.as_bytes())],
        )
        .entry("opt/acme/helper", version, 0o6711, false)
        .link("opt/acme/current", "agent")
}

/// Attributes of the agent, mode of the helper.
fn state(machine: &Machine) -> (Vec<(String, Vec<u8>)>, u32) {
    use std::os::unix::fs::PermissionsExt as _;
    let agent = std::fs::File::open(machine.path(AGENT)).expect("there");
    let helper = std::fs::metadata(machine.path("opt/acme/helper")).expect("there");
    (object::xattrs(&agent).expect("read"), helper.permissions().mode() & 0o7777)
}

fn expected(version: &str, number: u8) -> (Vec<(String, Vec<u8>)>, u32) {
    let capability = ("security.capability".to_owned(), capability(number));
    (vec![capability, ("user.v".to_owned(), version.into())], 0o6711)
}

#[test]
fn attributes_and_set_id_bits_are_kept_through_everything() {
    if without_privilege("giving capabilities") {
        return;
    }
    let mut machine = Machine::new();
    let (one, two) = (version("1.0.0", 10), version("1.1.0", 13));
    machine.install(one.full());
    assert_eq!(state(&machine), expected("1.0.0", 10));
    machine.install(two.since(&one));
    assert_eq!(state(&machine), expected("1.1.0", 13));
    machine.rollback(None);
    assert_eq!(state(&machine), expected("1.0.0", 10));
    machine.rollback(None);
    assert_eq!(state(&machine), expected("1.1.0", 13), "back, and forth");
    // put right, and the change that was there comes back with a rollback
    rustix::fs::removexattr(machine.path(AGENT), "security.capability").expect("removed");
    let changed = state(&machine);
    machine.repair(two.full());
    assert_eq!(state(&machine), expected("1.1.0", 13));
    machine.rollback(None);
    assert_eq!(state(&machine), changed);
    // placed anew, they are there
    let again =
        machine.prepare_mend(two.full(), crate::transaction::Scope::All, ConfigPolicy::Keep);
    again.expect("prepared").apply(&mut crate::report::Silent).expect("applied");
    assert_eq!(state(&machine), expected("1.1.0", 13));
}

#[test]
fn capabilities_outlast_a_change_of_owner() {
    if without_privilege("running hooks inside a root") {
        return;
    }
    let mut machine = Machine::with_shell();
    machine.write("etc/passwd", "root:x:0:0::/:\n");
    machine.write("etc/group", "root:x:0:\n");
    let create = "echo acme:x:990:0::/: >> /etc/passwd";
    let service = version("1.0.0", 10)
        .owned(AGENT, "acme:root")
        .owned("opt/acme/helper", "acme:root")
        .hook("pre-install", create);
    machine.install(service.full());
    assert_eq!(state(&machine), expected("1.0.0", 10));
}

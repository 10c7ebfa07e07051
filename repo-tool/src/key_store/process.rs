//! Keeping a process that holds secrets from being dumped.

use std::sync::Once;

use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};

/// From here on this process leaves no core file and cannot be attached to by others of the same
/// user (`PR_SET_DUMPABLE`, `RLIMIT_CORE`). Called before a secret comes into memory. Where the
/// system does not let us, the command goes on: it is a second line of defence.
pub(super) fn keep_secrets() {
    static DONE: Once = Once::new();
    DONE.call_once(|| {
        let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
        let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
    });
}

#[cfg(test)]
mod tests {
    use rustix::process::{dumpable_behavior, getrlimit};

    use super::*;

    #[test]
    fn a_process_with_secrets_leaves_no_core_file() {
        keep_secrets();
        assert_eq!(dumpable_behavior(), Ok(DumpableBehavior::NotDumpable));
        assert_eq!(getrlimit(Resource::Core), Rlimit { current: Some(0), maximum: Some(0) });
    }
}

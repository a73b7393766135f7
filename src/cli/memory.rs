//! Owns that the process keeps its memory, and so the values in it, to itself.

use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};

/// Leaves no core dump when the process is killed, and lets no other process of the user read its memory.
pub(super) fn keep() {
    // both lower what the process may do, which it may always; where the kernel knows one of them not, the other still holds
    let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
    let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
}

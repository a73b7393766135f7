//! Keeps the process's memory, and the values in it, from other processes and from core dumps.

use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};

/// Turns core dumps off, and keeps other processes of the user from reading this one's memory.
pub(super) fn keep() {
    // both only take rights away, which is always allowed; if the kernel lacks one of them, the other still holds
    let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
    let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
}

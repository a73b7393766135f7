//! Says how the program is linked: static, without libc or start files, at a fixed address.
//!
//! Arguments of the linker are here, so that they reach the program alone and every way of building it; flags of the compiler
//! are in `scripts/launchers`, since Cargo takes those from the environment only.

/// What the linker gets, each with its reason.
const LINK_ARGUMENTS: &[&str] = &[
    "-static",
    "-nostartfiles",
    "-nostdlib",
    // A fixed address: nothing has to be relocated, so nothing has to do it.
    "-no-pie",
    // The same bytes wherever it is built.
    "-Wl,--build-id=none",
    "-Wl,-z,noexecstack",
    "-Wl,-z,norelro",
    // Code and constants share one segment that cannot be written; a page each would double the file, and on
    // aarch64, whose pages may have 64 KiB, grow it far more.
    "-Wl,-z,noseparate-code",
    // Nothing unwinds, though core's tables name the function that would.
    "-Wl,--no-eh-frame-hdr",
    "-Wl,--defsym=rust_eh_personality=0",
];

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    for argument in LINK_ARGUMENTS {
        println!("cargo::rustc-link-arg-examples={argument}");
    }
}

//! Builds the launcher for the architecture that secretbake is built for, and tells the crate where it is.

#![allow(clippy::expect_used, clippy::panic, reason = "a build script fails by panicking")]

use std::path::PathBuf;

include!("launcher/build_launcher.rs");

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let root = PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default());
    let out = PathBuf::from(std::env::var_os("OUT_DIR").unwrap_or_default());
    let launcher = build_launcher(&root.join("launcher"), &out);
    println!("cargo::rustc-env=SECRETBAKE_LAUNCHER={}", launcher.display());
}

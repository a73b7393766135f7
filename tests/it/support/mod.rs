//! What tests are written with: the shipped binary, real engines, a real Secrets Manager over the wire, images of their own.

pub mod append;
pub mod canary;
pub mod engine;
pub mod engine_proxy;
pub mod image;
pub mod moto;
pub mod oci_base;
pub mod project;
pub mod registry;
pub mod skopeo;
pub mod stub;
pub mod terminal;
pub mod tls;

use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

/// Returns the shipped binary with an environment of its own: nothing of the user's reaches it.
pub fn secretbake() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_secretbake"));
    // hints name the program as it was called
    command.arg0("secretbake");
    command.env_clear();
    command.env("HOME", "/nonexistent").env("PATH", "/usr/local/bin:/usr/bin:/bin");
    command
}

/// Installs a shell script as a program.
pub fn program(path: &Path, script: &str) {
    let text = path.with_extension("sh");
    std::fs::write(&text, format!("#!/bin/sh\n{script}\n")).unwrap();
    // by another process: a program that a test's other thread has open for writing cannot be run
    assert!(Command::new("install").args([&text, path]).status().unwrap().success());
}

/// Holds that the test runs as root: it becomes other users, gives files to them or mounts a disk. A test that calls this is in a
/// module whose name ends in `as_root`, which `scripts/test` leaves out for other users.
#[track_caller]
pub fn needs_root() {
    assert!(rustix::process::geteuid().is_root(), "this test must run as root: sudo scripts/test");
}

/// Returns a variable of the test environment.
pub fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: run the tests with scripts/test"))
}

/// Returns Docker's configuration with one login.
pub fn registry_login(host: &str, user: &str, password: &str) -> serde_json::Value {
    let auth = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, format!("{user}:{password}"));
    serde_json::json!({ "auths": { host: { "auth": auth } } })
}

/// Returns a name that no other test uses, so that tests run side by side on one engine.
pub fn unique(what: &str) -> String {
    use std::sync::atomic::{AtomicU32, Ordering};
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("{what}-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

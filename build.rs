//! Finds what `--version` says of the build: the commit, and the target that it is for.
//!
//! It needs neither git nor a checkout: without them the commit is unknown.

#![expect(clippy::disallowed_methods, reason = "it reads the package's own files and git's answer, and no secret")]

use std::path::Path;
use std::process::Command;
use std::{env, fs};

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let target = env::var("TARGET").unwrap_or_default();
    let commit = packaged_commit().or_else(checked_out_commit).unwrap_or_else(|| "unknown".to_owned());
    println!("cargo:rustc-env=SECRETBAKE_COMMIT={commit}");
    println!("cargo:rustc-env=SECRETBAKE_TARGET={target}");
}

/// Returns the commit that `cargo package` notes in a packaged crate.
fn packaged_commit() -> Option<String> {
    let note = fs::read_to_string(".cargo_vcs_info.json").ok()?;
    let (_, after) = note.split_once("\"sha1\"")?;
    after.split('"').nth(1).and_then(|sha1| sha1.get(..12)).map(str::to_owned)
}

/// Returns the commit of the checkout, and has cargo ask again when it changes.
fn checked_out_commit() -> Option<String> {
    // a folder, or the file of a worktree; a checkout around an unpacked crate is another project's
    if !Path::new(".git").exists() {
        return None;
    }
    let commit = git(&["rev-parse", "--short=12", "HEAD"])?;
    let branch = git(&["symbolic-ref", "--quiet", "HEAD"]);
    for name in ["HEAD", "logs/HEAD", "packed-refs"].into_iter().chain(branch.as_deref()) {
        let path = git(&["rev-parse", "--git-path", name]).filter(|path| Path::new(path).exists());
        if let Some(path) = path {
            println!("cargo:rerun-if-changed={path}");
        }
    }
    Some(commit)
}

fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok().filter(|output| output.status.success())?;
    String::from_utf8(output.stdout).ok().map(|text| text.trim().to_owned())
}

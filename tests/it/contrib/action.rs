//! The GitHub action: what its step does on a runner, with the releases of a server of the test's own.

use std::fs;
use std::process::Command;

use crate::support::project::{Project, Ran};
use crate::support::stub::{Reply, Stub};

const RELEASES: &str = "/owner/secretbake/releases/download/v1.2.3/";

/// Packs a release with a program that says its version.
fn archive(project: &Project) -> Vec<u8> {
    let pack = "mkdir -p secretbake-1.2.3 tools work && printf '#!/bin/sh\\necho secretbake 1.2.3\\n' > secretbake-1.2.3/secretbake && \
                chmod +x secretbake-1.2.3/secretbake && tar czf release.tar.gz secretbake-1.2.3";
    assert!(Command::new("/bin/sh").args(["-ec", pack]).current_dir(project.path("")).status().unwrap().success());
    fs::read(project.path("release.tar.gz")).unwrap()
}

fn sha256(project: &Project, file: &str) -> String {
    let output = Command::new("sha256sum").arg(project.path(file)).output().unwrap();
    String::from_utf8(output.stdout).unwrap().split(' ').next().unwrap().to_owned()
}

/// Serves a release whose list of checksums is this one.
fn releases(archive: Vec<u8>, checksums: String) -> Stub {
    Stub::by(move |_, request| {
        let file = request.line.strip_prefix("GET ").and_then(|target| target.strip_prefix(RELEASES));
        match file {
            Some("SHA256SUMS") => Reply::raw(200, "text/plain", &checksums),
            Some("secretbake-1.2.3-x86_64-unknown-linux-musl.tar.gz") => {
                Reply::raw(200, "application/gzip", "").body(archive.clone())
            }
            _ => Reply::raw(404, "text/plain", "Not Found"),
        }
    })
}

/// Runs the action's step as a runner does.
fn install(project: &Project, server: &Stub, runner: [&str; 2], version: &str) -> Ran {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/install-release");
    Ran::from_output(
        Command::new(script)
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("GITHUB_SERVER_URL", server.url())
            .env("ACTION_REPOSITORY", "owner/secretbake")
            .env("ACTION_REF", "v1.2.3")
            .env("SECRETBAKE_VERSION", version)
            .envs([("RUNNER_OS", runner[0]), ("RUNNER_ARCH", runner[1])])
            .env("RUNNER_TOOL_CACHE", project.path("tools"))
            .env("GITHUB_PATH", project.path("path"))
            .env("GITHUB_OUTPUT", project.path("output"))
            .env("TMPDIR", project.path("work"))
            .output()
            .unwrap(),
    )
}

const X64: [&str; 2] = ["Linux", "X64"];

#[test]
fn the_action_installs_the_release_of_its_own_tag() {
    let project = Project::empty();
    let archive = archive(&project);
    let checksums =
        format!("{}  secretbake-1.2.3-x86_64-unknown-linux-musl.tar.gz\n", sha256(&project, "release.tar.gz"));
    let server = releases(archive, checksums);
    let ran = install(&project, &server, X64, "");
    assert_eq!((ran.status, ran.stdout.as_str(), ran.stderr.as_str()), (Some(0), "secretbake 1.2.3\n", ""));
    let folder = fs::read_to_string(project.path("path")).unwrap();
    assert!(folder.ends_with("/tools/secretbake/1.2.3\n"), "{folder}");
    assert_eq!(fs::read_to_string(project.path("output")).unwrap(), "version=1.2.3\n");
}

#[test]
fn the_action_installs_nothing_whose_checksum_is_not_the_releases() {
    let name = "secretbake-1.2.3-x86_64-unknown-linux-musl.tar.gz";
    for checksums in [format!("{}  {name}\n", "0".repeat(64)), "0  another-file\n".to_owned(), String::new()] {
        let project = Project::empty();
        let server = releases(archive(&project), checksums);
        let ran = install(&project, &server, X64, "1.2.3");
        let expected = format!(
            "::error title=secretbake::the checksum of {name} is not the one in SHA256SUMS: nothing was installed\n"
        );
        assert_eq!((ran.status, ran.stdout.as_str()), (Some(1), expected.as_str()), "{}", ran.stderr);
        assert_eq!(fs::read_dir(project.path("tools")).unwrap().count(), 0);
        assert!(!project.path("path").exists());
    }
}

#[test]
fn the_action_says_what_it_cannot_install() {
    let project = Project::empty();
    let server = releases(archive(&project), String::new());
    for (runner, version, expected) in [
        (
            X64,
            "main",
            "'main' is not a version: name a release, for example 'with: { version: 1.2.0 }', or use the action by a release's tag"
                .to_owned(),
        ),
        (X64, "../../1.2.3", "'../../1.2.3' is not a version".to_owned()),
        (
            ["Windows", "ARM64"],
            "",
            "there is no release for Windows on ARM64; install it with cargo install secretbake".to_owned(),
        ),
        (
            X64,
            "9.9.9",
            format!(
                "cannot fetch {}/owner/secretbake/releases/download/v9.9.9/secretbake-9.9.9-x86_64-unknown-linux-musl.tar.gz: check \
                 that this release exists",
                server.url()
            ),
        ),
    ] {
        let ran = install(&project, &server, runner, version);
        assert!(ran.stdout.starts_with(&format!("::error title=secretbake::{expected}")), "{}", ran.stdout);
        assert_eq!(ran.status, Some(1));
    }
}

#[test]
fn the_repository_has_one_package_with_a_program_to_install() {
    let find = "find . -name Cargo.toml -not -path './target/*' -not -path './launcher/target/*' -printf '%P\\n'";
    let found = Command::new("/bin/sh").args(["-c", find]).current_dir(env!("CARGO_MANIFEST_DIR")).output().unwrap();
    let manifests = String::from_utf8(found.stdout).unwrap();
    let with_program = manifests.lines().filter(|manifest| {
        let metadata = Command::new(env!("CARGO"))
            .args(["metadata", "--no-deps", "--format-version", "1", "--manifest-path", manifest])
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .output()
            .unwrap();
        let metadata: serde_json::Value = serde_json::from_slice(&metadata.stdout).unwrap();
        let targets = metadata["packages"][0]["targets"].as_array().unwrap();
        targets.iter().any(|target| target["kind"][0] == "bin")
    });
    // `cargo install --git` refuses a repository with two
    assert_eq!(with_program.collect::<Vec<_>>(), ["Cargo.toml"]);
}

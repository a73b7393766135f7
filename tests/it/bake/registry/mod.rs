//! "No Docker socket here": registries as base and target, real ones and stubs that misbehave.

mod bakes;
mod integrity;
mod login;
mod platforms;
mod prune;
mod request_counts;
mod retries;
mod tags;
mod trust;

use std::sync::OnceLock;

use serde_json::{Value, json};

use crate::support::image::TestImage;
use crate::support::project::Project;
use crate::support::skopeo::{copy, raw};
use crate::support::{unique, variable};

const SECRETS: &str = "  token: canary\n";

/// Returns the open registry, `HOST:PORT`.
fn registry() -> String {
    variable("SECRETBAKE_TEST_REGISTRY")
}

/// Returns the path of a repository that no other test uses.
fn repository() -> String {
    format!("sbtest/{}", unique("registry"))
}

/// Returns a base with busybox and the user `app`, as a docker-archive.
fn base() -> &'static str {
    static FOLDER: OnceLock<(tempfile::TempDir, String)> = OnceLock::new();
    let make = || {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("base.tar");
        let config = json!({ "Cmd": ["/bin/sh"], "User": "app", "Env": ["PATH=/bin"] });
        TestImage::busybox(config).directory("app", 0o700, (1000, 1000)).write("sbtest/base:1", &path);
        let name = format!("docker-archive:{}", path.display());
        (folder, name)
    };
    &FOLDER.get_or_init(make).1
}

/// Returns a project, and a repository of the open registry that has the base as `:1`: its path.
fn project() -> (Project, String) {
    let repository = repository();
    copy(base(), &format!("docker://{}/{repository}:1", registry()));
    (Project::with_file(SECRETS), repository)
}

/// Returns the digest of the one layer of an image, in hexadecimal: an address may have the rest of it in another form.
fn layer_of(name: &str) -> String {
    let manifest: Value = serde_json::from_str(&raw(name)).unwrap();
    manifest["layers"][0]["digest"].as_str().unwrap()["sha256:".len()..].to_owned()
}

/// Returns a manifest that needs nothing of the base's layers.
fn simple(base: &str, tags: &[&str]) -> String {
    let tags = serde_json::to_string(tags).unwrap();
    format!(
        "version: 1\nimage:\n  base: \"{base}\"\n  owner: \"0:0\"\n  tags: {tags}\nenv:\n  TOKEN: {{ secret: token }}\n"
    )
}

/// Returns a manifest with a file in a directory of the base and an owner that is looked up there.
fn manifest(base: &str, target: &str) -> String {
    format!(
        "version: 1\nimage:\n  base: \"{base}\"\n  tags: [\"{target}\"]\nenv:\n  TOKEN: {{ secret: token }}\n\
         files:\n  /app/key: {{ secret: token, owner: app }}\n"
    )
}

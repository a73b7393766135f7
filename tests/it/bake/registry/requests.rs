//! What a bake asks of a registry, counted on its way to a real one.

use super::{project, registry, repository, simple};
use crate::support::stub::{Request, Stub};

/// Returns what was asked since a request of a number, sorted, without the names of things.
fn asked(stub: &Stub, since: usize) -> Vec<String> {
    let mut all: Vec<String> = stub.requests()[since..].iter().map(kind).collect();
    all.sort();
    all
}

fn kind(request: &Request) -> String {
    let (method, path) = request.line.split_once(' ').unwrap();
    let what = ["manifests", "blobs/uploads", "blobs"].into_iter().find(|what| path.contains(&format!("/{what}/")));
    let mount = if path.contains("mount=") { " to mount" } else { "" };
    format!("{method} {}{mount}", what.unwrap_or(path))
}

/// What is asked of a base, and whether the tag stands for the image already.
const READS: [&str; 3] = ["GET blobs", "GET manifests", "HEAD manifests"];
/// How a secret layer and a config are sent.
const SENT: [&str; 4] = ["POST blobs/uploads", "POST blobs/uploads", "PUT blobs/uploads", "PUT blobs/uploads"];

fn sorted(parts: &[&[&str]]) -> Vec<String> {
    let mut all: Vec<String> = parts.concat().into_iter().map(str::to_owned).collect();
    all.sort();
    all
}

#[test]
fn a_bake_within_a_repository_asks_for_no_layer_and_sends_the_launcher_once() {
    let (project, repository) = project();
    let relay = Stub::before(&registry(), |_, _| None);
    let name = |tag: &str| format!("docker://{}/{repository}:{tag}", relay.host());
    let manifest = |tag: &str, value: &str| simple(&name("1"), &[&name(tag)]) + &format!("  PLAIN: \"{value}\"\n");

    project.baked(&manifest("2", "a"));
    let launcher: &[&str] = &["POST blobs/uploads to mount", "PUT blobs/uploads"];
    assert_eq!(asked(&relay, 0), sorted(&[&READS, &SENT, launcher, &["PUT manifests"]]));
    // the launcher's layer is there: one request says so, which would begin an upload otherwise
    let before = relay.requests().len();
    project.baked(&manifest("2", "b"));
    assert_eq!(asked(&relay, before), sorted(&[&READS, &SENT, &launcher[..1], &["PUT manifests"]]));
    let before = relay.requests().len();
    assert_eq!(project.baked(&manifest("2", "b")).stderr, "unchanged: deploy.yaml\n");
    assert_eq!(asked(&relay, before), sorted(&[&READS]));
}

#[test]
fn a_bake_to_another_repository_mounts_each_layer_of_the_base() {
    let (project, from) = project();
    let relay = Stub::before(&registry(), |_, _| None);
    let (base, target) =
        (format!("docker://{}/{from}:1", relay.host()), format!("docker://{}/{}:1", relay.host(), repository()));
    project.baked(&simple(&base, &[&target]));
    let mounted: &[&str] = &["POST blobs/uploads to mount"];
    let launcher: &[&str] = &["POST blobs/uploads to mount", "PUT blobs/uploads"];
    assert_eq!(asked(&relay, 0), sorted(&[&READS, mounted, launcher, &SENT, &["PUT manifests"]]));
}

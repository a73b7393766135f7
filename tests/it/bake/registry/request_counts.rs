//! What a bake asks of a registry, counted on its way to a real one.

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, mpsc};
use std::time::Duration;

use serde_json::{Value, json};

use super::{manifest, project, registry, repository, simple};
use crate::support::image::TestImage;
use crate::support::project::Project;
use crate::support::skopeo::{copy, raw};
use crate::support::stub::{Reply, Request, Stub};

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
/// The same of a base whose config an earlier bake has kept.
const READS_AGAIN: [&str; 2] = ["GET manifests", "HEAD manifests"];
/// How the launcher's layer is asked for, and sent if it is not there.
const LAUNCHER: [&str; 3] = ["HEAD blobs", "POST blobs/uploads", "PUT blobs/uploads"];
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
    assert_eq!(asked(&relay, 0), sorted(&[&READS, &SENT, &LAUNCHER, &["PUT manifests"]]));
    let before = relay.requests().len();
    project.baked(&manifest("2", "b"));
    assert_eq!(asked(&relay, before), sorted(&[&READS_AGAIN, &SENT, &LAUNCHER[..1], &["PUT manifests"]]));
    let before = relay.requests().len();
    assert_eq!(project.baked(&manifest("2", "b")).brief(), "unchanged\n");
    assert_eq!(asked(&relay, before), sorted(&[&READS_AGAIN]));
}

/// A relay to the registry, and a Secrets Manager that answers only when the registry was asked for all of `ahead`.
struct Slow {
    project: Project,
    relay: Stub,
    /// Answers as long as it is there.
    _secrets: Stub,
}

/// `answer` is what Secrets Manager says then.
fn slow(project: Project, ahead: &[&str], answer: Reply) -> Slow {
    let (sender, seen) = mpsc::channel();
    let relay = Stub::before(&registry(), move |_, request| {
        sender.send(kind(request)).unwrap();
        None
    });
    let (seen, ahead) = (Mutex::new(seen), ahead.iter().map(|&kind| kind.to_owned()).collect::<Vec<_>>());
    let secrets = Stub::by(move |_, _| {
        let (seen, mut missing) = (seen.lock().unwrap(), ahead.clone());
        while !missing.is_empty() {
            match seen.recv_timeout(Duration::from_secs(60)) {
                Ok(asked) => missing.iter().position(|kind| *kind == asked).map(|index| missing.remove(index)),
                Err(_) => return Reply::json(400, r#"{"__type":"InvalidRequestException","Message":"not asked"}"#),
            };
        }
        answer.clone()
    });
    let project = project.variable("TEST_KEY", "canary-key").variable("AWS_ENDPOINT_URL", &secrets.url());
    project.write(
        "secretbake.org.yaml",
        "version: 1\ncredentials:\n  - name: aws\n    provider: aws-secrets-manager\n    region: us-east-1\n    default: true\n\
         \x20   access_key_id: AKIAEXAMPLEEXAMPLE00\n    secret_access_key: { env: TEST_KEY }\n",
    );
    Slow { project, relay, _secrets: secrets }
}

fn token() -> Reply {
    let arn = "arn:aws:secretsmanager:us-east-1:123456789012:secret:token-AbCdEf";
    let secret = json!({ "ARN": arn, "Name": "token", "VersionId": "v-1", "SecretString": "canary" });
    Reply::json(200, &secret.to_string())
}

fn no_token() -> Reply {
    Reply::json(400, r#"{"__type":"ResourceNotFoundException","Message":"no such secret"}"#)
}

#[test]
fn the_base_is_read_and_the_uploads_to_a_new_tag_start_while_the_secrets_are_read() {
    let (project, repository) = project();
    let ahead = [READS_AGAIN.as_slice(), &SENT[..2]].concat();
    let Slow { project, relay, .. } = &slow(project, &ahead, token());
    let name = |tag: &str| format!("docker://{}/{repository}:{tag}", relay.host());
    project.baked(&simple(&name("1"), &[&name("2")]));
    assert_eq!(asked(relay, 0), sorted(&[&READS, &SENT, &LAUNCHER, &["PUT manifests"]]));
}

#[test]
fn no_upload_to_a_tag_that_exists_starts_before_the_secrets_are_read() {
    let (project, repository) = project();
    let Slow { project, relay, .. } = &slow(project, &READS_AGAIN, no_token());
    let name = |tag: &str| format!("docker://{}/{repository}:{tag}", relay.host());
    assert_eq!(project.bake(&simple(&name("1"), &[&name("1")])).status, Some(1));
    assert_eq!(asked(relay, 0), sorted(&[&READS]));
}

#[test]
fn an_upload_that_the_registry_has_forgotten_is_started_again() {
    let (project, repository) = project();
    let forgotten = AtomicUsize::new(0);
    let relay = Stub::before(&registry(), move |_, request| {
        let forgets = kind(request) == "PUT blobs/uploads" && forgotten.fetch_add(1, Ordering::SeqCst) < 2;
        forgets.then(|| {
            Reply::raw(404, "application/json", r#"{"errors":[{"code":"BLOB_UPLOAD_UNKNOWN","message":"unknown"}]}"#)
        })
    });
    let name = |tag: &str| format!("docker://{}/{repository}:{tag}", relay.host());
    project.baked(&simple(&name("1"), &[&name("2")]));
    assert_eq!(asked(&relay, 0), sorted(&[&READS, &SENT, &SENT, &LAUNCHER, &["PUT manifests"]]));
}

#[test]
fn an_upload_that_is_too_early_for_the_registry_waits_as_it_asks() {
    let (project, repository) = project();
    let puts = AtomicUsize::new(0);
    let relay = Stub::before(&registry(), move |_, request| {
        let is_first = kind(request) == "PUT blobs/uploads" && puts.fetch_add(1, Ordering::SeqCst) == 0;
        is_first.then(|| Reply::raw(429, "text/plain", "").header("retry-after", "300"))
    });
    let name = |tag: &str| format!("docker://{}/{repository}:{tag}", relay.host());
    let ran = project.bake(&simple(&name("1"), &[&name("2")]));
    assert_eq!(ran.status, Some(1));
    assert!(ran.stderr.contains("\n  cause: it asks to wait 300 seconds\n"), "{}", ran.stderr);
}

#[test]
fn a_bake_to_another_repository_mounts_each_layer_of_the_base() {
    let (project, from) = project();
    let relay = Stub::before(&registry(), |_, _| None);
    let (base, target) =
        (format!("docker://{}/{from}:1", relay.host()), format!("docker://{}/{}:1", relay.host(), repository()));
    project.baked(&simple(&base, &[&target]));
    let mounted: &[&str] = &["POST blobs/uploads to mount"];
    assert_eq!(asked(&relay, 0), sorted(&[&READS, mounted, &LAUNCHER, &SENT, &["PUT manifests"]]));
}

#[test]
fn only_the_layers_down_to_the_answer_are_read_and_each_once_in_a_run() {
    let (project, repository) = project();
    let relay = Stub::before(&registry(), |_, _| None);
    let name = |repository: &str, tag: &str| format!("docker://{}/{repository}:{tag}", relay.host());
    // a base of two layers, of which the upper has everything that is asked of it
    let upper = TestImage::empty(json!({ "Cmd": ["/x"], "User": "app" }))
        .directory("app", 0o700, (1, 1))
        .directory("etc", 0o755, (0, 0))
        .file("etc/passwd", 0o644, b"app:x:7:7::/:/\n")
        .file("etc/group", 0o644, b"");
    let lower = TestImage::empty(json!({})).directory("app", 0o755, (0, 0));
    upper.over(&lower).write("x:1", &project.path("base.tar"));
    copy(
        &format!("docker-archive:{}", project.path("base.tar").display()),
        &format!("docker://{}/{repository}:2", registry()),
    );
    let raw: Value = serde_json::from_str(&raw(&format!("docker://{}/{repository}:2", registry()))).unwrap();
    let layer = |number: usize| raw["layers"][number]["digest"].as_str().unwrap().to_owned();

    for number in 0..3 {
        let manifest = manifest(&name(&repository, "2"), &name(&repository, &format!("out{number}")));
        project.write(&format!("{number}.yaml"), &manifest);
    }
    let ran = project.run(&["bake", "0.yaml", "1.yaml", "2.yaml"]);
    assert_eq!(ran.status, Some(0), "{}", ran.stderr);
    let read = |digest: &str| {
        relay
            .requests()
            .iter()
            .filter(|request| request.line.starts_with("GET") && request.line.ends_with(digest))
            .count()
    };
    assert_eq!((read(&layer(1)), read(&layer(0))), (1, 0));
    // and what they said of the base is kept for the next run
    project.run(&["bake", "0.yaml"]);
    assert_eq!((read(&layer(1)), read(&layer(0))), (1, 0));
    // and what the three images have in common is sent once: launcher, secrets and config
    let sent = |request: &&Request| request.line.starts_with("PUT") && request.line.contains("/blobs/");
    assert_eq!(relay.requests().iter().filter(sent).count(), 3);
}

#[test]
fn what_is_kept_of_bases_has_no_part_of_a_baked_image() {
    let (project, repository) = project();
    let name = |tag: &str| format!("docker://{}/{repository}:{tag}", registry());
    project.baked(&simple(&name("1"), &[&name("2")]).replace("  owner: \"0:0\"", "  inject: config"));
    assert_eq!(project.run(&["inspect", &name("2")]).status, Some(0));
    // as a base it is refused, after it was read
    assert_eq!(project.bake(&simple(&name("2"), &[&name("3")])).status, Some(1));
    let kept: Vec<_> = std::fs::read_dir(project.cache().join("blobs")).unwrap().collect();
    assert_eq!(kept.len(), 1, "the config of the base");
    let text = std::fs::read_to_string(kept[0].as_ref().unwrap().path()).unwrap();
    assert!(text.contains("rootfs") && !text.contains("canary"), "{text}");
}

#[test]
fn a_pipe_in_the_cache_does_not_hold_a_bake_up() {
    let (project, repository) = project();
    let name = |tag: &str| format!("docker://{}/{repository}:{tag}", registry());
    project.baked(&simple(&name("1"), &[&name("2")]));
    let below = |folder: PathBuf| std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let kept: Vec<PathBuf> = below(project.cache()).flat_map(below).collect();
    assert!(!kept.is_empty());
    for path in kept {
        std::fs::remove_file(&path).unwrap();
        assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
    }
    project.baked(&simple(&name("1"), &[&name("3")]));
}

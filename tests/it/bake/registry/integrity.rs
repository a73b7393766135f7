//! "Something on the way changed it": what is not what its digest says is refused, read or written.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::time::{Duration, SystemTime};

use serde_json::Value;

use super::{project, registry, simple};
use crate::support::project::Ran;
use crate::support::skopeo::raw;
use crate::support::stub::{Reply, Request, Stub};

/// Bakes through a relay that answers some requests itself, which gets the base's manifest to tell them by.
fn bake(target: &str, rule: impl Fn(&Request, &Value) -> Option<Reply> + Send + Sync + 'static) -> (Ran, Vec<Request>) {
    let (project, repository) = project();
    let base: Value = serde_json::from_str(&raw(&format!("docker://{}/{repository}:1", registry()))).unwrap();
    let relay = Stub::before(&registry(), move |_, request| rule(request, &base));
    let name = |tag: &str| format!("docker://{}/{repository}:{tag}", relay.host());
    let target = if target.is_empty() { name("prod") } else { target.to_owned() };
    let ran = project.bake(&simple(&name("1"), &[&target]));
    assert!(ran.status == Some(0) || !project.path("out").exists(), "something was left behind");
    (ran, relay.requests())
}

fn is(request: &Request, method: &str, digest: &Value) -> bool {
    request.line.starts_with(method) && request.line.ends_with(digest.as_str().unwrap())
}

#[test]
fn a_config_or_a_layer_that_is_not_what_its_digest_says_is_refused() {
    let other = |size: &Value| Reply::raw(200, "text/plain", &"x".repeat(size.as_u64().unwrap() as usize));
    let (ran, _) = bake("oci:out", move |request, base| {
        is(request, "GET", &base["config"]["digest"]).then(|| other(&base["config"]["size"]))
    });
    assert_eq!(ran.status, Some(1));
    assert!(ran.stderr.contains("the config of `docker://"), "{}", ran.stderr);
    assert!(ran.stderr.contains("does not match its digest"), "{}", ran.stderr);
    for target in ["oci:out", "oci-archive:out", ""] {
        let (ran, requests) = bake(target, move |request, base| {
            is(request, "GET", &base["layers"][0]["digest"]).then(|| other(&base["layers"][0]["size"]))
        });
        if target.is_empty() {
            // within the repository no layer is read
            assert_eq!(ran.status, Some(0), "{}", ran.stderr);
            continue;
        }
        assert_eq!(ran.status, Some(1));
        assert!(ran.stderr.contains("does not match its digest"), "{target}: {}", ran.stderr);
        assert!(requests.len() >= 3);
    }
}

#[test]
fn a_login_page_that_answers_for_the_registry_is_no_success() {
    let (ran, requests) = bake("", |request, _| {
        let put = request.line.starts_with("PUT") && request.line.contains("/manifests/");
        put.then(|| Reply::raw(200, "text/html", "<html>Log in to the network"))
    });
    let host = requests[0].header("host").unwrap();
    let repository = requests[0].line.split('/').skip(2).take(2).collect::<Vec<_>>().join("/");
    assert_eq!(ran.status, Some(1));
    assert_eq!(
        ran.stderr,
        format!(
            "deploy.yaml:5:10: image.tags: the registry {host} answered 200 OK for `docker://{host}/{repository}:prod`, and not as a \
             registry does\n  hint: check that no proxy or login page answers for {host}\n"
        )
    );
}

#[test]
fn a_manifest_that_the_registry_took_for_another_is_refused() {
    let wrong = format!("sha256:{}", "0".repeat(64));
    let (ran, _) = bake("", move |request, _| {
        let put = request.line.starts_with("PUT") && request.line.contains("/manifests/");
        put.then(|| Reply::raw(201, "text/plain", "").header("docker-content-digest", &wrong))
    });
    assert_eq!(ran.status, Some(1));
    assert!(ran.stderr.contains("the manifest that the registry took"), "{}", ran.stderr);
}

/// Tells whether Quay's schema of Docker's manifests (version 2, schema 2) allows this one.
fn quay_allows(manifest: &Value) -> bool {
    let layers = manifest["layers"].as_array().unwrap();
    let is_gzip = |layer: &Value| layer["mediaType"] == "application/vnd.docker.image.rootfs.diff.tar.gzip";
    manifest["mediaType"] == "application/vnd.docker.distribution.manifest.v2+json"
        && manifest["config"]["mediaType"] == "application/vnd.docker.container.image.v1+json"
        && layers.iter().all(is_gzip)
}

#[test]
fn a_registry_that_validates_dockers_manifests_takes_the_image() {
    let seen = std::sync::Arc::new(Mutex::new(None));
    let put = std::sync::Arc::clone(&seen);
    let (ran, _) = bake("", move |request, _| {
        if !(request.line.starts_with("PUT") && request.line.contains("/manifests/")) {
            return None;
        }
        let manifest: Value = serde_json::from_str(&request.body).unwrap();
        let allowed = quay_allows(&manifest);
        *put.lock().unwrap() = Some(manifest["layers"].as_array().unwrap().len());
        let invalid = r#"{"errors":[{"code":"MANIFEST_INVALID","message":"manifest invalid"}]}"#;
        (!allowed).then(|| Reply::raw(400, "application/json", invalid))
    });
    assert_eq!(ran.status, Some(0), "{}", ran.stderr);
    assert_eq!(*seen.lock().unwrap(), Some(3), "the base's layer, the launcher's and the secrets'");
}

#[test]
fn a_blob_that_arrived_as_another_is_an_error_of_the_registry_that_says_so() {
    let (ran, requests) = bake("", |request, _| {
        let refused = r#"{"errors":[{"code":"DIGEST_INVALID","message":"provided digest did not match"}]}"#;
        let put = request.line.starts_with("PUT") && request.line.contains("/blobs/uploads/");
        put.then(|| Reply::raw(400, "application/json", refused))
    });
    assert_eq!(ran.status, Some(1));
    assert!(ran.stderr.contains("DIGEST_INVALID"), "{}", ran.stderr);
    assert!(!requests.iter().any(|request| request.line.starts_with("PUT") && request.line.contains("/manifests/")));
}

#[test]
fn a_manifest_is_put_again_if_the_registry_read_a_blob_that_another_run_was_uploading() {
    let refused = std::sync::atomic::AtomicUsize::new(0);
    let (ran, requests) = bake("", move |request, _| {
        let message = r#"{"errors":[{"code":"DIGEST_INVALID","message":"provided digest did not match"}]}"#;
        let put = request.line.starts_with("PUT") && request.line.contains("/manifests/");
        let is_first = put && refused.fetch_add(1, std::sync::atomic::Ordering::Relaxed) == 0;
        is_first.then(|| Reply::raw(400, "application/json", message))
    });
    assert_eq!(ran.status, Some(0), "{}", ran.stderr);
    let put = |request: &&Request| request.line.starts_with("PUT") && request.line.contains("/manifests/");
    assert_eq!(requests.iter().filter(put).count(), 2);
}

#[test]
fn a_registry_that_repeats_what_it_was_sent_shows_no_value() {
    let (ran, _) = bake("", |request, _| {
        let put = request.line.starts_with("PUT") && request.line.contains("/blobs/uploads/");
        let is_of_the_values = request.body.contains("canary");
        let message = serde_json::to_string(&format!("\u{1b}[2J{}", request.body)).unwrap();
        let refused = format!(r#"{{"errors":[{{"code":"BLOB_UPLOAD_INVALID","message":{message}}}]}}"#);
        (put && is_of_the_values).then(|| Reply::raw(400, "application/json", &refused))
    });
    assert_eq!(ran.status, Some(1));
    assert!(ran.stderr.contains("BLOB_UPLOAD_INVALID"), "{}", ran.stderr);
    assert!(!ran.stderr.contains("canary") && !ran.stderr.contains('\u{1b}'), "{}", ran.stderr);
    assert!(ran.stderr.lines().all(|line| line.chars().count() < 400), "{}", ran.stderr);
}

#[test]
fn a_busy_registry_says_when_to_come_again_in_seconds_or_as_a_date() {
    let past = httpdate::fmt_http_date(SystemTime::now() - Duration::from_secs(60));
    for after in ["0".to_owned(), past] {
        for status in [429, 503] {
            let busy = Reply::raw(status, "text/plain", "").header("retry-after", &after);
            let refused: Mutex<BTreeSet<String>> = Mutex::default();
            let (ran, requests) = bake("", move |request, _| {
                // the first request of each method
                let method = request.line.split(' ').next().unwrap().to_owned();
                refused.lock().unwrap().insert(method).then(|| busy.clone())
            });
            assert_eq!(ran.status, Some(0), "{}", ran.stderr);
            // and the upload whose last request was refused was begun anew
            assert_eq!(requests.len(), 11 + 4 + 1);
        }
    }
}

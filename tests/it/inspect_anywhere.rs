//! "It is not on my machine": inspect and drift of an image wherever it is, from its config alone.

use std::fs;

use serde_json::Value;

use crate::support::project::Project;
use crate::support::stub::{Reply, Stub};

const SECRETS: &str = "  db: { value: '{\"password\": \"canary\"}', version_id: v1 }\n";

fn baked(target: &str) -> Project {
    let project = Project::with_file(SECRETS);
    project.baked(&format!(
        "version: 1\nimage:\n  base: scratch\n  tags: [\"{target}\"]\nenv:\n  PASSWORD: {{ secret: \"db#password\" }}\n"
    ));
    project
}

/// Expects both commands to tell what was baked into the image.
fn is_known(project: &Project, image: &str) {
    let ran = project.run(&["inspect", image]);
    assert_eq!(ran.status, Some(0), "{image}: {}", ran.stderr);
    assert!(ran.stdout.ends_with("env\n  PASSWORD  secret db#password  with local  version v1\n"), "{}", ran.stdout);
    let ran = project.run(&["drift", image]);
    assert_eq!((ran.stdout, ran.stderr, ran.status), (format!("{image}: current\n"), String::new(), Some(0)));
}

fn blob(project: &Project, digest: &Value) -> Vec<u8> {
    fs::read(project.path("out/blobs/sha256").join(digest.as_str().unwrap().trim_start_matches("sha256:"))).unwrap()
}

#[test]
fn an_archive_is_read() {
    for target in ["oci-archive:out.tar:1", "docker-archive:out.tar:crew:1"] {
        is_known(&baked(target), target);
    }
}

#[test]
fn a_registry_is_asked_for_manifest_and_config_and_no_layer() {
    let project = baked("oci:out:1");
    let index: Value = serde_json::from_slice(&fs::read(project.path("out/index.json")).unwrap()).unwrap();
    let manifest = blob(&project, &index["manifests"][0]["digest"]);
    let config = serde_json::from_slice::<Value>(&manifest).unwrap()["config"]["digest"].clone();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    let manifest = Reply::raw(200, index["manifests"][0]["mediaType"].as_str().unwrap(), &text(manifest));
    let answer = Reply::raw(200, "application/octet-stream", &text(blob(&project, &config)));
    let stub = Stub::answering([manifest.clone(), answer.clone(), manifest, answer]);
    is_known(&project, &format!("docker://{}/crew:1", stub.host()));
    let lines: Vec<String> = stub.requests().into_iter().map(|request| request.line).collect();
    let once = ["GET /v2/crew/manifests/1".to_owned(), format!("GET /v2/crew/blobs/{}", config.as_str().unwrap())];
    assert_eq!(lines, [once.clone(), once].concat());
}

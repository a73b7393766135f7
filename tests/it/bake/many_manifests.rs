//! "We deploy a hundred services at once": many manifests in one run, against a Secrets Manager that takes its time.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use serde_json::{Value, json};

use crate::aws::ASSUMED;
use crate::support::image::digest;
use crate::support::project::{Project, Ran};
use crate::support::stub::{Reply, Request, Stub};

const MANIFESTS: usize = 100;
const REFERENCES: usize = 20;
const SECRETS: usize = 500;
/// How long each call takes.
const CALL: Duration = Duration::from_millis(50);

fn entry(name: &str) -> Value {
    let arn = format!("arn:aws:secretsmanager:us-east-1:123456789012:secret:{name}-AbCdEf");
    json!({ "Name": name, "ARN": arn, "VersionId": "v-1", "SecretString": format!("canary-of-{name}") })
}

/// A Secrets Manager that has every secret but `gone`, and STS.
fn secrets_manager(denies_batches: bool) -> Stub {
    Stub::by(move |_, request: &Request| {
        let body: Value = serde_json::from_str(&request.body).unwrap_or_default();
        let answer = match request.operation().as_str() {
            "AssumeRole" => Reply::xml(200, ASSUMED),
            "BatchGetSecretValue" if denies_batches => {
                Reply::json(400, r#"{"__type":"AccessDeniedException","Message":"no"}"#)
            }
            "BatchGetSecretValue" => {
                let ids = body["SecretIdList"].as_array().unwrap();
                let values: Vec<Value> = ids.iter().map(|id| entry(id.as_str().unwrap())).collect();
                Reply::json(200, &json!({ "SecretValues": values, "Errors": [] }).to_string())
            }
            "GetSecretValue" if body["SecretId"] != "gone" => {
                Reply::json(200, &entry(body["SecretId"].as_str().unwrap()).to_string())
            }
            _ => Reply::json(400, r#"{"__type":"ResourceNotFoundException","Message":"none"}"#),
        };
        answer.after(CALL)
    })
}

/// Returns a project with the manifests, whose secrets are each named by four of them, and with a role to assume.
fn project(stub: &Stub, batch: &str) -> Project {
    let project = Project::empty().variable("TEST_KEY", "canary-key").variable("AWS_ENDPOINT_URL", &stub.url());
    project.write(
        "secretbake.org.yaml",
        &format!(
            "version: 1\ncredentials:\n  - name: aws\n    provider: aws-secrets-manager\n    region: us-east-1\n    default: true\n\
             \x20   access_key_id: AKIAEXAMPLEEXAMPLE00\n    secret_access_key: {{ env: TEST_KEY }}\n\
             \x20   role_arn: arn:aws:iam::123456789012:role/reader\n    batch: {batch}\n"
        ),
    );
    for number in 0..MANIFESTS {
        let mut text = format!("version: 1\nimage:\n  base: scratch\n  tags: [\"oci:out{number}:1\"]\nenv:\n");
        for index in 0..REFERENCES {
            writeln!(text, "  V{index}: {{ secret: s{} }}", (number * REFERENCES + index) % SECRETS).unwrap();
        }
        project.write(&format!("{number:03}.yaml"), &text);
    }
    project
}

fn bake(project: &Project) -> Ran {
    let names: Vec<String> = (0..MANIFESTS).map(|number| format!("{number:03}.yaml")).collect();
    let mut arguments = vec!["bake", "--jobs", "8", "--format", "json"];
    arguments.extend(names.iter().map(String::as_str));
    project.run(&arguments)
}

/// Returns how often each operation was asked for.
fn calls(stub: &Stub) -> BTreeMap<String, usize> {
    stub.operations().into_iter().fold(BTreeMap::new(), |mut calls, operation| {
        *calls.entry(operation).or_default() += 1;
        calls
    })
}

fn expected<const N: usize>(calls: [(&str, usize); N]) -> BTreeMap<String, usize> {
    calls.map(|(operation, count)| (operation.to_owned(), count)).into()
}

#[test]
fn each_secret_is_read_once_for_all_manifests_many_at_a_time_and_the_role_is_assumed_once() {
    let stub = secrets_manager(false);
    let project = project(&stub, "never");
    let ran = bake(&project);
    assert_eq!(ran.status, Some(0), "{}", ran.stderr);
    assert_eq!(calls(&stub), expected([("AssumeRole", 1), ("GetSecretValue", SECRETS)]));
    let mut bodies: Vec<String> = stub.requests().into_iter().map(|request| request.body).collect();
    bodies.sort();
    bodies.dedup();
    assert_eq!(bodies.len(), 1 + SECRETS);
    // 500 calls, fewer than ten at a time, would take more than 50 call times; and sockets are not endless
    assert!((10..=64).contains(&stub.most_at_once()), "{}", stub.most_at_once());
    for number in [0, MANIFESTS - 1] {
        let inspected = project.run(&["inspect", &format!("oci:out{number}:1")]);
        let first = format!("s{}", number * REFERENCES % SECRETS);
        assert!(inspected.stdout.contains(&first), "{inspected:?}");
    }
}

#[test]
fn a_credential_that_may_batch_reads_in_twenties() {
    let stub = secrets_manager(false);
    let ran = bake(&project(&stub, "auto"));
    assert_eq!(ran.status, Some(0), "{}", ran.stderr);
    assert_eq!(calls(&stub), expected([("AssumeRole", 1), ("BatchGetSecretValue", SECRETS / 20)]));
}

#[test]
fn a_credential_that_may_not_batch_is_told_so_once_and_nobody_else_is() {
    let stub = secrets_manager(true);
    let ran = bake(&project(&stub, "auto"));
    assert_eq!(ran.status, Some(0), "{}", ran.stderr);
    let calls = calls(&stub);
    assert_eq!(calls, expected([("AssumeRole", 1), ("BatchGetSecretValue", 1), ("GetSecretValue", SECRETS)]));
    assert!(!ran.stderr.contains("Batch"), "{}", ran.stderr);
}

#[test]
fn a_manifest_that_fails_does_not_stop_the_others_and_the_report_has_them_all() {
    let stub = secrets_manager(false);
    let project = project(&stub, "never");
    let text = "version: 1\nimage:\n  base: scratch\n  tags: [\"oci:out7:1\"]\nenv:\n  V: { secret: gone }\n";
    project.write("007.yaml", text);
    let ran = bake(&project);
    assert_eq!(ran.status, Some(1));
    assert!(ran.stderr.contains("007.yaml:6:16: env.V: secret not found: gone"), "{}", ran.stderr);
    let report: Value = serde_json::from_str(&ran.stdout).unwrap();
    let images = report["images"].as_array().unwrap();
    let failed: Vec<&Value> = images.iter().filter(|image| image["status"] == "failed").collect();
    assert_eq!((images.len(), failed.len()), (MANIFESTS, 1));
    assert_eq!(failed[0]["manifest"], "007.yaml");
    assert!(!project.path("out7").exists() && project.path("out8").exists() && project.path("out99").exists());
}

#[test]
fn a_base_of_many_manifests_is_read_once() {
    let config = json!({
        "architecture": if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" }, "os": "linux",
        "config": { "User": "1000" }, "rootfs": { "type": "layers", "diff_ids": [] },
    })
    .to_string();
    let manifest = json!({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "layers": [],
        "config": { "mediaType": "application/vnd.oci.image.config.v1+json", "digest": digest(config.as_bytes()), "size": config.len() },
    })
    .to_string();
    let registry = Stub::by(move |_, request| match request.line.contains("/manifests/") {
        true => Reply::raw(200, "application/vnd.oci.image.manifest.v1+json", &manifest),
        false => Reply::raw(200, "application/octet-stream", &config),
    });
    let project = Project::with_file("  s: canary\n");
    let names: Vec<String> = (0..20).map(|number| format!("{number}.yaml")).collect();
    for (number, name) in names.iter().enumerate() {
        let image = format!("  base: \"docker://{}/crew:1\"\n  tags: [\"oci:out{number}:1\"]\n", registry.host());
        project.write(name, &format!("version: 1\nimage:\n{image}env:\n  V: {{ secret: s }}\n"));
    }
    let ran = project.run(&[&["bake"], &names.iter().map(String::as_str).collect::<Vec<_>>()[..]].concat());
    assert_eq!(ran.status, Some(0), "{}", ran.stderr);
    let read: Vec<String> = registry.requests().into_iter().map(|request| request.line).collect();
    assert_eq!(read.len(), 2, "{read:?}");
}

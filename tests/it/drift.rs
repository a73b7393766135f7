//! "Which images are due for a deploy?"

use std::os::unix::process::CommandExt as _;

use serde_json::Value;

use crate::support::moto::Moto;
use crate::support::project::{Project, Ran};
use crate::support::stub::{Reply, Stub};

/// Bakes `env` into the layout `oci:out:TAG`.
fn bake(project: &Project, tag: &str, env: &str) {
    project.baked(&format!("version: 1\nimage:\n  base: scratch\n  tags: [\"oci:out:{tag}\"]\nenv:\n{env}"));
}

fn status_of(report: &Value, name: &str) -> Value {
    let findings = report["images"][0]["findings"].as_array().unwrap();
    findings.iter().find(|finding| finding["name"] == name).unwrap()["state"].clone()
}

#[test]
fn a_rotation_a_deletion_and_a_new_optional_secret_are_drift() {
    let moto = Moto::new();
    for name in ["kept", "rotated", "pinned", "gone"] {
        moto.text(name, "canary-1");
    }
    let second = moto.rotate("pinned", "canary-2");
    let project = Project::with_moto(&moto);
    let name = |short| moto.name(short);
    bake(
        &project,
        "1",
        &format!(
            "  KEPT: {{ secret: {} }}\n  ROTATED: {{ secret: {} }}\n  PINNED: {{ secret: {}, version_id: {second} }}\n  \
             GONE: {{ secret: {} }}\n  LATER: {{ secret: {}, optional: true }}\n  STILL: {{ secret: {}, optional: true }}\n",
            name("kept"),
            name("rotated"),
            name("pinned"),
            name("gone"),
            name("later"),
            name("still")
        ),
    );
    let ran = project.run(&["drift", "oci:out:1"]);
    assert_eq!((ran.stdout.as_str(), ran.status), ("oci:out:1: current\n", Some(0)), "{}", ran.stderr);

    let now = moto.rotate("rotated", "canary-3");
    moto.rotate("pinned", "canary-4");
    moto.delete("gone");
    moto.text("later", "canary-5");
    let ran = project.run(&["drift", "oci:out:1", "--format", "json"]);
    assert_eq!(ran.status, Some(3), "{}", ran.stderr);
    let report: Value = serde_json::from_str(&ran.stdout).unwrap();
    for (name, state) in [
        ("KEPT", "current"),
        ("ROTATED", "rotated"),
        ("PINNED", "current"),
        ("GONE", "deleted"),
        ("LATER", "appeared"),
        ("STILL", "current"),
    ] {
        assert_eq!(status_of(&report, name), state, "{name}");
    }
    assert!(ran.stdout.contains(&now) && !ran.stdout.contains("canary"));

    let text = project.run(&["drift", "oci:out:1"]);
    assert!(text.stdout.starts_with("oci:out:1: drifted\n"), "{}", text.stdout);
    assert!(text.stdout.contains(&format!("AWSCURRENT is {}\n", &now[..8])), "{}", text.stdout);
    assert!(!text.stdout.contains("KEPT"), "{}", text.stdout);
}

#[test]
fn a_secret_of_many_images_is_described_once_and_never_read() {
    let moto = Moto::new();
    let arn = moto.text("shared", "canary");
    let project = Project::with_moto(&moto);
    let entry = format!("{{ secret: {} }}", moto.name("shared"));
    bake(&project, "1", &format!("  A: {entry}\n  B: {entry}\n"));
    bake(&project, "2", &format!("  C: {entry}\n"));
    let stub = Stub::answering([Reply::json(
        200,
        &format!(r#"{{"ARN":"{arn}","Name":"shared","VersionIdsToStages":{{"other-version":["AWSCURRENT"]}}}}"#),
    )]);
    let project = project.variable("AWS_ENDPOINT_URL", &stub.url());
    let ran = project.run(&["drift", "oci:out:1", "oci:out:2"]);
    assert_eq!(ran.status, Some(3), "{}", ran.stderr);
    assert_eq!(stub.operations(), ["DescribeSecret"]);
    assert_eq!(ran.stdout.matches("rotated").count(), 3, "{}", ran.stdout);
}

#[test]
fn a_secret_of_both_halves_of_a_fleet_is_described_once_and_one_of_the_second_half_too() {
    let moto = Moto::new();
    let project = Project::with_moto(&moto);
    for secret in ["both", "late"] {
        moto.text(secret, "canary");
    }
    for (tag, secret) in [("1", "both"), ("2", "both"), ("3", "both"), ("4", "both"), ("5", "late")] {
        bake(&project, tag, &format!("  A: {{ secret: {} }}\n", moto.name(secret)));
    }
    moto.rotate("late", "canary-2");
    let relay = Stub::before(moto.endpoint.strip_prefix("http://").unwrap(), |_, _| None);
    let project = project.variable("AWS_ENDPOINT_URL", &relay.url());
    // more than two at a time, so the first secrets are described while the last images are read
    let all = ["1", "2", "3", "4", "5"].map(|tag| format!("oci:out:{tag}"));
    let arguments = [&["drift", "--jobs", "2"], &all.each_ref().map(String::as_str)[..]].concat();
    let ran = project.run(&arguments);
    assert_eq!(ran.status, Some(3), "{}", ran.stderr);
    assert_eq!(relay.operations(), ["DescribeSecret", "DescribeSecret"]);
    assert!(ran.stdout.starts_with("rebake:\n  oci:out:5\n    A  secret "), "{}", ran.stdout);
    assert!(ran.stdout.contains("\ncurrent:\n  oci:out:1\n  oci:out:2\n  oci:out:3\n  oci:out:4\n"), "{}", ran.stdout);
}

#[test]
fn a_secret_of_which_a_later_image_has_another_version_is_described_once() {
    let moto = Moto::new();
    let project = Project::with_moto(&moto);
    moto.text("both", "canary");
    moto.rotate("both", "canary-2");
    for (tag, stage) in [("1", ""), ("2", ""), ("3", ""), ("4", ""), ("5", ", version_stage: AWSPREVIOUS")] {
        bake(&project, tag, &format!("  A: {{ secret: {}{stage} }}\n", moto.name("both")));
    }
    let relay = Stub::before(moto.endpoint.strip_prefix("http://").unwrap(), |_, _| None);
    let project = project.variable("AWS_ENDPOINT_URL", &relay.url());
    let all = ["1", "2", "3", "4", "5"].map(|tag| format!("oci:out:{tag}"));
    let ran = project.run(&[&["drift", "--jobs", "2"], &all.each_ref().map(String::as_str)[..]].concat());
    assert_eq!((ran.stdout.lines().next(), ran.status), (Some("current:"), Some(0)), "{}{}", ran.stdout, ran.stderr);
    assert_eq!(relay.operations(), ["DescribeSecret"]);
}

#[test]
fn a_secret_that_one_image_knows_by_its_name_only_is_described_once_too() {
    let moto = Moto::new();
    let project = Project::with_moto(&moto);
    let entry = format!("{{ secret: {}, optional: true }}", moto.name("late"));
    bake(&project, "1", &format!("  A: {entry}\n  KEPT: kept\n"));
    let arn = moto.text("late", "canary");
    bake(&project, "2", &format!("  A: {entry}\n"));
    let name = moto.name("late");
    let stub = Stub::answering([Reply::json(
        200,
        &format!(r#"{{"ARN":"{arn}","Name":"{name}","VersionIdsToStages":{{"other-version":["AWSCURRENT"]}}}}"#),
    )]);
    let project = project.variable("AWS_ENDPOINT_URL", &stub.url());
    let ran = project.run(&["drift", "oci:out:2", "oci:out:1"]);
    assert_eq!(ran.status, Some(3), "{}", ran.stderr);
    assert_eq!(stub.operations(), ["DescribeSecret"]);
    assert!(ran.stdout.contains("rotated: ") && ran.stdout.contains("was absent, and exists now"), "{}", ran.stdout);
}

#[test]
fn what_cannot_be_asked_is_said_and_the_rest_is_still_answered() {
    let project = Project::with_file("  known: { value: canary, version_id: v1 }\n  plain: canary\n");
    bake(&project, "1", "  A: { secret: known }\n");
    bake(&project, "2", "  B: { secret: plain }\n");
    let ran = project.run(&["drift", "oci:out:1", "oci:none:1", "oci:out:2"]);
    assert_eq!(
        ran.stdout,
        "cannot tell:\n  oci:none:1\n  oci:out:2\n    \
         B  secret plain with local  cannot be told: the provider gives its versions no IDs\ncurrent:\n  oci:out:1\n\
         1 of 3 images cannot be told without reading the secrets: run secretbake rebake oci:out:2\n\
         1 of 3 images could not be checked: see the errors\n"
    );
    assert!(ran.stderr.contains("none"), "{}", ran.stderr);
    assert_eq!(ran.status, Some(1));

    // drift is what a deploy must act on, so it decides the exit status
    project.write("secrets.yaml", "version: 1\nsecrets:\n  known: { value: canary, version_id: v2 }\n");
    let ran = project.run(&["drift", "oci:out:1", "oci:none:1"]);
    assert_eq!(
        ran.stdout,
        "rebake:\n  oci:out:1\n    A  secret known with local  rotated: baked v1, AWSCURRENT is v2\ncannot tell:\n  oci:none:1\n\
         1 of 2 images drifted: run secretbake rebake oci:out:1\n1 of 2 images could not be checked: see the errors\n"
    );
    assert_eq!(ran.status, Some(3));
}

#[test]
fn a_credential_that_cannot_be_used_hides_nothing_of_the_others() {
    let project = Project::with_file("  known: { value: canary, version_id: v1 }\n");
    let org = "version: 1\ncredentials:\n  - { name: local, provider: file, path: secrets.yaml, default: true }\n  \
               - { name: other, provider: file, path: other.yaml }\n";
    project.write("secretbake.org.yaml", org);
    project.write("other.yaml", "version: 1\nsecrets: { far: { value: canary-2, version_id: v1 } }\n");
    bake(&project, "1", "  A: { secret: known }\n");
    bake(&project, "2", "  B: { secret: far, credential: other }\n");
    std::fs::remove_file(project.path("other.yaml")).unwrap();
    project.write("secrets.yaml", "version: 1\nsecrets:\n  known: { value: canary, version_id: v2 }\n");
    let ran = project.run(&["drift", "oci:out:1", "oci:out:2"]);
    assert_eq!(
        ran.stdout,
        "rebake:\n  oci:out:1\n    A  secret known with local  rotated: baked v1, AWSCURRENT is v2\n\
         cannot tell:\n  oci:out:2\n    B  secret far with other  could not be asked\n\
         1 of 2 images drifted: run secretbake rebake oci:out:1\n1 of 2 images could not be checked: see the errors\n"
    );
    let unreadable = "error: cannot read the secrets file ./other.yaml: No such file or directory (os error 2)\n  \
                      hint: `path` in the org file is relative to the org file\n";
    assert_eq!((ran.stderr.as_str(), ran.status), (unreadable, Some(3)));
    assert_eq!(project.run(&["drift", "oci:out:2"]).status, Some(1));
}

#[test]
fn a_credential_that_the_org_file_does_not_have_is_named() {
    let project =
        Project::with_file("  known: { value: canary, version_id: v1 }\n  other: canary-2\n  third: canary-3\n");
    bake(&project, "3", "  A: { secret: known }\n  B: { secret: other }\n  C: { secret: third }\n");
    bake(&project, "1", "  A: { secret: known }\n");
    project.write("secretbake.org.yaml", "version: 1\ncredentials: []\n");
    let ran = project.run(&["drift", "oci:out:1"]);
    assert_eq!(
        ran.stderr,
        "error: no credential `local`, with which known was baked\n  \
         hint: name the org file that the image was baked with, by --org or $SECRETBAKE_ORG\n"
    );
    assert_eq!(ran.status, Some(1));
    // once for all secrets
    assert_eq!(
        project.run(&["drift", "oci:out:1", "oci:out:3"]).stderr,
        "error: no credential `local`, with which known and 2 other secrets were baked\n  also other\n  also third\n  \
         hint: name the org file that the image was baked with, by --org or $SECRETBAKE_ORG\n"
    );

    // a program that reads the result gets a document all the same
    project.write("secretbake.org.yaml", "version: 2\n");
    let ran = project.run(&["drift", "oci:out:1", "--format", "json"]);
    let report: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!((&report["images"][0]["status"], ran.status), (&Value::from("unknown"), Some(2)));
    assert!(report["diagnostics"][0]["message"].is_string(), "{}", ran.stdout);
}

#[test]
fn the_command_to_run_next_is_the_one_that_works_here() {
    let project = Project::with_file("  known: { value: canary, version_id: v1 }\n");
    bake(&project, "1", "  A: { secret: known }\n");
    std::fs::rename(project.path("secretbake.org.yaml"), project.path("my org.yaml")).unwrap();
    project.write("secrets.yaml", "version: 1\nsecrets:\n  known: { value: canary, version_id: v2 }\n");
    for (called, shown) in [
        ("secretbake", "secretbake"),
        ("target/debug/secretbake", "target/debug/secretbake"),
        ("/usr/libexec/docker/cli-plugins/docker-secretbake", "docker secretbake"),
    ] {
        let run = |arguments: &[&str]| {
            let mut command = project.command(&[arguments, &["--org", "my org.yaml"]].concat());
            command.arg0(called);
            Ran::from_output(command.output().unwrap())
        };
        let ran = run(&["drift", "oci:out:1"]);
        let end = format!("1 of 1 image drifted: run {shown} rebake oci:out:1 --org 'my org.yaml'\n");
        assert!(ran.stdout.ends_with(&end), "{}{}", ran.stdout, ran.stderr);
        // the words around a command are not code
        let ran = run(&["drift", "oci:out:1", "--format", "markdown"]);
        let start = format!("### 1 of 1 image drifted\n\nrun `{shown} rebake oci:out:1 --org 'my org.yaml'`\n\n");
        assert!(ran.stdout.starts_with(&start), "{}{}", ran.stdout, ran.stderr);
        let ran = run(&["credential", "add", "local", "--provider", "file", "--path", "p"]);
        let hint = format!("  hint: change it with `{shown} credential edit local --org 'my org.yaml'`, or give");
        assert!(ran.stderr.contains(&hint), "{}", ran.stderr);
    }
}

#[test]
fn an_image_whose_secret_is_gone_is_not_sent_to_a_rebake_that_would_fail() {
    let project =
        Project::with_file("  gone: { value: canary, version_id: v1 }\n  kept: { value: canary, version_id: v1 }\n");
    bake(&project, "1", "  A: { secret: gone }\n");
    bake(&project, "2", "  A: { secret: kept }\n");
    project.write("secrets.yaml", "version: 1\nsecrets:\n  kept: { value: canary, version_id: v2 }\n");
    let ran = project.run(&["drift", "oci:out:1"]);
    assert_eq!(
        ran.stdout,
        "oci:out:1: drifted\n  A  secret gone with local  the secret is deleted\n\
         1 of 1 image drifted: restore what is gone, or bake from manifests that do without it\n"
    );
    assert_eq!(ran.status, Some(3));
    assert_eq!(project.run(&["rebake", "oci:out:1"]).status, Some(1));
    let ran = project.run(&["drift", "oci:out:1", "oci:out:2"]);
    assert_eq!(
        ran.stdout,
        "rebake:\n  oci:out:2\n    A  secret kept with local  rotated: baked v1, AWSCURRENT is v2\n\
         secret is gone:\n  oci:out:1\n    A  secret gone with local  the secret is deleted\n\
         2 of 2 images drifted: run secretbake rebake oci:out:2\n\
         1 of 2 images cannot be rebaked: restore what is gone, or bake from manifests that do without it\n"
    );
}

#[test]
fn standard_input_is_read_by_one_only() {
    let project = Project::with_file("  a: canary\n");
    for (arguments, readers) in [
        (&["drift", "--from", "k8s", "-", "--org", "-"][..], "--org - and by --from k8s -"),
        (&["drift", "--from", "k8s", "-", "--from", "ecs", "-"], "--from k8s - and by --from ecs -"),
        (&["drift", "oci-archive:-", "--org", "-"], "--org - and by oci-archive:-"),
        (&["rebake", "oci-archive:-", "--org", "-"], "--org - and by oci-archive:-"),
    ] {
        let org = std::fs::File::open(project.path("secretbake.org.yaml")).unwrap();
        let output = project.command(arguments).stdin(org).output().unwrap();
        assert_eq!(
            String::from_utf8(output.stderr).unwrap(),
            format!(
                "error: standard input can be read once, not by {readers}\n  hint: name a file for all of them but one\n"
            )
        );
        assert_eq!(output.status.code(), Some(2));
    }
}

//! "What is in this image?", asked of an image in an engine and in a layout.

use serde_json::{Value, json};

use crate::support::engine::Engine;
use crate::support::image::TestImage;
use crate::support::moto::Moto;
use crate::support::oci_base::{Oci, oci_archive};
use crate::support::project::Project;

const SECRETS: &str = "  db: { value: '{\"password\": \"canary-1\"}', version_id: v1 }\n  tls: canary-2\n";
const MANIFEST: &str = "version: 1\nimage:\n  base: scratch\n  tags: [\"oci:out:1\"]\nenv:\n  PLAIN: canary-plain\n  \
                        PASSWORD: { secret: \"db#password\" }\n  DSN: { secret: sentry, optional: true }\n\
                        files:\n  /tls.pem: { secret: tls }\n";

#[test]
fn a_layout_says_what_was_baked_and_no_value() {
    let project = Project::with_file(SECRETS);
    project.baked(MANIFEST);
    let ran = project.run(&["inspect", "oci:out:1"]);
    assert_eq!(ran.status, Some(0), "{}", ran.stderr);
    let lines: Vec<&str> = ran.stdout.lines().filter(|line| !line.starts_with("digest")).collect();
    assert_eq!(
        lines,
        [
            "image    oci:out:1",
            "base     none",
            "created  1970-01-01T00:00:00Z",
            "inject   launcher",
            "env",
            "  DSN       secret sentry       with local  absent, left out",
            "  PASSWORD  secret db#password  with local  version v1",
            "files",
            "  /tls.pem  secret tls  with local  version without an ID",
        ]
    );
    let json = project.run(&["inspect", "oci:out:1", "--format", "json"]);
    let seen: Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!(seen["version"], 1);
    assert_eq!(seen["provenance"]["variables"]["PASSWORD"]["key"], "password");
    assert!(!format!("{ran:?}{json:?}").contains("canary"));
}

#[test]
fn an_image_that_cannot_be_inspected_is_a_document_with_the_reason() {
    let project = Project::with_file(SECRETS);
    let ran = project.run(&["inspect", "oci:none:1", "--format", "json"]);
    let seen: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!((&seen["image"], &seen["provenance"], ran.status), (&json!("oci:none:1"), &Value::Null, Some(1)));
    assert_eq!(seen["diagnostics"][0]["severity"], "error");
    assert!(ran.stderr.contains(seen["diagnostics"][0]["message"].as_str().unwrap()), "{}", ran.stderr);
}

#[test]
fn an_image_whose_label_cannot_be_read_says_why_and_nothing_of_the_label() {
    let project = Project::empty();
    for (label, why, hint) in [
        ("canary", "its label dev.secretbake.provenance is not valid", "bake the image again"),
        (
            "{\"version\":2}",
            "its label dev.secretbake.provenance was written by a newer secretbake",
            "update secretbake",
        ),
    ] {
        let config = json!({ "os": "linux", "architecture": "amd64", "config": { "Labels": { "dev.secretbake.provenance": label } } });
        let (image, _, _) = oci_archive("sbtest/image:1", &[Oci { config, layers: &[], manifest: json!({}) }]);
        std::fs::write(project.path("image.tar"), image).unwrap();
        let ran = project.run(&["inspect", "oci-archive:image.tar"]);
        assert_eq!(
            ran.stderr,
            format!("error: cannot tell what was baked into oci-archive:image.tar: {why}\n  hint: {hint}\n")
        );
        assert_eq!((ran.status, ran.stdout.as_str()), (Some(1), ""));
    }
}

#[test]
fn an_engine_says_it_of_its_images_with_arn_and_version_id() {
    let moto = Moto::new();
    let arn = moto.text("db", "{\"password\":\"canary\"}");
    let engine = Engine::one();
    let base = engine.load(&TestImage::busybox(json!({ "Cmd": ["/bin/sh"], "Env": ["OF_BASE=canary-base"] })));
    let project = Project::with_moto(&moto).on(&engine);
    let baked = base.baked();
    project.baked(&format!(
        "version: 1\nimage:\n  base: {}\n  tags: [{baked}]\nenv:\n  PASSWORD: {{ secret: \"{}#password\" }}\n",
        base.name,
        moto.name("db")
    ));
    let ran = project.run(&["inspect", &baked, "--format", "json"]);
    let seen: Value = serde_json::from_str(&ran.stdout).unwrap();
    let of = &seen["provenance"]["variables"]["PASSWORD"];
    assert_eq!((&of["secret"], &of["credential"], &of["key"]), (&json!(arn), &json!("aws"), &json!("password")));
    assert!(of["version_id"].as_str().unwrap().len() >= 32);
    assert_eq!(seen["created"], "2024-01-02T03:04:05Z");
    assert_eq!(seen["provenance"]["base"], engine.id(&base.name).unwrap());
    assert!(!ran.stdout.contains("canary"));

    let ran = project.run(&["inspect", &base.name]);
    assert_eq!(
        ran.stderr,
        format!(
            "error: cannot tell what was baked into {}: it has no label dev.secretbake.provenance\n  \
             hint: name an image that secretbake baked, or one built on top of it\n",
            base.name
        )
    );
    assert_eq!((ran.status, ran.stdout.as_str()), (Some(1), ""));
}

#[test]
fn ssh_does_not_get_the_variables_that_hold_keys() {
    let org = "version: 1\ncredentials:\n  - name: aws\n    provider: aws-secrets-manager\n    region: us-east-1\n    \
               access_key_id: AKIAIOSFODNN7EXAMPLE\n    secret_access_key: { env: PROD_KEY }\n";
    // where the org file cannot be read, nobody knows which variables hold keys
    for (org, shown) in
        [(org, "AWS_PROFILE HOME LC_ALL PATH SSH_AUTH_SOCK"), ("broken: [", "HOME LC_ALL PATH SSH_AUTH_SOCK")]
    {
        let project = Project::empty();
        project.write("secretbake.org.yaml", org);
        project.program("ssh", "env | grep -o '^[A-Z_]*' | sort > seen; exit 255");
        let path = format!("{}:/usr/bin:/bin", project.path("").display());
        let variables = [
            ("PATH", path.as_str()),
            ("DOCKER_HOST", "ssh://build"),
            ("PROD_KEY", "canary"),
            ("AWS_PROFILE", "prod"),
            ("LC_ALL", "C"),
            ("SSH_AUTH_SOCK", "/agent"),
        ];
        let project = variables.iter().fold(project, |project, (name, value)| project.variable(name, value));
        let ran = project.run(&["inspect", "crew:1"]);
        assert_eq!(ran.status, Some(1), "{}", ran.stderr);
        let seen = std::fs::read_to_string(project.path("seen")).unwrap();
        let asked = ["AWS_PROFILE", "HOME", "LC_ALL", "PATH", "PROD_KEY", "SSH_AUTH_SOCK"];
        let seen: Vec<&str> = seen.lines().filter(|name| asked.contains(name)).collect();
        assert_eq!(seen.join(" "), shown);
    }
}

#[test]
fn an_engine_on_an_unknown_host_is_not_said_to_be_down() {
    let project = Project::empty().variable("DOCKER_HOST", "tcp://engine.invalid:2375");
    let ran = project.run(&["inspect", "crew:1"]);
    let lines: Vec<&str> = ran.stderr.lines().filter(|line| !line.starts_with("  cause: ")).collect();
    assert_eq!(
        lines[lines.len() - 2..],
        [
            "error: the host of the container engine at tcp://engine.invalid:2375 is unknown",
            "  hint: check the name in DOCKER_HOST or the Docker context, and the DNS; a VPN may be needed",
        ]
    );
}

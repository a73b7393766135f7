//! "What is in this image?", asked of an image in an engine and in a layout.

use serde_json::{Value, json};

use crate::support::engine::Engine;
use crate::support::image::TestImage;
use crate::support::moto::Moto;
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

//! "I have a .env / compose file / task definition / Deployment": what comes out passes `check` and has no secret in it.

use std::path::Path;

use snapbox::{Data, assert_data_eq};

use crate::support::project::{Project, Ran};

fn import(form: &str, file: &str, more: &[&str]) -> Ran {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/import").join(file);
    Project::empty().run(&[&["import", form, path.to_str().unwrap()], more].concat())
}

#[test]
fn each_form_becomes_a_manifest_that_passes_check() {
    for (form, file, more) in [
        ("dotenv", "dotenv.env", &[][..]),
        ("compose", "compose.yaml", &["--container", "api"]),
        ("ecs", "ecs.json", &[]),
        ("k8s", "k8s.yaml", &[]),
    ] {
        let ran = import(form, file, more);
        assert_eq!(ran.status, Some(0), "{}", ran.stderr);
        let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/import");
        assert_data_eq!(&ran.stdout, Data::read_from(&fixtures.join(format!("{form}.manifest.yaml")), None).raw());
        assert_data_eq!(&ran.stderr, Data::read_from(&fixtures.join(format!("{form}.stderr")), None).raw());
        let said = format!("{ran:?}");
        assert!(!said.contains("canary") && !said.contains("hunter2") && !said.contains("AKIA"), "{said}");

        let project = Project::empty();
        project.write("org.yaml", &std::fs::read_to_string(fixtures.join("../org/aws.yaml")).unwrap());
        project.write("deploy.yaml", &ran.stdout);
        let checked = project.run(&["check", "deploy.yaml", "--org", "org.yaml"]);
        assert_eq!((checked.status, checked.stderr.as_str()), (Some(0), ""), "{form}");
    }
}

#[test]
fn among_several_services_one_is_chosen() {
    let ran = import("compose", "compose.yaml", &[]);
    assert!(
        ran.stderr.contains("has 2 containers\n  hint: choose one with --container NAME: `api`, `worker`"),
        "{}",
        ran.stderr
    );
    assert_eq!((ran.status, ran.stdout.as_str()), (Some(2), ""));
    let ran = import("compose", "compose.yaml", &["--container", "none"]);
    assert!(ran.stderr.contains("no container of that name\n  hint: it has `api`, `worker`"), "{}", ran.stderr);
    let ran = import("compose", "compose.yaml", &["--container", "worker"]);
    assert!(ran.stdout.contains("  QUEUE: \"jobs\"\n  TOKEN:\n    secret: \"fill-in/TOKEN\""), "{}", ran.stdout);
}

#[test]
fn what_cannot_be_read_is_said_without_a_value() {
    let project = Project::empty();
    for (form, text, what) in [
        ("dotenv", &b"A=1\nB='canary\n"[..], "in:2:1: not NAME=value"),
        ("dotenv", b"\xff", "in:1:1: not UTF-8 text"),
        ("ecs", b"{\"containerDefinitions\": \"canary\"}", "in:1:"),
        ("ecs", b"{}", "has no containers"),
        ("k8s", b"a: 1\n---\nb: [\n", "not valid YAML"),
        ("compose", b"a: 1\n", "has no containers"),
        ("compose", b"", "the file is empty"),
    ] {
        std::fs::write(project.path("in"), text).unwrap();
        let ran = project.run(&["import", form, "in"]);
        assert!(ran.stderr.contains(what), "{form}: {}", ran.stderr);
        assert!(!ran.stderr.contains("canary"), "{}", ran.stderr);
        assert_eq!((ran.status, ran.stdout.as_str()), (Some(2), ""), "{form}");
    }
    let ran = project.run(&["import", "dotenv", "none"]);
    assert!(ran.stderr.contains("cannot read none"), "{}", ran.stderr);
    assert_eq!(ran.status, Some(2));
}

#[test]
fn an_entry_that_is_no_variable_is_named_by_its_line() {
    let project = Project::empty();
    project.write("compose.yaml", "services:\n  a:\n    environment:\n      - A=1\n      - { B: canary }\n");
    let ran = project.run(&["import", "compose", "compose.yaml"]);
    assert!(
        ran.stderr.contains(
            "warning: environment: the entry on line 5 is left out: not NAME=VALUE\n  \
             hint: write `- NAME=VALUE`, or all of it as `NAME: VALUE`\n"
        ),
        "{}",
        ran.stderr
    );
    assert!(ran.stdout.contains("  A: \"1\"\n") && !ran.stdout.contains("canary"), "{}", ran.stdout);
}

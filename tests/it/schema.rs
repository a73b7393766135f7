//! The published schemas say what secretbake reads and prints, by the word of an independent validator.

use std::fs;
use std::path::{Path, PathBuf};

use jsonschema::Validator;
use serde_json::Value;

use crate::support::project::Project;
use crate::support::secretbake;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Returns the validator of what the program itself prints, which must be the file in `schemas/`.
pub fn schema(name: &str) -> Validator {
    let output = secretbake().args(["schema", name]).output().unwrap();
    assert!(output.status.success());
    let file = fs::read(root().join("schemas").join(format!("{name}.json"))).unwrap();
    assert_eq!(output.stdout, file, "schemas/{name}.json");
    let schema: Value = serde_json::from_slice(&file).unwrap();
    jsonschema::meta::validate(&schema).unwrap();
    jsonschema::draft202012::new(&schema).unwrap()
}

fn yaml(path: &Path) -> Option<Value> {
    let text = fs::read_to_string(path).ok()?;
    let value: serde_yaml::Value = serde_yaml::from_str(text.trim_start_matches('\u{feff}')).ok()?;
    serde_json::to_value(value).ok()
}

fn files(folder: &str, ending: &str) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(root().join("fixtures").join(folder))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.to_str().unwrap().ends_with(ending))
        .collect();
    files.sort();
    assert!(!files.is_empty());
    files
}

/// Fails with every error if a document is not valid.
pub fn holds(schema: &Validator, document: &Value, what: &str) {
    let errors: Vec<String> =
        schema.iter_errors(document).map(|error| format!("{}: {error}", error.instance_path)).collect();
    assert!(errors.is_empty(), "{what}: {errors:#?}");
}

#[test]
fn every_right_manifest_is_valid() {
    let schema = schema("manifest");
    for path in files("right", ".yaml") {
        holds(&schema, &yaml(&path).unwrap(), path.to_str().unwrap());
    }
    holds(&schema, &yaml(&root().join("fixtures/quickstart/deploy.yaml")).unwrap(), "the quickstart");
}

#[test]
fn a_wrong_manifest_is_not_valid_where_a_schema_can_see_it() {
    // what only the file's text, the org file or the value itself shows
    const UNSEEN: [&str; 19] = [
        "cannot-carry",
        "credential-in-clear",
        "credential-in-clear-template",
        "engine-variable",
        "engine-variable-env-from",
        "env-from-names",
        "env-from-two-of-a-name",
        "named-elsewhere",
        "not-in-allow",
        "nul-character",
        "other-provider",
        "region-mismatch",
        "taken-literally",
        "too-deep",
        "two-documents",
        "unknown-credential",
        "unknown-credential-in-a-wrong-template",
        "value-as-credential",
        "value-for-name",
    ];
    let schema = schema("manifest");
    let mut seen = 0;
    for path in files("wrong", ".yaml") {
        let name = path.file_stem().unwrap().to_str().unwrap();
        let Some(document) = yaml(&path) else { continue };
        if !UNSEEN.contains(&name) {
            assert!(!schema.is_valid(&document), "{name} is valid");
            seen += 1;
        }
    }
    assert!(seen >= 12, "{seen}");
}

#[test]
fn org_files_are_valid_and_half_a_key_is_not() {
    let schema = schema("org");
    for name in ["org/aws.yaml", "quickstart/org.yaml"] {
        holds(&schema, &yaml(&root().join("fixtures").join(name)).unwrap(), name);
    }
    let recipient = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p";
    for seal in ["required", "{required: true}", &format!("{{recipients: [{recipient}], required: true}}")] {
        let right = format!("{{version: 1, credentials: [], seal: {seal}}}");
        let document: serde_yaml::Value = serde_yaml::from_str(&right).unwrap();
        holds(&schema, &serde_json::to_value(document).unwrap(), &right);
    }
    for wrong in [
        "{version: 1, credentials: [{name: a, provider: file}]}",
        "{version: 1, credentials: [{name: a, provider: aws-secrets-manager, access_key_id: AKIAEXAMPLEEXAMPLE00}]}",
        "{version: 1, credentials: [{name: a, provider: aws-secrets-manager, path: x}]}",
        "{version: 1, credentials: [{name: a, provider: aws-secrets-manager, region: us-east-1, access_key_id: wJalrXUtnFEMIK7M, secret_access_key: KEY}]}",
        "{version: 1, credentials: [{name: a, provider: aws-secrets-manager, region: us-east-1, access_key_id: AKIAEXAMPLE, secret_access_key: {env: wJalr/K7}}]}",
        "{version: 1, credentials: [{name: a, provider: file, path: x, allow: []}]}",
        "{version: 1, credentials: [{name: a, provider: file, path: x, allow: ['a b']}]}",
        "{version: 1, credentials: [], seal: yes}",
        "{version: 1, credentials: [], seal: {}}",
        "{version: 1, credentials: [], seal: {recipients: []}}",
        "{version: 1, credentials: [], seal: {recipients: [age1short]}}",
        "{version: 1, credential: []}",
        "{version: 2, credentials: []}",
    ] {
        let document: serde_yaml::Value = serde_yaml::from_str(wrong).unwrap();
        assert!(!schema.is_valid(&serde_json::to_value(document).unwrap()), "{wrong}");
    }
}

#[test]
fn every_plan_is_valid() {
    let schema = schema("plan");
    for path in files("right", ".plan.json") {
        let plan = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        holds(&schema, &plan, path.to_str().unwrap());
    }
}

#[test]
fn what_the_commands_print_is_valid() {
    let project = Project::with_file("  a: { value: canary, version_id: v1 }\n  j: '{\"k\": \"canary\"}'\n");
    project.write(
        "deploy.yaml",
        "version: 1\nimage:\n  base: scratch\n  tags: [\"oci:out:1\"]\nenv:\n  A: { secret: a }\n  K: { secret: \"j#k\" }\n  \
         O: { secret: none, optional: true }\n  T: { template: \"{{a}}{{n}}\", with: { a: { secret: a }, n: { secret: none, optional: true } } }\n  CLEAR: AKIAIOSFODNN7EXAMPLE\nenv_from:\n  - { secret: j, prefix: J_, case: upper, keys: [k], rename: { k: J } }\n  - { secret: none, optional: true }\nfiles:\n  /t: { template: \"{{{{a}}}}{{a}}\", with: { a: { secret: a } } }\n  /f: { secret: a, version_id: vvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvv, optional: true }\n",
    );
    project.write("wrong.yaml", "version: 1\nenv:\n  A: 1\n");
    project.write(
        "absent.yaml",
        "version: 1\nimage: { base: scratch, tags: [\"oci:out:2\"] }\nenv: { A: { secret: absent } }\n",
    );
    project.write(
        "aws.yaml",
        "version: 1\ncredentials:\n  - name: aws-prod\n    provider: aws-secrets-manager\n    region: us-east-1\n    \
         access_key_id: AKIAIOSFODNN7EXAMPLE\n    secret_access_key: { env: KEY }\n    session_token: { file: token }\n    \
         role_arn: arn:aws:iam::123456789012:role/reader\n    external_id: crew-7\n    allow: [\"crewai/*\", \"database-*\"]\n",
    );
    for (name, arguments, status) in [
        ("plan", &["bake", "deploy.yaml", "--dry-run"][..], 0),
        ("plan", &["bake", "deploy.yaml", "--dry-run", "--online"], 0),
        ("plan", &["bake", "absent.yaml", "--dry-run", "--online"], 1),
        ("report", &["bake", "deploy.yaml"], 0),
        ("report", &["bake", "absent.yaml"], 1),
        ("check", &["check", "deploy.yaml"], 0),
        ("check", &["check", "wrong.yaml"], 2),
        ("inspect", &["inspect", "oci:out:1"], 0),
        ("drift", &["drift", "oci:out:1", "oci:none:1"], 1),
        ("rebake", &["rebake", "oci:out:1", "oci:none:1", "--dry-run"], 1),
        ("rebake", &["rebake", "oci:out:1", "--all"], 1),
        ("rebake", &["rebake", "oci:none:1"], 1),
        ("credentials", &["credential", "list"], 0),
        ("credentials", &["credential", "show", "aws-prod", "--org", "aws.yaml"], 0),
        ("connection", &["credential", "test", "--secret", "a"], 0),
        ("connection", &["credential", "test", "--secret", "absent"], 1),
        ("secrets", &["secrets", "list"], 0),
        // a failure is a document too
        ("report", &["bake", "wrong.yaml", "--dry-run"], 2),
        ("report", &["bake", "wrong.yaml", "--dry-run", "--online"], 2),
        ("check", &["credential", "list", "--org", "wrong.yaml"], 2),
        ("check", &["credential", "show", "none"], 2),
        ("check", &["credential", "test", "none"], 2),
        ("check", &["secrets", "list", "--credential", "none"], 2),
        ("check", &["policy", "wrong.yaml"], 2),
    ] {
        let ran = project.run(&[arguments, &["--format", "json"]].concat());
        assert_eq!(ran.status, Some(status), "{arguments:?}: {}", ran.stderr);
        let printed: Value = serde_json::from_str(&ran.stdout).unwrap();
        holds(&schema(name), &printed, &format!("{arguments:?}"));
        // it would notice
        let mut other = printed;
        other["surprise"] = Value::Null;
        assert!(!schema(name).is_valid(&other));
    }
}

//! Whatever stands in a manifest, a dry run ends: in a plan, or in a clear error without a value.

use std::fmt::Write as _;

use serde_json::Value;

use crate::support::project::{Project, Ran};

fn dry_run(manifest: &[u8]) -> Ran {
    let project = Project::with_file("  a: canary\n");
    std::fs::write(project.path("deploy.yaml"), manifest).unwrap();
    project.run(&["bake", "deploy.yaml", "--dry-run", "--format", "json"])
}

fn refused(manifest: &[u8], what: &str) {
    let ran = dry_run(manifest);
    assert!(ran.stderr.starts_with("deploy.yaml:") && ran.stderr.contains(what), "{:.2000}", ran.stderr);
    assert_eq!((ran.status, ran.stdout.as_str()), (Some(2), ""));
}

#[test]
fn ten_thousand_variables_are_planned() {
    let mut manifest = "version: 1\nenv:\n".to_owned();
    for index in 0..10_000 {
        writeln!(manifest, "  V{index}: {{ secret: \"s{}#k{index}\" }}", index % 100).unwrap();
    }
    let ran = dry_run(manifest.as_bytes());
    assert_eq!(ran.status, Some(0), "{:.2000}", ran.stderr);
    let plan: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(plan["images"][0]["env"].as_array().unwrap().len(), 10_000);
    assert_eq!(plan["reads"].as_array().unwrap().len(), 100);
}

#[test]
fn ten_thousand_mistakes_are_each_said() {
    let mut manifest = "version: 1\nenv:\n".to_owned();
    for index in 0..10_000 {
        writeln!(manifest, "  V{index}: {index}").unwrap();
    }
    let ran = dry_run(manifest.as_bytes());
    assert_eq!(ran.stderr.matches("a number where a string is expected").count(), 10_000);
    assert_eq!(ran.status, Some(2));
}

#[test]
fn deep_and_huge_yaml_is_refused() {
    refused("[".repeat(1_000_000).as_bytes(), "recursion limit exceeded");
    let steps: String = (0..100).fold(String::new(), |text, depth| text + &" ".repeat(depth) + "a:\n");
    refused(steps.as_bytes(), "nested more than 32 levels deep");
    refused(format!("version: 1\nenv: {{ A: \"{}\" }}\n", "x".repeat(9 << 20)).as_bytes(), "larger than 8 MiB");
    refused(format!("version: 1\nenv:\n  A: {}\n", "x".repeat(200_000)).as_bytes(), "KEY=value is over");
}

#[test]
fn aliases_of_aliases_cost_nothing() {
    let mut manifest = "version: 1\nenv: &a0 { A: { secret: a } }\n".to_owned();
    for index in 1..1_000 {
        let nine = vec![format!("*a{}", index - 1); 9].join(", ");
        writeln!(manifest, "x{index}: &a{index} [{nine}]").unwrap();
    }
    refused(manifest.as_bytes(), "unknown field");
}

#[test]
fn what_is_no_text_is_refused_by_its_place() {
    refused(b"version: 1\nenv:\n  A: canary\xff\n", "not UTF-8 text");
    refused(&[0xff, 0xfe, b'v', 0], "not UTF-8 text");
    refused(b"version: 1\nenv:\n\tA: canary\n", "not valid YAML");
    refused(b"", "the file is empty");
    refused(&[0; 4096], "");
    let ran = dry_run(b"\xef\xbb\xbfversion: 1\r\nenv:\r\n  A: { secret: a }\r\n");
    assert_eq!(ran.status, Some(0), "{}", ran.stderr);
}

#[test]
fn imports_end_too() {
    let project = Project::empty();
    let many: String = (0..50_000).fold(String::new(), |text, index| text + &format!("V{index}=1\n"));
    let merged =
        format!("a: &a {{ K: v }}\nservices:\n  s:\n    environment:\n      <<: [{}]\n", "*a, ".repeat(100_000));
    for (form, text, status) in [
        ("dotenv", many.as_str(), 0),
        ("dotenv", &"x".repeat(2 << 20), 2),
        ("dotenv", &"'\"\\".repeat(100_000), 2),
        ("compose", &merged, 0),
        ("compose", &"[".repeat(100_000), 2),
        ("k8s", &"---\na: 1\n".repeat(100_000), 2),
        ("ecs", &"[".repeat(100_000), 2),
    ] {
        project.write("in", text);
        let ran = project.run(&["import", form, "in"]);
        assert_eq!(ran.status, Some(status), "{form}: {:.500}", ran.stderr);
    }
}

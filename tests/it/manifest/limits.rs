//! Whatever stands in a manifest, a dry run ends: in a plan, or in a clear error without a value.

use std::fmt::Write as _;
use std::process::Command;

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
    assert_eq!(ran.status, Some(2));
    assert!(ran.stdout.contains("\"status\": \"failed\""), "{:.2000}", ran.stdout);
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
}

#[test]
fn a_plain_variable_has_as_many_bytes_as_the_kernel_passes() {
    let variable = |bytes: usize| format!("version: 1\nenv:\n  NAME: {}\n", "x".repeat(bytes)).into_bytes();
    // with `NAME=` and the NUL at its end it takes 128 KiB
    assert_eq!(dry_run(&variable(131_066)).status, Some(0));
    refused(&variable(131_067), "the name and value are longer than 131071 bytes");
}

#[test]
fn a_key_has_4096_bytes_at_most() {
    let variable = |bytes: usize| format!("version: 1\nenv:\n  ? {}\n  : b\n", "x".repeat(bytes)).into_bytes();
    assert_eq!(dry_run(&variable(4096)).status, Some(0));
    refused(&variable(4097), "a key of over 4096 bytes");
}

#[test]
fn a_manifest_has_8_mib_at_most() {
    const START: &str = "version: 1\nenv: { A: b }\n#";
    let padded = |bytes: usize| (START.to_owned() + &"x".repeat(bytes - START.len())).into_bytes();
    assert_eq!(dry_run(&padded(8 << 20)).status, Some(0));
    refused(&padded((8 << 20) + 1), "larger than 8 MiB");
}

#[test]
fn aliases_of_aliases_cost_nothing() {
    let mut manifest = "version: 1\nenv: &a0 { A: { secret: a } }\n".to_owned();
    for index in 1..1_000 {
        let nine = vec![format!("*a{}", index - 1); 9].join(", ");
        writeln!(manifest, "x{index}: &a{index} [{nine}]").unwrap();
    }
    bounded(manifest.as_bytes(), 2, "the aliases repeat over 250000 values");
}

#[test]
fn aliases_repeat_250000_values_at_most() {
    let manifest = |aliases: usize| {
        let list = format!("version: 1\nenv: {{}}\nlist: &list [{}]\n", "x, ".repeat(499));
        (0..aliases).fold(list, |text, index| text + &format!("again{index}: *list\n")).into_bytes()
    };
    let ran = dry_run(&manifest(500));
    assert!(ran.stderr.contains("again499") && !ran.stderr.contains("aliases"), "{:.2000}", ran.stderr);
    refused(&manifest(501), "the aliases repeat over 250000 values");
}

#[test]
fn ten_thousand_variables_share_an_entry() {
    let mut manifest = "version: 1\nenv:\n  V: &all { secret: a, credential: local, optional: true }\n".to_owned();
    for index in 0..10_000 {
        writeln!(manifest, "  V{index}: *all").unwrap();
    }
    bounded(manifest.as_bytes(), 0, "");
}

/// Makes a dry run that may take 1 GiB and two minutes of a processor, and is ended by the kernel if it takes more.
fn bounded(manifest: &[u8], status: i32, what: &str) -> Ran {
    let project = Project::with_file("  a: canary\n");
    std::fs::write(project.path("deploy.yaml"), manifest).unwrap();
    let ran = within_limits(&project, &["bake", "deploy.yaml", "--dry-run"]);
    assert_eq!(ran.status, Some(status), "{:.2000}", ran.stderr);
    assert!(ran.stderr.contains(what), "{:.2000}", ran.stderr);
    ran
}

fn within_limits(project: &Project, arguments: &[&str]) -> Ran {
    let inner = project.command(arguments);
    let mut command = Command::new("prlimit");
    command.args(["--as=1073741824", "--cpu=120", "--"]).arg(inner.get_program()).args(inner.get_args());
    command.env_clear().envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?))));
    Ran::from_output(command.current_dir(project.path(".")).output().unwrap())
}

/// A mapping of unknown fields that many variables have in common.
fn shared_mistakes(fields: usize, variables: usize) -> String {
    let fields: String = (0..fields).map(|index| format!("x{index}: 1, ")).collect();
    (1..variables)
        .fold(format!("version: 1\nenv:\n  A0: &a {{{fields}}}\n"), |text, index| text + &format!("  A{index}: *a\n"))
}

#[test]
fn a_mistake_that_many_aliases_share_is_not_said_a_million_times() {
    bounded(shared_mistakes(2_000, 2_000).as_bytes(), 2, "the aliases repeat over 250000 values");
    let ran = bounded(shared_mistakes(150, 100).as_bytes(), 2, "A0.x0: unknown field");
    // of each variable its fields and that it has no `secret:`
    let said = "and 5100 more problems in this file\n  hint: correct those above, then see what is left\n10001 errors in 1 file\n";
    assert!(ran.stderr.ends_with(said), "{}", &ran.stderr[ran.stderr.len() - 200..]);
    assert_eq!(ran.stderr.matches("\n  hint: ").count(), 3, "{}", ran.stderr);
}

#[test]
fn a_long_key_is_not_repeated() {
    let key = "K".repeat(500_000);
    let fields: String = (0..2_000).map(|index| format!("    - x{index}\n")).collect();
    let said = bounded(format!("version: 1\nenv:\n  ? {key}\n  :\n{fields}").as_bytes(), 2, "a key of over 4096 bytes");
    assert_eq!(
        said.stderr,
        "deploy.yaml:3:5: env: a key of over 4096 bytes\n  hint: check for a missing quote, or a missing colon and space after it\n"
    );
}

#[test]
fn many_files_and_credentials_are_read() {
    let files: String = (0..30_000).map(|index| format!("  /f{index}: {{ secret: a }}\n")).collect();
    bounded(
        format!("version: 1\nfiles:\n{files}  /f7/x: {{ secret: a }}\n").as_bytes(),
        2,
        "files./f7/x: another file of the image has this path",
    );

    let project = Project::empty();
    let credential = |name: &str| format!("  - {{ name: {name}, provider: file, path: secrets.yaml }}\n");
    let credentials: String = (0..30_000).map(|index| credential(&format!("c{index}"))).collect();
    project.write("org.yaml", &format!("version: 1\ncredentials:\n{credentials}{}", credential("c7")));
    project.write("deploy.yaml", "version: 1\nenv: { A: b }\n");
    let ran = within_limits(&project, &["check", "deploy.yaml", "--org", "org.yaml"]);
    assert!(ran.stderr.contains("a second credential of this name, first on line 10"), "{:.2000}", ran.stderr);
}

#[test]
fn a_file_that_is_not_text_is_refused_by_its_place() {
    refused(b"version: 1\nenv:\n  A: canary\xff\n", "not UTF-8 text");
    refused(&[0xff, 0xfe, b'v', 0], "not UTF-8 text");
    refused(b"version: 1\nenv:\n\tA: canary\n", "a tab in the indentation");
    refused(b"", "the file is empty");
    refused(&[0; 4096], "");
    let ran = dry_run(b"\xef\xbb\xbfversion: 1\r\nenv:\r\n  A: { secret: a }\r\n");
    assert_eq!(ran.status, Some(0), "{}", ran.stderr);
}

#[test]
fn imports_end_too() {
    let project = Project::empty();
    let many: String = (0..50_000).fold(String::new(), |text, index| text + &format!("V{index}=1\n"));
    let lists = (1..8).fold("kind: X\nspec: &x0 { containers: [{ name: a }] }\n".to_owned(), |text, index| {
        let thirty = vec![format!("*x{}", index - 1); 30].join(", ");
        text + &format!("x{index}: &x{index} {{ items: [{thirty}] }}\n")
    });
    let documents = format!("a: 1\n{}---\n", "\n".repeat(900)).repeat(999);
    let mounted: String = (0..30_000).map(|index| format!("      - s{index}\n")).collect();
    let mounted = format!("services:\n  s:\n    secrets:\n{mounted}");
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
        ("k8s", &lists, 2),
        ("k8s", &documents, 2),
        ("compose", &mounted, 0),
    ] {
        project.write("in", text);
        let ran = within_limits(&project, &["import", form, "in"]);
        assert_eq!(ran.status, Some(status), "{form}: {:.500}", ran.stderr);
    }
}

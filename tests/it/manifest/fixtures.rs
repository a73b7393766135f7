//! Every fixture says exactly what its snapshot says: the wrong ones their mistake, the right ones their plan.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use snapbox::{Data, assert_data_eq};

use crate::support::secretbake;

fn manifests(folder: &str) -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(folder);
    let mut found: Vec<PathBuf> = fs::read_dir(root)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "yaml"))
        .collect();
    found.sort();
    assert!(!found.is_empty());
    found
}

fn run(command: &mut Command) -> Output {
    command.current_dir(env!("CARGO_MANIFEST_DIR")).output().unwrap()
}

fn name(path: &Path) -> &str {
    path.strip_prefix(env!("CARGO_MANIFEST_DIR")).unwrap().to_str().unwrap()
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap()
}

#[test]
fn a_wrong_manifest_is_told_every_mistake_with_its_place_and_a_hint() {
    for path in manifests("wrong") {
        let output = run(secretbake().args(["check", name(&path), "--org", "fixtures/org/aws.yaml"]));
        let said = text(output.stderr);
        assert_data_eq!(&said, Data::read_from(&path.with_extension("stderr"), None).raw());
        assert!(output.stdout.is_empty());
        assert!(!said.contains("canary") && !said.contains("hunter2"), "{path:?} shows a value");
        // but for the count that several problems end with
        let problems = said.lines().filter(|line| !line.ends_with(" in 1 file") && !line.starts_with("checked "));
        for (line, next) in problems.clone().zip(problems.skip(1).chain([""])) {
            assert!(
                line.starts_with("  ") || ["  hint: ", "  also at "].iter().any(|start| next.starts_with(start)),
                "{path:?}: no hint under: {line}"
            );
        }
        let only_warnings =
            ["credential-in-clear", "engine-variable", "taken-literally"].iter().any(|kind| name(&path).contains(kind));
        assert_eq!(output.status.code(), Some(if only_warnings { 0 } else { 2 }), "{path:?}");
    }
}

#[test]
fn a_right_manifest_has_no_problem_and_the_same_plan_every_time() {
    for path in manifests("right") {
        let output = run(secretbake().args(["check", name(&path), "--org", "fixtures/org/aws.yaml"]));
        assert_eq!(text(output.stderr), "checked 1 manifest: no problems\n", "{path:?}");
        assert!(output.status.success());
        for (format, extension) in [("text", "plan.txt"), ("json", "plan.json")] {
            let arguments = ["bake", "--dry-run", name(&path), "--org", "fixtures/org/aws.yaml", "--format", format];
            let output = run(secretbake().args(arguments));
            let said = text(output.stderr);
            assert!(said.starts_with("dry run: ") && said.lines().count() == 1, "{path:?}: {said}");
            assert_data_eq!(text(output.stdout), Data::read_from(&path.with_extension(extension), None).raw());
            assert!(output.status.success());
        }
    }
}

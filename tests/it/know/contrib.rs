//! What teams copy works: the snapshot script, and the files for CI.

use std::path::Path;
use std::process::Command;

use crate::support::project::{Project, Ran};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn snapshots(project: &Project, arguments: &[&str]) -> Ran {
    let bin = Path::new(env!("CARGO_BIN_EXE_secretbake")).parent().unwrap();
    let mut script = Command::new(root().join("contrib/snapshots"));
    script.env_clear().env("PATH", format!("{}:/usr/bin:/bin", bin.display())).current_dir(project.path(""));
    let output = script.args(arguments).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ran { status: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

#[test]
fn a_changed_plan_is_shown_until_it_is_accepted() {
    let project = Project::with_file("  a: canary\n");
    project.write("deploy.yaml", "version: 1\nenv:\n  A: { secret: a }\n");
    let missing = snapshots(&project, &["deploy.yaml"]);
    assert!(missing.stderr.contains("deploy.yaml: no snapshot"), "{}", missing.stderr);
    assert_eq!(missing.status, Some(1));
    assert_eq!(snapshots(&project, &["--update", "deploy.yaml"]).status, Some(0));
    let same = snapshots(&project, &["deploy.yaml"]);
    assert_eq!((same.status, same.stdout.as_str(), same.stderr.as_str()), (Some(0), "", ""));

    project.write("deploy.yaml", "version: 1\nenv:\n  A: { secret: b }\n");
    let changed = snapshots(&project, &["deploy.yaml"]);
    assert!(
        changed.stdout.contains("\n-    A  in env-file  secret a")
            && changed.stdout.contains("\n+    A  in env-file  secret b")
    );
    assert_eq!(changed.status, Some(1));

    project.write("deploy.yaml", "version: 1\nenv:\n  A: 1\n");
    assert_eq!(snapshots(&project, &["--update", "deploy.yaml"]).status, Some(2));
    assert!(std::fs::read_to_string(project.path("deploy.plan.txt")).unwrap().contains("secret a"));
    assert_eq!(snapshots(&project, &[]).status, Some(2));
}

#[test]
fn the_files_for_ci_are_yaml_and_call_what_there_is() {
    for name in ["contrib/github-action.yml", "contrib/gitlab-ci.yml", ".pre-commit-hooks.yaml"] {
        let text = std::fs::read_to_string(root().join(name)).unwrap();
        let _: serde_yaml::Value = serde_yaml::from_str(&text).unwrap();
        assert!(text.contains("secretbake check") && text.contains("contrib/snapshots"), "{name}");
    }
}

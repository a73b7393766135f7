//! What teams copy works: the snapshot script, and the files for CI.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_yaml::Value;

use crate::support::project::{Project, Ran};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Runs a program as a runner of CI does, with secretbake installed.
fn run(project: &Project, program: &str, arguments: &[&str]) -> Ran {
    let bin = Path::new(env!("CARGO_BIN_EXE_secretbake")).parent().unwrap();
    let mut command = Command::new(program);
    command.env_clear().env("PATH", format!("{}:/usr/bin:/bin", bin.display())).current_dir(project.path(""));
    Ran::from_output(command.args(arguments).output().unwrap())
}

fn snapshots(project: &Project, arguments: &[&str]) -> Ran {
    run(project, root().join("contrib/snapshots").to_str().unwrap(), arguments)
}

fn yaml(name: &str) -> Value {
    serde_yaml::from_str(&fs::read_to_string(root().join(name)).unwrap()).unwrap()
}

/// Returns the shell commands of a job that are secretbake's.
fn commands(steps: &Value) -> Vec<String> {
    let lines = steps.as_sequence().unwrap().iter().filter_map(|step| step.as_str().or_else(|| step["run"].as_str()));
    lines.filter(|line| !line.starts_with("cargo install")).map(str::to_owned).collect()
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
    assert!(changed.stdout.contains("\n-    A = secret a") && changed.stdout.contains("\n+    A = secret b"));
    assert_eq!(changed.status, Some(1));

    project.write("deploy.yaml", "version: 1\nenv:\n  A: 1\n");
    assert_eq!(snapshots(&project, &["--update", "deploy.yaml"]).status, Some(2));
    assert!(fs::read_to_string(project.path("deploy.plan.txt")).unwrap().contains("secret a"));
    assert_eq!(snapshots(&project, &[]).status, Some(2));
}

#[test]
fn a_wrong_manifest_does_not_hide_the_changes_of_the_others() {
    let project = Project::with_file("  a: canary\n");
    project.write("one.yaml", "version: 1\nenv:\n  A: 1\n");
    project.write("two.yaml", "version: 1\nenv:\n  A: { secret: a }\n");
    let ran = snapshots(&project, &["one.yaml", "two.yaml"]);
    assert_eq!(ran.status, Some(2));
    assert!(
        ran.stderr.starts_with("one.yaml:3:6: env.A: ")
            && ran.stderr.ends_with("two.yaml: no snapshot; write it with: contrib/snapshots --update two.yaml\n"),
        "{}",
        ran.stderr
    );
}

/// Expects each command to pass on a right manifest, and one to fail on another manifest.
fn holds(commands: &[String], wrong: &str) {
    let project = Project::with_file("  a: canary\n");
    for folder in ["deploy", "contrib"] {
        fs::create_dir(project.path(folder)).unwrap();
    }
    fs::copy(root().join("contrib/snapshots"), project.path("contrib/snapshots")).unwrap();
    project.write("deploy/web.yaml", "version: 1\nenv:\n  A: { secret: a }\n");
    snapshots(&project, &["--update", "deploy/web.yaml"]);
    let statuses = || -> Vec<Option<i32>> {
        commands.iter().map(|command| run(&project, "/bin/sh", &["-ec", command]).status).collect()
    };
    assert!(statuses().iter().all(|status| *status == Some(0)), "{commands:?}: {:?}", statuses());
    project.write("deploy/web.yaml", wrong);
    assert!(statuses().iter().any(|status| *status != Some(0)), "{commands:?}");
}

#[test]
fn the_jobs_for_ci_refuse_a_wrong_manifest_and_a_changed_plan() {
    let github = yaml("contrib/github-action.yml");
    let gitlab = yaml("contrib/gitlab-ci.yml");
    for commands in [commands(&github["jobs"]["manifests"]["steps"]), commands(&gitlab["secretbake"]["script"])] {
        assert_eq!(commands.len(), 2);
        holds(&commands, "version: 1\nenv:\n  A: 1\n");
        holds(&commands, "version: 1\nenv:\n  A: { secret: b }\n");
    }
}

#[test]
fn the_hooks_refuse_a_wrong_manifest_and_a_changed_plan() {
    let hooks = yaml(".pre-commit-hooks.yaml");
    let of_manifests = hooks.as_sequence().unwrap().iter().filter(|hook| hook["pass_filenames"].is_null());
    let commands: Vec<String> =
        of_manifests.map(|hook| format!("{} deploy/web.yaml", hook["entry"].as_str().unwrap())).collect();
    assert_eq!(commands.len(), 2);
    holds(&commands, "version: 1\nenv:\n  A: 1\n");
    holds(&commands, "version: 1\nenv:\n  A: { secret: b }\n");
}

/// Tells whether pre-commit runs a hook for a file.
fn runs(hook: &str, file: &str) -> bool {
    let hooks = yaml(".pre-commit-hooks.yaml");
    let hook = hooks.as_sequence().unwrap().iter().find(|other| other["id"] == hook).unwrap().clone();
    let script = format!("printf %s '{file}' | grep -Eq '{}'", hook["files"].as_str().unwrap());
    Command::new("/bin/sh").args(["-c", &script]).status().unwrap().success()
}

#[test]
fn the_hooks_run_for_the_files_of_the_docs_and_the_ci_files() {
    for manifest in
        ["deploy.yaml", "deploy-prod.yml", "deploy/web.yaml", "services/a/deploy.yaml", "services/a/deploy/web.yaml"]
    {
        assert!(runs("secretbake-check", manifest) && runs("secretbake-snapshots", manifest), "{manifest}");
        let snapshot = format!("{}.plan.txt", manifest.rsplit_once('.').unwrap().0);
        assert!(!runs("secretbake-check", &snapshot) && runs("secretbake-snapshots", &snapshot), "{snapshot}");
    }
    for other in ["deploy/charts/values.yaml", "redeploy.yaml", "deploy/README.md", "secretbake.org.yaml"] {
        assert!(!runs("secretbake-check", other), "{other}");
    }
    assert!(runs("secretbake-org", "secretbake.org.yaml") && runs("secretbake-snapshots", "secretbake.org.yaml"));
}

#[test]
fn a_changed_org_file_or_snapshot_has_the_plans_compared() {
    let project = Project::with_file("  a: canary\n");
    fs::create_dir(project.path("deploy")).unwrap();
    project.write("deploy/web.yml", "version: 1\nenv:\n  A: { secret: a }\n");
    assert_eq!(snapshots(&project, &["--update", "deploy/web.yml"]).status, Some(0));
    for git in [&["init", "-q"][..], &["add", "."]] {
        assert_eq!(run(&project, "git", git).status, Some(0));
    }
    for given in ["secretbake.org.yaml", "deploy/web.plan.txt"] {
        let same = snapshots(&project, &[given]);
        assert_eq!((same.status, same.stderr.as_str()), (Some(0), ""), "{given}");
    }
    project.write("deploy/web.plan.txt", "another plan\n");
    for given in ["secretbake.org.yaml", "deploy/web.plan.txt"] {
        let changed = snapshots(&project, &[given]);
        assert_eq!(changed.status, Some(1), "{given}");
        assert!(changed.stderr.contains("deploy/web.yml: the plan has changed"), "{}", changed.stderr);
    }
}

#[test]
fn the_report_of_the_gitlab_job_is_there_when_it_fails() {
    let project = Project::with_file("  a: canary\n");
    fs::create_dir(project.path("deploy")).unwrap();
    project.write("deploy/web.yaml", "version: 1\nenv:\n  A: 1\n");
    let job = &yaml("contrib/gitlab-ci.yml")["secretbake"];
    for command in commands(&job["after_script"]) {
        assert_eq!(run(&project, "/bin/sh", &["-ec", &command]).status, Some(0));
    }
    let report =
        fs::read_to_string(project.path(job["artifacts"]["reports"]["codequality"].as_str().unwrap())).unwrap();
    assert!(report.contains("not-a-string"), "{report}");
}

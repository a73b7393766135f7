//! The credential commands as a pipeline runs them: what they take, write and show.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Stdio;

use insta::assert_snapshot;

use crate::support::project::{EXTERNAL_ID, Project, Ran, SECRET_KEY};

const KEY_ID: &str = "AKIAIOSFODNN7EXAMPLE";
const ROLE: &str = "arn:aws:iam::123456789012:role/reader";
const ORG: &str = "secretbake.org.yaml";

fn with_input(project: &Project, arguments: &[&str], input: &str) -> Ran {
    let mut command = project.command(arguments);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // who refuses does not read it
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    Ran::from_output(child.wait_with_output().unwrap())
}

fn text(project: &Project) -> String {
    fs::read_to_string(project.path(ORG)).unwrap()
}

fn good(ran: Ran) -> Ran {
    assert_eq!(ran.status, Some(0), "{}", ran.stderr);
    ran
}

/// Returns a project with a credential whose every field is set, its secrets from standard input.
fn full() -> Project {
    let project = Project::empty();
    let arguments = [
        "credential",
        "add",
        "aws-prod",
        "--region",
        "us-east-1",
        "--access-key-id",
        KEY_ID,
        "--secret-key-stdin",
        "--role-arn",
        ROLE,
        "--external-id-stdin",
        "--default",
        "--log",
        "trace",
    ];
    let ran = good(with_input(&project, &arguments, &format!("{SECRET_KEY}\n{EXTERNAL_ID}\n")));
    assert!(!ran.stderr.contains("canary") && ran.stdout.is_empty(), "{ran:?}");
    project
}

#[test]
fn a_credential_is_added_from_a_pipeline_into_a_file_of_ones_own() {
    let project = full();
    assert_eq!(fs::metadata(project.path(ORG)).unwrap().permissions().mode() & 0o7777, 0o600);
    let text = text(&project);
    let (comment, text) = text.split_once("version: 1\n").unwrap();
    assert!(comment.lines().all(|line| line.starts_with('#')));
    assert_snapshot!(text.trim_end(), @r#"
    credentials:
      - name: aws-prod
        provider: aws-secrets-manager
        region: us-east-1
        access_key_id: AKIAIOSFODNN7EXAMPLE
        secret_access_key: canary-secret-access-key-0123456789abcdef
        role_arn: arn:aws:iam::123456789012:role/reader
        external_id: canary-external-id
        default: true
    "#);
}

#[test]
fn no_secret_is_shown() {
    let project = full();
    for arguments in [
        &["credential", "list"][..],
        &["credential", "list", "--format", "json"],
        &["credential", "show", "aws-prod"],
        &["credential", "show", "aws-prod", "--format", "json", "--log", "trace"],
        &["credential", "default", "aws-prod", "--log", "trace"],
        &["credential", "edit", "aws-prod", "--region", "eu-west-1", "--log", "trace"],
        &["credential", "edit", "aws-prod", "--region", "not a region", "--log", "trace"],
        &["credential", "add", "aws-prod", "--region", "eu-west-1"],
        &["credential", "remove", "aws-prod", "--log", "trace"],
    ] {
        let ran = project.run(arguments);
        let all = ran.stdout + &ran.stderr;
        assert!(!all.contains("canary") && !all.contains(KEY_ID), "{arguments:?}: {all}");
    }
}

#[test]
fn what_is_set_is_listed_and_shown() {
    let project = full();
    project.write("s.yaml", "version: 1\nsecrets: {}\n");
    good(project.run(&["credential", "add", "local", "--provider", "file", "--path", "s.yaml"]));
    assert_snapshot!(good(project.run(&["credential", "list"])).stdout, @"
    aws-prod  aws-secrets-manager  default  region=us-east-1 access_key_id=AKIA…MPLE role_arn=arn:aws:iam::123456789012:role/reader external_id=set
    local     file  path=s.yaml
    ");
    assert_snapshot!(good(project.run(&["credential", "show", "aws-prod"])).stdout, @"
    name               aws-prod
    provider           aws-secrets-manager
    default            yes
    region             us-east-1
    access_key_id      AKIA…MPLE
    secret_access_key  set
    role_arn           arn:aws:iam::123456789012:role/reader
    external_id        set
    ");
    assert_snapshot!(good(project.run(&["credential", "show", "local", "--format", "json"])).stdout, @r#"
    {
      "version": 1,
      "credentials": [
        {
          "name": "local",
          "provider": "file",
          "default": false,
          "path": "s.yaml"
        }
      ]
    }
    "#);
}

#[test]
fn an_edit_keeps_what_is_left_blank() {
    let project = full();
    let before = text(&project);
    good(project.run(&["credential", "edit", "aws-prod", "--region", "eu-west-1"]));
    assert_eq!(text(&project), before.replace("us-east-1\n    access", "eu-west-1\n    access"));
    good(with_input(&project, &["credential", "edit", "aws-prod", "--secret-key-stdin"], "canary-new-key\n"));
    assert!(text(&project).contains("secret_access_key: canary-new-key\n"));
    good(project.run(&["credential", "edit", "aws-prod", "--unset", "external_id", "--unset", "role_arn"]));
    assert!(!text(&project).contains("external_id: canary"));
    let unchanged = good(project.run(&["credential", "edit", "aws-prod"]));
    assert_eq!(unchanged.stderr, "nothing to change: aws-prod\n");
}

#[test]
fn temporary_keys_have_a_session_token_kept_as_the_secret_key_is() {
    let given = ["--region", "us-east-1", "--access-key-id", "ASIAIOSFODNN7EXAMPLE"];
    let add = |project: &Project, more: &[&str], input: &str| {
        let ran = with_input(project, &[&["credential", "add", "temporary"], &given[..], more].concat(), input);
        assert!(!(ran.stdout.clone() + &ran.stderr).contains("canary"), "{ran:?}");
        (good(ran), text(project).rsplit_once("secret_access_key").unwrap().1.to_owned()).1
    };
    assert_eq!(
        add(&Project::empty(), &["--secret-key-env", "KEY", "--session-token-env", "TOKEN"], ""),
        ": { env: KEY }\n    session_token: { env: TOKEN }\n"
    );
    assert_eq!(
        add(&Project::empty(), &["--secret-key-file", "key", "--session-token-file", "token"], ""),
        ": { file: key }\n    session_token: { file: token }\n"
    );
    let project = Project::empty();
    let both = ["--secret-key-stdin", "--session-token-stdin"];
    assert_eq!(add(&project, &both, "canary-key\ncanary-token\n"), ": canary-key\n    session_token: canary-token\n");
    good(project.run(&["credential", "edit", "temporary", "--session-token-env", "TOKEN"]));
    assert!(text(&project).ends_with("secret_access_key: canary-key\n    session_token: { env: TOKEN }\n"));
    let missing = with_input(&project, &["credential", "edit", "temporary", "--session-token-stdin"], "");
    assert!(missing.stderr.starts_with("error: standard input has no line for the session token\n"), "{missing:?}");
}

#[test]
fn a_credential_that_is_not_added_makes_no_org_file() {
    let project = Project::empty();
    for arguments in [["--region", "Virginia"], ["--external-id-env", "NOT_SET"], ["--path", "secrets.yaml"]] {
        let ran = project.run(&[&["credential", "add", "x"], &arguments[..]].concat());
        assert_eq!(ran.status, Some(2), "{ran:?}");
        assert!(!project.path(ORG).exists() && !ran.stderr.contains("made "), "{ran:?}");
    }
}

#[test]
fn there_is_one_default_per_provider_and_it_moves() {
    let project = full();
    let add = ["credential", "add", "second", "--region", "us-east-1", "--default"];
    good(project.run(&add));
    assert_eq!(text(&project).matches("\n    default: true\n").count(), 1);
    let ran = good(project.run(&["credential", "default", "aws-prod"]));
    assert_eq!(ran.stderr, "default for aws-secrets-manager: aws-prod, instead of second\n");
    let list = good(project.run(&["credential", "list"])).stdout;
    assert!(list.lines().next().unwrap().contains("  default  ") && list.matches("default").count() == 1, "{list}");
}

#[test]
fn removing_says_which_manifests_name_it() {
    let project = full();
    project.write(
        "deploy.yaml",
        "version: 1\nenv:\n  A:\n    secret: db\n    credential: aws-prod\n  B:\n    secret: db\n",
    );
    project.write("other.yaml", "kind: Service\n");
    for folder in ["deploy/eu", ".git", "node_modules/x", "target"] {
        fs::create_dir_all(project.path(folder)).unwrap();
        project.write(
            &format!("{folder}/prod.yml"),
            "version: 1\nfiles:\n  /app/key:\n    secret: db\n    credential: aws-prod\n",
        );
    }
    std::os::unix::fs::symlink(".", project.path("deploy/circle")).unwrap();
    assert_snapshot!(good(project.run(&["credential", "remove", "aws-prod"])).stderr, @"
    deploy/eu/prod.yml:5:17: files./app/key: warning: still names the credential `aws-prod`
      also at deploy.yaml:5:17: env.A
      hint: name another credential there, or leave it out for the default
    removed: aws-prod
    warning: aws-secrets-manager has no default credential any more
      hint: make another one the default with `secretbake credential default NAME`
    3 warnings in 2 files
    ");
    let again = project.run(&["credential", "remove", "aws-prod"]);
    assert_eq!(
        (again.status, &*again.stderr),
        (Some(2), "error: no credential `aws-prod`\n  hint: secretbake.org.yaml has no credentials yet\n")
    );
}

#[test]
fn in_a_pipeline_a_credential_without_a_name_is_refused() {
    assert_snapshot!(Project::empty().run(&["credential", "add", "--region", "us-east-1"]).stderr, @"
    error: the credential has no name
      hint: add it, as in `secretbake credential add aws-prod`
    ");
}

#[test]
fn an_org_file_that_is_not_there_is_made_first() {
    let project = Project::empty();
    let add = ["credential", "add", "nm", "--provider", "file", "--path", "p", "--org", "new.yaml"];
    assert_snapshot!(project.run(&add).stderr, @"
    error: no org file at new.yaml
      hint: check the path, or make the file with `secretbake org init --org new.yaml`
    ");
    assert_eq!(project.run(&["org", "init", "--org", "new.yaml"]).status, Some(0));
    assert_snapshot!(good(project.run(&add)).stderr, @"
    added: nm (new.yaml)
    test it with `secretbake credential test nm --org new.yaml`
    ");
}

#[test]
fn without_an_org_file_there_is_a_way_to_one() {
    assert_snapshot!(Project::empty().run(&["credential", "show", "aws-prod"]).stderr, @"
    error: no credential `aws-prod`
      cause: no org file was found
      hint: create one here with `secretbake org init`, or name one with --org or $SECRETBAKE_ORG
    ");
}

#[test]
fn mistakes() {
    let project = full();
    let before = text(&project);
    for (arguments, input, said) in [
        (&["credential", "add", "aws-prod", "--region", "us-east-1"][..], "", "has a credential `aws-prod` already"),
        (
            &["credential", "add", "x", "--region", "us-east-1", "--access-key-id", KEY_ID],
            "",
            "without its secret access key",
        ),
        (
            &["credential", "add", "x", "--region", "us-east-1", "--access-key-id", KEY_ID, "--secret-key-stdin"],
            "",
            "no line for the secret access key",
        ),
        (
            &["credential", "add", "x", "--region", "us-east-1", "--access-key-id", KEY_ID, "--secret-key-stdin"],
            "two words\n",
            "characters that no key has",
        ),
        (&["credential", "add", "x", "--region", "Virginia"], "", "not a region"),
        (
            &["credential", "add", "x", "--role-arn", ROLE, "--external-id-env", "NOT_SET"],
            "",
            "variable that --external-id-env names is not set",
        ),
        (&["credential", "edit", "aws-prodd", "--region", "us-east-1"], "", "did you mean `aws-prod`?"),
        (&["credential", "edit", "aws-prod", "--unset", "name"], "", "cannot be taken out"),
        (&["credential", "add", "x", "--secret-key", "canary"], "", "unexpected argument"),
        (&["credential", "add", "x", "--external-id", "canary"], "", "unexpected argument"),
        (&["credential", "add", "x", "--org", "-"], "", "standard input cannot be changed"),
        (
            &[
                "credential",
                "add",
                "x",
                "--region",
                "us-east-1",
                "--access-key-id",
                KEY_ID,
                "--secret-key-env",
                "canary/",
            ],
            "",
            "secret_access_key.env: not a variable name",
        ),
        (
            &["credential", "add", "x", "--role-arn", ROLE, "--external-id-env", EXTERNAL_ID],
            "",
            "variable that --external-id-env names is not set",
        ),
    ] {
        let ran = with_input(&project, arguments, input);
        assert_eq!(ran.status, Some(2), "{arguments:?}: {}", ran.stderr);
        assert!(ran.stderr.contains(said), "{arguments:?}: {}", ran.stderr);
        assert!(ran.stderr.contains("hint: ") || said.contains("unexpected"), "{}", ran.stderr);
        assert!(!ran.stderr.contains("canary"), "{}", ran.stderr);
        assert_eq!(text(&project), before, "{arguments:?}");
    }
}

#[test]
fn a_key_is_not_put_into_a_file_that_others_may_read() {
    let project = Project::empty();
    project.write(ORG, "version: 1\ncredentials: []\n");
    fs::set_permissions(project.path(ORG), fs::Permissions::from_mode(0o644)).unwrap();
    let arguments =
        ["credential", "add", "x", "--region", "us-east-1", "--access-key-id", KEY_ID, "--secret-key-stdin"];
    let ran = with_input(&project, &arguments, "canary\n");
    assert_eq!(ran.status, Some(2));
    assert!(
        ran.stderr.contains("would hold a key, and others may read or change it (mode 0644)\n  hint: chmod o= "),
        "{}",
        ran.stderr
    );
    assert_eq!(text(&project), "version: 1\ncredentials: []\n");
    let env = ["credential", "add", "x", "--region", "us-east-1", "--access-key-id", KEY_ID, "--secret-key-env", "KEY"];
    good(project.run(&env));
    assert!(text(&project).contains("secret_access_key: { env: KEY }\n"));
}

#[test]
fn a_change_waits_for_another_one() {
    let project = full();
    let held = fs::File::open(project.path("")).unwrap();
    rustix::fs::flock(&held, rustix::fs::FlockOperation::LockExclusive).unwrap();
    let mut command = project.command(&["credential", "add", "second", "--region", "us-east-1"]);
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // long enough for a run that would end at once
    std::thread::sleep(std::time::Duration::from_secs(1));
    drop(held);
    good(Ran::from_output(child.wait_with_output().unwrap()));
    assert!(text(&project).contains("  - name: second\n"), "{}", text(&project));
}

#[test]
fn what_is_there_already_is_edited_not_added() {
    assert_snapshot!(full().run(&["credential", "add", "aws-prod"]).stderr, @"
    error: secretbake.org.yaml has a credential `aws-prod` already, and is left as it is
      hint: change it with `secretbake credential edit aws-prod`, or give the new one another name
    ");
}

#[test]
fn the_names_that_manifests_may_use_are_given_changed_and_taken_out() {
    let project = Project::empty();
    good(project.run(&["credential", "add", "team", "--region", "us-east-1", "--allow", "crew/*", "--allow", "db-*"]));
    let text = || fs::read_to_string(project.path("secretbake.org.yaml")).unwrap();
    assert!(text().ends_with("    region: us-east-1\n    allow: [\"crew/*\", \"db-*\"]\n"), "{}", text());
    let changed = good(project.run(&["credential", "edit", "team", "--allow", "crew/*"]));
    assert_eq!(changed.stderr, "changed: team (secretbake.org.yaml)\ntest it with `secretbake credential test team`\n");
    assert!(text().ends_with("    allow: [\"crew/*\"]\n"), "{}", text());
    let wrong = project.run(&["credential", "edit", "team", "--allow", ""]);
    assert_eq!(wrong.status, Some(2), "{}", wrong.stderr);
    good(project.run(&["credential", "edit", "team", "--unset", "allow"]));
    assert!(text().ends_with("    region: us-east-1\n"), "{}", text());
}

#[test]
fn a_list_of_a_credential_is_a_list_in_json_and_a_line_for_a_person() {
    let project = Project::empty();
    let command = ["op", "read", "op://prod/{name}"];
    let add = ["credential", "add", "op", "--allow", "a*", "--allow", "b", "--environment", "TOKEN", "--command"];
    good(project.run(&[&add[..], &command].concat()));
    let shown = good(project.run(&["credential", "show", "op", "--format", "json"])).stdout;
    let shown: serde_json::Value = serde_json::from_str(&shown).unwrap();
    let credential = &shown["credentials"][0];
    assert_eq!(credential["command"], serde_json::json!(command));
    assert_eq!(credential["allow"], serde_json::json!(["a*", "b"]));
    assert_eq!(credential["environment"], serde_json::json!(["TOKEN"]));
    crate::schema::holds(&crate::schema::schema("credentials"), &shown, "credential show");
    assert_snapshot!(good(project.run(&["credential", "show", "op"])).stdout, @"
    name               op
    provider           command
    default            no
    command            op read op://prod/{name}
    environment        TOKEN
    allow              a*, b
    ");
}

#[test]
fn a_default_that_is_one_already_is_not_said_to_be_changed() {
    let project = Project::with_file("  a: canary\n");
    assert_snapshot!(good(project.run(&["credential", "default", "local"])).stderr, @"nothing to change: local is the default for file");
}

//! The names of secrets: listed, and offered to a shell.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use crate::aws::refusal;
use crate::support::moto::Moto;
use crate::support::project::{Project, SECRET_KEY};
use crate::support::stub::{Reply, Stub};

fn on_stub(stub: &Stub) -> Project {
    let project = Project::empty();
    project.write(
        "secretbake.org.yaml",
        "version: 1\ncredentials:\n  - name: aws-prod\n    provider: aws-secrets-manager\n    region: us-east-1\n\
         \x20   access_key_id: AKIAIOSFODNN7EXAMPLE\n    secret_access_key: { env: KEY }\n  - name: aws-test\n    provider: aws-secrets-manager\n    region: us-east-1\n    default: true\n",
    );
    let home = project.path("cache").display().to_string();
    project.variable("KEY", SECRET_KEY).variable("AWS_ENDPOINT_URL", &stub.url()).variable("XDG_CACHE_HOME", &home)
}

fn names() -> Stub {
    Stub::answering([Reply::json(200, r#"{"SecretList":[{"Name":"db/main"},{"Name":"api"},{"Name":"db/old"}]}"#)])
}

#[test]
fn names_are_listed_sorted_and_by_prefix() {
    let moto = Moto::new();
    for name in ["b", "a", "c/d"] {
        moto.text(name, "canary");
    }
    let project = Project::with_moto(&moto);
    let prefix = moto.name("");
    let ran = project.run(&["secrets", "list", "--prefix", &prefix]);
    assert_eq!(ran.status, Some(0), "{}", ran.stderr);
    assert_eq!(ran.stdout, format!("{prefix}a\n{prefix}b\n{prefix}c/d\n"));
    let ran =
        project.run(&["secrets", "list", "--prefix", &moto.name("c"), "--credential", "role", "--format", "json"]);
    let list: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(list, serde_json::json!({ "version": 1, "credential": "role", "secrets": [moto.name("c/d")] }));
}

#[test]
fn a_denial_is_diagnosed() {
    let stub = Stub::answering([refusal("AccessDeniedException", "no")]);
    let ran = on_stub(&stub).run(&["secrets", "list", "--credential", "aws-prod"]);
    assert_eq!((ran.status, &*ran.stdout), (Some(1), ""));
    assert!(
        ran.stderr.starts_with("error: access denied: secretsmanager:ListSecrets") && ran.stderr.contains("hint: ")
    );
}

#[test]
fn names_are_offered_and_remembered_for_a_while() {
    let stub = names();
    let project = on_stub(&stub);
    assert_eq!(project.run(&["__complete", "credentials", "aws-p"]).stdout, "aws-prod\n");
    let secrets = ["__complete", "secrets", "db/", "--credential", "aws-prod"];
    assert_eq!(project.run(&secrets).stdout, "db/main\ndb/old\n");
    assert_eq!(project.run(&secrets).stdout, "db/main\ndb/old\n");
    assert_eq!(stub.operations(), ["ListSecrets"], "asked once");
    let folder = project.path("cache/secretbake/names");
    let files: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(files.len(), 1);
    assert_eq!(fs::read_to_string(&files[0]).unwrap(), "api\ndb/main\ndb/old");
    assert_eq!(fs::metadata(&files[0]).unwrap().permissions().mode() & 0o777, 0o600);
    // what is old is asked for again
    let old = std::time::SystemTime::now() - std::time::Duration::from_secs(600);
    fs::File::options().append(true).open(&files[0]).unwrap().set_modified(old).unwrap();
    project.run(&secrets);
    assert_eq!(stub.operations().len(), 2);
}

#[test]
fn bash_offers_names() {
    let stub = names();
    let project = on_stub(&stub);
    project.write("script", &project.run(&["completions", "bash"]).stdout);
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_secretbake"), project.path("secretbake")).unwrap();
    for (line, offered) in [
        ("secretbake credential test ''", "aws-prod aws-test"),
        ("secretbake policy deploy.yaml --credential aws-t", "aws-test"),
        ("secretbake credential test aws-prod --secret db", "db/main db/old"),
        ("secretbake credential remo", "remove"),
    ] {
        let asked = format!(
            "PATH=$PWD:$PATH; source ./script; COMP_WORDS=({line}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); \
             _secretbake_names secretbake \"${{COMP_WORDS[COMP_CWORD]}}\" \"${{COMP_WORDS[COMP_CWORD-1]}}\"; echo ${{COMPREPLY[@]}}"
        );
        let mut bash = project.command(&[]);
        let variables: Vec<_> =
            bash.get_envs().map(|(name, value)| (name.to_owned(), value.unwrap().to_owned())).collect();
        bash = std::process::Command::new("bash");
        bash.args(["-c", &asked]).env_clear().envs(variables).current_dir(project.path(""));
        let output = bash.output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert_eq!(said.trim_end(), offered, "{line}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn nothing_is_kept_or_offered_where_that_is_switched_off() {
    let stub = names();
    let project = on_stub(&stub).variable("SECRETBAKE_NO_COMPLETION_CACHE", "1");
    let secrets = ["__complete", "secrets", "api", "--credential", "aws-prod"];
    assert_eq!(project.run(&secrets).stdout, "api\n");
    assert!(!project.path("cache").exists());
    let project = project.variable("SECRETBAKE_COMPLETE", "off");
    let ran = project.run(&secrets);
    assert_eq!((ran.status, &*ran.stdout, &*ran.stderr), (Some(0), "", ""));
    assert_eq!(stub.operations().len(), 1);
}

#[test]
fn a_shell_is_told_nothing_of_an_error() {
    let stub = Stub::answering([refusal("AccessDeniedException", "no")]);
    let project = on_stub(&stub);
    let ran = project.run(&["__complete", "secrets", "", "--credential", "aws-prod"]);
    assert_eq!((ran.status, &*ran.stdout, &*ran.stderr), (Some(0), "", ""));
    project.write("secretbake.org.yaml", "not: right");
    let ran = project.run(&["__complete", "credentials"]);
    assert_eq!((ran.status, &*ran.stdout, &*ran.stderr), (Some(0), "", ""));
}

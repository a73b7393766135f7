//! `secrets list`: the names of the secrets that a credential can see.

use crate::aws::refusal;
use crate::completion::on_stub;
use crate::support::moto::Moto;
use crate::support::project::Project;
use crate::support::stub::{Reply, Stub};

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

/// Names that a service can answer and a shell or a terminal must not get.
const HOSTILE: &str = r#"{"SecretList":[{"Name":"\u001b]0;x\u0007"},{"Name":"$(touch x)"},{"Name":"--org=x"},{"Name":"a\u202eb"},{"Name":"good"}]}"#;

#[test]
fn names_that_move_a_cursor_are_listed_escaped() {
    let stub = Stub::answering([Reply::json(200, HOSTILE)]);
    let ran = on_stub(&stub).run(&["secrets", "list", "--credential", "aws-prod"]);
    insta::assert_snapshot!(ran.stdout, @r#"
    \u{1b}]0;x\u{7}
    $(touch x)
    --org=x
    a\u{202e}b
    good
    "#);
}

#[test]
fn names_that_a_shell_would_run_are_not_offered() {
    let stub = Stub::answering([Reply::json(200, HOSTILE)]);
    let ran = on_stub(&stub).run(&["__complete", "secrets", "", "--credential", "aws-prod"]);
    assert_eq!((ran.status, &*ran.stdout, &*ran.stderr), (Some(0), "good\n", ""));
}

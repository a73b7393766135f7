//! `secrets list`: the names of the secrets that a credential can see.

use crate::aws::refusal;
use crate::completion::on_stub;
use crate::support::moto::Moto;
use crate::support::project::Project;
use crate::support::stub::Stub;

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

//! "It is the same secret": one is named by its name, by its whole ARN and by its ARN without the last characters.

use crate::env_from::file_in_layout;
use crate::support::moto::Moto;
use crate::support::project::Project;
use crate::support::stub::Stub;

/// Returns a manifest with these variables.
fn manifest(variables: &[(&str, &str)]) -> String {
    let env: String = variables.iter().map(|(name, secret)| format!("  {name}: {{ secret: '{secret}' }}\n")).collect();
    format!("version: 1\nimage: {{ base: scratch, tags: ['oci:out:1'] }}\nenv:\n{env}")
}

/// Returns a project that asks moto through a relay.
fn project(moto: &Moto) -> (Project, Stub) {
    let relay = Stub::before(moto.endpoint.strip_prefix("http://").unwrap(), |_, _| None);
    (Project::with_moto(moto).variable("AWS_ENDPOINT_URL", &relay.url()), relay)
}

#[test]
fn a_secret_is_read_once_whatever_names_it() {
    let moto = Moto::new();
    let (name, arn) = (moto.name("db"), moto.text("db", r#"{"user": "canary-u", "password": "canary-p"}"#));
    let partial = &arn[..arn.len() - "-AbCdEf".len()];
    let (project, relay) = project(&moto);
    let manifest = manifest(&[
        ("BY_ARN", &format!("{arn}#user")),
        ("BY_NAME", &format!("{name}#password")),
        ("BY_PARTIAL_ARN", &format!("{partial}#user")),
    ]);
    let ran = project.baked(&manifest);
    assert_eq!(ran.closing, "baked oci:out:1 in [TIME]: 3 variables from 1 secret");
    assert_eq!(relay.operations(), ["GetSecretValue"]);
    let env = file_in_layout(&project, "/.secretbake/env").unwrap();
    assert_eq!(env, "BY_ARN=canary-u\0BY_NAME=canary-p\0BY_PARTIAL_ARN=canary-u\0");

    let online = project.run(&["bake", "deploy.yaml", "--dry-run", "--online"]);
    assert_eq!((online.status, online.stdout.matches("found, key present").count()), (Some(0), 3), "{}", online.stdout);
    assert_eq!(relay.operations(), ["GetSecretValue"; 2]);
    let rebaked = project.run(&["rebake", "oci:out:1", "--all"]);
    assert_eq!(rebaked.closing, "unchanged oci:out:1 in [TIME]: 3 variables from 1 secret");
    assert_eq!(relay.operations(), ["GetSecretValue"; 3]);
}

#[test]
fn a_secret_is_described_once_whatever_names_it() {
    let moto = Moto::new();
    let (name, arn) = (moto.name("db"), moto.text("db", "canary"));
    let (project, relay) = project(&moto);
    project.write("deploy.yaml", &manifest(&[("BY_ARN", &arn), ("BY_NAME", &name)]));
    let online = project.run(&["bake", "deploy.yaml", "--dry-run", "--online"]);
    assert_eq!(online.status, Some(0), "{}", online.stderr);
    assert_eq!(relay.operations(), ["DescribeSecret"]);
    // the values of one are needed, so the other is checked by them too
    project.write("deploy.yaml", &manifest(&[("BY_ARN", &format!("{arn}#key")), ("BY_NAME", &name)]));
    let online = project.run(&["bake", "deploy.yaml", "--dry-run", "--online"]);
    assert_eq!(online.status, Some(1), "{}", online.stderr);
    assert_eq!(relay.operations(), ["DescribeSecret", "GetSecretValue"]);
}

#[test]
fn the_arn_of_an_older_secret_of_that_name_is_read_itself() {
    let moto = Moto::new();
    let (name, arn) = (moto.name("db"), moto.text("db", "canary-1"));
    moto.delete("db");
    assert_ne!(moto.text("db", "canary-2"), arn);
    let (project, relay) = project(&moto);
    let ran = project.bake(&manifest(&[("BY_ARN", &arn), ("BY_NAME", &name)]));
    assert_eq!(ran.status, Some(1));
    assert!(ran.stderr.starts_with("deploy.yaml:4:21: env.BY_ARN: secret not found: "), "{}", ran.stderr);
    assert!(!ran.stderr.contains("BY_NAME"), "{}", ran.stderr);
    let reads = relay.operations().into_iter().filter(|operation| operation == "GetSecretValue");
    assert_eq!(reads.count(), 2);
}

#[test]
fn another_version_or_credential_is_another_read() {
    let moto = Moto::new();
    let (name, arn) = (moto.name("db"), moto.text("db", "canary-1"));
    moto.rotate("db", "canary-2");
    let (project, relay) = project(&moto);
    project.baked(&format!(
        "version: 1\nimage: {{ base: scratch, tags: ['oci:out:1'] }}\nenv:\n  A: {{ secret: '{name}' }}\n  \
         B: {{ secret: '{arn}', version_stage: AWSPREVIOUS }}\n"
    ));
    assert_eq!(relay.operations(), ["GetSecretValue"; 2]);
    let env = file_in_layout(&project, "/.secretbake/env").unwrap();
    assert_eq!(env, "A=canary-2\0B=canary-1\0");
}

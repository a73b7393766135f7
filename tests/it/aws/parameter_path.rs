//! "Take everything below this path": `env_from:` with a path of Parameter Store, on real moto and over the wire.

use insta::assert_snapshot;
use secretbake::secrets::{Provider as _, ProviderError};
use serde_json::{Value, json};

use super::parameters::{USER, at, project};
use super::{id, refusal, shown};
use crate::support::canary::is_clean;
use crate::support::moto::Moto;
use crate::support::project::Project;
use crate::support::stub::{Reply, Stub};

const HEAD: &str = "version: 1\nimage: { base: scratch, inject: file, format: json, tags: [\"oci:out:1\"] }\n";

/// Returns a manifest with these lines under `env_from`, where PATH is the test's path.
fn manifest(moto: &Moto, entries: &str) -> String {
    format!("{HEAD}env_from:\n{entries}").replace("PATH", &moto.name(""))
}

/// Bakes what is below the test's path, and returns how that ends, with the path as PATH.
fn refused(moto: &Moto, entries: &str) -> String {
    let project = project(moto);
    let ran = project.bake(&manifest(moto, entries));
    assert_eq!((ran.status, ran.stdout.as_str()), (Some(1), ""), "{}", ran.stderr);
    assert!(!project.path("out").exists());
    is_clean("a refusal", ran.stderr.as_bytes());
    ran.stderr.replace(&moto.name(""), "PATH")
}

/// Returns the variables in the image's JSON file.
fn variables(project: &Project) -> Value {
    serde_json::from_str(&crate::env_from::file_in_layout(project, "/.secretbake/env").unwrap()).unwrap()
}

#[test]
fn every_parameter_below_the_path_becomes_a_variable_and_drift_tells_what_changed() {
    let moto = Moto::new();
    moto.parameter("host", "String", "db.internal");
    moto.parameter("hosts", "StringList", "a,b");
    moto.parameter("db/password", "SecureString", "canary-value-1");
    moto.parameter("mine", "SecureString", "canary-value-2");
    let project = project(&moto);
    let entries = "  - { secret: /PATH, prefix: APP_, case: upper, rename: { db/password: DB_PASSWORD } }\n  - { secret: /PATHnone/, optional: true }\nenv:\n  APP_MINE: \"1\"\n";
    project.write("deploy.yaml", &manifest(&moto, entries));
    let shown = |text: String| text.replace(&moto.name(""), "PATH");
    let plan = project.run(&["bake", "deploy.yaml", "--dry-run"]);
    assert_snapshot!(shown(plan.stdout), @r#"
    deploy.yaml
      base: scratch
      tag: oci:out:1
      inject: file
      env file: /.secretbake/env, format json
      env from:
        everything below path /PATH, prefix APP_, case upper
          DB_PASSWORD = key "db/password"
        everything below path /PATHnone/, optional
      env:
        APP_MINE = "1", in the env file

    secrets read:
      /PATH
      /PATHnone/

    credentials:
      params: aws-parameter-store in us-east-1, the default
    "#);
    let ran = project.run(&["bake", "deploy.yaml", "--dry-run", "--online"]);
    assert_eq!(ran.status, Some(0), "{}", ran.stderr);
    assert_eq!(ran.stderr, "dry run: 1 image, 1 of 2 references found; nothing was written\n");
    assert_snapshot!(shown(ran.stdout).split_once("online:\n").unwrap().1, @"
    /PATH: found
      APP_HOST
      APP_HOSTS
      DB_PASSWORD
    /PATHnone/: absent, left out
    ");
    project.baked(&manifest(&moto, entries));
    assert_eq!(
        variables(&project),
        json!({ "APP_HOST": "db.internal", "APP_HOSTS": "a,b", "DB_PASSWORD": "canary-value-1", "APP_MINE": "1" })
    );
    let seen = project.run(&["inspect", "oci:out:1"]);
    assert_snapshot!(shown(seen.stdout).split_once("file\n").unwrap().1, @"
    env from
      everything below, 3 variables  path /PATH       with params
      everything below, 0 variables  path /PATHnone/  with params  absent, left out
    env
      APP_HOST     secret /PATHhost         with params  version 1
      APP_HOSTS    secret /PATHhosts        with params  version 1
      DB_PASSWORD  secret /PATHdb/password  with params  version 1
    ");
    let seen: Value = serde_json::from_str(&project.run(&["inspect", "oci:out:1", "--format", "json"]).stdout).unwrap();
    let full = format!("arn:aws:ssm:us-east-1:123456789012:parameter/{}", moto.name("db/password"));
    assert_eq!(
        seen["provenance"]["variables"]["DB_PASSWORD"],
        json!({ "credential": "params", "secret": full, "version_id": "1" })
    );
    assert_eq!(seen["provenance"]["env_from"][0]["below"], json!(["db/password", "host", "hosts", "mine"]));
    assert_eq!(shown(project.run(&["drift", "oci:out:1"]).stdout), "oci:out:1: current\n");

    moto.parameter("db/password", "SecureString", "canary-value-2");
    moto.parameter("new", "SecureString", "canary-value-2");
    moto.parameter("none/late", "SecureString", "canary-value-2");
    moto.ask("AmazonSSM", "DeleteParameter", &json!({ "Name": format!("/{}", moto.name("host")) }));
    let ran = project.run(&["drift", "oci:out:1", "--format", "json"]);
    assert_eq!((ran.status, ran.stderr.as_str()), (Some(3), ""));
    let drift: Value = serde_json::from_str(&ran.stdout).unwrap();
    let findings = drift["images"][0]["findings"].as_array().unwrap();
    let told = |finding: &Value| {
        let text = |field: &str| finding[field].as_str().unwrap_or("none").to_owned();
        format!("{} {} {} {}", text("name"), text("state"), text("baked_version_id"), text("current_version_id"))
    };
    assert_eq!(
        findings.iter().map(told).collect::<Vec<_>>(),
        [
            "APP_HOST deleted 1 none",
            "APP_HOSTS current 1 1",
            "DB_PASSWORD rotated 1 2",
            "APP_NEW appeared none 1",
            "APP_NONE/LATE appeared none 1",
            "late appeared none 1"
        ]
    );
}

#[test]
fn only_the_listed_ones_are_taken_and_only_they_drift() {
    let moto = Moto::new();
    moto.parameter("a", "String", "1");
    moto.parameter("b-c", "String", "2");
    let project = project(&moto);
    project.baked(&manifest(&moto, "  - { secret: /PATH, keys: [a, late], optional: true }\n"));
    assert_eq!(variables(&project), json!({ "a": "1" }));
    moto.parameter("other", "String", "3");
    assert_eq!(project.run(&["drift", "oci:out:1"]).stdout, "oci:out:1: current\n");
    moto.parameter("late", "String", "3");
    let ran = project.run(&["drift", "oci:out:1"]);
    assert!(ran.stdout.contains("  late  secret /") && ran.stdout.contains("exists now"), "{}", ran.stdout);
    assert_eq!(ran.status, Some(3));
}

#[test]
fn what_cannot_become_a_variable_is_refused() {
    let moto = Moto::new();
    let empty = refused(&moto, "  - secret: /PATH\n");
    assert_snapshot!(empty, @"
    deploy.yaml:4:13: env_from[0]: no parameter below /PATH (credential `params`, region us-east-1)
      cause: the path is misspelt, or its parameters are in another region than us-east-1
      cause: they belong to another account, where no path reaches them
      hint: `secretbake secrets list --credential params` shows the names
    ");
    moto.parameter("db/host", "String", "canary-value-1");
    moto.parameter("db/user-name", "String", "canary-value-1");
    moto.parameter("token", "String", "canary-value-1");
    let names = refused(&moto, "  - secret: /PATH\n");
    assert_snapshot!(names, @r#"
    deploy.yaml:4:13: env_from[0]: 2 keys of /PATH do not give variable names: "db/host", "db/user-name"
      hint: write `rename: { "db/host": db_host, "db/user-name": db_user_name }`, or list the keys to take under `keys:`
    "#);
    let absent = refused(&moto, "  - { secret: /PATH, keys: [token, tokn] }\n");
    assert_snapshot!(absent, @r#"
    deploy.yaml:4:15: env_from[0]: parameter not found: "tokn" below /PATH
      hint: below it are db/host, db/user-name, token
    "#);
    moto.parameter("other/token", "String", "canary-value-1");
    let twice = refused(&moto, "  - { secret: /PATH, keys: [token] }\n  - secret: /PATHother/\n");
    assert_snapshot!(twice, @r#"
    deploy.yaml:5:13: env_from[1]: the key "token" gives the variable token, and so does the key "token" of /PATH
      hint: write `rename: { token: OTHER_NAME }` at one of them, or set token under `env:`
    "#);
    let project = project(&moto);
    project.write("deploy.yaml", &manifest(&moto, "  - { secret: /PATH, keys: [token, tokn] }\n"));
    let ran = project.run(&["bake", "deploy.yaml", "--dry-run", "--online"]);
    assert_eq!(ran.status, Some(1));
    assert!(ran.stderr.contains("parameter not found: \"tokn\" below /"), "{}", ran.stderr);
}

/// Returns a page of parameters with their values.
fn page(names: &[&str], next: Option<&str>) -> Reply {
    let found: Vec<Value> = names
        .iter()
        .map(|name| json!({ "Name": name, "Type": "String", "Value": "value", "Version": 3, "ARN": format!("arn:aws:ssm:us-east-1:123456789012:parameter{name}") }))
        .collect();
    Reply::json(200, &json!({ "Parameters": found, "NextToken": next }).to_string())
}

#[tokio::test]
async fn pages_follow_each_other_to_the_last_and_one_that_comes_again_ends_them() {
    let stub = Stub::answering([
        page(&["/crew/c", "/crew/b/x"], Some("one")),
        // a page can be empty
        page(&[], Some("two")),
        page(&["/crew/a", "/crewd"], None),
    ]);
    let below = at(&stub.url()).read_below(&id("/crew/")).await.ok().unwrap();
    assert_eq!(below.iter().map(|secret| secret.key.as_str()).collect::<Vec<_>>(), ["a", "b/x", "c"]);
    assert_eq!(below[0].value.arn.as_deref(), Some("arn:aws:ssm:us-east-1:123456789012:parameter/crew/a"));
    assert_eq!(below[0].value.version_id.as_deref(), Some("3"));
    let bodies: Vec<Value> =
        stub.requests().iter().map(|request| serde_json::from_str(&request.body).unwrap()).collect();
    let body = json!({ "Path": "/crew", "Recursive": true, "WithDecryption": true, "MaxResults": 10 });
    assert_eq!(bodies[0], body);
    assert_eq!(
        bodies.iter().map(|body| body["NextToken"].as_str()).collect::<Vec<_>>(),
        [None, Some("one"), Some("two")]
    );
    assert_eq!(stub.operations(), ["GetParametersByPath"; 3]);
    let stub = Stub::answering([page(&["/crew/a"], Some("one"))]);
    assert_eq!(at(&stub.url()).read_below(&id("/crew/")).await.ok().unwrap().len(), 1);
    assert_eq!(stub.operations().len(), 2);
}

#[test]
fn a_path_is_read_once_whatever_takes_it() {
    let moto = Moto::new();
    for number in 0..23 {
        moto.parameter(&format!("p{number}"), "SecureString", "value");
    }
    let host = moto.endpoint.strip_prefix("http://").unwrap().to_owned();
    let stub = Stub::before(&host, |_, _| None);
    let project = project(&moto).variable("AWS_ENDPOINT_URL_SSM", &stub.url());
    project.baked(&manifest(&moto, "  - secret: /PATH\n  - { secret: /PATH, prefix: B_ }\n"));
    assert_eq!(stub.operations(), ["GetParametersByPath"; 3]);
    assert_eq!(variables(&project).as_object().unwrap().len(), 46);
    assert_eq!(project.run(&["drift", "oci:out:1"]).status, Some(0));
    assert_eq!(project.run(&["bake", "deploy.yaml", "--dry-run", "--online"]).status, Some(0));
    // moto gives ten in a page, whatever is asked for
    assert_eq!(stub.operations()[3..], ["DescribeParameters"; 6]);
}

/// Reads what is below `/crew/prod/` where the service refuses so.
async fn diagnosis(code: &str, message: &str) -> String {
    let stub = Stub::answering([refusal(code, message)]);
    let failure: Option<ProviderError> = at(&stub.url()).read_below(&id("/crew/prod/")).await.err();
    shown(&failure.unwrap())
}

#[tokio::test]
async fn a_path_that_is_denied() {
    let path = "arn:aws:ssm:us-east-1:123456789012:parameter/crew/prod";
    let message = format!(
        "{USER}: ssm:GetParametersByPath on resource: {path} because no identity-based policy allows the ssm:GetParametersByPath action"
    );
    assert_snapshot!(diagnosis("AccessDeniedException", &message).await, @r#"
    Denied: error: access denied: ssm:GetParametersByPath on /crew/prod/ (credential `aws-prod`, region us-east-1)
      cause: AWS says AccessDeniedException: User: arn:aws:iam::123456789012:user/reader is not authorized to perform: ssm:GetParametersByPath on resource: arn:aws:ssm:us-east-1:123456789012:parameter/crew/prod because no identity-based policy allows the ssm:GetParametersByPath action (request ID 4f1c-json)
      cause: the policy is not attached to arn:aws:iam::123456789012:user/reader, or it does not cover this path
      cause: a key, policy or role changed in the last minutes is possibly still propagating: try again in a minute or two
      hint: add to the policy of arn:aws:iam::123456789012:user/reader: {"Effect":"Allow","Action":"ssm:GetParametersByPath","Resource":"arn:aws:ssm:us-east-1:123456789012:parameter/crew/prod"}
    "#);
    // without the ARN in its words
    let text = diagnosis("AccessDeniedException", "no").await;
    assert!(text.contains(r#""Resource":"arn:aws:ssm:us-east-1:*:parameter/crew/prod""#), "{text}");
    let old = "The ciphertext refers to a customer master key that does not exist, does not exist in this region, or you are not allowed to access.";
    assert_snapshot!(diagnosis("AccessDeniedException", old).await, @r#"
    Denied: error: access denied: kms:Decrypt on the key of a parameter below /crew/prod/ (credential `aws-prod`, region us-east-1)
      cause: AWS says AccessDeniedException: The ciphertext refers to a customer master key that does not exist, does not exist in this region, or you are not allowed to access (request ID 4f1c-json)
      cause: the identity's policy does not allow kms:Decrypt on arn:aws:kms:us-east-1:*:key/*
      cause: the key's own policy does not let this identity use it, as it must across accounts
      cause: the key is disabled or scheduled for deletion
      cause: a key, policy or role changed in the last minutes is possibly still propagating: try again in a minute or two
      hint: add to the identity's policy: {"Effect":"Allow","Action":"kms:Decrypt","Resource":"arn:aws:kms:us-east-1:*:key/*"}
      hint: listing and describing parameters never decrypts, so that it works says nothing of the key
    "#);
    assert_snapshot!(diagnosis("InvalidKeyId", "key is disabled").await, @"
    Other: error: a parameter below /crew/prod/ cannot be decrypted (credential `aws-prod`, region us-east-1)
      cause: AWS says InvalidKeyId: key is disabled (request ID 4f1c-json)
      cause: the KMS key of one of them is disabled, scheduled for deletion or gone
      hint: enable the key or cancel its deletion, or store the parameter again with another key
    ");
    assert_snapshot!(diagnosis("ValidationException", "the path is invalid").await, @"
    Other: error: AWS does not accept the request ssm:GetParametersByPath (credential `aws-prod`, region us-east-1)
      cause: AWS says ValidationException: the path is invalid (request ID 4f1c-json)
      hint: check the path, which has names of letters, digits and .-_ between its slashes
    ");
    let message = format!(
        "{USER}: ssm:DescribeParameters on resource: arn:aws:ssm:us-east-1:123456789012:* because no identity-based policy allows the ssm:DescribeParameters action"
    );
    let stub = Stub::answering([refusal("AccessDeniedException", &message)]);
    let failure = at(&stub.url()).describe_below(&id("/crew/prod/")).await.unwrap_err();
    assert!(shown(&failure).contains("access denied: ssm:DescribeParameters for /crew/prod/"), "{}", shown(&failure));
}

#[test]
fn a_drift_that_may_not_list_the_path_is_unknown() {
    let moto = Moto::new();
    moto.parameter("a", "String", "1");
    let project = project(&moto);
    project.baked(&manifest(&moto, "  - secret: /PATH\n  - { secret: /PATHnone/, optional: true }\n"));
    let stub = Stub::answering([refusal("AccessDeniedException", "no")]);
    let ran = project.variable("AWS_ENDPOINT_URL_SSM", &stub.url()).run(&["drift", "oci:out:1"]);
    assert_eq!(ran.status, Some(1), "{}", ran.stderr);
    assert_snapshot!(ran.stdout.replace(&moto.name(""), "PATH"), @"
    oci:out:1: unknown
      a            secret /PATHa with params      could not be asked
      env_from[1]  secret /PATHnone/ with params  could not be asked
    ");
    assert_eq!(ran.stderr.matches("access denied: ssm:DescribeParameters for").count(), 2, "{}", ran.stderr);
}

#[test]
fn every_mistake_with_a_path_is_found_offline() {
    let project = Project::empty();
    project.write(
        "secretbake.org.yaml",
        "version: 1\ncredentials:\n\
         \x20 - { name: aws, provider: aws-secrets-manager, region: us-east-1, default: true }\n\
         \x20 - { name: params, provider: aws-parameter-store, region: us-east-1 }\n\
         \x20 - { name: few, provider: aws-parameter-store, region: us-east-1, allow: [\"/crew/prod/db*\"] }\n\
         \x20 - { name: local, provider: file, path: secrets.yaml }\n",
    );
    project.write(
        "deploy.yaml",
        "version: 1\nenv_from:\n  - { secret: /crew/prod/ }\n  - { secret: crew/, credential: local }\n\
         \x20 - { secret: crew/prod/, credential: params }\n  - { secret: \"/crew/prod/#key\", credential: params }\n\
         \x20 - { secret: /crew/prod/, credential: params, label: live }\n  - { secret: /crew/prod/, credential: few }\n\
         \x20 - { secret: \"arn:aws:ssm:us-east-1:123456789012:parameter/crew/prod/\", credential: params }\n\
         \x20 - { secret: /crew/prod/db/, credential: few }\n\
         \x20 - { secret: /crew/prod/, credential: params, keys: [db/host] }\n\
         env:\n  A: { secret: /crew/prod/, credential: params }\n",
    );
    let ran = project.run(&["check", "deploy.yaml"]);
    assert_eq!(ran.status, Some(2));
    assert_snapshot!(ran.stderr, @r#"
    deploy.yaml:11:54: env_from[8].keys: the key "db/host" of /crew/prod/ does not give a variable name
      hint: write `rename: { "db/host": db_host }`
    deploy.yaml:3:15: env_from[0]: /crew/prod/ is a path, and the credential `aws` has no paths
      hint: name a credential with `provider: aws-parameter-store`, or write a secret's name without `/` at its end
    deploy.yaml:4:15: env_from[1]: crew/ is a path, and the credential `local` has no paths
      hint: name a credential with `provider: aws-parameter-store`, or write a secret's name without `/` at its end
    deploy.yaml:5:15: env_from[2]: a path of Parameter Store begins with `/`
      hint: write `secret: /crew/prod/`
    deploy.yaml:6:15: env_from[3]: a path has no JSON key
      hint: write `secret: /crew/prod/`, or the whole name of the parameter whose keys you want
    deploy.yaml:7:15: env_from[4]: a version is named, and a path has many parameters
      hint: remove it: the newest version of each parameter is read; write one with a version under `env:`
    deploy.yaml:8:15: env_from[5]: the credential `few` may not be used for /crew/prod/
      hint: it allows /crew/prod/db*: name another credential here, or add the name to its `allow:` in secretbake.org.yaml
    deploy.yaml:9:15: env_from[6]: a path is written without its ARN: only one's own account can be read by a path
      hint: write `secret: /crew/prod/`
    deploy.yaml:13:16: env.A: /crew/prod/ is a path, not one parameter
      hint: write it under `env_from:` for everything below it, or write a parameter's whole name
    9 errors in 1 file
    "#);
}

#[test]
fn the_policy_allows_the_path_and_the_keys_of_what_is_below_it() {
    let project = Project::empty();
    project.write(
        "secretbake.org.yaml",
        "version: 1\ncredentials:\n  - { name: params, provider: aws-parameter-store, region: us-east-1, default: true }\n",
    );
    let policy = |entries: &str| {
        project.write("deploy.yaml", &format!("version: 1\n{entries}"));
        project.run(&["policy", "deploy.yaml", "--account", "123456789012"]).stdout
    };
    let text = policy("env_from: [{ secret: /crew/prod/ }]\n");
    assert_snapshot!(text, @r#"
    {
      "Version": "2012-10-17",
      "Statement": [
        {
          "Sid": "ParameterStoreReadPath",
          "Effect": "Allow",
          "Action": "ssm:GetParametersByPath",
          "Resource": "arn:aws:ssm:us-east-1:123456789012:parameter/crew/prod"
        },
        {
          "Sid": "KMSDecrypt",
          "Effect": "Allow",
          "Action": "kms:Decrypt",
          "Resource": "arn:aws:kms:us-east-1:123456789012:key/*",
          "Condition": {
            "StringEquals": {
              "kms:ViaService": "ssm.us-east-1.amazonaws.com"
            },
            "StringLike": {
              "kms:EncryptionContext:PARAMETER_ARN": "arn:aws:ssm:us-east-1:123456789012:parameter/crew/prod/*"
            }
          }
        },
        {
          "Sid": "ParameterStoreDescribe",
          "Effect": "Allow",
          "Action": "ssm:DescribeParameters",
          "Resource": "*"
        }
      ]
    }
    "#);
    let text = policy("env_from: [{ secret: / }]\nenv: { A: { secret: /b } }\n");
    assert!(text.contains(r#""Resource": "arn:aws:ssm:us-east-1:123456789012:parameter/""#), "{text}");
    assert!(text.contains(r#""Resource": "arn:aws:ssm:us-east-1:123456789012:parameter/b""#), "{text}");
}

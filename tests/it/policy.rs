//! The policies for a manifest's secrets, checked against the grammar of IAM's JSON policies.

use insta::assert_snapshot;
use serde_json::Value;

use crate::support::project::{EXTERNAL_ID, Project, Ran};

const MANIFEST: &str = "version: 1\nenv:\n  A:\n    secret: database#password\n  B:\n    secret: database#user\n  C:\n    secret: crew/key\n  D:\n\
\x20   secret: arn:aws:secretsmanager:us-east-1:999999999999:secret:shared-AbCdEf\n  E:\n    secret: remote\n    credential: role\n  F: plain\n";

fn project() -> Project {
    let project = Project::empty();
    project.write(
        "secretbake.org.yaml",
        &format!(
            "version: 1\ncredentials:\n  - name: aws\n    provider: aws-secrets-manager\n    region: us-east-1\n    default: true\n\
             \x20   access_key_id: AKIAEXAMPLEEXAMPLE00\n    secret_access_key: {{ env: KEY }}\n\
             \x20 - name: role\n    provider: aws-secrets-manager\n    region: cn-north-1\n    access_key_id: AKIAEXAMPLEEXAMPLE00\n\
             \x20   secret_access_key: {{ env: KEY }}\n    role_arn: arn:aws-cn:iam::123456789012:role/reader\n    external_id: {EXTERNAL_ID}\n"
        ),
    );
    project.write("deploy.yaml", MANIFEST);
    project
}

fn run(arguments: &[&str]) -> Ran {
    let mut all = vec!["policy", "deploy.yaml"];
    all.extend(arguments);
    let ran = project().run(&all);
    assert!(!ran.stdout.contains("canary") && !ran.stderr.contains("canary"), "{ran:?}");
    ran
}

/// Runs `policy` on a manifest of these secrets, with an org file of one credential, the default.
fn run_of(credential: &str, secrets: &[&str], arguments: &[&str]) -> Ran {
    let project = Project::empty();
    let org = "version: 1\ncredentials:\n  - name: aws\n    provider: aws-secrets-manager\n    default: true\n";
    project.write("secretbake.org.yaml", &format!("{org}{credential}"));
    let variables =
        secrets.iter().enumerate().map(|(number, secret)| format!("  V{number}: {{ secret: \"{secret}\" }}\n"));
    project.write("deploy.yaml", &format!("version: 1\nenv:\n{}", variables.collect::<String>()));
    project.run(&[&["policy", "deploy.yaml"], arguments].concat())
}

fn json(ran: &Ran) -> Value {
    serde_json::from_str(&ran.stdout).unwrap_or_else(|_| panic!("{ran:?}"))
}

/// Panics where a document is no IAM policy: <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_grammar.html>.
fn check(document: &Value, is_trust: bool) {
    let keys = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    let texts = |value: &Value| -> Vec<String> {
        match value {
            Value::String(text) => vec![text.clone()],
            Value::Array(list) => {
                assert!(!list.is_empty());
                list.iter().map(|text| text.as_str().unwrap().to_owned()).collect()
            }
            other => panic!("neither a string nor a list of strings: {other}"),
        }
    };
    assert!(keys(document).iter().all(|key| ["Version", "Id", "Statement"].contains(&key.as_str())), "{document}");
    assert_eq!(document["Version"], "2012-10-17");
    assert!(document.to_string().len() <= 6_144, "IAM takes no longer one: {}", document.to_string().len());
    let mut partitions = std::collections::BTreeSet::new();
    let statements = document["Statement"].as_array().unwrap();
    assert!(!statements.is_empty());
    let mut ids = Vec::new();
    for statement in statements {
        let known = ["Sid", "Effect", "Principal", "Action", "Resource", "Condition"];
        assert!(keys(statement).iter().all(|key| known.contains(&key.as_str())), "{statement}");
        let id = statement["Sid"].as_str().unwrap();
        assert!(id.bytes().all(|byte| byte.is_ascii_alphanumeric()) && !ids.contains(&id), "{id}");
        ids.push(id);
        assert_eq!(statement["Effect"], "Allow");
        for action in texts(&statement["Action"]) {
            let (service, name) = action.split_once(':').unwrap();
            assert!(
                ["secretsmanager", "kms", "sts"].contains(&service) && name.bytes().all(|b| b.is_ascii_alphanumeric())
            );
        }
        // a role's trust policy has a principal and no resource, an identity's policy the reverse
        assert_eq!((statement.get("Principal").is_some(), statement.get("Resource").is_some()), (is_trust, !is_trust));
        let arns = if is_trust { texts(&statement["Principal"]["AWS"]) } else { texts(&statement["Resource"]) };
        if statement["Action"] == "secretsmanager:BatchGetSecretValue" {
            // it has no resource type of its own
            assert_eq!(statement["Resource"], "*");
            continue;
        }
        for arn in arns {
            if is_trust && arn == "IDENTITY_ARN" {
                continue;
            }
            let parts: Vec<&str> = arn.splitn(6, ':').collect();
            let [start, partition, service, region, account, resource] = parts[..] else { panic!("not an ARN: {arn}") };
            assert_eq!(start, "arn");
            let of_region = if region.starts_with("cn-") { "aws-cn" } else { "aws" };
            assert!(["", "REGION"].contains(&region) || partition == of_region, "{arn}");
            partitions.insert(partition.to_owned());
            assert!(["secretsmanager", "kms", "iam"].contains(&service) && !resource.is_empty(), "{arn}");
            assert!(
                account == if is_trust { "USER_ACCOUNT_ID" } else { "ACCOUNT_ID" }
                    || (account.len() == 12 && account.bytes().all(|b| b.is_ascii_digit())),
                "{arn}"
            );
        }
        for (operator, condition) in statement.get("Condition").and_then(Value::as_object).into_iter().flatten() {
            assert!(["StringEquals", "StringLike"].contains(&operator.as_str()), "{operator}");
            for (key, values) in condition.as_object().unwrap() {
                assert!(key.starts_with("kms:") || key == "sts:ExternalId", "{key}");
                // a pattern matches nothing where strings must be equal
                assert!(
                    operator == "StringLike" || texts(values).iter().all(|value| !value.contains(['?', '*'])),
                    "{key}"
                );
            }
        }
    }
    assert!(partitions.len() <= 1, "no identity has rights in two partitions: {partitions:?}");
}

#[test]
fn the_secrets_of_a_manifest_and_no_others() {
    let ran = run(&["--credential", "aws"]);
    assert_eq!(ran.status, Some(0), "{}", ran.stderr);
    assert_snapshot!(ran.stderr, @"
    aws/read: attach to the user that the access key belongs to; fill in ACCOUNT_ID
    ");
    check(&serde_json::from_str(&ran.stdout).unwrap(), false);
    assert_snapshot!(ran.stdout, @r#"
    {
      "Version": "2012-10-17",
      "Statement": [
        {
          "Sid": "SecretsManagerRead",
          "Effect": "Allow",
          "Action": [
            "secretsmanager:DescribeSecret",
            "secretsmanager:GetSecretValue"
          ],
          "Resource": [
            "arn:aws:secretsmanager:us-east-1:999999999999:secret:shared-AbCdEf",
            "arn:aws:secretsmanager:us-east-1:ACCOUNT_ID:secret:crew/key-??????",
            "arn:aws:secretsmanager:us-east-1:ACCOUNT_ID:secret:database-??????"
          ]
        },
        {
          "Sid": "KMSDecrypt",
          "Effect": "Allow",
          "Action": "kms:Decrypt",
          "Resource": [
            "arn:aws:kms:us-east-1:999999999999:key/*",
            "arn:aws:kms:us-east-1:ACCOUNT_ID:key/*"
          ],
          "Condition": {
            "StringEquals": {
              "kms:ViaService": "secretsmanager.us-east-1.amazonaws.com"
            },
            "StringLike": {
              "kms:EncryptionContext:SecretARN": [
                "arn:aws:secretsmanager:us-east-1:999999999999:secret:shared-AbCdEf",
                "arn:aws:secretsmanager:us-east-1:ACCOUNT_ID:secret:crew/key-??????",
                "arn:aws:secretsmanager:us-east-1:ACCOUNT_ID:secret:database-??????"
              ]
            }
          }
        }
      ]
    }
    "#);
}

#[test]
fn a_known_account_and_key() {
    let key = "arn:aws:kms:us-east-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab";
    let ran = run(&["--credential", "aws", "--account", "123456789012", "--kms-key", key]);
    let document: Value = serde_json::from_str(&ran.stdout).unwrap();
    check(&document, false);
    assert!(!ran.stdout.contains("ACCOUNT_ID"), "{}", ran.stdout);
    assert_eq!(document["Statement"][1]["Resource"], key);
}

#[test]
fn a_credential_that_batches_needs_leave_for_it() {
    let project = project();
    let org = std::fs::read_to_string(project.path("secretbake.org.yaml")).unwrap();
    project.write("secretbake.org.yaml", &org.replacen("default: true", "default: true\n    batch: auto", 1));
    let ran = project.run(&["policy", "deploy.yaml", "--format", "json"]);
    let all: Value = serde_json::from_str(&ran.stdout).unwrap();
    let statements = |index: usize| {
        let document = &all["policies"][index]["document"];
        check(document, false);
        document["Statement"].as_array().unwrap().iter().map(|statement| statement["Sid"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(statements(0), ["SecretsManagerRead", "KMSDecrypt", "SecretsManagerBatch"]);
    assert_eq!(statements(1), ["SecretsManagerRead", "KMSDecrypt"]);
}

#[test]
fn a_role_with_its_trust_policy() {
    let ran = run(&["--assume-role", "--format", "json", "--credential", "role"]);
    assert_eq!(ran.status, Some(0), "{}", ran.stderr);
    let all = json(&ran);
    let schema = crate::schema::schema("policy");
    crate::schema::holds(&schema, &all, "policy");
    let mut other = all.clone();
    other["surprise"] = Value::Null;
    assert!(!schema.is_valid(&other), "it would notice");
    let kinds: Vec<&str> =
        all["policies"].as_array().unwrap().iter().map(|policy| policy["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["read", "assume-role", "trust"]);
    for policy in all["policies"].as_array().unwrap() {
        check(&policy["document"], policy["kind"] == "trust");
    }
    assert_snapshot!(ran.stdout, @r#"
    {
      "version": 1,
      "policies": [
        {
          "name": "role/read",
          "credential": "role",
          "kind": "read",
          "attach_to": "the role arn:aws-cn:iam::123456789012:role/reader",
          "fill_in": [],
          "document": {
            "Version": "2012-10-17",
            "Statement": [
              {
                "Sid": "SecretsManagerRead",
                "Effect": "Allow",
                "Action": [
                  "secretsmanager:DescribeSecret",
                  "secretsmanager:GetSecretValue"
                ],
                "Resource": "arn:aws-cn:secretsmanager:cn-north-1:123456789012:secret:remote-??????"
              },
              {
                "Sid": "KMSDecrypt",
                "Effect": "Allow",
                "Action": "kms:Decrypt",
                "Resource": "arn:aws-cn:kms:cn-north-1:123456789012:key/*",
                "Condition": {
                  "StringEquals": {
                    "kms:ViaService": [
                      "secretsmanager.cn-north-1.amazonaws.com",
                      "secretsmanager.cn-north-1.amazonaws.com.cn"
                    ]
                  },
                  "StringLike": {
                    "kms:EncryptionContext:SecretARN": "arn:aws-cn:secretsmanager:cn-north-1:123456789012:secret:remote-??????"
                  }
                }
              }
            ]
          }
        },
        {
          "name": "role/assume-role",
          "credential": "role",
          "kind": "assume-role",
          "attach_to": "the user that the access key belongs to",
          "fill_in": [],
          "document": {
            "Version": "2012-10-17",
            "Statement": [
              {
                "Sid": "AssumeRole",
                "Effect": "Allow",
                "Action": "sts:AssumeRole",
                "Resource": "arn:aws-cn:iam::123456789012:role/reader"
              }
            ]
          }
        },
        {
          "name": "role/trust",
          "credential": "role",
          "kind": "trust",
          "attach_to": "the trust policy of the role arn:aws-cn:iam::123456789012:role/reader",
          "fill_in": [
            "USER_ACCOUNT_ID",
            "USER_NAME",
            "EXTERNAL_ID"
          ],
          "document": {
            "Version": "2012-10-17",
            "Statement": [
              {
                "Sid": "AssumedBySecretbake",
                "Effect": "Allow",
                "Principal": {
                  "AWS": "arn:aws-cn:iam::USER_ACCOUNT_ID:user/USER_NAME"
                },
                "Action": "sts:AssumeRole",
                "Condition": {
                  "StringEquals": {
                    "sts:ExternalId": "EXTERNAL_ID"
                  }
                }
              }
            ]
          }
        }
      ]
    }
    "#);
}

#[test]
fn every_credential_of_the_manifests_has_its_own() {
    let ran = run(&["--assume-role"]);
    assert_snapshot!(ran.stderr, @"
    aws/read: attach to the role arn:aws:iam::ACCOUNT_ID:role/ROLE_NAME; fill in ACCOUNT_ID
    aws/assume-role: attach to the user that the access key belongs to; fill in ACCOUNT_ID, ROLE_NAME
    aws/trust: attach to the trust policy of the role arn:aws:iam::ACCOUNT_ID:role/ROLE_NAME; fill in USER_ACCOUNT_ID, USER_NAME, EXTERNAL_ID
    role/read: attach to the role arn:aws-cn:iam::123456789012:role/reader
    role/assume-role: attach to the user that the access key belongs to
    role/trust: attach to the trust policy of the role arn:aws-cn:iam::123456789012:role/reader; fill in USER_ACCOUNT_ID, USER_NAME, EXTERNAL_ID
    ");
    let documents = json(&ran);
    let names: Vec<&String> = documents.as_object().unwrap().keys().collect();
    assert_eq!(names.len(), 6, "one JSON value, whatever it holds");
    for (name, document) in documents.as_object().unwrap() {
        assert!(ran.stderr.contains(&format!("{name}: attach to ")), "{}", ran.stderr);
        check(document, name.ends_with("/trust"));
    }
}

#[test]
fn an_ambient_credential_takes_region_and_partition_from_what_names_them() {
    let arn = "arn:aws-cn:secretsmanager:cn-north-1:999999999999:secret:shared-AbCdEf";
    let ran = run_of("", &["db", arn], &[]);
    let document = json(&ran);
    check(&document, false);
    assert_eq!(
        document["Statement"][0]["Resource"],
        serde_json::json!([arn, "arn:aws-cn:secretsmanager:cn-north-1:ACCOUNT_ID:secret:db-??????"])
    );
    assert_snapshot!(ran.stderr, @"
    aws/read: attach to the identity that the machine's AWS credentials belong to; fill in ACCOUNT_ID
    ");
    let ran = run_of("    role_arn: arn:aws-cn:iam::123456789012:role/reader\n", &["db"], &["--assume-role"]);
    let documents = json(&ran);
    assert_eq!(
        documents["aws/read"]["Statement"][0]["Resource"],
        "arn:aws-cn:secretsmanager:REGION:123456789012:secret:db-??????"
    );
    for (name, document) in documents.as_object().unwrap() {
        check(document, name.ends_with("/trust"));
    }
    // there is no access key, and no user that it is of
    assert_snapshot!(ran.stderr, @"
    aws/read: attach to the role arn:aws-cn:iam::123456789012:role/reader; fill in REGION
    aws/assume-role: attach to the identity that the machine's AWS credentials belong to
    aws/trust: attach to the trust policy of the role arn:aws-cn:iam::123456789012:role/reader; fill in IDENTITY_ARN
    ");
}

#[test]
fn an_arn_that_may_lack_its_suffix_is_allowed_with_and_without() {
    let arn = |name: &str| format!("arn:aws:secretsmanager:us-east-1:123456789012:secret:{name}");
    for (name, expected) in [
        ("db-AbCdEf", &["db-AbCdEf"][..]),
        ("db-a1b2c3", &["db-a1b2c3"]),
        ("my-secret", &["my-secret", "my-secret-??????"]),
        ("backup-202601", &["backup-202601", "backup-202601-??????"]),
        ("db", &["db-??????"]),
    ] {
        let document = json(&run_of("", &[&arn(name)], &[]));
        check(&document, false);
        let expected: Vec<String> = expected.iter().map(|name| arn(name)).collect();
        let resource = &document["Statement"][0]["Resource"];
        match &expected[..] {
            [one] => assert_eq!(resource, one),
            several => assert_eq!(*resource, serde_json::json!(several)),
        }
    }
}

#[test]
fn more_secrets_than_one_policy_takes_are_split() {
    let names: Vec<String> = (0..60).map(|number| format!("crew/production/service-{number:02}/credentials")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let batch = "    region: us-east-1\n    batch: auto\n";
    let ran = run_of(batch, &names, &["--account", "123456789012"]);
    assert_snapshot!(ran.stderr, @"
    aws/read: attach to the identity that the machine's AWS credentials belong to, part 1 of 3, as one policy takes 6144 characters
    aws/read-2: attach to the identity that the machine's AWS credentials belong to, part 2 of 3, as one policy takes 6144 characters
    aws/read-3: attach to the identity that the machine's AWS credentials belong to, part 3 of 3, as one policy takes 6144 characters
    ");
    let documents = json(&ran);
    let mut allowed = Vec::new();
    for (name, document) in documents.as_object().unwrap() {
        check(document, false);
        let read = document["Statement"][0]["Resource"].as_array().unwrap();
        assert_eq!(
            document["Statement"][1]["Condition"]["StringLike"]["kms:EncryptionContext:SecretARN"],
            document["Statement"][0]["Resource"]
        );
        // which has no ARN of its own, once is enough
        assert_eq!(document["Statement"].as_array().unwrap().len(), if name == "aws/read" { 3 } else { 2 }, "{name}");
        allowed.extend(
            read.iter().map(|arn| arn.as_str().unwrap().split(":secret:").nth(1).unwrap().replace("-??????", "")),
        );
    }
    allowed.sort();
    assert_eq!(allowed, names);
}

#[test]
fn mistakes() {
    for (arguments, said) in [
        (["--credential", "rolle"], "error: no credential `rolle`\n  hint: did you mean `role`?\n"),
        (["--credential", "other"], "error: no credential `other`\n  hint: secretbake.org.yaml has `aws`, `role`\n"),
        (["--account", "1234"], "write its 12 digits"),
        (["--kms-key", "alias/x"], "not the ARN of a key"),
        // an alias as a resource grants nothing
        (["--kms-key", "arn:aws:kms:us-east-1:123456789012:alias/x"], "not the ARN of a key"),
    ] {
        let ran = run(&arguments);
        assert_eq!((ran.status, &*ran.stdout), (Some(2), ""), "{}", ran.stderr);
        assert!(ran.stderr.contains(said), "{}", ran.stderr);
    }
}

#[test]
fn a_credential_that_the_manifests_do_not_read_with_has_no_policy() {
    let project = project();
    project.write("deploy.yaml", "version: 1\nenv:\n  A: { secret: a }\n");
    let ran = project.run(&["policy", "deploy.yaml", "--credential", "role"]);
    assert_eq!((ran.status, &*ran.stdout), (Some(2), ""));
    assert_snapshot!(ran.stderr, @"
    error: the manifests read nothing from AWS with such a credential
      hint: name a manifest with a secret of AWS
    ");
}

//! A role that is assumed with a token of another issuer: what is sent, what STS refuses, and the trust policy for it.

use std::fs;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use insta::assert_snapshot;

use super::{ROLE, sts_refusal, value};
use crate::support::canary::is_clean;
use crate::support::moto::Moto;
use crate::support::project::{Project, Ran};
use crate::support::stub::{Reply, Stub};

const ASSUMED: &str = r#"<AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleWithWebIdentityResult>
    <AssumedRoleUser><AssumedRoleId>AROA:secretbake</AssumedRoleId>
    <Arn>arn:aws:sts::123456789012:assumed-role/secrets-reader/secretbake</Arn></AssumedRoleUser>
    <Credentials><AccessKeyId>ASIAROLESESSION0001</AccessKeyId><SecretAccessKey>role-session-secret</SecretAccessKey>
    <SessionToken>role-session-token</SessionToken><Expiration>2099-01-01T00:00:00Z</Expiration></Credentials>
    </AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>"#;

/// A token as GitHub makes them; its signature is a canary.
fn token(number: u32) -> String {
    let claims = serde_json::json!({
        "iss": "https://token.actions.githubusercontent.com", "sub": "repo:crew/app:ref:refs/heads/main",
        "aud": "sts.amazonaws.com", "exp": 1_900_000_000 + number,
    });
    format!("eyJhbGciOiJSUzI1NiJ9.{}.canary-registry-password", URL_SAFE_NO_PAD.encode(claims.to_string()))
}

fn project(source: &str, url: &str) -> Project {
    let project = Project::empty();
    project.write(
        "secretbake.org.yaml",
        &format!(
            "version: 1\ncredentials:\n  - name: deploy\n    provider: aws-secrets-manager\n    region: us-east-1\n    default: true\n\
             \x20   web_identity_token: {source}\n    role_arn: {ROLE}\n"
        ),
    );
    project.write(
        "deploy.yaml",
        "version: 1\nimage: { base: scratch, tags: [\"oci:out:1\"] }\nenv:\n  DB: { secret: db }\n",
    );
    project.variable("AWS_ENDPOINT_URL", url)
}

fn bake(project: &Project) -> Ran {
    let ran =
        project.run(&["bake", "deploy.yaml", "--log", "trace,aws_smithy_runtime=trace,aws_config=trace,hyper=trace"]);
    is_clean("the log", ran.stderr.as_bytes());
    ran
}

/// Returns what a bake says where STS answers so.
fn refused(script: impl IntoIterator<Item = Reply>) -> String {
    let stub = Stub::answering(script);
    let project = project("{ env: CI_TOKEN }", &stub.url()).variable("CI_TOKEN", &token(0));
    let ran = project.run(&["bake", "deploy.yaml"]);
    assert_eq!(ran.status, Some(1), "{}", ran.stderr);
    is_clean("the errors", ran.stderr.as_bytes());
    ran.stderr
}

#[test]
fn a_role_is_assumed_with_the_token_once_and_without_a_signature() {
    let stub = Stub::by(|_, request| match request.operation().as_str() {
        "AssumeRoleWithWebIdentity" => Reply::xml(200, ASSUMED),
        _ => value("canary-value-1"),
    });
    let project = project("{ env: CI_TOKEN }", &stub.url()).variable("CI_TOKEN", &token(0));
    let ran = bake(&project);
    assert_eq!(ran.status, Some(0), "{}", ran.stderr);
    assert_eq!(stub.operations(), ["AssumeRoleWithWebIdentity", "GetSecretValue"]);
    let requests = stub.requests();
    assert_eq!(requests[0].header("authorization"), None);
    assert!(requests[1].header("authorization").unwrap().contains("ASIAROLESESSION0001"));
    let ran = project.run(&["credential", "test", "--secret", "db"]);
    is_clean("the test", (ran.stdout.clone() + &ran.stderr).as_bytes());
    assert_snapshot!(ran.stdout.lines().take(2).collect::<Vec<_>>().join("\n"), @"
    ok       token        issuer https://token.actions.githubusercontent.com, subject repo:crew/app:ref:refs/heads/main, audience sts.amazonaws.com, valid until 2030-03-17T17:46:40Z
    ok       assume-role  arn:aws:sts::123456789012:assumed-role/secrets-reader/secretbake
    ");
    assert_snapshot!(project.run(&["credential", "show", "deploy"]).stdout, @"
    name               deploy
    provider           aws-secrets-manager
    default            yes
    region             us-east-1
    web_identity_token set, from the environment variable CI_TOKEN
    role_arn           arn:aws:iam::123456789012:role/secrets-reader
    ");
}

#[test]
fn a_token_that_was_replaced_in_its_file_is_read_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("token");
    fs::write(&path, token(1)).unwrap();
    let replaced = path.clone();
    let stub = Stub::by(move |_, request| match request.operation().as_str() {
        "AssumeRoleWithWebIdentity" if request.body.contains(&token(1)) => {
            fs::write(&replaced, token(2) + "\n").unwrap();
            sts_refusal("ExpiredTokenException", "Token expired")
        }
        "AssumeRoleWithWebIdentity" => Reply::xml(200, ASSUMED),
        _ => value("canary-value-1"),
    });
    let project = project(&format!("{{ file: {} }}", path.display()), &stub.url());
    assert_eq!(bake(&project).status, Some(0));
    assert_eq!(stub.operations(), ["AssumeRoleWithWebIdentity", "AssumeRoleWithWebIdentity", "GetSecretValue"]);
}

#[test]
fn on_real_sts_the_session_reads_secrets() {
    let moto = Moto::new();
    moto.text("db", "canary-value-1");
    let project = project("{ env: CI_TOKEN }", &moto.endpoint).variable("CI_TOKEN", &token(0));
    let manifest = format!(
        "version: 1\nimage: {{ base: scratch, tags: [\"oci:out:1\"] }}\nenv:\n  DB: {{ secret: {} }}\n",
        moto.name("db")
    );
    project.write("deploy.yaml", &manifest);
    let ran = bake(&project);
    assert_eq!(ran.status, Some(0), "{}", ran.stderr);
}

#[test]
fn what_sts_refuses() {
    let denied = "Not authorized to perform sts:AssumeRoleWithWebIdentity";
    assert_snapshot!(refused([sts_refusal("AccessDenied", denied)]), @r#"
    deploy.yaml:4:17: env.DB: access denied: sts:AssumeRoleWithWebIdentity on arn:aws:iam::123456789012:role/secrets-reader (credential `deploy`, region us-east-1)
      cause: AWS says AccessDenied: Not authorized to perform sts:AssumeRoleWithWebIdentity (request ID 4f1c-xml)
      cause: there is no such role, or its trust policy does not allow the token's issuer
      cause: the trust policy's condition on token.actions.githubusercontent.com:sub does not match the token's subject, repo:crew/app:ref:refs/heads/main
      cause: the trust policy's condition on token.actions.githubusercontent.com:aud does not match its audience, sts.amazonaws.com
      cause: a key, policy or role changed in the last minutes is possibly still propagating: try again in a minute or two
      hint: the role's trust policy: {"Effect":"Allow","Principal":{"Federated":"arn:aws:iam::123456789012:oidc-provider/token.actions.githubusercontent.com"},"Action":"sts:AssumeRoleWithWebIdentity","Condition":{"StringEquals":{"token.actions.githubusercontent.com:aud":"sts.amazonaws.com","token.actions.githubusercontent.com:sub":"repo:crew/app:ref:refs/heads/main"}}}
    "#);
    assert_snapshot!(refused([sts_refusal("ExpiredTokenException", "Token expired: current date/time must be before the expiration date/time")]), @"
    deploy.yaml:4:17: env.DB: the web identity token has expired (credential `deploy`, region us-east-1)
      cause: AWS says ExpiredTokenException: Token expired: current date/time must be before the expiration date/time (request ID 4f1c-xml)
      cause: it was valid until 2030-03-17T17:46:40Z
      cause: tokens of CI jobs last from five minutes to an hour, and a variable keeps the one of the job's start
      hint: get a new token right before secretbake runs, or give it as `{ file: PATH }`, which is read each time
    ");
    assert_snapshot!(refused([sts_refusal("InvalidIdentityToken", "No OpenIDConnect provider found in your account for https://token.actions.githubusercontent.com")]), @"
    deploy.yaml:4:17: env.DB: AWS does not accept the web identity token (credential `deploy`, region us-east-1)
      cause: AWS says InvalidIdentityToken: No OpenIDConnect provider found in your account for https://token.actions.githubusercontent.com (request ID 4f1c-xml)
      cause: the account 123456789012 has no OIDC provider https://token.actions.githubusercontent.com in IAM
      cause: the provider there does not list the token's audience, sts.amazonaws.com
      cause: the token's signature or time does not hold: it was changed, or this machine's clock or the issuer's is wrong
      hint: register it: aws iam create-open-id-connect-provider --url https://token.actions.githubusercontent.com --client-id-list sts.amazonaws.com
      hint: or ask for a token with the audience that the provider has, most often sts.amazonaws.com
    ");
    assert_snapshot!(refused([sts_refusal("InvalidIdentityToken", "Incorrect token audience")]).lines().next().unwrap(), @"deploy.yaml:4:17: env.DB: AWS does not accept the web identity token (credential `deploy`, region us-east-1)");
    assert_snapshot!(refused([sts_refusal("IDPRejectedClaim", "the claim was rejected")]), @"
    deploy.yaml:4:17: env.DB: the issuer does not confirm the web identity token (credential `deploy`, region us-east-1)
      cause: AWS says IDPRejectedClaim: the claim was rejected (request ID 4f1c-xml)
      cause: the token was revoked, or its job or pod has ended
      hint: run again with a new token
    ");
    assert_snapshot!(refused([sts_refusal("IDPCommunicationError", "cannot reach")]), @"
    deploy.yaml:4:17: env.DB: AWS cannot reach the issuer of the web identity token (credential `deploy`, region us-east-1)
      cause: AWS says IDPCommunicationError: cannot reach (request ID 4f1c-xml)
      cause: https://token.actions.githubusercontent.com/.well-known/openid-configuration is not public, or its server is down
      hint: try again later; AWS must be able to read that URL from the internet
    ");
}

#[test]
fn every_mistake_in_the_org_file() {
    let project = Project::empty();
    let credential = |name: &str, fields: &str| {
        format!("  - {{ name: {name}, provider: aws-secrets-manager, region: us-east-1, {fields} }}\n")
    };
    let org = [
        credential("literal", &format!("web_identity_token: {}, role_arn: \"{ROLE}\"", token(0))),
        credential("no-role", "web_identity_token: { env: CI_TOKEN }"),
        credential(
            "keys",
            &format!(
                "web_identity_token: {{ env: CI_TOKEN }}, role_arn: \"{ROLE}\", access_key_id: AKIAEXAMPLEEXAMPLE00, secret_access_key: {{ env: KEY }}"
            ),
        ),
        credential(
            "external",
            &format!("web_identity_token: {{ env: CI_TOKEN }}, role_arn: \"{ROLE}\", external_id: crew-7"),
        ),
    ];
    project.write("secretbake.org.yaml", &format!("version: 1\ncredentials:\n{}", org.concat()));
    project.write("deploy.yaml", "version: 1\nenv: { A: { secret: a } }\n");
    let ran = project.run(&["check", "deploy.yaml"]);
    assert_eq!(ran.status, Some(2));
    is_clean("check", ran.stderr.as_bytes());
    assert_snapshot!(ran.stderr, @"
    secretbake.org.yaml:3:92: credentials[0].web_identity_token: a token expires within the hour and cannot be kept here
      hint: write `{ env: NAME }` or `{ file: PATH }`
    secretbake.org.yaml:4:92: credentials[1].web_identity_token: given without role_arn
      hint: add the role_arn whose trust policy names the token's issuer
    secretbake.org.yaml:5:89: credentials[2].web_identity_token: given with access keys: the token replaces them
      hint: remove one of the two
    secretbake.org.yaml:6:93: credentials[3].web_identity_token: given with external_id, which does not apply to a role assumed with a token
      hint: remove one of the two
    deploy.yaml:2:21: env.A: no credential found: no default for provider aws-secrets-manager
      hint: write `default: true` at one of `literal`, `no-role`, `keys`, `external` in secretbake.org.yaml, or `credential: NAME` here
    5 errors in 2 files
    ");
}

#[test]
fn a_token_that_is_not_there() {
    let at = |source: &str| {
        let project = project(source, "http://127.0.0.1:9");
        let ran = project.run(&["bake", "deploy.yaml"]);
        assert_eq!(ran.status, Some(2), "{}", ran.stderr);
        ran.stderr.replace(&format!("{}/", project.path("").display()).replace("//", "/"), "")
    };
    assert_snapshot!(at("{ env: CI_TOKEN }"), @"
    secretbake.org.yaml:3:5: credentials.deploy.web_identity_token: the environment variable CI_TOKEN is not set
      hint: set CI_TOKEN to the token, or name the variable that holds it
    ");
    assert_snapshot!(at("{ file: no-token }"), @"
    secretbake.org.yaml:3:5: credentials.deploy.web_identity_token: no token file at ./no-token
      hint: check the path
    ");
}

#[test]
fn the_trust_policy_names_the_issuer_and_the_subject() {
    let project = project("{ env: CI_TOKEN }", "http://127.0.0.1:9");
    let trust = |arguments: &[&str]| {
        let ran = project.run(&[&["policy", "deploy.yaml", "--assume-role"], arguments].concat());
        assert_eq!(ran.status, Some(0), "{}", ran.stderr);
        let policies: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
        (serde_json::to_string_pretty(&policies["deploy/trust"]).unwrap(), ran.stderr)
    };
    assert_snapshot!(trust(&["--issuer", "github", "--subject", "repo:crew/app:ref:refs/heads/main"]).0, @r#"
    {
      "Statement": [
        {
          "Action": "sts:AssumeRoleWithWebIdentity",
          "Condition": {
            "StringEquals": {
              "token.actions.githubusercontent.com:aud": "sts.amazonaws.com",
              "token.actions.githubusercontent.com:sub": "repo:crew/app:ref:refs/heads/main"
            }
          },
          "Effect": "Allow",
          "Principal": {
            "Federated": "arn:aws:iam::123456789012:oidc-provider/token.actions.githubusercontent.com"
          },
          "Sid": "AssumedWithToken"
        }
      ],
      "Version": "2012-10-17"
    }
    "#);
    let (document, _) = trust(&[
        "--issuer",
        "https://oidc.eks.eu-west-1.amazonaws.com/id/ABC",
        "--subject",
        "system:serviceaccount:*:deploy",
        "--audience",
        "crew",
    ]);
    assert_snapshot!(document, @r#"
    {
      "Statement": [
        {
          "Action": "sts:AssumeRoleWithWebIdentity",
          "Condition": {
            "StringEquals": {
              "oidc.eks.eu-west-1.amazonaws.com/id/ABC:aud": "crew"
            },
            "StringLike": {
              "oidc.eks.eu-west-1.amazonaws.com/id/ABC:sub": "system:serviceaccount:*:deploy"
            }
          },
          "Effect": "Allow",
          "Principal": {
            "Federated": "arn:aws:iam::123456789012:oidc-provider/oidc.eks.eu-west-1.amazonaws.com/id/ABC"
          },
          "Sid": "AssumedWithToken"
        }
      ],
      "Version": "2012-10-17"
    }
    "#);
    let (_, notes) = trust(&[]);
    assert_snapshot!(notes, @"
    deploy/read: attach to the role arn:aws:iam::123456789012:role/secrets-reader
    deploy/trust: attach to the trust policy of the role arn:aws:iam::123456789012:role/secrets-reader; fill in ISSUER, SUBJECT, AUDIENCE
    ");
    let ran = project.run(&["policy", "deploy.yaml", "--assume-role", "--issuer", "http://nothing", "--subject", "x"]);
    assert_eq!(ran.status, Some(2));
    assert_snapshot!(ran.stderr.lines().next().unwrap(), @"error: invalid value 'http://nothing' for '--issuer <ISSUER>': not an issuer; write github, gitlab or the issuer's https:// URL");
}

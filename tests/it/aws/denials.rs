//! What a policy denies: each row of the guide's table that begins with AccessDenied.

use insta::assert_snapshot;
use secretbake::secrets::Provider;
use serde_json::json;

use super::{ASSUMED, Credential, description, diagnosis, id, outcome, read, refusal, shown, sts_refusal};
use crate::support::stub::{Reply, Stub};

const USER: &str = "User: arn:aws:iam::123456789012:user/reader is not authorized to perform";

fn denied(action: &str, resource: &str) -> Reply {
    let message =
        format!("{USER}: {action} on resource: {resource} because no identity-based policy allows the {action} action");
    refusal("AccessDeniedException", &message)
}

#[tokio::test]
async fn reading() {
    let arn = "arn:aws:secretsmanager:us-east-1:123456789012:secret:db-AbCdEf";
    assert_snapshot!(diagnosis([denied("secretsmanager:GetSecretValue", arn)]).await, @r#"
    Denied: error: access denied: secretsmanager:GetSecretValue on db (credential `aws-prod`, region us-east-1)
      cause: AWS says AccessDeniedException: User: arn:aws:iam::123456789012:user/reader is not authorized to perform: secretsmanager:GetSecretValue on resource: arn:aws:secretsmanager:us-east-1:123456789012:secret:db-AbCdEf because no identity-based policy allows the secretsmanager:GetSecretValue action (request ID 4f1c-json)
      cause: the policy is not attached to arn:aws:iam::123456789012:user/reader, or it does not cover this secret
      cause: a key, policy or role changed in the last minutes is possibly still propagating: try again in a minute or two
      hint: add to the policy of arn:aws:iam::123456789012:user/reader: {"Effect":"Allow","Action":"secretsmanager:GetSecretValue","Resource":"arn:aws:secretsmanager:us-east-1:123456789012:secret:db-AbCdEf"}
    "#);
}

#[tokio::test]
async fn reading_what_is_probably_not_there() {
    let arn = "arn:aws:secretsmanager:us-east-1:123456789012:secret:db";
    assert_snapshot!(diagnosis([denied("secretsmanager:GetSecretValue", arn)]).await, @r#"
    Denied: error: access denied: secretsmanager:GetSecretValue on db (credential `aws-prod`, region us-east-1)
      cause: AWS says AccessDeniedException: User: arn:aws:iam::123456789012:user/reader is not authorized to perform: secretsmanager:GetSecretValue on resource: arn:aws:secretsmanager:us-east-1:123456789012:secret:db because no identity-based policy allows the secretsmanager:GetSecretValue action (request ID 4f1c-json)
      cause: there is probably no `db` in us-east-1: AWS looks at policies first, and found no ARN with a six-character suffix
      cause: the policy is not attached to arn:aws:iam::123456789012:user/reader, or it does not cover this secret
      cause: a key, policy or role changed in the last minutes is possibly still propagating: try again in a minute or two
      hint: check the secret's name, and that it is in us-east-1
      hint: add to the policy of arn:aws:iam::123456789012:user/reader: {"Effect":"Allow","Action":"secretsmanager:GetSecretValue","Resource":"arn:aws:secretsmanager:us-east-1:123456789012:secret:db-??????"}
    "#);
}

#[tokio::test]
async fn a_name_that_ends_like_a_suffix_is_not_taken_for_one() {
    let arn = "arn:aws:secretsmanager:us-east-1:123456789012:secret:my-secret";
    let stub = Stub::answering([denied("secretsmanager:GetSecretValue", arn)]);
    let text = outcome(read(&Credential::default().at(&stub.url()), "my-secret").await);
    assert!(text.contains("secret:my-secret-??????"), "{text}");
    assert!(text.contains("there is probably no `my-secret` in us-east-1"), "{text}");
}

/// Reads `db` where AWS denies it for a reason of its own.
async fn because(reason: &str) -> String {
    let arn = "arn:aws:secretsmanager:us-east-1:123456789012:secret:db-AbCdEf";
    let message = format!("{USER}: secretsmanager:GetSecretValue on resource: {arn} {reason}");
    let text = diagnosis([refusal("AccessDeniedException", &message)]).await;
    // the first two lines are the same each time
    text.lines().skip(2).collect::<Vec<_>>().join("\n")
}

#[tokio::test]
async fn each_kind_of_policy_that_lacks_it_is_named() {
    let missing =
        async |kind| because(&format!("because no {kind} allows the secretsmanager:GetSecretValue action")).await;
    assert_snapshot!(missing("resource-based policy").await, @r#"
    cause: the secret's resource policy does not allow it
    cause: a key, policy or role changed in the last minutes is possibly still propagating: try again in a minute or two
    hint: add to the secret's resource policy: {"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::123456789012:user/reader"},"Action":"secretsmanager:GetSecretValue","Resource":"*"}
    "#);
    assert_snapshot!(missing("permissions boundary").await, @r#"
    cause: the permissions boundary of arn:aws:iam::123456789012:user/reader does not allow it
    cause: a key, policy or role changed in the last minutes is possibly still propagating: try again in a minute or two
    hint: add to the permissions boundary of arn:aws:iam::123456789012:user/reader: {"Effect":"Allow","Action":"secretsmanager:GetSecretValue","Resource":"arn:aws:secretsmanager:us-east-1:123456789012:secret:db-AbCdEf"}
    "#);
    assert_snapshot!(missing("session policy").await, @r#"
    cause: the session policy that the session of arn:aws:iam::123456789012:user/reader was started with does not allow it
    cause: a key, policy or role changed in the last minutes is possibly still propagating: try again in a minute or two
    hint: add to the session policy that the session of arn:aws:iam::123456789012:user/reader was started with: {"Effect":"Allow","Action":"secretsmanager:GetSecretValue","Resource":"arn:aws:secretsmanager:us-east-1:123456789012:secret:db-AbCdEf"}
    "#);
    assert_snapshot!(missing("service control policy").await, @r#"
    cause: the organisation's service control policy does not allow it
    cause: a key, policy or role changed in the last minutes is possibly still propagating: try again in a minute or two
    hint: add to the organisation's service control policy: {"Effect":"Allow","Action":"secretsmanager:GetSecretValue","Resource":"arn:aws:secretsmanager:us-east-1:123456789012:secret:db-AbCdEf"}
    "#);
    assert_snapshot!(missing("resource control policy").await, @r#"
    cause: the organisation's resource control policy does not allow it
    cause: a key, policy or role changed in the last minutes is possibly still propagating: try again in a minute or two
    hint: add to the organisation's resource control policy: {"Effect":"Allow","Action":"secretsmanager:GetSecretValue","Resource":"arn:aws:secretsmanager:us-east-1:123456789012:secret:db-AbCdEf"}
    "#);
    assert_snapshot!(missing("VPC endpoint policy").await, @r#"
    cause: the policy of the VPC endpoint on the way does not allow it
    cause: a key, policy or role changed in the last minutes is possibly still propagating: try again in a minute or two
    hint: add to the policy of the VPC endpoint on the way: {"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::123456789012:user/reader"},"Action":"secretsmanager:GetSecretValue","Resource":"arn:aws:secretsmanager:us-east-1:123456789012:secret:db-AbCdEf"}
    "#);
    // words that nobody has met yet
    assert_eq!(missing("cosmic policy").await, missing("identity-based policy").await);
}

#[tokio::test]
async fn each_kind_of_policy_that_denies_it_is_named() {
    let denied = async |kind| because(&format!("with an explicit deny in {kind}")).await;
    assert_snapshot!(denied("an identity-based policy").await, @"
    cause: the policy of arn:aws:iam::123456789012:user/reader denies it explicitly, so that to allow it in another does not help
    hint: take the Deny out of the policy of arn:aws:iam::123456789012:user/reader, or ask whoever owns it
    ");
    assert_snapshot!(denied("a resource-based policy").await, @"
    cause: the secret's resource policy denies it explicitly, so that to allow it in another does not help
    hint: take the Deny out of the secret's resource policy, or ask whoever owns it
    ");
    assert_snapshot!(denied("a permissions boundary").await, @"
    cause: the permissions boundary of arn:aws:iam::123456789012:user/reader denies it explicitly, so that to allow it in another does not help
    hint: take the Deny out of the permissions boundary of arn:aws:iam::123456789012:user/reader, or ask whoever owns it
    ");
    assert_snapshot!(denied("a session policy").await, @"
    cause: the session policy that the session of arn:aws:iam::123456789012:user/reader was started with denies it explicitly, so that to allow it in another does not help
    hint: take the Deny out of the session policy that the session of arn:aws:iam::123456789012:user/reader was started with, or ask whoever owns it
    ");
    assert_snapshot!(denied("a resource control policy").await, @"
    cause: the organisation's resource control policy denies it explicitly, so that to allow it in another does not help
    hint: take the Deny out of the organisation's resource control policy, or ask whoever owns it
    ");
    assert_snapshot!(denied("a VPC endpoint policy").await, @"
    cause: the policy of the VPC endpoint on the way denies it explicitly, so that to allow it in another does not help
    hint: take the Deny out of the policy of the VPC endpoint on the way, or ask whoever owns it
    ");
    assert_snapshot!(denied("a cosmic policy").await, @"
    cause: a policy denies it explicitly, so that to allow it in another does not help
    hint: ask whoever owns the identity's policy, the organisation's policies, the permissions boundary and the resource's policy
    ");
}

#[tokio::test]
async fn a_secret_of_another_account_takes_both_policies() {
    let arn = "arn:aws:secretsmanager:us-east-1:999999999999:secret:db-AbCdEf";
    let lacking = async |kind: &str| {
        let message = format!("{USER}: secretsmanager:GetSecretValue on resource: {arn} because no {kind} allows it");
        let stub = Stub::answering([refusal("AccessDeniedException", &message)]);
        let text = outcome(read(&Credential::default().at(&stub.url()), arn).await);
        text.lines().skip(2).map(str::to_owned).collect::<Vec<_>>()
    };
    let mut lines = lacking("identity-based policy").await;
    assert_snapshot!(lines.join("\n"), @r#"
    cause: the policy is not attached to arn:aws:iam::123456789012:user/reader, or it does not cover this secret
    cause: the secret's resource policy does not allow it, as it must across accounts
    cause: a key, policy or role changed in the last minutes is possibly still propagating: try again in a minute or two
    hint: add to the policy of arn:aws:iam::123456789012:user/reader: {"Effect":"Allow","Action":"secretsmanager:GetSecretValue","Resource":"arn:aws:secretsmanager:us-east-1:999999999999:secret:db-AbCdEf"}
    hint: add to the secret's resource policy: {"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::123456789012:user/reader"},"Action":"secretsmanager:GetSecretValue","Resource":"*"}
    "#);
    // the one that AWS names comes first
    let mut others = lacking("resource-based policy").await;
    assert!(others[0].contains("the secret's resource policy does not allow it"), "{others:?}");
    lines.sort_unstable();
    others.sort_unstable();
    assert_eq!(lines, others);
}

#[tokio::test]
async fn the_policies_of_a_session_are_its_roles() {
    let message = "User: arn:aws:sts::123456789012:assumed-role/ci/i-0a1b is not authorized to perform: \
                   secretsmanager:GetSecretValue on resource: arn:aws:secretsmanager:us-east-1:123456789012:secret:db-AbCdEf \
                   because no identity-based policy allows it";
    assert_snapshot!(diagnosis([refusal("AccessDeniedException", message)]).await, @r#"
    Denied: error: access denied: secretsmanager:GetSecretValue on db (credential `aws-prod`, region us-east-1)
      cause: AWS says AccessDeniedException: User: arn:aws:sts::123456789012:assumed-role/ci/i-0a1b is not authorized to perform: secretsmanager:GetSecretValue on resource: arn:aws:secretsmanager:us-east-1:123456789012:secret:db-AbCdEf because no identity-based policy allows it (request ID 4f1c-json)
      cause: the policy is not attached to arn:aws:iam::123456789012:role/ci, or it does not cover this secret
      cause: a key, policy or role changed in the last minutes is possibly still propagating: try again in a minute or two
      hint: add to the policy of arn:aws:iam::123456789012:role/ci: {"Effect":"Allow","Action":"secretsmanager:GetSecretValue","Resource":"arn:aws:secretsmanager:us-east-1:123456789012:secret:db-AbCdEf"}
    "#);
}

#[tokio::test]
async fn a_denied_arn_without_its_suffix() {
    let arn = "arn:aws:secretsmanager:us-east-1:123456789012:secret:db";
    let stub = Stub::answering([denied("secretsmanager:GetSecretValue", arn)]);
    assert_snapshot!(outcome(read(&Credential::default().at(&stub.url()), arn).await), @r#"
    Denied: error: access denied: secretsmanager:GetSecretValue on arn:aws:secretsmanager:us-east-1:123456789012:secret:db (credential `aws-prod`, region us-east-1)
      cause: AWS says AccessDeniedException: User: arn:aws:iam::123456789012:user/reader is not authorized to perform: secretsmanager:GetSecretValue on resource: arn:aws:secretsmanager:us-east-1:123456789012:secret:db because no identity-based policy allows the secretsmanager:GetSecretValue action (request ID 4f1c-json)
      cause: an ARN ends in a hyphen and six random characters, and this one does not: a policy on the full ARN does not cover it
      cause: the policy is not attached to arn:aws:iam::123456789012:user/reader, or it does not cover this secret
      cause: a key, policy or role changed in the last minutes is possibly still propagating: try again in a minute or two
      hint: write the secret's full ARN, as the AWS console shows it
      hint: add to the policy of arn:aws:iam::123456789012:user/reader: {"Effect":"Allow","Action":"secretsmanager:GetSecretValue","Resource":"arn:aws:secretsmanager:us-east-1:123456789012:secret:db-??????"}
    "#);
}

#[tokio::test]
async fn an_explicit_deny() {
    let message = format!(
        "{USER}: secretsmanager:GetSecretValue on resource: db with an explicit deny in a service control policy"
    );
    assert_snapshot!(diagnosis([refusal("AccessDeniedException", &message)]).await, @"
    Denied: error: access denied: secretsmanager:GetSecretValue on db (credential `aws-prod`, region us-east-1)
      cause: AWS says AccessDeniedException: User: arn:aws:iam::123456789012:user/reader is not authorized to perform: secretsmanager:GetSecretValue on resource: db with an explicit deny in a service control policy (request ID 4f1c-json)
      cause: the organisation's service control policy denies it explicitly, so that to allow it in another does not help
      hint: take the Deny out of the organisation's service control policy, or ask whoever owns it
    ");
}

#[tokio::test]
async fn describing() {
    let arn = "arn:aws:secretsmanager:us-east-1:123456789012:secret:db-AbCdEf";
    let stub = Stub::answering([denied("secretsmanager:DescribeSecret", arn)]);
    let failure = Credential::default()
        .at(&stub.url())
        .describe(&id("db"), &secretbake::manifest::Version::Current)
        .await
        .unwrap_err();
    assert_snapshot!(shown(&failure), @r#"
    Denied: error: access denied: secretsmanager:DescribeSecret on db (credential `aws-prod`, region us-east-1)
      cause: AWS says AccessDeniedException: User: arn:aws:iam::123456789012:user/reader is not authorized to perform: secretsmanager:DescribeSecret on resource: arn:aws:secretsmanager:us-east-1:123456789012:secret:db-AbCdEf because no identity-based policy allows the secretsmanager:DescribeSecret action (request ID 4f1c-json)
      cause: the policy is not attached to arn:aws:iam::123456789012:user/reader, or it does not cover this secret
      cause: a key, policy or role changed in the last minutes is possibly still propagating: try again in a minute or two
      hint: add to the policy of arn:aws:iam::123456789012:user/reader: {"Effect":"Allow","Action":"secretsmanager:DescribeSecret","Resource":"arn:aws:secretsmanager:us-east-1:123456789012:secret:db-AbCdEf"}
    "#);
}

#[tokio::test]
async fn listing() {
    let message = format!(
        "{USER}: secretsmanager:ListSecrets because no identity-based policy allows the secretsmanager:ListSecrets action"
    );
    let stub = Stub::answering([refusal("AccessDeniedException", &message)]);
    let failure = Credential::default().at(&stub.url()).list("").await.unwrap_err();
    assert_snapshot!(shown(&failure), @r#"
    Denied: error: access denied: secretsmanager:ListSecrets (credential `aws-prod`, region us-east-1)
      cause: AWS says AccessDeniedException: User: arn:aws:iam::123456789012:user/reader is not authorized to perform: secretsmanager:ListSecrets because no identity-based policy allows the secretsmanager:ListSecrets action (request ID 4f1c-json)
      cause: the policy is not attached to arn:aws:iam::123456789012:user/reader, or it does not allow it
      cause: a key, policy or role changed in the last minutes is possibly still propagating: try again in a minute or two
      hint: add to the policy of arn:aws:iam::123456789012:user/reader: {"Effect":"Allow","Action":"secretsmanager:ListSecrets","Resource":"*"}
      hint: reading secrets does not need it: only listing them does
    "#);
}

#[tokio::test]
async fn decrypting_with_a_customer_managed_key() {
    let key = "arn:aws:kms:us-east-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab";
    let script =
        [refusal("AccessDeniedException", "Access to KMS is not allowed"), description(json!({ "KmsKeyId": key }))];
    assert_snapshot!(diagnosis(script).await, @r#"
    Denied: error: access denied: kms:Decrypt on the key of db (credential `aws-prod`, region us-east-1)
      cause: AWS says AccessDeniedException: Access to KMS is not allowed (request ID 4f1c-json)
      cause: the identity's policy does not allow kms:Decrypt on arn:aws:kms:us-east-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab
      cause: the key's own policy does not let this identity use it, as it must across accounts
      cause: the key is disabled or scheduled for deletion
      cause: a key, policy or role changed in the last minutes is possibly still propagating: try again in a minute or two
      hint: add to the identity's policy: {"Effect":"Allow","Action":"kms:Decrypt","Resource":"arn:aws:kms:us-east-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"}
      hint: listing and describing secrets never decrypts, so that it works says nothing of the key
    "#);
}

#[tokio::test]
async fn the_statement_for_a_key_that_is_known_by_an_alias_or_an_id_is_on_keys() {
    for (key, expected) in [
        (
            "arn:aws:kms:us-east-1:999999999999:alias/team",
            r#""Resource":"arn:aws:kms:us-east-1:999999999999:key/*","Condition":{"ForAnyValue:StringEquals":{"kms:ResourceAliases":"alias/team"}}}"#,
        ),
        (
            "alias/team",
            r#""Resource":"arn:aws:kms:us-east-1:123456789012:key/*","Condition":{"ForAnyValue:StringEquals":{"kms:ResourceAliases":"alias/team"}}}"#,
        ),
        ("1234abcd-12ab", r#""Resource":"arn:aws:kms:us-east-1:123456789012:key/1234abcd-12ab"}"#),
        (
            "arn:aws:kms:us-east-1:999999999999:key/mrk-1",
            r#""Resource":"arn:aws:kms:us-east-1:999999999999:key/mrk-1"}"#,
        ),
    ] {
        let denied = refusal("AccessDeniedException", "Access to KMS is not allowed");
        let text = diagnosis([denied, description(json!({ "KmsKeyId": key }))]).await;
        assert!(text.contains(&format!(r#"{{"Effect":"Allow","Action":"kms:Decrypt",{expected}"#)), "{text}");
        let named = if key.starts_with("1234") { "key/1234abcd-12ab" } else { key };
        assert!(text.contains("does not allow kms:Decrypt on arn:aws:kms:us-east-1:"), "{text}");
        assert!(text.lines().any(|line| line.contains("does not allow") && line.ends_with(named)), "{text}");
    }
}

#[tokio::test]
async fn decrypting_with_the_aws_managed_key() {
    let script = [refusal("AccessDeniedException", "Access to KMS is not allowed"), description(json!({}))];
    assert_snapshot!(diagnosis(script).await, @"
    Denied: error: access denied: kms:Decrypt on the key of db (credential `aws-prod`, region us-east-1)
      cause: AWS says AccessDeniedException: Access to KMS is not allowed (request ID 4f1c-json)
      cause: a policy denies kms:Decrypt explicitly, since aws/secretsmanager needs none that allows it
      cause: a key, policy or role changed in the last minutes is possibly still propagating: try again in a minute or two
      hint: look for a Deny in the identity's policies, its permissions boundary and the organisation's policies
      hint: listing and describing secrets never decrypts, so that it works says nothing of the key
    ");
}

/// Reads a secret under the AWS-managed key, by its ARN, and is not allowed to decrypt it.
async fn under_the_aws_managed_key(account: &str, credential: Credential) -> String {
    let arn = format!("arn:aws:secretsmanager:us-east-1:{account}:secret:db-AbCdEf");
    let stub = Stub::answering([
        Reply::xml(200, ASSUMED).to("AssumeRole"),
        refusal("AccessDeniedException", "Access to KMS is not allowed").to("GetSecretValue"),
        description(json!({ "ARN": arn })).to("DescribeSecret"),
    ]);
    outcome(read(&credential.at(&stub.url()), &arn).await)
}

#[tokio::test]
async fn decrypting_a_secret_of_some_account_under_the_aws_managed_key() {
    assert_snapshot!(under_the_aws_managed_key("999999999999", Credential::default()).await, @"
    Denied: error: access denied: kms:Decrypt on the key of arn:aws:secretsmanager:us-east-1:999999999999:secret:db-AbCdEf (credential `aws-prod`, region us-east-1)
      cause: AWS says AccessDeniedException: Access to KMS is not allowed (request ID 4f1c-json)
      cause: the secret may be of another account and encrypted with aws/secretsmanager, which no other can use
      cause: if it is of this account: a policy denies kms:Decrypt explicitly, since aws/secretsmanager needs none that allows it
      cause: a key, policy or role changed in the last minutes is possibly still propagating: try again in a minute or two
      hint: if it is of another account: encrypt it with a customer-managed key whose policy lets this account use it
      hint: or assume a role of the account that it belongs to, with `role_arn`
      hint: if it is of this account: look for a Deny in the identity's policies, its permissions boundary and the organisation's policies
      hint: listing and describing secrets never decrypts, so that it works says nothing of the key
    ");
}

#[tokio::test]
async fn decrypting_a_secret_of_another_account_under_the_aws_managed_key() {
    let role = Credential { role: true, ..Credential::default() };
    assert_snapshot!(under_the_aws_managed_key("999999999999", role).await, @"
    Denied: error: access denied: kms:Decrypt on the key of arn:aws:secretsmanager:us-east-1:999999999999:secret:db-AbCdEf (credential `aws-prod`, region us-east-1)
      cause: AWS says AccessDeniedException: Access to KMS is not allowed (request ID 4f1c-json)
      cause: the secret is of another account and encrypted with aws/secretsmanager, which no other can use
      hint: encrypt it with a customer-managed key whose policy lets this account use it
      hint: or assume a role of the account that it belongs to, with `role_arn`
      hint: listing and describing secrets never decrypts, so that it works says nothing of the key
    ");
}

#[tokio::test]
async fn decrypting_a_secret_of_the_same_account_under_the_aws_managed_key() {
    let role = Credential { role: true, ..Credential::default() };
    let text = under_the_aws_managed_key("123456789012", role).await;
    assert!(!text.contains("another account") && !text.contains("add to"), "{text}");
}

#[tokio::test]
async fn decrypting_a_secret_of_another_account_under_its_own_key() {
    let arn = "arn:aws:secretsmanager:us-east-1:999999999999:secret:db-AbCdEf";
    let key = "arn:aws:kms:us-east-1:999999999999:key/1234";
    let stub = Stub::answering([
        Reply::xml(200, ASSUMED).to("AssumeRole"),
        refusal("AccessDeniedException", "Access to KMS is not allowed").to("GetSecretValue"),
        description(json!({ "ARN": arn, "KmsKeyId": key })).to("DescribeSecret"),
    ]);
    let text = outcome(read(&Credential { role: true, ..Credential::default() }.at(&stub.url()), arn).await);
    let expected = r#"add to the key's policy: {"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::123456789012:root"},"Action":"kms:Decrypt","Resource":"*"}"#;
    assert!(text.contains(expected), "{text}");
}

#[tokio::test]
async fn decrypting_where_describing_is_denied_too() {
    let arn = "arn:aws:secretsmanager:us-east-1:123456789012:secret:db-AbCdEf";
    let script = [
        refusal("AccessDeniedException", "Access to KMS is not allowed"),
        denied("secretsmanager:DescribeSecret", arn),
    ];
    assert_snapshot!(diagnosis(script).await, @r#"
    Denied: error: access denied: kms:Decrypt on the key of db (credential `aws-prod`, region us-east-1)
      cause: AWS says AccessDeniedException: Access to KMS is not allowed (request ID 4f1c-json)
      cause: the identity's policy does not allow kms:Decrypt on arn:aws:kms:us-east-1:*:key/*
      cause: the key's own policy does not let this identity use it, as it must across accounts
      cause: the key is disabled or scheduled for deletion
      cause: a key, policy or role changed in the last minutes is possibly still propagating: try again in a minute or two
      hint: add to the identity's policy: {"Effect":"Allow","Action":"kms:Decrypt","Resource":"arn:aws:kms:us-east-1:*:key/*"}
      hint: listing and describing secrets never decrypts, so that it works says nothing of the key
    "#);
}

#[tokio::test]
async fn another_accounts_secret_under_the_default_key() {
    let message = "You can't access a secret from a different AWS account if you encrypt the secret with the default KMS service key.";
    let script = [refusal("InvalidRequestException", message), denied("secretsmanager:DescribeSecret", "db")];
    assert_snapshot!(diagnosis(script).await, @"
    Denied: error: the secret db cannot be read from another account (credential `aws-prod`, region us-east-1)
      cause: AWS says InvalidRequestException: You can't access a secret from a different AWS account if you encrypt the secret with the default KMS service key (request ID 4f1c-json)
      cause: it is encrypted with aws/secretsmanager, a key that no other account can use
      hint: encrypt it with a customer-managed key whose policy lets this account use it
      hint: or assume a role of the account that it belongs to, with `role_arn`
    ");
}

#[tokio::test]
async fn assuming_the_role_with_an_external_id() {
    let message = format!("{USER}: sts:AssumeRole on resource: {}", super::ROLE);
    let stub = Stub::answering([sts_refusal("AccessDenied", &message)]);
    let provider = Credential { external_id: true, ..Credential::default() }.at(&stub.url());
    assert_snapshot!(outcome(read(&provider, "db").await), @r#"
    Denied: error: access denied: sts:AssumeRole on arn:aws:iam::123456789012:role/secrets-reader (credential `aws-prod`, region us-east-1)
      cause: AWS says AccessDenied: User: arn:aws:iam::123456789012:user/reader is not authorized to perform: sts:AssumeRole on resource: arn:aws:iam::123456789012:role/secrets-reader (request ID 4f1c-xml)
      cause: the policy of arn:aws:iam::123456789012:user/reader does not allow sts:AssumeRole on the role
      cause: the role's trust policy does not allow arn:aws:iam::123456789012:user/reader
      cause: the External ID does not match the one in the role's trust policy
      cause: a key, policy or role changed in the last minutes is possibly still propagating: try again in a minute or two
      hint: add to the policy of arn:aws:iam::123456789012:user/reader: {"Effect":"Allow","Action":"sts:AssumeRole","Resource":"arn:aws:iam::123456789012:role/secrets-reader"}
      hint: the role's trust policy: {"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::123456789012:user/reader"},"Action":"sts:AssumeRole","Condition":{"StringEquals":{"sts:ExternalId":"EXTERNAL_ID"}}}
    "#);
}

#[tokio::test]
async fn assuming_the_role_by_an_ambient_role() {
    let message = format!(
        "User: arn:aws:sts::123456789012:assumed-role/ci/i-0a1b is not authorized to perform: sts:AssumeRole on resource: {}",
        super::ROLE
    );
    let stub = Stub::answering([sts_refusal("AccessDenied", &message)]);
    let provider = Credential { role: true, ..Credential::default() }.at(&stub.url());
    assert_snapshot!(outcome(read(&provider, "db").await), @r#"
    Denied: error: access denied: sts:AssumeRole on arn:aws:iam::123456789012:role/secrets-reader (credential `aws-prod`, region us-east-1)
      cause: AWS says AccessDenied: User: arn:aws:sts::123456789012:assumed-role/ci/i-0a1b is not authorized to perform: sts:AssumeRole on resource: arn:aws:iam::123456789012:role/secrets-reader (request ID 4f1c-xml)
      cause: the policy of arn:aws:iam::123456789012:role/ci does not allow sts:AssumeRole on the role
      cause: the role's trust policy does not allow arn:aws:iam::123456789012:role/ci
      cause: the role's trust policy asks for an External ID, and the credential has none
      cause: a key, policy or role changed in the last minutes is possibly still propagating: try again in a minute or two
      hint: add to the policy of arn:aws:iam::123456789012:role/ci: {"Effect":"Allow","Action":"sts:AssumeRole","Resource":"arn:aws:iam::123456789012:role/secrets-reader"}
      hint: the role's trust policy: {"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::123456789012:role/ci"},"Action":"sts:AssumeRole"}
    "#);
}

#[tokio::test]
async fn assuming_the_role_is_denied_by_the_organisation() {
    let message = format!(
        "{USER}: sts:AssumeRole on resource: {} with an explicit deny in a service control policy",
        super::ROLE
    );
    let stub = Stub::answering([sts_refusal("AccessDenied", &message)]);
    let provider = Credential { role: true, ..Credential::default() }.at(&stub.url());
    assert_snapshot!(outcome(read(&provider, "db").await), @"
    Denied: error: access denied: sts:AssumeRole on arn:aws:iam::123456789012:role/secrets-reader (credential `aws-prod`, region us-east-1)
      cause: AWS says AccessDenied: User: arn:aws:iam::123456789012:user/reader is not authorized to perform: sts:AssumeRole on resource: arn:aws:iam::123456789012:role/secrets-reader with an explicit deny in a service control policy (request ID 4f1c-xml)
      cause: the organisation's service control policy denies it explicitly, so that to allow it in another does not help
      hint: take the Deny out of the organisation's service control policy, or ask whoever owns it
    ");
}

#[tokio::test]
async fn assuming_the_role_without_an_external_id() {
    let message = format!("{USER}: sts:AssumeRole on resource: {}", super::ROLE);
    let stub = Stub::answering([sts_refusal("AccessDenied", &message)]);
    let provider = Credential { role: true, ..Credential::default() }.at(&stub.url());
    assert_snapshot!(outcome(read(&provider, "db").await), @r#"
    Denied: error: access denied: sts:AssumeRole on arn:aws:iam::123456789012:role/secrets-reader (credential `aws-prod`, region us-east-1)
      cause: AWS says AccessDenied: User: arn:aws:iam::123456789012:user/reader is not authorized to perform: sts:AssumeRole on resource: arn:aws:iam::123456789012:role/secrets-reader (request ID 4f1c-xml)
      cause: the policy of arn:aws:iam::123456789012:user/reader does not allow sts:AssumeRole on the role
      cause: the role's trust policy does not allow arn:aws:iam::123456789012:user/reader
      cause: the role's trust policy asks for an External ID, and the credential has none
      cause: a key, policy or role changed in the last minutes is possibly still propagating: try again in a minute or two
      hint: add to the policy of arn:aws:iam::123456789012:user/reader: {"Effect":"Allow","Action":"sts:AssumeRole","Resource":"arn:aws:iam::123456789012:role/secrets-reader"}
      hint: the role's trust policy: {"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::123456789012:user/reader"},"Action":"sts:AssumeRole"}
    "#);
}

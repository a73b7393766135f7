//! Keys that are wrong, expired or too new, regions that are not enabled, and a clock that is wrong.

use std::time::{Duration, Instant};

use insta::assert_snapshot;
use secretbake::secrets::{CallLimits, Provider};

use super::{ASSUMED, Credential, diagnosis, outcome, quick, read, refusal, shown, sts_refusal, value};
use crate::support::stub::{Reply, Stub};

const INVALID_TOKEN: &str = "The security token included in the request is invalid.";

async fn of_identity(credential: Credential, reply: Reply) -> String {
    let stub = Stub::answering([reply]);
    let failure = credential.at(&stub.url()).identity().await.unwrap_err();
    shown(&failure)
}

#[tokio::test]
async fn an_unknown_key() {
    assert_snapshot!(diagnosis([refusal("UnrecognizedClientException", INVALID_TOKEN)]).await, @"
    Denied: error: AWS does not know the access key AKIA…MPLE (credential `aws-prod`, region us-east-1)
      cause: AWS says UnrecognizedClientException: The security token included in the request is invalid (request ID 4f1c-json)
      cause: the access key ID is wrong, or the key was deactivated or deleted
      cause: the account has not enabled the region us-east-1, or the key is of another partition
      cause: a key, policy or role changed in the last minutes is possibly still propagating: try again in a minute or two
      hint: copy the access key ID and the secret access key again, or make a new access key in IAM
    ");
}

#[tokio::test]
async fn an_unknown_key_at_sts() {
    let text = of_identity(Credential::default(), sts_refusal("InvalidClientTokenId", INVALID_TOKEN)).await;
    assert_snapshot!(text, @"
    Denied: error: AWS does not know the access key AKIA…MPLE (credential `aws-prod`, region us-east-1)
      cause: AWS says InvalidClientTokenId: The security token included in the request is invalid (request ID 4f1c-xml)
      cause: the access key ID is wrong, or the key was deactivated or deleted
      cause: the account has not enabled the region us-east-1, or the key is of another partition
      cause: a key, policy or role changed in the last minutes is possibly still propagating: try again in a minute or two
      hint: copy the access key ID and the secret access key again, or make a new access key in IAM
    ");
}

#[tokio::test]
async fn a_temporary_key_without_its_token() {
    let credential = Credential { access_key_id: "ASIAIOSFODNN7EXAMPLE", ..Credential::default() };
    let text = of_identity(credential, sts_refusal("InvalidClientTokenId", INVALID_TOKEN)).await;
    assert_snapshot!(text, @"
    Denied: error: AWS does not know the access key ASIA…MPLE (credential `aws-prod`, region us-east-1)
      cause: AWS says InvalidClientTokenId: The security token included in the request is invalid (request ID 4f1c-xml)
      cause: it is a temporary key (ASIA…), and the credential has no session_token
      cause: the account has not enabled the region us-east-1, or the key is of another partition
      cause: a key, policy or role changed in the last minutes is possibly still propagating: try again in a minute or two
      hint: copy the access key ID and the secret access key again, or make a new access key in IAM
    ");
}

#[tokio::test]
async fn a_wrong_secret_key() {
    let message = "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method.";
    assert_snapshot!(diagnosis([refusal("InvalidSignatureException", message)]).await, @"
    Denied: error: the secret access key is not that of the access key AKIA…MPLE (credential `aws-prod`, region us-east-1)
      cause: AWS says InvalidSignatureException: The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method (request ID 4f1c-json)
      cause: the secret access key is cut short, misspelt or that of another access key
      cause: a proxy changes the request
      hint: copy the access key ID and the secret access key again, or make a new access key in IAM
    ");
}

#[tokio::test]
async fn a_wrong_secret_key_at_sts() {
    let message = "The request signature we calculated does not match the signature you provided.";
    let text = of_identity(Credential::default(), sts_refusal("SignatureDoesNotMatch", message)).await;
    assert_snapshot!(text, @"
    Denied: error: the secret access key is not that of the access key AKIA…MPLE (credential `aws-prod`, region us-east-1)
      cause: AWS says SignatureDoesNotMatch: The request signature we calculated does not match the signature you provided (request ID 4f1c-xml)
      cause: the secret access key is cut short, misspelt or that of another access key
      cause: a proxy changes the request
      hint: copy the access key ID and the secret access key again, or make a new access key in IAM
    ");
}

#[tokio::test]
async fn an_endpoint_of_another_region() {
    let message = "Credential should be scoped to a valid region, not 'us-east-1'.";
    assert_snapshot!(diagnosis([refusal("InvalidSignatureException", message)]).await, @"
    Denied: error: the endpoint is not that of the region us-east-1 (credential `aws-prod`, region us-east-1)
      cause: AWS says InvalidSignatureException: Credential should be scoped to a valid region, not 'us-east-1' (request ID 4f1c-json)
      cause: AWS_ENDPOINT_URL, a profile's endpoint_url or a VPC endpoint leads to another region or service
      cause: the credential's region is misspelt, or not where the secrets live
      cause: a proxy changes the request
      hint: set the credential's `region` to the endpoint's, and check AWS_ENDPOINT_URL and the AWS profile
    ");
    let text = of_identity(Credential::default(), sts_refusal("SignatureDoesNotMatch", message)).await;
    assert!(text.contains("error: the endpoint is not that of the region us-east-1"), "{text}");
}

#[tokio::test]
async fn keys_that_sts_has_just_issued() {
    let of_role = async |code| {
        let stub = Stub::answering([Reply::xml(200, ASSUMED), refusal(code, INVALID_TOKEN)]);
        outcome(read(&Credential { role: true, ..Credential::default() }.at(&stub.url()), "db").await)
    };
    assert_snapshot!(of_role("UnrecognizedClientException").await, @"
    Denied: error: AWS does not know the access key ASIA…0001 (credential `aws-prod`, region us-east-1)
      cause: AWS says UnrecognizedClientException: The security token included in the request is invalid (request ID 4f1c-json)
      cause: the key is one that STS has just issued for the role, and not known here yet
      cause: the account has not enabled the region us-east-1
      cause: AWS_ENDPOINT_URL_STS and AWS_ENDPOINT_URL_SECRETS_MANAGER lead to different places
      hint: try again in a minute or two, and check the credential's `region`
    ");
    assert_snapshot!(of_role("ExpiredTokenException").await, @"
    Denied: error: the session token of the access key ASIA…0001 has expired (credential `aws-prod`, region us-east-1)
      cause: AWS says ExpiredTokenException: The security token included in the request is invalid (request ID 4f1c-json)
      cause: the session of the role lasts an hour
      hint: run it again
    ");
    for code in ["InvalidSignatureException", "IncompleteSignatureException"] {
        let text = of_role(code).await;
        assert!(!text.contains("copy the access key ID") && text.contains("new session of the role"), "{text}");
    }
}

#[tokio::test]
async fn a_wrong_clock() {
    let message =
        "Signature expired: 20260101T000000Z is now earlier than 20260101T001000Z (20260101T001500Z - 5 min.)";
    assert_snapshot!(diagnosis([refusal("InvalidSignatureException", message)]).await, @"
    Denied: error: this machine's clock differs from AWS's by more than five minutes (credential `aws-prod`, region us-east-1)
      cause: AWS says InvalidSignatureException: Signature expired: 20260101T000000Z is now earlier than 20260101T001000Z (20260101T001500Z - 5 min.) (request ID 4f1c-json)
      cause: the clock is not synchronised, as in a virtual machine that was suspended
      hint: set the clock, for example with `timedatectl set-ntp true`, and compare `date -u`
    ");
    for (code, message) in [
        ("SignatureDoesNotMatch", "Signature not yet current: 20260101T001500Z is still later than 20260101T000500Z"),
        ("RequestTimeTooSkewed", "The difference between the request time and the current time is too large."),
        ("RequestExpired", "Request has expired."),
    ] {
        let text = of_identity(Credential::default(), sts_refusal(code, message)).await;
        assert!(text.contains("this machine's clock differs"), "{text}");
    }
}

#[tokio::test]
async fn a_wrong_clock_is_corrected_from_the_services_date() {
    let expired =
        refusal("InvalidSignatureException", "Signature expired").header("date", "Thu, 01 Jan 2026 00:00:00 GMT");
    let stub = Stub::answering([expired, value("good")]);
    assert_eq!(outcome(read(&Credential::default().at(&stub.url()), "db").await), "good");
    assert!(stub.requests()[1].header("x-amz-date").unwrap().starts_with("20260101T0000"));
}

#[tokio::test]
async fn an_expired_token() {
    let credential =
        Credential { token: Some("session"), access_key_id: "ASIAIOSFODNN7EXAMPLE", ..Credential::default() };
    let message = "The security token included in the request is expired";
    assert_snapshot!(of_identity(credential, sts_refusal("ExpiredToken", message)).await, @"
    Denied: error: the session token of the access key ASIA…MPLE has expired (credential `aws-prod`, region us-east-1)
      cause: AWS says ExpiredToken: The security token included in the request is expired (request ID 4f1c-xml)
      cause: temporary keys last from 15 minutes to 36 hours
      hint: get new temporary keys, or use an access key of an IAM user with `role_arn`
    ");
}

#[tokio::test]
async fn a_malformed_key() {
    let message = "Credential must have exactly 5 slash-delimited elements";
    assert_snapshot!(diagnosis([refusal("IncompleteSignatureException", message)]).await, @"
    Denied: error: AWS cannot read the request's signature (credential `aws-prod`, region us-east-1)
      cause: AWS says IncompleteSignatureException: Credential must have exactly 5 slash-delimited elements (request ID 4f1c-json)
      cause: the access key ID AKIA…MPLE is cut short or holds other characters
      cause: a proxy removes the Authorization header
      hint: copy the access key ID and the secret access key again, or make a new access key in IAM
    ");
}

#[tokio::test]
async fn the_access_key_id_is_shown_shortened_where_the_service_repeats_it() {
    let message = "Authorization header requires 'Signature' parameter. (Authorization: AWS4-HMAC-SHA256 \
                   Credential=AKIAIOSFODNN7EXAMPLE/20260101/us-east-1/secretsmanager/aws4_request)";
    let text = diagnosis([refusal("IncompleteSignatureException", message)]).await;
    assert!(text.contains("Credential=AKIA…MPLE/20260101/us-east-1"), "{text}");
    assert!(!text.contains("AKIAIOSFODNN7EXAMPLE"), "{text}");
    let message = "User: arn:aws:iam::123456789012:user/AKIAIOSFODNN7EXAMPLE is not authorized to perform: \
                   secretsmanager:GetSecretValue on resource: arn:aws:secretsmanager:us-east-1:123456789012:secret:AKIAIOSFODNN7EXAMPLE-AbCdEf";
    let text = diagnosis([refusal("AccessDeniedException", message)]).await;
    assert!(!text.contains("AKIAIOSFODNN7EXAMPLE"), "{text}");
    // keys of another shape are known by their value
    let credential = Credential { access_key_id: "LKIA-OTHER-SHAPE-0001", ..Credential::default() };
    let text = of_identity(credential, sts_refusal("AccessDenied", "Credential=LKIA-OTHER-SHAPE-0001/x")).await;
    assert!(text.contains("Credential=LKIA…0001/x"), "{text}");
}

#[tokio::test]
async fn a_region_that_is_not_enabled() {
    let message = "STS is not activated in this region for account:123456789012. Your account administrator can activate STS in this region using the IAM Console.";
    let text = of_identity(Credential::default(), sts_refusal("RegionDisabledException", message)).await;
    assert_snapshot!(text, @"
    Denied: error: STS is not activated in the region us-east-1 for the account (credential `aws-prod`, region us-east-1)
      cause: AWS says RegionDisabledException: STS is not activated in this region for account:123456789012. Your account administrator can activate STS in this region using the IAM Console (request ID 4f1c-xml)
      cause: the account has deactivated the region's STS endpoint, or not opted in to the region
      cause: the credential's region is not where the secrets live
      hint: activate it under IAM, Account settings, or enable the region under Account, AWS Regions
      hint: or set the credential's `region` to the secrets' own
    ");
}

#[tokio::test]
async fn keys_that_are_still_propagating_are_waited_for() {
    let limits =
        CallLimits { propagation: Duration::from_secs(2), propagation_pause: Duration::from_millis(10), ..quick() };
    let script = [
        refusal("UnrecognizedClientException", INVALID_TOKEN),
        refusal("AccessDeniedException", "not yet"),
        value("good"),
    ];
    let stub = Stub::answering(script);
    let provider = Credential { limits, ..Credential::default() }.at(&stub.url());
    assert_eq!(outcome(read(&provider, "db").await), "good");
    assert_eq!(stub.requests().len(), 3);
}

#[tokio::test]
async fn all_reads_of_a_credential_share_the_wait_for_propagation() {
    let limits = CallLimits {
        propagation: Duration::from_millis(300),
        propagation_pause: Duration::from_millis(100),
        ..quick()
    };
    let stub = Stub::answering([refusal("AccessDeniedException", "no")]);
    let provider = Credential { limits, ..Credential::default() }.at(&stub.url());
    let began = Instant::now();
    for _ in 0..20 {
        read(&provider, "db").await.err().unwrap();
    }
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
    assert!((20..=23).contains(&stub.requests().len()), "{}", stub.requests().len());
}

#[tokio::test]
async fn a_denied_listing_takes_nothing_from_the_wait_for_a_read() {
    let limits = CallLimits {
        propagation: Duration::from_millis(200),
        propagation_pause: Duration::from_millis(150),
        ..quick()
    };
    let reads = std::sync::atomic::AtomicUsize::new(0);
    let stub = Stub::by(move |_, request| match request.operation().as_str() {
        "GetSecretValue" if reads.fetch_add(1, std::sync::atomic::Ordering::SeqCst) > 0 => value("good"),
        _ => refusal("AccessDeniedException", "not yet"),
    });
    let provider = Credential { limits, ..Credential::default() }.at(&stub.url());
    provider.list("").await.unwrap_err();
    assert_eq!(outcome(read(&provider, "db").await), "good");
}

#[tokio::test]
async fn a_wrong_secret_key_is_not_waited_for() {
    let limits = CallLimits { propagation: Duration::from_secs(9), ..quick() };
    let stub = Stub::answering([refusal("InvalidSignatureException", "no")]);
    read(&Credential { limits, ..Credential::default() }.at(&stub.url()), "db").await.err().unwrap();
    assert_eq!(stub.requests().len(), 1);
}

#[tokio::test]
async fn a_long_term_key_has_no_session_token_to_expire() {
    let with_token = || Credential { token: Some("session"), ..Credential::default() };
    assert_snapshot!(of_identity(with_token(), sts_refusal("ExpiredToken", "The security token included in the request is expired")).await, @"
    Denied: error: a session token was sent with the long-term access key AKIA…MPLE (credential `aws-prod`, region us-east-1)
      cause: AWS says ExpiredToken: The security token included in the request is expired (request ID 4f1c-xml)
      cause: a long-term key (AKIA…) has no session token and does not expire; the token is that of another key
      hint: take `session_token` out of `aws-prod`, or give the temporary key (ASIA…) that it belongs to
    ");
    assert_snapshot!(of_identity(with_token(), sts_refusal("InvalidClientTokenId", "The security token included in the request is invalid.")).await, @"
    Denied: error: AWS does not know the access key AKIA…MPLE (credential `aws-prod`, region us-east-1)
      cause: AWS says InvalidClientTokenId: The security token included in the request is invalid (request ID 4f1c-xml)
      cause: it is a long-term key (AKIA…), which has no session token, and the credential has one
      cause: the account has not enabled the region us-east-1, or the key is of another partition
      cause: a key, policy or role changed in the last minutes is possibly still propagating: try again in a minute or two
      hint: copy the access key ID and the secret access key again, or make a new access key in IAM
    ");
}

//! Diagnoses problems with a region.

use super::request::{Caller, Operation, failure};
use crate::secrets::{ProviderError, ProviderErrorKind};

/// The code of [`disabled`].
pub const DISABLED: &str = "region-disabled";

/// The account has not enabled the region, or has deactivated its STS endpoint.
pub fn disabled(caller: &Caller<'_>, operation: &Operation<'_>) -> ProviderError {
    const ELSEWHERE: &str = "the credential's region is not where the secrets live";
    if matches!(operation, Operation::Identity | Operation::AssumeRole { .. } | Operation::AssumeRoleWithToken { .. }) {
        let what = format!("STS is not activated in the region {} for the account {}", caller.region, caller.scope());
        return failure(ProviderErrorKind::Denied, DISABLED, what)
            .cause("the account has deactivated the region's STS endpoint, or not opted in to the region")
            .cause(ELSEWHERE)
            .hint("activate it under IAM, Account settings, or enable the region under Account, AWS Regions")
            .hint("or set the credential's `region` to the secrets' own");
    }
    let what = format!("the region {} is not enabled for the account {}", caller.region, caller.scope());
    failure(ProviderErrorKind::Denied, DISABLED, what)
        .cause(ELSEWHERE)
        .cause("the account has not opted in to the region")
        .hint("set the credential's `region` to the secrets' own, or enable it under Account, AWS Regions")
}

/// The request is signed for another region or service than the endpoint's.
pub fn wrong_scope(caller: &Caller<'_>) -> ProviderError {
    let what = format!("the endpoint is not that of the region {} {}", caller.region, caller.scope());
    failure(ProviderErrorKind::Denied, "wrong-endpoint", what)
        .cause("AWS_ENDPOINT_URL, a profile's endpoint_url or a VPC endpoint leads to another region or service")
        .cause("the credential's region is misspelt, or not where the secrets live")
        .cause("a proxy changes the request on its way")
        .hint("set the credential's `region` to the endpoint's, and check AWS_ENDPOINT_URL and the AWS profile")
}

/// The secret's ARN names another region.
pub fn mismatch(caller: &Caller<'_>, of_secret: &str) -> ProviderError {
    let what = format!("the secret is in {of_secret}, the credential `{}` reads {}", caller.credential, caller.region);
    failure(ProviderErrorKind::Other, "region-mismatch", what)
        .hint(format!("name a credential with `region: {of_secret}`, or the secret's replica in {}", caller.region))
}

/// The code of [`none`].
pub const NO_REGION: &str = "no-region";

/// Neither the org file nor the machine names a region.
pub fn none(credential: &str) -> ProviderError {
    let what = format!("no region (credential `{credential}`)");
    failure(ProviderErrorKind::Other, NO_REGION, what)
        .cause("the credential has no region, and neither AWS_REGION nor the profile names one")
        .hint(format!("set `region` at `{credential}`, as in us-east-1"))
}

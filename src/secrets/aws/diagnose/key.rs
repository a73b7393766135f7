//! Diagnoses wrong, expired or missing keys, and a wrong clock.

use super::request::{Caller, PROPAGATION, failure};
use crate::diagnostic::foreign::ForeignText;
use crate::secrets::{ProviderError, ProviderErrorKind};

const COPY: &str = "copy the access key ID and the secret access key again, or make a new access key in IAM";

/// Returns the hint for wrong keys. Keys that STS just issued were not copied wrong.
fn new_session_hint(caller: &Caller<'_>) -> &'static str {
    if caller.is_of_role { "try again: a new session of the role has new keys" } else { COPY }
}

/// AWS does not know the key.
pub fn unknown(caller: &Caller<'_>) -> ProviderError {
    let what = format!("AWS does not know the access key {} {}", caller.key(), caller.scope());
    let mut failure = failure(ProviderErrorKind::Denied, "unknown-access-key", what);
    if caller.is_of_role {
        return failure
            .cause("the key is one that STS has just issued for the role, and not known here yet")
            .cause(format!("the account has not enabled the region {}", caller.region))
            .cause("AWS_ENDPOINT_URL_STS and AWS_ENDPOINT_URL_SECRETS_MANAGER lead to different places")
            .hint("try again in a minute or two, and check the credential's `region`");
    }
    let temporary = caller.access_key_id.starts_with("ASIA");
    failure = match (temporary, caller.has_token) {
        (true, false) => failure.cause("it is a temporary key (ASIA…), and the credential has no session_token"),
        (false, true) => {
            failure.cause("it is a long-term key (AKIA…), which has no session token, and the credential has one")
        }
        (true, true) => failure.cause("the session token does not belong to the key, or is cut short"),
        (false, false) => failure.cause("the access key ID is wrong, or the key was deactivated or deleted"),
    };
    failure
        .cause(format!("the account has not enabled the region {}, or the key is of another partition", caller.region))
        .cause(PROPAGATION)
        .hint(COPY)
}

/// AWS knows the key, but the secret access key does not belong to it.
pub fn wrong_signature(caller: &Caller<'_>) -> ProviderError {
    let what = format!("the secret access key is not that of the access key {} {}", caller.key(), caller.scope());
    failure(ProviderErrorKind::Denied, "wrong-secret-access-key", what)
        .cause("the secret access key is cut short, misspelt or that of another access key")
        .cause("a proxy changes the request")
        .hint(new_session_hint(caller))
}

/// The service could not read the signature.
pub fn malformed(caller: &Caller<'_>) -> ProviderError {
    let what = format!("AWS cannot read the request's signature {}", caller.scope());
    failure(ProviderErrorKind::Denied, "bad-signature", what)
        .cause(format!("the access key ID {} is cut short or holds other characters", caller.key()))
        .cause("a proxy removes the Authorization header")
        .hint(new_session_hint(caller))
}

/// The temporary keys have expired.
pub fn expired(caller: &Caller<'_>) -> ProviderError {
    let is_long_term = !caller.is_of_role && !caller.access_key_id.starts_with("ASIA");
    let what = match is_long_term {
        true => format!("a session token was sent with the long-term access key {} {}", caller.key(), caller.scope()),
        false => format!("the session token of the access key {} has expired {}", caller.key(), caller.scope()),
    };
    let failure = failure(ProviderErrorKind::Denied, "expired-token", what);
    if caller.is_of_role {
        return failure.cause("the session of the role lasts an hour").hint("run it again");
    }
    if is_long_term {
        return failure
            .cause("a long-term key (AKIA…) has no session token and does not expire; the token is that of another key")
            .hint(format!(
                "take `session_token` out of `{}`, or give the temporary key (ASIA…) that it belongs to",
                caller.credential
            ));
    }
    failure
        .cause("temporary keys last from 15 minutes to 36 hours")
        .hint("get new temporary keys, or use an access key of an IAM user with `role_arn`")
}

/// The clock is off: signatures are valid for five minutes before and after their time.
pub fn clock_skew(caller: &Caller<'_>) -> ProviderError {
    let what = format!("this machine's clock differs from AWS's by more than five minutes {}", caller.scope());
    failure(ProviderErrorKind::Denied, "clock-skew", what)
        .cause("the clock is not synchronised, as in a virtual machine that was suspended")
        .hint("set the clock, for example with `timedatectl set-ntp true`, and compare `date -u`")
}

/// The code of [`no_ambient`].
pub const NO_AMBIENT: &str = "no-ambient-credentials";

/// Neither the credential nor the machine has keys. `words` are the SDK's message.
pub fn no_ambient(credential: &str, words: &str) -> ProviderError {
    let what = format!("no AWS credentials on this machine (credential `{credential}`)");
    let failure = failure(ProviderErrorKind::Denied, NO_AMBIENT, what)
        .cause(
            "the credential has no keys, and no keys were found in the environment, profile, web identity or instance",
        )
        .cause("or the profile logs in by SSO or in a browser, which only the AWS CLI can do")
        .hint(format!("set access_key_id and secret_access_key at `{credential}`, or AWS_PROFILE"))
        .hint("after `aws sso login`: `eval \"$(aws configure export-credentials --format env)\"`");
    if words.is_empty() {
        return failure;
    }
    let words = words.split_whitespace().collect::<Vec<_>>().join(" ");
    // the standard error of a profile's `credential_process` may contain secrets
    let (words, is_process) = match words.split_once(". Stderr:") {
        Some((before, _)) => (before, true),
        None => (&*words, false),
    };
    let failure = failure.cause(format!("the AWS SDK says: {}", ForeignText::new(words)));
    if is_process {
        return failure.hint("run the profile's `credential_process` by hand: what it says is not shown here");
    }
    failure
}

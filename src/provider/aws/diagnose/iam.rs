//! Owns the IAM statements that a diagnosis tells the user to add, and the ARNs in them.

use super::Who;
use crate::manifest::reference::SecretId;

/// Stands for the six random characters that end a secret's ARN.
const ANY_SUFFIX: &str = "-??????";

/// Returns the statement that allows one action on one resource.
pub fn statement(action: &str, resource: &str) -> String {
    format!(r#"{{"Effect":"Allow","Action":"{action}","Resource":"{resource}"}}"#)
}

/// Returns the ARN of a secret for a statement: as narrow as what is known of it allows.
///
/// `known` is the full ARN, `named` the one in AWS's message, which has no suffix where there is no such secret.
pub fn secret(who: &Who<'_>, id: &SecretId, known: Option<&str>, named: Option<&str>) -> String {
    let region = who.region;
    let arn = match known.or(named) {
        Some(arn) => arn.to_owned(),
        None if id.is_arn() => id.as_str().to_owned(),
        None => format!("arn:{}:secretsmanager:{region}:*:secret:{id}", partition(region)),
    };
    if lacks_suffix(&arn, id) { arn + ANY_SUFFIX } else { arn }
}

/// Tells whether an ARN ends with the name as the user wrote it, so that the six random characters are not there.
pub fn lacks_suffix(arn: &str, id: &SecretId) -> bool {
    match id.is_arn() {
        false => arn.split(":secret:").nth(1) == Some(id.as_str()),
        true => !has_suffix(arn),
    }
}

/// Tells whether a text ends as a secret's ARN does: a hyphen and six letters or digits.
pub fn has_suffix(arn: &str) -> bool {
    arn.rsplit_once('-').is_some_and(|(_, end)| end.len() == 6 && end.bytes().all(|b| b.is_ascii_alphanumeric()))
}

/// Returns the account in an ARN.
pub fn account(arn: &str) -> Option<&str> {
    arn.split(':').nth(4).filter(|account| !account.is_empty())
}

/// Returns the key's ARN for a statement; every key of the account where it is not known.
pub fn kms_key(who: &Who<'_>, key: Option<&str>, account: Option<&str>) -> String {
    let key = match key {
        Some(key) if key.starts_with("arn:") => return key.to_owned(),
        Some(key) if !key.starts_with("alias/") => key,
        // a statement's resource is a key and never its alias
        _ => "*",
    };
    format!("arn:{}:kms:{}:{}:key/{key}", partition(who.region), who.region, account.unwrap_or("*"))
}

fn partition(region: &str) -> &'static str {
    match region {
        region if region.starts_with("cn-") => "aws-cn",
        region if region.starts_with("us-gov-") => "aws-us-gov",
        _ => "aws",
    }
}

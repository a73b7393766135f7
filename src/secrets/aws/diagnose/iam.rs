//! Writes the IAM statements that a diagnosis tells the user to add, and the ARNs in them.

use super::request::Caller;
use crate::diagnostic::ListHint;
use crate::manifest::reference::SecretId;
use crate::secrets::aws::arn::{has_suffix, partition};

/// Matches the six random characters at the end of a secret's ARN.
const ANY_SUFFIX: &str = "-??????";

/// Returns the statement that allows one action on one resource.
pub fn statement(action: &str, resource: &str) -> String {
    statement_hint("", None, action, resource).text()
}

/// Returns a statement for a resource's or endpoint's policy, which names the principal.
pub fn statement_for(principal: &str, action: &str, resource: &str) -> String {
    statement_hint("", Some(principal), action, resource).text()
}

/// Returns a hint that ends in a statement; hints that differ only in the resource merge into one.
pub fn statement_hint(words: &str, principal: Option<&str>, action: &str, resource: &str) -> ListHint {
    let principal = principal.map(|principal| format!(r#","Principal":{{"AWS":"{principal}"}}"#)).unwrap_or_default();
    ListHint {
        before: format!(r#"{words}{{"Effect":"Allow"{principal},"Action":"{action}","Resource":"#),
        item: resource.to_owned(),
        after: "}".to_owned(),
        is_json: true,
    }
}

/// Returns the ARN of a secret for a statement, as narrow as possible.
///
/// `known` is the full ARN; `named` is the one in AWS's message, which has no suffix if the secret does not exist.
pub fn secret(caller: &Caller<'_>, id: &SecretId, known: Option<&str>, named: Option<&str>) -> String {
    let region = caller.region;
    let arn = match known.or(named) {
        Some(arn) => arn.to_owned(),
        None if id.is_arn() => id.as_str().to_owned(),
        None => format!("arn:{}:secretsmanager:{region}:*:secret:{id}", partition(region)),
    };
    if lacks_suffix(&arn, id) { arn + ANY_SUFFIX } else { arn }
}

/// Returns the ARN of a parameter or path for a statement. `named` is the one in AWS's message.
pub fn parameter(caller: &Caller<'_>, name: &str, named: Option<&str>) -> String {
    match named {
        Some(arn) => arn.to_owned(),
        None if name.starts_with("arn:") => name.to_owned(),
        None => {
            let region = caller.region;
            format!("arn:{}:ssm:{region}:*:parameter/{}", partition(region), name.trim_start_matches('/'))
        }
    }
}

/// Tells whether an ARN ends with the name that the user wrote, without the six random characters.
pub fn lacks_suffix(arn: &str, id: &SecretId) -> bool {
    match id.is_arn() {
        false => arn.split(":secret:").nth(1) == Some(id.as_str()),
        true => !has_suffix(arn),
    }
}

/// A KMS key in a statement.
pub struct KmsKey {
    /// The name to show: its ARN or the ARN of its alias.
    pub name: String,
    resource: String,
    /// The alias for a condition: a statement's resource must be a key, not its alias.
    alias: Option<String>,
}

impl KmsKey {
    /// Takes the key that DescribeSecret returns: an ID, an ARN, an alias or the ARN of an alias.
    ///
    /// Without one, it matches every key of the account; `account` is the secret's.
    pub fn new(caller: &Caller<'_>, key: Option<&str>, account: Option<&str>) -> Self {
        let place = format!("arn:{}:kms:{}:{}", partition(caller.region), caller.region, account.unwrap_or("*"));
        let (place, key) = match key.unwrap_or("key/*") {
            arn if arn.starts_with("arn:") => arn.rsplit_once(':').unwrap_or((&place, "key/*")),
            key => (&*place, key),
        };
        if key.starts_with("alias/") {
            let (name, resource) = (format!("{place}:{key}"), format!("{place}:key/*"));
            return KmsKey { name, resource, alias: Some(key.to_owned()) };
        }
        let key = key.strip_prefix("key/").unwrap_or(key);
        let resource = format!("{place}:key/{key}");
        KmsKey { name: resource.clone(), resource, alias: None }
    }

    /// Returns the statement that allows an identity to decrypt with the key.
    pub fn statement(&self) -> String {
        let condition = self
            .alias
            .as_ref()
            .map(|alias| format!(r#","Condition":{{"ForAnyValue:StringEquals":{{"kms:ResourceAliases":"{alias}"}}}}"#));
        let (resource, condition) = (&self.resource, condition.unwrap_or_default());
        format!(r#"{{"Effect":"Allow","Action":"kms:Decrypt","Resource":"{resource}"{condition}}}"#)
    }
}

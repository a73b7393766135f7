//! Owns the rules for a credential's fields, both in the org file and in answers to prompts.

use super::regions::is_region_shaped;
use crate::diagnostic::Diagnostic;
use crate::diagnostic::lookalike::looks_like;

/// The rule for a field's text, with the message if it is broken.
pub struct Rule {
    pub code: &'static str,
    pub what: &'static str,
    pub hint: &'static str,
    pub holds: fn(&str) -> bool,
}

impl Rule {
    /// Checks a text.
    ///
    /// # Errors
    /// The problem, without the text.
    pub fn check(&self, text: &str) -> Result<(), Diagnostic> {
        match (self.holds)(text) {
            true => Ok(()),
            false => Err(Diagnostic::error(self.code, self.what).hint(self.hint)),
        }
    }
}

/// A credential's name.
pub const NAME: Rule = Rule {
    code: "bad-name",
    what: "not a credential name",
    hint: "a name is a letter or digit, then letters, digits, `.`, `_` and `-`, and no key or token",
    holds: |text| {
        text.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
            && text.starts_with(|c: char| c.is_ascii_alphanumeric())
            && text.len() <= 128
            && looks_like(text).is_none()
    },
};

/// The region where the secrets live.
pub const REGION: Rule = Rule {
    code: "bad-region",
    what: "not a region",
    hint: "write the region's code, as in us-east-1",
    holds: is_region_shaped,
};

/// An access key ID: `AKIA`, or `ASIA` for temporary keys, then capital letters and digits.
pub const ACCESS_KEY_ID: Rule = Rule {
    code: "bad-access-key-id",
    what: "not an access key ID",
    hint: "it begins with AKIA, or ASIA for temporary keys; copy it from the user's Security credentials",
    holds: |text| {
        let rest = ["AKIA", "ASIA"].iter().find_map(|kind| text.strip_prefix(kind)).unwrap_or_default();
        (1..=124).contains(&rest.len()) && rest.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit())
    },
};

/// The role to assume first.
pub const ROLE_ARN: Rule = Rule {
    code: "bad-role-arn",
    what: "not the ARN of a role",
    hint: "write it as arn:aws:iam::ACCOUNT:role/NAME",
    holds: |text| {
        let parts: Vec<&str> = text.splitn(6, ':').collect();
        matches!(parts[..], ["arn", _, "iam", "", account, resource]
            if account.len() == 12 && account.bytes().all(|b| b.is_ascii_digit()) && resource.starts_with("role/"))
    },
};

/// The External ID that the role's trust policy requires.
pub const EXTERNAL_ID: Rule = Rule {
    code: "bad-external-id",
    what: "not an external ID",
    hint: "it has 2 to 1,224 letters, digits and _+=,.@:/-",
    holds: |text| {
        (2..=1224).contains(&text.len()) && text.chars().all(|c| c.is_ascii_alphanumeric() || "_+=,.@:/-".contains(c))
    },
};

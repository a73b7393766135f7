//! Owns the secret reference (`NAME`, `ARN`, `NAME#key`, `NAME#/pointer`): its parts, and what is wrong with it.

use std::fmt;

/// What `secretbake import` puts in front of a name that the user must fill in.
pub const PLACEHOLDER: &str = "fill-in/";

/// The name or ARN of a secret.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SecretId(String);

impl SecretId {
    /// Takes a name or an ARN. The error does not contain the text, which may be a misplaced value.
    pub fn new(text: &str) -> Result<Self, ReferenceError> {
        if text.is_empty() {
            return Err(ReferenceError::NoName);
        }
        if text.starts_with("arn:") {
            let parts: Vec<&str> = text.splitn(6, ':').collect();
            let [_, partition, service, region, account, resource] = parts[..] else {
                return Err(ReferenceError::NotAnArn);
            };
            let named = !partition.is_empty() && !region.is_empty() && !account.is_empty();
            let name = match service {
                "secretsmanager" => resource.strip_prefix("secret:"),
                "ssm" => resource.strip_prefix("parameter/"),
                _ => None,
            };
            if !named || !name.is_some_and(is_name) {
                return Err(ReferenceError::NotAnArn);
            }
        } else if !is_name(text) {
            return Err(ReferenceError::BadName);
        }
        if text.len() > 2048 || (!text.starts_with("arn:") && text.len() > 512) {
            return Err(ReferenceError::TooLong);
        }
        Ok(SecretId(text.to_owned()))
    }

    /// Returns the name or ARN as it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the region in an ARN.
    pub fn region(&self) -> Option<&str> {
        self.0.starts_with("arn:").then(|| self.0.split(':').nth(3)).flatten()
    }

    /// Returns the secret's name. Of an ARN this is its end, without the hyphen and six characters that AWS adds to a secret's.
    pub fn name(&self) -> &str {
        let Some(arn) = self.0.strip_prefix("arn:") else { return &self.0 };
        if let Some(path) = arn.splitn(5, ':').nth(4).and_then(|resource| resource.strip_prefix("parameter/")) {
            // the name of a parameter begins with `/` if it has another one
            let with_slash = &self.0[self.0.len() - path.len() - 1..];
            return if path.contains('/') { with_slash } else { path };
        }
        let name = arn.splitn(6, ':').nth(5).unwrap_or(arn);
        match name.rsplit_once('-') {
            Some((name, added)) if added.len() == 6 && !name.is_empty() && !added.contains('/') => name,
            _ => name,
        }
    }

    /// Tells whether this is the ARN of a parameter of Parameter Store.
    pub fn is_parameter_arn(&self) -> bool {
        self.is_arn() && self.0.split(':').nth(2) == Some("ssm")
    }

    /// Tells whether this ends as a path does, below which there can be secrets.
    pub fn is_path(&self) -> bool {
        self.0.ends_with('/')
    }

    /// Tells whether the ARN of a secret is the one that was asked for, which may lack the hyphen and six characters at its end.
    pub fn is_answered_by(&self, arn: &str) -> bool {
        let rest = arn.strip_prefix(self.as_str()).filter(|_| self.is_arn());
        rest.is_some_and(|rest| rest.is_empty() || rest.len() == 7 && rest.starts_with('-'))
    }

    /// Tells whether this is an ARN.
    pub fn is_arn(&self) -> bool {
        self.0.starts_with("arn:")
    }
}

impl fmt::Display for SecretId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || "/_+=.@-!".contains(c))
}

/// The part of a secret that a reference selects.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Selector {
    /// The value as it is.
    Whole,
    /// A literal top-level key of a JSON object.
    Key(String),
    /// An RFC 6901 pointer, which begins with `/`.
    Pointer(String),
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Selector::Whole => Ok(()),
            Selector::Key(key) | Selector::Pointer(key) => write!(f, "#{key}"),
        }
    }
}

/// A secret reference as the user writes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    pub id: SecretId,
    pub selector: Selector,
}

impl Reference {
    /// Splits the text at its first `#`, which no name contains. The error does not contain the text.
    pub fn parse(text: &str) -> Result<Self, ReferenceError> {
        let (name, key) = match text.split_once('#') {
            Some((name, key)) => (name, Some(key)),
            None => (text, None),
        };
        let id = SecretId::new(name)?;
        let selector = match key {
            None => Selector::Whole,
            Some("") => return Err(ReferenceError::NoKey),
            Some(pointer) if pointer.starts_with('/') => {
                let escapes_end_well =
                    pointer.split('~').skip(1).all(|rest| rest.starts_with('0') || rest.starts_with('1'));
                if !escapes_end_well {
                    return Err(ReferenceError::BadPointer);
                }
                Selector::Pointer(pointer.to_owned())
            }
            Some(key) => Selector::Key(key.to_owned()),
        };
        Ok(Reference { id, selector })
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.id, self.selector)
    }
}

/// Why a text is not a reference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ReferenceError {
    #[error("no secret name before the `#`")]
    NoName,
    #[error("no JSON key after the `#`")]
    NoKey,
    #[error("not a secret name")]
    BadName,
    #[error("not the ARN of a secret or parameter")]
    NotAnArn,
    #[error("longer than a secret's name can be")]
    TooLong,
    #[error("not a JSON pointer: `~` is allowed only in `~0` and `~1`")]
    BadPointer,
}

impl ReferenceError {
    /// Returns the next step.
    pub fn hint(self) -> &'static str {
        match self {
            ReferenceError::NoName => "write `secret-name`, `secret-name#json_key` or the secret's ARN",
            ReferenceError::NoKey => "remove the `#` for the whole value, or write the key after it",
            ReferenceError::BadName => {
                "write `NAME` or `NAME#KEY`, never the value itself; a name has only letters, digits and /_+=.@-!"
            }
            ReferenceError::NotAnArn => {
                "write arn:aws:secretsmanager:REGION:ACCOUNT:secret:NAME-6CHARS or arn:aws:ssm:REGION:ACCOUNT:parameter/NAME, as the AWS console shows it"
            }
            ReferenceError::TooLong => "a name has at most 512 characters, an ARN 2,048",
            ReferenceError::BadPointer => "in a pointer, write `~0` for `~` and `~1` for `/` inside a key",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selector(text: &str) -> Selector {
        Reference::parse(text).unwrap().selector
    }

    #[test]
    fn a_reference_is_split_at_its_first_hash() {
        assert_eq!(selector("db"), Selector::Whole);
        assert_eq!(selector("db#password"), Selector::Key("password".into()));
        assert_eq!(selector("db#a.b"), Selector::Key("a.b".into()));
        assert_eq!(selector("db#a#b"), Selector::Key("a#b".into()));
        assert_eq!(selector("db#/a/0"), Selector::Pointer("/a/0".into()));
        assert_eq!(selector("rds!db-1#password"), Selector::Key("password".into()));
    }

    #[test]
    fn an_arn_knows_its_region() {
        let arn = Reference::parse("arn:aws-cn:secretsmanager:cn-north-1:123456789012:secret:a/b-AbCdEf#k").unwrap();
        assert_eq!(arn.id.region(), Some("cn-north-1"));
        assert_eq!(arn.selector, Selector::Key("k".into()));
    }

    #[test]
    fn what_no_secret_can_be_called_is_refused() {
        for (text, error) in [
            ("", ReferenceError::NoName),
            ("#key", ReferenceError::NoName),
            ("db#", ReferenceError::NoKey),
            ("a b", ReferenceError::BadName),
            ("a:b", ReferenceError::BadName),
            ("arn:aws:s3:::bucket", ReferenceError::NotAnArn),
            ("arn:aws:secretsmanager:us-east-1:1:secret:", ReferenceError::NotAnArn),
            ("db#/a~2", ReferenceError::BadPointer),
            ("db#/a~", ReferenceError::BadPointer),
        ] {
            assert_eq!(Reference::parse(text), Err(error), "{text}");
        }
        assert_eq!(Reference::parse(&"a".repeat(513)), Err(ReferenceError::TooLong));
    }

    #[test]
    fn the_name_in_an_arn_ends_before_what_aws_adds() {
        let name = |end: &str| {
            let arn = format!("arn:aws:secretsmanager:us-east-1:123456789012:secret:{end}");
            SecretId::new(&arn).unwrap().name().to_owned()
        };
        assert_eq!(name("db-AbCdEf"), "db");
        assert_eq!(name("crew/my-db-AbCdEf"), "crew/my-db");
        assert_eq!(name("my-db"), "my-db");
        assert_eq!(name("-AbCdEf"), "-AbCdEf");
        assert_eq!(name("crew-a/bcde"), "crew-a/bcde");
    }
}

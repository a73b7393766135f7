//! Owns the digest: `sha256:` and 64 hexadecimal digits.

use std::fmt::{self, Write as _};

use sha2::{Digest as _, Sha256};

/// A sha256 digest, in the form that image documents use.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest(String);

impl Digest {
    /// Computes the digest of the bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Digest::from_hasher(Sha256::new_with_prefix(bytes))
    }

    /// Returns the digest of the bytes that were hashed.
    pub fn from_hasher(hasher: Sha256) -> Self {
        let mut text = String::with_capacity(71);
        text.push_str("sha256:");
        for byte in hasher.finalize() {
            // writing to a string cannot fail
            let _ = write!(text, "{byte:02x}");
        }
        Digest(text)
    }

    /// Parses a digest.
    pub fn parse(text: &str) -> Option<Self> {
        let hex = text.strip_prefix("sha256:")?;
        let good = hex.len() == 64 && hex.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        good.then(|| Digest(text.to_owned()))
    }

    /// Returns the digest with its algorithm.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the hexadecimal digits, the name of a blob in a layout.
    pub fn hex(&self) -> &str {
        &self.0["sha256:".len()..]
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_of_nothing_is_the_known_one() {
        let digest = Digest::of(b"");
        assert_eq!(digest.as_str(), "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
        assert_eq!(Digest::parse(digest.as_str()), Some(digest));
        assert_eq!(Digest::parse("sha256:E3"), None);
    }
}

//! Owns sealing: who a value is sealed for, and the age file (age-encryption.org/v1) that lies in a layer instead of it.
//!
//! Only this module uses the `age` crate. Sealing is random: the same value gives other bytes each time, so nothing is computed over a value
//! that anyone could compare.

use std::fmt;
use std::io::Write as _;
use std::str::FromStr as _;

use super::ImageError;
use crate::secret::{SecretBuffer, SecretBytes};

/// The first bytes of every sealed file.
pub const MAGIC: &[u8] = b"age-encryption.org/";

/// The public half of an age key (X25519), `age1…`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Recipient(String);

/// Why a text is not a recipient. No variant has the text, which may be a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RecipientError {
    #[error("a secret key, not a recipient")]
    SecretKey,
    #[error("an SSH key, which no container can open with")]
    Ssh,
    #[error("a recipient of an age plugin or of another kind than X25519, which no container can open with")]
    OtherKind,
    #[error("not an age recipient")]
    Malformed,
}

impl RecipientError {
    /// Returns the next step.
    pub fn hint(self) -> &'static str {
        match self {
            RecipientError::SecretKey => {
                "make a new key with `age-keygen -o key.txt`, since this one has been shown, and write its public key, age1…"
            }
            RecipientError::Ssh | RecipientError::OtherKind => {
                "make a key with `age-keygen -o key.txt` and write its public key, age1…"
            }
            RecipientError::Malformed => {
                "`age-keygen -o key.txt` makes a key and prints its public key, age1…; copy the whole of it"
            }
        }
    }
}

impl Recipient {
    /// Reads `age1…` and verifies its checksum.
    pub fn parse(text: &str) -> Result<Self, RecipientError> {
        let begins = |prefix: &str| text.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix));
        if begins("AGE-SECRET-KEY-") || begins("AGE-PLUGIN-") {
            return Err(RecipientError::SecretKey);
        }
        if begins("ssh-") || begins("ecdsa-sha2-") || begins("sk-ssh-") {
            return Err(RecipientError::Ssh);
        }
        if age::x25519::Recipient::from_str(text).is_ok() {
            return Ok(Recipient(text.to_owned()));
        }
        // the part before the last 1 names the kind, and an X25519 recipient has no other 1
        let kind = text.rsplit_once('1').map_or("", |(kind, _)| kind);
        Err(if kind.starts_with("age1") { RecipientError::OtherKind } else { RecipientError::Malformed })
    }

    /// Returns its text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Seals a value for everyone in `recipients`; each of their keys opens it alone.
pub fn seal(value: &SecretBytes, recipients: &[Recipient]) -> Result<SecretBytes, ImageError> {
    let malformed = || ImageError::Malformed("seal");
    let keys: Result<Vec<age::x25519::Recipient>, _> =
        recipients.iter().map(|recipient| age::x25519::Recipient::from_str(recipient.as_str())).collect();
    let keys = keys.map_err(|_| malformed())?;
    let encryptor = age::Encryptor::with_recipients(keys.iter().map(|key| key as &dyn age::Recipient));
    let sealed = SecretBuffer::with_capacity(value.len() + value.len() / 2048 + 1024 + 128 * recipients.len());
    // writing to memory cannot fail
    let mut writer = encryptor.map_err(|_| malformed())?.wrap_output(sealed).map_err(|_| malformed())?;
    writer.write_all(value.expose()).map_err(|_| malformed())?;
    Ok(writer.finish().map_err(|_| malformed())?.finish())
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    fn open(sealed: &SecretBytes, key: &age::x25519::Identity) -> Option<Vec<u8>> {
        let decryptor = age::Decryptor::new(sealed.expose()).unwrap();
        let mut opened = Vec::new();
        decryptor.decrypt(std::iter::once(key as &dyn age::Identity)).ok()?.read_to_end(&mut opened).unwrap();
        Some(opened)
    }

    fn recipient(key: &age::x25519::Identity) -> Recipient {
        Recipient::parse(&key.to_public().to_string()).unwrap()
    }

    #[test]
    fn each_recipient_opens_what_is_sealed_and_nobody_else_does() {
        let keys = [age::x25519::Identity::generate(), age::x25519::Identity::generate()];
        let recipients: Vec<Recipient> = keys.iter().map(recipient).collect();
        for length in [0, 1, 65_535, 65_536, 65_537, 1 << 20] {
            let value = SecretBytes::new((0..length).map(|at| at as u8).collect());
            let sealed = seal(&value, &recipients).unwrap();
            assert!(sealed.expose().starts_with(MAGIC));
            assert!(keys.iter().all(|key| open(&sealed, key).as_deref() == Some(value.expose())), "{length}");
            assert_eq!(open(&sealed, &age::x25519::Identity::generate()), None);
            assert!(sealed.expose() != seal(&value, &recipients).unwrap().expose(), "the same bytes twice");
        }
    }

    #[test]
    fn what_is_no_recipient_is_told_apart() {
        let key = age::x25519::Identity::generate();
        let text = key.to_public().to_string();
        assert_eq!(Recipient::parse(&text).unwrap().as_str(), text);
        let secret = "AGE-SECRET-KEY-1QQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQ";
        let cut = &text[..text.len() - 1];
        for (text, expected) in [
            (secret, RecipientError::SecretKey),
            (&secret.to_ascii_lowercase(), RecipientError::SecretKey),
            ("AGE-PLUGIN-YUBIKEY-1QQQ", RecipientError::SecretKey),
            ("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI", RecipientError::Ssh),
            ("ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTY", RecipientError::Ssh),
            ("sk-ssh-ed25519@openssh.com AAAAGnNrLXNzaC1lZDI1NTE5", RecipientError::Ssh),
            ("age1yubikey1qwerty", RecipientError::OtherKind),
            ("age1pq1qwerty", RecipientError::OtherKind),
            (cut, RecipientError::Malformed),
            ("", RecipientError::Malformed),
            ("hunter2", RecipientError::Malformed),
            ("é", RecipientError::Malformed),
        ] {
            assert_eq!(Recipient::parse(text), Err(expected), "{text}");
        }
    }
}

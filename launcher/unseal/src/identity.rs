//! Identities: the secret keys that `age-keygen` writes, one `AGE-SECRET-KEY-1…` in a line.
//!
//! Owns their text and the key agreement. Must not show anything of a line: an error has its number only.

use crate::derive;
use bech32::Bech32;
use bech32::primitives::decode::CheckedHrpstring;
use x25519_dalek::{PublicKey, StaticSecret, X25519_BASEPOINT_BYTES};
use zeroize::Zeroizing;

/// What an identity begins with; the rest of it is in capitals too.
const PREFIX: &[u8] = b"AGE-SECRET-KEY-1";

/// Text in which each line is an identity, a comment after `#`, or blank.
#[derive(Clone, Copy)]
pub struct Identities<'a> {
    text: &'a [u8],
}

/// Why text holds no identities.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdentityError {
    /// All lines are blank or comments.
    Empty,
    /// This line, counted from 1, is not an X25519 identity.
    Line(usize),
}

/// An X25519 identity. Its key is wiped when it is dropped.
pub(crate) struct Identity {
    secret: StaticSecret,
    public: PublicKey,
}

impl<'a> Identities<'a> {
    /// Checks every line.
    pub fn parse(text: &'a [u8]) -> Result<Self, IdentityError> {
        let mut is_empty = true;
        for (number, line) in lines(text) {
            decode(line).ok_or(IdentityError::Line(number))?;
            is_empty = false;
        }
        if is_empty { Err(IdentityError::Empty) } else { Ok(Self { text }) }
    }

    /// Returns the identities in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Identity> + use<'a> {
        lines(self.text).filter_map(|(_, line)| decode(line)).map(|key| Identity::new(&key))
    }
}

impl Identity {
    fn new(key: &[u8; 32]) -> Self {
        let secret = StaticSecret::from(*key);
        // not `PublicKey::from`, which brings the arithmetic of another form of the curve
        let public = secret.diffie_hellman(&PublicKey::from(X25519_BASEPOINT_BYTES)).to_bytes().into();
        Self { secret, public }
    }

    /// Agrees with the sender's share on the key that wraps the file key; `None` for a share of low order.
    pub fn wrap_key(&self, share: [u8; 32]) -> Option<Zeroizing<[u8; 32]>> {
        let shared = self.secret.diffie_hellman(&PublicKey::from(share));
        let mut salt = [0; 64];
        salt[..32].copy_from_slice(&share);
        salt[32..].copy_from_slice(self.public.as_bytes());
        shared.was_contributory().then(|| derive(&salt, shared.as_bytes(), b"age-encryption.org/v1/X25519"))
    }
}

/// Returns the lines that hold something, with their numbers.
fn lines(text: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    let numbered = (1..).zip(text.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii));
    numbered.filter(|(_, line)| !line.is_empty() && !line.starts_with(b"#"))
}

/// Decodes an identity.
fn decode(line: &[u8]) -> Option<Zeroizing<[u8; 32]>> {
    let text = str::from_utf8(line).ok().filter(|_| line.starts_with(PREFIX))?;
    let checked = CheckedHrpstring::new::<Bech32>(text).ok()?;
    checked.validate_segwit_padding().ok()?;
    let mut bytes = checked.byte_iter();
    let mut key = Zeroizing::new([0; 32]);
    for byte in key.iter_mut() {
        *byte = bytes.next()?;
    }
    bytes.next().is_none().then_some(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_blank_lines_are_passed_over_and_counted() {
        let key = "AGE-SECRET-KEY-1EGTZVFFV20835NWYV6270LXYVK2VKNX2MMDKWYKLMGR48UAWX40Q2P2LM0";
        let parsed = |text: &str| Identities::parse(text.as_bytes()).map(|identities| identities.iter().count());
        assert_eq!(parsed(&format!("# created: today\n\n  {key}\r\n{key}\n")), Ok(2));
        assert_eq!(parsed("# created: today\n \n"), Err(IdentityError::Empty));
        assert_eq!(parsed(&format!("# created: today\n\n{key}\nage1\n")), Err(IdentityError::Line(4)));
    }
}

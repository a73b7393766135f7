//! The header: version, stanzas and MAC.
//!
//! Owns the grammar, and checks all of it before it uses a stanza. Must not do cryptography.

use crate::{MAGIC, OpenError};
use base64ct::{Base64Unpadded, Encoding as _};

/// The characters of a full line of base64.
const FULL_LINE: usize = 64;

/// A header that follows the grammar.
pub(crate) struct Header<'a> {
    /// From the first stanza on.
    stanzas: &'a [u8],
    /// What the MAC is over: everything up to `---`.
    pub authenticated: &'a [u8],
    pub mac: [u8; 32],
    /// The length in bytes, the last line end included.
    pub length: usize,
}

/// The file key, wrapped for one recipient.
#[derive(Clone, Copy)]
pub(crate) struct Stanza<'a> {
    /// Type and arguments, separated by blanks.
    arguments: &'a [u8],
    /// Lines of base64, the last of them shorter than the others and perhaps empty, each with its line end.
    body: &'a [u8],
}

impl<'a> Header<'a> {
    /// Reads the header at the beginning of `file`.
    pub fn parse(file: &'a [u8]) -> Result<Self, OpenError> {
        let stanzas = after_version(file)?;
        let (_, mut rest) = Stanza::parse(stanzas).ok_or(OpenError::Header)?;
        while let Some((_, after)) = Stanza::parse(rest) {
            rest = after;
        }
        let (line, after) = split_line(rest).ok_or(OpenError::Header)?;
        let mac = line.strip_prefix(b"--- ").and_then(decode_32).ok_or(OpenError::Header)?;
        let end = file.len() - rest.len() + b"---".len();
        Ok(Self { stanzas, authenticated: &file[..end], mac, length: file.len() - after.len() })
    }

    /// Returns the stanzas in order.
    pub fn stanzas(&self) -> impl Iterator<Item = Stanza<'a>> + use<'a> {
        let mut rest = self.stanzas;
        core::iter::from_fn(move || {
            let (stanza, after) = Stanza::parse(rest)?;
            rest = after;
            Some(stanza)
        })
    }
}

impl<'a> Stanza<'a> {
    /// Reads a stanza, and returns it and what follows it.
    fn parse(bytes: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let (line, rest) = split_line(bytes)?;
        let arguments = line.strip_prefix(b"-> ")?;
        let is_argument = |argument: &[u8]| !argument.is_empty() && argument.iter().all(u8::is_ascii_graphic);
        if !arguments.split(|byte| *byte == b' ').all(is_argument) {
            return None;
        }
        let mut after = rest;
        loop {
            let line;
            (line, after) = split_line(after)?;
            let mut decoded = [0; FULL_LINE / 4 * 3];
            if line.len() > FULL_LINE || Base64Unpadded::decode(line, &mut decoded).is_err() {
                return None;
            }
            if line.len() < FULL_LINE {
                let body = &rest[..rest.len() - after.len()];
                return Some((Self { arguments, body }, after));
            }
        }
    }

    /// Returns the ephemeral share if the type is X25519.
    pub fn x25519_share(&self) -> Result<Option<[u8; 32]>, OpenError> {
        let Some(share) = self.arguments.strip_prefix(b"X25519") else { return Ok(None) };
        match share.split_first() {
            Some((b' ', share)) => decode_32(share).map(Some).ok_or(OpenError::Header),
            // a longer name is another type
            Some(_) => Ok(None),
            None => Err(OpenError::Header),
        }
    }

    /// Returns the body, which must have 32 bytes.
    pub fn body_of_32_bytes(&self) -> Result<[u8; 32], OpenError> {
        self.body.strip_suffix(b"\n").and_then(decode_32).ok_or(OpenError::Header)
    }
}

/// Returns what follows the line of the version.
fn after_version(file: &[u8]) -> Result<&[u8], OpenError> {
    let version = file.strip_prefix(MAGIC).ok_or(OpenError::NotAge)?;
    match split_line(version).ok_or(OpenError::Header)? {
        (b"v1", rest) => Ok(rest),
        ([b'v', digits @ ..], _) if !digits.is_empty() && digits.iter().all(u8::is_ascii_digit) => {
            Err(OpenError::OtherVersion)
        }
        _ => Err(OpenError::Header),
    }
}

/// Splits at the first line end, which is in neither half.
fn split_line(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = bytes.iter().position(|byte| *byte == b'\n')?;
    Some((&bytes[..end], &bytes[end + 1..]))
}

/// Decodes canonical base64 without padding of exactly 32 bytes.
fn decode_32(text: &[u8]) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    let decoded = Base64Unpadded::decode(text, &mut bytes).ok()?;
    (decoded.len() == 32).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_version_is_told_apart_from_a_damaged_one() {
        for (file, expected) in [
            ("age-encryption.org/v1\n-> X", Ok(&b"-> X"[..])),
            ("age-encryption.org/v2\n", Err(OpenError::OtherVersion)),
            ("age-encryption.org/v10\n", Err(OpenError::OtherVersion)),
            ("age-encryption.org/v\n", Err(OpenError::Header)),
            ("age-encryption.org/v1x\n", Err(OpenError::Header)),
            ("age-encryption.org/1\n", Err(OpenError::Header)),
            ("age-encryption.org/v1", Err(OpenError::Header)),
            ("age-encryption.com/v1\n", Err(OpenError::NotAge)),
        ] {
            assert_eq!(after_version(file.as_bytes()), expected, "{file}");
        }
    }
}

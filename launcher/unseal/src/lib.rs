//! Opens an age v1 file (<https://age-encryption.org/v1>) for X25519 identities, in place, without std and without an allocator.
//!
//! Owns the format: the header and its MAC, the X25519 stanzas, the payload. Stanzas of other types are skipped. Must not
//! read anything, and must not return a part of the plaintext before all of it is proven whole.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

mod header;
mod identity;
mod payload;

pub use identity::{Identities, IdentityError};

use chacha20poly1305::Tag;
use chacha20poly1305::aead::AeadInOut as _;
use chacha20poly1305::{ChaCha20Poly1305, KeyInit as _, Nonce};
use header::Header;
use hkdf::Hkdf;
use hmac::{Hmac, Mac as _};
use sha2::Sha256;
use zeroize::Zeroizing;

/// What every age file begins with, whatever its version.
pub const MAGIC: &[u8] = b"age-encryption.org/";

/// The length of a file key in bytes.
const FILE_KEY: usize = 16;

/// Why a file was not opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenError {
    /// It does not begin like an age file.
    NotAge,
    /// It is an age file of another version than 1.
    OtherVersion,
    /// The header does not follow the format, or is cut short.
    Header,
    /// It is sealed for none of the identities.
    NoMatch,
    /// The header was changed.
    HeaderMac,
    /// The payload was changed or cut short, or something follows it.
    Payload,
}

/// Opens `file` with the first of `identities` that it is sealed for, and returns the plaintext, which takes the ciphertext's place.
///
/// On an error, `file` holds no plaintext.
///
/// ```text
/// age-encryption.org/v1 LF, stanzas, --- MAC LF, nonce of 16 bytes, chunks of 64 KiB and a tag of 16 bytes each
/// ```
pub fn open<'f>(file: &'f mut [u8], identities: &Identities<'_>) -> Result<&'f mut [u8], OpenError> {
    let header = Header::parse(file)?;
    let key = file_key(&header, identities)?;
    let mac_key = derive(b"", &key[..], b"header");
    let mac = <Hmac<Sha256>>::new_from_slice(&mac_key[..]).map_err(|_| OpenError::HeaderMac)?;
    mac.chain_update(header.authenticated).verify_slice(&header.mac).map_err(|_| OpenError::HeaderMac)?;
    let payload = file.get_mut(header.length..).unwrap_or_default();
    // the nonce counts as part of the header: a file that ends before it has no payload
    let (nonce, chunks) = payload.split_first_chunk_mut::<16>().ok_or(OpenError::Header)?;
    payload::open(chunks, &derive(&nonce[..], &key[..], b"payload"))
}

/// Returns the file key from the first stanza that one of the identities opens.
fn file_key(header: &Header<'_>, identities: &Identities<'_>) -> Result<Zeroizing<[u8; FILE_KEY]>, OpenError> {
    for identity in identities.iter() {
        for stanza in header.stanzas() {
            let Some(share) = stanza.x25519_share()? else { continue };
            let mut body = Zeroizing::new(stanza.body_of_32_bytes()?);
            let wrap_key = identity.wrap_key(share).ok_or(OpenError::Header)?;
            let (key, tag) = body.split_at_mut(FILE_KEY);
            let tag = Tag::try_from(&*tag).map_err(|_| OpenError::Header)?;
            let cipher = ChaCha20Poly1305::new(&(*wrap_key).into());
            if cipher.decrypt_inout_detached(&Nonce::default(), b"", (&mut *key).into(), &tag).is_ok() {
                let mut file_key = Zeroizing::new([0; FILE_KEY]);
                file_key.copy_from_slice(key);
                return Ok(file_key);
            }
        }
    }
    Err(OpenError::NoMatch)
}

/// HKDF-SHA-256, to a key of 32 bytes.
fn derive(salt: &[u8], secret: &[u8], info: &[u8]) -> Zeroizing<[u8; 32]> {
    let mut key = Zeroizing::new([0; 32]);
    // cannot fail: 32 bytes are far from the most that it gives, and a key of zeros would open nothing
    let _ = Hkdf::<Sha256>::new(Some(salt), secret).expand(info, &mut key[..]);
    key
}

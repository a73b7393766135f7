//! The payload: chunks of 64 KiB, each with a tag, the last one marked.
//!
//! Owns the nonces and the end. Must not leave plaintext of a payload that is not whole.

use crate::OpenError;
use chacha20poly1305::aead::AeadInOut as _;
use chacha20poly1305::{ChaCha20Poly1305, KeyInit as _, Nonce, Tag};
use zeroize::Zeroize as _;

/// The plaintext of every chunk but the last, in bytes.
const CHUNK: usize = 64 * 1024;

const TAG: usize = 16;

/// Opens the chunks in place, and returns the plaintext, moved together at the beginning.
pub(crate) fn open<'p>(chunks: &'p mut [u8], key: &[u8; 32]) -> Result<&'p mut [u8], OpenError> {
    let cipher = ChaCha20Poly1305::new(key.into());
    let (mut number, mut read, mut written) = (0_u64, 0, 0);
    loop {
        let end = chunks.len().min(read + CHUNK + TAG);
        let is_last = end == chunks.len();
        let chunk = &mut chunks[read..end];
        let Some(length) = open_chunk(chunk, &cipher, number, is_last) else {
            chunks[..read].zeroize();
            return Err(OpenError::Payload);
        };
        chunks.copy_within(read..read + length, written);
        written += length;
        if is_last {
            return Ok(&mut chunks[..written]);
        }
        (number, read) = (number + 1, end);
    }
}

/// Opens one chunk in place, and returns the length of its plaintext, or `None` if it is not that chunk of the payload.
fn open_chunk(chunk: &mut [u8], cipher: &ChaCha20Poly1305, number: u64, is_last: bool) -> Option<usize> {
    let length = chunk.len().checked_sub(TAG)?;
    // only an empty payload has an empty chunk
    if length == 0 && number > 0 {
        return None;
    }
    let (text, tag) = chunk.split_at_mut(length);
    let tag = Tag::try_from(&*tag).ok()?;
    cipher.decrypt_inout_detached(&nonce(number, is_last), b"", text.into(), &tag).ok()?;
    Some(length)
}

/// Eleven bytes that count the chunks, big end first, and one that marks the last.
fn nonce(number: u64, is_last: bool) -> Nonce {
    let mut nonce = Nonce::default();
    nonce[3..11].copy_from_slice(&number.to_be_bytes());
    nonce[11] = u8::from(is_last);
    nonce
}

//! Writes age files, wrong ones too: any stanzas with a valid MAC, and chunks in any order.

use base64ct::{Base64Unpadded, Encoding as _};
use bech32::Bech32;
use bech32::primitives::decode::CheckedHrpstring;
use chacha20poly1305::aead::AeadInOut as _;
use chacha20poly1305::{ChaCha20Poly1305, KeyInit as _, Nonce};
use hkdf::Hkdf;
use hmac::{Hmac, Mac as _};
use sha2::Sha256;
use x25519_dalek::{X25519_BASEPOINT_BYTES, x25519};

/// The identity that all files are sealed for.
pub const IDENTITY: &str = "AGE-SECRET-KEY-1EGTZVFFV20835NWYV6270LXYVK2VKNX2MMDKWYKLMGR48UAWX40Q2P2LM0";

/// The plaintext of every chunk but the last.
pub const CHUNK: usize = 64 * 1024;

const FILE_KEY: [u8; 16] = *b"YELLOW SUBMARINE";
const NONCE: [u8; 16] = *b"sixteen byte non";

/// Returns the public key of [`IDENTITY`].
fn recipient() -> [u8; 32] {
    let key: Vec<u8> = CheckedHrpstring::new::<Bech32>(IDENTITY).unwrap().byte_iter().collect();
    x25519(key.try_into().unwrap(), X25519_BASEPOINT_BYTES)
}

/// Returns the stanza that wraps the file key for [`IDENTITY`].
pub fn stanza() -> Vec<u8> {
    let (ephemeral, recipient) = ([7; 32], recipient());
    let share = x25519(ephemeral, X25519_BASEPOINT_BYTES);
    let shared = x25519(ephemeral, recipient);
    let wrap_key = derive(&[share, recipient].concat(), &shared, b"age-encryption.org/v1/X25519");
    let mut body = FILE_KEY.to_vec();
    encrypt(&wrap_key, &Nonce::default(), &mut body);
    format!("-> X25519 {}\n{}\n", base64(&share), base64(&body)).into_bytes()
}

/// Returns a header of these stanzas with its MAC.
pub fn header(stanzas: &[u8]) -> Vec<u8> {
    let mut header = [b"age-encryption.org/v1\n", stanzas, b"---"].concat();
    let mac = <Hmac<Sha256>>::new_from_slice(&derive(b"", &FILE_KEY, b"header")).unwrap();
    let mac = mac.chain_update(&header).finalize().into_bytes();
    header.extend(format!(" {}\n", base64(&mac)).bytes());
    header
}

/// Returns the chunk with this number, and its tag.
pub fn chunk(number: u64, is_last: bool, plain: &[u8]) -> Vec<u8> {
    let mut nonce = Nonce::default();
    nonce[3..11].copy_from_slice(&number.to_be_bytes());
    nonce[11] = u8::from(is_last);
    let mut chunk = plain.to_vec();
    encrypt(&derive(&NONCE, &FILE_KEY, b"payload"), &nonce, &mut chunk);
    chunk
}

/// Returns the file of a header and chunks.
pub fn file(header: &[u8], chunks: &[Vec<u8>]) -> Vec<u8> {
    [header, &NONCE, &chunks.concat()].concat()
}

/// Returns a file as it should be.
pub fn sealed(plain: &[u8]) -> Vec<u8> {
    let count = plain.len().div_ceil(CHUNK).max(1);
    let part = |number: usize| &plain[number * CHUNK..plain.len().min((number + 1) * CHUNK)];
    let chunks: Vec<_> = (0..count).map(|number| chunk(number as u64, number + 1 == count, part(number))).collect();
    file(&header(&stanza()), &chunks)
}

/// Encodes up to 48 bytes.
fn base64(bytes: &[u8]) -> String {
    Base64Unpadded::encode(bytes, &mut [0; 64]).unwrap().to_owned()
}

fn encrypt(key: &[u8; 32], nonce: &Nonce, text: &mut Vec<u8>) {
    let tag = ChaCha20Poly1305::new(key.into()).encrypt_inout_detached(nonce, b"", text.as_mut_slice().into()).unwrap();
    text.extend_from_slice(&tag);
}

fn derive(salt: &[u8], secret: &[u8], info: &[u8]) -> [u8; 32] {
    let mut key = [0; 32];
    Hkdf::<Sha256>::new(Some(salt), secret).expand(info, &mut key).unwrap();
    key
}

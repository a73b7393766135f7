//! What the sealing launcher opens, and the key that it opens it with: nothing opens but what was sealed, and a failure leaves no plaintext.

use std::collections::HashMap;
use std::sync::{LazyLock, Mutex};

use bech32::Bech32;
use bech32::primitives::decode::CheckedHrpstring;
use secretbake_unseal::{Identities, OpenError, open};

use crate::sealer::{CHUNK, IDENTITY, chunk, file, header, stanza};

/// Takes any input.
type Target = fn(&[u8]);

/// The targets of this file, by name.
pub const TARGETS: &[(&str, Target)] =
    &[("opening", opening), ("stanzas", stanzas), ("chunks", chunks), ("identities", identities)];

/// What every plaintext consists of, so that it is seen anywhere.
const MARK: &[u8] = b"s3cret-s3cret-s3cret-";

/// Returns a plaintext.
pub fn plain(length: usize) -> Vec<u8> {
    MARK.iter().copied().cycle().take(length).collect()
}

/// Opens a file, and checks that a failure leaves nothing of the plaintext.
pub fn opened(input: &[u8]) -> Result<Vec<u8>, OpenError> {
    static IDENTITIES: LazyLock<Identities<'static>> =
        LazyLock::new(|| Identities::parse(IDENTITY.as_bytes()).expect("it is one"));
    let mut bytes = input.to_vec();
    let result = open(&mut bytes, &IDENTITIES).map(|plain| plain.to_vec());
    // of 320 KiB, comparing only where the first byte is right takes a third of the time
    let has_mark = |bytes: &[u8]| {
        let mut rest = bytes;
        while let Some(at) = rest.iter().position(|byte| *byte == MARK[0]) {
            if rest[at..].starts_with(MARK) {
                return true;
            }
            rest = &rest[at + 1..];
        }
        false
    };
    assert!(result.is_ok() || !has_mark(&bytes) || has_mark(input), "plaintext is left");
    result
}

/// A whole file. What opens does not open with a byte more or another last byte.
pub fn opening(input: &[u8]) {
    if opened(input).is_ok() {
        let mut changed = input.to_vec();
        changed.push(0);
        assert_eq!(opened(&changed), Err(OpenError::Payload));
        changed.pop();
        if let Some(last) = changed.last_mut() {
            *last ^= 1;
        }
        assert_eq!(opened(&changed), Err(OpenError::Payload));
    }
}

/// Any stanzas under a MAC that is valid.
pub fn stanzas(input: &[u8]) {
    static CHUNK_OF_100: LazyLock<Vec<u8>> = LazyLock::new(|| chunk(0, true, &plain(100)));
    if let Ok(opened) = opened(&file(&header(input), std::slice::from_ref(&CHUNK_OF_100))) {
        assert_eq!(opened, plain(100));
    }
}

/// Chunks under a header that is valid, each sealed as it should be. Two bytes say how much of the end is missing, each other byte is a chunk:
/// whether its number is another's, whether it is marked as the last, and its length.
pub fn chunks(input: &[u8]) {
    static HEADER: LazyLock<Vec<u8>> = LazyLock::new(|| header(&stanza()));
    let Some((cut, wishes)) = input.split_first_chunk() else { return };
    let chunks: Vec<_> = (0..).zip(wishes.iter().take(5)).map(|(place, wish)| wished(place, *wish)).collect();
    let mut input = file(&HEADER, &chunks);
    let cut = usize::from(u16::from_le_bytes(*cut));
    input.truncate(input.len() - cut.min(input.len()));
    let Ok(opened) = opened(&input) else { return };
    // all but the last are full, in order and unmarked, and the last is marked and has something unless it is the only one
    let pieces = opened.len().div_ceil(CHUNK).max(1);
    let expected = (0..pieces).map(|number| {
        let end = opened.len().min((number + 1) * CHUNK);
        chunk(number as u64, number + 1 == pieces, &opened[number * CHUNK..end])
    });
    assert!(input == file(&HEADER, &expected.collect::<Vec<_>>()), "what opens was not sealed so");
    input.push(0);
    assert_eq!(self::opened(&input), Err(OpenError::Payload), "with a byte more");
}

/// Returns a chunk. Each is sealed once, because that takes longest.
fn wished(place: u64, wish: u8) -> Vec<u8> {
    type Sealed = Mutex<HashMap<(u64, bool, usize), Vec<u8>>>;
    static SEALED: LazyLock<Sealed> = LazyLock::new(Mutex::default);
    let number = place ^ u64::from(wish & 1);
    let is_last = wish & 2 != 0;
    let length = [CHUNK, 0, 1, 1_000, CHUNK - 1][usize::from(wish >> 2) % 5];
    let mut sealed = SEALED.lock().expect("no target panics with it");
    sealed.entry((number, is_last, length)).or_insert_with(|| chunk(number, is_last, &plain(length))).clone()
}

/// The text of the key: each line is as it would be written.
pub fn identities(input: &[u8]) {
    if Identities::parse(input).is_err() {
        return;
    }
    let lines = input.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
    for line in lines.filter(|line| !line.is_empty() && !line.starts_with(b"#")) {
        let text = std::str::from_utf8(line).expect("it is ASCII");
        let read = CheckedHrpstring::new::<Bech32>(text).expect("its checksum is right");
        let key: Vec<u8> = read.byte_iter().collect();
        assert_eq!(key.len(), 32);
        let mut written = String::new();
        bech32::encode_upper_to_fmt::<Bech32, _>(&mut written, read.hrp(), &key).expect("memory");
        assert_eq!(written, text);
    }
}

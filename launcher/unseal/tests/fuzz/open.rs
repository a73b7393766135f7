//! Opening a sealed file: nothing opens but what was sealed, and a failure leaves no plaintext.

use crate::random::{Random, run};
use crate::sealer::{CHUNK, IDENTITY, chunk, file, header, sealed, stanza};
use secretbake_unseal::{Identities, OpenError, open};

/// What every plaintext consists of, so that it is seen anywhere.
const MARK: &[u8] = b"s3cret-s3cret-s3cret-";

fn plain(length: usize) -> Vec<u8> {
    MARK.iter().copied().cycle().take(length).collect()
}

/// Opens `input`, and checks that a failure leaves nothing of the plaintext.
fn opened(input: &[u8]) -> Result<Vec<u8>, OpenError> {
    let mut bytes = input.to_vec();
    let result = open(&mut bytes, &Identities::parse(IDENTITY.as_bytes()).unwrap()).map(|plain| plain.to_vec());
    if result.is_err() && !input.windows(MARK.len()).any(|window| window == MARK) {
        assert!(!bytes.windows(MARK.len()).any(|window| window == MARK), "plaintext is left");
    }
    result
}

/// The published vectors that are not compressed.
fn vectors() -> Vec<Vec<u8>> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors");
    let mut paths: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let contents = paths.iter().map(|path| std::fs::read(path).unwrap());
    let files = contents.filter_map(|content| {
        let end = content.windows(2).position(|pair| pair == b"\n\n")?;
        let is_compressed = content[..end].windows(10).any(|window| window == b"compressed");
        (!is_compressed).then(|| content[end + 2..].to_vec())
    });
    files.collect()
}

#[test]
fn what_the_sealer_writes_is_opened() {
    for length in [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 1024 * 1024] {
        assert!(opened(&sealed(&plain(length))) == Ok(plain(length)), "{length}");
    }
}

#[test]
fn mutated_files() {
    let lengths = [0, 1, 200, 5_000];
    let corpus = lengths.map(|length| sealed(&plain(length)));
    run("mutated_files", 20_000, |random| {
        let input = random.mutated(&corpus);
        if let Ok(opened) = opened(&input) {
            let is_sealed = lengths.contains(&opened.len()) && opened == plain(opened.len());
            assert!(is_sealed, "a changed file opens: {input:?}");
        }
    });
}

#[test]
fn mutated_vectors() {
    // what becomes of one may be valid: some wrong ones consist of valid parts, and all have one file key
    let corpus = vectors();
    run("mutated_vectors", 20_000, |random| drop(opened(&random.mutated(&corpus))));
}

#[test]
fn any_stanzas_under_a_valid_mac() {
    let whole = plain(100);
    let chunks = [chunk(0, true, &whole)];
    let corpus = [
        stanza(),
        [&stanza()[..], b"-> grease a b\n\n"].concat(),
        [b"-> X25519 x\n", &[b'A'; 64][..], b"\n\n", &stanza()].concat(),
        [&b"-> scrypt AAAA 18\n"[..], &[b'A'; 43], b"\n", &stanza()].concat(),
    ];
    run("any_stanzas_under_a_valid_mac", 20_000, |random| {
        let input = file(&header(&random.mutated(&corpus)), &chunks);
        if let Ok(opened) = opened(&input) {
            assert_eq!(opened, whole);
        }
    });
}

#[test]
fn any_chunks_under_a_valid_header() {
    let header = header(&stanza());
    run("any_chunks_under_a_valid_header", 1_000, |random| {
        let count = 1 + random.below(4);
        let chunks: Vec<_> = (0..count)
            .map(|place| {
                // now and then each of number, mark and length is not as it should be
                let mut is_wrong = || random.below(6) == 0;
                let number = if is_wrong() { place ^ 1 } else { place };
                let is_last = is_wrong() != (place + 1 == count);
                let is_full = is_wrong() != (place + 1 < count);
                let length = if is_full { CHUNK } else { *random.choose(&[0, 1, 1_000, CHUNK - 1, CHUNK]) };
                chunk(number as u64, is_last, &plain(length))
            })
            .collect();
        let mut input = file(&header, &chunks);
        if random.below(4) == 0 {
            input.truncate(input.len() - random.below(CHUNK + 40).min(input.len()));
        }
        check_chunks(random, &input, &chunks);
    });
}

/// Chunks open only if all but the last are full, in order and unmarked, and the last is marked.
fn check_chunks(random: &mut Random, input: &[u8], chunks: &[Vec<u8>]) {
    let Ok(opened) = opened(input) else { return };
    assert!(chunks.len() == 1 || chunks.last().is_some_and(|last| last.len() > 16), "an empty last chunk opens");
    assert_eq!(opened.len() + 16 * chunks.len(), chunks.iter().map(Vec::len).sum::<usize>());
    let parts: Vec<&[u8]> = opened.chunks(CHUNK).collect();
    let expected = (0..chunks.len()).map(|number| {
        let part = parts.get(number).copied().unwrap_or_default();
        chunk(number as u64, number + 1 == chunks.len(), part)
    });
    assert!(expected.eq(chunks.iter().cloned()), "chunks out of order open");
    // and not with a byte more
    let more = [input, &random.bytes(1)].concat();
    assert_eq!(self::opened(&more), Err(OpenError::Payload));
}

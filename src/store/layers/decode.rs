//! Owns the decompression of layers. The first bytes tell the compression, since media types are not reliable.

use std::io::{self, BufRead, BufReader, Read};

use flate2::bufread::MultiGzDecoder;
use ruzstd::decoding::StreamingDecoder;

use super::members::Skip;
use crate::runtime::blocking::{Cancel, CancelReader};
use crate::runtime::bounded;
use crate::store::layers::blob::FileRange;

const GZIP: [u8; 2] = [0x1f, 0x8b];
const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
const XZ: [u8; 6] = [0xfd, b'7', b'z', b'X', b'Z', 0];
const BZIP2: [u8; 3] = *b"BZh";
/// The most bytes that zstd may unpack to for each of its own (the maximum of gzip), and in any case.
const MOST_EXPANSION: u64 = 1100;
const ALWAYS_ALLOWED: u64 = 64 << 20;
/// The size of the input buffer.
const BUFFER: usize = 128 * 1024;

/// Why compressed bytes are not read, inside an `io::Error`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum DecodeError {
    #[error("it is compressed with {0}, which secretbake does not read")]
    Compression(&'static str),
    #[error("it unpacks to more than {MOST_EXPANSION} times its size")]
    Expansion,
}

impl DecodeError {
    /// Finds it in a reader's error.
    pub(crate) fn find(error: &io::Error) -> Option<Self> {
        error.get_ref()?.downcast_ref().copied()
    }
}

/// A layer's tar.
pub(crate) enum Decoded {
    /// Not compressed: skipped content is not read.
    Plain(FileRange),
    Gzip(Box<MultiGzDecoder<BufReader<CancelReader<FileRange>>>>),
    Zstd(Box<Zstd<BufReader<CancelReader<FileRange>>>>),
}

/// Opens a layer.
pub(crate) fn decode(mut piece: FileRange, cancel: &Cancel) -> io::Result<Decoded> {
    let magic = bounded::read_start(&mut piece, 6)?;
    let piece = piece.rewound();
    let reader = |piece| BufReader::with_capacity(BUFFER, cancel.reader(piece));
    Ok(if magic.starts_with(&GZIP) {
        Decoded::Gzip(Box::new(MultiGzDecoder::new(reader(piece))))
    } else if magic.starts_with(&ZSTD) || is_skippable(&magic) {
        let left = piece.size().saturating_mul(MOST_EXPANSION).saturating_add(ALWAYS_ALLOWED);
        Decoded::Zstd(Box::new(Zstd { input: Some(reader(piece)), frame: None, left }))
    } else if magic.starts_with(&XZ) {
        return Err(io::Error::other(DecodeError::Compression("xz")));
    } else if magic.starts_with(&BZIP2) {
        return Err(io::Error::other(DecodeError::Compression("bzip2")));
    } else {
        Decoded::Plain(piece)
    })
}

/// Tells whether a zstd frame has no data of the layer, like the table of contents of `zstd:chunked`.
fn is_skippable(magic: &[u8]) -> bool {
    matches!(magic, [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..])
}

impl Read for Decoded {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Decoded::Plain(reader) => reader.read(buffer),
            Decoded::Gzip(reader) => reader.read(buffer),
            Decoded::Zstd(reader) => reader.read(buffer),
        }
    }
}

impl Skip for Decoded {
    fn skip(&mut self, bytes: u64) -> io::Result<()> {
        match self {
            Decoded::Plain(reader) => reader.skip(bytes),
            compressed => match bounded::skip(compressed, bytes)? {
                read if read == bytes => Ok(()),
                _ => Err(io::ErrorKind::UnexpectedEof.into()),
            },
        }
    }
}

/// A reader of consecutive zstd frames.
pub(crate) struct Zstd<R: BufRead> {
    /// The input between two frames.
    input: Option<R>,
    frame: Option<StreamingDecoder<R, ruzstd::decoding::FrameDecoder>>,
    /// How many bytes it may still unpack to.
    left: u64,
}

impl<R: BufRead> Read for Zstd<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if let Some(frame) = &mut self.frame {
                let read = frame.read(buffer)?;
                if read > 0 || buffer.is_empty() {
                    let left = self.left.checked_sub(read as u64);
                    self.left = left.ok_or_else(|| io::Error::other(DecodeError::Expansion))?;
                    return Ok(read);
                }
                self.input = self.frame.take().map(StreamingDecoder::into_inner);
            }
            // none after an error, which was reported
            let Some(mut input) = self.input.take() else { return Ok(0) };
            if !next_frame(&mut input)? {
                return Ok(0);
            }
            self.frame = Some(StreamingDecoder::new(input).map_err(io::Error::other)?);
        }
    }
}

/// Skips frames without data, up to the next frame's magic; false at the end of the input.
fn next_frame(input: &mut impl BufRead) -> io::Result<bool> {
    loop {
        let ahead = input.fill_buf()?;
        if ahead.is_empty() {
            return Ok(false);
        }
        // the buffer may end within the magic: its first byte tells the two kinds of frames apart
        if ahead[0] & 0xf0 != 0x50 {
            return Ok(true);
        }
        let mut header = [0; 8];
        input.read_exact(&mut header)?;
        if !is_skippable(&header[..4]) {
            return Err(io::Error::other("not a zstd frame"));
        }
        let size = u64::from(u32::from_le_bytes([header[4], header[5], header[6], header[7]]));
        if bounded::skip(input.by_ref(), size)? != size {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::sync::Arc;

    use super::*;

    fn text(stored: &[u8]) -> io::Result<String> {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(stored).unwrap();
        let mut decoded = decode(FileRange::whole(Arc::new(file)).unwrap(), &Cancel::default())?;
        let mut text = String::new();
        decoded.read_to_string(&mut text).map(|_| text)
    }

    fn gzip(text: &str) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(text.as_bytes()).unwrap();
        encoder.finish().unwrap()
    }

    fn zstd(text: &str) -> Vec<u8> {
        ruzstd::encoding::compress_to_vec(text.as_bytes(), ruzstd::encoding::CompressionLevel::Fastest)
    }

    #[test]
    fn the_first_bytes_say_how_a_layer_is_compressed() {
        assert_eq!(text(b"plain").unwrap(), "plain");
        assert_eq!(text(b"").unwrap(), "");
        assert_eq!(text(&[gzip("one "), gzip("two")].concat()).unwrap(), "one two");
        assert_eq!(text(&zstd("frame")).unwrap(), "frame");
        let skippable = [0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3];
        assert_eq!(
            text(&[&skippable[..], &zstd("one "), &skippable, &zstd("two"), &skippable].concat()).unwrap(),
            "one two"
        );
    }

    #[test]
    fn a_compression_that_is_not_read_is_named_and_a_bomb_is_refused() {
        let said = |stored: &[u8]| text(stored).unwrap_err().to_string();
        assert_eq!(said(b"\xfd7zXZ\0\0\x04"), "it is compressed with xz, which secretbake does not read");
        assert_eq!(said(b"BZh91AY&SY"), "it is compressed with bzip2, which secretbake does not read");
        // a frame of blocks that each repeat one byte 128 KiB long
        let mut bomb = vec![0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x58];
        let block = |last: u32| (last | 1 << 1 | (128 * 1024) << 3).to_le_bytes();
        for _ in 0..1024 {
            bomb.extend_from_slice(&block(0)[..3]);
            bomb.push(0);
        }
        bomb.extend_from_slice(&block(1)[..3]);
        bomb.push(0);
        assert_eq!(said(&bomb), "it unpacks to more than 1100 times its size");
    }

    #[test]
    fn a_truncated_layer_is_an_error() {
        for stored in [gzip("some text"), zstd("some text")] {
            assert!(text(&stored[..stored.len() - 1]).is_err());
        }
        assert!(text(&[0x28, 0xb5, 0x2f, 0xfd, 0xff, 0xff]).is_err());
    }
}

//! Owns the decompression of layers. The first bytes tell the compression, since media types are not reliable.

use std::io::{self, BufRead, BufReader, Read};

use bzip2::bufread::MultiBzDecoder;
use flate2::bufread::MultiGzDecoder;
use lzma_rust2::XzReader;
use ruzstd::decoding::StreamingDecoder;

use super::members::{Forward, Skip};
use crate::runtime::blocking::{Cancel, CancelReader};
use crate::runtime::bounded;
use crate::store::layers::blob::FileRange;

const GZIP: [u8; 2] = [0x1f, 0x8b];
const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
const XZ: [u8; 6] = [0xfd, b'7', b'z', b'X', b'Z', 0];
const BZIP2: [u8; 3] = *b"BZh";
/// The most bytes that zstd, xz and bzip2 may unpack to for each of their own (the maximum of gzip), and in any case.
const MOST_EXPANSION: u64 = 1100;
const ALWAYS_ALLOWED: u64 = 64 << 20;
/// The most memory that an xz file may need, in KiB: `xz -9` needs a quarter of it.
const MOST_XZ_MEMORY: u32 = 256 << 10;
/// The size of the input buffer.
const BUFFER: usize = 128 * 1024;

/// Why compressed bytes are not read, inside an `io::Error`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum DecodeError {
    #[error("it unpacks to more than {MOST_EXPANSION} times its size")]
    Expansion,
    #[error("its xz compression needs more than {} MiB of memory", MOST_XZ_MEMORY >> 10)]
    Memory,
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
    Xz(Box<Limited<XzReader<BufReader<CancelReader<FileRange>>>>>),
    Bzip2(Box<Limited<MultiBzDecoder<BufReader<CancelReader<FileRange>>>>>),
}

/// Opens a layer.
pub(crate) fn decode(mut piece: FileRange, cancel: &Cancel) -> io::Result<Decoded> {
    let magic = bounded::read_start(&mut piece, 6)?;
    let piece = piece.rewound();
    let left = piece.size().saturating_mul(MOST_EXPANSION).saturating_add(ALWAYS_ALLOWED);
    let reader = |piece| BufReader::with_capacity(BUFFER, cancel.reader(piece));
    Ok(if magic.starts_with(&GZIP) {
        Decoded::Gzip(Box::new(MultiGzDecoder::new(reader(piece))))
    } else if magic.starts_with(&ZSTD) || is_skippable(&magic) {
        Decoded::Zstd(Box::new(Zstd { input: Some(reader(piece)), frame: None, left }))
    } else if magic.starts_with(&XZ) {
        let reader = XzReader::new_mem_limit(reader(piece), true, MOST_XZ_MEMORY);
        Decoded::Xz(Box::new(Limited { reader: Some(reader), left }))
    } else if magic.starts_with(&BZIP2) {
        Decoded::Bzip2(Box::new(Limited { reader: Some(MultiBzDecoder::new(reader(piece))), left }))
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
            Decoded::Xz(reader) => reader.read(buffer).map_err(|error| match error.kind() {
                io::ErrorKind::OutOfMemory => io::Error::other(DecodeError::Memory),
                _ => error,
            }),
            Decoded::Bzip2(reader) => reader.read(buffer),
        }
    }
}

impl Skip for Decoded {
    fn skip(&mut self, bytes: u64) -> io::Result<()> {
        match self {
            Decoded::Plain(reader) => reader.skip(bytes),
            compressed => Forward(compressed).skip(bytes),
        }
    }
}

/// A decompressor that may give only so many bytes, and is not asked again after an error.
pub(crate) struct Limited<R> {
    reader: Option<R>,
    left: u64,
}

impl<R: Read> Read for Limited<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(reader) = &mut self.reader else { return Ok(0) };
        let read = reader.read(buffer).and_then(|read| {
            let left = self.left.checked_sub(read as u64);
            self.left = left.ok_or_else(|| io::Error::other(DecodeError::Expansion))?;
            Ok(read)
        });
        if matches!(&read, Err(error) if error.kind() != io::ErrorKind::Interrupted) {
            self.reader = None;
        }
        read
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

    fn bzip2(text: &str) -> Vec<u8> {
        let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
        encoder.write_all(text.as_bytes()).unwrap();
        encoder.finish().unwrap()
    }

    fn crc32(bytes: &[u8]) -> u32 {
        let mut checksum = flate2::Crc::new();
        checksum.update(bytes);
        checksum.sum()
    }

    /// What `printf 'some text' | xz` writes.
    const XZ_TEXT: &[u8] = &[
        0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00, 0x00, 0x04, 0xe6, 0xd6, 0xb4, 0x46, 0x02, 0x00, 0x21, 0x01, 0x16, 0x00,
        0x00, 0x00, 0x74, 0x2f, 0xe5, 0xa3, 0x01, 0x00, 0x08, 0x73, 0x6f, 0x6d, 0x65, 0x20, 0x74, 0x65, 0x78, 0x74,
        0x00, 0x00, 0x00, 0x00, 0x91, 0x80, 0x54, 0x63, 0xbb, 0x2f, 0x70, 0xaf, 0x00, 0x01, 0x21, 0x09, 0x6c, 0x18,
        0xc5, 0xd5, 0x1f, 0xb6, 0xf3, 0x7d, 0x01, 0x00, 0x00, 0x00, 0x00, 0x04, 0x59, 0x5a,
    ];

    #[test]
    fn the_first_bytes_say_how_a_layer_is_compressed() {
        assert_eq!(text(b"plain").unwrap(), "plain");
        assert_eq!(text(b"").unwrap(), "");
        assert_eq!(text(&[gzip("one "), gzip("two")].concat()).unwrap(), "one two");
        assert_eq!(text(&zstd("frame")).unwrap(), "frame");
        assert_eq!(text(&[bzip2("one "), bzip2("two")].concat()).unwrap(), "one two");
        assert_eq!(text(&[XZ_TEXT, XZ_TEXT].concat()).unwrap(), "some textsome text");
        let skippable = [0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3];
        assert_eq!(
            text(&[&skippable[..], &zstd("one "), &skippable, &zstd("two"), &skippable].concat()).unwrap(),
            "one two"
        );
    }

    #[test]
    fn a_bomb_is_refused() {
        let said = |stored: &[u8]| text(stored).unwrap_err().to_string();
        assert_eq!(said(&bzip2(&"0".repeat(80 << 20))), "it unpacks to more than 1100 times its size");
        // an xz block that asks for a dictionary of 4 GiB
        let mut greedy = XZ_TEXT.to_vec();
        greedy[16] = 40;
        let checksum = crc32(&greedy[12..20]);
        greedy[20..24].copy_from_slice(&checksum.to_le_bytes());
        assert_eq!(said(&greedy), "its xz compression needs more than 256 MiB of memory");
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
        for stored in [gzip("some text"), zstd("some text"), bzip2("some text"), XZ_TEXT.to_vec()] {
            assert!(text(&stored[..stored.len() - 1]).is_err());
        }
        assert!(text(&[0x28, 0xb5, 0x2f, 0xfd, 0xff, 0xff]).is_err());
    }
}

//! Owns layers: tars with fixed times and order, so that the same files give the same bytes.

use std::io::Write as _;

use super::digest::Digest;
use crate::secret::{SecretBuffer, SecretBytes};

/// A new layer.
#[derive(Clone)]
pub struct Layer {
    /// The digest of the tar.
    pub diff_id: Digest,
    /// The compressed tar, which is stored.
    pub gzip: SecretBytes,
    /// The digest of `gzip`.
    pub digest: Digest,
    /// Its line in the image's history.
    pub created_by: &'static str,
}

/// The owner and the mode of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ownership {
    pub uid: u32,
    pub gid: u32,
    /// Permission bits.
    pub mode: u32,
}

impl Ownership {
    /// Takes the fields of a tar header. An ID over 32 bits becomes 2^32 - 2, which nobody has.
    pub fn from_header(uid: u64, gid: u64, mode: u32) -> Self {
        let id = |id: u64| u32::try_from(id).unwrap_or(u32::MAX - 1);
        Ownership { uid: id(uid), gid: id(gid), mode: mode & 0o7777 }
    }
}

/// A parent directory of new files. It is in the layer with its owner and mode in the base, since some engines would otherwise re-create it
/// as root's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Directory {
    /// Absolute, without a trailing slash.
    pub path: String,
    pub owned: Ownership,
    /// Seconds since 1970.
    pub modified: u64,
}

/// A new file.
pub struct NewFile<'a> {
    /// Absolute.
    pub path: &'a str,
    pub owned: Ownership,
    pub content: &'a SecretBytes,
}

const BLOCK: usize = 512;
/// The most that a stored block of deflate holds.
const STORED: usize = 65_535;

impl Layer {
    /// Compresses a tar into a layer.
    pub fn new(tar: &SecretBytes, created_by: &'static str) -> Self {
        let gzip = gzip(tar.expose());
        Layer { diff_id: Digest::of(tar.expose()), digest: Digest::of(gzip.expose()), gzip, created_by }
    }
}

/// Writes a layer: first the directories, then the files, both in the order given. A file's time is 1970-01-01. Fails if a path does not
/// fit into a tar.
pub fn write(directories: &[Directory], files: &[NewFile<'_>], created_by: &'static str) -> std::io::Result<Layer> {
    let content: usize = files.iter().map(|file| file.content.len() + 4 * BLOCK).sum();
    let mut tar = tar::Builder::new(SecretBuffer::with_capacity(content + directories.len() * 3 * BLOCK + 2 * BLOCK));
    for directory in directories {
        let mut header = header(tar::EntryType::Directory, directory.owned, 0);
        header.set_mtime(portable_time(directory.modified));
        tar.append_data(&mut header, format!("{}/", &directory.path[1..]), std::io::empty())?;
    }
    for file in files {
        let mut header = header(tar::EntryType::Regular, file.owned, file.content.len() as u64);
        tar.append_data(&mut header, &file.path[1..], file.content.expose())?;
    }
    let mut buffer = tar.into_inner()?;
    buffer.flush()?;
    Ok(Layer::new(&buffer.finish(), created_by))
}

/// Wraps bytes in gzip without compression (RFC 1951, stored blocks; RFC 1952 without a time). Registries require the media type, and
/// another version of a compressor would change every digest.
fn gzip(bytes: &[u8]) -> SecretBytes {
    let mut checksum = flate2::Crc::new();
    checksum.update(bytes);
    let mut gzip = SecretBuffer::with_capacity(bytes.len() + 5 * (bytes.len() / STORED + 1) + 18);
    gzip.push(&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff]);
    let mut rest = bytes;
    loop {
        let (block, after) = rest.split_at(rest.len().min(STORED));
        let length = u16::try_from(block.len()).unwrap_or(u16::MAX);
        gzip.push(&[u8::from(after.is_empty())]);
        gzip.push(&length.to_le_bytes());
        gzip.push(&(!length).to_le_bytes());
        gzip.push(block);
        rest = after;
        if rest.is_empty() {
            break;
        }
    }
    gzip.push(&checksum.sum().to_le_bytes());
    gzip.push(&checksum.amount().to_le_bytes());
    gzip.finish()
}

/// Returns a time that every engine reads from a tar header. Times before 1970 (close to 2^64 as unsigned numbers) and after 2242 (over
/// eleven octal digits) become 1970.
fn portable_time(modified: u64) -> u64 {
    const LAST: u64 = 0o777_7777_7777;
    if modified > LAST { 0 } else { modified }
}

fn header(kind: tar::EntryType, owned: Ownership, size: u64) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_uid(u64::from(owned.uid));
    header.set_gid(u64::from(owned.gid));
    header.set_mode(owned.mode);
    header.set_mtime(0);
    header.set_size(size);
    header
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_or_an_id_that_no_header_carries_is_replaced() {
        for (modified, written) in [
            (0, 0),
            (1_700_000_000, 1_700_000_000),
            (0o777_7777_7777, 0o777_7777_7777),
            (0o100_000_000_000, 0),
            ((-1_i64).cast_unsigned(), 0),
            // Go's zero time
            ((-62_135_596_800_i64).cast_unsigned(), 0),
            (i64::MIN.cast_unsigned(), 0),
        ] {
            assert_eq!(portable_time(modified), written, "{modified}");
        }
        let nobody = u32::MAX - 1;
        assert_eq!(
            Ownership::from_header(1 << 32, u64::MAX, 0o104_755),
            Ownership { uid: nobody, gid: nobody, mode: 0o4755 }
        );
        assert_eq!(Ownership::from_header(3_000_000, 7, 0o644), Ownership { uid: 3_000_000, gid: 7, mode: 0o644 });
    }

    #[test]
    fn a_layer_is_gzip_that_no_compressor_s_version_changes() {
        assert_eq!(
            gzip(b"abc").expose(),
            b"\x1f\x8b\x08\0\0\0\0\0\0\xff\x01\x03\0\xfc\xffabc\xc2\x41\x24\x35\x03\0\0\0"
        );
        for length in [0, 1, STORED, STORED + 1, 3 * STORED] {
            let bytes: Vec<u8> = (0..=255).cycle().take(length).collect();
            let mut unpacked = Vec::new();
            let gzip = gzip(&bytes);
            std::io::copy(&mut flate2::read::GzDecoder::new(gzip.expose()), &mut unpacked).unwrap();
            assert!(unpacked == bytes, "{length}");
        }
    }

    #[test]
    fn the_same_files_give_the_same_bytes() {
        let content = SecretBytes::from("value".to_owned());
        let owned = Ownership { uid: 1000, gid: 0, mode: 0o440 };
        let directory = Directory { path: "/a".into(), owned: Ownership { uid: 0, gid: 0, mode: 0o755 }, modified: 0 };
        let long = format!("/a/{}", "b".repeat(200));
        let layer = || {
            let files =
                [NewFile { path: "/a/b", owned, content: &content }, NewFile { path: &long, owned, content: &content }];
            write(std::slice::from_ref(&directory), &files, "test").unwrap()
        };
        assert_eq!(layer().diff_id, layer().diff_id);

        let layer = layer();
        let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(layer.gzip.expose()));
        let entries: Vec<(String, u32, u64, u64)> = archive
            .entries()
            .unwrap()
            .map(|entry| {
                let entry = entry.unwrap();
                let header = entry.header();
                let path = entry.path().unwrap().display().to_string();
                (path, header.mode().unwrap(), header.uid().unwrap(), header.mtime().unwrap())
            })
            .collect();
        assert_eq!(
            entries,
            [("a/".into(), 0o755, 0, 0), ("a/b".into(), 0o440, 1000, 0), (long[1..].into(), 0o440, 1000, 0)]
        );
    }
}

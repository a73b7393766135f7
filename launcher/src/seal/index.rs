//! The sealed files: the bytes of `/.secretbake/sealed/index`, proven well-formed.
//!
//! Owns the format: `MODE UID GID PATH` and NUL for each file, the mode in octal, the path absolute. `-` for an
//! ID is whoever the container runs as, who may not give a file away. The ciphertext of the file
//! at position `K`, counted from 0, is `/.secretbake/sealed/K`.

use core::ffi::CStr;

/// The path of the index in an image. Without it, no file is sealed.
pub const PATH: &CStr = c"/.secretbake/sealed/index";

/// The directory of the ciphertexts.
const DIRECTORY: &[u8] = b"/.secretbake/sealed/";

/// Well-formed content of the index.
#[derive(Clone, Copy, Debug)]
pub struct Index<'a> {
    bytes: &'a [u8],
    count: usize,
}

/// Where a file goes, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SealedFile<'a> {
    /// The permission bits.
    pub mode: u32,
    /// The owner; `None` for the user that the container runs as.
    pub uid: Option<u32>,
    /// The group; `None` for the one that the container runs in.
    pub gid: Option<u32>,
    /// The absolute path.
    pub path: &'a CStr,
}

/// The path of a ciphertext, ended by NUL.
#[derive(Clone, Copy, Debug)]
pub struct CiphertextPath {
    bytes: [u8; 48],
}

/// The record, counted from 1, that is not well-formed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MalformedRecord(pub usize);

impl<'a> Index<'a> {
    /// Checks every record.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, MalformedRecord> {
        let mut count = 0;
        for record in records(bytes) {
            count += 1;
            SealedFile::parse(record).ok_or(MalformedRecord(count))?;
        }
        Ok(Self { bytes, count })
    }

    /// Returns the number of files.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Returns the files in order.
    pub fn files(&self) -> impl Iterator<Item = SealedFile<'a>> + use<'a> {
        records(self.bytes).filter_map(SealedFile::parse)
    }
}

impl<'a> SealedFile<'a> {
    fn parse(record: &'a [u8]) -> Option<Self> {
        let mut fields = record.splitn(4, |byte| *byte == b' ');
        let mode = number(fields.next()?, 8).filter(|mode| *mode <= 0o7777)?;
        let (uid, gid) = (id(fields.next()?)?, id(fields.next()?)?);
        let path = CStr::from_bytes_with_nul(fields.next()?).ok()?;
        let is_file = path.to_bytes().starts_with(b"/") && !path.to_bytes().ends_with(b"/");
        is_file.then_some(Self { mode, uid, gid, path })
    }

    /// Returns the directory that the file is in, without a slash at its end unless it is the root.
    pub fn directory(&self) -> &'a [u8] {
        directory(self.path.to_bytes())
    }
}

impl CiphertextPath {
    /// Returns the path of the ciphertext at this position.
    pub fn new(position: usize) -> Self {
        let mut bytes = [0; 48];
        bytes[..DIRECTORY.len()].copy_from_slice(DIRECTORY);
        let mut digits = crate::line::Line::new();
        let digits = digits.push_number(position).as_bytes();
        bytes[DIRECTORY.len()..][..digits.len()].copy_from_slice(digits);
        Self { bytes }
    }

    /// Returns the path.
    pub fn as_c_str(&self) -> &CStr {
        CStr::from_bytes_until_nul(&self.bytes).unwrap_or_default()
    }
}

/// Returns the directory of an absolute path.
pub(super) fn directory(path: &[u8]) -> &[u8] {
    match path.iter().rposition(|byte| *byte == b'/') {
        None | Some(0) => b"/",
        Some(end) => &path[..end],
    }
}

fn records(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    bytes.split_inclusive(|byte| *byte == 0)
}

/// Reads the ID of a user or group; `-` is whoever the container runs as.
fn id(text: &[u8]) -> Option<Option<u32>> {
    match text {
        b"-" => Some(None),
        // the kernel takes the highest number for "unchanged"
        digits => number(digits, 10).filter(|id| *id < u32::MAX).map(Some),
    }
}

fn number(digits: &[u8], radix: u32) -> Option<u32> {
    let is_digits = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    str::from_utf8(digits).ok().filter(|_| is_digits).and_then(|digits| u32::from_str_radix(digits, radix).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(bytes: &[u8]) -> Result<Vec<SealedFile<'_>>, MalformedRecord> {
        let index = Index::parse(bytes)?;
        let files: Vec<_> = index.files().collect();
        assert_eq!(files.len(), index.count());
        Ok(files)
    }

    #[test]
    fn each_record_is_a_file() {
        assert_eq!(parsed(b""), Ok(vec![]));
        assert_eq!(
            parsed(b"400 1000 0 /app/tls/server.pem\x00640 0 7 /a b\0"),
            Ok(vec![
                SealedFile { mode: 0o400, uid: Some(1000), gid: Some(0), path: c"/app/tls/server.pem" },
                SealedFile { mode: 0o640, uid: Some(0), gid: Some(7), path: c"/a b" },
            ])
        );
        assert_eq!(
            parsed(b"440 - - /a\x00440 5 - /b\0"),
            Ok(vec![
                SealedFile { mode: 0o440, uid: None, gid: None, path: c"/a" },
                SealedFile { mode: 0o440, uid: Some(5), gid: None, path: c"/b" },
            ])
        );
    }

    #[test]
    fn a_malformed_record_is_named() {
        let records: [&[u8]; 12] = [
            b"400 0 0 /a",
            b"400 0 0 a\0",
            b"400 0 0 /a/\0",
            b"400 0 0 \0",
            b"400 0 /a\0",
            b"800 0 0 /a\0",
            b"10000 0 0 /a\0",
            b"400 -1 0 /a\0",
            b"400 +1 0 /a\0",
            b"400 0 4294967295 /a\0",
            b"400 0  /a\0",
            b"\0",
        ];
        for record in records {
            let bytes = [b"400 0 0 /ok\0", record].concat();
            assert_eq!(parsed(&bytes), Err(MalformedRecord(2)), "{}", String::from_utf8_lossy(record));
        }
    }

    #[test]
    fn a_file_is_in_its_directory() {
        for (path, expected) in [("/a", "/"), ("/app/a", "/app"), ("/app/tls/a", "/app/tls"), ("/a//b", "/a/")] {
            let bytes = [b"400 0 0 ", path.as_bytes(), b"\0"].concat();
            assert_eq!(parsed(&bytes).unwrap()[0].directory(), expected.as_bytes(), "{path}");
        }
    }

    #[test]
    fn a_ciphertext_is_found_by_its_position() {
        assert_eq!(CiphertextPath::new(0).as_c_str(), c"/.secretbake/sealed/0");
        assert_eq!(CiphertextPath::new(120).as_c_str(), c"/.secretbake/sealed/120");
        assert_eq!(CiphertextPath::new(usize::MAX).as_c_str(), c"/.secretbake/sealed/18446744073709551615");
    }
}

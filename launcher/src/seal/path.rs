//! The paths that writing a file needs besides its own: its directories, and a name to write it under first.
//!
//! Owns their spelling. Must not touch the file system.

use super::index::directory;
use core::ffi::CStr;

/// The kernel's `PATH_MAX`, the final NUL included.
const PATH_MAX: usize = 4096;

/// What a file is called while it is written, before 16 hexadecimal digits.
const TEMPORARY: &[u8] = b"/.secretbake-";

/// A path made of parts, ended by NUL.
#[derive(Debug)]
pub struct PathBuffer {
    bytes: [u8; PATH_MAX],
}

impl PathBuffer {
    /// Returns the path of a file's temporary name, in its own directory; `None` if it is too long for the kernel.
    pub fn temporary(path: &CStr, random: [u8; 8]) -> Option<Self> {
        let hexadecimal = |digit: u8| b"0123456789abcdef"[usize::from(digit & 15)];
        let mut digits = [0; 16];
        for (pair, byte) in digits.chunks_exact_mut(2).zip(random) {
            pair.copy_from_slice(&[hexadecimal(byte >> 4), hexadecimal(byte)]);
        }
        let directory = directory(path.to_bytes());
        Self::concat(&[if directory == b"/" { b"" } else { directory }, TEMPORARY, &digits])
    }

    /// Returns the path.
    pub fn as_c_str(&self) -> &CStr {
        CStr::from_bytes_until_nul(&self.bytes).unwrap_or_default()
    }

    fn concat(parts: &[&[u8]]) -> Option<Self> {
        let mut bytes = [0; PATH_MAX];
        let mut length = 0;
        for part in parts {
            bytes.get_mut(length..length + part.len())?.copy_from_slice(part);
            length += part.len();
        }
        (length < PATH_MAX).then_some(Self { bytes })
    }
}

/// Calls `make` with each directory above a file, the highest first, until it fails.
pub fn for_each_directory<E>(path: &CStr, mut make: impl FnMut(&CStr) -> Result<(), E>) -> Result<(), E> {
    let path = path.to_bytes();
    for (end, _) in path.iter().enumerate().skip(1).filter(|(_, byte)| **byte == b'/') {
        if let Some(directory) = PathBuffer::concat(&[&path[..end]]) {
            make(directory.as_c_str())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_temporary_name_is_in_the_same_directory() {
        let temporary = |path| PathBuffer::temporary(path, [0, 1, 0x23, 0xff, 4, 5, 6, 7]);
        let named = |path| temporary(path).unwrap().as_c_str().to_owned();
        assert_eq!(&*named(c"/app/key"), c"/app/.secretbake-000123ff04050607");
        assert_eq!(&*named(c"/key"), c"/.secretbake-000123ff04050607");
        // with its NUL, a path of 4,096 bytes is the longest
        let in_directory = |length| std::ffi::CString::new(format!("/{}/k", "x".repeat(length - 1))).unwrap();
        let longest = in_directory(4_095 - "/.secretbake-000123ff04050607".len());
        assert_eq!(named(&longest).as_bytes().len(), 4_095);
        assert!(temporary(&in_directory(4_096 - "/.secretbake-000123ff04050607".len())).is_none());
    }

    #[test]
    fn directories_are_made_from_the_top_until_one_fails() {
        let made = |path, fails: &CStr| {
            let mut asked = Vec::new();
            let result = for_each_directory(path, |directory| {
                asked.push(directory.to_str().unwrap().to_owned());
                if directory == fails { Err(()) } else { Ok(()) }
            });
            (asked, result)
        };
        assert_eq!(made(c"/a/b/key", c""), (vec!["/a".to_owned(), "/a/b".to_owned()], Ok(())));
        assert_eq!(made(c"/a/b/key", c"/a"), (vec!["/a".to_owned()], Err(())));
        assert_eq!(made(c"/key", c""), (vec![], Ok(())));
    }
}

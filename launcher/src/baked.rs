//! The baked variables: the bytes of `/.secretbake/env`, proven well-formed.
//!
//! Owns the format. Must not copy a value or put one into an error.

use core::ffi::CStr;

/// The path of the file in an image, ending in NUL for the kernel.
pub const PATH: &CStr = c"/.secretbake/env";

/// Well-formed content of the env file: `KEY=VALUE` entries, each ended by one NUL.
#[derive(Clone, Copy, Debug)]
pub struct Baked<'a> {
    bytes: &'a [u8],
    count: usize,
}

/// Why content is not a valid env file; entries are counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// The last byte is not NUL, so the last value may have been cut short.
    NoFinalNul,
    /// The entry has no `=`.
    NoEquals(usize),
    /// The entry begins with `=`.
    NoName(usize),
}

impl<'a> Baked<'a> {
    /// Checks every entry; empty content is an env file without variables.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Malformed> {
        if bytes.last().is_some_and(|last| *last != 0) {
            return Err(Malformed::NoFinalNul);
        }
        let mut count = 0;
        for entry in entries(bytes) {
            count += 1;
            match entry.to_bytes().iter().position(|byte| *byte == b'=') {
                None => return Err(Malformed::NoEquals(count)),
                Some(0) => return Err(Malformed::NoName(count)),
                Some(_) => {}
            }
        }
        Ok(Self { bytes, count })
    }

    /// Returns the number of entries, duplicates included.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Returns the entries in the file's order, each with its NUL and without a copy.
    pub fn entries(&self) -> impl Iterator<Item = &'a CStr> + use<'a> {
        entries(self.bytes)
    }
}

fn entries(bytes: &[u8]) -> impl Iterator<Item = &CStr> {
    bytes.split_inclusive(|byte| *byte == 0).filter_map(|entry| CStr::from_bytes_with_nul(entry).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(bytes: &[u8]) -> Result<Vec<&CStr>, Malformed> {
        let baked = Baked::parse(bytes)?;
        let entries: Vec<_> = baked.entries().collect();
        assert_eq!(entries.len(), baked.count());
        Ok(entries)
    }

    #[test]
    fn an_empty_file_has_no_variables() {
        assert_eq!(parsed(b""), Ok(vec![]));
    }

    #[test]
    fn values_are_kept_as_they_are() {
        assert_eq!(
            parsed(b"A=1\0EMPTY=\0LINES=a\nb\n\0EQUALS=a=b\0UTF8=\xc3\xa9\0RAW=\xff\0"),
            Ok(vec![c"A=1", c"EMPTY=", c"LINES=a\nb\n", c"EQUALS=a=b", c"UTF8=\xc3\xa9", c"RAW=\xff"])
        );
    }

    #[test]
    fn a_missing_final_nul_is_refused() {
        assert_eq!(parsed(b"A=1\0B=2"), Err(Malformed::NoFinalNul));
        assert_eq!(parsed(b"x"), Err(Malformed::NoFinalNul));
    }

    #[test]
    fn an_entry_needs_a_name_and_an_equals_sign() {
        assert_eq!(parsed(b"A=1\0B\0"), Err(Malformed::NoEquals(2)));
        assert_eq!(parsed(b"A=1\0\0"), Err(Malformed::NoEquals(2)));
        assert_eq!(parsed(b"\0"), Err(Malformed::NoEquals(1)));
        assert_eq!(parsed(b"=1\0"), Err(Malformed::NoName(1)));
    }
}

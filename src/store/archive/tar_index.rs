//! Owns the index of a tar: where the content of each file is. Links are followed inside the tar only.

use std::collections::BTreeMap;
use std::io;

use tar::EntryType;

use crate::image::digest::Digest;
use crate::runtime::blocking::Cancel;
use crate::store::layers::blob::FileRange;
use crate::store::layers::{TarMembers, clean};
use crate::store::oci::Blobs;
use crate::store::oci::archive::member;

/// The most members: an image has a few for each layer.
const MEMBERS: usize = 100_000;
/// The most memory for the names and links of members, in bytes.
const NAMES: usize = 16 << 20;
/// The most links that are followed for one path.
const LINKS: usize = 8;

/// The files and links of a tar, by their path.
#[derive(Debug)]
pub struct TarIndex {
    tar: FileRange,
    members: BTreeMap<Vec<u8>, TarEntry>,
}

#[derive(Debug)]
enum TarEntry {
    File { offset: u64, size: u64 },
    Link(Vec<u8>),
}

impl TarIndex {
    /// Reads the members' headers and skips their content. `InvalidData` means that it is not a tar.
    pub fn read(tar: FileRange, cancel: &Cancel) -> io::Result<Self> {
        let mut members = BTreeMap::new();
        let mut names = 0;
        let mut walk = TarMembers::new(tar.clone().rewound());
        while let Some(member) = walk.next()? {
            cancel.check()?;
            let path = clean(&member.path);
            let place = match member.kind {
                EntryType::Regular | EntryType::Continuous => {
                    TarEntry::File { offset: member.offset, size: member.size }
                }
                EntryType::Link => TarEntry::Link(clean(&member.link)),
                EntryType::Symlink if member.link.starts_with(b"/") => TarEntry::Link(clean(&member.link)),
                EntryType::Symlink => TarEntry::Link(clean(&[&path[..], b"/../", &member.link].concat())),
                _ => continue,
            };
            names += path.len() + member.link.len();
            members.insert(path, place);
            if members.len() > MEMBERS || names > NAMES {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "too many members for an image"));
            }
        }
        if members.is_empty() {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "it is empty"));
        }
        Ok(TarIndex { tar, members })
    }

    /// Opens a file, or returns `None` if the tar does not list it. `UnexpectedEof` means that the tar ends before it.
    pub fn open(&self, path: &str) -> io::Result<Option<FileRange>> {
        let mut path = clean(path.as_bytes());
        for _ in 0..=LINKS {
            match self.members.get(&path) {
                None => return Ok(None),
                Some(TarEntry::Link(target)) => path.clone_from(target),
                Some(&TarEntry::File { offset, size }) => {
                    return self.tar.part(offset, size).map(Some).ok_or_else(|| io::ErrorKind::UnexpectedEof.into());
                }
            }
        }
        Ok(None)
    }

    /// Reads a file of at most `limit` bytes, or returns `None` if the tar does not list it. `InvalidData` means that it is larger.
    pub fn read_file(&self, path: &str, limit: u64) -> io::Result<Option<Vec<u8>>> {
        self.open(path)?.map(|piece| piece.read_all(limit)).transpose()
    }
}

impl Blobs for TarIndex {
    fn open(&self, digest: &Digest) -> io::Result<Option<FileRange>> {
        TarIndex::open(self, &member(digest))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn contents(build: impl FnOnce(&mut tar::Builder<std::fs::File>)) -> TarIndex {
        let mut builder = tar::Builder::new(tempfile::tempfile().unwrap());
        build(&mut builder);
        read(builder).unwrap()
    }

    fn read(builder: tar::Builder<std::fs::File>) -> io::Result<TarIndex> {
        let file = builder.into_inner().unwrap();
        TarIndex::read(FileRange::whole(Arc::new(file)).unwrap(), &Cancel::default())
    }

    #[test]
    fn names_that_would_fill_the_memory_are_refused() {
        let mut builder = tar::Builder::new(tempfile::tempfile().unwrap());
        for number in 0..40 {
            let name = format!("{number}/{}", "x".repeat(1 << 19));
            builder.append_data(&mut header(EntryType::Regular, 0), name, &b""[..]).unwrap();
        }
        assert_eq!(read(builder).err().unwrap().to_string(), "too many members for an image");
    }

    fn header(kind: EntryType, size: u64) -> tar::Header {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_size(size);
        header
    }

    #[test]
    fn links_are_followed_within_the_tar_only() {
        let contents = contents(|tar| {
            tar.append_data(&mut header(EntryType::Regular, 3), "./a/layer.tar", &b"one"[..]).unwrap();
            tar.append_link(&mut header(EntryType::Symlink, 0), "b/layer.tar", "../a/layer.tar").unwrap();
            tar.append_link(&mut header(EntryType::Link, 0), "hard", "b/layer.tar").unwrap();
            tar.append_link(&mut header(EntryType::Symlink, 0), "out", "../../../../etc/passwd").unwrap();
            tar.append_link(&mut header(EntryType::Symlink, 0), "loop", "loop").unwrap();
        });
        let read = |path| contents.read_file(path, 100).unwrap();
        assert_eq!(read("a/layer.tar"), Some(b"one".to_vec()));
        assert_eq!(read("/b/layer.tar"), Some(b"one".to_vec()));
        assert_eq!(read("hard"), Some(b"one".to_vec()));
        for path in ["out", "loop", "../../etc/passwd", "", "none"] {
            assert_eq!(read(path), None, "{path}");
        }
        assert!(contents.read_file("a/layer.tar", 2).is_err());
    }
}

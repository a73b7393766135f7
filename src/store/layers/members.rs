//! Owns the iteration over a tar's members: names in all three formats, and content on request.
//!
//! Unlike the `tar` crate's iterator, it holds at most 1 MiB of a member in memory, even for a malicious name.

use std::io::{self, Read, Seek, SeekFrom};

use tar::{EntryType, Header, PaxExtensions};

use crate::runtime::bounded;
use crate::store::layers::blob::FileRange;

const BLOCK: u64 = 512;
/// The longest name or set of PAX records.
const EXTENSION_LIMIT: u64 = 1024 * 1024;

/// A reader that can skip bytes.
pub(crate) trait Skip: Read {
    /// Skips bytes; `UnexpectedEof` after the end.
    fn skip(&mut self, bytes: u64) -> io::Result<()>;
}

impl Skip for FileRange {
    fn skip(&mut self, bytes: u64) -> io::Result<()> {
        let by = i64::try_from(bytes).map_err(|_| io::ErrorKind::UnexpectedEof)?;
        self.seek(SeekFrom::Current(by)).map(drop)
    }
}

/// A reader that can only go forward.
pub(crate) struct Forward<R>(pub R);

impl<R: Read> Read for Forward<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl<R: Read> Skip for Forward<R> {
    fn skip(&mut self, bytes: u64) -> io::Result<()> {
        match bounded::skip(&mut self.0, bytes)? {
            skipped if skipped == bytes => Ok(()),
            _ => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }
}

/// A member of a tar, without its content.
#[derive(Debug, Clone)]
pub(crate) struct TarMember {
    /// As in the tar.
    pub path: Vec<u8>,
    /// The target of a link, as in the tar.
    pub link: Vec<u8>,
    pub kind: EntryType,
    pub uid: u64,
    pub gid: u64,
    pub mode: u32,
    /// Seconds since 1970.
    pub modified: u64,
    pub size: u64,
    /// Where the content starts in the tar.
    pub offset: u64,
}

/// The members of a tar, in its order.
pub(crate) struct TarMembers<R> {
    reader: R,
    position: u64,
    next: u64,
}

/// What extension members say about the next member.
#[derive(Default)]
struct Extensions {
    path: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    size: Option<u64>,
    uid: Option<u64>,
    gid: Option<u64>,
    modified: Option<u64>,
}

impl<R: Skip> TarMembers<R> {
    /// Takes a tar at its start.
    pub(crate) fn new(reader: R) -> Self {
        TarMembers { reader, position: 0, next: 0 }
    }

    /// Returns the next member; `None` at the end. `InvalidData` means that it is not a tar.
    pub(crate) fn next(&mut self) -> io::Result<Option<TarMember>> {
        let mut extensions = Extensions::default();
        let mut is_described = false;
        while let Some(header) = self.header()? {
            is_described |= carries_extensions(header.entry_type()) && header.entry_type() != EntryType::XGlobalHeader;
            let size = match header.entry_type() {
                kind if carries_extensions(kind) => written_size(&header)?,
                // some writers give a link the size of its target, and no content
                EntryType::Link | EntryType::Symlink | EntryType::Directory => 0,
                EntryType::Char | EntryType::Block | EntryType::Fifo => 0,
                _ => extensions.size.map_or_else(|| written_size(&header), Ok)?,
            };
            let offset = self.position;
            let end = size.checked_next_multiple_of(BLOCK).and_then(|size| size.checked_add(offset));
            self.next = end.ok_or(io::ErrorKind::InvalidData)?;
            match header.entry_type() {
                EntryType::GNULongName => extensions.path = Some(self.name(size)?),
                EntryType::GNULongLink => extensions.link = Some(self.name(size)?),
                EntryType::XHeader => extensions.read(&self.content(size, EXTENSION_LIMIT)?),
                EntryType::XGlobalHeader => {}
                kind => {
                    if kind == EntryType::GNUSparse {
                        self.skip_sparse_blocks(&header)?;
                    }
                    return Ok(Some(extensions.apply(&header, kind, size, offset)?));
                }
            }
        }
        // the member that is described is missing
        if is_described { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(None) }
    }

    /// Reads the content of the last returned member. `InvalidData` means that it is over `limit` bytes.
    pub(crate) fn read(&mut self, member: &TarMember, limit: u64) -> io::Result<Vec<u8>> {
        self.content(member.size, limit)
    }

    /// Reads the next header; `None` at the end of the tar.
    fn header(&mut self) -> io::Result<Option<Header>> {
        let ahead = self.next.checked_sub(self.position).ok_or(io::ErrorKind::InvalidData)?;
        self.reader.skip(ahead)?;
        let mut block = [0; BLOCK as usize];
        let mut filled = 0;
        while filled < block.len() {
            match self.reader.read(&mut block[filled..])? {
                0 if filled == 0 => return Ok(None),
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                read => filled += read,
            }
        }
        self.position = self.next + BLOCK;
        self.next = self.position;
        if block.iter().all(|byte| *byte == 0) {
            return Ok(None);
        }
        let sum: u32 = block
            .iter()
            .enumerate()
            .map(|(at, byte)| if (148..156).contains(&at) { 32 } else { u32::from(*byte) })
            .sum();
        let header = Header::from_byte_slice(&block).clone();
        if header.cksum()? != sum {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a tar header's checksum is wrong"));
        }
        Ok(Some(header))
    }

    fn content(&mut self, size: u64, limit: u64) -> io::Result<Vec<u8>> {
        if size > limit {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a tar member is too large"));
        }
        let content = bounded::read_start(&mut self.reader, size)?;
        self.position += content.len() as u64;
        if content.len() as u64 == size { Ok(content) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
    }

    /// Reads a GNU long name, which ends with a NUL.
    fn name(&mut self, size: u64) -> io::Result<Vec<u8>> {
        let mut name = self.content(size, EXTENSION_LIMIT)?;
        name.truncate(name.iter().position(|byte| *byte == 0).unwrap_or(name.len()));
        Ok(name)
    }

    /// Skips the blocks of a sparse file with many holes between its header and its content.
    fn skip_sparse_blocks(&mut self, header: &Header) -> io::Result<()> {
        let mut more = header.as_gnu().is_some_and(|header| header.is_extended());
        while more {
            let mut block = [0; BLOCK as usize];
            self.reader.read_exact(&mut block)?;
            self.position += BLOCK;
            self.next = self.next.checked_add(BLOCK).ok_or(io::ErrorKind::InvalidData)?;
            more = block[504] == 1;
        }
        Ok(())
    }
}

fn written_size(header: &Header) -> io::Result<u64> {
    or_blank(header.entry_size(), &header.as_old().size)
}

/// Reads a blank number as 0, like Go's reader.
fn or_blank<T: Default>(number: io::Result<T>, field: &[u8]) -> io::Result<T> {
    match number {
        Err(_) if field.iter().all(|byte| matches!(byte, 0 | b' ')) => Ok(T::default()),
        number => number,
    }
}

/// Tells whether a member only describes the next one. PAX records do not apply to it.
fn carries_extensions(kind: EntryType) -> bool {
    matches!(kind, EntryType::GNULongName | EntryType::GNULongLink | EntryType::XHeader | EntryType::XGlobalHeader)
}

impl Extensions {
    fn read(&mut self, records: &[u8]) {
        // a malformed record ends the list, as in other readers
        for record in PaxExtensions::new(records).map_while(Result::ok) {
            let value = record.value_bytes();
            let number = || std::str::from_utf8(value).ok()?.split('.').next()?.parse().ok();
            match record.key_bytes() {
                b"path" | b"GNU.sparse.name" => self.path = Some(value.to_vec()),
                b"linkpath" => self.link = Some(value.to_vec()),
                b"size" => self.size = number(),
                b"uid" => self.uid = number(),
                b"gid" => self.gid = number(),
                b"mtime" => self.modified = number(),
                _ => {}
            }
        }
    }

    fn apply(self, header: &Header, kind: EntryType, size: u64, offset: u64) -> io::Result<TarMember> {
        let fields = header.as_old();
        Ok(TarMember {
            path: self.path.unwrap_or_else(|| header.path_bytes().into_owned()),
            link: self.link.unwrap_or_else(|| header.link_name_bytes().unwrap_or_default().into_owned()),
            kind,
            uid: self.uid.map_or_else(|| or_blank(header.uid(), &fields.uid), Ok)?,
            gid: self.gid.map_or_else(|| or_blank(header.gid(), &fields.gid), Ok)?,
            mode: or_blank(header.mode(), &fields.mode)?,
            modified: self.modified.map_or_else(|| or_blank(header.mtime(), &fields.mtime), Ok)?,
            size,
            offset,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::sync::Arc;

    use super::*;

    fn piece(content: &[u8]) -> FileRange {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(content).unwrap();
        FileRange::whole(Arc::new(file)).unwrap()
    }

    fn header(kind: EntryType, size: u64) -> Header {
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_size(size);
        header.set_mode(0o640);
        header.set_cksum();
        header
    }

    fn all(tar: &[u8]) -> io::Result<Vec<(String, Vec<u8>)>> {
        let mut members = TarMembers::new(piece(tar));
        let mut all = Vec::new();
        while let Some(member) = members.next()? {
            let content = if all.len() % 2 == 0 { members.read(&member, 1 << 20)? } else { Vec::new() };
            all.push((String::from_utf8_lossy(&member.path).into_owned(), content));
        }
        Ok(all)
    }

    #[test]
    fn long_names_of_both_kinds_and_skipped_contents() {
        let gnu = "g".repeat(300);
        let pax = "p".repeat(300);
        let mut builder = tar::Builder::new(Vec::new());
        builder.append_data(&mut header(EntryType::Regular, 3), &gnu, &b"one"[..]).unwrap();
        builder.append_data(&mut header(EntryType::Regular, 700), "skipped", &[7; 700][..]).unwrap();
        builder.append_pax_extensions([("path", pax.as_bytes()), ("size", b"3")]).unwrap();
        builder.append(&header(EntryType::Regular, 3), &b"two"[..]).unwrap();
        let tar = builder.into_inner().unwrap();
        assert_eq!(all(&tar).unwrap(), [(gnu, b"one".to_vec()), ("skipped".into(), vec![]), (pax, b"two".to_vec())]);
    }

    #[test]
    fn what_is_no_tar_is_an_error_and_never_a_panic() {
        assert!(all(&[1; 2000]).is_err());
        assert!(all(&[1; 100]).is_err());
        assert!(all(header(EntryType::Regular, u64::MAX).as_bytes()).is_err());
        assert!(all(header(EntryType::GNULongName, 1 << 40).as_bytes()).is_err());
        assert!(all(header(EntryType::XHeader, 600).as_bytes()).is_err());
        assert!(all(&[header(EntryType::GNULongName, 3).as_bytes(), &[b'x'; 512][..]].concat()).is_err());
        assert_eq!(all(header(EntryType::XGlobalHeader, 0).as_bytes()).unwrap(), []);
        assert!(all(header(EntryType::Regular, 600).as_bytes()).is_err());
        assert_eq!(all(&[0; 512]).unwrap(), []);
        // every byte of a header turned over
        let mut builder = tar::Builder::new(Vec::new());
        builder.append_data(&mut header(EntryType::Regular, 3), "x".repeat(120), &b"one"[..]).unwrap();
        let tar = builder.into_inner().unwrap();
        for at in 0..tar.len() {
            let mut wrong = tar.clone();
            wrong[at] = !wrong[at];
            let _ = all(&wrong);
            let _ = all(&tar[..at]);
        }
    }
}

//! Owns the copy of a blob from one store to another, verified on the way.
//!
//! It must not know what a blob contains, only its digest and size.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};
use sha2::{Digest as _, Sha256};

use crate::diagnostic::Diagnostic;
use crate::image::digest::Digest;
use crate::image::name::ImageName;
use crate::runtime::bounded::{self, ReadError};
use crate::runtime::platform;
use crate::runtime::progress::{Counted, Progress};
use crate::store::error::{StoreError, fault};

/// How many bytes are copied before other tasks run.
const CHUNK: usize = 256 * 1024;
/// The slowest average speed of a stream after the first five minutes, in bytes a second.
const SLOWEST: u64 = 16 * 1024;

/// An opened blob of a store. Its bytes are not verified yet.
pub enum Blob {
    /// A range of a local file.
    File(FileRange),
    /// Computed bytes.
    Reader(Box<dyn Read + Send>),
    /// A download.
    Stream(Pin<Box<dyn Stream<Item = Result<Bytes, StoreError>> + Send>>),
    /// Another blob, with the progress of its copy.
    Watched(Box<Blob>, Progress),
}

/// A range of a file with its own position, so that many can read one file.
#[derive(Debug, Clone)]
pub struct FileRange {
    file: Arc<File>,
    start: u64,
    size: u64,
    position: u64,
    /// Whether it is a whole file that has a name.
    is_named: bool,
}

impl FileRange {
    /// Opens a whole regular file; `None` if there is none. `InvalidData` means that it is not a regular file.
    pub(crate) fn open(path: &Path) -> io::Result<Option<Self>> {
        let file = match bounded::open(path) {
            Ok(file) => file,
            Err(ReadError::Failed(error)) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(ReadError::Failed(error)) => return Err(error),
            Err(_) => return Err(io::ErrorKind::InvalidData.into()),
        };
        let size = file.metadata()?.len();
        Ok(Some(FileRange { file: Arc::new(file), start: 0, size, position: 0, is_named: true }))
    }

    /// Takes a whole open file.
    pub fn whole(file: Arc<File>) -> io::Result<Self> {
        let size = file.metadata()?.len();
        Ok(FileRange { file, start: 0, size, position: 0, is_named: false })
    }

    /// Returns a part of this range; `None` if it exceeds the end.
    pub fn part(&self, start: u64, size: u64) -> Option<Self> {
        let end = start.checked_add(size)?;
        (end <= self.size).then(|| FileRange {
            file: Arc::clone(&self.file),
            start: self.start + start,
            size,
            position: 0,
            is_named: false,
        })
    }

    /// Returns the length in bytes.
    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// Returns the file, if the range is a whole one with a name.
    pub(crate) fn named_file(&self) -> Option<&File> {
        self.is_named.then_some(&*self.file)
    }

    /// Returns the range at its start.
    pub(crate) fn rewound(self) -> Self {
        FileRange { position: 0, ..self }
    }

    /// Reads everything. `InvalidData` means that it is over `limit` bytes.
    pub(crate) fn read_all(self, limit: u64) -> io::Result<Vec<u8>> {
        let size = self.size;
        if size > limit {
            return Err(io::ErrorKind::InvalidData.into());
        }
        bounded::read_start(self, size)
    }
}

impl Read for FileRange {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.size.saturating_sub(self.position)).unwrap_or(usize::MAX);
        let wanted = buffer.len().min(left);
        let read = platform::read_at(&self.file, &mut buffer[..wanted], self.start + self.position)?;
        self.position += read as u64;
        Ok(read)
    }
}

impl Seek for FileRange {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let position = match to {
            SeekFrom::Start(position) => Some(position),
            SeekFrom::End(by) => self.size.checked_add_signed(by),
            SeekFrom::Current(by) => self.position.checked_add_signed(by),
        };
        self.position = position.filter(|position| *position <= self.size).ok_or(io::ErrorKind::UnexpectedEof)?;
        Ok(self.position)
    }
}

/// Why a copy failed.
#[derive(Debug)]
pub(crate) enum CopyError {
    Read(io::Error),
    Write(io::Error),
    Store(StoreError),
    /// The bytes do not match the digest and the size.
    Damaged,
}

impl CopyError {
    /// Returns the diagnosis for a layer of `from` on its way to `to`, as the user wrote it.
    pub(crate) fn diagnose(self, digest: &Digest, from: &ImageName, to: &str) -> StoreError {
        match self {
            CopyError::Read(error) => fault("read", &from.to_string(), &error),
            CopyError::Write(error) => fault("write to", to, &error),
            CopyError::Store(error) => error,
            CopyError::Damaged => {
                Diagnostic::error("blob-damaged", format!("the layer {digest} of `{from}` does not match its digest"))
                    .hint("pull or build the base again")
                    .into()
            }
        }
    }
}

impl Blob {
    /// Returns the same blob, with the bytes of its copy counted.
    pub(crate) fn watched(self, progress: Progress) -> Self {
        Blob::Watched(Box::new(self), progress)
    }

    /// Returns the local file range, if the blob is one.
    pub(crate) fn file_range(&self) -> Option<&FileRange> {
        match self {
            Blob::File(piece) => Some(piece),
            Blob::Watched(blob, _) => blob.file_range(),
            Blob::Reader(_) | Blob::Stream(_) => None,
        }
    }

    fn unwatched(self) -> (Self, Progress) {
        match self {
            Blob::Watched(blob, progress) => (*blob, progress),
            blob => (blob, Progress::default()),
        }
    }

    /// Copies the blob to `write` and verifies it. After a failure the target has a part of the bytes.
    pub(crate) async fn copy(
        self,
        digest: &Digest,
        size: u64,
        write: impl AsyncFnMut(&[u8]) -> io::Result<()>,
    ) -> Result<(), CopyError> {
        self.copy_again(&mut None, digest, size, write).await
    }

    /// Retries [`Blob::copy`]: `counted` is how many bytes earlier attempts counted, which are not counted again; `None` for the first
    /// attempt.
    pub(crate) async fn copy_again(
        self,
        counted: &mut Option<u64>,
        digest: &Digest,
        size: u64,
        mut write: impl AsyncFnMut(&[u8]) -> io::Result<()>,
    ) -> Result<(), CopyError> {
        let (blob, progress) = self.unwatched();
        if counted.is_none() {
            progress.expect(Counted::Bytes, size);
        }
        let counted = counted.get_or_insert_default();
        let mut hasher = Sha256::new();
        let mut copied: u64 = 0;
        let mut take = async |bytes: &[u8]| {
            copied += bytes.len() as u64;
            if copied > size {
                return Err(CopyError::Damaged);
            }
            hasher.update(bytes);
            write(bytes).await.map_err(CopyError::Write)?;
            progress.done(Counted::Bytes, copied.saturating_sub(*counted));
            *counted = copied.max(*counted);
            Ok(())
        };
        match blob {
            Blob::File(piece) if piece.size() != size => return Err(CopyError::Damaged),
            Blob::File(piece) => read(piece, &mut take).await?,
            Blob::Reader(reader) => read(reader, &mut take).await?,
            Blob::Stream(mut stream) => {
                let all = async {
                    while let Some(chunk) = stream.next().await {
                        take(&chunk.map_err(CopyError::Store)?).await?;
                    }
                    Ok(())
                };
                // a sender of a byte a second is given up
                let most = Duration::from_secs(300 + size / SLOWEST);
                let copied = tokio::time::timeout(most, all).await;
                copied.unwrap_or_else(|_| Err(CopyError::Read(io::ErrorKind::TimedOut.into())))?;
            }
            Blob::Watched(..) => unreachable!("a blob is watched once"),
        }
        if copied != size || Digest::from_hasher(hasher) != *digest {
            return Err(CopyError::Damaged);
        }
        Ok(())
    }
}

async fn read(
    mut from: impl Read,
    take: &mut impl AsyncFnMut(&[u8]) -> Result<(), CopyError>,
) -> Result<(), CopyError> {
    let mut buffer = vec![0; CHUNK];
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(read) => take(&buffer[..read]).await?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(CopyError::Read(error)),
        }
        tokio::task::yield_now().await;
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    async fn copied(blob: Blob, digest: &Digest, size: u64) -> Result<Vec<u8>, CopyError> {
        let mut target = Vec::new();
        blob.copy(digest, size, async |bytes| target.write_all(bytes)).await.map(|()| target)
    }

    fn piece(content: &[u8]) -> FileRange {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(content).unwrap();
        FileRange::whole(Arc::new(file)).unwrap()
    }

    #[tokio::test]
    async fn only_the_named_bytes_are_taken() {
        let whole = piece(b"0123456789");
        let part = whole.part(2, 5).unwrap();
        let digest = Digest::of(b"23456");
        assert_eq!(copied(Blob::File(part.clone()), &digest, 5).await.unwrap(), b"23456");
        for (blob, size) in [
            (Blob::File(part.clone()), 4),
            (Blob::File(whole.clone()), 10),
            (Blob::Reader(Box::new(whole.clone())), 5),
            (Blob::Reader(Box::new(part.part(0, 4).unwrap())), 5),
        ] {
            assert!(matches!(copied(blob, &digest, size).await, Err(CopyError::Damaged)));
        }
        assert!(whole.part(6, 5).is_none());
        assert!(whole.part(u64::MAX, 2).is_none());
    }

    #[derive(Default)]
    struct Counts([std::sync::atomic::AtomicU64; 2]);

    impl crate::runtime::progress::Watcher for Counts {
        fn expect(&self, _: Counted, more: u64) {
            self.0[0].fetch_add(more, std::sync::atomic::Ordering::SeqCst);
        }

        fn done(&self, _: Counted, more: u64) {
            self.0[1].fetch_add(more, std::sync::atomic::Ordering::SeqCst);
        }
    }

    #[tokio::test]
    async fn a_blob_that_is_copied_again_is_counted_once() {
        let counts = Arc::new(Counts::default());
        let progress = Progress::to(Arc::clone(&counts) as Arc<dyn crate::runtime::progress::Watcher>);
        let digest = Digest::of(b"0123456789");
        let mut counted = None;
        // the first one breaks before anything arrived, the second after six bytes
        for arrived in [vec![], vec!["0123", "45"], vec!["012", "34567", "89"]] {
            let whole = arrived.len() == 3;
            let chunks = arrived.into_iter().map(|chunk| Ok(Bytes::from(chunk)));
            let blob = Blob::Stream(Box::pin(futures_util::stream::iter(chunks))).watched(progress.clone());
            let copied = blob.copy_again(&mut counted, &digest, 10, async |_| Ok(())).await;
            assert_eq!(copied.is_ok(), whole);
        }
        let counts = [&counts.0[0], &counts.0[1]].map(|count| count.load(std::sync::atomic::Ordering::SeqCst));
        assert_eq!(counts, [10, 10]);
    }

    #[test]
    fn a_piece_is_read_within_its_bounds() {
        let mut part = piece(b"0123456789").part(3, 4).unwrap();
        part.seek(SeekFrom::Start(1)).unwrap();
        assert!(part.seek(SeekFrom::Current(4)).is_err());
        let mut text = String::new();
        part.read_to_string(&mut text).unwrap();
        assert_eq!(text, "456");
        assert!(piece(b"12").read_all(1).is_err());
    }
}

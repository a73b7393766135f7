//! Reads sources of unknown length: a byte limit on every read, a deadline on every stream, regular files only.
//!
//! It is the only code that reads up to an end that someone else decides; clippy's `disallowed-methods` enforces that.

use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};
use tokio::io::{AsyncRead, AsyncReadExt as _};
use zeroize::Zeroizing;

use super::platform;
use crate::secret::{SecretBuffer, SecretBytes};

/// Why a read failed. `E` is the source's own error.
#[derive(Debug, thiserror::Error)]
pub enum ReadError<E = io::Error> {
    #[error(transparent)]
    Failed(#[from] E),
    #[error("not a regular file")]
    NotRegular,
    /// With the limit in bytes.
    #[error("over {}", size(*.0))]
    TooLong(u64),
    /// With the time limit.
    #[error("not finished after {} seconds", .0.as_secs())]
    TooSlow(Duration),
}

impl From<ReadError> for io::Error {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Failed(error) => error,
            ReadError::NotRegular => io::Error::new(ErrorKind::InvalidInput, error.to_string()),
            ReadError::TooLong(_) => io::Error::new(ErrorKind::FileTooLarge, error.to_string()),
            ReadError::TooSlow(_) => io::Error::new(ErrorKind::TimedOut, error.to_string()),
        }
    }
}

/// The limits of a read: bytes, and the time to read all of them.
#[derive(Debug, Clone, Copy)]
pub struct ReadLimits {
    pub bytes: u64,
    pub time: Duration,
}

/// Opens a regular file. Does not hang on a pipe without a writer.
pub fn open(path: &Path) -> Result<File, ReadError> {
    check_regular(platform::open_without_waiting(path)?)
}

/// Does the same as [`open`], but a link is not a regular file.
pub fn open_own(path: &Path) -> Result<File, ReadError> {
    check_regular(platform::open_own_without_waiting(path)?.ok_or(ReadError::NotRegular)?)
}

fn check_regular(file: File) -> Result<File, ReadError> {
    if file.metadata()?.is_file() { Ok(file) } else { Err(ReadError::NotRegular) }
}

/// Reads a regular file of at most `most` bytes.
pub fn read_file(path: &Path, most: u64) -> Result<Vec<u8>, ReadError> {
    read(open(path)?, most)
}

/// Reads a path that the user gave: a file, or a pipe that may be slow, such as `<(sops -d …)`.
pub fn read_named(path: &Path, most: u64) -> Result<Vec<u8>, ReadError> {
    read(File::open(path)?, most)
}

/// Reads at most `most` bytes to the end.
pub fn read(reader: impl Read, most: u64) -> Result<Vec<u8>, ReadError> {
    let mut bytes = Vec::new();
    copy(reader, &mut bytes, most)?;
    Ok(bytes)
}

/// Reads at most the first `most` bytes; the parser rejects anything longer.
pub fn read_start(reader: impl Read, most: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    #[expect(clippy::disallowed_methods, reason = "the one place: it has a limit")]
    reader.take(most).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Reads and drops at most the first `most` bytes; returns how many.
pub fn skip(reader: impl Read, most: u64) -> io::Result<u64> {
    #[expect(clippy::disallowed_methods, reason = "it has a limit")]
    io::copy(&mut reader.take(most), &mut io::sink())
}

/// Does the same as [`read_start`] but leaves no copy of the bytes in memory.
pub fn read_secret_start(reader: impl Read, most: u64) -> io::Result<SecretBytes> {
    Ok(read_secret(reader.take(most), most)?)
}

/// Does the same as [`read`] but leaves no copy of the bytes in memory.
pub fn read_secret(reader: impl Read, most: u64) -> Result<SecretBytes, ReadError> {
    let mut bytes = SecretBuffer::default();
    copy(reader, &mut bytes, most)?;
    Ok(bytes.finish())
}

/// Copies at most `most` bytes to the end, through a buffer that is wiped; returns how many.
pub fn copy(mut reader: impl Read, writer: &mut impl Write, most: u64) -> Result<u64, ReadError> {
    let mut chunk = Zeroizing::new([0; 8192]);
    let mut budget = Budget::new(most);
    loop {
        match reader.read(&mut chunk[..]) {
            Ok(0) => return Ok(budget.used),
            Ok(count) => {
                budget.spend(count).map_err(ReadError::TooLong)?;
                writer.write_all(&chunk[..count])?;
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Reads a stream of chunks to the end, such as the body of a response.
pub async fn collect<E>(
    stream: impl Stream<Item = Result<Bytes, E>>,
    limits: ReadLimits,
) -> Result<Vec<u8>, ReadError<E>> {
    let mut stream = std::pin::pin!(stream);
    let mut budget = Budget::new(limits.bytes);
    let mut bytes = Vec::new();
    let read = async {
        while let Some(chunk) = stream.next().await {
            let chunk = chunk.map_err(ReadError::Failed)?;
            budget.spend(chunk.len()).map_err(ReadError::TooLong)?;
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes)
    };
    tokio::time::timeout(limits.time, read).await.unwrap_or(Err(ReadError::TooSlow(limits.time)))
}

/// Reads a program's pipe to the end and leaves no copy of it in memory.
pub async fn read_pipe(mut pipe: impl AsyncRead + Unpin, limits: ReadLimits) -> Result<SecretBytes, ReadError> {
    let mut chunk = Zeroizing::new([0; 8192]);
    let mut budget = Budget::new(limits.bytes);
    let mut buffer = SecretBuffer::default();
    let read = async {
        loop {
            let count = pipe.read(&mut chunk[..]).await?;
            if count == 0 {
                return Ok(buffer.finish());
            }
            budget.spend(count).map_err(ReadError::TooLong)?;
            buffer.push(&chunk[..count]);
        }
    };
    tokio::time::timeout(limits.time, read).await.unwrap_or(Err(ReadError::TooSlow(limits.time)))
}

/// Reads a program's pipe to the end and keeps the first bytes: a program blocks if nobody reads its output.
pub async fn drain_pipe(mut pipe: impl AsyncRead + Unpin, kept: u64) -> io::Result<SecretBytes> {
    let mut chunk = Zeroizing::new([0; 8192]);
    let mut buffer = SecretBuffer::default();
    let mut room = usize::try_from(kept).unwrap_or(usize::MAX);
    loop {
        let count = pipe.read(&mut chunk[..]).await?;
        if count == 0 {
            return Ok(buffer.finish());
        }
        let part = count.min(room);
        buffer.push(&chunk[..part]);
        room -= part;
    }
}

/// Reads lines until the writer closes its end and takes the first `most` bytes of each. It has no deadline: a program's standard error
/// stays open as long as the program runs.
pub async fn read_lines(mut pipe: impl AsyncRead + Unpin, most: usize, mut take: impl FnMut(&[u8])) {
    let mut chunk = [0; 8192];
    let mut line = Vec::new();
    while let Ok(count @ 1..) = pipe.read(&mut chunk).await {
        let mut parts = chunk[..count].split(|byte| *byte == b'\n').peekable();
        while let Some(part) = parts.next() {
            line.extend_from_slice(&part[..part.len().min(most - line.len())]);
            if parts.peek().is_some() {
                take(&line);
                line.clear();
            }
        }
    }
    if !line.is_empty() {
        take(&line);
    }
}

/// How many bytes a source may still send if its data is not kept, such as an engine's progress.
#[derive(Debug)]
pub struct Budget {
    used: u64,
    most: u64,
}

impl Budget {
    /// Returns a budget of `most` bytes.
    pub fn new(most: u64) -> Self {
        Budget { used: 0, most }
    }

    /// Subtracts received bytes; fails with the whole budget once it is used up.
    pub fn spend(&mut self, bytes: usize) -> Result<(), u64> {
        self.used = self.used.saturating_add(bytes as u64);
        if self.used > self.most { Err(self.most) } else { Ok(()) }
    }
}

/// Returns a limit in human-readable form.
fn size(bytes: u64) -> String {
    match bytes {
        mib if mib % (1 << 20) == 0 && mib > 0 => format!("{} MiB", mib >> 20),
        kib if kib % (1 << 10) == 0 && kib > 0 => format!("{} KiB", kib >> 10),
        bytes => format!("{bytes} bytes"),
    }
}

#[cfg(test)]
mod tests {
    use futures_util::stream;

    use super::*;

    const LIMITS: ReadLimits = ReadLimits { bytes: 1 << 20, time: Duration::from_secs(5) };

    #[test]
    fn what_never_ends_or_is_no_file_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let fifo = folder.path().join("fifo");
        rustix::fs::mkfifoat(rustix::fs::CWD, &fifo, rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR).unwrap();
        for path in [&fifo, Path::new("/dev/zero"), folder.path()] {
            assert!(matches!(read_file(path, 10), Err(ReadError::NotRegular)), "{}", path.display());
        }
        let error = read_named(Path::new("/dev/zero"), 1 << 20).unwrap_err();
        assert_eq!(error.to_string(), "over 1 MiB");
        assert_eq!(io::Error::from(error).kind(), ErrorKind::FileTooLarge);
    }

    #[test]
    fn as_much_as_the_limit_is_read_and_no_byte_more() {
        for (bytes, is_read) in [(0, true), (9, true), (10, true), (11, false)] {
            let text = vec![b'x'; bytes];
            assert_eq!(read(&text[..], 10).is_ok_and(|read| read == text), is_read, "{bytes}");
            assert_eq!(read_secret(&text[..], 10).is_ok_and(|read| read.expose() == text), is_read, "{bytes}");
        }
    }

    #[tokio::test]
    async fn lines_are_cut_and_none_is_lost() {
        let mut lines = Vec::new();
        read_lines(&b"one\n\na line that is long\nlast"[..], 6, |line| lines.push(line.to_vec())).await;
        assert_eq!(lines, [&b"one"[..], b"", b"a line", b"last"]);
        let mut longest = 0;
        read_lines(tokio::io::repeat(b'x').take(1 << 20), 1 << 10, |line| longest = longest.max(line.len())).await;
        assert_eq!(longest, 1 << 10);
    }

    #[tokio::test]
    async fn an_endless_or_a_slow_stream_ends() {
        let endless = stream::repeat_with(|| Ok::<_, io::Error>(Bytes::from_static(&[0; 8192])));
        assert!(matches!(collect(endless, LIMITS).await, Err(ReadError::TooLong(_))));
        let a_byte_at_a_time = stream::unfold((), |()| async {
            tokio::time::sleep(Duration::from_millis(1)).await;
            Some((Ok::<_, io::Error>(Bytes::from_static(b"x")), ()))
        });
        let limits = ReadLimits { time: Duration::from_millis(50), ..LIMITS };
        assert!(matches!(collect(a_byte_at_a_time, limits).await, Err(ReadError::TooSlow(_))));
        assert!(matches!(read_pipe(tokio::io::repeat(0), LIMITS).await, Err(ReadError::TooLong(_))));
    }
}

//! Owns where an archive is written to: a file that takes its name at the end, or a pipe.
//!
//! What is written is a tar with fixed times, owners and order, so that the same image is the same archive.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;
use tokio::sync::{mpsc, oneshot};
use zeroize::Zeroizing;

use super::open::{STANDARD, is_regular};
use super::parent;
use crate::runtime::blocking;
use crate::store::files;

const BLOCK: u64 = 512;
/// How many chunks wait for a pipe.
const AHEAD: usize = 4;

/// A tar that is being written.
pub struct Output {
    to: To,
    written: u64,
}

enum To {
    File {
        file: NamedTempFile,
        path: PathBuf,
    },
    /// A thread of its own writes, so that a reader that does not read stops nothing else.
    Pipe {
        chunks: mpsc::Sender<Zeroizing<Vec<u8>>>,
        done: oneshot::Receiver<io::Result<()>>,
    },
}

impl Output {
    /// Begins an archive at a path; a file that is there stays as it is until [`Output::finish`].
    ///
    /// # Errors
    /// The operating system's.
    pub fn begin(path: &str) -> io::Result<Self> {
        let to = if path == STANDARD {
            To::pipe(|| Ok(io::stdout()))?
        } else if !is_regular(path) && Path::new(path).exists() {
            if Path::new(path).is_dir() {
                return Err(io::ErrorKind::IsADirectory.into());
            }
            let path = path.to_owned();
            To::pipe(move || OpenOptions::new().write(true).open(path))?
        } else {
            // a link keeps leading to the archive
            let path = fs::canonicalize(path).unwrap_or_else(|_| PathBuf::from(path));
            files::remove_leftovers(parent(&path));
            To::File { file: files::temporary(parent(&path))?, path }
        };
        Ok(Output { to, written: 0 })
    }

    /// Writes a member's header.
    ///
    /// # Errors
    /// The operating system's.
    pub async fn member(&mut self, path: &str, kind: tar::EntryType, size: u64) -> io::Result<()> {
        let mut header = tar::Header::new_gnu();
        header.set_path(path)?;
        header.set_entry_type(kind);
        header.set_mode(if kind == tar::EntryType::Directory { 0o755 } else { 0o644 });
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_size(size);
        header.set_cksum();
        self.write(header.as_bytes()).await
    }

    /// Writes a part of a member's content.
    ///
    /// # Errors
    /// The operating system's.
    pub async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.written += bytes.len() as u64;
        match &mut self.to {
            To::File { file, .. } => file.write_all(bytes),
            To::Pipe { chunks, done } => match chunks.send(Zeroizing::new(bytes.to_vec())).await {
                Ok(()) => Ok(()),
                Err(_) => Err(outcome(done).await.err().unwrap_or_else(|| io::ErrorKind::BrokenPipe.into())),
            },
        }
    }

    /// Ends a member's content.
    ///
    /// # Errors
    /// The operating system's.
    pub async fn pad(&mut self) -> io::Result<()> {
        let ahead = self.written.next_multiple_of(BLOCK) - self.written;
        self.write(&[0; BLOCK as usize][..usize::try_from(ahead).unwrap_or(0)]).await
    }

    /// Ends the archive, and gives it its name.
    ///
    /// # Errors
    /// The operating system's; a file that was there then stays as it is.
    pub async fn finish(mut self) -> io::Result<()> {
        self.write(&[0; 2 * BLOCK as usize]).await?;
        match self.to {
            To::File { file, path } => {
                let synced = file.as_file().try_clone()?;
                blocking::run(move |_| synced.sync_all()).await?;
                file.persist(&path)?;
                files::sync(parent(&path))
            }
            To::Pipe { chunks, mut done } => {
                drop(chunks);
                outcome(&mut done).await
            }
        }
    }
}

impl To {
    fn pipe<W: Write>(open: impl FnOnce() -> io::Result<W> + Send + 'static) -> io::Result<Self> {
        let (chunks, mut received) = mpsc::channel::<Zeroizing<Vec<u8>>>(AHEAD);
        let done = blocking::detach(move || {
            let mut to = open()?;
            while let Some(chunk) = received.blocking_recv() {
                to.write_all(&chunk)?;
            }
            to.flush()
        })?;
        Ok(To::Pipe { chunks, done })
    }
}

async fn outcome(done: &mut oneshot::Receiver<io::Result<()>>) -> io::Result<()> {
    done.await.unwrap_or_else(|_| Err(io::ErrorKind::BrokenPipe.into()))
}

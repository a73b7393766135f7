//! Owns the target of an archive: a file that gets its name at the end, or a pipe.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;
use tokio::sync::{mpsc, oneshot};
use zeroize::Zeroizing;

use super::open::{STANDARD, is_regular};
use super::parent;
use crate::runtime::blocking;
use crate::runtime::{files, platform};

/// How many chunks wait for a pipe.
const AHEAD: usize = 4;

/// An archive that is being written.
pub(super) struct ArchiveOutput {
    to: To,
}

enum To {
    File {
        file: NamedTempFile,
        path: PathBuf,
    },
    /// A thread writes, so that a reader that hangs blocks nothing else.
    Pipe {
        chunks: mpsc::Sender<Zeroizing<Vec<u8>>>,
        done: oneshot::Receiver<io::Result<()>>,
    },
}

impl ArchiveOutput {
    /// Begins an archive at a path; a file that is there stays as it is until [`ArchiveOutput::finish`].
    pub(super) fn begin(path: &str) -> io::Result<Self> {
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
        Ok(ArchiveOutput { to })
    }

    /// Writes more of the archive.
    pub(super) async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self.to {
            To::File { file, .. } => file.write_all(bytes),
            To::Pipe { chunks, done } => match chunks.send(Zeroizing::new(bytes.to_vec())).await {
                Ok(()) => Ok(()),
                Err(_) => Err(outcome(done).await.err().unwrap_or_else(|| io::ErrorKind::BrokenPipe.into())),
            },
        }
    }

    /// Gives the file its name. If that fails, the old file stays as it is.
    pub(super) async fn finish(self) -> io::Result<()> {
        match self.to {
            To::File { file, path } => {
                let synced = file.as_file().try_clone()?;
                blocking::run(move |_| synced.sync_all()).await?;
                file.persist(&path)?;
                platform::sync_directory(parent(&path))
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

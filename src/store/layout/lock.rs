//! Owns the lock on a layout's directory: only one run at a time writes, so that no tag is lost.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

/// A lock that the system releases when the program ends.
pub(super) struct Lock(File);

impl Lock {
    /// Waits until no other run holds the directory's lock.
    pub(super) async fn acquire(directory: &Path) -> io::Result<Self> {
        let file = File::open(directory)?;
        let mut told = false;
        loop {
            // never block: another task of this thread may hold it
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Ok(Lock(file)),
                Err(Errno::WOULDBLOCK) => {}
                Err(Errno::INTR) => continue,
                // the file system has no locks: the user must not start two runs at once
                Err(Errno::BADF | Errno::NOLCK | Errno::NOSYS | Errno::OPNOTSUPP) => return Ok(Lock(file)),
                Err(error) => return Err(error.into()),
            }
            if !told {
                tracing::info!(directory = %directory.display(), "waiting for another run that writes to the layout");
                told = true;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Returns the locked directory.
    pub(super) fn directory(&self) -> io::Result<File> {
        self.0.try_clone()
    }

    /// Tells whether the locked directory still has this path: a failed run removes the directory that it created.
    pub(super) fn is_of(&self, directory: &Path) -> bool {
        match (self.0.metadata(), fs::metadata(directory)) {
            (Ok(locked), Ok(there)) => (locked.dev(), locked.ino()) == (there.dev(), there.ino()),
            _ => false,
        }
    }
}

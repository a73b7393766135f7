//! Owns the lock on a layout's directory: one run at a time changes a layout, so that no run loses another's tags.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

/// A lock that the system takes back when the program ends, however it ends.
pub struct Lock(File);

impl Lock {
    /// Waits until no other run holds the directory's lock.
    ///
    /// # Errors
    /// The operating system's.
    pub async fn acquire(directory: &Path) -> io::Result<Self> {
        let file = File::open(directory)?;
        let mut told = false;
        loop {
            // never blocking: the other holder may be a task of this very thread
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Ok(Lock(file)),
                Err(Errno::WOULDBLOCK) => {}
                Err(Errno::INTR) => continue,
                // a file system without locks: one run at a time is then up to the user
                Err(Errno::BADF | Errno::NOLCK | Errno::NOSYS | Errno::OPNOTSUPP) => return Ok(Lock(file)),
                Err(error) => return Err(error.into()),
            }
            if !told {
                tracing::info!(directory = %directory.display(), "another run writes to the layout: waiting for it");
                told = true;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Tells whether the directory is still the one that was locked: a run that fails removes the directory it had created.
    pub fn is_of(&self, directory: &Path) -> bool {
        match (self.0.metadata(), fs::metadata(directory)) {
            (Ok(locked), Ok(there)) => (locked.dev(), locked.ino()) == (there.dev(), there.ino()),
            _ => false,
        }
    }
}

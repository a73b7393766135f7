//! Owns the lock on a layout's directory: only one run at a time writes, so that no tag is lost.

use std::io;
use std::path::Path;
use std::time::Duration;

use crate::runtime::platform::DirectoryLock;

/// Waits until no other run holds the directory's lock. The system releases it when the program ends.
pub(super) async fn acquire(directory: &Path) -> io::Result<DirectoryLock> {
    let mut told = false;
    loop {
        // never block: another task of this thread may hold it. If the file system has no locks, the user must not start two runs at once
        if let Some(lock) = DirectoryLock::try_acquire(directory)? {
            return Ok(lock);
        }
        if !told {
            tracing::info!(directory = %directory.display(), "waiting for another run that writes to the layout");
            told = true;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

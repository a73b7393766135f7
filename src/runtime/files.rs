//! Owns temporary files that are renamed when complete.
//!
//! Only the owner can read new files: they may hold secrets in a directory that is open to all.

use std::fs::{self, File, TryLockError};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use super::bounded::{self, ReadError};
use super::platform;

/// The prefix of every temporary file. One that is not locked was left by a killed run.
const TEMPORARY: &str = ".secretbake-";

/// Reads a whole regular file; `None` if it does not exist. Fails with `InvalidInput` if it is not a regular file and with `FileTooLarge`
/// if it is larger than `limit` bytes.
pub fn read(path: &Path, limit: u64) -> io::Result<Option<Vec<u8>>> {
    read_opened(bounded::open(path), limit)
}

/// Does the same as [`read`], but a link is not a regular file.
pub fn read_own(path: &Path, limit: u64) -> io::Result<Option<Vec<u8>>> {
    read_opened(bounded::open_own(path), limit)
}

fn read_opened(file: Result<File, ReadError>, limit: u64) -> io::Result<Option<Vec<u8>>> {
    match file.and_then(|file| bounded::read(file, limit)) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(ReadError::Failed(error)) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Creates a temporary file in `directory` that is renamed later, or removed when dropped.
///
/// It is locked, so other runs can tell it from a leftover of a killed run.
pub fn temporary(directory: &Path) -> io::Result<NamedTempFile> {
    loop {
        let file = tempfile::Builder::new().prefix(TEMPORARY).suffix(".tmp").tempfile_in(directory)?;
        let is_taken = matches!(file.as_file().try_lock(), Err(TryLockError::WouldBlock));
        // another run may have removed it before it was locked
        if !is_taken && !platform::is_deleted(file.as_file())? {
            return Ok(file);
        }
    }
}

/// Removes the leftovers of killed runs from a directory.
pub fn remove_leftovers(directory: &Path) {
    leftovers(directory).into_iter().for_each(Leftover::remove);
}

/// A temporary file that outlives its run, locked by this one.
pub struct Leftover {
    pub file: File,
    path: PathBuf,
}

impl Leftover {
    /// Keeps a temporary file until this run or a later one removes it.
    pub fn keep(file: NamedTempFile) -> io::Result<Self> {
        let (file, path) = file.keep().map_err(|error| error.error)?;
        Ok(Leftover { file, path })
    }

    pub fn remove(self) {
        // a file that cannot be removed is harmless
        let _ = fs::remove_file(self.path);
    }
}

/// Finds the leftovers of killed runs in a directory.
pub fn leftovers(directory: &Path) -> Vec<Leftover> {
    let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
    let is_temporary = |name: &str| name.starts_with(TEMPORARY) && name.ends_with(".tmp");
    let ours = entries.flatten().filter(|entry| entry.file_name().to_str().is_some_and(is_temporary));
    ours.filter_map(|entry| unlocked(entry.path()).ok().flatten()).collect()
}

fn unlocked(path: PathBuf) -> io::Result<Option<Leftover>> {
    // another user's note could make this run remove what it names
    if !fs::symlink_metadata(&path)?.is_file() || platform::find_danger(&path)?.is_some() {
        return Ok(None);
    }
    let file = File::open(&path)?;
    file.try_lock()?;
    Ok(Some(Leftover { file, path }))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_leftover_of_another_user_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(".secretbake-x.tmp");
        fs::write(&path, "x").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
        remove_leftovers(directory.path());
        assert!(path.exists());
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        remove_leftovers(directory.path());
        assert!(!path.exists());
    }

    #[test]
    fn a_temporary_file_is_its_owners_and_a_later_run_removes_it_if_nobody_writes_it() {
        let directory = tempfile::tempdir().unwrap();
        let (file, path) = temporary(directory.path()).unwrap().keep().unwrap();
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        fs::write(directory.path().join(".secretbake-mine"), "").unwrap();
        remove_leftovers(directory.path());
        assert!(path.exists());
        drop(file);
        remove_leftovers(directory.path());
        assert!(!path.exists());
        assert!(directory.path().join(".secretbake-mine").exists());
    }
}

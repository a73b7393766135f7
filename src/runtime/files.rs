//! Owns temporary files that are renamed when complete, and the checks that a file is safe to trust.
//!
//! Only the owner can read new files: they may hold secrets in a directory that is open to all.

use std::fs::{self, File, Metadata};
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use rustix::process::{getegid, geteuid};
use tempfile::NamedTempFile;

use super::bounded::{self, ReadError};

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

/// Finds what makes a file or directory unsafe to trust: another user owns it or may write to it. Does not follow links; trusts
/// root.
pub fn find_danger(path: &Path) -> io::Result<Option<&'static str>> {
    Ok(danger(&fs::symlink_metadata(path)?))
}

/// Finds the same of an opened file.
pub fn find_danger_of(file: &File) -> io::Result<Option<&'static str>> {
    Ok(danger(&file.metadata()?))
}

fn danger(metadata: &Metadata) -> Option<&'static str> {
    let mode = metadata.mode();
    let is_in_group = metadata.gid() == getegid().as_raw();
    if metadata.is_symlink() {
        Some("is a symbolic link")
    } else if metadata.uid() != geteuid().as_raw() && metadata.uid() != 0 {
        Some("belongs to another user")
    } else if mode & 0o002 != 0 || (mode & 0o020 != 0 && !is_in_group) {
        Some("can be changed by other users")
    } else {
        None
    }
}

/// Finds a parent directory in which users can rename other users' files: everyone may write to it, and the sticky bit is not set.
pub fn find_open_parent(path: &Path) -> io::Result<Option<PathBuf>> {
    for parent in path.ancestors().skip(1) {
        let mode = fs::metadata(parent)?.mode();
        if mode & 0o002 != 0 && mode & 0o1000 == 0 {
            return Ok(Some(parent.to_owned()));
        }
    }
    Ok(None)
}

/// Creates a temporary file in `directory` that is renamed later, or removed when dropped.
///
/// It is locked, so other runs can tell it from a leftover of a killed run.
pub fn temporary(directory: &Path) -> io::Result<NamedTempFile> {
    loop {
        let file = tempfile::Builder::new().prefix(TEMPORARY).suffix(".tmp").tempfile_in(directory)?;
        let locked = flock(file.as_file(), FlockOperation::NonBlockingLockExclusive);
        // another run may have removed it before it was locked
        if locked != Err(Errno::WOULDBLOCK) && file.as_file().metadata()?.nlink() > 0 {
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
    if !fs::symlink_metadata(&path)?.is_file() || find_danger(&path)?.is_some() {
        return Ok(None);
    }
    let file = File::open(&path)?;
    flock(&file, FlockOperation::NonBlockingLockExclusive)?;
    Ok(Some(Leftover { file, path }))
}

/// Syncs a directory, so renames and removals in it survive a crash.
pub fn sync(directory: &Path) -> io::Result<()> {
    match File::open(directory)?.sync_all() {
        // some network file systems cannot sync a directory
        Err(error) if matches!(error.kind(), ErrorKind::InvalidInput | ErrorKind::Unsupported) => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_parent_that_everyone_may_write_to_is_found_unless_it_is_sticky() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("open/below/file");
        let open = folder.path().join("open");
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        for (mode, is_found) in [(0o755, false), (0o777, true), (0o1777, false)] {
            fs::set_permissions(&open, fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(find_open_parent(&path).unwrap().is_some_and(|parent| parent == open), is_found, "{mode:o}");
        }
    }

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

    #[test]
    fn what_another_user_owns_or_may_write_to_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        fs::create_dir(&path).unwrap();
        for (mode, danger) in [(0o755, None), (0o775, None), (0o757, Some("can be changed by other users"))] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(find_danger(&path).unwrap(), danger, "{mode:o}");
        }
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert_eq!(find_danger(&link).unwrap(), Some("is a symbolic link"));
        if geteuid().is_root() {
            std::os::unix::fs::chown(&path, Some(12345), None).unwrap();
            assert_eq!(find_danger(&path).unwrap(), Some("belongs to another user"));
        }
    }
}

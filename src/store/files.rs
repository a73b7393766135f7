//! Owns what stores do with files of this machine: read them with a limit, replace them whole, and say what went wrong.
//!
//! New files are readable by their owner only, since layers and configs carry secrets and a directory may be open to all.

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use rustix::process::{getegid, geteuid};
use tempfile::NamedTempFile;

use super::StoreError;
use crate::diagnostic::Diagnostic;
use crate::runtime::bounded::{self, ReadError};

/// What the name of every temporary file begins with; what is found of it later was left by a killed run.
const TEMPORARY: &str = ".secretbake-";

/// Reads a whole regular file of at most `limit` bytes; `None` if there is none.
///
/// # Errors
/// The operating system's; `InvalidInput` for what is not a regular file, `FileTooLarge` for more.
pub fn read(path: &Path, limit: u64) -> io::Result<Option<Vec<u8>>> {
    match bounded::read_file(path, limit) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(ReadError::Failed(error)) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Finds what makes a file or folder unsafe to rely on: another user who owns it or may write to it. Links are not followed; root is
/// trusted.
///
/// # Errors
/// The operating system's.
pub fn find_danger(path: &Path) -> io::Result<Option<&'static str>> {
    let metadata = fs::symlink_metadata(path)?;
    let mode = metadata.mode();
    let is_in_group = metadata.gid() == getegid().as_raw();
    Ok(if metadata.is_symlink() {
        Some("is a symbolic link")
    } else if metadata.uid() != geteuid().as_raw() && metadata.uid() != 0 {
        Some("belongs to another user")
    } else if mode & 0o002 != 0 || (mode & 0o020 != 0 && !is_in_group) {
        Some("can be changed by other users")
    } else {
        None
    })
}

/// Creates a temporary file that is renamed into `directory` later; it is removed when dropped.
///
/// It is locked, so that another run can tell it from one that a killed run left.
///
/// # Errors
/// The operating system's.
pub fn temporary(directory: &Path) -> io::Result<NamedTempFile> {
    loop {
        let file = tempfile::Builder::new().prefix(TEMPORARY).suffix(".tmp").tempfile_in(directory)?;
        let locked = flock(file.as_file(), FlockOperation::NonBlockingLockExclusive);
        // between the two another run may have taken it for a leftover
        if locked != Err(Errno::WOULDBLOCK) && file.as_file().metadata()?.nlink() > 0 {
            return Ok(file);
        }
    }
}

/// Removes what killed runs left in a directory.
pub fn remove_leftovers(directory: &Path) {
    leftovers(directory).into_iter().for_each(Leftover::remove);
}

/// A temporary file that stays, locked by this run.
pub struct Leftover {
    pub file: File,
    path: PathBuf,
}

impl Leftover {
    /// Leaves a temporary file to a later run, unless this one removes it.
    pub fn keep(file: NamedTempFile) -> io::Result<Self> {
        let (file, path) = file.keep().map_err(|error| error.error)?;
        Ok(Leftover { file, path })
    }

    pub fn remove(self) {
        // what cannot be removed is no reason to fail: it is in nobody's way
        let _ = fs::remove_file(self.path);
    }
}

/// Finds what killed runs left in a directory.
pub fn leftovers(directory: &Path) -> Vec<Leftover> {
    let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
    let is_temporary = |name: &str| name.starts_with(TEMPORARY) && name.ends_with(".tmp");
    let ours = entries.flatten().filter(|entry| entry.file_name().to_str().is_some_and(is_temporary));
    ours.filter_map(|entry| unlocked(entry.path()).ok().flatten()).collect()
}

fn unlocked(path: PathBuf) -> io::Result<Option<Leftover>> {
    if !fs::symlink_metadata(&path)?.is_file() {
        return Ok(None);
    }
    let file = File::open(&path)?;
    flock(&file, FlockOperation::NonBlockingLockExclusive)?;
    Ok(Some(Leftover { file, path }))
}

/// Makes renames and removals in a directory last.
///
/// # Errors
/// The operating system's.
pub fn sync(directory: &Path) -> io::Result<()> {
    match File::open(directory)?.sync_all() {
        // some network file systems cannot sync a directory
        Err(error) if matches!(error.kind(), ErrorKind::InvalidInput | ErrorKind::Unsupported) => Ok(()),
        other => other,
    }
}

/// Says why something could not be done (`doing`: "read", "write to") with what the user wrote as `shown`.
pub fn fault(doing: &str, shown: &str, error: &io::Error) -> StoreError {
    let diagnostic = match error.kind() {
        // what is written need not be there: then the system lets no file or directory be made
        ErrorKind::NotFound if doing == "write to" => {
            Diagnostic::error("path-not-found", format!("cannot {doing} `{shown}`: nothing can be made at this path"))
                .hint("name a path below a directory that you can write to")
        }
        ErrorKind::NotFound => Diagnostic::error("path-not-found", format!("there is no `{shown}`"))
            .hint("check the path: it is taken from the directory that secretbake runs in"),
        ErrorKind::PermissionDenied => {
            Diagnostic::error("permission-denied", format!("no permission to {doing} `{shown}`"))
                .hint("run as a user who may, or have its owner or mode changed")
        }
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
            Diagnostic::error("no-space", format!("no space left to {doing} `{shown}`"))
                .hint("free some space there and run again; nothing of the image was left behind")
        }
        ErrorKind::ReadOnlyFilesystem => {
            Diagnostic::error("read-only", format!("`{shown}` is on a read-only file system"))
                .hint("name a path on a file system that can be written to")
        }
        ErrorKind::NotADirectory | ErrorKind::IsADirectory | ErrorKind::AlreadyExists => {
            let is = if error.kind() == ErrorKind::IsADirectory { "is a directory" } else { "is not a directory" };
            Diagnostic::error("wrong-file-type", format!("cannot {doing} `{shown}`: it or a part of its path {is}"))
                .hint("oci: takes a directory; docker-archive: and oci-archive: take a file")
        }
        ErrorKind::InvalidInput | ErrorKind::FileTooLarge => {
            Diagnostic::error("wrong-file-type", format!("cannot {doing} `{shown}`: {error}"))
                .hint("check that it is the file you meant")
        }
        ErrorKind::BrokenPipe => {
            Diagnostic::error("broken-pipe", format!("`{shown}` was cut off: its reader has gone"))
                .hint("see why the program behind the pipe ended, and run again")
        }
        _ => Diagnostic::error("io-failed", format!("cannot {doing} `{shown}`: {error}"))
            .hint("check the file system and run again; nothing of the image was left behind"),
    };
    diagnostic.into()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

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

    #[test]
    fn each_kind_of_failure_has_a_code_of_its_own() {
        for (kind, code) in [
            (ErrorKind::NotFound, "path-not-found"),
            (ErrorKind::PermissionDenied, "permission-denied"),
            (ErrorKind::StorageFull, "no-space"),
            (ErrorKind::QuotaExceeded, "no-space"),
            (ErrorKind::ReadOnlyFilesystem, "read-only"),
            (ErrorKind::NotADirectory, "wrong-file-type"),
            (ErrorKind::TimedOut, "io-failed"),
        ] {
            let diagnostic = fault("write to", "oci:x", &kind.into()).0;
            assert_eq!(diagnostic.code, code);
            assert!(diagnostic.what.contains("`oci:x`") && !diagnostic.hints.is_empty());
        }
    }
}

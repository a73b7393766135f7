//! Writes the org file atomically and keeps its permissions.
//!
//! The new file is written next to the old one, synced, and renamed over it. It keeps the owner (if the system allows that),
//! group, mode and POSIX access control list, but no other extended attributes. A lock on the directory serializes changes.
//! Waiting for it has a limit, because users who may only read can take it too. The next change removes the leftovers of a killed
//! one. A member of the manage group who changes the file becomes its owner, because only root can give files away.

use std::fs::{self, File, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, Gid, IFlags, Uid};
use rustix::io::Errno;
use tempfile::NamedTempFile;
use zeroize::Zeroizing;

use super::file::{holds_a_key, open, read_all};
use super::rights::{ACCESS, cannot_change, directory, read_acl, refuse_others, write_acl};
use crate::diagnostic::{Diagnostic, Error};
use crate::manifest::yaml::MAX_BYTES;

/// The prefix and suffix of a temporary file's name.
const TEMPORARY: (&str, &str) = (".secretbake.org-", ".tmp");
/// How long to wait for another change.
const PATIENCE: Duration = Duration::from_secs(5);

/// Changes the file at `path`.
///
/// # Errors
/// The problems that `change` returns, or why the file cannot be read or written. The file is then unchanged.
pub fn update(
    path: &Path,
    change: impl FnOnce(&str) -> Result<Zeroizing<String>, Vec<Diagnostic>>,
) -> Result<(), Error> {
    // replace the link's target, not the link
    let path = &fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let _lock = lock(path)?;
    let (file, metadata) = open(path, "org file")?;
    let text = read_all(file, MAX_BYTES).map_err(|error| failed(path, &error))?;
    let text = std::str::from_utf8(text.expose()).map_err(|_| {
        let what = format!("{}: not UTF-8 text", path.display());
        Error::invalid(Diagnostic::error("not-utf8", what).hint("save the file as UTF-8"))
    })?;
    let changed = change(text).map_err(Error::invalid)?;
    if *changed == text {
        return Ok(());
    }
    let org = super::read(&path.display().to_string(), changed.as_bytes()).map_err(Error::invalid)?;
    if org.credentials.iter().any(holds_a_key) {
        refuse_others(path, &metadata, "would hold a key")?;
    }
    let write = || {
        let mut new = temporary(path)?;
        new.write_all(changed.as_bytes())?;
        let (uid, gid) = (Uid::from_raw(metadata.uid()), Gid::from_raw(metadata.gid()));
        let now = new.as_file().metadata()?;
        if now.gid() != metadata.gid() {
            rustix::fs::fchown(new.as_file(), None, Some(gid))?;
        }
        if now.uid() != metadata.uid() {
            // only root may; anyone else becomes the owner
            let _ = rustix::fs::fchown(new.as_file(), Some(uid), None);
        }
        new.as_file().set_permissions(Permissions::from_mode(metadata.mode() & 0o7777))?;
        match read_acl(path, ACCESS) {
            Some(acl) => write_acl(new.path(), ACCESS, &acl)?,
            // the old file has no list, but the directory gives new files one
            None if read_acl(new.path(), ACCESS).is_some() => rustix::fs::removexattr(new.path(), ACCESS)?,
            None => {}
        }
        new.as_file().sync_all()?;
        new.persist(path).map_err(|error| error.error)?;
        File::open(directory(path))?.sync_all()
    };
    write().map_err(|error| failed(path, &error))
}

/// Creates a file that only its owner may read and change. Fails if the file exists.
pub fn create(path: &Path, text: &str) -> Result<(), Error> {
    let _lock = lock(path)?;
    let write = || {
        let mut new = temporary(path)?;
        new.write_all(text.as_bytes())?;
        new.as_file().set_permissions(Permissions::from_mode(0o600))?;
        new.as_file().sync_all()?;
        new.persist_noclobber(path).map_err(|error| error.error)?;
        File::open(directory(path))?.sync_all()
    };
    write().map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => {
            let what = format!("{} already exists", path.display());
            Error::invalid(Diagnostic::error("exists", what).hint("change it with `secretbake credential add`"))
        }
        _ => failed(path, &error),
    })
}

fn temporary(path: &Path) -> io::Result<NamedTempFile> {
    tempfile::Builder::new().prefix(TEMPORARY.0).suffix(TEMPORARY.1).tempfile_in(directory(path))
}

/// Waits until nobody else is changing the file, then removes the leftovers of killed changes.
fn lock(path: &Path) -> Result<File, Error> {
    let lock = File::open(directory(path)).map_err(|error| failed(path, &error))?;
    let start = Instant::now();
    loop {
        match rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Err(Errno::WOULDBLOCK) if start.elapsed() < PATIENCE => thread::sleep(Duration::from_millis(50)),
            Err(Errno::WOULDBLOCK) => return Err(locked(path)),
            Err(Errno::INTR) => {}
            // a file system without locks is unlikely to have two writers
            Err(_) => return Ok(lock),
            Ok(()) => {
                remove_leftovers(directory(path));
                return Ok(lock);
            }
        }
    }
}

/// Removes the leftovers of killed changes. Call it with the lock held, so nobody else writes there.
fn remove_leftovers(directory: &Path) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let is_ours = name.to_str().is_some_and(|name| name.starts_with(TEMPORARY.0) && name.ends_with(TEMPORARY.1));
        if is_ours && entry.file_type().is_ok_and(|kind| kind.is_file()) {
            // a leftover that cannot be removed is harmless
            let _ = fs::remove_file(entry.path());
        }
    }
}

fn locked(path: &Path) -> Error {
    let directory = directory(path).display();
    let what =
        format!("cannot change {}: another process has held the lock of {directory} for seconds", path.display());
    let hint = format!("run again; if the lock stays, `lslocks` and `fuser -v {directory}` show the process");
    Error::failed(Diagnostic::error("locked", what).hint(hint))
}

pub(super) fn failed(path: &Path, error: &io::Error) -> Error {
    let unwritable = |why: &str| Diagnostic::error("unwritable", format!("cannot write {}: {why}", path.display()));
    let fixed = || [path, directory(path)].into_iter().find(|path| is_immutable(path)).map(Path::to_owned);
    Error::failed(match error.kind() {
        io::ErrorKind::PermissionDenied => match fixed() {
            None => return cannot_change(path),
            Some(fixed) => unwritable(&format!("{} is immutable", fixed.display()))
                .hint(format!("clear the flag with `chattr -ia {}`, then run again", fixed.display())),
        },
        io::ErrorKind::ReadOnlyFilesystem => unwritable("its file system is read-only")
            .hint("make the change where the file comes from, or mount its file system for writing"),
        io::ErrorKind::NotFound => {
            unwritable("its directory is not there").hint("make its directory first, or name another file with --org")
        }
        _ => unwritable(&error.to_string()).hint("check the disk and the file's directory"),
    })
}

/// Tells whether a file or directory has a flag that keeps even root from replacing its content.
fn is_immutable(path: &Path) -> bool {
    let flags = File::open(path).ok().and_then(|file| rustix::fs::ioctl_getflags(file).ok());
    flags.is_some_and(|flags| flags.intersects(IFlags::IMMUTABLE | IFlags::APPEND))
}

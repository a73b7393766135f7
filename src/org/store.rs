//! Owns the writing of the org file: all of it or nothing, with the rights that it has.
//!
//! A changed file is written beside the old one, flushed, and renamed over it. Owner (where the system allows that), group, mode
//! and POSIX access control list are the old file's; other extended attributes are not kept. A lock on the directory keeps two
//! changes apart; who may only read can take it too, so that it is not waited for without end. What a killed change left beside
//! the file the next one removes. A member of the manage group who changes the file becomes its owner, since only root can give
//! files away.

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

/// What the name of a file that is being written begins and ends with.
const TEMPORARY: (&str, &str) = (".secretbake.org-", ".tmp");
/// How long another change is waited for.
const PATIENCE: Duration = Duration::from_secs(5);

/// Changes the file at `path`.
///
/// # Errors
/// What `change` refuses, or why the file cannot be read or written; then it is as it was.
pub fn update(
    path: &Path,
    change: impl FnOnce(&str) -> Result<Zeroizing<String>, Vec<Diagnostic>>,
) -> Result<(), Error> {
    // behind a link, the file itself is replaced
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
            // only root may; everyone else becomes the owner
            let _ = rustix::fs::fchown(new.as_file(), Some(uid), None);
        }
        new.as_file().set_permissions(Permissions::from_mode(metadata.mode() & 0o7777))?;
        match read_acl(path, ACCESS) {
            Some(acl) => write_acl(new.path(), ACCESS, &acl)?,
            // an old file without a list in a directory that gives one
            None if read_acl(new.path(), ACCESS).is_some() => rustix::fs::removexattr(new.path(), ACCESS)?,
            None => {}
        }
        new.as_file().sync_all()?;
        new.persist(path).map_err(|error| error.error)?;
        File::open(directory(path))?.sync_all()
    };
    write().map_err(|error| failed(path, &error))
}

/// Makes a file that only its owner may read and change, if there is none.
///
/// # Errors
/// That there is one already, or why it cannot be written.
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
            let what = format!("{} exists already, and is left as it is", path.display());
            Error::invalid(Diagnostic::error("exists", what).hint("change it with `secretbake credential add`"))
        }
        _ => failed(path, &error),
    })
}

fn temporary(path: &Path) -> io::Result<NamedTempFile> {
    tempfile::Builder::new().prefix(TEMPORARY.0).suffix(TEMPORARY.1).tempfile_in(directory(path))
}

/// Waits until no one else changes the file, and removes what is left of a change that was killed.
fn lock(path: &Path) -> Result<File, Error> {
    let lock = File::open(directory(path)).map_err(|error| failed(path, &error))?;
    let start = Instant::now();
    loop {
        match rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Err(Errno::WOULDBLOCK) if start.elapsed() < PATIENCE => thread::sleep(Duration::from_millis(50)),
            Err(Errno::WOULDBLOCK) => return Err(locked(path)),
            Err(Errno::INTR) => {}
            // a file system without locks has no two writers worth the name
            Err(_) => return Ok(lock),
            Ok(()) => {
                remove_leftovers(directory(path));
                return Ok(lock);
            }
        }
    }
}

/// Removes what killed changes left. Under the lock nobody writes there.
fn remove_leftovers(directory: &Path) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let is_ours = name.to_str().is_some_and(|name| name.starts_with(TEMPORARY.0) && name.ends_with(TEMPORARY.1));
        if is_ours && entry.file_type().is_ok_and(|kind| kind.is_file()) {
            // what cannot be removed is no reason to fail: it is in nobody's way
            let _ = fs::remove_file(entry.path());
        }
    }
}

fn locked(path: &Path) -> Error {
    let directory = directory(path).display();
    let what =
        format!("cannot change {}: another process has held the lock of {directory} for seconds", path.display());
    let hint = format!("run again; if it stays so, `lslocks` and `fuser -v {directory}` say which process it is");
    Error::failed(Diagnostic::error("locked", what).hint(hint))
}

pub(super) fn failed(path: &Path, error: &io::Error) -> Error {
    let unwritable = |why: &str| Diagnostic::error("unwritable", format!("cannot write {}: {why}", path.display()));
    let fixed = || [path, directory(path)].into_iter().find(|path| is_immutable(path)).map(Path::to_owned);
    Error::failed(match error.kind() {
        io::ErrorKind::PermissionDenied => match fixed() {
            None => return cannot_change(path),
            Some(fixed) => unwritable(&format!("{} is immutable", fixed.display()))
                .hint(format!("take that off with `chattr -ia {}`, then run again", fixed.display())),
        },
        io::ErrorKind::ReadOnlyFilesystem => unwritable("its file system is read-only")
            .hint("make the change where the file comes from, or mount its file system for writing"),
        io::ErrorKind::NotFound => {
            unwritable("its directory is not there").hint("make its directory first, or name another file with --org")
        }
        _ => unwritable(&error.to_string()).hint("check the disk and the file's directory"),
    })
}

/// Tells whether a file or directory is marked so that not even root may replace what it holds.
fn is_immutable(path: &Path) -> bool {
    let flags = File::open(path).ok().and_then(|file| rustix::fs::ioctl_getflags(file).ok());
    flags.is_some_and(|flags| flags.intersects(IFlags::IMMUTABLE | IFlags::APPEND))
}

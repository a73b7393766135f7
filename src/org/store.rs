//! Writes the org file atomically and keeps its permissions.
//!
//! The new file is written next to the old one, synced, and renamed over it. It keeps the owner (if the system allows that),
//! group, mode and POSIX access control list, but no other extended attributes. A lock on the directory serializes changes.
//! Waiting for it has a limit, because users who may only read can take it too. The next change removes the leftovers of a killed
//! one. A member of the manage group who changes the file becomes its owner, because only root can give files away.

use std::fs;
use std::io::{self, Write as _};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use tempfile::NamedTempFile;
use zeroize::Zeroizing;

use super::file::{holds_a_key, open, read_all};
use super::rights::{cannot_change, directory, refuse_others};
use crate::diagnostic::command::with_org;
use crate::diagnostic::{Diagnostic, Error};
use crate::manifest::yaml::MAX_BYTES;
use crate::runtime::platform::{self, DirectoryLock};

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
        platform::copy_rights(path, &metadata, new.as_file(), new.path())?;
        new.as_file().sync_all()?;
        new.persist(path).map_err(|error| error.error)?;
        platform::sync_directory(directory(path))
    };
    write().map_err(|error| failed(path, &error))
}

/// Creates a file that only its owner may read and change. Fails if the file exists.
pub fn create(path: &Path, text: &str) -> Result<(), Error> {
    let _lock = lock(path)?;
    let write = || {
        let mut new = temporary(path)?;
        new.write_all(text.as_bytes())?;
        platform::make_private(new.as_file())?;
        new.as_file().sync_all()?;
        new.persist_noclobber(path).map_err(|error| error.error)?;
        platform::sync_directory(directory(path))
    };
    write().map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => {
            let what = format!("{} already exists", path.display());
            let hint = format!("change it with `{}`", with_org("credential add"));
            Error::invalid(Diagnostic::error("exists", what).hint(hint))
        }
        _ => failed(path, &error),
    })
}

fn temporary(path: &Path) -> io::Result<NamedTempFile> {
    tempfile::Builder::new().prefix(TEMPORARY.0).suffix(TEMPORARY.1).tempfile_in(directory(path))
}

/// Waits until nobody else is changing the file, then removes the leftovers of killed changes.
fn lock(path: &Path) -> Result<DirectoryLock, Error> {
    let start = Instant::now();
    loop {
        match DirectoryLock::try_acquire(directory(path)).map_err(|error| failed(path, &error))? {
            None if start.elapsed() < PATIENCE => thread::sleep(Duration::from_millis(50)),
            None => return Err(locked(path)),
            Some(lock) => {
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
    let flagged =
        || [path, directory(path)].into_iter().find_map(|path| Some((path, platform::change_flag_fix(path)?)));
    Error::failed(match error.kind() {
        io::ErrorKind::PermissionDenied => match flagged() {
            None => return cannot_change(path),
            Some((flagged, fix)) => unwritable(&format!("{} is immutable", flagged.display()))
                .hint(format!("clear the flag with `{fix}`, then run again")),
        },
        io::ErrorKind::ReadOnlyFilesystem => unwritable("its file system is read-only")
            .hint("make the change where the file comes from, or mount its file system for writing"),
        io::ErrorKind::NotFound => {
            unwritable("its directory is not there").hint("make its directory first, or name another file with --org")
        }
        _ => unwritable(&error.to_string()).hint("check the disk and the file's directory"),
    })
}

//! Opening, locking and syncing files.

use std::fs::{self, DirBuilder, File, Permissions};
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::os::unix::fs::{
    DirBuilderExt as _, FileExt as _, FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _,
};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FlockOperation, Mode, OFlags, flock, linkat, openat};
use rustix::io::Errno;

/// Opens a file. Does not hang on a pipe without a writer, and an opened terminal does not become the controlling one.
pub fn open_without_waiting(path: &Path) -> io::Result<File> {
    open_with(path, OFlags::empty())
}

/// Does the same; `None` if the path is a link.
pub fn open_own_without_waiting(path: &Path) -> io::Result<Option<File>> {
    match open_with(path, OFlags::NOFOLLOW) {
        Err(error) if error.raw_os_error() == Some(Errno::LOOP.raw_os_error()) => Ok(None),
        opened => opened.map(Some),
    }
}

fn open_with(path: &Path, flags: OFlags) -> io::Result<File> {
    let flags = flags | OFlags::NONBLOCK | OFlags::NOCTTY;
    File::options().read(true).custom_flags(flags.bits().cast_signed()).open(path)
}

/// Tells whether a path leads to a device, such as `/dev/zero`.
pub fn is_device(metadata: &fs::Metadata) -> bool {
    metadata.file_type().is_char_device() || metadata.file_type().is_block_device()
}

/// Opens a directory.
pub fn open_directory(path: &Path) -> io::Result<File> {
    File::open(path)
}

/// Opens the directory that has the last name of `path` in an opened one, and not one that a link leads to.
///
/// It opens one name at a time, so `openat` suffices; `openat2` guards whole paths, and only Linux has it.
pub fn open_directory_below(parent: &File, path: &Path) -> io::Result<File> {
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(openat(parent, name, flags, Mode::empty())?.into())
}

/// Returns a path that leads to an opened file or directory, or its own path where the system has none.
pub fn lasting_path(file: &File, path: &Path) -> PathBuf {
    let lasting = of_descriptor(file);
    if lasting.exists() { lasting } else { path.to_owned() }
}

fn of_descriptor(file: &File) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()))
}

/// Makes a hard link to an opened file. Fails without `/proc`.
pub fn link_file(file: &File, to: &Path) -> io::Result<()> {
    Ok(linkat(CWD, of_descriptor(file), CWD, to, AtFlags::SYMLINK_FOLLOW)?)
}

/// Returns standard input itself, because std's handle keeps what it reads in a buffer that is not wiped.
pub fn standard_input() -> io::Result<File> {
    Ok(File::from(io::stdin().as_fd().try_clone_to_owned()?))
}

/// Reads at an offset, whatever the file's position is.
pub fn read_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    file.read_at(buffer, offset)
}

/// Returns a builder of directories that only their owner may use.
pub fn private_directories() -> DirBuilder {
    let mut builder = DirBuilder::new();
    builder.mode(0o700);
    builder
}

/// Lets only its owner read and write a file.
pub fn make_private(file: &File) -> io::Result<()> {
    file.set_permissions(Permissions::from_mode(0o600))
}

/// Tells whether an open file has no name any more.
pub fn is_deleted(file: &File) -> io::Result<bool> {
    Ok(file.metadata()?.nlink() == 0)
}

/// Syncs a directory, so renames and removals in it survive a crash.
pub fn sync_directory(directory: &Path) -> io::Result<()> {
    match File::open(directory)?.sync_all() {
        // some network file systems cannot sync a directory
        Err(error) if matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported) => Ok(()),
        other => other,
    }
}

/// A lock on a directory. The system releases it when the program ends.
#[derive(Debug)]
pub struct DirectoryLock(File);

impl DirectoryLock {
    /// Takes the lock; `None` if another process or task has it. A file system without locks counts as unlocked.
    pub fn try_acquire(directory: &Path) -> io::Result<Option<Self>> {
        let file = File::open(directory)?;
        loop {
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Err(Errno::INTR) => {}
                Err(Errno::WOULDBLOCK) => return Ok(None),
                Ok(()) | Err(Errno::BADF | Errno::NOLCK | Errno::NOSYS | Errno::OPNOTSUPP) => {
                    return Ok(Some(DirectoryLock(file)));
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Returns the locked directory.
    pub fn directory(&self) -> io::Result<File> {
        self.0.try_clone()
    }

    /// Tells whether the locked directory still has this path.
    pub fn is_of(&self, directory: &Path) -> bool {
        match (self.0.metadata(), fs::metadata(directory)) {
            (Ok(locked), Ok(there)) => (locked.dev(), locked.ino()) == (there.dev(), there.ino()),
            _ => false,
        }
    }
}

//! Opening and locking files.

use std::fs::{DirBuilder, File, Metadata};
use std::io;
use std::os::windows::fs::{FileExt as _, OpenOptionsExt as _};
use std::os::windows::io::AsHandle as _;
use std::path::{Path, PathBuf};

/// `FILE_FLAG_DELETE_ON_CLOSE`: the system removes the file, even if the program is killed.
const DELETE_ON_CLOSE: u32 = 0x0400_0000;
/// `FILE_FLAG_BACKUP_SEMANTICS`, which lets a directory be opened.
const OPEN_DIRECTORY: u32 = 0x0200_0000;
/// `FILE_FLAG_OPEN_REPARSE_POINT`, which opens a link itself.
const OPEN_LINK: u32 = 0x0020_0000;
/// `ERROR_ACCESS_DENIED` and `ERROR_SHARING_VIOLATION`: another process has the lock file, or is about to remove it.
const TAKEN: [i32; 2] = [5, 32];
/// The file in a locked directory.
const LOCK: &str = ".secretbake.lock";

/// Opens a file.
pub fn open_without_waiting(path: &Path) -> io::Result<File> {
    File::open(path)
}

/// Does the same; a link is opened itself, and is not a regular file.
pub fn open_own_without_waiting(path: &Path) -> io::Result<Option<File>> {
    File::options().read(true).custom_flags(OPEN_LINK).open(path).map(Some)
}

/// Tells whether a path leads to a device. Those of Windows have no metadata.
pub fn is_device(_: &Metadata) -> bool {
    false
}

/// Opens a directory.
pub fn open_directory(path: &Path) -> io::Result<File> {
    File::options().read(true).custom_flags(OPEN_DIRECTORY).open(path)
}

/// Opens a directory, and not one that a link leads to. Its parent is the one that has the path now.
pub fn open_directory_below(_: &File, path: &Path) -> io::Result<File> {
    let directory = File::options().read(true).custom_flags(OPEN_DIRECTORY | OPEN_LINK).open(path)?;
    if directory.metadata()?.is_dir() { Ok(directory) } else { Err(io::ErrorKind::NotADirectory.into()) }
}

/// Returns the path: no other leads to an opened file.
pub fn lasting_path(_: &File, path: &Path) -> PathBuf {
    path.to_owned()
}

/// Fails: an opened file cannot be linked.
pub fn link_file(_: &File, _: &Path) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Returns standard input itself, because std's handle keeps what it reads in a buffer that is not wiped.
pub fn standard_input() -> io::Result<File> {
    Ok(File::from(io::stdin().as_handle().try_clone_to_owned()?))
}

/// Reads at an offset. Moves the file's position, which nobody uses.
pub fn read_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    file.seek_read(buffer, offset)
}

/// Returns a builder of directories; they get the rights of their parent.
pub fn private_directories() -> DirBuilder {
    DirBuilder::new()
}

/// Does nothing: a new file has the rights of its directory.
pub fn make_private(_: &File) -> io::Result<()> {
    Ok(())
}

/// Returns `false`: an open file keeps its name.
pub fn is_deleted(_: &File) -> io::Result<bool> {
    Ok(false)
}

/// Does nothing: a directory cannot be synced, and NTFS keeps a journal.
pub fn sync_directory(_: &Path) -> io::Result<()> {
    Ok(())
}

/// A lock on a directory: a file in it that nobody else can open. The system removes it when the program ends.
#[derive(Debug)]
pub struct DirectoryLock {
    directory: PathBuf,
    _file: File,
}

impl DirectoryLock {
    /// Takes the lock; `None` if another process or task has it.
    pub fn try_acquire(directory: &Path) -> io::Result<Option<Self>> {
        let mut options = File::options();
        options.write(true).create(true).truncate(false).share_mode(0).custom_flags(DELETE_ON_CLOSE);
        match options.open(directory.join(LOCK)) {
            Ok(file) => Ok(Some(DirectoryLock { directory: directory.to_owned(), _file: file })),
            Err(error) if error.raw_os_error().is_some_and(|code| TAKEN.contains(&code)) => {
                // a directory that this user may not write to is no lock to wait for
                if directory.metadata()?.permissions().readonly() { Err(error) } else { Ok(None) }
            }
            Err(error) => Err(error),
        }
    }

    /// Returns the locked directory.
    pub fn directory(&self) -> io::Result<File> {
        open_directory(&self.directory)
    }

    /// Returns `true`: nobody can remove a directory with an open file in it.
    pub fn is_of(&self, _: &Path) -> bool {
        true
    }
}

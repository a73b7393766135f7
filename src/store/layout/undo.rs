//! Owns the undo of a failed write to a layout.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use crate::runtime::{files, platform};

/// The steps of a write. Dropping it undoes them, the last one first, and ignores failures.
#[derive(Default)]
pub(super) struct Undo(Vec<Step>);

enum Step {
    CreatedFile(PathBuf),
    CreatedDirectory(PathBuf),
    /// A file that had these bytes.
    Replaced(PathBuf, Vec<u8>),
}

impl Undo {
    /// Creates a directory and its missing parents. Only the owner may use the directory itself, since secrets are written there.
    pub(super) fn create_directory(&mut self, path: &Path) -> io::Result<()> {
        let mut missing = Vec::new();
        for directory in path.ancestors().filter(|directory| !directory.as_os_str().is_empty()) {
            if directory.try_exists()? {
                break;
            }
            missing.push(directory);
        }
        for directory in missing.into_iter().rev() {
            let builder = if directory == path { platform::private_directories() } else { fs::DirBuilder::new() };
            match builder.create(directory) {
                Ok(()) => self.0.push(Step::CreatedDirectory(directory.to_owned())),
                // another run created it first
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists && directory.is_dir() => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Notes a file that is new.
    pub(super) fn created(&mut self, file: &Path) {
        self.0.push(Step::CreatedFile(file.to_owned()));
    }

    /// Notes a file that replaced another.
    pub(super) fn replaced(&mut self, file: &Path, old: Vec<u8>) {
        self.0.push(Step::Replaced(file.to_owned(), old));
    }

    /// Forgets the steps, since the write succeeded.
    pub(super) fn forget(&mut self) {
        self.0.clear();
    }
}

impl Drop for Undo {
    fn drop(&mut self) {
        for step in self.0.drain(..).rev() {
            // the user is told the failure that led here, not one of these
            let _ = match step {
                Step::CreatedFile(path) => fs::remove_file(path),
                // fails if another run wrote something there meanwhile
                Step::CreatedDirectory(path) => fs::remove_dir(path),
                Step::Replaced(path, old) => restore(&path, &old),
            };
        }
    }
}

fn restore(path: &Path, old: &[u8]) -> io::Result<()> {
    let permissions = fs::metadata(path)?.permissions();
    let mut file = files::temporary(path.parent().unwrap_or(Path::new(".")))?;
    file.write_all(old)?;
    file.as_file().set_permissions(permissions)?;
    file.persist(path)?;
    Ok(())
}

//! Owns the way back: what a write has changed so far, undone unless the write succeeds.

use std::fs::{self, DirBuilder};
use std::io::{self, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use crate::runtime::files;

/// The steps of a write. Dropping it undoes them, the last one first; that it cannot fail is why it holds so little.
#[derive(Default)]
pub struct Undo(Vec<Step>);

enum Step {
    CreatedFile(PathBuf),
    CreatedDirectory(PathBuf),
    /// A file that had these bytes.
    Replaced(PathBuf, Vec<u8>),
}

impl Undo {
    /// Creates a directory and those above it, where they are missing. The directory itself is its owner's alone: what is
    /// written there are secrets.
    ///
    /// # Errors
    /// The operating system's.
    pub fn create_directory(&mut self, path: &Path) -> io::Result<()> {
        let mut missing = Vec::new();
        for directory in path.ancestors().filter(|directory| !directory.as_os_str().is_empty()) {
            if directory.try_exists()? {
                break;
            }
            missing.push(directory);
        }
        for directory in missing.into_iter().rev() {
            match DirBuilder::new().mode(if directory == path { 0o700 } else { 0o777 }).create(directory) {
                Ok(()) => self.0.push(Step::CreatedDirectory(directory.to_owned())),
                // another run was faster
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists && directory.is_dir() => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Notes a file that is new.
    pub fn created(&mut self, file: &Path) {
        self.0.push(Step::CreatedFile(file.to_owned()));
    }

    /// Notes a file that replaced another.
    pub fn replaced(&mut self, file: &Path, old: Vec<u8>) {
        self.0.push(Step::Replaced(file.to_owned(), old));
    }

    /// Forgets the way back: the write succeeded.
    pub fn forget(&mut self) {
        self.0.clear();
    }
}

impl Drop for Undo {
    fn drop(&mut self) {
        for step in self.0.drain(..).rev() {
            // each step as far as it goes: the failure that led here is what the user is told
            let _ = match step {
                Step::CreatedFile(path) => fs::remove_file(path),
                // what another run put there meanwhile keeps it
                Step::CreatedDirectory(path) => fs::remove_dir(path),
                Step::Replaced(path, old) => put_back(&path, &old),
            };
        }
    }
}

fn put_back(path: &Path, old: &[u8]) -> io::Result<()> {
    let permissions = fs::metadata(path)?.permissions();
    let mut file = files::temporary(path.parent().unwrap_or(Path::new(".")))?;
    file.write_all(old)?;
    file.as_file().set_permissions(permissions)?;
    file.persist(path)?;
    Ok(())
}

//! The sealed files: opens all of them, then writes each one that is not there yet.
//!
//! Owns the order of system calls by which a file appears whole, with its owner and mode, or not at all.

use crate::sealed::Key;
use crate::sys;
use core::ffi::CStr;
use rustix::fd::OwnedFd;
use rustix::fs::{Gid, Mode, OFlags, Uid};
use rustix::io::Errno;
use rustix::rand::GetRandomFlags;
use secretbake_launcher::failure::Failure;
use secretbake_launcher::seal::failure::SealFailure;
use secretbake_launcher::seal::index::{self, CiphertextPath, Index, SealedFile};
use secretbake_launcher::seal::path::{PathBuffer, for_each_directory};
use secretbake_launcher::seal::state::FileState;

/// A sealed file and its content.
#[derive(Clone, Copy)]
pub struct OpenedFile {
    pub file: SealedFile<'static>,
    content: &'static [u8],
}

/// Opens every sealed file.
pub fn open(key: &Key) -> Result<&'static [OpenedFile], Failure<'static>> {
    let bytes = match sys::map_file(index::PATH) {
        Err(Errno::NOENT | Errno::NOTDIR) => return Ok(&[]),
        bytes => bytes.map_err(|errno| unreadable(index::PATH, errno))?,
    };
    let index = Index::parse(bytes).map_err(|record| Failure::Sealed(SealFailure::IndexMalformed(record)))?;
    let Some(first) = index.files().next() else { return Ok(&[]) };
    let opened = sys::allocate(index.count(), OpenedFile { file: first, content: &[] }).ok_or(Failure::OutOfMemory)?;
    for (position, (file, opened)) in index.files().zip(&mut *opened).enumerate() {
        let ciphertext = CiphertextPath::new(position);
        let sealed = sys::map_private(ciphertext.as_c_str()).map_err(|errno| unreadable(file.path, errno))?;
        *opened = OpenedFile { file, content: key.open(file.path, sealed)? };
    }
    Ok(opened)
}

fn unreadable(path: &'static CStr, errno: Errno) -> Failure<'static> {
    match errno {
        Errno::NOMEM => Failure::OutOfMemory,
        errno => Failure::Sealed(SealFailure::Unreadable(path.to_bytes(), errno)),
    }
}

impl OpenedFile {
    /// Returns what is at its path.
    pub fn state(&self) -> FileState {
        let stat = match rustix::fs::stat(self.file.path) {
            Ok(stat) => stat,
            Err(Errno::NOENT | Errno::NOTDIR) => return FileState::Missing,
            Err(errno) => return FileState::Unreadable(errno),
        };
        match sys::map_file(self.file.path) {
            Err(errno) => FileState::Unreadable(errno),
            Ok(content) if content != self.content => FileState::Changed,
            Ok(_) if self.has_rights(&stat) => FileState::Written,
            Ok(_) => FileState::OtherRights,
        }
    }

    /// Writes it, unless it is there.
    pub fn write(&self) -> Result<(), Failure<'static>> {
        if self.state() == FileState::Written {
            return Ok(());
        }
        let cannot_write = |errno| Failure::Sealed(SealFailure::CannotWrite(self.file, errno));
        let temporary = temporary_path(self.file.path).map_err(cannot_write)?;
        let temporary = temporary.as_c_str();
        let descriptor = match create(temporary) {
            Err(Errno::NOENT) => make_directories(self.file.path).and_then(|()| create(temporary)),
            created => created,
        }
        .map_err(cannot_write)?;
        let done = self.fill(descriptor).and_then(|()| {
            rustix::fs::rename(temporary, self.file.path).map_err(|errno| SealFailure::CannotWrite(self.file, errno))
        });
        done.map_err(|failure| {
            // if it cannot be removed, the failure to report is still the first one
            let _ = rustix::fs::unlink(temporary);
            Failure::Sealed(failure)
        })
    }

    /// Writes the content to a new file and gives it its mode and owner.
    fn fill(&self, descriptor: OwnedFd) -> Result<(), SealFailure<'static>> {
        let file = self.file;
        let cannot_write = |errno| SealFailure::CannotWrite(file, errno);
        let mut rest = self.content;
        while !rest.is_empty() {
            match rustix::io::write(&descriptor, rest) {
                Ok(0) => return Err(cannot_write(Errno::NOSPC)),
                Ok(written) => rest = rest.get(written..).unwrap_or_default(),
                Err(Errno::INTR) => {}
                Err(errno) => return Err(cannot_write(errno)),
            }
        }
        // the mode first: who has given a file away cannot change its mode any more
        rustix::fs::fchmod(&descriptor, Mode::from_raw_mode(file.mode)).map_err(cannot_write)?;
        let stat = rustix::fs::fstat(&descriptor).map_err(cannot_write)?;
        if self.has_rights(&stat) {
            return Ok(());
        }
        let (uid, gid) = (file.uid.map(Uid::from_raw), file.gid.map(Gid::from_raw));
        rustix::fs::fchown(&descriptor, uid, gid).map_err(|errno| SealFailure::CannotOwn(file, errno))
    }

    fn has_rights(&self, stat: &rustix::fs::Stat) -> bool {
        let SealedFile { mode, uid, gid, .. } = self.file;
        stat.st_mode & 0o7777 == mode
            && uid.is_none_or(|uid| uid == stat.st_uid)
            && gid.is_none_or(|gid| gid == stat.st_gid)
    }
}

/// Returns a path for the time of writing, next to the file and unlike any other.
fn temporary_path(path: &CStr) -> Result<PathBuffer, Errno> {
    let mut random = [0; 8];
    rustix::rand::getrandom(&mut random, GetRandomFlags::empty())?;
    PathBuffer::temporary(path, random).ok_or(Errno::NAMETOOLONG)
}

fn create(path: &CStr) -> Result<OwnedFd, Errno> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    rustix::fs::open(path, flags, Mode::RUSR | Mode::WUSR)
}

/// Makes the directories that a file lacks.
fn make_directories(path: &CStr) -> Result<(), Errno> {
    let mode = Mode::RWXU | Mode::RGRP | Mode::XGRP | Mode::ROTH | Mode::XOTH;
    for_each_directory(path, |directory| match rustix::fs::mkdir(directory, mode) {
        Err(Errno::EXIST) | Ok(()) => Ok(()),
        Err(errno) => Err(errno),
    })
}

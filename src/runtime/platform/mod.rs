//! Owns what differs between operating systems: rights on files, signals, folders, the terminal and local sockets.
//!
//! Both halves have the same functions, and only here is code chosen by operating system. What a system lacks, its half says in
//! its own documentation; docs/install.md tells the user.

#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

use std::ffi::OsString;
use std::path::PathBuf;

#[cfg(unix)]
pub use unix::*;
#[cfg(windows)]
pub use windows::*;

/// Looks up an environment variable that is not empty.
pub type Lookup<'a> = &'a dyn Fn(&str) -> Option<OsString>;

/// The folders of a user and a machine.
#[derive(Debug, Clone, Default)]
pub struct Folders {
    pub home: Option<PathBuf>,
    /// For data that can be made again.
    pub cache: Option<PathBuf>,
    /// For the user's configuration.
    pub config: Option<PathBuf>,
    /// For the configuration of all users.
    pub machine: Option<PathBuf>,
}

/// Why a file with a key is open to others, and the command or step that closes it.
#[derive(Debug)]
pub struct OpenToOthers {
    pub why: String,
    pub fix: String,
}

/// Why a group cannot be given rights.
#[derive(Debug)]
pub struct NoGroup {
    pub what: String,
    pub hint: String,
}

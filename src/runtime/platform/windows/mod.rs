//! Windows. It has no owner, group and mode, but access control lists that a new file takes from its folder. Their rule here is
//! simple: Windows closes the folder of a user's profile to other users, so what needs to be closed must be in it.

mod access;
mod files;
mod process;
mod terminal;

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::net::windows::named_pipe::ClientOptions;

pub use self::access::*;
pub use self::files::*;
pub use self::process::*;
pub use self::terminal::read_hidden;
use super::{Folders, Lookup};

/// The address of the machine's own container engine.
pub const DEFAULT_ENGINE: &str = "npipe:////./pipe/docker_engine";

/// `ERROR_PIPE_BUSY`: every instance of a named pipe is in use for the moment.
const PIPE_BUSY: i32 = 231;

/// Finds the folders: those of Windows, unless the variables of the XDG base directories are set.
pub fn folders(lookup: Lookup<'_>) -> Folders {
    let path = |name: &str| lookup(name).map(PathBuf::from);
    Folders {
        home: path("USERPROFILE").or_else(std::env::home_dir),
        cache: path("XDG_CACHE_HOME").or_else(|| path("LOCALAPPDATA")),
        config: path("XDG_CONFIG_HOME").or_else(|| path("APPDATA")),
        machine: path("ProgramData"),
    }
}

/// Fails: the engines of Windows listen on named pipes.
pub async fn connect_unix(_: &Path) -> io::Result<TcpStream> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "engines on Windows have a named pipe: npipe:////./pipe/NAME"))
}

/// Connects to a named pipe. The caller limits the time.
pub async fn connect_pipe(path: &Path) -> io::Result<impl AsyncRead + AsyncWrite + Send + Unpin + use<>> {
    loop {
        match ClientOptions::new().open(path) {
            Err(error) if error.raw_os_error() == Some(PIPE_BUSY) => {}
            other => return other,
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

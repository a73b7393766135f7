//! Linux and macOS. What only one of them has is in `linux.rs` and `macos.rs`.

mod access;
mod files;
mod process;
mod terminal;

#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "linux")]
use linux as system;
#[cfg(not(target_os = "linux"))]
mod macos;
use std::io;
use std::path::{Path, PathBuf};

#[cfg(not(target_os = "linux"))]
use macos as system;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::UnixStream;

pub use self::access::*;
pub use self::files::*;
pub use self::process::*;
pub use self::system::{pid_scope, start_time};
pub use self::terminal::read_hidden;
use super::{Folders, Lookup};

/// The address of the machine's own container engine.
pub const DEFAULT_ENGINE: &str = "unix:///var/run/docker.sock";

/// Finds the folders: those of the XDG base directories on macOS too, as the Docker CLI and git do.
pub fn folders(lookup: Lookup<'_>) -> Folders {
    let path = |name: &str| lookup(name).map(PathBuf::from);
    let home = path("HOME");
    let below = |name: &str| home.as_ref().map(|home| home.join(name));
    Folders {
        cache: path("XDG_CACHE_HOME").or_else(|| below(".cache")),
        config: path("XDG_CONFIG_HOME").or_else(|| below(".config")),
        machine: Some("/etc".into()),
        home,
    }
}

/// Connects to a Unix socket.
pub async fn connect_unix(path: &Path) -> io::Result<impl AsyncRead + AsyncWrite + Send + Unpin + use<>> {
    UnixStream::connect(path).await
}

/// Fails: only Windows has named pipes of this kind.
pub async fn connect_pipe(_: &Path) -> io::Result<UnixStream> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "only Windows has named pipes"))
}

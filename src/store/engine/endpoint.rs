//! Owns the address of an engine: a Unix socket, a named pipe of Windows, a TCP host with or without TLS, or a machine over ssh.

use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

use crate::diagnostic::{Diagnostic, ForeignText};
use crate::store::{StoreError, is_this_machine};

/// The address of an engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Endpoint {
    Unix(PathBuf),
    /// A path such as `//./pipe/docker_engine`.
    Pipe(PathBuf),
    Tcp {
        host: String,
        port: u16,
    },
    Tls {
        host: String,
        port: u16,
        files: TlsFiles,
    },
    Ssh(SshTarget),
}

/// The PEM files for TLS. Without a CA, the system's certificates are trusted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TlsFiles {
    pub ca: Option<PathBuf>,
    pub cert: Option<PathBuf>,
    pub key: Option<PathBuf>,
}

/// A machine whose engine is reached by `ssh … docker system dial-stdio`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SshTarget {
    /// The ssh client: a path, or a name in PATH.
    pub program: PathBuf,
    pub user: Option<String>,
    pub host: String,
    pub port: Option<u16>,
    /// The socket on that machine, if it is not the default one.
    pub socket: Option<String>,
    /// Environment variables that are removed for the ssh client.
    pub withheld: Vec<OsString>,
}

impl Endpoint {
    /// Parses an address; `tls` turns `tcp://` into TLS.
    pub fn parse(address: &str, tls: Option<TlsFiles>) -> Result<Self, StoreError> {
        let wrong = || {
            let what = format!("invalid address of a container engine: {}", ForeignText::new(without_login(address)));
            let hint = "write unix:///PATH, tcp://HOST:PORT or ssh://[USER@]HOST[:PORT] in DOCKER_HOST";
            StoreError::from(Diagnostic::error("engine-address", what).hint(hint))
        };
        let (scheme, rest) = address.split_once("://").ok_or_else(wrong)?;
        if scheme != "unix" && user_info(rest).is_some_and(|user| user.contains(':')) {
            return Err(password(address));
        }
        match scheme {
            "unix" if !rest.is_empty() => Ok(Endpoint::Unix(rest.into())),
            "npipe" if is_pipe(rest) => Ok(Endpoint::Pipe(rest.into())),
            "tcp" => {
                let default = if tls.is_some() { 2376 } else { 2375 };
                let (host, port) = host_and_port(rest.trim_end_matches('/')).ok_or_else(wrong)?;
                let port = port.unwrap_or(default);
                Ok(match tls {
                    Some(files) => Endpoint::Tls { host, port, files },
                    None => Endpoint::Tcp { host, port },
                })
            }
            "ssh" => {
                let (authority, socket) = rest.split_once('/').map_or((rest, ""), |(host, path)| (host, path));
                let (user, host) =
                    authority.rsplit_once('@').map_or((None, authority), |(user, host)| (Some(user), host));
                let (host, port) = host_and_port(host).ok_or_else(wrong)?;
                // ssh would parse either one like an option
                if host.starts_with('-') || user.is_some_and(|user| user.is_empty() || user.starts_with('-')) {
                    return Err(wrong());
                }
                Ok(Endpoint::Ssh(SshTarget {
                    program: "ssh".into(),
                    user: user.map(str::to_owned),
                    host,
                    port,
                    socket: (!socket.is_empty()).then(|| format!("/{socket}")),
                    withheld: Vec::new(),
                }))
            }
            _ => Err(wrong()),
        }
    }
}

impl Endpoint {
    /// Returns whether others on the network can read the connection.
    pub(super) fn is_unencrypted(&self) -> bool {
        let Endpoint::Tcp { host, .. } = self else { return false };
        !is_this_machine(host)
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Endpoint::Unix(path) => write!(f, "unix://{}", path.display()),
            Endpoint::Pipe(path) => write!(f, "npipe://{}", path.display()),
            Endpoint::Tcp { host, port } | Endpoint::Tls { host, port, .. } => write!(f, "tcp://{host}:{port}"),
            Endpoint::Ssh(ssh) => {
                write!(f, "ssh://")?;
                if let Some(user) = &ssh.user {
                    write!(f, "{user}@")?;
                }
                f.write_str(&ssh.host)?;
                if let Some(port) = ssh.port {
                    write!(f, ":{port}")?;
                }
                f.write_str(ssh.socket.as_deref().unwrap_or_default())
            }
        }
    }
}

impl TlsFiles {
    /// Returns the files in a directory that have Docker's names.
    pub fn inside(dir: &Path) -> Self {
        let file = |name: &str| Some(dir.join(name)).filter(|path| path.exists());
        TlsFiles { ca: file("ca.pem"), cert: file("cert.pem"), key: file("key.pem") }
    }
}

/// Tells whether a path is that of a named pipe: `//MACHINE/pipe/NAME`, with slashes or backslashes.
fn is_pipe(path: &str) -> bool {
    let path = path.replace('\\', "/");
    let mut parts = path.strip_prefix("//").unwrap_or_default().splitn(3, '/');
    let mut part = || parts.next().unwrap_or_default();
    !part().is_empty() && part().eq_ignore_ascii_case("pipe") && !part().is_empty()
}

/// Returns the part before the last `@`: a password may itself contain one.
fn user_info(rest: &str) -> Option<&str> {
    rest.rsplit_once('@').map(|(user, _)| user)
}

/// Returns an address without its user and password, for messages.
fn without_login(address: &str) -> String {
    let (scheme, rest) = match address.split_once("://") {
        Some((scheme, rest)) => (format!("{scheme}://"), rest),
        None => (String::new(), address),
    };
    match rest.rsplit_once('@') {
        Some((_, host)) => format!("{scheme}***@{host}"),
        None => address.to_owned(),
    }
}

/// Refuses an address with a password, which would appear in errors and in the arguments of ssh.
fn password(address: &str) -> StoreError {
    let hint = match address.split_once("://") {
        Some(("ssh", _)) => "remove the password and log in with a key: install yours with `ssh-copy-id USER@HOST`",
        _ => "remove the password: an engine on tcp:// identifies clients by certificate, see DOCKER_CERT_PATH",
    };
    let what =
        format!("the address of the container engine has a password: {}", ForeignText::new(without_login(address)));
    Diagnostic::error("engine-address-password", what).hint(hint).into()
}

/// Parses `HOST[:PORT]`; an IPv6 address is in brackets.
fn host_and_port(text: &str) -> Option<(String, Option<u16>)> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, rest) = rest.split_once(']')?;
            let port = if rest.is_empty() { None } else { Some(rest.strip_prefix(':')?) };
            (format!("[{host}]"), port)
        }
        None => {
            let (host, port) = text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port)));
            (host.to_owned(), port)
        }
    };
    let good = |c: char| c.is_ascii_alphanumeric() || "-._[]:%".contains(c);
    if host.is_empty() || !host.chars().all(good) {
        return None;
    }
    let port = port.map(str::parse).transpose().ok()?;
    Some((host, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(address: &str) -> Result<String, &'static str> {
        Endpoint::parse(address, None).map(|endpoint| endpoint.to_string()).map_err(|error| error.0.code)
    }

    #[test]
    fn addresses_are_docker_s() {
        assert_eq!(host("unix:///run/x.sock").unwrap(), "unix:///run/x.sock");
        assert_eq!(host("tcp://build").unwrap(), "tcp://build:2375");
        assert_eq!(host("tcp://[::1]:99/").unwrap(), "tcp://[::1]:99");
        assert_eq!(host("ssh://me@build:22/run/x.sock").unwrap(), "ssh://me@build:22/run/x.sock");
        let tls = Endpoint::parse("tcp://build", Some(TlsFiles::default())).unwrap();
        assert_eq!(tls.to_string(), "tcp://build:2376");
        for pipe in ["npipe:////./pipe/docker_engine", r"npipe://\\.\pipe\docker_engine"] {
            assert_eq!(host(pipe).unwrap(), pipe);
        }
        for wrong in [
            "build",
            "tcp://",
            "tcp://a b",
            "tcp://a:x",
            "fd://",
            "npipe://",
            "npipe:////./pipe/",
            "npipe://x",
            "ssh://-oProxyCommand=x",
            "unix://",
        ] {
            assert_eq!(host(wrong), Err("engine-address"), "{wrong}");
        }
    }

    #[test]
    fn a_password_is_refused_and_not_shown() {
        let said = |address: &str| Endpoint::parse(address, None).unwrap_err().0.to_string();
        assert_eq!(
            said("ssh://me:canary@build:22"),
            "error: the address of the container engine has a password: ssh://***@build:22\n  \
             hint: remove the password and log in with a key: install yours with `ssh-copy-id USER@HOST`"
        );
        assert_eq!(
            said("tcp://me:canary@build:2375"),
            "error: the address of the container engine has a password: tcp://***@build:2375\n  \
             hint: remove the password: an engine on tcp:// identifies clients by certificate, see DOCKER_CERT_PATH"
        );
        for address in [
            "ssh://me:can/ary@build",
            "ssh://me:can@ary@build",
            "http://me:canary@x",
            "me:canary@build",
            "ssh://:canary@b",
        ] {
            let said = said(address);
            assert!(!said.contains("can") && said.contains("***@"), "{said}");
        }
        assert_eq!(host("unix:///run/a:b@c.sock").unwrap(), "unix:///run/a:b@c.sock");
    }

    #[test]
    fn a_tcp_connection_to_another_machine_is_unencrypted() {
        let clear = |address| Endpoint::parse(address, None).unwrap().is_unencrypted();
        for address in ["tcp://docker:2375", "tcp://10.0.0.1", "tcp://[2001:db8::1]:99"] {
            assert!(clear(address), "{address}");
        }
        for address in ["tcp://localhost", "tcp://127.0.0.2:1", "tcp://[::1]:99", "unix:///x", "ssh://build"] {
            assert!(!clear(address), "{address}");
        }
        assert!(!Endpoint::parse("tcp://docker", Some(TlsFiles::default())).unwrap().is_unencrypted());
    }
}

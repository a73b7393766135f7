//! Owns the errors of engine requests and their messages.

use std::io::{self, ErrorKind};

use bollard::errors::Error as Bollard;
use serde::Deserialize;

use super::endpoint::Endpoint;
use crate::diagnostic::{Diagnostic, ForeignText};

/// Why a request failed.
#[derive(Debug)]
pub enum EngineError {
    /// The connection failed or broke.
    Io(io::Error),
    /// The engine refused the request and gave a reason.
    Status { code: u16, message: String },
    /// The engine did not answer in time.
    NoAnswer,
    /// The answer is not valid in the Engine API; the text completes "it returned …".
    Malformed(&'static str),
}

impl From<io::Error> for EngineError {
    fn from(error: io::Error) -> Self {
        EngineError::Io(error)
    }
}

impl From<Bollard> for EngineError {
    fn from(error: Bollard) -> Self {
        match error {
            Bollard::DockerResponseServerError { status_code, message } => {
                EngineError::Status { code: status_code, message: first_line(&message) }
            }
            Bollard::IOError { err } => EngineError::Io(err),
            Bollard::RequestTimeoutError => EngineError::NoAnswer,
            Bollard::HyperResponseError { err } => {
                EngineError::Io(io::Error::new(ErrorKind::UnexpectedEof, err.to_string()))
            }
            // bollard's JSON errors may quote the answer
            _ => EngineError::Malformed("an answer that is not valid in the Engine API"),
        }
    }
}

#[derive(Deserialize)]
struct EngineErrorBody {
    message: Option<String>,
    cause: Option<String>,
}

impl EngineError {
    /// Reads the engine's reason from the body of a response.
    pub fn status(code: u16, body: &[u8]) -> Self {
        let said: Option<EngineErrorBody> = serde_json::from_slice(body).ok();
        let message = match said {
            Some(EngineErrorBody { message: Some(message), .. })
            | Some(EngineErrorBody { message: None, cause: Some(message) }) => message,
            _ => return EngineError::Status { code, message: first_line(body) },
        };
        EngineError::Status { code, message: first_line(message) }
    }

    /// Returns whether the engine answered with this status.
    pub(super) fn is_status(&self, wanted: u16) -> bool {
        matches!(self, EngineError::Status { code, .. } if *code == wanted)
    }

    /// Removes the engine's message, for requests whose body it might repeat.
    pub(super) fn without_message(self) -> Self {
        match self {
            EngineError::Status { code, message } if !is_disk_full(&message) => {
                EngineError::Status { code, message: String::new() }
            }
            other => other,
        }
    }

    /// Returns the diagnostic; `doing` says what failed, for example "cannot load the image".
    pub fn diagnose(&self, endpoint: &Endpoint, doing: &str) -> Diagnostic {
        let again = "check with `docker info` that the engine works, then try again";
        match self {
            EngineError::Io(error) => match error.kind() {
                ErrorKind::NotFound if matches!(endpoint, Endpoint::Ssh(_)) => {
                    Diagnostic::error("engine-ssh", format!("cannot reach the container engine at {endpoint}"))
                        .cause("the `ssh` program was not found")
                        .hint("install an ssh client, or set DOCKER_HOST")
                }
                ErrorKind::NotFound => not_running(endpoint).cause("its socket does not exist"),
                ErrorKind::ConnectionRefused => not_running(endpoint).cause("it refused the connection"),
                // from looking up the name
                ErrorKind::AddrNotAvailable => Diagnostic::error(
                    "engine-host-not-found",
                    format!("the host of the container engine at {endpoint} is unknown"),
                )
                .cause(first_line(error.to_string()))
                .hint("check the name in DOCKER_HOST or the Docker context, and the DNS; a VPN may be needed"),
                ErrorKind::PermissionDenied => Diagnostic::error(
                    "engine-not-permitted",
                    format!("no permission to use the container engine at {endpoint}"),
                )
                .cause("your user cannot open its socket")
                .hint("join its group (`sudo usermod -aG docker $USER`, then log in again), or use sudo"),
                ErrorKind::TimedOut => timeout(endpoint, doing)
                    .cause("the connection timed out")
                    .hint("check the address in DOCKER_HOST or the Docker context, and the firewall"),
                ErrorKind::InvalidData => {
                    let what = format!("cannot talk to a container engine at {endpoint}");
                    Diagnostic::error("not-an-engine", what).cause(first_line(error.to_string())).hint(
                        "set DOCKER_HOST or DOCKER_CONTEXT to an engine, with DOCKER_TLS_VERIFY=1 if it wants TLS",
                    )
                }
                _ => Diagnostic::error("engine-connection", format!("{doing}: the connection to {endpoint} failed"))
                    .cause(first_line(error.to_string()))
                    .hint(again),
            },
            EngineError::Status { message, .. } if is_disk_full(message) => {
                Diagnostic::error("engine-disk-full", format!("{doing}: the engine has no space left"))
                    .cause(message.clone())
                    .hint("free some space: see `docker system df` and `docker image prune`")
            }
            EngineError::Status { code, message } => {
                Diagnostic::error("engine-refused", format!("{doing}: the engine refused"))
                    .cause(match code {
                        _ if message.is_empty() => format!("it answered with status {code} and no message"),
                        // an error inside the response to a load
                        200 => format!("it said: {message}"),
                        _ => format!("it answered with status {code}: {message}"),
                    })
                    .hint("see the engine's log for details")
            }
            EngineError::NoAnswer => timeout(endpoint, doing).hint(again),
            EngineError::Malformed(what) => {
                Diagnostic::error("not-an-engine", format!("cannot talk to a container engine at {endpoint}"))
                    .cause(format!("it returned {what}"))
                    .hint("set DOCKER_HOST or DOCKER_CONTEXT to an engine")
            }
        }
    }
}

fn not_running(endpoint: &Endpoint) -> Diagnostic {
    Diagnostic::error("engine-not-running", format!("no container engine is running at {endpoint}"))
        .hint("start it, or choose another one with DOCKER_HOST or DOCKER_CONTEXT")
        .hint("without an engine, name an image in a registry (docker://HOST/REPO:TAG) or an OCI layout (oci:DIR)")
}

fn timeout(endpoint: &Endpoint, doing: &str) -> Diagnostic {
    Diagnostic::error("engine-timeout", format!("{doing}: the container engine at {endpoint} does not answer"))
}

/// Returns whether an engine's message means a full disk.
///
/// No engine has a status for it, but all include the system's text for ENOSPC or EDQUOT. Only push errors are read from text too.
pub(super) fn is_disk_full(message: &str) -> bool {
    let message = message.to_ascii_lowercase();
    message.contains("no space left on device") || message.contains("disk quota exceeded")
}

/// Returns the first line of an engine's message, escaped for display. Podman tries an archive in each format and lists what was wrong;
/// of that it is the line of the format that is sent: of an archive with new layers only, which a docker-archive cannot be, the OCI one.
pub(super) fn first_line(text: impl AsRef<[u8]>) -> String {
    let mut lines = text.as_ref().split(|byte| b"\r\n".contains(byte)).map(<[u8]>::trim_ascii);
    let of_format = |format: &[u8]| lines.clone().find_map(|line| line.strip_prefix(format));
    let of_docker = of_format(b"* docker-archive: ").filter(|line| !line.ends_with(b"missing in the tarball"));
    let of_archive = of_docker.or_else(|| of_format(b"* oci-archive: "));
    ForeignText::new(of_archive.or_else(|| lines.find(|line| !line.is_empty())).unwrap_or_default()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(error: &EngineError) -> &'static str {
        error.diagnose(&Endpoint::Unix("/x".into()), "cannot load the image").code
    }

    #[test]
    fn each_error_has_its_own_code() {
        let io = |kind: ErrorKind| EngineError::Io(kind.into());
        assert_eq!(code(&io(ErrorKind::NotFound)), "engine-not-running");
        assert_eq!(code(&io(ErrorKind::ConnectionRefused)), "engine-not-running");
        assert_eq!(code(&io(ErrorKind::AddrNotAvailable)), "engine-host-not-found");
        assert_eq!(code(&io(ErrorKind::PermissionDenied)), "engine-not-permitted");
        assert_eq!(code(&io(ErrorKind::UnexpectedEof)), "engine-connection");
        assert_eq!(code(&io(ErrorKind::TimedOut)), "engine-timeout");
        assert_eq!(code(&EngineError::NoAnswer), "engine-timeout");
        assert_eq!(code(&EngineError::Malformed("a page")), "not-an-engine");
        let full = EngineError::status(500, br#"{"message":"write /x: no space left on device"}"#);
        assert_eq!(code(&full), "engine-disk-full");
        assert_eq!(code(&EngineError::status(500, b"oops")), "engine-refused");
    }

    #[test]
    fn a_reason_is_one_short_line_without_control_characters() {
        assert_eq!(first_line("\n a\u{1b}[31mb \n second"), r"a\u{1b}[31mb");
        let of_podman = "failed to load image: payload does not match any of the supported image formats:\n * oci: no index.json\n \
                         * docker-archive: writing blob: duplicates of file paths not supported\n * dir: no manifest.json";
        assert_eq!(first_line(of_podman), "writing blob: duplicates of file paths not supported");
        let of_new_layers = "formats:\n * oci: no\n * oci-archive: writing blob: potentially insufficient UIDs or GIDs available in user \
                             namespace\n * docker-archive: Some layer tarfiles are missing in the tarball\n * dir: no";
        assert_eq!(
            first_line(of_new_layers),
            "writing blob: potentially insufficient UIDs or GIDs available in user namespace"
        );
        let full =
            EngineError::status(500, b"formats:\n * oci: no\n * docker-archive: write /x: no space left on device");
        assert_eq!(code(&full), "engine-disk-full");
        let EngineError::Status { message, .. } = EngineError::status(500, "x".repeat(9999).as_bytes()) else {
            panic!()
        };
        assert_eq!(message.chars().count(), 300);
    }
}

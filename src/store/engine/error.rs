//! Owns what can go wrong between here and an engine, told apart by type, and how each is said to the user.

use std::io::{self, ErrorKind};

use bollard::errors::Error as Bollard;
use serde::Deserialize;

use super::endpoint::Endpoint;
use crate::diagnostic::{Diagnostic, ForeignText};

/// What went wrong with one request.
#[derive(Debug)]
pub(super) enum EngineError {
    /// The connection could not be made, or broke.
    Io(io::Error),
    /// The engine said no, with its reason.
    Status { code: u16, message: String },
    /// The engine said nothing for too long.
    NoAnswer,
    /// The answer is not one of an engine.
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
                EngineError::Status { code: status_code, message: short(&message) }
            }
            Bollard::IOError { err } => EngineError::Io(err),
            Bollard::RequestTimeoutError => EngineError::NoAnswer,
            Bollard::HyperResponseError { err } => {
                EngineError::Io(io::Error::new(ErrorKind::UnexpectedEof, err.to_string()))
            }
            // a JSON error of bollard's may quote the answer
            _ => EngineError::Malformed("an answer that is not the Engine API's"),
        }
    }
}

#[derive(Deserialize)]
struct Said {
    message: Option<String>,
    cause: Option<String>,
}

impl EngineError {
    /// Reads the reason out of an answer's body.
    pub(super) fn status(code: u16, body: &[u8]) -> Self {
        let said: Option<Said> = serde_json::from_slice(body).ok();
        let message = match said {
            Some(Said { message: Some(message), .. }) | Some(Said { message: None, cause: Some(message) }) => message,
            _ => return EngineError::Status { code, message: short(body) },
        };
        EngineError::Status { code, message: short(message) }
    }

    /// Tells whether the engine answered this status.
    pub(super) fn is_status(&self, wanted: u16) -> bool {
        matches!(self, EngineError::Status { code, .. } if *code == wanted)
    }

    /// Leaves the engine's own words out, for requests whose body it might repeat.
    pub(super) fn wordless(self) -> Self {
        match self {
            EngineError::Status { code, message } if !is_disk_full(&message) => {
                EngineError::Status { code, message: String::new() }
            }
            other => other,
        }
    }

    /// Returns the diagnosis; `doing` is what failed, as "cannot load the image".
    pub(super) fn diagnose(&self, endpoint: &Endpoint, doing: &str) -> Diagnostic {
        let again = "try again once the engine answers: `docker info` shows whether it does";
        match self {
            EngineError::Io(error) => match error.kind() {
                ErrorKind::NotFound if matches!(endpoint, Endpoint::Ssh(_)) => {
                    Diagnostic::error("engine-ssh", format!("cannot reach the container engine at {endpoint}"))
                        .cause("there is no `ssh` program")
                        .hint("install an ssh client, or set DOCKER_HOST")
                }
                ErrorKind::NotFound => not_running(endpoint).cause("its socket does not exist"),
                ErrorKind::ConnectionRefused => not_running(endpoint).cause("it refused the connection"),
                ErrorKind::PermissionDenied => Diagnostic::error(
                    "engine-not-permitted",
                    format!("no permission to use the container engine at {endpoint}"),
                )
                .cause("your user may not open its socket")
                .hint("join its group (`sudo usermod -aG docker $USER`, then log in again), or use sudo"),
                ErrorKind::TimedOut => timeout(endpoint, doing).cause("the connection was not made in time").hint(
                    "check the address in DOCKER_HOST or the Docker context, and that a firewall lets it through",
                ),
                ErrorKind::InvalidData => {
                    let what = format!("no container engine can be talked to at {endpoint}");
                    Diagnostic::error("not-an-engine", what).cause(short(error.to_string())).hint(
                        "set DOCKER_HOST or DOCKER_CONTEXT to an engine, with DOCKER_TLS_VERIFY=1 if it wants TLS",
                    )
                }
                _ => Diagnostic::error("engine-connection", format!("{doing}: the connection to {endpoint} failed"))
                    .cause(short(error.to_string()))
                    .hint(again),
            },
            EngineError::Status { message, .. } if is_disk_full(message) => {
                Diagnostic::error("engine-disk-full", format!("{doing}: the engine has no space left"))
                    .cause(message.clone())
                    .hint("free some with `docker system df` and `docker image prune`")
            }
            EngineError::Status { code, message } => {
                let said = if message.is_empty() { "nothing more".to_owned() } else { message.clone() };
                Diagnostic::error("engine-refused", format!("{doing}: the engine refused"))
                    .cause(match code {
                        // an error within the answer to a load
                        200 => format!("it said: {said}"),
                        _ => format!("it answered with status {code} and said: {said}"),
                    })
                    .hint("the engine's own log says more")
            }
            EngineError::NoAnswer => timeout(endpoint, doing).hint(again),
            EngineError::Malformed(what) => {
                Diagnostic::error("not-an-engine", format!("no container engine can be talked to at {endpoint}"))
                    .cause(format!("it gave {what}"))
                    .hint("set DOCKER_HOST or DOCKER_CONTEXT to an engine")
            }
        }
    }
}

fn not_running(endpoint: &Endpoint) -> Diagnostic {
    Diagnostic::error("engine-not-running", format!("no container engine is running at {endpoint}"))
        .hint("start it, or name another one with DOCKER_HOST or DOCKER_CONTEXT")
        .hint("without an engine, bake in a registry (docker://HOST/REPO:TAG) or an OCI layout (oci:DIR)")
}

fn timeout(endpoint: &Endpoint, doing: &str) -> Diagnostic {
    Diagnostic::error("engine-timeout", format!("{doing}: the container engine at {endpoint} does not answer"))
}

/// Tells whether the engine's words mean a full disk.
///
/// It goes by an engine's words, as otherwise only the refusals of a push do: none of them has a status for it, and all pass on the
/// system's ENOSPC or EDQUOT text.
pub(super) fn is_disk_full(message: &str) -> bool {
    let message = message.to_ascii_lowercase();
    message.contains("no space left on device") || message.contains("disk quota exceeded")
}

/// Returns the first line of an engine's words, as they may be shown.
pub(super) fn short(text: impl AsRef<[u8]>) -> String {
    let lines = text.as_ref().split(|byte| b"\r\n".contains(byte)).map(<[u8]>::trim_ascii);
    ForeignText::new(lines.into_iter().find(|line| !line.is_empty()).unwrap_or_default()).into()
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
        assert_eq!(short("\n a\u{1b}[31mb \n second"), r"a\u{1b}[31mb");
        let EngineError::Status { message, .. } = EngineError::status(500, "x".repeat(9999).as_bytes()) else {
            panic!()
        };
        assert_eq!(message.chars().count(), 300);
    }
}

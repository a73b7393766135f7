//! Owns what an engine's failures mean: typed errors and status codes become a diagnosis with a next step.

use std::io::ErrorKind;

use bollard::errors::Error;

use crate::error::Diagnostic;
use crate::store::StoreError;

/// Tells whether the engine says that there is no such thing.
pub(super) fn is_not_found(error: &Error) -> bool {
    matches!(error, Error::DockerResponseServerError { status_code: 404, .. })
}

/// Returns the diagnosis of a failed request to the engine at `address`.
pub(super) fn engine_error(address: &str, error: &Error) -> StoreError {
    let diagnostic = match error {
        Error::DockerResponseServerError { status_code, message } => return refused(*status_code, message),
        Error::DockerStreamError { error } => return load_failed(error),
        Error::RequestTimeoutError => {
            Diagnostic::error("engine-timeout", format!("the engine at {address} does not answer"))
                .hint("see whether the engine is busy or stuck, as with `docker info`")
        }
        // the client asks whether the socket exists, which a closed directory on the way denies
        Error::SocketNotFoundError(path) => match std::fs::metadata(path).map_err(|error| error.kind()) {
            Err(ErrorKind::PermissionDenied) => not_permitted(address),
            _ => not_running(address),
        },
        _ => match io_kind(error) {
            Some(ErrorKind::PermissionDenied) => {
                Diagnostic::error("engine-permission", format!("not permitted to use the engine at {address}")).hint(
                    "run as a user who may use it, as a member of the group `docker`, or name another with DOCKER_HOST",
                )
            }
            Some(ErrorKind::NotFound | ErrorKind::ConnectionRefused) => not_running(address),
            _ => Diagnostic::error("engine", format!("the engine at {address} cannot be reached"))
                .cause(innermost(error))
                .hint("see whether it is up, as with `docker info`"),
        },
    };
    diagnostic.into()
}

fn not_running(address: &str) -> Diagnostic {
    Diagnostic::error("engine-not-running", format!("the container engine is not running at {address}"))
        .hint("start it, or name another with DOCKER_HOST or `docker context use`")
}

fn not_permitted(address: &str) -> Diagnostic {
    Diagnostic::error("engine-permission", format!("not permitted to use the engine at {address}"))
        .hint("run as a user who may use it, as a member of the group `docker`, or name another with DOCKER_HOST")
}

fn refused(status: u16, message: &str) -> StoreError {
    if is_full(message) {
        return no_space(message);
    }
    Diagnostic::error("engine-refused", format!("the engine refused with status {status}"))
        .cause(message.trim().to_owned())
        .into()
}

/// Returns the diagnosis of a load that began well and then failed.
pub(super) fn load_failed(message: &str) -> StoreError {
    if is_full(message) {
        return no_space(message);
    }
    Diagnostic::error("engine-load", "the engine could not load the new layer")
        .cause(message.trim().to_owned())
        .hint("the tags stand for what they stood for before; see the engine's log")
        .into()
}

/// Tells whether the engine's disk is full: the engine says it in words only, those of the operating system.
fn is_full(message: &str) -> bool {
    message.contains("no space left on device")
}

fn no_space(message: &str) -> StoreError {
    Diagnostic::error("engine-no-space", "no space left on the engine's disk")
        .cause(message.trim().to_owned())
        .hint("free some, as with `docker system df` and `docker image prune`")
        .into()
}

/// Returns the kind of the operating system's error that is behind the failure.
fn io_kind(error: &Error) -> Option<ErrorKind> {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if let Some(io) = error.downcast_ref::<std::io::Error>() {
            match io.get_ref() {
                Some(inner) => cause = Some(inner),
                None => return Some(io.kind()),
            }
            continue;
        }
        cause = error.source();
    }
    None
}

/// Returns the text of the innermost cause, which says what happened.
fn innermost(error: &Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

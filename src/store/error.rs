//! Owns the errors of stores that more than one store has.

use std::io::{self, ErrorKind};

use crate::diagnostic::Diagnostic;
use crate::image::digest::Digest;
use crate::image::index;
use crate::image::name::ImageName;

/// The code of a diagnosis: there is no such image, or the login may not see it.
pub const NOT_FOUND: &str = "image-not-found";

/// Why a store did not do what was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreError(pub Box<Diagnostic>);

impl From<Diagnostic> for StoreError {
    fn from(diagnostic: Diagnostic) -> Self {
        StoreError(Box::new(diagnostic))
    }
}

/// Reports a mistake of the program.
pub(super) fn internal(what: impl Into<String>) -> StoreError {
    Diagnostic::error("internal", what).hint("please report this").into()
}

/// Refuses an index in a store whose names point to one platform's image.
pub(super) fn one_platform(tags: &[&ImageName]) -> StoreError {
    let target = tags.first().map(ToString::to_string).unwrap_or_default();
    Diagnostic::error("one-platform", format!("`{target}` holds the image of one platform only"))
        .hint(index::WHERE)
        .into()
}

/// Refuses to open a layer of an image in a container engine.
pub(super) fn layers_not_given(name: &ImageName, digest: &Digest) -> StoreError {
    Diagnostic::error("layers-not-given", format!("the layer {digest} of `{name}` cannot be read"))
        .cause("a container engine exports an image only as a whole")
        .hint(format!("save the base with `docker save -o base.tar {name}`, and use docker-archive:base.tar"))
        .into()
}

/// Describes a failure to do something (`doing`: "read", "write to") with a path; `shown` is what the user wrote.
pub(super) fn fault(doing: &str, shown: &str, error: &io::Error) -> StoreError {
    let diagnostic = match error.kind() {
        // what is written need not exist, so the system lets nothing be made there
        ErrorKind::NotFound if doing == "write to" => {
            Diagnostic::error("path-not-found", format!("cannot {doing} `{shown}`: nothing can be made at this path"))
                .hint("name a path below a directory that you can write to")
        }
        ErrorKind::NotFound => Diagnostic::error("path-not-found", format!("there is no `{shown}`"))
            .hint("check the path: it is relative to the working directory"),
        ErrorKind::PermissionDenied => {
            Diagnostic::error("permission-denied", format!("no permission to {doing} `{shown}`"))
                .hint("run as another user, or change its owner or mode")
        }
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
            Diagnostic::error("no-space", format!("no space left to {doing} `{shown}`"))
                .hint("free some space and run again; nothing of the image was left behind")
        }
        ErrorKind::ReadOnlyFilesystem => {
            Diagnostic::error("read-only", format!("`{shown}` is on a read-only file system"))
                .hint("choose a path on a writable file system")
        }
        ErrorKind::NotADirectory | ErrorKind::IsADirectory | ErrorKind::AlreadyExists => {
            let is = if error.kind() == ErrorKind::IsADirectory { "is a directory" } else { "is not a directory" };
            Diagnostic::error("wrong-file-type", format!("cannot {doing} `{shown}`: it or a part of its path {is}"))
                .hint("oci: takes a directory; docker-archive: and oci-archive: take a file")
        }
        ErrorKind::InvalidInput | ErrorKind::FileTooLarge => {
            Diagnostic::error("wrong-file-type", format!("cannot {doing} `{shown}`: {error}"))
                .hint("check that it is the file you meant")
        }
        ErrorKind::BrokenPipe => Diagnostic::error("broken-pipe", format!("`{shown}` was cut off: its reader is gone"))
            .hint("check why the program that reads the pipe ended, and run again"),
        _ => Diagnostic::error("io-failed", format!("cannot {doing} `{shown}`: {error}"))
            .hint("check the file system and run again; nothing of the image was left behind"),
    };
    diagnostic.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_failure_has_a_code_of_its_own() {
        for (kind, code) in [
            (ErrorKind::NotFound, "path-not-found"),
            (ErrorKind::PermissionDenied, "permission-denied"),
            (ErrorKind::StorageFull, "no-space"),
            (ErrorKind::QuotaExceeded, "no-space"),
            (ErrorKind::ReadOnlyFilesystem, "read-only"),
            (ErrorKind::NotADirectory, "wrong-file-type"),
            (ErrorKind::TimedOut, "io-failed"),
        ] {
            let diagnostic = fault("write to", "oci:x", &kind.into()).0;
            assert_eq!(diagnostic.code, code);
            assert!(diagnostic.what.contains("`oci:x`") && !diagnostic.hints.is_empty());
        }
    }
}

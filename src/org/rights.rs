//! Owns the permission `secret_providers`: who may read and change the org file, as enforced by the operating system.
//!
//! `read` is the permission to read the file, `manage` the permission to replace it, which its directory grants. A directory for
//! two groups needs a POSIX access control list: the directory's owning group manages, a named group reads. With a list, the
//! mode's "others" are everyone that no entry names, so [`refuse_others`] works with and without one.

use std::fs::{self, Metadata};
use std::path::Path;

use crate::diagnostic::{Diagnostic, Error};
use crate::runtime::platform;

/// Returns the directory that a file is in.
pub(super) fn directory(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Refuses a file that anyone except its owner and groups may read or change, like ssh does with keys.
pub(super) fn refuse_others(path: &Path, metadata: &Metadata, holds: &str) -> Result<(), Error> {
    let Some(open) = platform::open_to_others(path, metadata) else { return Ok(()) };
    let what = format!("{} {holds}, and {}", path.display(), open.why);
    Err(Error::invalid(Diagnostic::error("too-open", what).hint(open.fix)))
}

/// Reports that the permission to use credentials is missing, and which group has it.
pub(super) fn cannot_read(path: &Path) -> Error {
    let what = format!("cannot read {}: the permission `secret_providers: read` is missing", path.display());
    // the file is closed, or the nearest directory that can be inspected
    let closed = path.ancestors().find_map(|path| fs::metadata(path).ok().map(|metadata| (path, metadata)));
    let groups = closed.map(|(path, metadata)| platform::reading_groups(path, &metadata)).unwrap_or_default();
    refused(what, &groups, "ask its owner for access, or name another with --org")
}

/// Reports that the permission to change credentials is missing, and which group has it; for what is not there yet, that its directory
/// cannot be written to.
pub(super) fn cannot_change(path: &Path) -> Error {
    if matches!(path.try_exists(), Ok(false)) {
        let what =
            format!("cannot create {}: this user may not write to {}", path.display(), directory(path).display());
        let hint = "choose a directory that you may write to, or run this as a user who may write to this one";
        return Error::failed(Diagnostic::error("permission-denied", what).hint(hint));
    }
    let what = format!("cannot change {}: the permission `secret_providers: manage` is missing", path.display());
    let groups = fs::metadata(directory(path)).map(|metadata| platform::changing_groups(&metadata)).unwrap_or_default();
    refused(what, &groups, "ask its owner to make the change")
}

fn refused(what: String, groups: &[String], otherwise: &str) -> Error {
    let diagnostic = Diagnostic::error("permission-denied", what);
    Error::failed(match groups.first() {
        Some(first) => diagnostic
            .cause(match groups {
                [only] => format!("only members of the group `{only}` have it"),
                _ => format!("only members of the groups `{}` have it", groups.join("` and `")),
            })
            .hint(format!("ask an administrator for {}", platform::join_group(first))),
        None => diagnostic.cause("only its owner has it").hint(otherwise),
    })
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_refusal_names_the_permission_and_the_group() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("org.yaml");
        fs::write(&path, "").unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
        let group = platform::reading_groups(&path, &fs::metadata(&path).unwrap()).remove(0);
        for (mode, cause) in
            [(0o640, format!("only members of the group `{group}` have it")), (0o600, "only its owner has it".into())]
        {
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            let error = cannot_read(&path);
            assert_eq!(error.status.code(), 1);
            let what = format!("cannot read {}: the permission `secret_providers: read` is missing", path.display());
            assert_eq!((&error.diagnostics[0].what, &error.diagnostics[0].causes[0]), (&what, &cause));
        }
    }

    #[test]
    fn what_is_not_there_yet_is_not_said_to_have_an_owner() {
        let directory = tempfile::tempdir().unwrap();
        let error = cannot_change(&directory.path().join("org"));
        let here = directory.path().display();
        assert_eq!(
            error.to_string(),
            format!(
                "error: cannot create {here}/org: this user may not write to {here}\n  \
                 hint: choose a directory that you may write to, or run this as a user who may write to this one"
            )
        );
    }
}

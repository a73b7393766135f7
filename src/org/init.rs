//! Creates a new org file: for one person, or in a directory that two groups share.
//!
//! The directory belongs to the manage group, with the set-group-ID bit (mode 2770), and its access control list adds the read
//! group:
//!
//! ```text
//!              owner   manage group   read group   others
//! DIR          rwx     rwx            r-x          ---
//! DIR/org.yaml rw-     rw-            r--          ---      the default list gives new files the same
//! ```
//!
//! To change the file is to replace it, which needs write permission on the directory: only the manage group has it. Manage
//! includes read, so nobody needs to be in both groups. If one group does both, modes are enough. Former managers may still own
//! the file: after you remove someone from the manage group who stays in the read group, run `chown root` on the file.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use super::rights::directory as directory_of;
use super::store::{create, failed};
use crate::diagnostic::{Diagnostic, Error};
use crate::runtime::platform;

/// The org file in a shared directory.
pub const NAME: &str = "org.yaml";

/// The text of a new org file.
pub const SKELETON: &str = "\
# The organisation's credentials for secretbake. Add one with `secretbake credential add NAME`, or by hand:
#
#   - name: aws-prod
#     provider: aws-secrets-manager
#     region: us-east-1                             # where the secrets live
#     default: true                                 # for references that name no credential; one per provider
#     access_key_id: AKIA...
#     secret_access_key: { env: PROD_SECRET_KEY }   # or { file: PATH }
#     role_arn: arn:aws:iam::ACCOUNT:role/NAME      # optional: assumed first
#     external_id: ...                              # optional: what the role's trust policy asks for
version: 1
credentials: []
";

/// The groups, by name or number, that may use and change credentials.
pub struct AccessGroups {
    pub read: Option<String>,
    pub manage: Option<String>,
}

/// Creates a shared directory with an org file.
///
/// # Errors
/// The group does not exist, the directory is not empty, the file system has no access control lists, or permissions are missing.
/// Whatever was created is then removed.
pub fn shared(directory: &Path, groups: &AccessGroups) -> Result<(), Error> {
    let id = |name: &Option<String>| name.as_deref().map(known).transpose();
    let (read, manage) = (id(&groups.read)?, id(&groups.manage)?);
    let existed = directory.is_dir();
    if existed && fs::read_dir(directory).map_err(|error| failed(directory, &error))?.next().is_some() {
        let what = format!("{} is not empty", directory.display());
        return Err(Error::invalid(Diagnostic::error("exists", what).hint("choose a new or empty directory")));
    }
    if !existed {
        let made = platform::private_directories().create(directory);
        made.map_err(|error| match error.kind() {
            ErrorKind::NotFound => no_parent(directory),
            _ => failed(directory, &error),
        })?;
    }
    let done = lay_out(directory, read, manage);
    if done.is_err() {
        // the first error is the one to report
        let _ = fs::remove_file(directory.join(NAME));
        let _ = if existed { Ok(()) } else { fs::remove_dir(directory) };
    }
    done
}

fn lay_out(directory: &Path, read: Option<u32>, manage: Option<u32>) -> Result<(), Error> {
    let file = directory.join(NAME);
    // closed to everyone else until its permissions are complete
    let set = |path: &Path, mode| platform::set_mode(path, mode).map_err(|error| failed(path, &error));
    set(directory, 0o700)?;
    create(&file, SKELETON)?;
    let (group, modes, named) = match (read, manage) {
        (Some(read), Some(manage)) if read != manage => (Some(manage), (0o2770, 0o660), Some(read)),
        (_, Some(manage)) => (Some(manage), (0o2770, 0o660), None),
        (Some(read), None) => (Some(read), (0o2750, 0o640), None),
        (None, None) => (None, (0o700, 0o600), None),
    };
    for (path, mode) in [(&*file, modes.1), (directory, modes.0)] {
        if let Some(group) = group {
            platform::give_to_group(path, group).map_err(|error| no_group(path, &error))?;
        }
        set(path, mode)?;
    }
    if let Some(read) = named {
        let granted = platform::grant_read_to_second_group(directory, &file, read);
        granted.map_err(|(path, error)| no_lists(path, &error))?;
    }
    Ok(())
}

fn known(group: &str) -> Result<u32, Error> {
    platform::find_group(group)
        .map_err(|problem| Error::invalid(Diagnostic::error("no-group", problem.what).hint(problem.hint)))
}

fn no_parent(directory: &Path) -> Error {
    let parent = directory_of(directory);
    let what = format!("cannot create {}: no such directory: {}", directory.display(), parent.display());
    let hint = format!("create it first: `mkdir -p {}`", parent.display());
    Error::invalid(Diagnostic::error("no-directory", what).hint(hint))
}

fn no_group(path: &Path, error: &std::io::Error) -> Error {
    let what = format!("cannot give {} to the group: {error}", path.display());
    Error::failed(Diagnostic::error("no-rights", what).hint("run as root, or choose a group that you are in"))
}

fn no_lists(path: &Path, error: &std::io::Error) -> Error {
    let what = format!("cannot give {} rights for two groups: {error}", path.display());
    Error::failed(
        Diagnostic::error("no-acl", what)
            .cause("its file system has no POSIX access control lists")
            .hint("choose a directory on another file system, or use one group: --manage-group alone"),
    )
}

//! Owns the permission `secret_providers`: who may read and change the org file, as enforced by the operating system.
//!
//! `read` is the permission to read the file, `manage` the permission to replace it, which its directory grants. A directory for
//! two groups needs a POSIX access control list: the directory's owning group manages, a named group reads. With a list, the
//! mode's "others" are everyone that no entry names, so [`refuse_others`] works with and without one.

use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::unistd::{Gid, Group};
use rustix::fs::XattrFlags;
use rustix::io::Errno;

use crate::diagnostic::{Diagnostic, Error};

/// The extended attributes with a file's list and with the default list that a directory gives to new files.
pub(super) const ACCESS: &str = "system.posix_acl_access";
pub(super) const DEFAULT: &str = "system.posix_acl_default";

const USER_OBJ: u16 = 0x01;
const GROUP_OBJ: u16 = 0x04;
const GROUP: u16 = 0x08;
const MASK: u16 = 0x10;
const OTHER: u16 = 0x20;
const NO_ID: u32 = u32::MAX;

/// Returns the directory that a file is in.
pub(super) fn directory(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Returns the list that grants `owner` to the owner, `group` to the owning group, `named` to another group and nothing to others.
/// Permissions are mode bits: 4 read, 2 write, 1 search.
pub(super) fn acl(owner: u16, group: u16, other_group: u32, named: u16) -> Vec<u8> {
    let entries = [
        (USER_OBJ, owner, NO_ID),
        (GROUP_OBJ, group, NO_ID),
        (GROUP, named, other_group),
        (MASK, group | named, NO_ID),
        (OTHER, 0, NO_ID),
    ];
    let mut bytes = 2u32.to_le_bytes().to_vec();
    for (tag, rights, id) in entries {
        bytes.extend(tag.to_le_bytes());
        bytes.extend(rights.to_le_bytes());
        bytes.extend(id.to_le_bytes());
    }
    bytes
}

/// Returns a file's list; `None` if it has none or the file system does not support lists.
pub(super) fn read_acl(path: &Path, kind: &str) -> Option<Vec<u8>> {
    let mut buffer = vec![0; 4096];
    let length = rustix::fs::getxattr(path, kind, &mut buffer[..]).ok()?;
    buffer.truncate(length);
    Some(buffer)
}

/// Sets the list of a file or directory.
pub(super) fn write_acl(path: &Path, kind: &str, acl: &[u8]) -> Result<(), Errno> {
    rustix::fs::setxattr(path, kind, acl, XattrFlags::empty())
}

/// Returns the groups that may read: those named in the list, then the owning one.
fn readers(path: &Path, metadata: &Metadata) -> Vec<u32> {
    let acl = read_acl(path, ACCESS).unwrap_or_default();
    let entries = acl.get(4..).unwrap_or_default().chunks_exact(8);
    let named = entries.filter_map(|entry| {
        let (tag, rights) = (u16::from_le_bytes([entry[0], entry[1]]), u16::from_le_bytes([entry[2], entry[3]]));
        let id = u32::from_le_bytes([entry[4], entry[5], entry[6], entry[7]]);
        let id = if tag == GROUP_OBJ { metadata.gid() } else { id };
        ([GROUP, GROUP_OBJ].contains(&tag) && rights & 4 != 0).then_some((tag != GROUP, id))
    });
    let mut groups: Vec<(bool, u32)> = named.collect();
    if acl.is_empty() && metadata.mode() & 0o040 != 0 {
        groups.push((true, metadata.gid()));
    }
    groups.sort();
    groups.into_iter().map(|(_, id)| id).collect()
}

/// Refuses a file that anyone except its owner and groups may read or change, like ssh does with keys.
pub(super) fn refuse_others(path: &Path, metadata: &Metadata, holds: &str) -> Result<(), Error> {
    if metadata.mode() & 0o007 == 0 {
        return Ok(());
    }
    let path = path.display();
    let what = format!("{path} {holds}, and others may read or change it (mode {:04o})", metadata.mode() & 0o7777);
    let hint = format!("chmod o= {path}");
    Err(Error::invalid(Diagnostic::error("too-open", what).hint(hint)))
}

/// Reports that the permission to use credentials is missing, and which group has it.
pub(super) fn cannot_read(path: &Path) -> Error {
    let what = format!("cannot read {}: the permission `secret_providers: read` is missing", path.display());
    // the file is closed, or the nearest directory that can be inspected
    let closed = path.ancestors().find_map(|path| fs::metadata(path).ok().map(|metadata| (path, metadata)));
    let groups = closed.map(|(path, metadata)| readers(path, &metadata)).unwrap_or_default();
    refused(what, &groups, "ask its owner for access, or name another with --org")
}

/// Reports that the permission to change credentials is missing, and which group has it.
pub(super) fn cannot_change(path: &Path) -> Error {
    let what = format!("cannot change {}: the permission `secret_providers: manage` is missing", path.display());
    let metadata = fs::metadata(directory(path)).ok().filter(|metadata| metadata.mode() & 0o020 != 0);
    let groups = metadata.map(|metadata| vec![metadata.gid()]).unwrap_or_default();
    refused(what, &groups, "ask its owner to make the change")
}

fn refused(what: String, groups: &[u32], otherwise: &str) -> Error {
    let diagnostic = Diagnostic::error("permission-denied", what);
    let names: Vec<String> = groups.iter().map(|id| group_name(*id)).collect();
    Error::failed(match names.first() {
        Some(first) => diagnostic
            .cause(match &names[..] {
                [only] => format!("only members of the group `{only}` have it"),
                _ => format!("only members of the groups `{}` have it", names.join("` and `")),
            })
            .hint(format!("ask an administrator for `usermod -aG {first} USER`, then log in again")),
        None => diagnostic.cause("only its owner has it").hint(otherwise),
    })
}

/// Returns the name of a group, or its number if it has none.
pub(super) fn group_name(id: u32) -> String {
    let group = Group::from_gid(Gid::from_raw(id)).ok().flatten();
    group.map_or_else(|| id.to_string(), |group| group.name)
}

/// Returns the number of a group, given by name or number.
pub(super) fn group_id(name: &str) -> Option<u32> {
    let group = Group::from_name(name).ok().flatten();
    group.map(|group| group.gid.as_raw()).or_else(|| name.parse().ok().filter(|id| *id != NO_ID))
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
        let group = group_name(fs::metadata(&path).unwrap().gid());
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
    fn a_group_without_a_name_is_shown_by_its_number() {
        assert_eq!(group_name(0), "root");
        assert_eq!(group_name(4_000_000_000), "4000000000");
        assert_eq!(
            (group_id("root"), group_id("4000000000"), group_id("no-such-group")),
            (Some(0), Some(4_000_000_000), None)
        );
    }
}

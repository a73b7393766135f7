//! Who may read and change a file.

use std::fs::{self, File, Metadata, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use nix::unistd::{Gid, Group};
use rustix::process::{getegid, geteuid};

use super::super::{NoGroup, OpenToOthers};
use super::system::{self, JOIN_GROUP, MAKE_GROUP};
pub use super::system::{change_flag_fix, grant_read_to_second_group};

/// Finds what makes a file or directory unsafe to trust: another user owns it or may write to it. Does not follow links; trusts
/// root.
pub fn find_danger(path: &Path) -> io::Result<Option<&'static str>> {
    Ok(danger(&fs::symlink_metadata(path)?))
}

/// Finds the same of an opened file.
pub fn find_danger_of(file: &File) -> io::Result<Option<&'static str>> {
    Ok(danger(&file.metadata()?))
}

fn danger(metadata: &Metadata) -> Option<&'static str> {
    let mode = metadata.mode();
    let is_in_group = metadata.gid() == getegid().as_raw();
    if metadata.is_symlink() {
        Some("is a symbolic link")
    } else if metadata.uid() != geteuid().as_raw() && metadata.uid() != 0 {
        Some("belongs to another user")
    } else if mode & 0o002 != 0 || (mode & 0o020 != 0 && !is_in_group) {
        Some("can be changed by other users")
    } else {
        None
    }
}

/// Finds a parent directory in which users can rename other users' files: everyone may write to it, and the sticky bit is not set.
pub fn find_open_parent(path: &Path) -> io::Result<Option<PathBuf>> {
    for parent in path.ancestors().skip(1) {
        let mode = fs::metadata(parent)?.mode();
        if mode & 0o002 != 0 && mode & 0o1000 == 0 {
            return Ok(Some(parent.to_owned()));
        }
    }
    Ok(None)
}

/// Tells whether anyone except its owner and groups may read or change a file.
pub fn open_to_others(path: &Path, metadata: &Metadata) -> Option<OpenToOthers> {
    (metadata.mode() & 0o007 != 0).then(|| OpenToOthers {
        why: format!("others may read or change it (mode {:04o})", metadata.mode() & 0o7777),
        fix: format!("chmod o= {}", path.display()),
    })
}

/// Returns the groups that may read a file: those named in its access control list, then the owning one.
pub fn reading_groups(path: &Path, metadata: &Metadata) -> Vec<String> {
    let ids = system::groups_in_list(path, metadata.gid());
    let owning = || if metadata.mode() & 0o040 != 0 { vec![metadata.gid()] } else { Vec::new() };
    ids.unwrap_or_else(owning).into_iter().map(group_name).collect()
}

/// Returns the group that may change the files of a directory.
pub fn changing_groups(directory: &Metadata) -> Vec<String> {
    let ids = if directory.mode() & 0o020 != 0 { vec![directory.gid()] } else { Vec::new() };
    ids.into_iter().map(group_name).collect()
}

/// Returns how an administrator puts a user in a group.
pub fn join_group(group: &str) -> String {
    format!("`{}`, then log in again", JOIN_GROUP.replace("{group}", group))
}

/// Returns the name of a group, or its number if it has none.
fn group_name(id: u32) -> String {
    let group = Group::from_gid(Gid::from_raw(id)).ok().flatten();
    group.map_or_else(|| id.to_string(), |group| group.name)
}

/// Returns the number of a group, given by name or number.
pub fn find_group(name: &str) -> Result<u32, NoGroup> {
    let group = Group::from_name(name).ok().flatten();
    let number = || name.parse().ok().filter(|id| *id != u32::MAX);
    group.map(|group| group.gid.as_raw()).or_else(number).ok_or_else(|| NoGroup {
        what: format!("no group `{name}` in /etc/group"),
        hint: format!(
            "create it with `{}`; give a group of a directory service by its number",
            MAKE_GROUP.replace("{group}", name)
        ),
    })
}

/// Gives a file or directory to a group.
pub fn give_to_group(path: &Path, group: u32) -> io::Result<()> {
    std::os::unix::fs::chown(path, None, Some(group))
}

/// Sets who may do what with a file or directory, in the nine bits of its mode and the three above them.
pub fn set_mode(path: &Path, mode: u32) -> io::Result<()> {
    fs::set_permissions(path, Permissions::from_mode(mode))
}

/// Gives the file that replaces an old one the old one's group, mode, access control list and, if the system allows that, owner.
pub fn copy_rights(old: &Path, metadata: &Metadata, new: &File, new_path: &Path) -> io::Result<()> {
    let now = new.metadata()?;
    if now.gid() != metadata.gid() {
        std::os::unix::fs::fchown(new, None, Some(metadata.gid()))?;
    }
    if now.uid() != metadata.uid() {
        // only root may; anyone else becomes the owner
        let _ = std::os::unix::fs::fchown(new, Some(metadata.uid()), None);
    }
    new.set_permissions(Permissions::from_mode(metadata.mode() & 0o7777))?;
    system::copy_list(old, new_path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parent_that_everyone_may_write_to_is_found_unless_it_is_sticky() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("open/below/file");
        let open = folder.path().join("open");
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        for (mode, is_found) in [(0o755, false), (0o777, true), (0o1777, false)] {
            set_mode(&open, mode).unwrap();
            assert_eq!(find_open_parent(&path).unwrap().is_some_and(|parent| parent == open), is_found, "{mode:o}");
        }
    }

    #[test]
    fn what_another_user_owns_or_may_write_to_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        fs::create_dir(&path).unwrap();
        for (mode, danger) in [(0o755, None), (0o775, None), (0o757, Some("can be changed by other users"))] {
            set_mode(&path, mode).unwrap();
            assert_eq!(find_danger(&path).unwrap(), danger, "{mode:o}");
        }
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert_eq!(find_danger(&link).unwrap(), Some("is a symbolic link"));
        if geteuid().is_root() {
            std::os::unix::fs::chown(&path, Some(12345), None).unwrap();
            assert_eq!(find_danger(&path).unwrap(), Some("belongs to another user"));
        }
    }

    #[test]
    fn a_group_without_a_name_is_shown_by_its_number() {
        assert_eq!(group_name(0), "root");
        assert_eq!(group_name(4_000_000_000), "4000000000");
        let find = |name| find_group(name).ok();
        assert_eq!((find("root"), find("4000000000"), find("no-such-group")), (Some(0), Some(4_000_000_000), None));
    }
}

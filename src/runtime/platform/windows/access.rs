//! Who may read and change a file, as far as its place says: see the module above.

use std::fs::{self, File, Metadata};
use std::io;
use std::path::{Path, PathBuf};

use super::super::{NoGroup, OpenToOthers};

/// Finds what makes a file or directory unsafe to trust. Does not follow links.
pub fn find_danger(path: &Path) -> io::Result<Option<&'static str>> {
    Ok(fs::symlink_metadata(path)?.is_symlink().then_some("is a symbolic link"))
}

/// Finds nothing: an opened file is no link.
pub fn find_danger_of(_: &File) -> io::Result<Option<&'static str>> {
    Ok(None)
}

/// Returns `None`: the rights of a directory are not read.
pub fn find_open_parent(_: &Path) -> io::Result<Option<PathBuf>> {
    Ok(None)
}

/// Tells whether a file is outside the user's profile, so that other users may be able to read it.
pub fn open_to_others(path: &Path, _: &Metadata) -> Option<OpenToOthers> {
    let profile = std::env::home_dir().and_then(|home| fs::canonicalize(home).ok());
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let is_inside = profile.is_some_and(|profile| path.starts_with(profile));
    (!is_inside).then(|| OpenToOthers {
        why: "other users may be able to read it, because it is outside your profile folder".to_owned(),
        fix: "move it below %USERPROFILE%, or name the variable or file that has the key: { env: NAME } or { file: PATH }".to_owned(),
    })
}

/// Returns no group: the rights of a file are not read.
pub fn reading_groups(_: &Path, _: &Metadata) -> Vec<String> {
    Vec::new()
}

/// Returns no group: the rights of a directory are not read.
pub fn changing_groups(_: &Metadata) -> Vec<String> {
    Vec::new()
}

/// Returns how an administrator puts a user in a group.
pub fn join_group(group: &str) -> String {
    format!("`net localgroup {group} USER /add`, then log in again")
}

/// Fails: rights for groups are set with the system's own tools.
pub fn find_group(name: &str) -> Result<u32, NoGroup> {
    Err(NoGroup {
        what: format!("secretbake cannot give a directory to the group `{name}` on Windows"),
        hint: format!(
            "leave the group out, then run `icacls DIR /inheritance:r /grant \"{name}:(OI)(CI)R\" Administrators:(OI)(CI)F`"
        ),
    })
}

/// Does nothing: there is no group to give, see [`find_group`].
pub fn give_to_group(_: &Path, _: u32) -> io::Result<()> {
    Ok(())
}

/// Does nothing: see [`find_group`].
pub fn grant_read_to_second_group<'a>(_: &'a Path, _: &'a Path, _: u32) -> Result<(), (&'a Path, io::Error)> {
    Ok(())
}

/// Does nothing: a file has the rights of its directory.
pub fn set_mode(_: &Path, _: u32) -> io::Result<()> {
    Ok(())
}

/// Does nothing: the new file has the rights of its directory.
pub fn copy_rights(_: &Path, _: &Metadata, _: &File, _: &Path) -> io::Result<()> {
    Ok(())
}

/// Returns how to clear the flag that keeps a file from being replaced; `None` if it does not have it.
pub fn change_flag_fix(path: &Path) -> Option<String> {
    let is_read_only = fs::metadata(path).is_ok_and(|metadata| metadata.is_file() && metadata.permissions().readonly());
    is_read_only.then(|| format!("attrib -R {}", path.display()))
}

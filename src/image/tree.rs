//! Owns what a bake must know of the base's file tree: who a named user is, and what the directories of new files are.
//!
//! It asks in rounds: [`Questions::missing`] names the paths that are not known yet, a store looks them up, and when nothing is
//! missing any more the answers are there.

use std::collections::{BTreeMap, BTreeSet};

use super::ImageError;
use super::layer::{Directory, Owned};
use crate::manifest::{Id, Owner};

/// What is at a path of the base; symbolic links are not followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    Absent,
    Directory {
        owned: Owned,
        /// Seconds since 1970.
        modified: u64,
    },
    Symlink {
        target: String,
    },
    /// A regular file; its content, for the files whose content a bake asks for.
    File {
        content: Vec<u8>,
    },
    Other,
}

/// The paths of the base that are known, absolute and without `.` or `..`.
pub type Tree = BTreeMap<String, Entry>;

/// The files whose content is asked for.
pub const PASSWD: &str = "/etc/passwd";
pub const GROUP: &str = "/etc/group";

/// What a bake asks of the base's tree.
#[derive(Debug, Clone, Default)]
pub struct Questions {
    /// Absolute paths of new files.
    pub files: Vec<String>,
    /// Owners with names, or with a user whose group is looked up.
    pub owners: Vec<Owner>,
}

impl Questions {
    /// Returns the paths that must be looked up next; empty when everything is known.
    ///
    /// # Errors
    /// A path on which no file can be put.
    pub fn missing(&self, tree: &Tree) -> Result<BTreeSet<String>, ImageError> {
        let mut missing = BTreeSet::new();
        let mut names = Vec::new();
        if self.owners.iter().any(|owner| matches!(owner.user, Id::Name(_)) || owner.group.is_none()) {
            names.push(PASSWD);
        }
        if self.owners.iter().any(|owner| matches!(owner.group, Some(Id::Name(_)))) {
            names.push(GROUP);
        }
        for path in self.files.iter().map(String::as_str) {
            if let Walk::Unknown(path) = walk(tree, path)? {
                missing.insert(path);
            }
        }
        for path in names {
            match walk(tree, path)? {
                Walk::Unknown(path) => {
                    missing.insert(path);
                }
                Walk::At { path, .. } if !tree.contains_key(&path) => {
                    missing.insert(path);
                }
                Walk::At { .. } => {}
            }
        }
        Ok(missing)
    }
}

/// Returns where a new file really goes, links of the base followed, and the directories on the way there.
///
/// # Errors
/// A path on which no file can be put.
pub fn locate(tree: &Tree, path: &str) -> Result<(String, Vec<Directory>), ImageError> {
    match walk(tree, path)? {
        Walk::At { path, directories } => Ok((path, directories)),
        Walk::Unknown(path) => unreachable!("every question was answered before, and {path} is one"),
    }
}

enum Walk {
    /// A directory on the way that is not known yet.
    Unknown(String),
    At {
        path: String,
        directories: Vec<Directory>,
    },
}

/// Walks to the directory of `path` as the kernel would, with at most 40 links.
fn walk(tree: &Tree, path: &str) -> Result<Walk, ImageError> {
    let mut ahead: Vec<String> = path.split('/').rev().filter(|part| !part.is_empty()).map(str::to_owned).collect();
    let mut directories: Vec<Directory> = Vec::new();
    let mut links = 0;
    while let Some(part) = ahead.pop() {
        let parent = directories.last().map_or("", |directory| directory.path.as_str());
        let here = format!("{parent}/{part}");
        if part == ".." {
            directories.pop();
            continue;
        }
        let entry = match tree.get(&here) {
            // what is put at the end of the path replaces what is there, unless that is a directory or a link to one
            _ if ahead.is_empty()
                && !matches!(tree.get(&here), Some(Entry::Symlink { .. } | Entry::Directory { .. })) =>
            {
                return Ok(Walk::At { path: here, directories });
            }
            Some(entry) => entry,
            None if directories.last().is_some_and(|parent| tree.get(&parent.path) == Some(&Entry::Absent)) => {
                &Entry::Absent
            }
            None => return Ok(Walk::Unknown(here)),
        };
        match entry {
            Entry::Directory { owned, modified } => {
                if ahead.is_empty() {
                    return Err(ImageError::NotADirectory(format!("{here} is a directory, and")));
                }
                directories.push(Directory { path: here, owned: *owned, modified: *modified });
            }
            Entry::Absent => {
                let owned = Owned { uid: 0, gid: 0, mode: 0o755 };
                directories.push(Directory { path: here, owned, modified: 0 });
            }
            Entry::Symlink { target } => {
                links += 1;
                if links > 40 {
                    return Err(ImageError::LinkLoop(path.to_owned()));
                }
                if target.starts_with('/') {
                    directories.clear();
                }
                let parts = target.split('/').rev().filter(|part| !part.is_empty() && *part != ".");
                ahead.extend(parts.map(str::to_owned));
            }
            Entry::File { .. } | Entry::Other => return Err(ImageError::NotADirectory(here)),
        }
    }
    Err(ImageError::NotADirectory(path.to_owned()))
}

/// Looks an owner up: names in the base's passwd and group files; a user without a group has the group that passwd gives, else 0.
///
/// # Errors
/// The name that the base does not have.
pub fn look_up(tree: &Tree, owner: &Owner) -> Result<(u32, Option<u32>), ImageError> {
    let content = |path: &str| match walk(tree, path) {
        Ok(Walk::At { path, .. }) => match tree.get(&path) {
            Some(Entry::File { content }) => content.as_slice(),
            _ => &[],
        },
        _ => &[],
    };
    let (uid, primary) = match &owner.user {
        Id::Number(uid) => {
            let line = find(content(PASSWD), |fields| number(fields.get(2)) == Some(*uid));
            (*uid, line.and_then(|fields| number(fields.get(3))))
        }
        Id::Name(name) => {
            let line = find(content(PASSWD), |fields| fields[0] == name.as_bytes() && number(fields.get(2)).is_some())
                .ok_or_else(|| ImageError::UnknownUser(name.clone()))?;
            (number(line.get(2)).unwrap_or_default(), number(line.get(3)))
        }
    };
    let gid = match &owner.group {
        Some(Id::Number(gid)) => Some(*gid),
        Some(Id::Name(name)) => {
            let line = find(content(GROUP), |fields| fields[0] == name.as_bytes())
                .ok_or_else(|| ImageError::UnknownGroup(name.clone()))?;
            number(line.get(2))
        }
        None => primary,
    };
    Ok((uid, gid))
}

fn find(content: &[u8], wanted: impl Fn(&[&[u8]]) -> bool) -> Option<Vec<&[u8]>> {
    content
        .split(|byte| *byte == b'\n')
        .map(|line| line.split(|byte| *byte == b':').collect::<Vec<_>>())
        .find(|fields| wanted(fields))
}

fn number(field: Option<&&[u8]>) -> Option<u32> {
    std::str::from_utf8(field?).ok()?.parse().ok()
}

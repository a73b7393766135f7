//! Owns what a bake must know of the base's file tree: the IDs of named users, and the parent directories of new files.
//!
//! The lookup goes in rounds: [`TreeRequirements::missing`] returns the paths that are not known yet, and a store looks them up, until
//! nothing is missing.

use std::collections::{BTreeMap, BTreeSet};

use super::ImageError;
use super::access::{Id, Owner};
use super::layer::{Directory, Ownership};

/// What the base has at a path; symbolic links are not followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    Absent,
    Directory {
        owned: Ownership,
        /// Seconds since 1970.
        modified: u64,
    },
    Symlink {
        target: String,
    },
    /// A regular file, with its content if a bake needs that.
    File {
        content: Vec<u8>,
    },
    Other,
}

/// The known paths of the base, absolute and without `.` or `..`.
pub type Tree = BTreeMap<String, Entry>;

/// The files whose content a bake needs.
pub const PASSWD: &str = "/etc/passwd";
pub const GROUP: &str = "/etc/group";

/// Paths to look up next, absolute and without `.` or `..`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PathQuery {
    /// Required for the next step.
    pub needed: BTreeSet<String>,
    /// The rest of each path, if no link is in it. A store looks these up only if that is free.
    pub likely: BTreeSet<String>,
}

impl PathQuery {
    /// Returns the query of paths that are all needed.
    pub fn for_needed<'p>(paths: impl IntoIterator<Item = &'p str>) -> Self {
        PathQuery { needed: paths.into_iter().map(str::to_owned).collect(), likely: BTreeSet::new() }
    }

    /// Returns every path, sorted.
    pub fn all(&self) -> BTreeSet<String> {
        self.needed.union(&self.likely).cloned().collect()
    }
}

impl Extend<PathQuery> for PathQuery {
    fn extend<L: IntoIterator<Item = PathQuery>>(&mut self, lookups: L) {
        for lookup in lookups {
            self.needed.extend(lookup.needed);
            self.likely.extend(lookup.likely);
        }
    }
}

/// What a bake must know of the base's tree.
#[derive(Debug, Clone, Default)]
pub struct TreeRequirements {
    /// Absolute paths of new files.
    pub files: Vec<String>,
    /// Owners that may have names.
    pub owners: Vec<Owner>,
}

impl TreeRequirements {
    /// Returns what to look up next. Nothing is needed once everything is known. Fails if a file cannot be put at its path.
    pub fn missing(&self, tree: &Tree) -> Result<PathQuery, ImageError> {
        let mut missing = PathQuery::default();
        let mut names = Vec::new();
        if self.owners.iter().any(|owner| matches!(owner.user, Id::Name(_))) {
            names.push(PASSWD);
        }
        if self.owners.iter().any(|owner| matches!(owner.group, Some(Id::Name(_)))) {
            names.push(GROUP);
        }
        for path in self.files.iter().map(String::as_str) {
            match resolve(tree, path, End::Replaced)? {
                ResolvedPath::Unknown { path, beyond } => {
                    missing.needed.insert(path);
                    missing.likely.extend(beyond);
                }
                ResolvedPath::At { path, .. } => {
                    missing.likely.insert(path);
                }
            }
        }
        for path in names {
            match resolve(tree, path, End::Followed)? {
                ResolvedPath::Unknown { path, .. } | ResolvedPath::At { path, .. } => missing.needed.insert(path),
            };
        }
        missing.needed.retain(|path| !tree.contains_key(path));
        missing.likely.retain(|path| !tree.contains_key(path) && !missing.needed.contains(path));
        Ok(missing)
    }
}

impl TreeRequirements {
    /// Returns what they need of a tree: of the user and group files only the IDs of the owners' names.
    pub fn seen(&self, tree: &Tree) -> Result<Tree, ImageError> {
        let mut seen = Tree::new();
        loop {
            let missing = self.missing(&seen)?.needed;
            let found = missing.into_iter().filter_map(|path| Some((path.clone(), tree.get(&path)?.clone())));
            let found: Vec<_> = found.collect();
            if found.is_empty() {
                break;
            }
            seen.extend(found);
        }
        let named = |id: Option<&Id>| if let Some(Id::Name(name)) = id { Some(name.clone()) } else { None };
        let users: BTreeSet<String> = self.owners.iter().filter_map(|owner| named(Some(&owner.user))).collect();
        let groups: BTreeSet<String> = self.owners.iter().filter_map(|owner| named(owner.group.as_ref())).collect();
        for (file, names) in [(PASSWD, users), (GROUP, groups)] {
            if let Ok(ResolvedPath::At { path, .. }) = resolve(&seen, file, End::Followed)
                && let Some(Entry::File { content }) = seen.get_mut(&path)
            {
                let line = |name: &String| Some(format!("{name}:x:{}\n", id_of(tree, file, name)?));
                *content = names.iter().filter_map(line).collect::<String>().into_bytes();
            }
        }
        Ok(seen)
    }
}

/// Returns the real path of a new file, with links of the base followed, and its parent directories.
pub fn locate(tree: &Tree, path: &str) -> Result<(String, Vec<Directory>), ImageError> {
    match resolve(tree, path, End::Replaced)? {
        ResolvedPath::At { path, directories } => Ok((path, directories)),
        ResolvedPath::Unknown { path, .. } => unreachable!("{path} was looked up before"),
    }
}

/// Tells whether the base has nothing at a path without links that [`locate`] returned, so that the bake makes it.
pub fn is_absent(tree: &Tree, path: &str) -> bool {
    matches!(tree.get(path), None | Some(Entry::Absent))
}

enum ResolvedPath {
    /// An unknown parent directory, and the rest of the path.
    Unknown {
        path: String,
        beyond: Vec<String>,
    },
    At {
        path: String,
        directories: Vec<Directory>,
    },
}

/// What to do with a link at the end of a path.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    /// A new file takes its place.
    Replaced,
    Followed,
}

/// Resolves a path like the kernel, with at most 40 links.
fn resolve(tree: &Tree, path: &str, end: End) -> Result<ResolvedPath, ImageError> {
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
            Some(Entry::Directory { .. }) if ahead.is_empty() => return Err(ImageError::IsADirectory(here)),
            Some(entry @ Entry::Symlink { .. }) if end == End::Followed => entry,
            _ if ahead.is_empty() => return Ok(ResolvedPath::At { path: here, directories }),
            Some(entry) => entry,
            None if directories.last().is_some_and(|parent| tree.get(&parent.path) == Some(&Entry::Absent)) => {
                &Entry::Absent
            }
            None => return Ok(ResolvedPath::Unknown { beyond: beyond(&here, &ahead), path: here }),
        };
        match entry {
            Entry::Directory { owned, modified } => {
                directories.push(Directory { path: here, owned: *owned, modified: *modified });
            }
            Entry::Absent => {
                let owned = Ownership { uid: 0, gid: 0, mode: 0o755 };
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

/// Returns the paths below `here` on the way ahead, up to the first `..`. The next part is last in `ahead`.
fn beyond(here: &str, ahead: &[String]) -> Vec<String> {
    let parts = ahead.iter().rev().take_while(|part| *part != "..");
    let further = parts.scan(here.to_owned(), |path, part| {
        *path = format!("{path}/{part}");
        Some(path.clone())
    });
    further.collect()
}

/// Looks up an owner's names in the base's passwd and group files. The default group is 0, so that its members can read the file.
pub fn look_up(tree: &Tree, owner: &Owner) -> Result<(u32, u32), ImageError> {
    let uid = match &owner.user {
        Id::Number(uid) => *uid,
        Id::Name(name) => id_of(tree, PASSWD, name).ok_or_else(|| ImageError::UnknownUser(name.clone()))?,
    };
    let gid = match &owner.group {
        None => 0,
        Some(Id::Number(gid)) => *gid,
        Some(Id::Name(name)) => id_of(tree, GROUP, name).ok_or_else(|| ImageError::UnknownGroup(name.clone()))?,
    };
    Ok((uid, gid))
}

/// Returns the ID in the first line of the name. A field that is not a number is 0, as in the engines' own reader
/// (github.com/moby/sys/user): the user that a container runs as must be able to read the files.
fn id_of(tree: &Tree, file: &str, name: &str) -> Option<u32> {
    let Ok(ResolvedPath::At { path, .. }) = resolve(tree, file, End::Followed) else { return None };
    let Some(Entry::File { content }) = tree.get(&path) else { return None };
    content.split(|byte| *byte == b'\n').find_map(|line| {
        let mut fields = line.trim_ascii().split(|byte| *byte == b':');
        let id = (fields.next()? == name.as_bytes()).then(|| fields.nth(1).unwrap_or_default())?;
        Some(std::str::from_utf8(id).ok().and_then(|id| id.parse().ok()).unwrap_or_default())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn directory(mode: u32) -> Entry {
        Entry::Directory { owned: Ownership { uid: 7, gid: 8, mode }, modified: 9 }
    }

    fn link(target: &str) -> Entry {
        Entry::Symlink { target: target.to_owned() }
    }

    /// Asks a whole tree in rounds, as a bake does, and returns what it then knows.
    fn ask(requirements: &TreeRequirements, base: &Tree) -> Result<Tree, ImageError> {
        let mut known = Tree::new();
        loop {
            let missing = requirements.missing(&known)?;
            if missing.needed.is_empty() {
                return Ok(known);
            }
            for path in missing.needed {
                let entry = base.get(&path).cloned().unwrap_or(Entry::Absent);
                assert!(known.insert(path.clone(), entry).is_none(), "{path} was asked for twice");
            }
        }
    }

    fn placed(base: &[(&str, Entry)], path: &str) -> Result<(String, Vec<(String, u32)>), ImageError> {
        let base: Tree = base.iter().map(|(path, entry)| ((*path).to_owned(), entry.clone())).collect();
        let known = ask(&TreeRequirements { files: vec![path.to_owned()], owners: Vec::new() }, &base)?;
        let (path, directories) = locate(&known, path)?;
        Ok((path, directories.into_iter().map(|directory| (directory.path, directory.owned.mode)).collect()))
    }

    #[test]
    fn directories_of_the_base_keep_what_they_have_and_new_ones_are_roots() {
        let base = [("/app", directory(0o700))];
        let expected = vec![("/app".to_owned(), 0o700), ("/app/tls".to_owned(), 0o755)];
        assert_eq!(placed(&base, "/app/tls/key"), Ok(("/app/tls/key".to_owned(), expected)));
    }

    #[test]
    fn a_link_on_the_way_is_followed_not_replaced() {
        let base = [("/var", directory(0o755)), ("/var/run", link("../run")), ("/run", directory(0o711))];
        let expected = vec![("/run".to_owned(), 0o711)];
        assert_eq!(placed(&base, "/var/run/key"), Ok(("/run/key".to_owned(), expected)));
        let base = [("/app", link("/opt/./app")), ("/opt", directory(0o755))];
        assert_eq!(placed(&base, "/app/key").unwrap().0, "/opt/app/key");
    }

    #[test]
    fn a_file_or_a_loop_on_the_way_is_an_error() {
        let file = Entry::File { content: Vec::new() };
        assert_eq!(placed(&[("/a", file)], "/a/b"), Err(ImageError::NotADirectory("/a".into())));
        assert_eq!(placed(&[("/a", link("/a"))], "/a/b"), Err(ImageError::LinkLoop("/a/b".into())));
    }

    #[test]
    fn a_directory_is_not_replaced_by_a_file_and_everything_else_is() {
        let at_end = |entry: Entry| {
            let tree = Tree::from([("/app".to_owned(), directory(0o755)), ("/app/key".to_owned(), entry)]);
            locate(&tree, "/app/key").map(|(path, _)| path)
        };
        assert_eq!(at_end(directory(0o755)), Err(ImageError::IsADirectory("/app/key".into())));
        for entry in [link("/etc"), Entry::File { content: Vec::new() }, Entry::Absent, Entry::Other] {
            assert_eq!(at_end(entry), Ok("/app/key".to_owned()));
        }
    }

    #[test]
    fn the_way_ahead_is_asked_for_in_one_round_if_no_link_is_on_it() {
        let requirements = TreeRequirements { files: vec!["/a/b/key".to_owned()], owners: Vec::new() };
        let lookup = |needed: &[&str], likely: &[&str]| PathQuery {
            likely: likely.iter().map(|path| (*path).to_owned()).collect(),
            ..PathQuery::for_needed(needed.iter().copied())
        };
        assert_eq!(requirements.missing(&Tree::new()), Ok(lookup(&["/a"], &["/a/b", "/a/b/key"])));
        let mut tree = Tree::from([("/a".to_owned(), link("x/../y")), ("/x".to_owned(), Entry::Absent)]);
        assert_eq!(requirements.missing(&tree), Ok(lookup(&["/y"], &["/y/b", "/y/b/key"])));
        tree.insert("/y".to_owned(), Entry::Absent);
        assert_eq!(requirements.missing(&tree), Ok(lookup(&[], &["/y/b/key"])));
        tree.insert("/y/b/key".to_owned(), Entry::Absent);
        assert_eq!(requirements.missing(&tree), Ok(PathQuery::default()));
    }

    #[test]
    fn the_first_line_of_a_name_counts() {
        let passwd = b"# users\n\n+::\n app:x:1000:1001:App:/:/bin/sh\r\napp:x:2:2\nodd:x:none:5\nodd:x:7:7\n".to_vec();
        let group = b"app:x:50:\napp:x:60:\n".to_vec();
        let base = Tree::from([
            ("/etc".to_owned(), directory(0o755)),
            (PASSWD.to_owned(), link("/usr/passwd")),
            ("/usr".to_owned(), directory(0o755)),
            ("/usr/passwd".to_owned(), Entry::File { content: passwd }),
            (GROUP.to_owned(), Entry::File { content: group }),
        ]);
        let app = Owner { user: Id::Name("app".into()), group: None };
        let odd = Owner { user: Id::Name("odd".into()), group: Some(Id::Name("app".into())) };
        let nobody = Owner { user: Id::Name("nobody".into()), group: None };
        let requirements =
            TreeRequirements { files: Vec::new(), owners: vec![app.clone(), odd.clone(), nobody.clone()] };
        let tree = ask(&requirements, &base).unwrap();
        assert_eq!(look_up(&tree, &app), Ok((1000, 0)));
        assert_eq!(look_up(&tree, &odd), Ok((0, 50)));
        assert_eq!(look_up(&tree, &nobody), Err(ImageError::UnknownUser("nobody".into())));
    }

    #[test]
    fn forty_links_are_followed_and_no_more() {
        let chain = |links: usize| -> Tree {
            let mut tree: Tree = (0..links).map(|n| (format!("/{n}"), link(&format!("/{}", n + 1)))).collect();
            tree.insert(format!("/{links}"), directory(0o755));
            tree
        };
        let ends = |links| {
            let requirements = TreeRequirements { files: vec!["/0/key".to_owned()], owners: Vec::new() };
            ask(&requirements, &chain(links)).map(drop)
        };
        assert_eq!(ends(40), Ok(()));
        assert_eq!(ends(41), Err(ImageError::LinkLoop("/0/key".into())));
    }
}

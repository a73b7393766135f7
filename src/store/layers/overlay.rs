//! Owns the lookup of paths in stacked layers: whiteouts, opaque directories and hard links.

use std::io;

use tar::EntryType;

use super::decode::decode;
use super::members::{TarMember, TarMembers};
use crate::image::layer::Ownership;
use crate::image::tree::{Entry, GROUP, PASSWD, PathQuery, Tree};
use crate::runtime::blocking::Cancel;
use crate::store::layers::blob::FileRange;

/// The largest file whose content is read.
const CONTENT_LIMIT: u64 = 1024 * 1024;
/// How often a layer is read again for targets of hard links.
const HARD_LINKS: usize = 8;

/// A directory that no layer has an entry for, as an engine creates it.
const IMPLIED: Entry = Entry::Directory { owned: Ownership { uid: 0, gid: 0, mode: 0o755 }, modified: 0 };

/// Why a lookup failed.
#[derive(Debug)]
pub enum LookupError {
    /// The layer cannot be read.
    Layer(io::Error),
    /// `/etc/passwd` or `/etc/group` is larger than 1 MiB.
    TooLarge(String),
}

/// A path to find.
struct Wanted {
    /// The path that was asked for.
    asked: String,
    /// The same path, or the target if it is a hard link.
    path: String,
    /// Whether lower layers are read for it.
    needed: bool,
    /// A layer has something in it, so it is a directory.
    implied: bool,
    /// This layer hides it in lower layers.
    hidden: bool,
    found: Option<FoundEntry>,
}

enum FoundEntry {
    Entry(Entry),
    HardLink(String),
}

/// A search for paths, layer by layer from the top down. Links are not followed.
pub struct TreeSearch {
    tree: Tree,
    open: Vec<Wanted>,
}

impl TreeSearch {
    /// Starts a search.
    pub fn new(paths: &PathQuery) -> Self {
        let new = |path: String| Wanted {
            needed: paths.needed.contains(&path),
            asked: path.clone(),
            path,
            implied: false,
            hidden: false,
            found: None,
        };
        TreeSearch { tree: Tree::new(), open: paths.all().into_iter().map(new).collect() }
    }

    /// Tells whether every needed path is found.
    pub fn is_over(&self) -> bool {
        self.open.iter().all(|wanted| !wanted.needed)
    }

    /// Reads the next layer.
    pub fn read(&mut self, layer: &FileRange, cancel: &Cancel) -> Result<(), LookupError> {
        let mut unread = std::mem::take(&mut self.open);
        // the target of a hard link may precede the link: read the layer again, for the targets only
        for _ in 0..=HARD_LINKS {
            read(layer, &mut unread, cancel)?;
            let mut links = Vec::new();
            for mut wanted in unread {
                let entry = match (wanted.found.take(), wanted.implied, wanted.hidden) {
                    (Some(FoundEntry::Entry(directory @ Entry::Directory { .. })), ..) => directory,
                    // what was no directory here was replaced by one above
                    (Some(_), true, _) | (None, true, true) => IMPLIED,
                    (Some(FoundEntry::Entry(entry)), false, _) => entry,
                    (Some(FoundEntry::HardLink(path)), false, _) => {
                        links.push(Wanted { path, hidden: false, ..wanted });
                        continue;
                    }
                    (None, false, true) => Entry::Absent,
                    (None, _, false) => {
                        self.open.push(wanted);
                        continue;
                    }
                };
                self.tree.insert(wanted.asked, entry);
            }
            unread = links;
            if unread.is_empty() {
                break;
            }
        }
        self.tree.extend(unread.into_iter().map(|wanted| (wanted.asked, Entry::Other)));
        Ok(())
    }

    /// Returns the entries. A path without an entry in any layer is absent, or a directory if something is in it. A likely path that may be
    /// in a layer that was not read is left out.
    pub fn end(mut self) -> Tree {
        let all_was_read = !self.is_over();
        let left = self.open.into_iter().filter(|_| all_was_read);
        self.tree.extend(left.map(|wanted| (wanted.asked, if wanted.implied { IMPLIED } else { Entry::Absent })));
        self.tree
    }
}

/// Reads a whole layer: of several entries for one path, engines use the last.
fn read(layer: &FileRange, wanted: &mut [Wanted], cancel: &Cancel) -> Result<(), LookupError> {
    let failed = LookupError::Layer;
    let mut members = TarMembers::new(decode(layer.clone().rewound(), cancel).map_err(failed)?);
    while let Some(member) = members.next().map_err(failed)? {
        cancel.check().map_err(failed)?;
        let path = clean(&member.path);
        match Whiteout::parse(&path) {
            Some(Whiteout::Opaque(directory)) => {
                wanted.iter_mut().for_each(|wanted| wanted.hidden |= is_below(wanted.path.as_bytes(), directory));
            }
            Some(Whiteout::Of(path)) => {
                wanted.iter_mut().for_each(|wanted| {
                    wanted.hidden |= wanted.path.as_bytes() == path || is_below(wanted.path.as_bytes(), &path);
                });
            }
            Some(Whiteout::Unknown) => continue,
            None => note(&member, &path, wanted, |member| members.read(member, CONTENT_LIMIT), failed)?,
        }
        for wanted in wanted.iter_mut() {
            wanted.implied |= is_below(&path, wanted.path.as_bytes());
        }
    }
    Ok(())
}

/// Applies a member to the paths.
fn note(
    member: &TarMember,
    path: &[u8],
    wanted: &mut [Wanted],
    mut read: impl FnMut(&TarMember) -> io::Result<Vec<u8>>,
    failed: impl Fn(io::Error) -> LookupError,
) -> Result<(), LookupError> {
    let mut content = None;
    for wanted in wanted {
        if is_below(wanted.path.as_bytes(), path) {
            // links are not followed, so nothing is below a link
            if member.kind != EntryType::Directory {
                wanted.hidden = true;
                wanted.found = None;
            }
        } else if wanted.path.as_bytes() == path {
            let text = || String::from_utf8_lossy(&member.link).into_owned();
            wanted.found = Some(match member.kind {
                EntryType::Directory => {
                    let owned = Ownership::from_header(member.uid, member.gid, member.mode);
                    FoundEntry::Entry(Entry::Directory { owned, modified: member.modified })
                }
                EntryType::Symlink => FoundEntry::Entry(Entry::Symlink { target: text() }),
                EntryType::Link => FoundEntry::HardLink(String::from_utf8_lossy(&clean(&member.link)).into_owned()),
                EntryType::Regular | EntryType::Continuous if member.size <= CONTENT_LIMIT => {
                    if content.is_none() {
                        content = Some(read(member).map_err(&failed)?);
                    }
                    FoundEntry::Entry(Entry::File { content: content.clone().unwrap_or_default() })
                }
                EntryType::Regular | EntryType::Continuous if [PASSWD, GROUP].contains(&wanted.asked.as_str()) => {
                    return Err(LookupError::TooLarge(wanted.asked.clone()));
                }
                EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
                    FoundEntry::Entry(Entry::File { content: Vec::new() })
                }
                _ => FoundEntry::Entry(Entry::Other),
            });
        }
    }
    Ok(())
}

enum Whiteout<'a> {
    /// The path and everything in it are removed.
    Of(Vec<u8>),
    /// The directory's content in lower layers is hidden.
    Opaque(&'a [u8]),
    /// A private entry of aufs.
    Unknown,
}

impl<'a> Whiteout<'a> {
    fn parse(path: &'a [u8]) -> Option<Self> {
        let slash = path.iter().rposition(|byte| *byte == b'/')?;
        let (directory, name) = (&path[..slash], &path[slash + 1..]);
        match name.strip_prefix(b".wh.")? {
            b".wh..opq" => Some(Whiteout::Opaque(directory)),
            rest if rest.starts_with(b".wh.") => Some(Whiteout::Unknown),
            rest => Some(Whiteout::Of([directory, b"/", rest].concat())),
        }
    }
}

/// Makes a tar's path absolute: without `.`, `..` and double slashes, and `""` for the root itself.
pub(crate) fn clean(path: &[u8]) -> Vec<u8> {
    let mut parts: Vec<&[u8]> = Vec::new();
    for part in path.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.iter().flat_map(|part| [b"/", *part]).flatten().copied().collect()
}

fn is_below(path: &[u8], directory: &[u8]) -> bool {
    path.strip_prefix(directory).is_some_and(|rest| rest.starts_with(b"/"))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::sync::Arc;

    use super::*;

    /// Makes a layer of words: `dir/`, `file=content`, `link>target` and `hard<target`.
    fn layer(members: &str) -> FileRange {
        let mut builder = tar::Builder::new(tempfile::tempfile().unwrap());
        for (number, member) in members.split_whitespace().enumerate() {
            let mut header = tar::Header::new_gnu();
            header.set_mode(0o750);
            header.set_uid(number as u64);
            header.set_size(0);
            if let Some((path, target)) = member.split_once('>') {
                header.set_entry_type(EntryType::Symlink);
                builder.append_link(&mut header, path, target).unwrap();
            } else if let Some((path, target)) = member.split_once('<') {
                header.set_entry_type(EntryType::Link);
                builder.append_link(&mut header, path, target).unwrap();
            } else if let Some((path, content)) = member.split_once('=') {
                header.set_size(content.len() as u64);
                builder.append_data(&mut header, path, content.as_bytes()).unwrap();
            } else {
                header.set_entry_type(EntryType::Directory);
                builder.append_data(&mut header, member, std::io::empty()).unwrap();
            }
        }
        let mut file = builder.into_inner().unwrap();
        file.flush().unwrap();
        FileRange::whole(Arc::new(file)).unwrap()
    }

    fn at(layers: &[&str], path: &str) -> String {
        let mut search = TreeSearch::new(&PathQuery::for_needed([path]));
        for members in layers.iter().rev() {
            search.read(&layer(members), &Cancel::default()).unwrap();
        }
        let tree = search.end();
        assert_eq!(tree.len(), 1);
        match &tree[path] {
            Entry::Absent => "absent".into(),
            Entry::Directory { owned, .. } => format!("directory {} {:o}", owned.uid, owned.mode),
            Entry::Symlink { target } => format!("link {target}"),
            Entry::File { content } => format!("file {}", String::from_utf8_lossy(content)),
            Entry::Other => "other".into(),
        }
    }

    #[test]
    fn the_highest_layer_says_what_is_at_a_path() {
        assert_eq!(at(&["etc/ etc/passwd=low", "./etc/passwd=high"], "/etc/passwd"), "file high");
        assert_eq!(at(&["etc/ etc/passwd=low", "tmp/"], "/etc/passwd"), "file low");
        assert_eq!(at(&["x/ etc/", "etc/y=1"], "/etc"), "directory 1 750");
        assert_eq!(at(&["etc>usr/etc", "tmp/"], "/etc"), "link usr/etc");
        assert_eq!(at(&["etc/"], "/et"), "absent");
        assert_eq!(at(&[], "/etc"), "absent");
    }

    #[test]
    fn a_whiteout_hides_what_is_below_it_only() {
        assert_eq!(at(&["a/ a/b=1", "a/.wh.b="], "/a/b"), "absent");
        assert_eq!(at(&["a/ a/b=1", ".wh.a="], "/a/b"), "absent");
        assert_eq!(at(&["a/ a/b=1", ".wh.a= a/ a/c=1"], "/a/b"), "absent");
        assert_eq!(at(&["a/ a/b=1", "a/.wh.b=", "a/b=2"], "/a/b"), "file 2");
        assert_eq!(at(&["a/ a/b=1", "a/b=2 a/.wh.b="], "/a/b"), "file 2");
        assert_eq!(at(&["a/ a/b=1", ".wh..wh.plnk="], "/a/b"), "file 1");
        assert_eq!(at(&["x/ a/", "a/.wh.b="], "/a"), "directory 1 750");
    }

    #[test]
    fn an_opaque_directory_hides_what_it_had_below() {
        assert_eq!(at(&["a/ a/b=1", "a/ a/.wh..wh..opq="], "/a/b"), "absent");
        assert_eq!(at(&["a/ a/b=1", "a/.wh..wh..opq= a/b=2"], "/a/b"), "file 2");
        assert_eq!(at(&["x/ a/ a/b=1", "a/.wh..wh..opq="], "/a"), "directory 1 750");
        assert_eq!(at(&["a/ a/b=1", ".wh..wh..opq="], "/a/b"), "absent");
    }

    #[test]
    fn a_directory_may_only_be_implied() {
        assert_eq!(at(&["a/b/c=1"], "/a"), "directory 0 755");
        assert_eq!(at(&["x/ a/", "a/b/c=1"], "/a"), "directory 1 750");
        assert_eq!(at(&["a>b", "a/b/c=1"], "/a"), "directory 0 755");
        assert_eq!(at(&["a/", ".wh.a= a/b/c=1"], "/a"), "directory 0 755");
    }

    #[test]
    fn nothing_is_below_what_is_no_directory() {
        assert_eq!(at(&["a/ a/b=1", "a>x"], "/a/b"), "absent");
        assert_eq!(at(&["a/ a/b=1", "a=file"], "/a/b"), "absent");
    }

    #[test]
    fn a_hard_link_is_its_target_of_that_time() {
        assert_eq!(at(&["etc/p=1 etc/passwd<etc/p"], "/etc/passwd"), "file 1");
        assert_eq!(at(&["etc/p=1 etc/passwd<./etc/p", "etc/p=2"], "/etc/passwd"), "file 1");
        assert_eq!(at(&["etc/p=1", "etc/passwd</etc/p"], "/etc/passwd"), "file 1");
        assert_eq!(at(&["a=1 b<a c<b"], "/c"), "file 1");
        assert_eq!(at(&["b<a a<b"], "/b"), "other");
        assert_eq!(at(&["b<a"], "/b"), "absent");
    }

    #[test]
    fn only_the_content_of_small_files_is_kept() {
        let large = format!("etc/passwd={0} x={0}", "x".repeat(CONTENT_LIMIT as usize + 1));
        assert_eq!(at(&[&large], "/x"), "file ");
        let mut search = TreeSearch::new(&PathQuery::for_needed([PASSWD]));
        assert!(matches!(search.read(&layer(&large), &Cancel::default()), Err(LookupError::TooLarge(_))));
    }

    #[test]
    fn the_last_entry_of_a_path_in_a_layer_counts() {
        assert_eq!(at(&["etc/passwd=first etc/passwd=last"], "/etc/passwd"), "file last");
        assert_eq!(at(&["app/ x/ app/"], "/app"), "directory 2 750");
        assert_eq!(at(&["app=file app/"], "/app"), "directory 1 750");
        assert_eq!(at(&["app/ app>x"], "/app"), "link x");
        assert_eq!(at(&["a/ a/b=1 a=file"], "/a/b"), "absent");
        assert_eq!(at(&["a/ a/b=1 a=file a/ a/b=2"], "/a/b"), "file 2");
    }

    #[test]
    fn a_broken_layer_is_an_error() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&[1; 600]).unwrap();
        let broken = FileRange::whole(Arc::new(file)).unwrap();
        let mut search = TreeSearch::new(&PathQuery::for_needed(["/x"]));
        assert!(matches!(search.read(&broken, &Cancel::default()), Err(LookupError::Layer(_))));
    }

    #[test]
    fn what_is_only_likely_is_told_as_far_as_the_layers_were_read() {
        let likely = |path: &str| PathQuery { likely: [path.to_owned()].into(), ..PathQuery::for_needed(["/a"]) };
        let search = |layers: &[&str], path: &str| {
            let mut search = TreeSearch::new(&likely(path));
            for members in layers {
                if search.is_over() {
                    break;
                }
                search.read(&layer(members), &Cancel::default()).unwrap();
            }
            search.end().remove(path)
        };
        assert!(matches!(search(&["a/ a/b/"], "/a/b"), Some(Entry::Directory { .. })));
        assert_eq!(search(&["a/", "a/ a/b/"], "/a/b"), None);
        assert_eq!(search(&["a/ a/b/c=1", "a/b/"], "/a/b"), None);
        assert_eq!(search(&["x/"], "/a/b"), Some(Entry::Absent));
    }

    #[test]
    fn a_search_is_over_as_soon_as_every_path_is_found() {
        let mut search = TreeSearch::new(&PathQuery::for_needed(["/a", "/b"]));
        search.read(&layer("a=1"), &Cancel::default()).unwrap();
        assert!(!search.is_over());
        search.read(&layer(".wh.b="), &Cancel::default()).unwrap();
        assert!(search.is_over());
    }
}

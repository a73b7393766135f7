//! Owns the cache directory: manifests and configs of bases by digest, entries of their file trees, and notes of temporary things in
//! engines, so that a later run can remove what a killed run left.
//!
//! Everything is verified when it is read, so a damaged file is a miss, and a directory that cannot be written costs only time. Nothing of a
//! baked image is stored here.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::oci::DOCUMENT_LIMIT;
use crate::image::Base;
use crate::image::digest::Digest;
use crate::image::layer::Ownership;
use crate::image::tree::{Entry, PathQuery, Tree};
use crate::runtime::bounded;
use crate::runtime::files::{self, Leftover};
use crate::runtime::platform;

/// The largest note that is read.
const NOTE_LIMIT: u64 = 4096;

/// The cache.
#[derive(Debug)]
pub(super) struct Cache(Option<PathBuf>);

impl Cache {
    /// Uses a directory, which need not exist; `None` for no cache.
    pub(super) fn new(directory: Option<PathBuf>) -> Self {
        Cache(directory)
    }

    /// Returns the bytes with this digest.
    pub(super) fn blob(&self, digest: &Digest) -> Option<Vec<u8>> {
        let bytes = self.read("blobs", digest.hex())?;
        (Digest::of(&bytes) == *digest).then_some(bytes)
    }

    /// Stores bytes of a base, never of a baked image.
    pub(super) fn keep_blob(&self, digest: &Digest, bytes: &[u8]) {
        self.keep("blobs", digest.hex(), bytes);
    }

    /// Looks up paths of a base's tree: calls `ask` for unknown paths only, and stores its answer.
    pub(super) async fn look_up<E>(
        &self,
        base: &Base,
        paths: &PathQuery,
        ask: impl AsyncFnOnce(PathQuery) -> Result<Tree, E>,
    ) -> Result<Tree, E> {
        let mut known = base.digest.as_ref().map(|digest| self.tree(digest)).unwrap_or_default();
        let unknown =
            |paths: &BTreeSet<String>| paths.iter().filter(|path| !known.contains_key(*path)).cloned().collect();
        let rest = PathQuery { needed: unknown(&paths.needed), likely: unknown(&paths.likely) };
        // likely paths alone are not worth a request if the needed ones are known
        let is_worth_it = if paths.needed.is_empty() { !rest.likely.is_empty() } else { !rest.needed.is_empty() };
        if is_worth_it {
            known.append(&mut ask(rest).await?);
            if let Some(digest) = &base.digest {
                self.keep_tree(digest, &known);
            }
        }
        let all = paths.all();
        known.retain(|path, _| all.contains(path));
        Ok(known)
    }

    fn tree(&self, base: &Digest) -> Tree {
        self.read("trees", base.hex()).and_then(|bytes| read_tree(&bytes)).unwrap_or_default()
    }

    fn keep_tree(&self, base: &Digest, tree: &Tree) {
        if let Some(bytes) = write_tree(tree) {
            self.keep("trees", base.hex(), &bytes);
        }
    }

    fn read(&self, kind: &str, name: &str) -> Option<Vec<u8>> {
        let path = self.folder(kind)?.join(name);
        let is_safe = platform::find_danger(&path).is_ok_and(|danger| danger.is_none());
        is_safe.then(|| files::read(&path, DOCUMENT_LIMIT).ok().flatten())?
    }

    fn keep(&self, kind: &str, name: &str, bytes: &[u8]) {
        let Some(directory) = self.folder(kind) else { return };
        let written = || -> io::Result<()> {
            files::remove_leftovers(&directory);
            // renamed at the end: a reader sees all of it or nothing
            let mut file = files::temporary(&directory)?;
            file.write_all(bytes)?;
            file.persist(directory.join(name)).map_err(|error| error.error)?;
            Ok(())
        };
        if let Err(error) = written() {
            tracing::debug!(%error, "the cache is not written");
        }
    }

    /// Writes a note of a temporary thing that is about to be created at a place; `None` if that is not possible.
    pub(super) fn note(&self, place: &str, text: &str) -> Option<Note> {
        let directory = self.notes(place)?;
        let written = || -> io::Result<Leftover> {
            let mut file = files::temporary(&directory)?;
            file.write_all(text.as_bytes())?;
            Leftover::keep(file)
        };
        written().ok().map(|file| Note { text: text.to_owned(), file })
    }

    /// Returns the notes of killed runs for a place.
    pub(super) fn left(&self, place: &str) -> Vec<Note> {
        let left = self.notes(place).map(|directory| files::leftovers(&directory)).unwrap_or_default();
        let read = |file: Leftover| {
            let text = String::from_utf8(bounded::read_start(&file.file, NOTE_LIMIT).ok()?).ok()?;
            Some(Note { text, file })
        };
        left.into_iter().filter_map(read).collect()
    }

    fn notes(&self, place: &str) -> Option<PathBuf> {
        self.folder(&format!("notes/{}", Digest::of(place.as_bytes()).hex()))
    }

    /// Creates a folder of the cache. Returns `None` if that is not possible, or if another user may write to it: a forged note could make
    /// this run remove anything, and a forged tree could give a file to someone else.
    fn folder(&self, below: &str) -> Option<PathBuf> {
        let root = self.0.as_ref()?;
        let mut folder = root.clone();
        let mut make = || -> io::Result<Option<&'static str>> {
            platform::private_directories().recursive(true).create(root.join(below))?;
            // the cache itself may be a link that the user made
            folder = fs::canonicalize(root)?;
            let mut danger = platform::find_danger(&folder)?;
            if platform::find_open_parent(&folder)?.is_some() {
                danger = Some("is in a directory that everyone may write to");
            }
            for part in Path::new(below) {
                folder.push(part);
                danger = danger.or(platform::find_danger(&folder)?);
            }
            Ok(danger)
        };
        match make() {
            Ok(None) => Some(folder),
            Ok(Some(danger)) => {
                tracing::warn!(cache = %root.display(), "the cache is not used: it, or a folder in it, {danger}");
                None
            }
            Err(error) => {
                tracing::debug!(%error, "the cache is not used");
                None
            }
        }
    }
}

/// A note of a temporary thing. It stays until it is forgotten; while it is held, no other run takes it.
pub(super) struct Note {
    pub text: String,
    file: Leftover,
}

impl Note {
    /// Removes the note, since the thing is gone.
    pub(super) fn forget(self) {
        self.file.remove();
    }
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum CachedEntry {
    Absent,
    Directory { uid: u32, gid: u32, mode: u32, modified: u64 },
    Symlink { target: String },
    File { content: String },
    Other,
}

/// Writes the JSON after a line with its digest.
fn write_tree(tree: &Tree) -> Option<Vec<u8>> {
    let kept = tree.iter().filter_map(|(path, entry)| {
        let entry = match entry {
            Entry::Absent => CachedEntry::Absent,
            Entry::Directory { owned: Ownership { uid, gid, mode }, modified } => {
                CachedEntry::Directory { uid: *uid, gid: *gid, mode: *mode, modified: *modified }
            }
            Entry::Symlink { target } => CachedEntry::Symlink { target: target.clone() },
            Entry::File { content } => CachedEntry::File { content: String::from_utf8(content.clone()).ok()? },
            Entry::Other => CachedEntry::Other,
        };
        Some((path.as_str(), entry))
    });
    let body = serde_json::to_vec(&kept.collect::<std::collections::BTreeMap<_, _>>()).ok()?;
    let mut bytes = format!("{}\n", Digest::of(&body)).into_bytes();
    bytes.extend_from_slice(&body);
    Some(bytes)
}

fn read_tree(bytes: &[u8]) -> Option<Tree> {
    let end = bytes.iter().position(|byte| *byte == b'\n')?;
    let (sum, body) = (bytes.get(..end)?, bytes.get(end + 1..)?);
    if Digest::of(body).as_str().as_bytes() != sum {
        return None;
    }
    let kept: std::collections::BTreeMap<String, CachedEntry> = serde_json::from_slice(body).ok()?;
    let entries = kept.into_iter().map(|(path, kept)| {
        let entry = match kept {
            CachedEntry::Absent => Entry::Absent,
            CachedEntry::Directory { uid, gid, mode, modified } => {
                Entry::Directory { owned: Ownership { uid, gid, mode }, modified }
            }
            CachedEntry::Symlink { target } => Entry::Symlink { target },
            CachedEntry::File { content } => Entry::File { content: content.into_bytes() },
            CachedEntry::Other => Entry::Other,
        };
        (path, entry)
    });
    Some(entries.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_kept_comes_back_and_damage_is_a_miss() {
        let directory = tempfile::tempdir().unwrap();
        let cache = Cache::new(Some(directory.path().join("new/cache")));
        let digest = Digest::of(b"manifest");
        assert_eq!(cache.blob(&digest), None);
        cache.keep_blob(&digest, b"manifest");
        assert_eq!(cache.blob(&digest).unwrap(), b"manifest");
        let file = directory.path().join("new/cache/blobs").join(digest.hex());
        fs::write(&file, b"manifesT").unwrap();
        assert_eq!(cache.blob(&digest), None);

        let owned = Ownership { uid: 1, gid: 2, mode: 0o755 };
        let tree = Tree::from([
            ("/a".to_owned(), Entry::Directory { owned, modified: 7 }),
            ("/b".to_owned(), Entry::Absent),
            ("/c".to_owned(), Entry::File { content: b"x\n".to_vec() }),
            ("/d".to_owned(), Entry::Symlink { target: "/a".into() }),
            ("/e".to_owned(), Entry::Other),
        ]);
        cache.keep_tree(&digest, &tree);
        assert_eq!(cache.tree(&digest), tree);
        let file = directory.path().join("new/cache/trees").join(digest.hex());
        let mut bytes = fs::read(&file).unwrap();
        let last = bytes.len() - 3;
        bytes[last] ^= 1;
        fs::write(&file, bytes).unwrap();
        assert_eq!(cache.tree(&digest), Tree::new());
    }

    #[test]
    fn a_note_is_found_once_its_run_is_gone() {
        let directory = tempfile::tempdir().unwrap();
        let cache = Cache::new(Some(directory.path().into()));
        let note = cache.note("engine", "a thing").unwrap();
        assert_eq!(cache.left("engine").len(), 0);
        drop(note);
        assert_eq!(cache.left("another engine").len(), 0);
        let left = cache.left("engine").remove(0);
        assert_eq!(left.text, "a thing");
        assert_eq!(cache.left("engine").len(), 0, "one run has it already");
        left.forget();
        cache.note("engine", "removed in time").unwrap().forget();
        assert_eq!(cache.left("engine").len(), 0);
    }

    #[test]
    fn a_temporary_file_of_a_killed_run_is_removed() {
        let directory = tempfile::tempdir().unwrap();
        let cache = Cache::new(Some(directory.path().into()));
        cache.keep_blob(&Digest::of(b"first"), b"first");
        let blobs = directory.path().join("blobs");
        drop(files::temporary(&blobs).unwrap().keep().unwrap());
        cache.keep_blob(&Digest::of(b"second"), b"second");
        assert_eq!(fs::read_dir(&blobs).unwrap().count(), 2);
    }

    #[test]
    fn a_cache_that_another_user_may_have_written_is_not_used() {
        use std::os::unix::fs::PermissionsExt as _;
        let directory = tempfile::tempdir().unwrap();
        let digest = Digest::of(b"x");
        let cache = Cache::new(Some(directory.path().into()));
        cache.keep_blob(&digest, b"x");
        for folder in [directory.path().to_owned(), directory.path().join("blobs")] {
            fs::set_permissions(&folder, fs::Permissions::from_mode(0o777)).unwrap();
            assert_eq!(cache.blob(&digest), None, "{}", folder.display());
            fs::set_permissions(&folder, fs::Permissions::from_mode(0o700)).unwrap();
        }
        assert!(cache.blob(&digest).is_some());
        let elsewhere = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(elsewhere.path(), directory.path().join("trees")).unwrap();
        cache.keep_tree(&digest, &Tree::new());
        assert_eq!(fs::read_dir(elsewhere.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_pipe_in_the_cache_is_as_good_as_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let cache = Cache::new(Some(directory.path().into()));
        let digest = Digest::of(b"x");
        cache.keep_blob(&digest, b"x");
        let path = directory.path().join("blobs").join(digest.hex());
        fs::remove_file(&path).unwrap();
        rustix::fs::mkfifoat(rustix::fs::CWD, &path, rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR).unwrap();
        assert_eq!(cache.blob(&digest), None);
    }

    #[test]
    fn a_directory_that_cannot_be_made_is_no_error() {
        let cache = Cache::new(Some("/proc/none".into()));
        cache.keep_blob(&Digest::of(b"x"), b"x");
        assert_eq!(cache.blob(&Digest::of(b"x")), None);
    }
}

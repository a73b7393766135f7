//! Owns the opening of archives: a plain file in place; a pipe, standard input or a compressed file through a copy.
//!
//! The copy has no name, so nothing is left of it however the program ends.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::sync::Arc;

use tokio::sync::Mutex;

use super::tar_index::TarIndex;
use crate::diagnostic::Diagnostic;
use crate::runtime::blocking::{self, Cancel};
use crate::runtime::platform;
use crate::store::StoreError;
use crate::store::error::fault;
use crate::store::layers::blob::FileRange;
use crate::store::layers::{DecodeError, Decoded, decode};

/// Standard input or output.
pub(super) const STANDARD: &str = "-";

/// The copies, by the archive's path: a pipe can be read once, and an image is read several times.
#[derive(Debug, Default)]
pub(super) struct Archives(Mutex<BTreeMap<String, Arc<TarIndex>>>);

/// Why an archive cannot be read.
enum OpenError {
    /// It is neither a file nor a pipe, so it may never end.
    Device,
    Read(io::Error),
    Copy(io::Error),
}

impl Archives {
    /// Opens an archive.
    pub(super) async fn open(&self, path: &str, shown: &str) -> Result<Arc<TarIndex>, StoreError> {
        // locked during the copy: others that want the same pipe wait
        let mut copies = self.0.lock().await;
        if let Some(contents) = copies.get(path) {
            return Ok(Arc::clone(contents));
        }
        let wanted = path.to_owned();
        let opened = if is_regular(path) {
            blocking::run(move |cancel| open(&wanted, cancel)).await
        } else {
            // a read may never return, and the program must still be able to end
            let read = blocking::detach(move || open(&wanted, &Cancel::default()));
            let read = read.map_err(|error| fault("read", shown, &error))?;
            read.await.unwrap_or_else(|_| Err(OpenError::Read(io::Error::other("reading stopped"))))
        };
        let (contents, copied) = opened.map_err(|error| error.diagnose(shown))?;
        let contents = Arc::new(contents);
        if copied {
            copies.insert(path.to_owned(), Arc::clone(&contents));
        }
        Ok(contents)
    }

    /// Drops a copy, since the file was replaced.
    pub(super) async fn forget(&self, path: &str) {
        self.0.lock().await.remove(path);
    }
}

/// Tells whether a path is a regular file, which can be replaced and read twice.
pub(super) fn is_regular(path: &str) -> bool {
    path != STANDARD && fs::metadata(path).is_ok_and(|metadata| metadata.is_file())
}

/// Opens an archive, and tells whether it is a copy.
fn open(path: &str, cancel: &Cancel) -> Result<(TarIndex, bool), OpenError> {
    let (piece, pipe) = if path == STANDARD {
        let input = platform::standard_input().map_err(OpenError::Read)?;
        if input.metadata().is_ok_and(|metadata| platform::is_device(&metadata)) {
            return Err(OpenError::Device);
        }
        (copy(input)?, true)
    } else {
        let metadata = fs::metadata(path).map_err(OpenError::Read)?;
        if metadata.is_dir() {
            return Err(OpenError::Read(io::ErrorKind::IsADirectory.into()));
        }
        if platform::is_device(&metadata) {
            return Err(OpenError::Device);
        }
        let file = File::open(path).map_err(OpenError::Read)?;
        match metadata.is_file() {
            true => (FileRange::whole(Arc::new(file)).map_err(OpenError::Read)?, false),
            false => (copy(file)?, true),
        }
    };
    let (piece, copied) = match decode(piece, cancel).map_err(OpenError::Read)? {
        Decoded::Plain(piece) => (piece, pipe),
        compressed => (copy(compressed)?, true),
    };
    Ok((TarIndex::read(piece, cancel).map_err(OpenError::Read)?, copied))
}

/// Copies everything to an unnamed file.
fn copy(mut from: impl io::Read) -> Result<FileRange, OpenError> {
    let mut file = tempfile::tempfile().map_err(OpenError::Copy)?;
    let mut buffer = vec![0; 256 * 1024];
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return FileRange::whole(Arc::new(file)).map_err(OpenError::Copy),
            Ok(read) => io::Write::write_all(&mut file, &buffer[..read]).map_err(OpenError::Copy)?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(OpenError::Read(error)),
        }
    }
}

impl OpenError {
    fn diagnose(self, shown: &str) -> StoreError {
        use io::ErrorKind::{InvalidData, InvalidInput, Other, QuotaExceeded, StorageFull, UnexpectedEof};
        let unread = match &self {
            OpenError::Read(error) | OpenError::Copy(error) => DecodeError::find(error),
            OpenError::Device => None,
        };
        if let Some(why) = unread {
            let diagnostic = Diagnostic::error("not-an-archive", format!("cannot read `{shown}`: {why}"));
            return diagnostic.hint("unpack it first, if you trust where it comes from").into();
        }
        match self {
            OpenError::Device => Diagnostic::error("not-an-archive", format!("`{shown}` is neither a file nor a pipe"))
                .hint("name a file that `docker save -o FILE NAME` or `skopeo copy` wrote, or `-` and pipe one in")
                .into(),
            // the error's own text is left out: it quotes the file, which may hold anything
            OpenError::Read(error) if matches!(error.kind(), InvalidData | InvalidInput | Other | UnexpectedEof) => {
                Diagnostic::error("not-an-archive", format!("`{shown}` is not a complete tar archive"))
                    .hint("save the image again with `docker save -o FILE NAME` or `skopeo copy`")
                    .into()
            }
            OpenError::Copy(error) if matches!(error.kind(), StorageFull | QuotaExceeded) => {
                Diagnostic::error("no-space", format!("no space left for a copy of `{shown}`"))
                    .cause("an archive from a pipe, or a compressed one, is copied to the temporary directory first")
                    .hint("set TMPDIR to a directory with more space, or pass an uncompressed file")
                    .into()
            }
            OpenError::Copy(error) => fault("copy", &format!("{shown} to the temporary directory"), &error),
            OpenError::Read(error) => fault("read", shown, &error),
        }
    }
}

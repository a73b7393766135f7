//! Every failure that only the sealing launcher has: its message and hint. All end with the exit status 125.
//!
//! Owns their text. Must not show anything of a key or of what is sealed.

use super::index::{self, MalformedRecord, SealedFile};
use super::key::{self, KeySource};
use crate::failure::push_errno;
use crate::line::Line;
use rustix::io::Errno;
use secretbake_unseal::{IdentityError, OpenError};

/// Why a sealed image cannot be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SealFailure<'a> {
    /// Neither variable is set, and the default file does not exist.
    NoKey,
    /// The file with the key cannot be read.
    KeyUnreadable(KeySource<'a>, Errno),
    /// The key is no age identity.
    KeyMalformed(KeySource<'a>, IdentityError),
    /// What is sealed for this path was not opened.
    NotOpened(&'a [u8], KeySource<'a>, OpenError),
    /// The index, or what is sealed for this path, cannot be read.
    Unreadable(&'a [u8], Errno),
    /// The index is malformed.
    IndexMalformed(MalformedRecord),
    /// The file cannot be written.
    CannotWrite(SealedFile<'a>, Errno),
    /// The file cannot be given to its owner.
    CannotOwn(SealedFile<'a>, Errno),
}

impl SealFailure<'_> {
    /// Appends what happened.
    pub(crate) fn push_message<'t>(&self, text: &'t mut Line) -> &'t mut Line {
        match *self {
            Self::NoKey => text
                .push("the image is sealed and the container has no key: neither SECRETBAKE_KEY nor SECRETBAKE_KEY_FILE is set, and ")
                .push_name(key::DEFAULT_FILE.to_bytes())
                .push(" does not exist"),
            Self::KeyUnreadable(source, errno) => {
                text.push("cannot read the key in ").push_name(source.name()).push(": ");
                push_errno(text, errno)
            }
            Self::KeyMalformed(source, IdentityError::Empty) => {
                text.push("there is no age identity in ").push_name(source.name())
            }
            Self::KeyMalformed(source, IdentityError::Line(line)) => {
                text.push("line ").push_number(line).push(" of ").push_name(source.name()).push(" is not an age identity")
            }
            Self::NotOpened(path, source, OpenError::NoMatch) => {
                text.push("the key in ").push_name(source.name()).push(" does not open ").push_name(path)
            }
            Self::NotOpened(path, _, error) => text.push_name(path).push(match error {
                OpenError::NotAge => " is not sealed, though the image is",
                OpenError::OtherVersion => " has a newer version of the age format than this launcher opens",
                OpenError::Header | OpenError::NoMatch => " is damaged: its header is malformed or cut short",
                OpenError::HeaderMac => " is damaged: its header was changed",
                OpenError::Payload => " is damaged: its content was changed or cut short",
            }),
            Self::Unreadable(path, errno) => {
                text.push("cannot read what is sealed for ").push_name(path).push(": ");
                push_errno(text, errno)
            }
            Self::IndexMalformed(MalformedRecord(record)) => {
                text.push_name(index::PATH.to_bytes()).push(" is malformed: record ").push_number(record)
            }
            Self::CannotWrite(file, errno) => {
                text.push("cannot write ").push_name(file.path.to_bytes()).push(": ");
                push_errno(text, errno)
            }
            Self::CannotOwn(file, errno) => {
                text.push("cannot give ").push_name(file.path.to_bytes()).push(" to ");
                push_id(push_id(text, file.uid).push(":"), file.gid).push(": ");
                push_errno(text, errno)
            }
        }
    }

    /// Returns what to do.
    pub(crate) fn hint(&self) -> &'static str {
        match self {
            Self::NoKey => {
                "give the container the age identity of one of the image's recipients; `secretbake inspect IMAGE` lists them"
            }
            Self::KeyUnreadable(_, Errno::ACCESS) => "let the container's user read the file",
            Self::KeyUnreadable(..) => "mount the file with the age identity there, or correct SECRETBAKE_KEY_FILE",
            Self::KeyMalformed(..) => {
                "give the whole line that begins with AGE-SECRET-KEY-1, as age-keygen printed it, and not the recipient, age1…"
            }
            Self::NotOpened(_, _, OpenError::NoMatch) => {
                "give the identity of one of the image's recipients, which `secretbake inspect IMAGE` lists, or bake the image for this key"
            }
            Self::NotOpened(_, _, OpenError::NotAge) => "bake the image again, and mount nothing over /.secretbake",
            Self::NotOpened(_, _, OpenError::OtherVersion) => "bake the image again with the newest secretbake",
            Self::NotOpened(..) | Self::IndexMalformed(_) => "bake the image again",
            Self::Unreadable(_, Errno::ACCESS) => {
                "it is readable by the image's user and group 0: run the container as that user or in group 0, or set `owner:` or `mode:` under `image:`"
            }
            Self::Unreadable(..) => "bake the image again, and mount nothing over /.secretbake",
            Self::CannotWrite(_, Errno::ISDIR) => "mount or create nothing at the path itself",
            Self::CannotWrite(..) if self.tmpfs().is_none() => {
                "give the file a directory of its own in the manifest, and mount a tmpfs there"
            }
            Self::CannotWrite(_, Errno::BUSY) => "mount nothing at the path itself, but a tmpfs at ",
            Self::CannotWrite(_, Errno::NOSPC) => "make room, for example with a larger tmpfs at ",
            // an engine gives a tmpfs to root, with the mode that the image's directory has
            Self::CannotWrite(_, Errno::ACCESS) => {
                "the container's user must be able to write there: make a tmpfs of its own, `docker volume create --opt type=tmpfs --opt device=tmpfs --opt o=uid=UID,mode=0700 NAME`, and mount it at "
            }
            Self::CannotWrite(..) => "the container's user must be able to write there: mount a tmpfs at ",
            Self::CannotOwn(..) => {
                "run the container as that user, or as root with the right to change owners, or set another `owner:` for the file"
            }
        }
    }

    /// Returns the directory that ends the hint: where a tmpfs would let the file be written.
    pub(crate) fn tmpfs(&self) -> Option<&[u8]> {
        match self {
            Self::CannotWrite(_, Errno::ISDIR) => None,
            Self::CannotWrite(file, _) => Some(file.directory()).filter(|directory| *directory != b"/"),
            _ => None,
        }
    }
}

/// Adds the ID of a user or group as the index has it.
fn push_id(text: &mut Line, id: Option<u32>) -> &mut Line {
    match id {
        Some(id) => text.push_number(id as usize),
        None => text.push("-"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::Failure;

    /// Returns the message and the hint, without what all have.
    fn told(failure: SealFailure<'static>) -> (String, String) {
        let failure = Failure::Sealed(failure);
        assert_eq!(failure.status(), 125);
        let text = String::from_utf8(failure.text().as_bytes().to_vec()).unwrap();
        let (message, hint) = text.trim_end().split_once("\nhint: ").unwrap();
        (message.strip_prefix("secretbake launcher: ").unwrap().to_owned(), hint.to_owned())
    }

    #[test]
    fn a_key_that_is_missing_or_wrong_is_named_by_its_place() {
        let message = |failure| told(failure).0;
        assert!(message(SealFailure::NoKey).ends_with("is set, and /run/secrets/secretbake-key does not exist"));
        assert_eq!(
            message(SealFailure::KeyUnreadable(KeySource::File(c"/key"), Errno::ACCESS)),
            "cannot read the key in /key: permission denied"
        );
        assert_eq!(
            message(SealFailure::KeyMalformed(KeySource::Variable(b"hunter2"), IdentityError::Line(2))),
            "line 2 of SECRETBAKE_KEY is not an age identity"
        );
        assert_eq!(
            message(SealFailure::KeyMalformed(KeySource::DefaultFile, IdentityError::Empty)),
            "there is no age identity in /run/secrets/secretbake-key"
        );
    }

    #[test]
    fn a_file_that_has_no_owner_of_its_own_cannot_be_given_away() {
        let file = SealedFile { mode: 0o400, uid: Some(1000), gid: None, path: c"/app/key" };
        let (message, hint) = told(SealFailure::CannotOwn(file, Errno::PERM));
        assert_eq!(message, "cannot give /app/key to 1000:-: operation not permitted");
        assert!(hint.starts_with("run the container as that user"), "{hint}");
    }

    #[test]
    fn the_hint_names_the_directory_in_which_a_tmpfs_helps() {
        let hint = |path, errno| {
            let file = SealedFile { mode: 0o400, uid: None, gid: None, path };
            told(SealFailure::CannotWrite(file, errno)).1
        };
        let of_its_own = "give the file a directory of its own in the manifest, and mount a tmpfs there";
        assert_eq!(
            hint(c"/app/tls/key", Errno::ROFS),
            "the container's user must be able to write there: mount a tmpfs at /app/tls"
        );
        assert_eq!(
            hint(c"/app/tls/key", Errno::ACCESS),
            "the container's user must be able to write there: make a tmpfs of its own, `docker volume create --opt type=tmpfs --opt device=tmpfs --opt o=uid=UID,mode=0700 NAME`, and mount it at /app/tls"
        );
        assert_eq!(hint(c"/app/key", Errno::BUSY), "mount nothing at the path itself, but a tmpfs at /app");
        assert_eq!(hint(c"/app/key", Errno::NOSPC), "make room, for example with a larger tmpfs at /app");
        assert_eq!(hint(c"/key", Errno::ROFS), of_its_own);
        assert_eq!(hint(c"/app/key", Errno::ISDIR), "mount or create nothing at the path itself");
    }
}

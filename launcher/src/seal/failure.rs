//! Every failure that only the sealing launcher has: its message and hint. All end with the exit status 125.
//!
//! Owns their text. Must not show anything of a key or of what is sealed.

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
    /// The sealed file at this path was not opened.
    NotOpened(&'a [u8], KeySource<'a>, OpenError),
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
            Self::NotOpened(..) => "bake the image again",
        }
    }
}

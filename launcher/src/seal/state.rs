//! What `/.secretbake/launch --check` prints of a sealed image besides the variables: whether the key opens it, and each file's state.
//!
//! Owns the words. Must not show a value.

use super::index::SealedFile;
use super::key::KeySource;
use crate::baked;
use crate::failure::push_errno;
use crate::line::Line;
use rustix::io::Errno;

/// What is at the path of a sealed file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileState {
    /// The file as it is sealed.
    Written,
    /// Nothing.
    Missing,
    /// Other content.
    Changed,
    /// The content, with another owner, group or mode.
    OtherRights,
    /// Something that cannot be read.
    Unreadable(Errno),
}

/// Returns the line of a file.
pub fn describe(file: &SealedFile<'_>, state: FileState) -> Line {
    let mut line = Line::new();
    line.push_name(file.path.to_bytes()).push(": ");
    match state {
        FileState::Written => line.push("written"),
        FileState::Missing => line.push("not written"),
        FileState::Changed => line.push("changed since it was written"),
        FileState::OtherRights => line.push("its owner or mode changed since it was written"),
        FileState::Unreadable(errno) => push_errno(line.push("cannot read it: "), errno),
    }
    .push("\n");
    line
}

/// Returns the line that says which key opens the image.
pub fn describe_key(source: KeySource<'_>) -> Line {
    let mut line = Line::new();
    line.push_name(baked::PATH.to_bytes()).push(": opened with the key in ").push_name(source.name()).push("\n");
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_is_named_by_its_place() {
        let of_variable = describe_key(KeySource::Variable(b"hunter2"));
        assert_eq!(of_variable.as_bytes(), b"/.secretbake/env: opened with the key in SECRETBAKE_KEY\n");
        let of_file = describe_key(KeySource::File(c"/key"));
        assert_eq!(of_file.as_bytes(), b"/.secretbake/env: opened with the key in /key\n");
    }

    #[test]
    fn each_state_has_its_words() {
        let file = SealedFile { mode: 0o400, uid: Some(0), gid: Some(0), path: c"/app/key" };
        for (state, expected) in [
            (FileState::Written, "/app/key: written\n"),
            (FileState::Missing, "/app/key: not written\n"),
            (FileState::Changed, "/app/key: changed since it was written\n"),
            (FileState::OtherRights, "/app/key: its owner or mode changed since it was written\n"),
            (FileState::Unreadable(Errno::ACCESS), "/app/key: cannot read it: permission denied\n"),
        ] {
            assert_eq!(describe(&file, state).as_bytes(), expected.as_bytes());
        }
    }
}

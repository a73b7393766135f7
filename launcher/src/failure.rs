//! Every failure of the launcher: its message, hint and exit status.
//!
//! Owns all text. Must not print a value, or a path that contains one: it prints a command as given, never the path that
//! was found along `PATH`.

use crate::baked::{self, Malformed};
use crate::line::Line;
use rustix::io::Errno;

/// Why the command was not started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure<'a> {
    /// No command was given.
    NoCommand,
    /// The env file does not exist.
    EnvMissing,
    /// The env file cannot be opened or read.
    EnvUnreadable(Errno),
    /// The env file is malformed.
    EnvMalformed(Malformed),
    /// The kernel has no memory for the environment.
    OutOfMemory,
    /// No directory of `PATH` has the command.
    NotInPath(&'a [u8]),
    /// The command's path does not exist.
    NoSuchFile(&'a [u8]),
    /// The command exists but cannot be executed.
    CannotExecute(&'a [u8], Obstacle),
    /// A sealed image cannot be opened.
    #[cfg(feature = "seal")]
    Sealed(crate::seal::failure::SealFailure<'a>),
}

/// Why a command that exists cannot be executed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Obstacle {
    /// Permission is denied.
    Permission,
    /// It is a directory.
    Directory,
    /// `PATH` finds it in a directory relative to the current one.
    Relative,
    /// The script's interpreter or the program's dynamic loader does not exist.
    Interpreter,
    /// The kernel does not know its format.
    Format,
    /// Arguments and environment are too long.
    TooLong,
    /// Anything else.
    Other(Errno),
}

const REBAKE: &str = "bake the image again";

impl Failure<'_> {
    /// Returns the exit status: 127 not found, 126 found but not executed, 125 failure of the launcher itself.
    pub fn status(&self) -> u8 {
        match self {
            Self::NoCommand | Self::EnvMissing | Self::EnvUnreadable(_) | Self::EnvMalformed(_) | Self::OutOfMemory => {
                125
            }
            Self::CannotExecute(..) => 126,
            Self::NotInPath(_) | Self::NoSuchFile(_) => 127,
            #[cfg(feature = "seal")]
            Self::Sealed(_) => 125,
        }
    }

    /// Returns the two lines: what happened, and what to do.
    pub fn text(&self) -> Line {
        let mut text = Line::new();
        text.push("secretbake launcher: ");
        self.push_message(&mut text);
        text.push("\nhint: ").push(self.hint());
        #[cfg(feature = "seal")]
        if let Self::Sealed(failure) = self {
            text.push_name(failure.tmpfs().unwrap_or_default());
        }
        text.push("\n");
        text
    }

    fn push_message(&self, text: &mut Line) {
        let env = baked::PATH.to_bytes();
        match *self {
            Self::NoCommand => text.push("no command given"),
            Self::EnvMissing => text.push_name(env).push(" is missing"),
            Self::EnvUnreadable(errno) => push_errno(text.push("cannot read ").push_name(env).push(": "), errno),
            Self::EnvMalformed(malformed) => {
                text.push_name(env).push(" is malformed: ");
                match malformed {
                    Malformed::NoFinalNul => text.push("the file must end in NUL"),
                    Malformed::NoEquals(entry) => text.push("entry ").push_number(entry).push(" has no `=`"),
                    Malformed::NoName(entry) => text.push("entry ").push_number(entry).push(" has no name"),
                }
            }
            Self::OutOfMemory => text.push("out of memory"),
            Self::NotInPath(command) => text.push("command not found in PATH: ").push_name(command),
            Self::NoSuchFile(command) => text.push("command not found: ").push_name(command),
            Self::CannotExecute(command, obstacle) => {
                text.push("cannot execute ").push_name(command).push(": ");
                match obstacle {
                    Obstacle::Permission => text.push("permission denied"),
                    Obstacle::Directory => text.push("it is a directory"),
                    Obstacle::Relative => text.push("PATH finds it relative to the current directory"),
                    Obstacle::Interpreter => text.push("its interpreter is missing"),
                    Obstacle::Format => text.push("exec format error"),
                    Obstacle::TooLong => text.push("argument list too long"),
                    Obstacle::Other(errno) => push_errno(text, errno),
                }
            }
            #[cfg(feature = "seal")]
            Self::Sealed(failure) => failure.push_message(text),
        };
    }

    fn hint(&self) -> &'static str {
        match self {
            Self::NoCommand => "the image has no ENTRYPOINT or CMD of its own: give a command after the image's name",
            Self::EnvMissing => "bake the image again, and mount nothing over /.secretbake",
            Self::EnvUnreadable(Errno::ACCESS) => {
                "it is readable by the image's user and group 0: run the container as that user or in group 0, or set `owner:` or `mode:` in the manifest"
            }
            Self::EnvUnreadable(_) | Self::EnvMalformed(_) => REBAKE,
            Self::OutOfMemory => "raise the container's memory limit",
            Self::NotInPath(_) => "put it in the image and its directory in PATH, or give its whole path",
            Self::NoSuchFile(_) => "put the file in the image; a relative path starts at the working directory",
            Self::CannotExecute(_, obstacle) => match obstacle {
                Obstacle::Permission => {
                    "the container's user needs execute permission for the file, on a file system not mounted noexec"
                }
                Obstacle::Directory => "give the path of a program",
                Obstacle::Relative => "give its path, as runc also demands, or take the relative directory out of PATH",
                Obstacle::Interpreter => {
                    "the image needs the program after `#!` in its first line (which must not end in CR), or its dynamic loader"
                }
                Obstacle::Format => {
                    "it was built for another architecture, or is a script whose first line is not `#!` and an interpreter"
                }
                Obstacle::TooLong => {
                    "environment and arguments exceed the kernel's limit (128 KiB each, a quarter of the stack limit together): bake fewer or smaller variables, or use `files:`"
                }
                Obstacle::Other(_) => "the kernel refused it: see whether the command starts in the base image",
            },
            #[cfg(feature = "seal")]
            Self::Sealed(failure) => failure.hint(),
        }
    }
}

/// Appends the usual text for an error number that can occur here, or the number.
pub(crate) fn push_errno(text: &mut Line, errno: Errno) -> &mut Line {
    match errno {
        Errno::ACCESS => text.push("permission denied"),
        #[cfg(feature = "seal")]
        Errno::NOENT => text.push("no such file or directory"),
        Errno::PERM => text.push("operation not permitted"),
        Errno::IO => text.push("input/output error"),
        Errno::INVAL => text.push("invalid argument"),
        Errno::ISDIR => text.push("is a directory"),
        Errno::LOOP => text.push("too many levels of symbolic links"),
        #[cfg(feature = "seal")]
        Errno::ROFS => text.push("read-only file system"),
        #[cfg(feature = "seal")]
        Errno::NOSPC => text.push("no space left on device"),
        #[cfg(feature = "seal")]
        Errno::BUSY => text.push("something is mounted there"),
        #[cfg(feature = "seal")]
        Errno::NOTDIR => text.push("not a directory"),
        Errno::TXTBSY => text.push("text file busy"),
        _ => text.push("error ").push_number(errno.raw_os_error().unsigned_abs() as usize),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMMAND: &[u8] = b"app";

    fn all() -> Vec<Failure<'static>> {
        let obstacles = [
            Obstacle::Permission,
            Obstacle::Directory,
            Obstacle::Relative,
            Obstacle::Interpreter,
            Obstacle::Format,
            Obstacle::TooLong,
            Obstacle::Other(Errno::TXTBSY),
            Obstacle::Other(Errno::NFILE),
        ];
        let mut all = vec![
            Failure::NoCommand,
            Failure::EnvMissing,
            Failure::EnvUnreadable(Errno::ACCESS),
            Failure::EnvUnreadable(Errno::IO),
            Failure::EnvMalformed(Malformed::NoFinalNul),
            Failure::EnvMalformed(Malformed::NoEquals(12)),
            Failure::EnvMalformed(Malformed::NoName(3)),
            Failure::OutOfMemory,
            Failure::NotInPath(COMMAND),
            Failure::NoSuchFile(COMMAND),
        ];
        all.extend(obstacles.map(|obstacle| Failure::CannotExecute(COMMAND, obstacle)));
        all
    }

    #[test]
    fn each_failure_is_a_message_and_a_hint() {
        for failure in all() {
            let text = failure.text();
            let text = std::str::from_utf8(text.as_bytes()).unwrap();
            let lines: Vec<&str> = text.lines().collect();
            let [message, hint] = lines[..] else { panic!("not two lines: {text}") };
            assert!(message.starts_with("secretbake launcher: "), "{message}");
            assert!(hint.starts_with("hint: "), "{hint}");
            assert!(text.ends_with('\n') && !message.ends_with('.') && !hint.ends_with('.'), "{text}");
        }
    }

    #[test]
    fn the_longest_command_leaves_room_for_the_hint() {
        let command = [b'x'; 5_000];
        let text = Failure::CannotExecute(&command, Obstacle::TooLong).text();
        assert!(text.as_bytes().ends_with(b"use `files:`\n"));
    }

    #[test]
    fn statuses_are_those_of_a_shell_and_of_docker() {
        let statuses: Vec<u8> = all().iter().map(Failure::status).collect();
        assert_eq!(statuses, [vec![125; 8], vec![127; 2], vec![126; 8]].concat());
    }

    #[test]
    fn an_error_has_its_words_or_its_number() {
        for (errno, expected) in [
            (Errno::ACCESS, "permission denied"),
            (Errno::PERM, "operation not permitted"),
            (Errno::IO, "input/output error"),
            (Errno::INVAL, "invalid argument"),
            (Errno::ISDIR, "is a directory"),
            (Errno::LOOP, "too many levels of symbolic links"),
            (Errno::TXTBSY, "text file busy"),
            (Errno::NFILE, "error 23"),
        ] {
            assert_eq!(push_errno(&mut Line::new(), errno).as_bytes(), expected.as_bytes());
        }
    }

    #[cfg(feature = "seal")]
    #[test]
    fn an_error_of_writing_a_sealed_file_has_its_words() {
        for (errno, expected) in [
            (Errno::NOENT, "no such file or directory"),
            (Errno::ROFS, "read-only file system"),
            (Errno::NOSPC, "no space left on device"),
            (Errno::BUSY, "something is mounted there"),
            (Errno::NOTDIR, "not a directory"),
        ] {
            assert_eq!(push_errno(&mut Line::new(), errno).as_bytes(), expected.as_bytes());
        }
    }
}

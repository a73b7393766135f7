//! Owns questions to a person at a terminal, and secrets from standard input. What is typed as a secret is not shown.

use std::io::{self, IsTerminal as _, Read as _, Write as _};

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use zeroize::Zeroizing;

use crate::error::{Diagnostic, Error, Status};

/// The longest line that is taken; session tokens are the longest secrets.
const LONGEST: usize = 16 << 10;

/// Tells whether there is a person to ask.
pub(super) fn is_terminal() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// Asks for a line; blank where nothing is typed.
pub(super) fn line(question: &str) -> Result<String, Error> {
    prompt(question)?;
    let mut line = String::new();
    let count = io::stdin().read_line(&mut line).map_err(|error| failed(&error))?;
    if count == 0 { Err(interrupted()) } else { Ok(line.trim().to_owned()) }
}

/// Asks for a secret: the terminal shows nothing of it, and is as it was afterwards, also after ctrl-c.
pub(super) fn hidden(question: &str) -> Result<Zeroizing<String>, Error> {
    prompt(question)?;
    let quiet = Quiet::begin().map_err(|error| failed(&error.into()))?;
    let mut typed = Zeroizing::new(Vec::with_capacity(LONGEST));
    let mut byte = [0];
    let mut stdin = io::stdin().lock();
    loop {
        let count = stdin.read(&mut byte).map_err(|error| failed(&error))?;
        match byte[0] {
            _ if count == 0 => return Err(interrupted()),
            b'\r' | b'\n' => break,
            0x03 | 0x04 => return Err(interrupted()),
            0x08 | 0x7f => {
                typed.pop();
            }
            0x15 => typed.clear(),
            byte if typed.len() < LONGEST => typed.push(byte),
            _ => {}
        }
    }
    drop(quiet);
    text(&typed)
}

/// Reads standard input as lines, for secrets that a pipeline gives.
pub(super) fn lines() -> Result<Vec<Zeroizing<String>>, Error> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(2 * LONGEST));
    io::stdin().lock().take(2 * LONGEST as u64).read_to_end(&mut bytes).map_err(|error| failed(&error))?;
    bytes.split(|byte| *byte == b'\n').map(|line| text(line.strip_suffix(b"\r").unwrap_or(line))).collect()
}

fn text(bytes: &[u8]) -> Result<Zeroizing<String>, Error> {
    let text = std::str::from_utf8(bytes).map_err(|_| {
        Error::invalid(Diagnostic::error("bad-key", "what was given is not text").hint("copy it again"))
    })?;
    Ok(Zeroizing::new(text.to_owned()))
}

fn prompt(question: &str) -> Result<(), Error> {
    let mut stderr = anstream::stderr().lock();
    write!(stderr, "{question}: ").and_then(|()| stderr.flush()).map_err(|error| failed(&error))
}

fn failed(error: &io::Error) -> Error {
    let diagnostic = Diagnostic::error("input", format!("cannot read from the terminal: {error}"));
    Error::failed(diagnostic.hint("give the fields as options: see --help"))
}

fn interrupted() -> Error {
    let diagnostic = Diagnostic::error("interrupted", "interrupted; nothing was changed");
    Error { status: Status::Interrupted, diagnostics: vec![diagnostic.hint("run the command again")] }
}

/// A terminal that shows nothing of what is typed, until this is dropped.
struct Quiet {
    before: Termios,
}

impl Quiet {
    fn begin() -> Result<Self, rustix::io::Errno> {
        let before = tcgetattr(io::stdin())?;
        let mut quiet = before.clone();
        // each key comes by itself, ctrl-c too, so that the terminal can be put back
        quiet.local_modes -= LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG;
        tcsetattr(io::stdin(), OptionalActions::Flush, &quiet)?;
        Ok(Quiet { before })
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        // a terminal that is gone needs nothing
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &self.before);
        let _ = writeln!(anstream::stderr().lock());
    }
}

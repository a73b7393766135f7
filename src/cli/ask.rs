//! Owns questions to a person at a terminal, and secrets from standard input. A secret is not shown while it is typed.
//!
//! Standard input is read without std's buffer, which would keep what was typed.

use std::io::{self, IsTerminal as _, Read as _, Write as _};

use zeroize::Zeroizing;

use crate::diagnostic::{Diagnostic, Error, Status};
use crate::org::file::read_all;
use crate::runtime::platform::{read_hidden, standard_input};

/// The longest line that is taken; session tokens are the longest secrets.
const LONGEST: usize = 16 << 10;

/// Tells whether a person can be asked.
pub(super) fn is_terminal() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// Asks for a line; it is empty if nothing is typed.
pub(super) fn line(question: &str) -> Result<String, Error> {
    prompt(question)?;
    let mut terminal = standard_input().map_err(|error| no_terminal(&error))?;
    let (mut line, mut byte) = (Vec::new(), [0]);
    loop {
        match terminal.read(&mut byte) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(no_terminal(&error)),
            Ok(0) => return Err(interrupted()),
            Ok(_) if byte[0] == b'\n' => break,
            Ok(_) if line.len() < LONGEST => line.push(byte[0]),
            Ok(_) => {}
        }
    }
    Ok(text(&line)?.trim().to_owned())
}

/// Asks for a secret. The terminal does not show what is typed, and is restored afterwards, even after ctrl-c or a signal.
pub(super) fn hidden(question: &str) -> Result<Zeroizing<String>, Error> {
    let typed = read_hidden(|| write_prompt(question), LONGEST);
    // the key that ended it was not shown either
    let _ = writeln!(anstream::stderr().lock());
    let typed = typed.map_err(|error| no_terminal(&error))?.ok_or_else(interrupted)?;
    text(&typed)
}

/// Reads standard input as lines, for secrets that a pipeline gives.
pub(super) fn lines() -> Result<Vec<Zeroizing<String>>, Error> {
    let bytes = standard_input().and_then(|input| read_all(input, 2 * LONGEST)).map_err(|error| {
        let what = format!("cannot read standard input: {error}");
        Error::failed(Diagnostic::error("input", what).hint("give each secret as a line of standard input"))
    })?;
    let lines = bytes.expose().split(|byte| *byte == b'\n');
    lines.map(|line| text(line.strip_suffix(b"\r").unwrap_or(line))).collect()
}

fn text(bytes: &[u8]) -> Result<Zeroizing<String>, Error> {
    let text = std::str::from_utf8(bytes).map_err(|_| {
        Error::invalid(Diagnostic::error("bad-key", "what was given is not text").hint("copy it again"))
    })?;
    Ok(Zeroizing::new(text.to_owned()))
}

fn prompt(question: &str) -> Result<(), Error> {
    write_prompt(question).map_err(|error| no_terminal(&error))
}

fn write_prompt(question: &str) -> io::Result<()> {
    let mut stderr = anstream::stderr().lock();
    write!(stderr, "{question}: ").and_then(|()| stderr.flush())
}

fn no_terminal(error: &io::Error) -> Error {
    let diagnostic = Diagnostic::error("input", format!("cannot ask on the terminal: {error}"));
    Error::failed(diagnostic.hint("give the fields as options: see --help"))
}

fn interrupted() -> Error {
    let diagnostic = Diagnostic::error("interrupted", "interrupted; nothing was changed");
    Error { status: Status::Interrupted, diagnostics: vec![diagnostic.hint("run the command again")] }
}

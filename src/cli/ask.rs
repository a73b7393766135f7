//! Owns questions to a person at a terminal, and secrets from standard input. A secret is not shown while it is typed.
//!
//! Standard input is read without std's buffer, which would keep what was typed.

use std::fs::File;
use std::io::{self, IsTerminal as _, Read as _, Write as _};
use std::os::fd::AsFd as _;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, SigmaskHow, Signal};
use nix::sys::signalfd::SignalFd;
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use zeroize::Zeroizing;

use crate::diagnostic::{Diagnostic, Error, Status};
use crate::org::file::{read_all, standard_input};

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
    let mut quiet = Quiet::begin().map_err(|error| no_terminal(&error))?;
    prompt(question)?;
    let mut typed = Zeroizing::new(Vec::with_capacity(LONGEST));
    loop {
        match quiet.key().map_err(|error| no_terminal(&error))? {
            None | Some(0x03 | 0x04) => return Err(interrupted()),
            Some(b'\r' | b'\n') => break,
            Some(0x08 | 0x7f) => {
                typed.pop();
            }
            Some(0x15) => typed.clear(),
            Some(byte) if typed.len() < LONGEST => typed.push(byte),
            Some(_) => {}
        }
    }
    drop(quiet);
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
    let mut stderr = anstream::stderr().lock();
    write!(stderr, "{question}: ").and_then(|()| stderr.flush()).map_err(|error| no_terminal(&error))
}

fn no_terminal(error: &io::Error) -> Error {
    let diagnostic = Diagnostic::error("input", format!("cannot ask on the terminal: {error}"));
    Error::failed(diagnostic.hint("give the fields as options: see --help"))
}

fn interrupted() -> Error {
    let diagnostic = Diagnostic::error("interrupted", "interrupted; nothing was changed");
    Error { status: Status::Interrupted, diagnostics: vec![diagnostic.hint("run the command again")] }
}

/// A terminal that does not show what is typed until this is dropped. Signals that would end the run are held back and end the
/// question instead.
struct Quiet {
    terminal: File,
    before: Termios,
    signals: SignalFd,
    mask: SigSet,
}

impl Quiet {
    fn begin() -> io::Result<Self> {
        let terminal = standard_input()?;
        let before = tcgetattr(&terminal)?;
        let ending: SigSet = [Signal::SIGHUP, Signal::SIGINT, Signal::SIGQUIT, Signal::SIGTERM].into_iter().collect();
        let signals = SignalFd::new(&ending)?;
        let mask = ending.thread_swap_mask(SigmaskHow::SIG_BLOCK)?;
        let quiet = Quiet { terminal, before, signals, mask };
        let mut modes = quiet.before.clone();
        // each key arrives at once, ctrl-c too, so that the terminal can be restored
        modes.local_modes -= LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG;
        tcsetattr(&quiet.terminal, OptionalActions::Flush, &modes)?;
        Ok(quiet)
    }

    /// Waits for a key; `None` where a signal comes first, or the terminal is gone.
    fn key(&mut self) -> io::Result<Option<u8>> {
        let on = |input| PollFd::new(input, PollFlags::POLLIN);
        let mut ready = [on(self.signals.as_fd()), on(self.terminal.as_fd())];
        while poll(&mut ready, PollTimeout::NONE) == Err(Errno::EINTR) {}
        if ready[0].any() == Some(true) {
            // read here, so that it does not end the run once signals are let through
            self.signals.read_signal()?;
            return Ok(None);
        }
        let mut byte = Zeroizing::new([0]);
        let count = self.terminal.read(&mut byte[..])?;
        Ok((count > 0).then_some(byte[0]))
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        // a terminal that is gone needs nothing
        let _ = tcsetattr(&self.terminal, OptionalActions::Now, &self.before);
        let _ = writeln!(anstream::stderr().lock());
        let _ = self.mask.thread_set_mask();
    }
}

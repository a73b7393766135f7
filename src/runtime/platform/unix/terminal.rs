//! Reading a secret from the terminal.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::os::unix::thread::JoinHandleExt as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use nix::errno::Errno;
use nix::sys::pthread::{Pthread, pthread_kill};
use nix::sys::select::{FdSet, select};
use nix::sys::signal::{SigSet, SigmaskHow, Signal};
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use zeroize::Zeroizing;

use super::files::standard_input;

/// Reads a line of at most `longest` bytes; `None` if ctrl-c, ctrl-d or a signal comes first. The terminal does not show what is typed
/// once `prompt` is called, and is restored at the end.
pub fn read_hidden(prompt: impl FnOnce() -> io::Result<()>, longest: usize) -> io::Result<Option<Zeroizing<Vec<u8>>>> {
    let mut quiet = Quiet::begin()?;
    prompt()?;
    let mut typed = Zeroizing::new(Vec::with_capacity(longest));
    loop {
        match quiet.key()? {
            None | Some(0x03 | 0x04) => return Ok(None),
            Some(b'\r' | b'\n') => return Ok(Some(typed)),
            Some(0x08 | 0x7f) => {
                typed.pop();
            }
            Some(0x15) => typed.clear(),
            Some(byte) if typed.len() < longest => typed.push(byte),
            Some(_) => {}
        }
    }
}

/// A terminal that does not show what is typed until this is dropped. Signals that would end the run are held back and end the
/// question instead.
struct Quiet {
    terminal: File,
    before: Termios,
    signals: HeldSignals,
}

impl Quiet {
    fn begin() -> io::Result<Self> {
        let terminal = standard_input()?;
        let before = tcgetattr(&terminal)?;
        let quiet = Quiet { terminal, before, signals: HeldSignals::hold()? };
        let mut modes = quiet.before.clone();
        // each key arrives at once, ctrl-c too, so that the terminal can be restored
        modes.local_modes -= LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG;
        tcsetattr(&quiet.terminal, OptionalActions::Flush, &modes)?;
        Ok(quiet)
    }

    /// Waits for a key; `None` where a signal comes first, or the terminal is gone.
    fn key(&mut self) -> io::Result<Option<u8>> {
        let signals = self.signals.arrived.as_fd();
        loop {
            let mut ready = FdSet::new();
            ready.insert(signals);
            ready.insert(self.terminal.as_fd());
            // not poll, which on macOS does not know terminals
            match select(None, &mut ready, None, None, None) {
                Err(Errno::EINTR) => {}
                Err(error) => return Err(error.into()),
                Ok(_) if ready.contains(signals) => return Ok(None),
                Ok(_) => break,
            }
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
    }
}

/// The signals that end a run, held back until this is dropped. A thread takes the first, so that it does not end the run later.
struct HeldSignals {
    /// Readable once a signal has come.
    arrived: UnixStream,
    is_over: Arc<AtomicBool>,
    taker: Option<JoinHandle<()>>,
    before: SigSet,
}

impl HeldSignals {
    fn hold() -> io::Result<Self> {
        let (arrived, mut tell) = UnixStream::pair()?;
        let signals: SigSet = [Signal::SIGHUP, Signal::SIGINT, Signal::SIGQUIT, Signal::SIGTERM].into_iter().collect();
        let before = signals.thread_swap_mask(SigmaskHow::SIG_BLOCK)?;
        let is_over = Arc::new(AtomicBool::new(false));
        let mut held = HeldSignals { arrived, is_over: Arc::clone(&is_over), taker: None, before };
        // it inherits the mask of this thread
        let taker = std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
            let signal = signals.wait();
            if signal.is_ok() && !is_over.load(Ordering::Acquire) {
                // the question may be over
                let _ = tell.write_all(b"!");
            }
        });
        held.taker = Some(taker?);
        Ok(held)
    }
}

impl Drop for HeldSignals {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Release);
        if let Some(taker) = self.taker.take() {
            if !taker.is_finished() {
                // a number to std, and a pointer to musl
                let _ = pthread_kill(taker.as_pthread_t() as Pthread, Signal::SIGHUP);
            }
            let _ = taker.join();
        }
        let _ = self.before.thread_set_mask();
    }
}

//! Owns the running of one client: its process group, its pipes, its limits and its end.
//!
//! Whoever drops the future kills the client with everything that it has started.

use std::ffi::OsString;
use std::io;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::process::Command;

use crate::runtime::bounded::{self, ReadError, ReadLimits};
use crate::runtime::platform::{ending_signal, in_own_group, kill_group};
use crate::secret::SecretBytes;

/// The largest value that is read, in bytes: many times what a secret manager keeps.
pub const MAX_VALUE_BYTES: u64 = 8 << 20;
/// How much is kept of what a client says on its standard error, in bytes.
const MAX_SAID_BYTES: u64 = 64 << 10;

/// A client and what it is given.
pub struct ClientProgram<'a> {
    pub program: &'a Path,
    pub arguments: Vec<String>,
    /// All of it.
    pub environment: &'a [(String, OsString)],
    pub directory: &'a Path,
}

/// What a client did that ended by itself.
pub struct ClientOutput {
    pub end: ClientExit,
    /// Its standard output.
    pub value: SecretBytes,
    /// The first of its standard error. It may repeat the value.
    pub said: SecretBytes,
}

/// How a client ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientExit {
    Status(i32),
    Signal(i32),
}

impl From<ExitStatus> for ClientExit {
    fn from(status: ExitStatus) -> Self {
        let signal = || ClientExit::Signal(ending_signal(status).unwrap_or_default());
        status.code().map_or_else(signal, ClientExit::Status)
    }
}

/// Why a client gave no output.
pub struct ClientFault {
    pub kind: FaultKind,
    /// What it had said by then.
    pub said: SecretBytes,
}

/// How far a client came.
pub enum FaultKind {
    NotStarted(io::Error),
    Pipe(io::Error),
    TooLong,
    TooSlow,
}

/// How much longer than the client's time its last words are waited for.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// A process group that is killed when this is dropped.
struct Group(Mutex<Option<u32>>);

impl Group {
    /// Kills what is left of it, once.
    fn kill(&self) {
        let group = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(group) = group {
            kill_group(group);
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Runs a client to its end, which comes within `limit`.
pub async fn run(client: &ClientProgram<'_>, limit: Duration) -> Result<ClientOutput, ClientFault> {
    let fault = |kind| ClientFault { kind, said: SecretBytes::default() };
    let mut command = Command::new(client.program);
    command.args(&client.arguments).current_dir(client.directory);
    command.env_clear().envs(client.environment.iter().map(|(name, value)| (name, value)));
    // an interrupt at the terminal is this program's to answer, and there the client cannot ask for a password
    in_own_group(&mut command);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| fault(FaultKind::NotStarted(error)))?;
    let group = Group(Mutex::new(child.id()));
    let (Some(stdout), Some(stderr)) = (child.stdout.take(), child.stderr.take()) else {
        return Err(fault(FaultKind::Pipe(io::ErrorKind::BrokenPipe.into())));
    };
    let value = async {
        let value = bounded::read_pipe(stdout, ReadLimits { bytes: MAX_VALUE_BYTES, time: limit }).await;
        if value.is_err() {
            group.kill();
        }
        value
    };
    let ended = async {
        let status = tokio::time::timeout(limit, child.wait()).await;
        // what it has left in the background keeps the pipes open
        group.kill();
        status
    };
    let said = tokio::time::timeout(limit + LAST_WORDS, bounded::drain_pipe(stderr, MAX_SAID_BYTES));
    let (value, said, status) = tokio::join!(value, said, ended);
    let said = said.ok().and_then(Result::ok).unwrap_or_default();
    let kind = match (value, status) {
        (Ok(value), Ok(Ok(status))) => return Ok(ClientOutput { end: status.into(), value, said }),
        (Err(ReadError::TooLong(_)), _) => FaultKind::TooLong,
        (Err(ReadError::TooSlow(_)), _) | (Ok(_), Err(_)) => FaultKind::TooSlow,
        (Err(error), _) => FaultKind::Pipe(error.into()),
        (Ok(_), Ok(Err(error))) => FaultKind::Pipe(error),
    };
    Err(ClientFault { kind, said })
}

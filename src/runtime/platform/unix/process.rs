//! Signals, process groups and programs.

use std::ffi::OsStr;
use std::io;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, ExitStatus};

use rustix::io::Errno;
use rustix::process::{Pid, Resource, Rlimit, kill_process_group, setrlimit, test_kill_process};
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::system;

/// Variables of the environment that every program needs.
pub const NEEDED_VARIABLES: &[&str] = &["PATH", "HOME"];

/// The signals that end a run: SIGINT, SIGTERM and SIGHUP.
pub struct EndingSignals(Vec<Signal>);

impl EndingSignals {
    /// Starts listening; needs a tokio runtime. Signals that the caller ignores stay ignored, such as under `nohup`.
    pub fn listen() -> io::Result<Self> {
        let ignored = system::ignored_signals();
        let kinds = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()];
        let heard = kinds.into_iter().filter(|kind| ignored >> (kind.as_raw_value() - 1) & 1 == 0);
        Ok(EndingSignals(heard.map(signal).collect::<io::Result<_>>()?))
    }

    /// Waits for any of the signals.
    pub async fn next(&mut self) {
        std::future::poll_fn(|context| match self.0.iter_mut().any(|signal| signal.poll_recv(context).is_ready()) {
            true => std::task::Poll::Ready(()),
            false => std::task::Poll::Pending,
        })
        .await;
    }
}

/// Turns core dumps off and, where the system can, keeps other processes of the user from reading this one's memory.
pub fn protect_memory() {
    // it only takes a right away, which is always allowed
    let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
    system::hide_memory();
}

/// Replaces this process by a program, which sees `name` as its own name. Returns only if that fails.
pub fn replace_process(mut command: Command, name: &OsStr) -> io::Result<ExitCode> {
    Err(command.arg0(name).exec())
}

/// Returns whether a process is running, even if it belongs to another user or is hidden.
pub fn is_running(process: u32) -> bool {
    let id = i32::try_from(process).ok().and_then(Pid::from_raw);
    id.is_some_and(|id| test_kill_process(id) != Err(Errno::SRCH))
}

/// Puts a program in its own process group, so that an interrupt at the terminal does not reach it.
pub fn in_own_group(command: &mut tokio::process::Command) {
    command.process_group(0);
}

/// Kills a process group, named by the process that began it. It may be gone already.
pub fn kill_group(id: u32) {
    let _ = Pid::from_raw(id.cast_signed()).map(|id| kill_process_group(id, rustix::process::Signal::KILL));
}

/// Returns the signal that ended a program.
pub fn ending_signal(status: ExitStatus) -> Option<i32> {
    status.signal()
}

/// Returns the files that a program's path may mean.
pub fn program_files(path: &Path) -> Vec<PathBuf> {
    vec![path.to_owned()]
}

/// Tells whether this user may run a file.
pub fn is_program(path: &Path) -> bool {
    path.is_file() && rustix::fs::access(path, rustix::fs::Access::EXEC_OK).is_ok()
}

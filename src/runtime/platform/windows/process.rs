//! Interrupts and programs.

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, ExitStatus};

use tokio::signal::windows::{self, CtrlBreak, CtrlC, CtrlClose};

/// Variables of the environment that every program needs: without SystemRoot, none can open a socket.
pub const NEEDED_VARIABLES: &[&str] = &["PATH", "HOME", "SystemRoot", "USERPROFILE", "APPDATA", "LOCALAPPDATA", "TEMP"];

/// The ends of programs' names, in the order in which Windows tries them.
const ENDINGS: [&str; 3] = ["exe", "cmd", "bat"];

/// What ends a run: ctrl-c, ctrl-break, and the closing of the console.
pub struct EndingSignals(CtrlC, CtrlBreak, CtrlClose);

impl EndingSignals {
    /// Starts listening; needs a tokio runtime.
    pub fn listen() -> io::Result<Self> {
        Ok(EndingSignals(windows::ctrl_c()?, windows::ctrl_break()?, windows::ctrl_close()?))
    }

    /// Waits for any of them.
    pub async fn next(&mut self) {
        tokio::select! {
            _ = self.0.recv() => {}
            _ = self.1.recv() => {}
            _ = self.2.recv() => {}
        }
    }
}

/// Does nothing: other programs of the same user can read the memory of this one.
pub fn protect_memory() {}

/// Runs a program in place of this one, and returns its exit status. The program sees its path as its name.
pub fn replace_process(mut command: Command, _: &OsStr) -> io::Result<ExitCode> {
    let status = command.status()?.code().unwrap_or(1);
    Ok(ExitCode::from(u8::try_from(status).unwrap_or(1)))
}

/// Returns `None`: nothing identifies where PIDs are unique.
pub fn pid_scope() -> Option<String> {
    None
}

/// Returns `None`: the start of a process is not known.
pub fn start_time(_: u32) -> Option<String> {
    None
}

/// Returns `true`: it is not known.
pub fn is_running(_: u32) -> bool {
    true
}

/// `CREATE_NEW_PROCESS_GROUP`.
const NEW_GROUP: u32 = 0x0000_0200;

/// Puts a program in its own process group, so that ctrl-c at the console does not reach it. The program ends with this one's future.
pub fn in_own_group(command: &mut tokio::process::Command) {
    command.creation_flags(NEW_GROUP).kill_on_drop(true);
}

/// Does nothing: the program itself is killed when it is dropped, and what it started is not.
pub fn kill_group(_: u32) {}

/// Returns `None`: a program ends with a status.
pub fn ending_signal(_: ExitStatus) -> Option<i32> {
    None
}

/// Returns the files that a program's path may mean: with each ending, unless it has one.
pub fn program_files(path: &Path) -> Vec<PathBuf> {
    if path.extension().is_some() {
        return vec![path.to_owned()];
    }
    let with = |ending: &str| {
        let mut name = OsString::from(path);
        name.push(format!(".{ending}"));
        PathBuf::from(name)
    };
    ENDINGS.into_iter().map(with).collect()
}

/// Tells whether a path is a file; its ending says that it is a program.
pub fn is_program(path: &Path) -> bool {
    path.is_file()
}

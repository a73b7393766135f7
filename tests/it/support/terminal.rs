//! A terminal that a run writes its standard error to, as where a person watches.

use std::fs::{File, OpenOptions};
use std::io::Read as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::process::{Command, Stdio};
use std::thread;

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

use super::project::Ran;

/// Opens a terminal of 80 columns: its screen and keyboard, and the end that a program has of it.
pub fn open() -> (File, File) {
    let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&terminal).unwrap();
    unlockpt(&terminal).unwrap();
    tcsetwinsize(&terminal, Winsize { ws_row: 24, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 }).unwrap();
    let path = ptsname(&terminal, Vec::new()).unwrap().into_string().unwrap();
    // the tests themselves must not be hung up on when it goes
    let no_control = i32::try_from(OpenptFlags::NOCTTY.bits()).unwrap();
    let end = OpenOptions::new().read(true).write(true).custom_flags(no_control).open(path).unwrap();
    (File::from(terminal), end)
}

/// Runs a command whose standard error is a terminal of 80 columns.
pub fn run(command: Command) -> Ran {
    run_on(command, false)
}

/// Runs a command as [`run`] does; `all`: standard output is the terminal too.
pub fn run_on(mut command: Command, all: bool) -> Ran {
    let (mut terminal, end) = open();
    let stdout = if all { end.try_clone().unwrap().into() } else { Stdio::piped() };
    let child = command.stdout(stdout).stderr(end).spawn().unwrap();
    // the command holds the terminal's other end open
    drop(command);
    let screen = thread::spawn(move || {
        let (mut screen, mut buffer) = (Vec::new(), [0; 4096]);
        // the terminal's end is an error of the system
        while let Ok(read @ 1..) = terminal.read(&mut buffer) {
            screen.extend_from_slice(&buffer[..read]);
        }
        String::from_utf8(screen).unwrap()
    });
    let output = child.wait_with_output().unwrap();
    Ran {
        status: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: screen.join().unwrap().replace("\r\n", "\n"),
        closing: String::new(),
    }
}

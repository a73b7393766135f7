//! The table of contents: parse, wire the real parts, run, exit.

use std::process::ExitCode;

fn main() -> ExitCode {
    secretbake::cli::main()
}

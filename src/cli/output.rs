//! Owns the two streams: standard output carries only the result, everything else goes to standard error.

use std::io::{self, Write};

use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _};

use crate::diagnostic::redact::log_line;
use crate::diagnostic::{Diagnostic, Error};

/// Logs the `credential_process` of an AWS profile as it is written there, with whatever secret is an argument of it.
const COMMAND_LINES: &str = "aws_config::credential_process";

/// The printer of every command.
pub(super) struct Output;

impl Output {
    pub(super) fn new() -> Self {
        Output
    }

    /// Prints the result.
    ///
    /// # Errors
    /// A standard output that takes no more.
    pub(super) fn result(&self, text: &str) -> Result<(), Error> {
        let mut stdout = anstream::stdout().lock();
        stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).map_err(|error| {
            let problem = Diagnostic::error("output", format!("cannot write to standard output: {error}"));
            Error::failed(
                problem.hint("let standard output be a file or pipe that takes the result, and run this again"),
            )
        })
    }

    /// Prints problems and warnings; where standard error takes no more, there is no one left to tell.
    pub(super) fn problems(&self, diagnostics: &[Diagnostic]) {
        let mut stderr = anstream::stderr().lock();
        for diagnostic in diagnostics {
            let _ = writeln!(stderr, "{diagnostic}");
        }
    }

    /// Prints a line for a person who watches.
    pub(super) fn note(&self, text: &str) {
        let _ = writeln!(anstream::stderr().lock(), "{text}");
    }
}

/// Starts the log on standard error, if a filter asks for one.
pub(super) fn start_logging(filter: Option<&str>) -> Result<(), Error> {
    let Some(filter) = filter else { return Ok(()) };
    let filter = EnvFilter::try_new(filter).map_err(|_| {
        Error::invalid(
            Diagnostic::error("log-filter", "not a log filter")
                .hint("write a level, as in --log debug, or TARGET=LEVEL, as in --log secretbake=trace"),
        )
    })?;
    let layer = tracing_subscriber::fmt::layer().with_writer(|| Log).with_ansi(false);
    let layer = layer.with_filter(filter_fn(|event| event.target() != COMMAND_LINES));
    // a second subscriber cannot be: this is called once
    let _ = tracing_subscriber::registry().with(filter).with(layer).try_init();
    Ok(())
}

/// Standard error, to which libraries log what they like: access key IDs and logins in URLs are taken out of it.
struct Log;

impl Write for Log {
    /// Writes an event, which comes as a whole.
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        io::stderr().lock().write_all(log_line(&String::from_utf8_lossy(event)).as_bytes())?;
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

//! Owns what is printed of clap: help and version, and what is wrong with an invocation.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser as _;
use clap::error::{ContextKind, ContextValue};

use super::Cli;
use super::output::Output;
use crate::diagnostic::escape::escaped;
use crate::diagnostic::redact::redacted;
use crate::diagnostic::{Error, Status};

/// Prints clap's own text: on standard output if it was asked for.
pub(super) fn print(mut error: clap::Error, arguments: &[OsString], output: &Output) -> Result<ExitCode, Error> {
    if !error.use_stderr() {
        return output.styled(&error.render().ansi().to_string()).map(|()| ExitCode::SUCCESS);
    }
    // clap quotes arguments as they are, so it parses them again, escaped
    let shown = arguments.iter().map(|argument| escaped(&argument.to_string_lossy()));
    let text = match Cli::try_parse_from(shown) {
        Err(again) if again.kind() == error.kind() => {
            error = again;
            suggest_command(&mut error);
            error.render().ansi().to_string()
        }
        _ => error.to_string().lines().map(|line| escaped(line) + "\n").collect(),
    };
    // a name that clap quotes may hold a login
    output.styled_note(redacted(&text).trim_end());
    Ok(ExitCode::from(Status::Invalid.code()))
}

/// Suggests the command that another tool calls by this word. clap itself suggests only words that are spelt alike.
fn suggest_command(error: &mut clap::Error) {
    const WORDS: [(&str, &str); 5] =
        [("validate", "check"), ("verify", "check"), ("lint", "check"), ("build", "bake"), ("diff", "drift")];
    let Some(ContextValue::String(word)) = error.get(ContextKind::InvalidSubcommand) else { return };
    if let Some((_, command)) = WORDS.iter().find(|(other, _)| other == word) {
        let command = ContextValue::Strings(vec![(*command).to_owned()]);
        error.insert(ContextKind::SuggestedSubcommand, command);
    }
}

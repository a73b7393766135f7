//! Owns what is printed of clap: help and version, and what is wrong with an invocation.

use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue};

use super::output::Output;
use crate::diagnostic::redact::redacted;
use crate::diagnostic::{Error, Status};

/// Prints clap's own text: on standard output if it was asked for.
pub(super) fn print(mut error: clap::Error, output: &Output) -> Result<ExitCode, Error> {
    suggest_command(&mut error);
    // a name that clap quotes may hold a login
    let text = redacted(&error.render().ansi().to_string());
    if error.use_stderr() {
        output.to_stderr(text.trim_end());
        return Ok(ExitCode::from(Status::Invalid.code()));
    }
    output.result(&text).map(|()| ExitCode::SUCCESS)
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

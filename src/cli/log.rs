//! Owns the log on standard error: which targets are in it. Each event is escaped and loses what is secret.

use std::io::{self, Write};

use tracing::{Level, Metadata};
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _};

use crate::diagnostic::escape::escaped;
use crate::diagnostic::redact::log_line;
use crate::diagnostic::scrub::without_secrets;
use crate::diagnostic::{Diagnostic, Error};

/// The libraries that may write to the log. All others are kept out: of the AWS SDK most modules write keys, tokens, External IDs, the
/// standard error of a `credential_process`, or a hash that these can be guessed from.
const LIBRARIES: [&str; 12] = [
    "aws_runtime::env_config",
    "aws_runtime::fs_util",
    "aws_smithy_runtime::client::http::connection_poisoning",
    "aws_smithy_runtime::client::identity",
    "aws_smithy_runtime::client::orchestrator",
    "aws_smithy_runtime::client::retries",
    "aws_smithy_runtime::client::stalled_stream_protection",
    "bollard",
    "hyper",
    "hyper_util",
    "reqwest",
    "rustls",
];

/// Starts the log, if there is a filter. A level alone is for this program; a library's log is shown only if its target is named.
pub(super) fn start(filter: Option<&str>) -> Result<(), Error> {
    let Some(text) = filter else { return Ok(()) };
    let filter = EnvFilter::try_new(text).map_err(|_| {
        Error::invalid(
            Diagnostic::error("log-filter", "not a log filter")
                .hint("write a level, as in --log debug, or TARGET=LEVEL, as in --log debug,hyper_util=debug"),
        )
    })?;
    let named = targets(text);
    let layer = tracing_subscriber::fmt::layer().with_writer(|| Log).with_ansi(false);
    let layer = layer.with_filter(filter_fn(move |event| is_logged(event, &named)));
    // this is called once, so there is no other subscriber
    let _ = tracing_subscriber::registry().with(filter).with(layer).try_init();
    Ok(())
}

/// Returns the targets that a filter names.
fn targets(filter: &str) -> Vec<String> {
    let names = filter.split(',').map(|directive| directive.split(['=', '[']).next().unwrap_or_default().trim());
    let is_level = |name: &str| name.parse::<tracing_subscriber::filter::LevelFilter>().is_ok();
    names.filter(|name| !name.is_empty() && !is_level(name)).map(str::to_owned).collect()
}

fn is_logged(event: &Metadata<'_>, named: &[String]) -> bool {
    let target = event.target();
    if is_below(target, "secretbake") {
        return true;
    }
    // at this level the AWS SDK writes whole requests and answers
    let is_aws_trace = target.starts_with("aws_") && *event.level() == Level::TRACE;
    named.iter().any(|name| target.starts_with(name.as_str()))
        && !is_aws_trace
        && LIBRARIES.iter().any(|library| is_below(target, library))
}

/// Tells whether a target is a module or in it.
fn is_below(target: &str, module: &str) -> bool {
    target.strip_prefix(module).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

/// Standard error, with each event made safe to show.
struct Log;

impl Write for Log {
    /// Writes an event; each arrives in one call.
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        io::stderr().lock().write_all(line(event).as_bytes())?;
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

/// Returns an event as one line, without secrets, key IDs, logins, External IDs and hashes.
fn line(event: &[u8]) -> String {
    let text = without_secrets(event);
    let text = log_line(String::from_utf8_lossy(&text).trim_end_matches('\n'));
    escaped(&text) + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnostic::scrub::remember;

    #[test]
    fn a_filter_names_targets_and_levels() {
        assert_eq!(targets("debug"), [""; 0]);
        assert_eq!(
            targets("info,hyper_util=debug, bollard ,aws_config[span]=trace,5"),
            ["hyper_util", "bollard", "aws_config"]
        );
    }

    #[test]
    fn an_event_is_one_line_without_what_is_secret() {
        remember(b"log-canary-0123456789");
        let hash = "0a1b".repeat(16);
        for (event, expected) in [
            ("x log-canary-0123456789\n", "x ***\n"),
            ("a\n::error::b\u{1b}[2J\n", "a\\n::error::b\\u{1b}[2J\n"),
            (r#"external_id: Some("crew-7")"#, "external_id: ***\n"),
            ("x-amz-content-sha256:HASH", "x-amz-content-sha256:***\n"),
            ("digest=sha256:HASH", "digest=sha256:HASH\n"),
        ] {
            let [event, expected] = [event, expected].map(|text| text.replace("HASH", &hash));
            assert_eq!(line(event.as_bytes()), expected);
        }
    }
}

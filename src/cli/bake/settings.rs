//! Owns the settings of a bake that are neither in the manifest nor an option's plain value: the time and the launchers.

use std::path::{Path, PathBuf};

use super::super::environment::Environment;
use crate::diagnostic::{Diagnostic, Error};
use crate::image::append::Launcher;
use crate::image::launcher;
use crate::image::time::rfc3339;
use crate::runtime::bounded;

/// The largest launcher that is read: twenty times as large as the built-in ones.
const MAX_LAUNCHER: u64 = 16 << 20;

/// Returns SOURCE_DATE_EPOCH as RFC 3339.
pub(in crate::cli) fn created(environment: &Environment) -> Result<Option<String>, Error> {
    let Some(text) = &environment.source_date_epoch else { return Ok(None) };
    let seconds = text.parse::<i64>().ok().filter(|seconds| (0..253_402_300_800).contains(seconds));
    let seconds = seconds.ok_or_else(|| {
        Error::invalid(
            Diagnostic::error("source-date-epoch", "SOURCE_DATE_EPOCH is not a time")
                .hint("set it to seconds since 1970, as in 1700000000, or unset it"),
        )
    })?;
    Ok(Some(rfc3339(seconds)))
}

/// Returns the launchers that the user names, then the built-in ones. The first of an architecture is used.
pub(in crate::cli) fn launchers(named: &[PathBuf]) -> Result<Vec<Launcher>, Error> {
    let mut launchers = named.iter().map(|path| named_launcher(path)).collect::<Result<Vec<_>, _>>()?;
    launchers.extend(launcher::built_in().chain(launcher::sealing()));
    Ok(launchers)
}

fn named_launcher(path: &Path) -> Result<Launcher, Error> {
    let wrong = |why: String| {
        Error::invalid(
            Diagnostic::error("launcher", format!("cannot use the launcher {}: {why}", path.display()))
                .hint("give a secretbake launcher, a static Linux program for the base's architecture"),
        )
    };
    let program = bounded::read_named(path, MAX_LAUNCHER).map_err(|error| wrong(error.to_string()))?;
    let architecture = Launcher::architecture_of(&program).ok_or_else(|| wrong("not a Linux program".to_owned()))?;
    Ok(Launcher { program: program.into(), architecture: architecture.to_owned() })
}

//! Runs a command from its first request until it is done or interrupted.

use crate::diagnostic::{Diagnostic, Error, Status};

use super::blocking;
use super::interrupt::{Interrupt, Notices, PATIENCE};
use super::unfinished::Unfinished;

/// Runs the part of a command that sends requests, until it is done or the user interrupts it. Before this returns, work that must not be
/// left half done is finished, and temporary resources are removed.
///
/// Read the user's files before calling this: one may be a pipe without a writer, and then an interrupt must end the process at once.
/// `notices` say what becomes of a run that an interrupt does not end at once.
pub fn run<T, F>(command: impl FnOnce(Unfinished) -> F, notices: Notices) -> Result<T, Error>
where
    F: Future<Output = Result<T, Error>>,
{
    let failed = |error| cannot_start(&error);
    let mut interrupt = Interrupt::listen(notices).map_err(failed)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
    let result = runtime.block_on(until_ended(&mut interrupt, command));
    // a name lookup or a credential helper may never answer
    runtime.shutdown_background();
    result
}

async fn until_ended<T, F>(interrupt: &mut Interrupt, command: impl FnOnce(Unfinished) -> F) -> Result<T, Error>
where
    F: Future<Output = Result<T, Error>>,
{
    let unfinished = Unfinished::default();
    let mut running = Box::pin(command(unfinished.clone()));
    let finished = tokio::select! {
        result = &mut running => Some(result),
        () = interrupt.received() => None,
    };
    unfinished.close();
    // do not wait for an engine that does not answer: the next run removes the leftovers
    let deadline = tokio::time::Instant::now() + PATIENCE;
    let mut left = LeftUndone::Nothing;
    let finished = match finished {
        Some(result) => Some(result),
        None => tokio::select! {
            biased;
            // the user's interrupt came first, whatever error followed
            result = &mut running => Some(result.map_err(|error| Error { status: Status::Interrupted, ..error })),
            () = unfinished.finished() => None,
            () = tokio::time::sleep_until(deadline) => {
                left = LeftUndone::Unfinished;
                None
            }
        },
    };
    drop(running);
    let ended = async {
        unfinished.finished().await;
        blocking::idle().await;
    };
    if tokio::time::timeout_at(deadline, ended).await.is_err() {
        left = LeftUndone::Unfinished;
    }
    finished.unwrap_or_else(|| Err(interrupted("", left)))
}

/// Returns the error for a run that the operating system does not let start.
pub fn cannot_start(error: &std::io::Error) -> Error {
    let hint = "raise the limits of open files and processes: `ulimit -n` and `ulimit -u` show them";
    Error::failed(Diagnostic::error("runtime", format!("cannot start: {error}")).hint(hint))
}

/// Returns what is said of an interrupted run that finishes what it has begun.
pub fn finishing() -> String {
    format!(
        "interrupted: finishing what has begun, for at most {} seconds; interrupt again to stop at once",
        PATIENCE.as_secs()
    )
}

/// What an interrupted run left undone.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum LeftUndone {
    Nothing,
    /// Images that lack some of their tags; the outcomes name them.
    Parts,
    /// Work that did not finish in time.
    Unfinished,
    /// Unfinished work that nobody waited for.
    Abandoned,
}

impl LeftUndone {
    fn code(self) -> &'static str {
        match self {
            LeftUndone::Nothing => "interrupted",
            LeftUndone::Parts => "interrupted-in-part",
            LeftUndone::Unfinished | LeftUndone::Abandoned => "interrupted-unfinished",
        }
    }

    /// Returns what an interrupted run left undone, according to its error.
    pub fn from_error(error: &Error) -> Self {
        let says = |left: &LeftUndone| error.diagnostics.iter().any(|diagnostic| diagnostic.code == left.code());
        [LeftUndone::Parts, LeftUndone::Unfinished].into_iter().find(says).unwrap_or(LeftUndone::Nothing)
    }
}

/// Returns the error of a run that the user interrupted; `when` says how far it came, or is empty.
pub fn interrupted(when: &str, left: LeftUndone) -> Error {
    let what = match left {
        LeftUndone::Nothing => format!("interrupted{when}; nothing was left half done"),
        LeftUndone::Parts => format!("interrupted{when}"),
        LeftUndone::Abandoned => format!("interrupted{when}; stopped without waiting for unfinished work"),
        LeftUndone::Unfinished => {
            format!("interrupted{when}; gave up on unfinished work after {} seconds", PATIENCE.as_secs())
        }
    };
    let hint = "run the same command again; finished images are not rewritten";
    Error { status: Status::Interrupted, diagnostics: vec![Diagnostic::error(left.code(), what).hint(hint)] }
}

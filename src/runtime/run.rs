//! Owns a command's run from its first request to its end: in order, or interrupted.

use crate::diagnostic::{Diagnostic, Error, Status};

use super::blocking;
use super::interrupt::{Interrupt, PATIENCE};
use super::unfinished::Unfinished;

/// Runs the part of a command that talks to others, until it is done or the user interrupts it. Either way, what may not be left half
/// done is finished, and what was made for a time is removed, before this returns.
///
/// What the user names is read before: it may be a pipe that nobody writes to, and there an interrupt must end the process at once.
/// `last_words` are said where the process is ended from outside.
pub fn run<T, F>(command: impl FnOnce(Unfinished) -> F, last_words: fn()) -> Result<T, Error>
where
    F: Future<Output = Result<T, Error>>,
{
    let failed = |error| cannot_start(&error);
    let mut interrupt = Interrupt::listen(last_words).map_err(failed)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
    let result = runtime.block_on(until_ended(&mut interrupt, command));
    // a name that is looked up, or a program that is asked for a login, may never answer
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
    // an engine that does not answer is not waited for: the next run removes what is left
    let deadline = tokio::time::Instant::now() + PATIENCE;
    let mut left = LeftUndone::Nothing;
    let finished = match finished {
        Some(result) => Some(result),
        None => tokio::select! {
            biased;
            // whatever ended it then, the user did first
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

/// Returns an error where the operating system does not give a run what it needs.
pub fn cannot_start(error: &std::io::Error) -> Error {
    let hint = "raise the limits of open files and processes: `ulimit -n` and `ulimit -u` show them";
    Error::failed(Diagnostic::error("runtime", format!("cannot start: {error}")).hint(hint))
}

/// What an interrupted run left undone.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum LeftUndone {
    Nothing,
    /// Images that are not everywhere where they should be; the outcomes say which.
    Parts,
    /// Work that had begun and did not end in time.
    Unfinished,
    /// The same, where nobody waited for it.
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

    /// Returns what an interrupted run says that it left undone.
    pub fn from_error(error: &Error) -> Self {
        let says = |left: &LeftUndone| error.diagnostics.iter().any(|diagnostic| diagnostic.code == left.code());
        [LeftUndone::Parts, LeftUndone::Unfinished].into_iter().find(says).unwrap_or(LeftUndone::Nothing)
    }
}

/// Returns the error of a run that the user ended; `when` is how far it came, if it came anywhere.
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

//! Runs blocking file work off the event loop.

use std::io::{self, Read};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock};

use tokio::sync::oneshot;

use super::unfinished::Unfinished;

/// The work of [`run`] that is in progress.
static UNDER_WAY: LazyLock<Unfinished> = LazyLock::new(Unfinished::default);

/// Tells work on another thread to stop because nobody waits for it anymore.
#[derive(Clone, Default)]
pub struct Cancel(Arc<AtomicBool>);

impl Cancel {
    /// Fails once the work is cancelled.
    pub fn check(&self) -> io::Result<()> {
        if self.0.load(Ordering::Relaxed) { Err(io::Error::other("cancelled")) } else { Ok(()) }
    }

    /// Returns a reader that fails once the work is cancelled.
    pub fn reader<R: Read>(&self, inner: R) -> CancelReader<R> {
        CancelReader { cancel: self.clone(), inner }
    }
}

/// A reader that fails once the work is cancelled.
pub struct CancelReader<R> {
    cancel: Cancel,
    inner: R,
}

impl<R: Read> Read for CancelReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.cancel.check()?;
        self.inner.read(buffer)
    }
}

/// Runs the work on a thread that does not keep the program alive: it may hang on a pipe.
pub fn detach<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> io::Result<oneshot::Receiver<T>> {
    let (sender, receiver) = oneshot::channel();
    std::thread::Builder::new().spawn(move || {
        // nobody waits for it anymore
        let _ = sender.send(work());
    })?;
    Ok(receiver)
}

/// Does the same as [`detach`] and waits for the result.
pub async fn detached<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
    detach(work)?.await.map_err(|_| io::Error::other("its thread broke off"))
}

/// Waits until no work of [`run`] is in progress: cancelled work still undoes what it started.
pub async fn idle() {
    UNDER_WAY.close();
    UNDER_WAY.finished().await;
}

/// Runs the work on its own thread; dropping the future cancels it.
pub async fn run<T: Send + 'static>(work: impl FnOnce(&Cancel) -> T + Send + 'static) -> T {
    struct OnDrop(Cancel);
    impl Drop for OnDrop {
        fn drop(&mut self) {
            self.0.0.store(true, Ordering::Relaxed);
        }
    }
    let guard = OnDrop(Cancel::default());
    let cancel = guard.0.clone();
    let under_way = UNDER_WAY.hold();
    let work = move || {
        let _under_way = under_way;
        work(&cancel)
    };
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // the runtime is shutting down, and so is the caller
            Err(_) => std::future::pending().await,
        },
    }
}

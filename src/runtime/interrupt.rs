//! Handles the signals that end a run, such as SIGINT, SIGTERM and SIGHUP.
//!
//! The first signal asks the run to clean up and stop. If it is still running almost a second later, it says so. A second signal, or
//! [`PATIENCE`] after the first, ends the process at once.

use std::io;
use std::sync::OnceLock;
use std::time::Duration;

use tokio::sync::watch;

use super::platform::EndingSignals;
use crate::diagnostic::Status;

/// How long an interrupted run may take to stop.
pub const PATIENCE: Duration = Duration::from_secs(15);
/// How long an interrupted run may take to stop before it says that it is still finishing something.
const ANSWER: Duration = Duration::from_millis(900);
/// The time that a main thread needs to report how the run ended.
const GOODBYE: Duration = Duration::from_millis(500);

static LISTENING: OnceLock<watch::Receiver<bool>> = OnceLock::new();

/// What is said of a run that does not end at once. The main thread may hang, so another one calls these.
#[derive(Clone, Copy)]
pub struct Notices {
    /// Says that work which has begun is being finished.
    pub finishing: fn(),
    /// Says that the run ends without it.
    pub abandoned: fn(),
}

/// Waits for an interrupt.
pub struct Interrupt(watch::Receiver<bool>);

impl Interrupt {
    /// Starts listening to the signals.
    pub fn listen(notices: Notices) -> io::Result<Self> {
        let receiver = match LISTENING.get() {
            Some(receiver) => receiver.clone(),
            None => {
                let receiver = start(notices)?;
                LISTENING.get_or_init(|| receiver).clone()
            }
        };
        Ok(Interrupt(receiver))
    }

    /// Waits for the first signal.
    pub async fn received(&mut self) {
        // the sender lives as long as the process
        let _ = self.0.wait_for(|is_interrupted| *is_interrupted).await;
    }
}

/// Starts the listening thread. It has its own runtime, because the main thread may hang.
fn start(notices: Notices) -> io::Result<watch::Receiver<bool>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let signals = {
        let _inside = runtime.enter();
        EndingSignals::listen()?
    };
    let (sender, receiver) = watch::channel(false);
    std::thread::Builder::new().name("interrupts".to_owned()).spawn(move || {
        let mut signals = signals;
        runtime.block_on(async {
            signals.next().await;
            sender.send_replace(true);
            if tokio::time::timeout(ANSWER, signals.next()).await.is_err() {
                // the main thread may hold standard error, and a second signal must be heard meanwhile
                let _ = std::thread::Builder::new().spawn(notices.finishing);
                // either way, time is up
                let _ = tokio::time::timeout(PATIENCE + GOODBYE - ANSWER, signals.next()).await;
            }
        });
        let _ = std::thread::Builder::new().spawn(notices.abandoned).map(|said| {
            let started = std::time::Instant::now();
            while !said.is_finished() && started.elapsed() < GOODBYE {
                std::thread::sleep(Duration::from_millis(5));
            }
        });
        end_process();
    })?;
    Ok(receiver)
}

#[expect(clippy::exit, reason = "the main thread does not end it")]
fn end_process() -> ! {
    std::process::exit(i32::from(Status::Interrupted.code()))
}

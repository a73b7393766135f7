//! Handles the signals that end a run, such as SIGINT, SIGTERM and SIGHUP.
//!
//! The first signal asks the run to clean up and stop. A second one, or [`PATIENCE`] after the first, ends the process at once.

use std::io;
use std::sync::OnceLock;
use std::time::Duration;

use tokio::sync::watch;

use super::platform::EndingSignals;
use crate::diagnostic::Status;

/// How long an interrupted run may take to stop.
pub const PATIENCE: Duration = Duration::from_secs(15);
/// The time that a main thread needs to report how the run ended.
const GOODBYE: Duration = Duration::from_millis(500);

static LISTENING: OnceLock<watch::Receiver<bool>> = OnceLock::new();

/// Waits for an interrupt.
pub struct Interrupt(watch::Receiver<bool>);

impl Interrupt {
    /// Starts listening to the signals. `last_words` prints a message if the process is ended while the run hangs.
    pub fn listen(last_words: fn()) -> io::Result<Self> {
        let receiver = match LISTENING.get() {
            Some(receiver) => receiver.clone(),
            None => {
                let receiver = start(last_words)?;
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
fn start(last_words: fn()) -> io::Result<watch::Receiver<bool>> {
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
            // either way, time is up
            let _ = tokio::time::timeout(PATIENCE + GOODBYE, signals.next()).await;
        });
        // the main thread may hang on standard error
        let _ = std::thread::Builder::new().spawn(last_words).map(|said| {
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

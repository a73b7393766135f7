//! Owns what every run needs: interrupts, blocking work off the event loop, cleanup, progress, bounded reads and temporary files.

pub mod blocking;
pub mod bounded;
pub mod files;
pub mod interrupt;
pub mod progress;
pub mod run;
pub mod unfinished;

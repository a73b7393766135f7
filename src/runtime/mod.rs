//! Owns what every run needs: interrupts, blocking work off the event loop, cleanup, progress, bounded reads and temporary files;
//! and the seam to the operating system.

pub mod blocking;
pub mod bounded;
pub mod files;
pub mod interrupt;
pub mod platform;
pub mod progress;
pub mod run;
pub mod unfinished;

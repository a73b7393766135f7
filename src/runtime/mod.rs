//! Owns how a run goes on and ends: interrupts, work off the event loop, what must be finished, progress, and reads that end.

pub mod blocking;
pub mod bounded;
pub mod files;
pub mod interrupt;
pub mod progress;
pub mod run;
pub mod unfinished;

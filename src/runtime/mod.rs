//! Owns how a run goes on and ends: work off the event loop, and how far it has come, and reads that end.

pub mod blocking;
pub mod bounded;
pub mod progress;

//! Owns how a run goes on and ends: work off the event loop, and how far it has come.

pub mod blocking;
pub mod progress;

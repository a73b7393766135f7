//! Bakes on real parts, told as users tell them.

mod config;
mod inject;
mod many;
mod mistakes;
mod push;
mod progress;
mod quickstart;
mod registry;
mod transports;
mod values;

//! Bakes on real parts, told as users tell them.

mod bases;
mod config;
mod ended;
mod faults;
mod inject;
mod interrupt;
mod killed;
mod many;
mod matrix;
mod mistakes;
mod progress;
mod push;
mod quickstart;
mod registry;
mod streams;
mod transports;
mod values;

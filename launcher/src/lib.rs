//! What the launcher decides, as safe functions over byte slices: the parsed env file, the merged environment, the
//! search along `PATH`, and the text of `--check` and of every failure.
//!
//! Owns every decision. Must not make a system call, allocate, or hold `unsafe` code: that is the bin's part.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

pub mod baked;
pub mod check;
pub mod environment;
pub mod failure;
pub mod line;
pub mod search;
